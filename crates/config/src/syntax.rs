//! KDL text to nodes: top-level block by block, so that one broken block does not hide the others.
//!
//! The parser recurses for nested blocks and for each mistake it recovers from. Blocks are split
//! off and bounded before it sees them, and it runs on a stack that fits the bound.

use std::{ops::Range, thread};

use kdl::{KdlDiagnostic, KdlDocument, KdlNode};

use crate::{
    Code,
    reading::{Problem, Reading},
    source::{FileId, Span},
};

/// Deepest nesting of `{`; the language itself needs four. Parsing `/- {` takes time exponential in it.
const DEPTH_MAX: usize = 8;
/// Most `/-` in a row; parsing takes time cubic in it.
const SLASHDASHES_MAX: usize = 4;
/// Longest top-level block in bytes.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// Stack of the parser: enough for a mistake at every other byte of the longest block.
const STACK_BYTES: usize = 256 << 20;

/// A top-level node and where its offsets count from.
pub(crate) struct TopNode {
    pub(crate) base: Base,
    pub(crate) node: KdlNode,
}

/// Where the offsets of a parsed block count from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    pub(crate) file: FileId,
    pub(crate) offset: usize,
}

impl Base {
    pub(crate) fn span(self, start: usize, len: usize) -> Span {
        let start = self.offset + start;
        Span { file: self.file, start, end: start + len }
    }
}

/// The nodes of all blocks of `file` that are sound; errors go to `reading`.
pub(crate) fn parse(reading: &Reading<'_>, file: FileId) -> Vec<TopNode> {
    let text = reading.text(file);
    let blocks: Vec<Block> = Blocks::new(&text)
        .filter(|block| {
            block.fault.iter().for_each(|fault| report_fault(reading, file, fault));
            block.fault.is_none() && !text[block.range.clone()].trim().is_empty()
        })
        .collect();
    let Some(parsed) = parse_blocks(&text, &blocks) else {
        let problem = Problem::new(Code::Syntax, "the parser gave up on this file");
        let help = "leave blocks out, one after the other, to find the one it cannot take";
        reading.error(Base { file, offset: 0 }.span(0, 1), problem.help(help));
        return Vec::new();
    };
    let mut nodes = Vec::new();
    for (block, parsed) in blocks.iter().zip(parsed) {
        let base = Base { file, offset: block.range.start };
        match parsed {
            Ok(document) => {
                nodes.extend(
                    document.nodes().iter().map(|node| TopNode { base, node: node.clone() }),
                );
            }
            Err(error) => report_syntax(reading, base, (&text, block), &error.diagnostics),
        }
    }
    nodes
}

type Parsed = Result<KdlDocument, kdl::KdlError>;

/// `None` when the parser panicked.
fn parse_blocks(text: &str, blocks: &[Block]) -> Option<Vec<Parsed>> {
    let parse_all = || -> Vec<Parsed> {
        let block = |block: &Block| KdlDocument::parse_v2(&text[block.range.clone()]);
        blocks.iter().map(block).collect()
    };
    thread::scope(|scope| {
        let parser = thread::Builder::new().name("kdl".to_owned()).stack_size(STACK_BYTES);
        match parser.spawn_scoped(scope, parse_all) {
            Ok(handle) => handle.join().ok(),
            // No thread to be had: the stack at hand does for every text without many mistakes.
            Err(_) => Some(parse_all()),
        }
    })
}

fn report_syntax(
    reading: &Reading<'_>,
    base: Base,
    (text, block): (&str, &Block),
    found: &[KdlDiagnostic],
) {
    let text = &text[block.range.clone()];
    let mut complaints: Vec<Complaint> = Vec::new();
    for diagnostic in found {
        let start = diagnostic.span.offset().min(text.len());
        let is_echo =
            diagnostic.message.as_deref() == Some("Closing '}' was not found after nodes");
        if !is_echo && complaints.last().is_none_or(|last| last.start != start) {
            complaints.push(Complaint::new(text, start, diagnostic));
        }
    }
    // After a mistake the parser loses count of braces that are all there, or reads values as names.
    let is_root = |complaint: &&Complaint| complaint.kind == ComplaintKind::Root;
    if block.is_balanced && complaints.iter().any(|complaint| is_root(&complaint)) {
        complaints.retain(|complaint| complaint.kind == ComplaintKind::Root);
    }
    for Complaint { start, len, kind: _, problem } in complaints {
        reading.error(base.span(start, len), problem);
    }
}

