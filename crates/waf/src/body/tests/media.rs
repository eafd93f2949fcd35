use super::super::*;
use crate::rule::Processor;

#[test]
fn a_content_type_says_how_a_body_is_read() {
    let cases = [
        ("application/x-www-form-urlencoded", Some(Processor::UrlEncoded)),
        ("Application/X-WWW-Form-URLEncoded;charset=UTF-8", Some(Processor::UrlEncoded)),
        ("multipart/form-data; boundary=x", Some(Processor::Multipart)),
        ("multipart/mixed; boundary=x", None),
        ("application/json", Some(Processor::Json)),
        (" application/json ; charset=utf-8", Some(Processor::Json)),
        ("application/vnd.api+JSON", Some(Processor::Json)),
        ("application/jsonx", None),
        ("text/xml", Some(Processor::Xml)),
        ("application/soap+xml; action=\"x\"", Some(Processor::Xml)),
        ("image/svg+xml", Some(Processor::Xml)),
        ("application/graphql", Some(Processor::GraphQl)),
        ("application/graphql-response+json", Some(Processor::Json)),
        ("text/plain", None),
        ("", None),
    ];
    for (text, expected) in cases {
        assert_eq!(processor_for(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_parameter_has_a_value() {
    let cases = [
        ("text/plain; charset=utf-8", Some("utf-8")),
        ("text/plain;CHARSET=\"utf-8\"", Some("utf-8")),
        ("text/plain; charset = utf-8 ; x=y", Some("utf-8")),
        ("text/plain; x=\"; charset=a\"; charset=b", Some("b")),
        ("text/plain; flag; charset=b", Some("b")),
        ("text/plain; charset=a; charset=b", Some("a")),
        ("text/plain; charset", None),
        ("text/plain; xcharset=a", None),
        ("charset=a", None),
        ("text/plain; charset=", Some("")),
        ("text/plain; charset=\"", Some("")),
    ];
    for (text, expected) in cases {
        let value = parameter(text.as_bytes(), "charset");
        assert_eq!(value, expected.map(str::as_bytes), "{text}");
    }
}
