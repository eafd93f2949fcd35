//! What `albedo` answers: nothing at all, or under `/reflect` what the request asks it for.

use data_encoding::BASE64;
use serde_json::Value;

use crate::record::Request;

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Answers a request.
    pub fn to(request: &Request) -> Self {
        let path = request.target.split(|byte| *byte == b'?').next().unwrap_or_default();
        if request.method != b"POST" || (path != b"/reflect" && !path.starts_with(b"/reflect/")) {
            return Self::whole(200, Vec::new(), Vec::new());
        }
        match serde_json::from_slice(&request.body) {
            Ok(asked) => Self::asked(&asked),
            Err(_) => Self::whole(400, Vec::new(), b"Invalid JSON in request body".to_vec()),
        }
    }

    fn asked(asked: &Value) -> Self {
        let status = match asked["status"].as_u64().unwrap_or(0) {
            0 => 200,
            status @ 100..600 => status as u16,
            wrong => {
                return Self::whole(
                    400,
                    Vec::new(),
                    format!("Invalid status code: {wrong}").into(),
                );
            }
        };
        let fields = asked["headers"].as_object().into_iter().flatten();
        let fields = fields.map(|(name, value)| {
            (name.clone().into_bytes(), value.as_str().unwrap_or_default().into())
        });
        let encoded = asked["encodedBody"].as_str().unwrap_or_default();
        let body = match asked["body"].as_str() {
            Some(body) if !body.is_empty() => body.into(),
            _ => BASE64.decode(encoded.as_bytes()).unwrap_or_default(),
        };
        Self::whole(status, fields.collect(), body)
    }

    /// With the fields that Go's server adds.
    fn whole(status: u16, mut fields: Vec<(Vec<u8>, Vec<u8>)>, body: Vec<u8>) -> Self {
        let typed = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
        if !body.is_empty() && !typed {
            fields.push((b"Content-Type".to_vec(), media(&body).into()));
        }
        fields.push((b"Content-Length".to_vec(), body.len().to_string().into_bytes()));
        Self { status, fields, body }
    }
}

/// What browsers and Go's server take a body for (https://mimesniff.spec.whatwg.org), as far as rules could mind.
fn media(body: &[u8]) -> &'static str {
    const TAGS: &[&str] = &[
        "<!DOCTYPE HTML",
        "<HTML",
        "<HEAD",
        "<SCRIPT",
        "<IFRAME",
        "<H1",
        "<DIV",
        "<FONT",
        "<TABLE",
        "<A",
        "<STYLE",
        "<TITLE",
        "<B",
        "<BODY",
        "<BR",
        "<P",
        "<!--",
    ];
    let text = body.trim_ascii_start();
    let begins = |tag: &&str| {
        let (start, end) = (text.get(..tag.len()), text.get(tag.len()));
        start.is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
            && matches!(end, Some(b' ' | b'>'))
    };
    let binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if TAGS.iter().any(begins) {
        "text/html; charset=utf-8"
    } else if text.starts_with(b"<?xml") {
        "text/xml; charset=utf-8"
    } else if body.starts_with(b"PK\x03\x04") {
        "application/zip"
    } else if body.iter().take(512).any(binary) {
        "application/octet-stream"
    } else {
        "text/plain; charset=utf-8"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{raw, record::Kind};

    #[track_caller]
    fn check(line: &str, body: &str, expected: &str) {
        let bytes = format!("{line} HTTP/1.1\r\n\r\n{body}");
        let Response { status, fields, body } =
            Response::to(&raw::request(bytes.as_bytes(), Kind::Ordinary));
        let media = fields.iter().find(|(name, _)| name == b"Content-Type");
        let media =
            String::from_utf8_lossy(media.map_or(&b"-"[..], |(_, value)| value)).into_owned();
        assert_eq!(format!("{status} {media} {}", String::from_utf8_lossy(&body)), expected);
    }

    #[test]
    fn it_says_what_it_is_asked_for() {
        check("GET /reflect", "{}", "200 - ");
        check("POST /post", "{}", "200 - ");
        check("POST /reflect?a", "{", "400 text/plain; charset=utf-8 Invalid JSON in request body");
        check("POST /reflect", r#"{"body": "<?php"}"#, "200 text/plain; charset=utf-8 <?php");
        check(
            "POST /reflect",
            r#"{"body": " <Title>x"}"#,
            "200 text/html; charset=utf-8  <Title>x",
        );
        check(
            "POST /reflect",
            r#"{"encodedBody": "YQ==", "status": 500}"#,
            "500 text/plain; charset=utf-8 a",
        );
        let typed = r#"{"headers": {"Content-Type": "a/b"}, "body": "x"}"#;
        check("POST /reflect", typed, "200 a/b x");
    }
}