/// One mistake of a block.
struct Complaint {
    start: usize,
    len: usize,
    kind: ComplaintKind,
    problem: Problem,
}

#[derive(Clone, Copy, PartialEq)]
enum ComplaintKind {
    /// A mistake by itself.
    Root,
    /// May follow from one before.
    Consequence,
}

impl Complaint {
    fn new(block: &str, start: usize, diagnostic: &KdlDiagnostic) -> Self {
        let written = word_at(block, start);
        let len = diagnostic.span.len().max(written.len()).max(1);
        let (kind, problem) = syntax_problem(written, diagnostic);
        Self { start, len, kind, problem }
    }
}

/// What stands at `start`, up to the next blank, quote or brace.
fn word_at(block: &str, start: usize) -> &str {
    let rest = block.get(start..).unwrap_or_default();
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '{' | '}' | ';' | '=' | '(' | ')');
    let first = rest.chars().next().map_or(0, char::len_utf8);
    let end = rest[first..].find(ends).map_or(rest.len(), |at| at + first);
    &rest[..end]
}

fn syntax_problem(written: &str, diagnostic: &KdlDiagnostic) -> (ComplaintKind, Problem) {
    use ComplaintKind::{Consequence, Root};
    let problem = |message: String| Problem::new(Code::Syntax, message);
    let complaint = diagnostic.message.as_deref().unwrap_or("this is not KDL");
    if matches!(written, "true" | "false" | "null" | "inf" | "nan") {
        let help = format!("write `#{written}`, or \"{written}\" for the text");
        let message = format!("`{written}` is neither a value nor a name in KDL 2");
        return (Root, problem(message).help(help));
    }
    if written.starts_with('}') {
        return (Consequence, problem("this `}` closes nothing".to_owned()).help("remove it"));
    }
    if written.starts_with("/*") {
        return (Root, problem("this comment has no end".to_owned()).help("add `*/`"));
    }
    if written.starts_with('=') {
        let help = "values follow a node without sign: `workers 2`; properties are `name=value`";
        return (Root, problem("this `=` belongs to no property".to_owned()).help(help));
    }
    let looks_bare = written.len() > 1
        && written.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '*'));
    if looks_bare {
        let help = format!("write \"{written}\"");
        return (Root, problem(format!("`{written}` needs quotes")).help(help));
    }
    if complaint.starts_with("No closing '}'") {
        let message = "this block has no end".to_owned();
        return (Consequence, problem(message).help("add the `}` that closes it"));
    }
    if complaint.starts_with("Unexpected newline in single-line") {
        let help = "add the closing quote; text of several lines stands between `\"\"\"`";
        return (Root, problem("this text has no end".to_owned()).help(help));
    }
    if complaint.starts_with("Found child block") {
        let help = "write the name in front of its `{`, on the same line";
        return (Root, problem("this block belongs to no node".to_owned()).help(help));
    }
    if complaint == "Expected end of document" {
        let message = format!("`{written}` cannot stand here");
        return (Root, problem(message).help("remove it, or put it in quotes"));
    }
    let kind = if complaint == "Found invalid node name" { Consequence } else { Root };
    let problem = problem(lowered(complaint));
    match diagnostic.help.as_deref() {
        Some(help) => (kind, problem.help(lowered(help))),
        None => (kind, problem.help("compare with https://kdl.dev/spec")),
    }
}

fn lowered(sentence: &str) -> String {
    let mut chars = sentence.chars();
    let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    format!("{first}{}", chars.as_str().trim_end_matches('.'))
}

struct Fault {
    start: usize,
    len: usize,
    kind: FaultKind,
}

enum FaultKind {
    Depth,
    Slashdashes,
    Length,
}

