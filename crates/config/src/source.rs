//! Texts that were read, and places in them.

use std::{path::PathBuf, sync::Arc};

/// Which of the texts of one load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(pub(crate) usize);

/// A range of bytes in one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) file: FileId,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> Spanned<T> {
    pub(crate) fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// What was not written stays out; what was written wrong (and reported) ends it all.
pub(crate) fn sound<T>(written: Option<Option<T>>) -> Option<Option<T>> {
    match written {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

/// A place as people read it: file, line, column and the line itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File, as named on the command line or in an include.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters underlined; at least one, never past the end of the line.
    pub width: usize,
    /// The line, without its end.
    pub text: String,
}

/// One text with its line starts.
#[derive(Debug)]
pub(crate) struct Source {
    /// As shown to people.
    pub(crate) name: Arc<str>,
    /// Absolute; what relative paths in it start from is its folder.
    pub(crate) path: PathBuf,
    pub(crate) text: Arc<str>,
    line_starts: Vec<usize>,
}

impl Source {
    pub(crate) fn new(name: &str, path: PathBuf, text: &str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();
        Self { name: name.into(), path, text: text.into(), line_starts }
    }

    /// Line of a byte offset, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// Where `span` starts, with its first line.
    pub(crate) fn place(&self, span: Span) -> Place {
        let start = floor_boundary(&self.text, span.start);
        let line = self.line(start);
        let line_start = self.line_starts[line - 1];
        let text = self.text[line_start..].split('\n').next().unwrap_or_default();
        let text = text.trim_end_matches('\r');
        let column = self.text[line_start..start].chars().count();
        let end = floor_boundary(&self.text, span.end).min(line_start + text.len()).max(start);
        let width = self.text[start..end].chars().count().max(1);
        Place { file: self.name.clone(), line, column: column + 1, width, text: text.to_owned() }
    }
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, range: std::ops::Range<usize>, expected: (usize, usize, usize, &str)) {
        let source = Source::new("x.kdl", PathBuf::new(), text);
        let place = source.place(Span { file: FileId(0), start: range.start, end: range.end });
        assert_eq!((place.line, place.column, place.width, place.text.as_str()), expected);
    }

    #[test]
    fn places_count_characters_and_stay_on_their_line() {
        check("abc\ndéf", 5..8, (2, 2, 2, "déf"));
        check("abc\ndéf", 7..8, (2, 3, 1, "déf"));
        check("abc\r\nd", 1..6, (1, 2, 2, "abc"));
        check("", 0..9, (1, 1, 1, ""));
        check("a\n", 2..2, (2, 1, 1, ""));
    }
}
