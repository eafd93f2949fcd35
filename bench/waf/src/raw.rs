//! Requests out of the bytes of a connection, read as kindly as any server might.
//!
//! Test suites and recordings hold what a strict parser refuses; here it becomes a request all the same, so that rules
//! are asked about it.

use crate::record::{Kind, Request};

/// Reads a request. What is not there is empty; the body is all that follows the head.
pub fn request(bytes: &[u8], kind: Kind) -> Request {
    let (head, body) = split(bytes);
    let mut lines = head.split(|byte| *byte == b'\n').map(without_return);
    let (method, target, version) = request_line(lines.next().unwrap_or_default());
    Request { kind, method, target, version, fields: fields(lines), body: body.to_vec() }
}

/// Head and body.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = |mark: &[u8]| {
        let at = bytes.windows(mark.len()).position(|window| window == mark)?;
        Some((&bytes[..at], &bytes[at + mark.len()..]))
    };
    end(b"\r\n\r\n").or_else(|| end(b"\n\n")).unwrap_or((bytes, b""))
}

/// Method up to the first space, version behind the last one, and whatever lies between.
fn request_line(line: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let line = line.trim_ascii_start();
    let space = |byte: &u8| *byte == b' ';
    let Some(first) = line.iter().position(space) else {
        return (line.to_vec(), Vec::new(), Vec::new());
    };
    let (method, rest) = (&line[..first], &line[first + 1..]);
    match rest.iter().rposition(space) {
        Some(last) => (method.to_vec(), rest[..last].to_vec(), rest[last + 1..].to_vec()),
        None => (method.to_vec(), rest.to_vec(), Vec::new()),
    }
}

/// Names and values; a line that begins with white space goes on with the value before it.
fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        match (fields.last_mut(), line[0]) {
            (Some((_, value)), b' ' | b'\t') => {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
            _ => fields.extend(field(line)),
        }
    }
    fields
}

fn field(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((line[..colon].to_vec(), trimmed(&line[colon + 1..]).to_vec()))
}

/// Without spaces and tabs around it; other control bytes are for rules to see.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The body as a server takes it from the connection: what a length announces, chunks put together, or nothing.
pub fn framed(request: &mut Request) {
    let field = |name: &[u8]| {
        let found = request.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    };
    if field(b"transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
        // What does not come in chunks is shown to the rules as it is.
        if let Some(whole) = unchunked(&request.body) {
            request.body = whole;
        }
        return;
    }
    let length =
        field(b"content-length").and_then(|value| str::from_utf8(value).ok()?.parse().ok());
    request.body.truncate(length.unwrap_or(0));
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let digits = rest[..end].split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(str::from_utf8(digits.trim_ascii()).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        rest = &rest[end + 2..];
        whole.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, expected: &str) {
        let mut request = request(bytes.as_bytes(), Kind::Ordinary);
        framed(&mut request);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields =
            request.fields.iter().map(|(name, value)| format!("{}={}", text(name), text(value)));
        let parts = [&request.method, &request.target, &request.version].map(|part| text(part));
        let fields = fields.collect::<Vec<_>>().join(";");
        assert_eq!(format!("{}|{fields}|{}", parts.join("|"), text(&request.body)), expected);
    }

    #[test]
    fn whatever_was_sent_becomes_a_request() {
        check("GET /a HTTP/1.1\r\nHost: x \r\n\r\nrest", "GET|/a|HTTP/1.1|Host=x|");
        check("GET /a b c HTTP/1.1\nA:1\n B\n\n", "GET|/a b c|HTTP/1.1|A=1 B|");
        check("  GET / TEST\r\nno colon\r\n\r\n", "GET|/|TEST||");
        check("GET", "GET||||");
        check("", "||||");
    }

    #[test]
    fn bodies_are_what_their_framing_says() {
        check("P / H\r\nContent-Length: 3\r\n\r\nabcdef", "P|/|H|Content-Length=3|abc");
        check("P / H\r\nContent-Length: 9\r\n\r\nabc", "P|/|H|Content-Length=9|abc");
        check("P / H\r\nContent-Length: x\r\n\r\nabc", "P|/|H|Content-Length=x|");
        let chunked = "P / H\r\nTransfer-Encoding: chunked\r\n\r\n";
        let head = "P|/|H|Transfer-Encoding=chunked|";
        check(&format!("{chunked}3;x\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), &format!("{head}abcde"));
        check(&format!("{chunked}a=1"), &format!("{head}a=1"));
    }
}
