//! The regression tests of the Core Rule Set, with the semantics of their runner, `go-ftw` 2, and of the server behind
//! it, `albedo` 0.3.
//!
//! A request is built as `go-ftw` builds it, to the byte. [`proxied`] sends it to a proxy. Without one its head goes through the edge's own parser: where that
//! refuses it, the status is the edge's. The rules are asked even so, about what a kind reader makes of the bytes, for the
//! suite is about rules; only where that very status is due do they stay silent, as they do behind the edge.

use data_encoding::BASE64;
use regex::bytes::Regex;
use selvedge_http1::{HeadLimits, RequestHead};
use serde_json::Value;

use crate::{
    raw,
    record::{Kind, Request},
};

mod albedo;
mod backend;
pub mod proxied;
pub mod suite;

pub use albedo::Response;

/// One stage of a test.
#[derive(Clone, Debug)]
pub struct Stage {
    /// `941100-3`, and `/2` behind it for the second stage of a test.
    pub name: String,
    /// What is sent.
    input: Value,
    /// What is expected.
    output: Value,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The status that the client sees; 0 if it sees none.
    pub status: u16,
    /// The rules that were reported.
    pub ids: Vec<u64>,
    /// The report as ModSecurity writes it, a line for each.
    pub log: String,
}

impl Stage {
    /// Takes a stage from `{"name": …, "input": …, "output": …}`: all leaves are texts, headers a list of pairs.
    pub fn new(value: &Value) -> Option<Self> {
        let (input, output) = (value["input"].clone(), value["output"].clone());
        Some(Self { name: value["name"].as_str()?.to_owned(), input, output })
    }

    /// The request as a server gets it.
    pub fn request(&self) -> (Request, Gate) {
        let bytes = self.bytes();
        let mut request = raw::request(&bytes, Kind::Ordinary);
        raw::framed(&mut request);
        (request, Gate::of(&bytes))
    }

    /// The status that must be answered, if one must.
    pub fn due_status(&self) -> Option<u16> {
        self.output["status"].as_str()?.parse().ok()
    }

    /// The rules that must be reported; none where the connection must break.
    pub fn expected(&self) -> Vec<u64> {
        if self.breaks() {
            return Vec::new();
        }
        ids(&self.output["log"]["expect_ids"])
    }

    /// Whether the suite says that no rule at all may mind it, or none that refuses.
    pub fn is_ordinary(&self) -> bool {
        let log = &self.output["log"];
        let nothing = log["no_match_regex"] == r#"\[id "\d+"\]"#;
        nothing || ids(&log["no_expect_ids"]).iter().any(|id| DECIDING.contains(id))
    }

    fn breaks(&self) -> bool {
        self.output["expect_error"] == "true"
    }

    /// What is wrong with an outcome.
    pub fn fault(&self, outcome: &Outcome) -> Option<String> {
        if self.breaks() {
            let Outcome { status, .. } = outcome;
            let fault = || format!("an error of the connection was due, and not status {status}");
            return (*status != 0).then(fault);
        }
        if let Some(due) = self.due_status().filter(|due| *due != outcome.status) {
            return Some(format!("status {} and not {due}", outcome.status));
        }
        self.fault_of_ids(outcome).or_else(|| self.fault_of_log(outcome))
    }

    fn fault_of_ids(&self, outcome: &Outcome) -> Option<String> {
        let missing = self.expected().into_iter().find(|id| !outcome.ids.contains(id));
        if let Some(id) = missing {
            return Some(format!("{id} is silent; reported are {:?}", outcome.ids));
        }
        let excess = ids(&self.output["log"]["no_expect_ids"]);
        let excess = excess.into_iter().find(|id| outcome.ids.contains(id));
        excess.map(|id| format!("{id} is reported; all that are: {:?}", outcome.ids))
    }

    fn fault_of_log(&self, outcome: &Outcome) -> Option<String> {
        let log = &self.output["log"];
        let found = |pattern: &str| match Regex::new(pattern) {
            Ok(pattern) => Ok(pattern.is_match(outcome.log.as_bytes())),
            Err(error) => Err(error.to_string()),
        };
        for (pattern, due) in [("match_regex", true), ("no_match_regex", false)] {
            let Some(pattern) = log[pattern].as_str() else { continue };
            match found(pattern) {
                Ok(found) if found == due => {}
                Ok(true) => return Some(format!("the log has `{pattern}`: {}", outcome.log)),
                Ok(false) => return Some(format!("the log has no `{pattern}`: {}", outcome.log)),
                Err(error) => return Some(error),
            }
        }
        None
    }

    /// What `go-ftw` writes to the connection.
    pub fn bytes(&self) -> Vec<u8> {
        if let Some(encoded) = self.text("encoded_request") {
            let encoded: String = encoded.split_ascii_whitespace().collect();
            return BASE64.decode(encoded.as_bytes()).unwrap_or_default();
        }
        let method = self.text("method").unwrap_or("GET");
        let target = self.text("uri").unwrap_or("/");
        let version = self.text("version").unwrap_or("HTTP/1.1");
        let (fields, data) = self.fields_and_data(method);
        let mut bytes = format!("{method} {target} {version}\r\n").into_bytes();
        for (name, value) in fields {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(data.as_bytes());
        bytes
    }

    fn fields_and_data(&self, method: &str) -> (Vec<(String, String)>, String) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let given = self.input["headers"].as_array().into_iter().flatten();
        let mut fields: Vec<_> = given.map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
        let mut data = expanded(self.text("data").unwrap_or_default());
        let complete = self.text("autocomplete_headers") != Some("false");
        if complete && !data.is_empty() {
            if !has(&fields, "Content-Type") {
                fields.push(("Content-Type".into(), URL_ENCODED.into()));
            }
            if value(&fields, "Content-Type").is_some_and(|it| it.eq_ignore_ascii_case(URL_ENCODED))
            {
                data = encoded_parameters(data);
            }
        }
        let media = value(&fields, "Content-Type").unwrap_or_default().to_ascii_lowercase();
        if media.contains("multipart/form-data;") {
            data = data.replace('\n', "\r\n");
        }
        if complete {
            add_standard(&mut fields, method, data.len());
        }
        (fields, data)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.input[name].as_str()
    }
}