fn report_fault(reading: &Reading<'_>, file: FileId, fault: &Fault) {
    let span = Base { file, offset: 0 }.span(fault.start, fault.len);
    let problem = match fault.kind {
        FaultKind::Depth => {
            Problem::new(Code::TooLarge, format!("blocks nest deeper than {DEPTH_MAX}"))
                .help("no setting lies that deep; look for a `}` that is missing above")
        }
        FaultKind::Slashdashes => {
            Problem::new(Code::TooLarge, format!("more than {SLASHDASHES_MAX} `/-` in a row"))
                .help("one comments a node or value out; remove the others")
        }
        FaultKind::Length => Problem::new(Code::TooLarge, "this block is longer than 64KiB")
            .help("look for a `}` or a quote that is missing, or split the block"),
    };
    reading.error(span, problem);
}

struct Block {
    range: Range<usize>,
    /// Whether its braces match.
    is_balanced: bool,
    fault: Option<Fault>,
}

/// Splits a text after each line or `;` that ends a top-level node.
struct Blocks<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Blocks<'t> {
    fn new(text: &'t str) -> Self {
        // KDL allows a byte order mark at the very start.
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, bytes: text.as_bytes(), at }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let start = self.at;
        if start >= self.text.len() {
            return None;
        }
        let shape = self.skip_node();
        let range = start..self.at;
        let is_balanced = !shape.is_unbalanced;
        Some(Block { fault: self.fault(&range, shape), is_balanced, range })
    }
}

/// What a block looks like from afar.
#[derive(Clone, Copy, Default)]
struct Shape {
    /// Where braces first nest too deep.
    too_deep: Option<usize>,
    /// Where too many `/-` first follow each other.
    too_many_slashdashes: Option<usize>,
    is_unbalanced: bool,
}

/// What keeps a line end from ending a node.
#[derive(Clone, Copy, PartialEq)]
enum Pending {
    Nothing,
    /// `\` at the end of the line.
    Line,
    /// So many `/-` in a row, and nothing yet to comment out.
    Slashdashes(usize),
}

