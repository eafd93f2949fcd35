//! White space, null bytes, and what shells take for them.

use super::rewrite::{Edit, is_one_of, position, remove_all, rewrite, run};

/// What C's `isspace` says yes to.
pub(super) const fn is_space(byte: u8) -> bool {
    (byte == b' ') | (byte.wrapping_sub(b'\t') < 5)
}

/// Makes each run of white space one space.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(
        input,
        out,
        |text| position(text, is_space),
        |text| match run(text, is_space) {
            1 if text[0] == b' ' => None,
            len => Some(Edit::to(b' ', len)),
        },
    )
}

/// Removes white space and, as bytes, what a non-breaking space consists of.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    remove_all(input, out, |byte| is_space(byte) | is_one_of(byte, [0xa0, 0xc2]))
}

pub(super) fn remove_nulls(input: &[u8], out: &mut Vec<u8>) -> bool {
    remove_all(input, out, |byte| byte == 0)
}

pub(super) fn trim(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(input, without_tail(without_head(input)), out)
}

pub(super) fn trim_left(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(input, without_head(input), out)
}

pub(super) fn trim_right(input: &[u8], out: &mut Vec<u8>) -> bool {
    keep(input, without_tail(input), out)
}

fn without_head(text: &[u8]) -> &[u8] {
    &text[run(text, is_space)..]
}

fn without_tail(text: &[u8]) -> &[u8] {
    let len = text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    &text[..len]
}

fn keep(input: &[u8], part: &[u8], out: &mut Vec<u8>) -> bool {
    let changed = part.len() < input.len();
    if changed {
        out.extend_from_slice(part);
    }
    changed
}

/// Undoes what a shell's reader ignores: quotes and escapes go, separators are one space, but none before `/` and `(`;
/// lower case.
pub(super) fn command_line(input: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = first_change(input) else { return false };
    out.reserve(input.len());
    out.extend_from_slice(&input[..first]);
    // A space before the first change is a single one that is written already.
    let mut after_space = input[..first].ends_with(b" ");
    for byte in &input[first..] {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !after_space {
                    out.push(b' ');
                }
                after_space = true;
            }
            b'/' | b'(' if after_space => {
                out.pop();
                out.push(*byte);
                after_space = false;
            }
            _ => {
                out.push(byte.to_ascii_lowercase());
                after_space = false;
            }
        }
    }
    true
}

/// Where a command line is first changed: at a byte that never stays, or at a space that another byte swallows.
fn first_change(input: &[u8]) -> Option<usize> {
    let never_stays = |byte: u8| byte.is_ascii_uppercase() | is_one_of(byte, *b"\"'\\^,;\t\r\n");
    let mut from = 0;
    loop {
        let at = from + position(&input[from..], |byte| (byte == b' ') | never_stays(byte))?;
        let swallowed = matches!(input.get(at + 1), Some(b' ' | b'/' | b'('));
        if input[at] != b' ' || swallowed {
            return Some(at);
        }
        from = at + 1;
    }
}
