use std::ops::Range;

use memchr::memmem;

use super::{
    Fault, Field, Intake, Kind, Limits, Problem, Scratch, Text, json,
    output::{Output, Step},
};

/// What a GraphQL document asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphQl {
    /// What is wrong first.
    pub problem: Option<Problem>,
    /// How deep selections are nested.
    pub depth: usize,
    /// Fields that are given another name.
    pub aliases: usize,
    /// Fields of operations themselves, not of what they select.
    pub root_fields: usize,
    /// Directives.
    pub directives: usize,
    /// Operations.
    pub operations: usize,
    /// Definitions of fragments.
    pub fragments: usize,
    /// The schema is asked for: `__schema` or `__type`.
    pub introspection: bool,
}

impl GraphQl {
    /// Returns what two documents ask for together: the deeper, and the sums.
    pub fn and(self, other: Self) -> Self {
        Self {
            problem: self.problem.or(other.problem),
            depth: self.depth.max(other.depth),
            aliases: self.aliases + other.aliases,
            root_fields: self.root_fields + other.root_fields,
            directives: self.directives + other.directives,
            operations: self.operations + other.operations,
            fragments: self.fragments + other.fragments,
            introspection: self.introspection || other.introspection,
        }
    }
}

/// Reads a GraphQL document: each value of an argument under the argument's name, or the name of the
/// innermost member of an input object. Names of types are no values.
///
/// Tokens are those of the specification of October 2021, section 2; of the grammar only as much as tells
/// selections and arguments apart. What no token begins with is a problem and passed over.
pub fn graphql(input: &[u8], intake: Intake<'_>) -> GraphQl {
    let Intake { limits, scratch, sink } = intake;
    scratch.brackets.clear();
    let output = Output::new(sink, limits);
    let mut reader = Reader {
        input,
        at: 0,
        limits,
        output,
        scratch,
        outcome: GraphQl::default(),
        selections: 0,
        arguments: 0,
        key: 0..0,
        definition: Definition::None,
    };
    if let Err(problem) = reader.document() {
        reader.outcome.problem.get_or_insert(problem);
    }
    reader.outcome
}

/// What was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bracket {
    /// `{` of fields.
    Selection,
    /// `(`.
    Arguments,
    /// `{` of an input object.
    Object,
    /// `[`.
    List,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Definition {
    None,
    Operation,
    Fragment,
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    limits: &'a Limits,
    output: Output<'a>,
    scratch: &'a mut Scratch,
    outcome: GraphQl,
    /// How many selections are open.
    selections: usize,
    /// How many parentheses are open.
    arguments: usize,
    /// The name that a value belongs to.
    key: Range<usize>,
    definition: Definition,
}