impl Blocks<'_> {
    fn fault(&self, range: &Range<usize>, shape: Shape) -> Option<Fault> {
        if let Some(start) = shape.too_deep {
            return Some(Fault { start, len: 1, kind: FaultKind::Depth });
        }
        if let Some(start) = shape.too_many_slashdashes {
            return Some(Fault { start, len: 2, kind: FaultKind::Slashdashes });
        }
        if range.len() > BLOCK_BYTES_MAX {
            let block = &self.text[range.clone()];
            let start = range.start + (block.len() - block.trim_start().len());
            let len = word_at(self.text, start).len();
            return Some(Fault { start, len, kind: FaultKind::Length });
        }
        None
    }

    /// Moves behind the next node and its end.
    fn skip_node(&mut self) -> Shape {
        let mut shape = Shape::default();
        let mut depth = 0_usize;
        let mut pending = Pending::Nothing;
        while let Some(byte) = self.bytes.get(self.at).copied() {
            let start = self.at;
            match byte {
                b'/' if self.skip_comment() => continue,
                b'/' if self.starts_with(b"/-") => {
                    self.at += 2;
                    let before = if let Pending::Slashdashes(count) = pending { count } else { 0 };
                    if before >= SLASHDASHES_MAX {
                        shape.too_many_slashdashes.get_or_insert(start);
                    }
                    pending = Pending::Slashdashes(before + 1);
                    continue;
                }
                b'\\' if self.rest_of_line_is_blank() => {
                    self.at += 1;
                    pending = Pending::Line;
                    continue;
                }
                b'\n' | b'\r' | b';' if depth == 0 && pending == Pending::Nothing => {
                    self.at += 1;
                    return shape;
                }
                b'\n' => {
                    self.at += 1;
                    pending = if pending == Pending::Line { Pending::Nothing } else { pending };
                    continue;
                }
                b' ' | b'\t' | b'\r' => {
                    self.at += 1;
                    continue;
                }
                b'"' => self.skip_quoted(),
                b'#' => self.skip_hash(),
                b'{' => {
                    self.at += 1;
                    depth += 1;
                    if depth > DEPTH_MAX {
                        shape.too_deep.get_or_insert(start);
                    }
                }
                b'}' => {
                    self.at += 1;
                    shape.is_unbalanced |= depth == 0;
                    depth = depth.saturating_sub(1);
                }
                _ => self.at += 1,
            }
            pending = Pending::Nothing;
        }
        shape.is_unbalanced |= depth > 0;
        shape
    }

    fn starts_with(&self, prefix: &[u8]) -> bool {
        self.bytes[self.at..].starts_with(prefix)
    }

    /// Whether nothing but blanks and a comment follow a `\` on its line.
    fn rest_of_line_is_blank(&self) -> bool {
        let rest = self.text[self.at + 1..].lines().next().unwrap_or_default().trim();
        rest.is_empty() || rest.starts_with("//") || rest.starts_with("/*")
    }

    fn skip_comment(&mut self) -> bool {
        if self.starts_with(b"//") {
            let rest = &self.bytes[self.at..];
            self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            return true;
        }
        if !self.starts_with(b"/*") {
            return false;
        }
        let mut open = 0_usize;
        while self.at < self.bytes.len() {
            if self.starts_with(b"/*") {
                open += 1;
                self.at += 2;
            } else if self.starts_with(b"*/") {
                open -= 1;
                self.at += 2;
            } else {
                self.at += 1;
            }
            if open == 0 {
                break;
            }
        }
        true
    }

    fn skip_quoted(&mut self) {
        let is_multi_line = self.starts_with(b"\"\"\"");
        self.at += if is_multi_line { 3 } else { 1 };
        while let Some(byte) = self.bytes.get(self.at).copied() {
            match byte {
                b'\\' => self.skip_escape(),
                b'"' if !is_multi_line => {
                    self.at += 1;
                    return;
                }
                b'"' if self.starts_with(b"\"\"\"") => {
                    self.at += 3;
                    return;
                }
                // The quote is missing; the parser says so.
                b'\n' if !is_multi_line => return,
                _ => self.at += 1,
            }
        }
    }

    /// `\n` and the like, or `\` with all the blanks and line ends behind it.
    fn skip_escape(&mut self) {
        self.at += 1;
        let blanks = self.bytes[self.at..].iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.at = (self.at + blanks.max(1)).min(self.bytes.len());
    }

    /// `#true`, or a raw string such as `#"…"#`.
    fn skip_hash(&mut self) {
        let rest = &self.bytes[self.at..];
        let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
        if rest.get(hashes) != Some(&b'"') {
            self.at += hashes;
            return;
        }
        let is_multi_line = rest[hashes..].starts_with(b"\"\"\"");
        let quotes = if is_multi_line { 3 } else { 1 };
        let closing = [&b"\"\"\""[..quotes], &rest[..hashes]].concat();
        let body = &rest[hashes + quotes..];
        let end = body.windows(closing.len()).position(|window| window == closing);
        let line = body.iter().position(|byte| *byte == b'\n').unwrap_or(body.len());
        let skipped = match end {
            Some(end) if is_multi_line || end <= line => end + closing.len(),
            _ if is_multi_line => body.len(),
            _ => line,
        };
        self.at += hashes + quotes + skipped;
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let blocks: Vec<&str> = Blocks::new(text).map(|block| &text[block.range]).collect();
        assert_eq!(blocks.concat(), text.trim_start_matches('\u{feff}'));
        expected.assert_eq(&format!("{blocks:?}"));
    }

    #[test]
    fn a_block_ends_where_its_node_ends() {
        check("a 1\nb { c\n}\nd", expect![[r#"["a 1\n", "b { c\n}\n", "d"]"#]]);
        check("a;b \"}\n\" c", expect![[r#"["a;", "b \"}\n", "\" c"]"#]]);
        check("a /* \n { */ b\nc", expect![[r#"["a /* \n { */ b\n", "c"]"#]]);
        check("a // {\nb", expect![[r#"["a // {\n", "b"]"#]]);
        check("/-\n\na {\n}\nb", expect![[r#"["/-\n\na {\n}\n", "b"]"#]]);
        check("a \\\n  b\nc", expect![[r#"["a \\\n  b\n", "c"]"#]]);
        check("a \"\"\"\n  }\n  \"\"\"\nb", expect![[r#"["a \"\"\"\n  }\n  \"\"\"\n", "b"]"#]]);
        check("a #\"\"{\"#\nb", expect![[r##"["a #\"\"{\"#\n", "b"]"##]]);
        check("a \"x\\\n  y\" {\n}\nb", expect![[r#"["a \"x\\\n  y\" {\n}\n", "b"]"#]]);
        check("\u{feff}a\nb", expect![[r#"["a\n", "b"]"#]]);
    }
}
