//! A request as a proxy saved it: the bytes of HTTP/1.1, with lines that may have lost their CR.

use std::net::IpAddr;

use selvedge_http1::{BodyDecoder, Framing, Piece, is_token};

type NameAndValue = (Vec<u8>, Vec<u8>);

/// A request, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) version: String,
    pub(super) fields: Vec<NameAndValue>,
    pub(super) body: Vec<u8>,
    /// Who sent it, where that is known.
    pub(super) client: Option<IpAddr>,
}

impl Request {
    /// Returns the first value of a field, whose name is in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.as_slice())
    }
}

/// Reads one; what is said of bytes that are none names the line.
///
/// It is as lenient as attackers are: bytes that a server would refuse are what rules are about.
pub(super) fn parse(bytes: &[u8]) -> Result<Request, String> {
    let mut lines = Lines { rest: bytes, number: 0 };
    let first = loop {
        match lines.next() {
            Some([]) => {}
            Some(line) => break line,
            None => return Err("it is empty".to_owned()),
        }
    };
    let number = lines.number;
    let (method, target, version) = request_line(first)
        .ok_or_else(|| format!("line {number} is no request line such as `GET /path HTTP/1.1`"))?;
    let fields = fields(&mut lines)?;
    let mut request = Request {
        method: method.to_vec(),
        target: target.to_vec(),
        version: version.to_owned(),
        fields,
        body: Vec::new(),
        client: None,
    };
    request.body = body(&request, lines.rest);
    Ok(request)
}

/// Lines without their ends.
struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let mut halves = self.rest.splitn(2, |&byte| byte == b'\n');
        let line = halves.next()?;
        self.rest = halves.next().unwrap_or_default();
        self.number += 1;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Method, target and version; blanks within the target stay.
fn request_line(line: &[u8]) -> Option<(&[u8], &[u8], &str)> {
    let method_end = line.iter().position(|&byte| byte == b' ')?;
    let version_start = line.iter().rposition(|&byte| byte == b' ')?;
    let (method, version) = (&line[..method_end], &line[version_start + 1..]);
    let target = line.get(method_end + 1..version_start)?;
    let version = str::from_utf8(version).ok().filter(|version| is_version(version))?;
    (is_token(method) && !target.is_empty()).then_some((method, target, version))
}

fn is_version(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.strip_prefix("HTTP/").is_some_and(|number| !number.is_empty() && digits(number))
}

fn fields(lines: &mut Lines<'_>) -> Result<Vec<NameAndValue>, String> {
    let mut fields: Vec<NameAndValue> = Vec::new();
    while let Some(line) = lines.next().filter(|line| !line.is_empty()) {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if let Some((_, value)) = fields.last_mut().filter(|_| folded) {
            value.push(b' ');
            value.extend_from_slice(line.trim_ascii());
            continue;
        }
        let colon = line.iter().position(|&byte| byte == b':').filter(|&at| at > 0);
        let Some(colon) = colon else {
            return Err(format!("line {} is no header such as `Host: example.com`", lines.number));
        };
        fields.push((line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec()));
    }
    Ok(fields)
}

/// What follows the head: as much as `Content-Length` says if so much is there, freed from chunks if it is in chunks.
fn body(request: &Request, rest: &[u8]) -> Vec<u8> {
    let coding = request.field("transfer-encoding").unwrap_or_default();
    if coding.to_ascii_lowercase().ends_with(b"chunked")
        && let Some(whole) = unchunked(rest)
    {
        return whole;
    }
    let length = request.field("content-length").and_then(|text| str::from_utf8(text).ok());
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(rest.len());
    rest[..length.min(rest.len())].to_vec()
}

/// `None`: these are no chunks; proxies often save the body without them.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let mut whole = Vec::new();
    loop {
        match decoder.decode(rest).ok()? {
            Piece::Data { from, to } => {
                whole.extend_from_slice(&rest[from..to]);
                rest = &rest[to..];
            }
            Piece::End(_) => return Some(whole),
            Piece::More(0) => return None,
            Piece::More(used) => rest = &rest[used..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, &str, usize, &str), &str>) {
        let found = parse(text.as_bytes());
        let told = found.as_ref().map(|request| {
            let text = |bytes| str::from_utf8(bytes).unwrap_or("?");
            (
                text(&request.method),
                text(&request.target),
                request.fields.len(),
                text(&request.body),
            )
        });
        assert_eq!(told.map_err(|error| error.as_str()), expected, "{text:?}");
    }

    #[test]
    fn requests_are_read_as_proxies_save_them() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(("GET", "/", 1, "")));
        check("GET / HTTP/1.1\nHost: a\n\nrest", Ok(("GET", "/", 1, "rest")));
        check("\r\nGET http://a/b?c HTTP/2", Ok(("GET", "http://a/b?c", 0, "")));
        check("GET /?q=a b HTTP/1.1\n\n", Ok(("GET", "/?q=a b", 0, "")));
        check("GET / HTTP/1.1\nA: b\n c\nD:e", Ok(("GET", "/", 2, "")));
        check("POST / HTTP/1.1\nContent-Length: 3\n\nabc\n", Ok(("POST", "/", 1, "abc")));
        check("POST / HTTP/1.1\nContent-Length: 9\n\nabc", Ok(("POST", "/", 1, "abc")));
        check("POST / HTTP/1.1\nContent-Length: x\n\nabc", Ok(("POST", "/", 1, "abc")));
    }

    #[test]
    fn chunks_are_put_together_where_they_are_chunks() {
        let head = "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n";
        check(&format!("{head}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), Ok(("POST", "/", 1, "abcde")));
        check(&format!("{head}abc=1"), Ok(("POST", "/", 1, "abc=1")));
        check(&format!("{head}3\r\nab"), Ok(("POST", "/", 1, "3\r\nab")));
    }

    #[test]
    fn what_is_no_request_is_told_by_line() {
        check("", Err("it is empty"));
        check("\n\n", Err("it is empty"));
        check("GET /", Err("line 1 is no request line such as `GET /path HTTP/1.1`"));
        check(
            "\nHTTP/1.1 200 OK\n\n",
            Err("line 2 is no request line such as `GET /path HTTP/1.1`"),
        );
        check("G(T / HTTP/1.1\n\n", Err("line 1 is no request line such as `GET /path HTTP/1.1`"));
        check("GET / HTTP/1.1\nHost\n\n", Err("line 2 is no header such as `Host: example.com`"));
    }
}