impl Reader<'_> {
    fn document(&mut self) -> Step {
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.string()?,
                b'{' | b'(' | b'[' => self.open(byte)?,
                b'}' | b')' | b']' => self.close(byte),
                b'#' => self.skip_while(|byte| !matches!(byte, b'\n' | b'\r')),
                b'@' => self.directive(),
                b'$' => self.variable()?,
                b'.' => self.spread(),
                b'-' | b'0'..=b'9' => self.number()?,
                b'_' | b'a'..=b'z' | b'A'..=b'Z' => self.word()?,
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b'!' | b':' | b'=' | b'&' | b'|' => {
                    self.at += 1;
                }
                _ => self.other(),
            }
        }
        if self.scratch.brackets.is_empty() {
            Ok(())
        } else {
            Err(Problem::new(self.at, Fault::Malformed, "a bracket is not closed"))
        }
    }

    fn open(&mut self, byte: u8) -> Step {
        if self.scratch.brackets.len() >= self.limits.depth_max {
            let message = "selections or values are nested too deeply";
            return Err(Problem::new(self.at, Fault::TooDeep, message));
        }
        self.at += 1;
        let bracket = match byte {
            b'(' => Bracket::Arguments,
            b'[' => Bracket::List,
            _ if self.arguments > 0 => Bracket::Object,
            _ => Bracket::Selection,
        };
        self.scratch.brackets.push(bracket);
        match bracket {
            Bracket::Arguments => self.arguments += 1,
            Bracket::Selection => self.open_selection(),
            Bracket::Object | Bracket::List => {}
        }
        Ok(())
    }

    fn open_selection(&mut self) {
        if self.selections == 0 && self.definition == Definition::None {
            self.define(Definition::Operation);
        }
        self.selections += 1;
        self.outcome.depth = self.outcome.depth.max(self.selections);
    }

    fn close(&mut self, byte: u8) {
        let expected = match self.scratch.brackets.pop() {
            Some(Bracket::Selection) => {
                self.selections -= 1;
                if self.selections == 0 {
                    self.definition = Definition::None;
                }
                b'}'
            }
            Some(Bracket::Object) => b'}',
            Some(Bracket::Arguments) => {
                self.arguments -= 1;
                b')'
            }
            Some(Bracket::List) => b']',
            None => 0,
        };
        if byte != expected {
            self.note(self.at, "a bracket closes another than is open");
        }
        self.at += 1;
    }

    fn define(&mut self, definition: Definition) {
        self.definition = definition;
        match definition {
            Definition::Operation => self.outcome.operations += 1,
            Definition::Fragment => self.outcome.fragments += 1,
            Definition::None => {}
        }
    }

    /// Reads a name: a definition's, a field's, an argument's or a value.
    fn word(&mut self) -> Step {
        let name = self.name();
        let has_colon = self.colon_follows();
        if self.arguments > 0 {
            return self.argument_word(name, has_colon);
        }
        if self.selections > 0 {
            self.field(name, has_colon);
            return Ok(());
        }
        match &self.input[name] {
            _ if self.definition != Definition::None => {}
            b"query" | b"mutation" | b"subscription" => self.define(Definition::Operation),
            b"fragment" => self.define(Definition::Fragment),
            _ => {}
        }
        Ok(())
    }

    fn argument_word(&mut self, name: Range<usize>, has_colon: bool) -> Step {
        if has_colon {
            self.key = name;
            return Ok(());
        }
        // Outside of a selection parentheses declare variables: the word is a type.
        if self.selections == 0 { Ok(()) } else { self.put(name.start, Text::At(name)) }
    }

    fn field(&mut self, name: Range<usize>, has_colon: bool) {
        if has_colon {
            self.outcome.aliases += 1;
            return;
        }
        if self.selections == 1 && self.definition == Definition::Operation {
            self.outcome.root_fields += 1;
        }
        self.outcome.introspection |= matches!(&self.input[name], b"__schema" | b"__type");
    }

    fn directive(&mut self) {
        self.at += 1;
        self.outcome.directives += 1;
        self.name();
    }

    /// Reads a variable: where it is declared, its default belongs to it; else it is a value.
    fn variable(&mut self) -> Step {
        let start = self.at;
        self.at += 1;
        let name = self.name();
        if self.selections == 0 {
            self.key = name;
            return Ok(());
        }
        self.put(start, Text::At(start..self.at))
    }

    /// Passes over `...`, and the name of a fragment or of a type behind it.
    fn spread(&mut self) {
        if !self.input[self.at..].starts_with(b"...") {
            return self.other();
        }
        self.at += 3;
        self.skip_ignored();
        let name = self.name();
        if &self.input[name] == b"on" {
            self.skip_ignored();
            self.name();
        }
    }

    fn number(&mut self) -> Step {
        let start = self.at;
        self.at += 1;
        self.skip_while(|byte| is_name_byte(byte) || matches!(byte, b'.' | b'+' | b'-'));
        self.put(start, Text::At(start..self.at))
    }

    fn string(&mut self) -> Step {
        if self.input[self.at..].starts_with(BLOCK_QUOTE) {
            return self.block_string();
        }
        let start = self.at + 1;
        let (mut end, mut escaped) = (start, false);
        while let Some(byte) =
            self.input.get(end).filter(|byte| !matches!(byte, b'"' | b'\n' | b'\r'))
        {
            let length = if *byte == b'\\' { 2 } else { 1 };
            escaped |= length == 2;
            end = (end + length).min(self.input.len());
        }
        if self.input.get(end) == Some(&b'"') {
            self.at = end + 1;
        } else {
            self.note(self.at, "a string is not closed");
            self.at = end;
        }
        self.put_string(start..end, escaped)
    }

    fn put_string(&mut self, at: Range<usize>, escaped: bool) -> Step {
        if !escaped {
            return self.put(at.start, Text::At(at));
        }
        self.scratch.value.clear();
        let raw = &self.input[at.clone()];
        if let Some(wrong) = json::unescape(raw, &mut self.scratch.value) {
            self.note(at.start + wrong, "an escape is none of GraphQL's");
        }
        self.put_decoded(at.start)
    }

    fn block_string(&mut self) -> Step {
        let start = self.at + BLOCK_QUOTE.len();
        let (length, escaped) = block_length(&self.input[start..]);
        let end = start + length;
        if end == self.input.len() {
            self.note(self.at, "a string is not closed");
        }
        self.at = (end + BLOCK_QUOTE.len()).min(self.input.len());
        if !escaped {
            return self.put(start, Text::At(start..end));
        }
        self.scratch.value.clear();
        unescape_block(&self.input[start..end], &mut self.scratch.value);
        self.put_decoded(start)
    }

    /// Puts a value; outside of parentheses it is a description, which has no name.
    fn put(&mut self, offset: usize, value: Text<'_>) -> Step {
        let name = Text::At(self.key_of_value());
        self.output.put_shared(offset, Field { kind: Kind::Argument, name, value })
    }

    fn put_decoded(&mut self, offset: usize) -> Step {
        let name = Text::At(self.key_of_value());
        let value = Text::Decoded(&self.scratch.value);
        self.output.put_shared(offset, Field { kind: Kind::Argument, name, value })
    }

    fn key_of_value(&self) -> Range<usize> {
        if self.arguments > 0 { self.key.clone() } else { 0..0 }
    }

    fn other(&mut self) {
        let rest = &self.input[self.at..];
        let is_mark = self.at == 0 && rest.starts_with(b"\xEF\xBB\xBF");
        if !is_mark {
            self.note(self.at, "no token begins like this");
        }
        self.at += if is_mark { 3 } else { 1 };
    }

    fn name(&mut self) -> Range<usize> {
        let start = self.at;
        self.skip_while(is_name_byte);
        start..self.at
    }

    fn colon_follows(&mut self) -> bool {
        self.skip_ignored();
        let found = self.peek() == Some(b':');
        self.at += usize::from(found);
        found
    }

    fn skip_ignored(&mut self) {
        loop {
            self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b','));
            if self.peek() != Some(b'#') {
                return;
            }
            self.skip_while(|byte| !matches!(byte, b'\n' | b'\r'));
        }
    }

    fn skip_while(&mut self, is_part: impl Fn(u8) -> bool) {
        self.at += self.input[self.at..].iter().take_while(|byte| is_part(**byte)).count();
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn note(&mut self, offset: usize, message: &'static str) {
        let problem = Problem::new(offset, Fault::Malformed, message);
        self.outcome.problem.get_or_insert(problem);
    }
}

const BLOCK_QUOTE: &[u8] = b"\"\"\"";

/// Returns how long a block string is, and whether a quote in it is escaped.
fn block_length(text: &[u8]) -> (usize, bool) {
    let mut escaped = false;
    for at in memmem::find_iter(text, BLOCK_QUOTE) {
        if !text[..at].ends_with(b"\\") {
            return (at, escaped);
        }
        escaped = true;
    }
    (text.len(), escaped)
}

fn unescape_block(text: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for at in memmem::find_iter(text, b"\\\"\"\"") {
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
    }
    out.extend_from_slice(&text[from..]);
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
