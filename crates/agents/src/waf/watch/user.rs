//! Which user names a request tries.

use std::ops::ControlFlow;

use selvedge_waf::{
    body::{
        Field, Intake, Kind, Limits, Scratch, Sink, json, multipart, processor_for, urlencoded,
    },
    rule::Processor,
};

/// Names of one request that count. Of a body with more the last one counts too: some servers take that.
const NAMES_MAX: usize = 16;

/// Where names may be.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    /// Fields that may hold them, in any case; of JSON with its objects: `user.email`.
    pub(super) fields: &'s [String],
    pub(super) query: &'s [u8],
    pub(super) content_type: &'s [u8],
    pub(super) body: &'s [u8],
}

/// Returns the names, in one spelling, each once.
pub(super) fn names(source: Source<'_>) -> Vec<String> {
    let mut names = Names { fields: source.fields, input: source.query, found: Vec::new() };
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let intake = Intake { limits: &limits, scratch: &mut scratch, sink: &mut names };
    urlencoded(source.query, b'&', intake);
    names.input = source.body;
    let intake = Intake { limits: &limits, scratch: &mut scratch, sink: &mut names };
    read(source, intake);
    names.found
}

/// Names are put as far as a body can be read; what is wrong with it is a matter of rules.
fn read(source: Source<'_>, intake: Intake<'_>) {
    let Source { body, content_type, .. } = source;
    match processor_for(content_type) {
        Some(Processor::Json) => drop(json(body, intake)),
        Some(Processor::Multipart) => drop(multipart(body, content_type, intake)),
        Some(Processor::UrlEncoded) => drop(urlencoded(body, b'&', intake)),
        // Servers read bodies of any type, and attackers know it.
        Some(Processor::Xml | Processor::GraphQl) | None => match body.trim_ascii_start().first() {
            Some(b'{' | b'[') => drop(json(body, intake)),
            _ => drop(urlencoded(body, b'&', intake)),
        },
    }
}

struct Names<'s> {
    fields: &'s [String],
    /// What is being read.
    input: &'s [u8],
    found: Vec<String>,
}

impl Sink for Names<'_> {
    fn put(&mut self, field: Field<'_>) -> ControlFlow<()> {
        let Field { kind, name, value } = &field;
        if *kind == Kind::Argument && self.is_wanted(name.bytes(self.input)) {
            let name = spelled(value.bytes(self.input));
            self.take(name);
        }
        ControlFlow::Continue(())
    }
}

impl Names<'_> {
    fn is_wanted(&self, name: &[u8]) -> bool {
        self.fields.iter().any(|field| {
            name.eq_ignore_ascii_case(field.as_bytes()) || is_json_field(name, field.as_bytes())
        })
    }

    fn take(&mut self, name: String) {
        if name.is_empty() || self.found.contains(&name) {
            return;
        }
        self.found.truncate(NAMES_MAX - 1);
        self.found.push(name);
    }
}

/// Whether `json.array_0.user.email` is `user.email`.
fn is_json_field(name: &[u8], field: &[u8]) -> bool {
    let mut parts = name.split(|byte| *byte == b'.');
    if parts.next() != Some(b"json") {
        return false;
    }
    let parts = parts.filter(|part| !part.starts_with(b"array_"));
    let wanted = field.split(|byte| *byte == b'.');
    parts.map(<[u8]>::to_ascii_lowercase).eq(wanted.map(<[u8]>::to_ascii_lowercase))
}

/// Lest each spelling be a user of its own.
fn spelled(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content_type: &str, body: &str, expected: &[&str]) {
        let fields = ["username".to_owned(), "user.email".to_owned()];
        let source = Source {
            fields: &fields,
            query: b"next=%2F",
            content_type: content_type.as_bytes(),
            body: body.as_bytes(),
        };
        assert_eq!(names(source), expected);
    }

    #[test]
    fn names_are_where_logins_have_them() {
        const FORM: &str = "application/x-www-form-urlencoded";
        const JSON: &str = "application/json; charset=utf-8";
        check(FORM, "username=Ada%40Example.com+&password=x", &["ada@example.com"]);
        check(FORM, "password=username&user=bob", &[]);
        check(FORM, "username=ada&username=bob&USERNAME=ADA", &["ada", "bob"]);
        check(JSON, r#"{"username":"ÉVA","password":"x"}"#, &["éva"]);
        check(JSON, r#"{"user":{"email":"a@b"},"username":""}"#, &["a@b"]);
        check(JSON, r#"[{"username":"a"},{"username":"b"}]"#, &["a", "b"]);
        check(JSON, r#"{"username":"a","#, &["a"]);
        check("text/plain", r#" {"username":"a"}"#, &["a"]);
        check("", "username=a", &["a"]);
        let parts =
            "--b\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nada\r\n--b--\r\n";
        check("multipart/form-data; boundary=b", parts, &["ada"]);
        check("application/json", "\u{0}\u{1}", &[]);
    }

    #[test]
    fn of_very_many_names_the_first_and_the_last_count() {
        let body: String = (0..100).map(|number| format!("username=u{number}&")).collect();
        let source = Source {
            fields: &["username".to_owned()],
            query: b"username=first",
            content_type: b"application/x-www-form-urlencoded",
            body: body.as_bytes(),
        };
        let names = names(source);
        assert_eq!((names.len(), &*names[0], &*names[15]), (NAMES_MAX, "first", "u99"));
    }
}
