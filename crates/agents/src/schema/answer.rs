//! What a client is told whose message is refused: problem details (RFC 9457).

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    body::Fault,
    guard,
    pointer::Pointer,
    violation::{Place, Violation, shortened},
};
use crate::problem::{Details, Problem};

/// Why a message is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// What exactly is wrong; for [`Reason::Invalid`] never nothing.
    pub(super) violations: Vec<Violation>,
    /// Violations that are not listed; `None` if they were not counted.
    pub(super) more: Option<usize>,
}

/// What kind of refusal it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The path is not described.
    Path,
    /// The path is described, with these methods only.
    Method { allow: String },
    /// The body is of another type than these.
    MediaType { accept: String },
    /// The body has a coding that is not decoded here.
    Coding { accept: &'static str },
    /// The body is larger than what is looked into.
    Size,
    /// The body is not what its coding says.
    Encoded,
    /// The body is not what its type says, or is beyond a bound.
    Malformed,
    /// A parameter or the body is not as described.
    Invalid,
    /// To check the body takes too much work.
    Cost,
}

/// An answer as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Fields beside the content type.
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: String,
    /// The short name: `schema/invalid`.
    pub(super) code: &'static str,
    /// One line for a log.
    pub(super) summary: String,
}

/// Whose message it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Upstream,
}

/// Characters of a pointer or source that are told.
const TOLD: usize = 300;
/// Bytes of all errors in one answer: a frame to the edge has room for several times as much.
const LISTED: usize = 32 << 10;

impl Refusal {
    pub(super) fn new(reason: Reason) -> Self {
        Self { reason, violations: Vec::new(), more: Some(0) }
    }

    /// What makes a body no value.
    pub(super) fn of_fault(fault: Fault) -> Self {
        let (rule, pointer, message) = match fault {
            Fault::Json(guard::Refusal { flaw: guard::Flaw::Size(_), .. }) => {
                return Self::new(Reason::Size);
            }
            Fault::Json(guard::Refusal { flaw, pointer, .. }) => {
                (flaw.name(), pointer, flaw.to_string())
            }
            Fault::NotUtf8 => ("unicode", Pointer::root(), "is not UTF-8".to_owned()),
            Fault::Form(message) => ("form", Pointer::root(), message),
        };
        let violation = Violation {
            place: Place::Body(pointer),
            rule: rule.to_owned(),
            source: String::new(),
            message,
            closest: Vec::new(),
        };
        Self { reason: Reason::Malformed, violations: vec![violation], more: Some(0) }
    }

    pub(super) fn invalid(violations: Vec<Violation>, more: Option<usize>) -> Self {
        Self { reason: Reason::Invalid, violations, more }
    }

