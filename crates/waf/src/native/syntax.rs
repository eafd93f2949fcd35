//! Text to nodes: KDL 2 as far as rules need it.
//!
//! A reader of its own, because a rule file may be long and may come from elsewhere: it takes time linear in the text,
//! nests to a bound, and says what is wrong in terms of rules. What it reads, it reads as KDL does; types, floats and numbers
//! of other bases are refused.

/// Deepest nesting of blocks; rules need two.
const DEPTH_MAX: usize = 4;
/// Mistakes after which a text is read no further; each may cost a look at all that follows it.
const FAULTS_MAX: usize = 50;

/// Something that stands at a place, in bytes from the text's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: usize,
}

/// A node with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: At<String>,
    pub(super) arguments: Vec<At<Value>>,
    pub(super) properties: Vec<(At<String>, At<Value>)>,
    pub(super) block: Option<Vec<Node>>,
}

/// An argument or a property's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i128),
    Flag(bool),
    Null,
}

/// What is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) help: String,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: help.into() }
    }
}

type Read<T> = Result<T, Fault>;

/// Reads all nodes that can be read. After a mistake it goes on with the next line that begins with a letter, where in all
/// likelihood the next rule begins.
pub(super) fn read(text: &str) -> (Vec<Node>, Vec<Fault>) {
    let mut reader = Reader { text, at: text.len() - text.trim_start_matches('\u{feff}').len() };
    let (mut nodes, mut faults) = (Vec::new(), Vec::new());
    loop {
        match reader.node(0) {
            Ok(Some(node)) => nodes.extend(node.shown),
            Ok(None) => return (nodes, faults),
            Err(fault) => {
                reader.recover();
                faults.push(fault);
                if faults.len() == FAULTS_MAX {
                    return (nodes, faults);
                }
            }
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

/// A node, or nothing where `/-` stood before it.
struct MaybeShown {
    shown: Option<Node>,
}

/// What stands behind a node's name.
enum Entry {
    Argument(At<Value>),
    Property(At<String>, At<Value>),
}

impl<'t> Reader<'t> {
    /// Reads the next node; `None` at the end of the block or of the text.
    fn node(&mut self, depth: usize) -> Read<Option<MaybeShown>> {
        while self.skip_blank()? || self.skip_line_end() {}
        if self.rest().is_empty() {
            return Ok(None);
        }
        if self.rest().starts_with('}') {
            return if depth > 0 { Ok(None) } else { Err(self.surplus_brace()) };
        }
        let hidden = self.skip("/-");
        while hidden && (self.skip_blank()? || self.skip_line_end()) {}
        let name = self.word("a node's name")?;
        let mut node = Node { name, arguments: Vec::new(), properties: Vec::new(), block: None };
        self.entries(&mut node, depth)?;
        Ok(Some(MaybeShown { shown: (!hidden).then_some(node) }))
    }

    fn surplus_brace(&mut self) -> Fault {
        let fault = Fault::new(self.at, "this `}` closes nothing", "remove it");
        self.at += 1;
        fault
    }

    /// Reads arguments, properties and the block, up to the node's end.
    fn entries(&mut self, node: &mut Node, depth: usize) -> Read<()> {
        loop {
            let apart = self.skip_blank()?;
            if self.ends_node() {
                return Ok(());
            }
            let hidden = self.skip("/-");
            while hidden && (self.skip_blank()? || self.skip_line_end()) {}
            if self.rest().starts_with('{') {
                let block = self.block(depth + 1)?;
                if !hidden && node.block.replace(block).is_some() {
                    return Err(Fault::new(
                        self.at,
                        "a second block of one node",
                        "put all into one",
                    ));
                }
                continue;
            }
            if node.block.is_some() {
                let help = "begin a new line, or put a `;` between";
                return Err(Fault::new(self.at, "something stands behind a block", help));
            }
            if !apart {
                return Err(Fault::new(self.at, "two values touch", "put a space between them"));
            }
            match self.entry()? {
                _ if hidden => {}
                Entry::Argument(value) => node.arguments.push(value),
                Entry::Property(name, value) => node.properties.push((name, value)),
            }
        }
    }

    fn ends_node(&mut self) -> bool {
        self.rest().is_empty()
            || self.rest().starts_with('}')
            || self.skip(";")
            || self.skip_line_end()
    }

    fn block(&mut self, depth: usize) -> Read<Vec<Node>> {
        let open = self.at;
        if depth > DEPTH_MAX {
            let help = "no rule nests that deep; look for a `}` that is missing above";
            return Err(Fault::new(open, format!("blocks nest deeper than {DEPTH_MAX}"), help));
        }
        self.at += 1;
        let mut nodes = Vec::new();
        while let Some(node) = self.node(depth)? {
            nodes.extend(node.shown);
        }
        if self.skip("}") {
            return Ok(nodes);
        }
        Err(Fault::new(open, "this block has no end", "add the `}` that closes it"))
    }

    fn entry(&mut self) -> Read<Entry> {
        let value = self.value()?;
        if !self.skip("=") {
            return Ok(Entry::Argument(value));
        }
        let At { value: Value::Text(name), at } = value else {
            let help = "a property is `name=value`";
            return Err(Fault::new(value.at, "a property's name is text", help));
        };
        Ok(Entry::Property(At { value: name, at }, self.value()?))
    }

    /// Reads text, quoted or bare.
    fn word(&mut self, expected: &str) -> Read<At<String>> {
        match self.value()? {
            At { value: Value::Text(value), at } => Ok(At { value, at }),
            other => Err(Fault::new(other.at, format!("{expected} is missing here"), "write one")),
        }
    }

    fn value(&mut self) -> Read<At<Value>> {
        let at = self.at;
        let first = self.rest().chars().next().unwrap_or('\n');
        let value = match first {
            '"' => Value::Text(self.quoted(0)?),
            '#' => self.hashed()?,
            '(' => return Err(Fault::new(at, "rules know no types", "remove the `(…)`")),
            '0'..='9' => self.number()?,
            '+' | '-' if self.rest()[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                self.number()?
            }
            _ => Value::Text(self.bare()?),
        };
        Ok(At { value, at })
    }

    fn bare(&mut self) -> Read<String> {
        let at = self.at;
        let ends = |c: char| c.is_whitespace() || c.is_control() || "\\/(){};[]\"#=".contains(c);
        let word = &self.rest()[..self.rest().find(ends).unwrap_or(self.rest().len())];
        let word = word.to_owned();
        self.at += word.len();
        match word.as_str() {
            "" => Err(Fault::new(at, "neither a name nor a value", "put text in quotes")),
            "true" | "false" | "null" | "inf" | "-inf" | "nan" => {
                Err(Fault::new(at, format!("`{word}` is no value"), format!("write `#{word}`")))
            }
            _ => Ok(word),
        }
    }

    fn number(&mut self) -> Read<Value> {
        let at = self.at;
        let ends = |c: char| !c.is_ascii_alphanumeric() && !"+-_.".contains(c);
        let written = &self.rest()[..self.rest().find(ends).unwrap_or(self.rest().len())];
        let number = written.replace('_', "").parse();
        let fault = || {
            let message = format!("`{written}` is not a whole number");
            Fault::new(at, message, "write decimal digits, or put text in quotes")
        };
        let number = number.map_err(|_| fault())?;
        self.at += written.len();
        Ok(Value::Number(number))
    }

    /// Reads `#true` and the like, or a raw string.
    fn hashed(&mut self) -> Read<Value> {
        let hashes = self.rest().bytes().take_while(|byte| *byte == b'#').count();
        if self.rest()[hashes..].starts_with('"') {
            self.at += hashes;
            return Ok(Value::Text(self.quoted(hashes)?));
        }
        for (word, value) in
            [("#true", Value::Flag(true)), ("#false", Value::Flag(false)), ("#null", Value::Null)]
        {
            if self.skip(word) {
                return Ok(value);
            }
        }
        let help = "known are `#true`, `#false`, `#null` and raw text as in #\"…\"#";
        Err(Fault::new(self.at, "`#` begins nothing known", help))
    }

    /// Reads text from its quote on; in raw text, so many hashes belong to its end and nothing is an escape.
    fn quoted(&mut self, hashes: usize) -> Read<String> {
        let at = self.at;
        if self.skip("\"\"\"") {
            return self.lines(at, hashes);
        }
        self.at += 1;
        let end =
            if hashes == 0 { plain_end(self.rest()) } else { raw_end(self.rest(), "\"", hashes) };
        let body = end.map(|end| &self.rest()[..end]);
        // Only an escaped line end may stand in text of one line.
        let body = body.filter(|body| !has_line_end(body, hashes == 0));
        let Some(body) = body else {
            let help = "add the closing quote; text of several lines stands between `\"\"\"`";
            return Err(Fault::new(at, "this text has no end on its line", help));
        };
        self.at += body.len() + 1 + hashes;
        if hashes > 0 { Ok(body.to_owned()) } else { unescaped(body, at + 1) }
    }

    /// Reads text of several lines, behind its opening quotes. What stands before the closing quotes is taken off each line.
    fn lines(&mut self, at: usize, hashes: usize) -> Read<String> {
        let help = "both `\"\"\"` stand alone on their lines, and no line begins further left than the last";
        let malformed = || Fault::new(at, "this text of several lines is not well-formed", help);
        let quotes = "\"\"\"";
        let end = if hashes == 0 {
            plain_lines_end(self.rest())
        } else {
            raw_end(self.rest(), quotes, hashes)
        };
        let body = &self.rest()[..end.ok_or_else(malformed)?];
        self.at += body.len() + quotes.len() + hashes;
        let mut lines: Vec<&str> =
            body.split('\n').map(|line| line.trim_end_matches('\r')).collect();
        let indent = lines.pop().filter(|last| last.trim().is_empty()).ok_or_else(malformed)?;
        if lines.is_empty() || !lines.remove(0).is_empty() {
            return Err(malformed());
        }
        let taken_off = |line: &&str| match line.strip_prefix(indent) {
            _ if line.trim().is_empty() => Some(String::new()),
            rest => rest.map(str::to_owned),
        };
        let text: Option<Vec<String>> = lines.iter().map(taken_off).collect();
        let text = text.ok_or_else(malformed)?.join("\n");
        if hashes > 0 { Ok(text) } else { unescaped(&text, at) }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip(&mut self, text: &str) -> bool {
        let is_there = self.rest().starts_with(text);
        self.at += if is_there { text.len() } else { 0 };
        is_there
    }

    fn skip_line_end(&mut self) -> bool {
        let end = self.rest().chars().next().filter(|c| is_line_end(*c));
        self.skip("\r\n") || end.is_some_and(|end| self.skip(end.encode_utf8(&mut [0; 4])))
    }

    /// Skips white space, comments and escaped line ends, but no line end; returns whether there was any.
    fn skip_blank(&mut self) -> Read<bool> {
        let start = self.at;
        loop {
            let is_blank = |c: char| c.is_whitespace() && !is_line_end(c);
            self.at += self.rest().len() - self.rest().trim_start_matches(is_blank).len();
            if self.rest().starts_with("//") {
                self.at += self.rest().find(is_line_end).unwrap_or(self.rest().len());
            } else if self.rest().starts_with("/*") {
                self.comment()?;
            } else if self.rest().starts_with('\\') {
                self.escaped_line_end()?;
            } else {
                return Ok(self.at > start);
            }
        }
    }

    /// Comments nest.
    fn comment(&mut self) -> Read<()> {
        let start = self.at;
        let mut open = 0_usize;
        loop {
            if self.skip("/*") {
                open += 1;
            } else if self.skip("*/") {
                open -= 1;
            } else {
                let next = self.rest().chars().next();
                let next =
                    next.ok_or_else(|| Fault::new(start, "this comment has no end", "add `*/`"))?;
                self.at += next.len_utf8();
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    fn escaped_line_end(&mut self) -> Read<()> {
        let at = self.at;
        self.at += 1;
        let line = &self.rest()[..self.rest().find(is_line_end).unwrap_or(self.rest().len())];
        let is_last = line.trim().is_empty() || line.trim_start().starts_with("//");
        self.at += line.len();
        if is_last && (self.skip_line_end() || self.rest().is_empty()) {
            return Ok(());
        }
        Err(Fault::new(at, "a `\\` that ends no line", "put text in quotes"))
    }

    fn recover(&mut self) {
        let rest = self.rest();
        let begins_node =
            |at: &usize| rest[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic());
        let next = rest.match_indices('\n').map(|(at, _)| at).find(begins_node);
        self.at += next.unwrap_or(rest.len());
    }
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Where the quote stands that ends text in which `\` escapes.
fn plain_end(rest: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

fn plain_lines_end(rest: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + plain_end(&rest[from..])?;
        if rest[at..].starts_with("\"\"\"") {
            return Some(at);
        }
        from = at + 1;
    }
}

fn raw_end(rest: &str, quotes: &str, hashes: usize) -> Option<usize> {
    rest.find(&format!("{quotes}{}", "#".repeat(hashes)))
}

/// Whether a line ends in text of one line without being escaped.
fn has_line_end(body: &str, may_escape: bool) -> bool {
    let mut rest = body;
    while let Some(at) = rest.find(is_line_end) {
        let is_escaped = may_escape && rest[..at].trim_end().ends_with('\\');
        if !is_escaped {
            return true;
        }
        rest = rest[at..].trim_start();
    }
    false
}

/// Replaces escapes by what they stand for.
fn unescaped(body: &str, at: usize) -> Read<String> {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((before, escape)) = rest.split_once('\\') {
        out.push_str(before);
        let fault = || {
            let help =
                r##"known are \" \\ \n \r \t \b \f \s and \u{…}; raw text as in #"…"# knows none"##;
            Fault::new(at + body.len() - escape.len() - 1, "an unknown escape", help)
        };
        let first = escape.chars().next().ok_or_else(fault)?;
        let (char, len) = match first {
            'n' => ('\n', 1),
            'r' => ('\r', 1),
            't' => ('\t', 1),
            'b' => ('\u{8}', 1),
            'f' => ('\u{c}', 1),
            's' => (' ', 1),
            '"' | '\\' => (first, 1),
            'u' => unicode_escape(escape).ok_or_else(fault)?,
            _ if first.is_whitespace() => {
                rest = escape.trim_start();
                continue;
            }
            _ => return Err(fault()),
        };
        out.push(char);
        rest = &escape[len..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The character of `u{…}` and how long that is.
fn unicode_escape(escape: &str) -> Option<(char, usize)> {
    let (digits, _) = escape.strip_prefix("u{")?.split_once('}')?;
    let is_hex = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let char = char::from_u32(u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?)?;
    Some((char, digits.len() + 3))
}
