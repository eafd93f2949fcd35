//! Text with variables in it.

use std::sync::Arc;

use super::{
    report::{Findings, NoteKind},
    target,
};
use crate::rule::{Piece, Text};

/// Reads `… %{tx.score} …`. A name that is no variable stays as it is written, and is noted.
pub(super) fn parse(raw: &str, found: &mut Findings) -> Text {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = raw;
    while let Some((before, name, after)) = next_macro(rest) {
        literal.push_str(before);
        match variable(name) {
            Some(piece) => {
                flush(&mut literal, &mut pieces);
                pieces.push(piece);
            }
            None => {
                let written = format!("%{{{name}}}");
                literal.push_str(&written);
                found.note(NoteKind::Unknown, written, "no such variable; it stays as it is");
            }
        }
        rest = after;
    }
    literal.push_str(rest);
    flush(&mut literal, &mut pieces);
    Text(pieces)
}

/// Whether there is a variable in the text, known or not.
pub(super) fn has_macro(raw: &str) -> bool {
    next_macro(raw).is_some()
}

/// Cuts the text at its first `%{name}`: before it, the name, after it. `%{2,3}` of a pattern is none.
fn next_macro(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("%{").map(|at| from + at) {
        let inside = &text[at + 2..];
        if inside.starts_with(|first: char| first.is_ascii_alphabetic()) {
            let end = inside.find('}')?;
            return Some((&text[..at], &inside[..end], &inside[end + 1..]));
        }
        from = at + 2;
    }
    None
}

fn variable(name: &str) -> Option<Piece> {
    let (name, key) = match name.split_once(['.', ':']) {
        Some((name, key)) => (name, Some(key)),
        None => (name, None),
    };
    let variable = target::variable(name)?;
    let fits = key.is_none_or(|key| variable.is_collection() && !key.is_empty());
    fits.then(|| Piece::Variable(variable, key.map(Arc::from)))
}

fn flush(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.as_str().into()));
        literal.clear();
    }
}