    /// The short name of what happened.
    pub(super) fn code(&self) -> &'static str {
        self.problem().code
    }

    fn problem(&self) -> Problem {
        match self.reason {
            Reason::Path => Problem::SCHEMA_PATH,
            Reason::Method { .. } => Problem::SCHEMA_METHOD,
            Reason::MediaType { .. } => Problem::SCHEMA_CONTENT_TYPE,
            Reason::Coding { .. } => Problem::SCHEMA_CONTENT_ENCODING,
            Reason::Size => Problem::SCHEMA_SIZE,
            Reason::Encoded => Problem::SCHEMA_ENCODED,
            Reason::Malformed => Problem::SCHEMA_MALFORMED,
            Reason::Invalid => Problem::SCHEMA_INVALID,
            Reason::Cost => Problem::SCHEMA_COST,
        }
    }

    /// The answer to the client. An upstream's fault is told as such, without what is wrong: that is for the
    /// log. `invalid` is the status for what is not as described.
    pub(super) fn answer(&self, sender: Sender, invalid: u16, trace: Option<&str>) -> Answer {
        let (problem, detail) = match sender {
            Sender::Client => (self.problem_with(invalid), self.detail()),
            Sender::Upstream => (
                Problem::SCHEMA_RESPONSE,
                "The server behind this one gave an answer that is not as described.".to_owned(),
            ),
        };
        let is_told = sender == Sender::Client && !self.violations.is_empty();
        let errors = if is_told { self.errors() } else { Vec::new() };
        let untold = self.violations.len() - errors.len();
        let more = self.more.map(|more| more + untold).filter(|_| is_told);
        let more_errors = match more {
            Some(0) => None,
            Some(more) => Some(json!(more)),
            None => is_told.then_some(Value::Bool(true)),
        };
        let details = Details { detail: &detail, trace, more: Errors { errors, more_errors } };
        Answer {
            status: problem.status,
            fields: if sender == Sender::Client { self.fields() } else { Vec::new() },
            body: problem.body(details),
            code: problem.code,
            summary: self.summary(),
        }
    }

    /// The violations as they are listed, as many as fit.
    fn errors(&self) -> Vec<ErrorItem<'_>> {
        let mut room = LISTED;
        let fits = |error: &ErrorItem<'_>| {
            let size = serde_json::to_string(error).map_or(LISTED, |text| text.len());
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        };
        self.violations.iter().map(ErrorItem::new).take_while(fits).collect()
    }

    /// The problem, with the status that the settings choose for what is not as described.
    fn problem_with(&self, invalid: u16) -> Problem {
        match self.reason {
            Reason::Invalid | Reason::Cost => self.problem().with_status(invalid),
            _ => self.problem(),
        }
    }

    fn detail(&self) -> String {
        let detail = match &self.reason {
            Reason::Path => "The API's description has no such path.",
            Reason::Method { allow } => return format!("Use one of {allow}."),
            Reason::MediaType { accept } => return format!("Send a body of type {accept}."),
            Reason::Coding { accept } => return format!("Send the body as {accept}."),
            Reason::Size => "The body is larger than what can be checked here.",
            Reason::Encoded => "The body is not what its Content-Encoding says.",
            Reason::Malformed => {
                "The body is not what its Content-Type says, or is beyond a bound."
            }
            Reason::Invalid => return self.counted(),
            Reason::Cost => "To check the body would take more work than one request is worth.",
        };
        detail.to_owned()
    }

    fn counted(&self) -> String {
        let listed = self.violations.len();
        let count = match self.more {
            Some(more) if listed + more == 1 => "one thing".to_owned(),
            Some(more) => format!("{} things", listed + more),
            None => "many things".to_owned(),
        };
        format!("The request differs from its description in {count}.")
    }

    /// Fields that say what would be accepted (RFC 9110 §15.5.6, §15.5.16).
    fn fields(&self) -> Vec<(&'static str, String)> {
        match &self.reason {
            Reason::Method { allow } => vec![("allow", allow.clone())],
            Reason::MediaType { accept } => vec![("accept", accept.clone())],
            Reason::Coding { accept } => vec![("accept-encoding", (*accept).to_owned())],
            _ => Vec::new(),
        }
    }

    /// One line for a log.
    pub(super) fn summary(&self) -> String {
        let first = self.violations.first().map(|violation| {
            let others = match self.more.map(|more| self.violations.len() + more - 1) {
                Some(0) => String::new(),
                Some(others) => format!(", and {others} more"),
                None => ", and many more".to_owned(),
            };
            format!("{} {}{others}", place(violation), violation.message)
        });
        match (&self.reason, first) {
            (_, Some(first)) => first,
            (Reason::Path, None) => "the path is not described".to_owned(),
            (Reason::Method { allow }, None) => format!("the method is none of {allow}"),
            (Reason::MediaType { accept }, None) => format!("the body is not of type {accept}"),
            (Reason::Coding { .. }, None) => "the body's coding is not decoded".to_owned(),
            (Reason::Size, None) => "the body is larger than what is looked into".to_owned(),
            (Reason::Encoded, None) => "the body is not what its coding says".to_owned(),
            (Reason::Malformed, None) => "the body is not what its type says".to_owned(),
            (Reason::Invalid, None) => "it is not as described".to_owned(),
            (Reason::Cost, None) => "to check the body takes too much work".to_owned(),
        }
    }
}

/// Where a violation is, for people.
pub(super) fn place(violation: &Violation) -> String {
    match &violation.place {
        Place::Body(pointer) => format!("body {}", shortened_to(&pointer.to_fragment(), TOLD)),
        Place::Parameter { location, name, pointer } if pointer.as_str().is_empty() => {
            format!("{location} {}", shortened(name))
        }
        Place::Parameter { location, name, pointer } => {
            let pointer = shortened_to(&pointer.to_fragment(), TOLD);
            format!("{location} {} {pointer}", shortened(name))
        }
    }
}

/// What is wrong, beside what each problem has.
#[derive(Serialize)]
struct Errors<'r> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorItem<'r>>,
    /// How many are not listed; `true` if they were not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    more_errors: Option<Value>,
}

