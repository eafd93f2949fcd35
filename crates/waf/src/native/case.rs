//! What a rule must find and what it must not, as exchanges.

use std::{fmt::Write as _, sync::Arc};

use crate::rule::Place;

/// A value that a rule must find or must not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The rule's number.
    pub rule: u64,
    /// The rule's name.
    pub name: Arc<str>,
    /// Where it is written.
    pub place: Place,
    /// Whether the rule must match.
    pub expectation: Expectation,
    /// Where the text stands in the exchange.
    pub part: Part,
    /// The text, before whatever encoding its part needs.
    pub text: Arc<str>,
}

/// Whether a rule must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// `attack`.
    Match,
    /// `clean`.
    NoMatch,
}

/// Where a case's text stands in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The value of an argument of the query.
    Argument,
    /// The name of one.
    ArgumentName,
    /// A text in a JSON body.
    Json,
    /// The value of a cookie.
    Cookie,
    /// The name of a file in a multipart body.
    File,
    /// The value of this header.
    Header(Arc<str>),
    /// The request's target, as it is sent.
    Path,
    /// The query, as it is sent.
    Query,
    /// The method.
    Method,
    /// A body of this media type.
    Body(Arc<str>),
    /// A WebSocket frame.
    WebSocket,
    /// The whole request.
    Request,
    /// The body of a response.
    ResponseBody,
    /// The value of this header of a response.
    ResponseHeader(Arc<str>),
    /// The status of a response.
    Status,
    /// The whole response.
    Response,
}

/// A case as the exchange it describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// Names and values of the request.
    pub fields: Vec<(String, String)>,
    /// The request's body.
    pub body: String,
    /// What a WebSocket frame of it holds.
    pub frame: Option<String>,
    /// The answer; `None`: the case is about the request alone.
    pub response: Option<Response>,
}

/// The answer of an [`Exchange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Part {
    /// Reads what `as=` says.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        let part = match word {
            "arg" => Self::Argument,
            "arg-name" => Self::ArgumentName,
            "json" => Self::Json,
            "cookie" => Self::Cookie,
            "file" => Self::File,
            "path" => Self::Path,
            "query" => Self::Query,
            "method" => Self::Method,
            "websocket" => Self::WebSocket,
            "request" => Self::Request,
            "response-body" => Self::ResponseBody,
            "status" => Self::Status,
            "response" => Self::Response,
            _ => {
                let (word, name) = word.split_once(':')?;
                return Self::from_word_with_name(word, name);
            }
        };
        Some(part)
    }

    fn from_word_with_name(word: &str, name: &str) -> Option<Self> {
        match (word, name) {
            (_, "") => None,
            ("header", name) => Some(Self::Header(name.into())),
            ("response-header", name) => Some(Self::ResponseHeader(name.into())),
            ("body", media_type) => Some(Self::Body(media_type.into())),
            _ => None,
        }
    }

    /// What `as=` may say, for messages.
    pub(super) const WORDS: &[&str] = &[
        "arg",
        "arg-name",
        "json",
        "cookie",
        "file",
        "header:NAME",
        "path",
        "query",
        "method",
        "body:TYPE",
        "websocket",
        "request",
        "response-body",
        "response-header:NAME",
        "status",
        "response",
    ];
}

impl Case {
    /// Returns the exchange in which the text stands where the case says.
    pub fn exchange(&self) -> Exchange {
        let text = &*self.text;
        let get = |target: String| Exchange::new("GET", &target);
        match &self.part {
            Part::Argument => get(format!("/?q={}", percent_encoded(text))),
            Part::ArgumentName => get(format!("/?{}=1", percent_encoded(text))),
            Part::Path => get(text.to_owned()),
            Part::Query => get(format!("/?{text}")),
            Part::Method => Exchange::new(text, "/"),
            Part::Cookie => {
                get("/".to_owned()).with_field("Cookie", &format!("c={}", cookie(text)))
            }
            Part::Header(name) => get("/".to_owned()).with_field(name, text),
            Part::Json => {
                let body = format!("{{\"q\":{}}}", json_string(text));
                Exchange::new("POST", "/").with_body("application/json", body)
            }
            Part::File => {
                let body = multipart_file(text);
                Exchange::new("POST", "/").with_body("multipart/form-data; boundary=border", body)
            }
            Part::Body(media_type) => {
                Exchange::new("POST", "/").with_body(media_type, text.to_owned())
            }
            Part::WebSocket => {
                Exchange { frame: Some(text.to_owned()), ..Exchange::new("GET", "/socket") }
            }
            Part::Request => whole_request(text),
            Part::ResponseBody => Response::new(200, text).into_exchange(),
            Part::ResponseHeader(name) => {
                Response::new(200, "").with_field(name, text).into_exchange()
            }
            Part::Status => Response::new(text.parse().unwrap_or_default(), "").into_exchange(),
            Part::Response => whole_response(text).into_exchange(),
        }
    }
}

impl Exchange {
    fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            // What a browser sends, so that rules about what is missing find nothing.
            fields: owned(&[
                ("Host", "www.example.com"),
                (
                    "User-Agent",
                    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
                ),
                ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
            ]),
            body: String::new(),
            frame: None,
            response: None,
        }
    }

    fn with_field(mut self, name: &str, value: &str) -> Self {
        set_field(&mut self.fields, name, value);
        self
    }

    fn with_body(self, media_type: &str, body: String) -> Self {
        let length = body.len().to_string();
        let with_fields =
            self.with_field("Content-Type", media_type).with_field("Content-Length", &length);
        Self { body, ..with_fields }
    }
}

impl Response {
    fn new(status: u16, body: &str) -> Self {
        let fields = owned(&[("Content-Type", "text/html; charset=utf-8")]);
        Self { status, fields, body: body.to_owned() }
    }

    fn with_field(mut self, name: &str, value: &str) -> Self {
        set_field(&mut self.fields, name, value);
        self
    }

    fn into_exchange(self) -> Exchange {
        Exchange { response: Some(self), ..Exchange::new("GET", "/") }
    }
}

/// One of the same name is replaced.
fn set_field(fields: &mut Vec<(String, String)>, name: &str, value: &str) {
    fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    fields.push((name.to_owned(), value.to_owned()));
}

fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Takes `GET / HTTP/1.1`, header lines, an empty line and a body apart; what is missing is empty.
fn whole_request(text: &str) -> Exchange {
    let (line, fields, body) = message(text);
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or("/").to_owned();
    let mut exchange = Exchange { method, target, fields, body, frame: None, response: None };
    if !exchange.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        exchange.fields.insert(0, ("Host".to_owned(), "www.example.com".to_owned()));
    }
    exchange
}

/// The same for `HTTP/1.1 200 OK`.
fn whole_response(text: &str) -> Response {
    let (line, fields, body) = message(text);
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Response { status, fields, body }
}

fn message(text: &str) -> (&str, Vec<(String, String)>, String) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let field = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
    };
    (first, lines.map(field).collect(), body.to_owned())
}

fn percent_encoded(text: &str) -> String {
    encoded(text, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Only what would end a cookie's value, or would not survive in it, is encoded.
fn cookie(text: &str) -> String {
    encoded(text, |byte| byte.is_ascii_graphic() && !b"%;,".contains(&byte))
}

fn encoded(text: &str, keeps: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if keeps(byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes all that is written");
        }
    }
    out
}

fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\0'..' ' => write!(out, "\\u{:04x}", u32::from(char))
                .expect("a String takes all that is written"),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

fn multipart_file(name: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "--border\r\nContent-Disposition: form-data; name=\"upload\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\ncontent\r\n--border--\r\n"
    )
}
