//! Requests as an access log tells of them: ours in JSON, or the combined format of other servers.

use std::net::IpAddr;

use serde_json::Value;

use super::request::Request;

/// Reads the request that a line tells of. `None`: it tells of none, such as that of a decision.
///
/// What no log holds is filled in with what nobody objects to, so that only what was recorded is judged.
pub(super) fn request(line: &[u8]) -> Option<Result<Request, String>> {
    match line.trim_ascii() {
        [] => None,
        [b'{', ..] => of_json(line),
        line => {
            Some(of_combined(line).ok_or_else(|| {
                "is neither a JSON line nor one of the combined log format".to_owned()
            }))
        }
    }
}

fn of_json(line: &[u8]) -> Option<Result<Request, String>> {
    let line: Value = match serde_json::from_slice(line) {
        Ok(line) => line,
        Err(error) => return Some(Err(format!("is no JSON: {error}"))),
    };
    if line.get("kind").is_some() {
        return None;
    }
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let (Some(method), Some(path)) = (text("method"), text("path")) else {
        return Some(Err("has no `method` and `path`".to_owned()));
    };
    let target = match text("query") {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let client = text("client").and_then(address);
    let fields =
        [("Host", text("host")), ("User-Agent", text("user_agent")), ("Referer", text("referer"))];
    let version = text("protocol").unwrap_or("HTTP/1.1");
    Some(Ok(recorded((method, &target, version), &fields, client)))
}

/// `10.0.0.1:40000`, `[::1]:40000` or an address alone.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = text.parse().map(|address: std::net::SocketAddr| address.ip());
    with_port.or_else(|_| text.parse()).ok()
}

/// `CLIENT IDENT USER [TIME] "METHOD TARGET VERSION" STATUS BYTES "REFERER" "USER AGENT"`, the last two perhaps missing.
fn of_combined(line: &[u8]) -> Option<Request> {
    let line = String::from_utf8_lossy(line);
    let client = line.split(' ').next().and_then(address);
    let (_, rest) = line.split_once("] ")?;
    let (asked, rest) = quoted(rest)?;
    let (referer, rest) = quoted(rest).map_or((None, rest), |(text, rest)| (Some(text), rest));
    let agent = quoted(rest).map(|(text, _)| text);
    let mut words = asked.splitn(2, ' ');
    let (method, rest) = (words.next()?, words.next()?);
    let (target, version) = rest.rsplit_once(' ').filter(|(_, word)| word.starts_with("HTTP/"))?;
    let told = |text: &Option<String>| text.clone().filter(|text| text != "-");
    let (referer, agent) = (told(&referer), told(&agent));
    let fields = [("User-Agent", agent.as_deref()), ("Referer", referer.as_deref())];
    Some(recorded((method, target, version), &fields, client))
}

/// The text between the next two quotes, freed from its escapes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (_, text) = text.split_once('"')?;
    let mut out = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'x' => {
                    let digits: String = letters.by_ref().take(2).map(|(_, digit)| digit).collect();
                    out.push(u8::from_str_radix(&digits, 16).map_or('\u{fffd}', char::from));
                }
                letter => out.push(letter),
            },
            letter => out.push(letter),
        }
    }
    None
}

fn recorded(
    (method, target, version): (&str, &str, &str),
    fields: &[(&str, Option<&str>)],
    client: Option<IpAddr>,
) -> Request {
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let present = fields.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    for (name, value) in present.chain([("Accept", "*/*")]) {
        all.push((name.into(), value.into()));
    }
    if !all.iter().any(|(name, _)| name == b"Host") {
        all.insert(0, (b"Host".to_vec(), b"www.example.com".to_vec()));
    }
    Request {
        method: method.into(),
        target: target.into(),
        version: version.to_owned(),
        fields: all,
        body: Vec::new(),
        client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        let told = request(line.as_bytes()).map(|request| match request {
            Ok(request) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let fields: Vec<String> = request
                    .fields
                    .iter()
                    .map(|(name, value)| text(name) + "=" + &text(value))
                    .collect();
                let client = request.client.map_or("-".to_owned(), |client| client.to_string());
                let (method, target) = (text(&request.method), text(&request.target));
                format!("{client} {method} {target} {} {}", request.version, fields.join(" "))
            }
            Err(error) => error,
        });
        assert_eq!(told.as_deref(), expected, "{line}");
    }

    #[test]
    fn lines_of_ours_become_requests() {
        check(
            r#"{"client":"[2001:db8::1]:4","protocol":"HTTP/2","method":"GET","host":"a.example","path":"/x","query":"q=1%27","user_agent":"curl","referer":"r"}"#,
            Some(
                "2001:db8::1 GET /x?q=1%27 HTTP/2 Host=a.example User-Agent=curl Referer=r Accept=*/*",
            ),
        );
        check(
            r#"{"method":"GET","path":"/"}"#,
            Some("- GET / HTTP/1.1 Host=www.example.com Accept=*/*"),
        );
        check(r#"{"kind":"decision","method":"GET","path":"/"}"#, None);
        check(r#"{"msg":"hello"}"#, Some("has no `method` and `path`"));
        check("", None);
    }

    #[test]
    fn lines_of_others_become_requests() {
        check(
            r#"192.0.2.9 - ann [10/Oct/2026:13:55:36 +0000] "GET /a?b=\x22c HTTP/1.0" 200 23 "http://r/" "Mozilla/5.0 \"x\"""#,
            Some(
                r#"192.0.2.9 GET /a?b="c HTTP/1.0 Host=www.example.com User-Agent=Mozilla/5.0 "x" Referer=http://r/ Accept=*/*"#,
            ),
        );
        check(
            r#"192.0.2.9 - - [t] "POST / HTTP/1.1" 200 - "-" "-""#,
            Some("192.0.2.9 POST / HTTP/1.1 Host=www.example.com Accept=*/*"),
        );
        for line in ["hello", r#"a - - [t] "GET"#, r#"a - - [t] "\x16\x03" 400 0"#, r#"a] "\"#] {
            check(line, Some("is neither a JSON line nor one of the combined log format"));
        }
    }
}