/// A violation as RFC 9457 §3 lists one: what, and where.
#[derive(Serialize)]
struct ErrorItem<'r> {
    detail: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#in: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    pointer: String,
    rule: &'r str,
    #[serde(skip_serializing_if = "String::is_empty")]
    schema: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    closest: Vec<Self>,
}

impl<'r> ErrorItem<'r> {
    fn new(violation: &'r Violation) -> Self {
        let Violation { place, rule, source, message, closest } = violation;
        let (r#in, parameter, pointer) = match place {
            Place::Body(pointer) => (None, None, pointer),
            Place::Parameter { location, name, pointer } => {
                (Some(*location), Some(shortened(name)), pointer)
            }
        };
        Self {
            detail: message,
            r#in,
            parameter,
            pointer: shortened_to(&pointer.to_fragment(), TOLD),
            rule,
            schema: shortened_to(source, TOLD),
            closest: closest.iter().map(Self::new).collect(),
        }
    }
}

/// The beginning of a text.
pub(super) fn shortened_to(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// What each answer has is compared here; what is expected is the rest.
    #[track_caller]
    fn check(refusal: &Refusal, sender: Sender, expected: Expect) {
        let Answer { status, fields, body, code, summary } =
            refusal.answer(sender, 400, Some("4bf9"));
        let (head, rest) = body.split_once("\"detail\":").unwrap();
        let problem = Problem::ALL.iter().find(|problem| problem.code == code).unwrap();
        let title = problem.title;
        let kind = format!("urn:selvedge:problem:{code}");
        assert_eq!(problem.status, status);
        assert_eq!(
            head,
            format!("{{\"type\":\"{kind}\",\"title\":\"{title}\",\"status\":{status},")
        );
        let common = format!(",\"code\":\"{code}\",\"trace_id\":\"4bf9\"");
        let (detail, rest) = rest.split_once(&common).unwrap();
        let rest = rest.replace(",\"", ",\n\"").replace(":[{", ":[\n{");
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let fields = fields.concat();
        expected.assert_eq(&format!("{status} {code}\n{fields}{detail}{rest}{summary}\n"));
    }

    fn violation(place: Place) -> Violation {
        Violation {
            place,
            rule: "type".to_owned(),
            source: "a.yaml#/x/type".to_owned(),
            message: "must be a string, not null".to_owned(),
            closest: Vec::new(),
        }
    }

    fn body(pointer: &str) -> Violation {
        violation(Place::Body(Pointer::from_text(pointer)))
    }

    #[test]
    fn violations_are_listed() {
        let parameter = Place::Parameter {
            location: "query",
            name: "filter".to_owned(),
            pointer: Pointer::from_text("/a"),
        };
        let mut nested = body("/items/0/{x}");
        nested.closest.push(body("/items/0/{x}/y"));
        check(
            &Refusal::invalid(vec![nested, violation(parameter)], Some(3)),
            Sender::Client,
            expect![[r##"
                400 schema/invalid
                "The request differs from its description in 5 things.",
                "errors":[
                {"detail":"must be a string, not null",
                "pointer":"#/items/0/%7Bx%7D",
                "rule":"type",
                "schema":"a.yaml#/x/type",
                "closest":[
                {"detail":"must be a string, not null",
                "pointer":"#/items/0/%7Bx%7D/y",
                "rule":"type",
                "schema":"a.yaml#/x/type"}]},{"detail":"must be a string, not null",
                "in":"query",
                "parameter":"filter",
                "pointer":"#/a",
                "rule":"type",
                "schema":"a.yaml#/x/type"}],
                "more_errors":3}
                body #/items/0/%7Bx%7D must be a string, not null, and 4 more
            "##]],
        );
        check(
            &Refusal::invalid(vec![body("")], Some(0)),
            Sender::Client,
            expect![[r##"
            400 schema/invalid
            "The request differs from its description in one thing.",
            "errors":[
            {"detail":"must be a string, not null",
            "pointer":"#",
            "rule":"type",
            "schema":"a.yaml#/x/type"}]}
            body # must be a string, not null
        "##]],
        );
        check(
            &Refusal::invalid(vec![body(&"/x".repeat(999))], None),
            Sender::Client,
            expect![[r##"
                400 schema/invalid
                "The request differs from its description in many things.",
                "errors":[
                {"detail":"must be a string, not null",
                "pointer":"#/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/…",
                "rule":"type",
                "schema":"a.yaml#/x/type"}],
                "more_errors":true}
                body #/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/… must be a string, not null, and many more
            "##]],
        );
    }

    #[test]
    fn an_answer_has_a_size() {
        let many = vec![body(&"/é".repeat(999)); 1000];
        let Answer { body, .. } = Refusal::invalid(many, Some(0)).answer(Sender::Client, 400, None);
        let problem: Value = serde_json::from_str(&body).unwrap();
        let listed = problem["errors"].as_array().unwrap().len();
        assert!(listed > 20 && body.len() < 40_000, "{listed} of {} bytes", body.len());
        assert_eq!(problem["more_errors"], 1000 - listed);
    }

    #[test]
    fn faults_of_bodies() {
        let flaw = |flaw, at: &str| {
            let refusal = guard::Refusal { flaw, at: 7, pointer: Pointer::from_text(at) };
            Refusal::of_fault(Fault::Json(refusal))
        };
        check(
            &flaw(guard::Flaw::DuplicateKey, "/a/b"),
            Sender::Client,
            expect![[r##"
            400 schema/malformed
            "The body is not what its Content-Type says, or is beyond a bound.",
            "errors":[
            {"detail":"occurs twice in its object",
            "pointer":"#/a/b",
            "rule":"duplicate-key"}]}
            body #/a/b occurs twice in its object
        "##]],
        );
        assert_eq!(flaw(guard::Flaw::Size(3), ""), Refusal::new(Reason::Size));
        check(
            &Refusal::of_fault(Fault::NotUtf8),
            Sender::Client,
            expect![[r##"
            400 schema/malformed
            "The body is not what its Content-Type says, or is beyond a bound.",
            "errors":[
            {"detail":"is not UTF-8",
            "pointer":"#",
            "rule":"unicode"}]}
            body # is not UTF-8
        "##]],
        );
        let form = Fault::Form("has a field `a` that is there more than once".to_owned());
        check(
            &Refusal::of_fault(form),
            Sender::Client,
            expect![[r##"
            400 schema/malformed
            "The body is not what its Content-Type says, or is beyond a bound.",
            "errors":[
            {"detail":"has a field `a` that is there more than once",
            "pointer":"#",
            "rule":"form"}]}
            body # has a field `a` that is there more than once
        "##]],
        );
    }

    #[test]
    fn an_upstream_is_not_exposed() {
        check(
            &Refusal::invalid(vec![body("/a")], Some(0)),
            Sender::Upstream,
            expect![[r#"
            502 schema/response
            "The server behind this one gave an answer that is not as described."}
            body #/a must be a string, not null
        "#]],
        );
    }

    #[test]
    fn refusals_say_what_would_be_accepted() {
        let check = |reason, expected| check(&Refusal::new(reason), Sender::Client, expected);
        check(
            Reason::Path,
            expect![[r#"
            404 schema/path
            "The API's description has no such path."}
            the path is not described
        "#]],
        );
        check(
            Reason::Method { allow: "GET, PUT".to_owned() },
            expect![[r#"
            405 schema/method
            allow: GET, PUT
            "Use one of GET, PUT."}
            the method is none of GET, PUT
        "#]],
        );
        check(
            Reason::MediaType { accept: "application/json".to_owned() },
            expect![[r#"
            415 schema/content-type
            accept: application/json
            "Send a body of type application/json."}
            the body is not of type application/json
        "#]],
        );
        check(
            Reason::Coding { accept: "identity" },
            expect![[r#"
            415 schema/content-encoding
            accept-encoding: identity
            "Send the body as identity."}
            the body's coding is not decoded
        "#]],
        );
        check(
            Reason::Size,
            expect![[r#"
            413 schema/size
            "The body is larger than what can be checked here."}
            the body is larger than what is looked into
        "#]],
        );
        check(
            Reason::Encoded,
            expect![[r#"
            400 schema/encoded
            "The body is not what its Content-Encoding says."}
            the body is not what its coding says
        "#]],
        );
        check(
            Reason::Malformed,
            expect![[r#"
            400 schema/malformed
            "The body is not what its Content-Type says, or is beyond a bound."}
            the body is not what its type says
        "#]],
        );
        check(
            Reason::Cost,
            expect![[r#"
            400 schema/cost
            "To check the body would take more work than one request is worth."}
            to check the body takes too much work
        "#]],
        );
    }
}
