use crate::rule::Processor;

/// Returns how a body of this content type is read; `None`: nobody here reads it.
///
/// ```
/// use selvedge_waf::{body::processor_for, rule::Processor};
///
/// assert_eq!(processor_for(b"application/problem+JSON; charset=utf-8"), Some(Processor::Json));
/// assert_eq!(processor_for(b"text/plain"), None);
/// ```
pub fn processor_for(content_type: &[u8]) -> Option<Processor> {
    let end = content_type.iter().position(|byte| matches!(byte, b';' | b','));
    let essence = content_type[..end.unwrap_or(content_type.len())].trim_ascii();
    let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
    let ends_in = |suffix: &str| {
        let start = essence.len().checked_sub(suffix.len());
        start.is_some_and(|start| essence[start..].eq_ignore_ascii_case(suffix.as_bytes()))
    };
    if is("application/x-www-form-urlencoded") {
        Some(Processor::UrlEncoded)
    } else if is("multipart/form-data") {
        Some(Processor::Multipart)
    } else if is("application/graphql") {
        Some(Processor::GraphQl)
    } else if is("application/json") || is("text/json") || ends_in("+json") {
        Some(Processor::Json)
    } else if is("application/xml") || is("text/xml") || ends_in("+xml") {
        Some(Processor::Xml)
    } else {
        None
    }
}

/// Returns the value of a content type's parameter, without quotes; the first, where it is said twice.
///
/// Quotes are honoured, so that a semicolon in one ends nothing; backslashes in quotes stay.
pub fn parameter<'a>(content_type: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = after_semicolon(content_type)?;
    loop {
        let equals = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let (key, value) = (rest[..equals].trim_ascii(), &rest[equals + 1..]);
        if rest[equals] == b';' {
            rest = value;
            continue;
        }
        if key.eq_ignore_ascii_case(name.as_bytes()) {
            let end = value.len() - after_semicolon(value).map_or(0, |rest| rest.len() + 1);
            return Some(unquoted(value[..end].trim_ascii()));
        }
        rest = after_semicolon(value)?;
    }
}

/// Returns what follows the first semicolon that is not in quotes.
fn after_semicolon(text: &[u8]) -> Option<&[u8]> {
    let mut quoted = false;
    let end = text.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b';' && !quoted
    })?;
    Some(&text[end + 1..])
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").map_or(value, |value| value.strip_suffix(b"\"").unwrap_or(value))
}
