use memchr::memchr;

use super::{Fault, Multipart, Problem};

/// ModSecurity reads no content type that is longer.
const CONTENT_TYPE_BYTES_MAX: usize = 1_024;

/// Finds the boundary in a content type, without the dashes before it, and notes what readers disagree about. Without one, the
/// problem is in the outcome.
pub(super) fn find<'a>(content_type: &'a [u8], outcome: &mut Multipart) -> Option<&'a [u8]> {
    let mut note = |kind, message| {
        outcome.problem.get_or_insert(Problem::new(0, kind, message));
    };
    if content_type.len() > CONTENT_TYPE_BYTES_MAX {
        note(Fault::TooLong, "the content type is too long");
        return None;
    }
    let Some(parameter) = next_parameter(content_type, 0) else {
        note(Fault::Malformed, "the content type has no boundary");
        return None;
    };
    if next_parameter(content_type, parameter.value).is_some() {
        note(Fault::Malformed, "the content type has two boundaries");
    }
    let raw = &content_type[parameter.value..];
    let value = raw.trim_ascii_start();
    let boundary = boundary(value);
    if let Some(message) = fault(value, boundary) {
        note(Fault::Malformed, message);
    }
    outcome.missing_semicolon = !content_type[..parameter.start].trim_ascii_end().ends_with(b";");
    outcome.boundary_quoted = value.starts_with(b"\"");
    outcome.boundary_whitespace = parameter.is_spaced || value.len() < raw.len();
    Some(boundary).filter(|boundary| !boundary.is_empty())
}

/// Returns what is in quotes, or before the next parameter.
fn boundary(value: &[u8]) -> &[u8] {
    match value.strip_prefix(b"\"") {
        Some(rest) => &rest[..memchr(b'"', rest).unwrap_or(rest.len())],
        None => unquoted(value),
    }
}

fn fault(value: &[u8], boundary: &[u8]) -> Option<&'static str> {
    let is_half_quoted = match value.strip_prefix(b"\"") {
        Some(rest) => !rest.contains(&b'"'),
        None => boundary.contains(&b'"'),
    };
    if is_half_quoted {
        Some("the boundary is in one quote")
    } else if boundary.is_empty() {
        Some("the boundary is empty")
    } else if !boundary.iter().all(is_boundary_byte) || boundary.ends_with(b" ") {
        Some("the boundary has a character that none has")
    } else {
        None
    }
}

struct Parameter {
    start: usize,
    value: usize,
    is_spaced: bool,
}

/// Finds the word and an equals sign, wherever it is: some readers look for no more than that.
fn next_parameter(content_type: &[u8], from: usize) -> Option<Parameter> {
    const NAME: &[u8] = b"boundary";
    (from..content_type.len()).find_map(|start| {
        let word = content_type.get(start..start + NAME.len())?;
        if !word.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let rest = content_type[start + NAME.len()..].trim_ascii_start();
        let value = content_type.len() - rest.strip_prefix(b"=")?.len();
        let is_spaced = value > start + NAME.len() + 1;
        Some(Parameter { start, value, is_spaced })
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|byte| matches!(byte, b';' | b','));
    value[..end.unwrap_or(value.len())].trim_ascii_end()
}

/// RFC 2046, section 5.1.1.
fn is_boundary_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte)
}
