//! Files as directives, and directives as arguments.

use std::borrow::Cow;

use super::report::{Fault, fault};

/// The longest directive, with all of its lines.
const DIRECTIVE_BYTES_MAX: usize = 1 << 20;

/// A directive with its continuation lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// The line where it begins, from 1.
    pub line: u32,
    /// Name and arguments, or what is wrong with it.
    pub text: Result<String, Fault>,
}

/// Cuts a file into directives; comments and empty lines are left out.
pub(super) fn directives(bytes: &[u8]) -> impl Iterator<Item = Directive> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut lines = bytes.split(|&byte| byte == b'\n').zip(1..);
    std::iter::from_fn(move || {
        loop {
            let (first, line) = lines.next()?;
            let mut text = first.trim_ascii_start().to_vec();
            if is_whole_comment(&text) {
                continue;
            }
            while continues(&mut text) {
                let Some((next, _)) = lines.next() else { break };
                text.extend_from_slice(next);
            }
            let text = text.trim_ascii_end();
            if !text.is_empty() && text[0] != b'#' {
                return Some(Directive { line, text: readable(text) });
            }
        }
    })
}

/// A comment ends with its line, unless it is a directive made a comment: that ends where the directive would.
fn is_whole_comment(line: &[u8]) -> bool {
    let Some(comment) = line.strip_prefix(b"#") else { return false };
    let start = comment.trim_ascii_start();
    !start.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"sec"))
}

/// Removes the line's end; returns whether a backslash was there.
fn continues(line: &mut Vec<u8>) -> bool {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let continues = line.last() == Some(&b'\\');
    if continues {
        line.pop();
    }
    continues
}

fn readable(text: &[u8]) -> Result<String, Fault> {
    if text.len() > DIRECTIVE_BYTES_MAX {
        return fault("a directive of more than 1 MiB", "cut it into several");
    }
    let text = std::str::from_utf8(text).map_err(|_| Fault {
        message: "bytes that are not UTF-8".to_owned(),
        remedy: "save the file as UTF-8, or write bytes as \\xHH in a pattern".to_owned(),
    })?;
    Ok(text.to_owned())
}

/// An argument of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// Between the quotes, as written.
    pub raw: &'a str,
    /// The quote around it, if any.
    pub quote: Option<char>,
}

impl<'a> Word<'a> {
    /// The text that is meant: without the backslash before the quote that surrounds it.
    pub(super) fn text(self) -> Cow<'a, str> {
        match self.quote {
            Some(quote) => without_escapes(self.raw, quote),
            None => Cow::Borrowed(self.raw),
        }
    }
}

/// Takes the backslash away before each `quote` that it escapes; other backslashes stay.
pub(super) fn without_escapes(raw: &str, quote: char) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        match (character, characters.as_str().chars().next()) {
            ('\\', Some(next)) => {
                if next != quote {
                    text.push('\\');
                }
                text.push(next);
                characters.next();
            }
            _ => text.push(character),
        }
    }
    Cow::Owned(text)
}

/// The position of the first `quote` without a backslash before it.
pub(super) fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// The arguments of a directive, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Words<'a>(pub &'a str);

impl<'a> Words<'a> {
    /// Returns the next argument, quoted or up to white space.
    pub(super) fn next(&mut self) -> Result<Option<Word<'a>>, Fault> {
        let text = self.0.trim_start();
        let Some(first) = text.chars().next() else { return Ok(None) };
        if !matches!(first, '"' | '\'') {
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            self.0 = &text[end..];
            return Ok(Some(Word { raw: &text[..end], quote: None }));
        }
        let inside = &text[1..];
        let Some(end) = closing(inside, first) else {
            return fault(
                format!("a quote {first} that is not closed"),
                format!("close it, or write \\{first} inside"),
            );
        };
        self.0 = &inside[end + 1..];
        Ok(Some(Word { raw: &inside[..end], quote: Some(first) }))
    }

    /// Returns all arguments that are left.
    pub(super) fn all(mut self) -> Result<Vec<Word<'a>>, Fault> {
        let mut words = Vec::new();
        while let Some(word) = self.next()? {
            words.push(word);
        }
        Ok(words)
    }

    /// Returns the only argument.
    pub(super) fn only(self) -> Result<Word<'a>, Fault> {
        match self.all()?.as_slice() {
            [word] => Ok(*word),
            [] => fault("no argument", "write one"),
            words => fault(
                format!("{} arguments instead of one", words.len()),
                "put quotes around what belongs together",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(u32, &str)]) {
        let found: Vec<_> = directives(text.as_bytes())
            .map(|directive| (directive.line, directive.text.expect("the text is UTF-8")))
            .collect();
        let found: Vec<_> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn lines_become_directives() {
        check("", &[]);
        check("A 1\nB 2", &[(1, "A 1"), (2, "B 2")]);
        check("A \\\n  1\nB", &[(1, "A   1"), (3, "B")]);
        check("A \\\r\n1\r\n\r\nB\r\n", &[(1, "A 1"), (4, "B")]);
        check("\u{FEFF}A", &[(1, "A")]);
        check("A \\", &[(1, "A")]);
    }

    #[test]
    fn a_comment_goes_on_only_where_it_is_a_directive() {
        check("# a \\\nB", &[(2, "B")]);
        check("#SecRule A \\\n  \"b\" \\\n  \"id:1\"\nB", &[(4, "B")]);
        check("  # SecRule A \\\n  \"b\"\nB", &[(3, "B")]);
        check("A # b", &[(1, "A # b")]);
    }

    #[test]
    fn bytes_are_no_text() {
        let found: Vec<_> = directives(b"# \xFF\nA \xFF\nB").collect();
        assert!(found[0].text.is_err() && found[0].line == 2);
        assert_eq!(found[1].text.as_deref(), Ok("B"));
    }

    #[test]
    fn arguments_are_quoted_or_not() {
        let words = |text| {
            Words(text)
                .all()
                .map(|words| words.iter().map(|word| word.text().into_owned()).collect::<Vec<_>>())
        };
        let cases: &[(&str, &[&str])] = &[
            (r#"ARGS "@rx a b" "id:1""#, &["ARGS", "@rx a b", "id:1"]),
            (r#"ARGS'x "a \"b\" c\d" '@rx "'"#, &["ARGS'x", r#"a "b" c\d"#, "@rx \""]),
            (r#""a\\" b"#, &[r"a\\", "b"]),
            (r#""a""b""#, &["a", "b"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(
                words(text).as_deref(),
                Ok(&expected.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
        assert!(words(r#""a\""#).is_err());
    }
}