/// Rules that refuse requests and responses by their scores.
const DECIDING: &[u64] = &[949_110, 959_100];

const URL_ENCODED: &str = "application/x-www-form-urlencoded";

fn ids(list: &Value) -> Vec<u64> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|id| id.as_str()?.parse().ok()).collect()
}

fn has(fields: &[(String, String)], name: &str) -> bool {
    value(fields, name).is_some()
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

fn add_standard(fields: &mut Vec<(String, String)>, method: &str, length: usize) {
    if !has(fields, "Connection") {
        fields.push(("Connection".into(), "close".into()));
    }
    // The runner's own expression, `^POST|PUT|PATCH|DELETE$`.
    let carries = method.starts_with("POST")
        || method.contains("PUT")
        || method.contains("PATCH")
        || method.ends_with("DELETE");
    if !has(fields, "Content-Length") && (length > 0 || carries) {
        fields.push(("Content-Length".into(), length.to_string()));
    }
}

/// The one template that the suite uses: `{{ "1" | repeat 152 }}`.
fn expanded(data: &str) -> String {
    let repeated = |data: &str| {
        let (before, rest) = data.split_once("{{ \"")?;
        let (again, rest) = rest.split_once("\" | repeat ")?;
        let (count, after) = rest.split_once(" }}")?;
        Some([before, &again.repeat(count.parse().ok()?), after].concat())
    };
    repeated(data).unwrap_or_else(|| data.to_owned())
}

/// Encodes names and values, unless decoding would change anything.
fn encoded_parameters(data: String) -> String {
    if data.contains(['+', '%']) {
        return data;
    }
    let token = |token: &str| match token.split_once('=') {
        Some((name, value)) => format!("{}={}", escaped(name), escaped(value)),
        None => escaped(token),
    };
    // What ends in `&` has no empty token behind it.
    let whole = data.strip_suffix('&').unwrap_or(&data);
    whole.split('&').map(token).collect::<Vec<_>>().join("&")
}

fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            (byte as char).to_string()
        }
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// What the edge's parser makes of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It goes on.
    Open,
    /// It is answered with this status.
    Shut(u16),
}

impl Gate {
    fn of(bytes: &[u8]) -> Self {
        match RequestHead::default().parse(bytes, &HeadLimits::default()) {
            Ok(_) => Self::Open,
            Err(rejection) => Self::Shut(rejection.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(input: Value, expected: &str) {
        let value = json!({ "name": "1-1", "input": input, "output": {} });
        let bytes = Stage::new(&value).unwrap().bytes();
        assert_eq!(String::from_utf8(bytes).unwrap().replace("\r\n", "|"), expected);
    }

    #[test]
    fn requests_are_completed_as_the_runner_does() {
        check(json!({}), "GET / HTTP/1.1|Connection: close||");
        check(json!({ "method": "POST" }), "POST / HTTP/1.1|Connection: close|Content-Length: 0||");
        check(json!({ "autocomplete_headers": "false", "data": "a b" }), "GET / HTTP/1.1||a b");
        check(
            json!({ "method": "POST", "data": "a=b c&<" }),
            "POST / HTTP/1.1|Content-Type: application/x-www-form-urlencoded|Connection: close|Content-Length: 11||a=b+c&%3C"
                .replace("11", "9")
                .as_str(),
        );
        check(
            json!({ "headers": [["connection", "x"], ["Content-Type", "multipart/form-data; b=c"]], "data": "a\nb" }),
            "GET / HTTP/1.1|connection: x|Content-Type: multipart/form-data; b=c|Content-Length: 4||a|b",
        );
        check(json!({ "encoded_request": "R0VU" }), "GET");
    }

    #[test]
    fn parameters_are_encoded_only_if_they_are_not() {
        assert_eq!(encoded_parameters("a=1+1".into()), "a=1+1");
        assert_eq!(encoded_parameters("a=%27".into()), "a=%27");
        assert_eq!(encoded_parameters("a='&b".into()), "a=%27&b");
        assert_eq!(expanded("x{{ \"ab\" | repeat 3 }}y"), "xabababy");
    }

    #[test]
    fn outcomes_are_judged_by_all_that_is_expected() {
        let output = json!({
            "status": "200",
            "log": { "expect_ids": ["1"], "no_expect_ids": ["2"], "match_regex": "b+" },
        });
        let stage = Stage { name: String::new(), input: json!({}), output };
        let fault = |status, ids: &[u64], log: &str| {
            stage.fault(&Outcome { status, ids: ids.to_vec(), log: log.to_owned() }).is_some()
        };
        assert!(!fault(200, &[1, 3], "abc"));
        assert!(fault(403, &[1], "abc"));
        assert!(fault(200, &[], "abc"));
        assert!(fault(200, &[1, 2], "abc"));
        assert!(fault(200, &[1], "ac"));
    }
}
