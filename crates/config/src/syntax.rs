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

/// Deepest nesting of `{`; the language itself needs four.
const DEPTH_MAX: usize = 12;
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
    let blocks: Vec<Range<usize>> = Blocks::new(&text)
        .filter_map(|block| match block.fault {
            None => Some(block.range),
            Some(fault) => {
                report_fault(reading, file, &fault);
                None
            }
        })
        .collect();
    let mut nodes = Vec::new();
    for (block, parsed) in blocks.iter().zip(parse_blocks(&text, &blocks)) {
        let base = Base { file, offset: block.start };
        match parsed {
            Ok(document) => {
                nodes.extend(
                    document.nodes().iter().map(|node| TopNode { base, node: node.clone() }),
                );
            }
            Err(error) => {
                let block = &text[block.clone()];
                report_syntax(reading, base, block, &error.diagnostics);
            }
        }
    }
    nodes
}

type Parsed = Result<KdlDocument, kdl::KdlError>;

fn parse_blocks(text: &str, blocks: &[Range<usize>]) -> Vec<Parsed> {
    let parse_all = || -> Vec<Parsed> {
        blocks.iter().map(|block| KdlDocument::parse_v2(&text[block.clone()])).collect()
    };
    thread::scope(|scope| {
        let parser = thread::Builder::new().name("kdl".to_owned()).stack_size(STACK_BYTES);
        match parser.spawn_scoped(scope, parse_all) {
            Ok(handle) => handle.join().expect("the KDL parser does not panic"),
            // No thread to be had: the stack at hand does for every text without many mistakes.
            Err(_) => parse_all(),
        }
    })
}

fn report_syntax(reading: &Reading<'_>, base: Base, block: &str, found: &[KdlDiagnostic]) {
    let mut reported = None;
    for diagnostic in found {
        let start = diagnostic.span.offset().min(block.len());
        let is_echo =
            diagnostic.message.as_deref() == Some("Closing '}' was not found after nodes");
        if is_echo || reported == Some(start) {
            continue;
        }
        reported = Some(start);
        let written = word_at(block, start);
        let len = diagnostic.span.len().max(written.len()).max(1);
        reading.error(base.span(start, len), syntax_problem(written, diagnostic));
    }
    if reported.is_none() {
        reading.error(base.span(0, block.len()), Problem::new(Code::Syntax, "this is not KDL"));
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

fn syntax_problem(written: &str, diagnostic: &KdlDiagnostic) -> Problem {
    let problem = |message: String| Problem::new(Code::Syntax, message);
    if matches!(written, "true" | "false" | "null" | "inf" | "nan") {
        return problem(format!("`{written}` is neither a value nor a name in KDL 2"))
            .help(format!("write `#{written}`, or \"{written}\" for the text"));
    }
    if written.starts_with('}') {
        return problem("this `}` closes nothing".to_owned()).help("remove it");
    }
    if written.starts_with('\'') {
        return problem("text stands in double quotes".to_owned())
            .help(format!("write \"{}\"", written.trim_matches('\'')));
    }
    let looks_bare = written.len() > 1
        && written.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '*'));
    let complaint = diagnostic.message.as_deref().unwrap_or("this is not KDL");
    if looks_bare && !complaint.starts_with("Found child block") {
        return problem(format!("`{written}` needs quotes")).help(format!("write \"{written}\""));
    }
    let problem = problem(lowered(complaint));
    match diagnostic.help.as_deref() {
        Some(help) => problem.help(lowered(help)),
        None if complaint.starts_with("No closing '}'") => {
            problem.help("add the `}` that ends this block")
        }
        None => problem,
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
    TooDeep,
    TooLong,
}

fn report_fault(reading: &Reading<'_>, file: FileId, fault: &Fault) {
    let span = Base { file, offset: 0 }.span(fault.start, fault.len);
    let problem = match fault.kind {
        FaultKind::TooDeep => {
            Problem::new(Code::TooLarge, format!("blocks nest deeper than {DEPTH_MAX}"))
                .help("no setting lies that deep; look for a `}` that is missing above")
        }
        FaultKind::TooLong => Problem::new(Code::TooLarge, "this block is longer than 64KiB")
            .help("look for a `}` or a quote that is missing, or split the block"),
    };
    reading.error(span, problem);
}

struct Block {
    range: Range<usize>,
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
        let deepest = self.skip_node();
        let range = start..self.at;
        Some(Block { fault: self.fault(&range, deepest), range })
    }
}

/// How deep a block goes, and where it goes deepest.
#[derive(Clone, Copy, Default)]
struct Deepest {
    depth: usize,
    at: usize,
}

impl Blocks<'_> {
    fn fault(&self, range: &Range<usize>, deepest: Deepest) -> Option<Fault> {
        if deepest.depth > DEPTH_MAX {
            return Some(Fault { start: deepest.at, len: 1, kind: FaultKind::TooDeep });
        }
        if range.len() > BLOCK_BYTES_MAX {
            let block = &self.text[range.clone()];
            let start = range.start + (block.len() - block.trim_start().len());
            let len = word_at(self.text, start).len();
            return Some(Fault { start, len, kind: FaultKind::TooLong });
        }
        None
    }

    /// Moves behind the next node and its end.
    fn skip_node(&mut self) -> Deepest {
        let mut deepest = Deepest::default();
        let mut depth = 0_usize;
        // A line end ends nothing after `\`, nor between `/-` and what it comments out.
        let mut continues = false;
        while let Some(byte) = self.bytes.get(self.at).copied() {
            match byte {
                b'/' if self.skip_comment() => continue,
                b'/' if self.starts_with(b"/-") => {
                    continues = true;
                    self.at += 2;
                    continue;
                }
                b'"' => self.skip_quoted(),
                b'#' => self.skip_hash(),
                b'\\' => {
                    continues = self.rest_of_line_is_blank();
                    self.at += 1;
                    continue;
                }
                b'\n' | b'\r' | b';' if depth == 0 && !continues => {
                    self.at += 1;
                    return deepest;
                }
                b'\n' | b' ' | b'\t' | b'\r' => {
                    self.at += 1;
                    continues &= byte != b'\n' || self.slashdash_pending();
                    continue;
                }
                b'{' => {
                    depth += 1;
                    if depth > deepest.depth {
                        deepest = Deepest { depth, at: self.at };
                    }
                    self.at += 1;
                }
                b'}' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            continues = false;
        }
        deepest
    }

    fn starts_with(&self, prefix: &[u8]) -> bool {
        self.bytes[self.at..].starts_with(prefix)
    }

    /// Whether all since the last `/-` is blank.
    fn slashdash_pending(&self) -> bool {
        self.text[..self.at].trim_end().ends_with("/-")
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
        self.at += blanks.max(1);
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
