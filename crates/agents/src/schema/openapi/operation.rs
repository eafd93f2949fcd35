//! Operations: what a request to one may be, and what it is answered with.

use std::collections::BTreeSet;

use super::{
    BodyRule, Fields,
    body::Content,
    parameter::{Given, Location, Parameter},
    paths::Captures,
    schemas::{Desk, Schemas},
    style::Pairs,
};
use crate::schema::{
    body::Look,
    checker::Checker,
    document::Part,
    pointer::Pointer,
    violation::{Place, Violation},
};

/// An operation made ready.
#[derive(Debug)]
pub(super) struct Operation {
    /// `GET /pets/{id}`.
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) responses: Vec<Response>,
    /// Where it is written.
    pub(super) source: String,
}

/// What a request's body may be.
#[derive(Debug)]
pub(super) struct RequestBody {
    pub(super) required: bool,
    pub(super) content: Content,
}

/// What answers of some statuses may be.
#[derive(Debug)]
pub(super) struct Response {
    statuses: Statuses,
    pub(super) headers: Vec<Parameter>,
    pub(super) content: Content,
}

/// Statuses, the most special first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Statuses {
    One(u16),
    /// `2XX` by its first digit.
    Class(u16),
    Default,
}

/// The parts of a request's head that parameters are in.
pub(super) struct Head<'h> {
    pub(super) captures: Captures<'h, 'h>,
    pub(super) query: &'h Pairs<'h>,
    pub(super) cookies: &'h Pairs<'h>,
    pub(super) fields: &'h dyn Fields,
}

/// The methods that a path item can have an operation for.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

impl Operation {
    /// Reads every operation of a path item, by method.
    pub(super) fn read_all(
        path: &str,
        item: &Part,
        (requests, responses): (&mut Schemas, &mut Schemas),
        desk: &mut Desk<'_>,
    ) -> Vec<(String, Part, Self)> {
        let shared = read_parameters(item, requests, desk);
        let mut operations = Vec::new();
        for (name, part) in item.members() {
            if METHODS.contains(&name.as_str()) {
                let method = name.to_ascii_uppercase();
                let mut operation = Self {
                    name: format!("{method} {path}"),
                    parameters: read_parameters(&part, requests, desk),
                    body: read_body(&part, requests, desk),
                    responses: read_responses(&part, responses, desk),
                    source: part.place.to_string(),
                };
                operation.inherit(&shared);
                operation.check_template(path, &part, desk);
                note_others(&part, &OPERATION, desk);
                operations.push((method, part, operation));
            } else if !["parameters", "servers", "summary", "description", "$ref"]
                .contains(&name.as_str())
                && !name.starts_with("x-")
            {
                desk.report.note(&part.place, "is nothing that a path has; it checks nothing");
            }
        }
        operations
    }

    fn inherit(&mut self, shared: &[Parameter]) {
        for parameter in shared {
            if !self.parameters.iter().any(|own| own.is_same_as(parameter)) {
                self.parameters.push(parameter.clone());
            }
        }
    }

    /// Compares the path's parameters with those of the template.
    fn check_template(&self, path: &str, part: &Part, desk: &mut Desk<'_>) {
        let in_path = |parameter: &&Parameter| parameter.location == Location::Path;
        let described: BTreeSet<&str> =
            self.parameters.iter().filter(in_path).map(|own| own.wanted.name.as_str()).collect();
        let pieces = path.split('{').skip(1).filter_map(|piece| piece.split('}').next());
        let written: BTreeSet<&str> = pieces.collect();
        for name in written.difference(&described) {
            let what = format!("does not describe the parameter `{name}` of its path");
            desk.report.fault(&part.place, what);
        }
        for name in described.difference(&written) {
            let what = format!("describes a parameter `{name}` that its path does not have");
            desk.report.fault(&part.place, what);
        }
    }

    /// Says what is wrong with a request's parameters.
    pub(super) fn check_parameters(
        &self,
        head: &Head<'_>,
        checker: &Checker,
        look: Look,
    ) -> Vec<Violation> {
        let mut violations = Vec::new();
        for parameter in &self.parameters {
            let name = parameter.wanted.name.as_str();
            let found = match parameter.location {
                Location::Path => {
                    let texts: Vec<&[u8]> =
                        head.captures.get(name).into_iter().map(str::as_bytes).collect();
                    parameter.check(Given::Texts(&texts), checker, look)
                }
                Location::Header => {
                    parameter.check(Given::Texts(&head.fields.lines(name)), checker, look)
                }
                Location::Query => parameter.check(Given::Pairs(head.query), checker, look),
                Location::Cookie => parameter.check(Given::Pairs(head.cookies), checker, look),
            };
            violations.extend(found);
        }
        violations
    }

    /// That the query cannot be taken apart.
    pub(super) fn violation_in_query(&self, name: &str, message: String) -> Violation {
        let pointer = Pointer::root();
        Violation {
            place: Place::Parameter { location: "query", name: name.to_owned(), pointer },
            rule: "style".to_owned(),
            source: self.source.clone(),
            message,
            closest: Vec::new(),
        }
    }

    /// That the message as a whole violates `rule`.
    pub(super) fn violation(&self, rule: &str, message: &str) -> BodyRule {
        BodyRule::Violates(Box::new(Violation {
            place: Place::Body(Pointer::root()),
            rule: rule.to_owned(),
            source: self.source.clone(),
            message: message.to_owned(),
            closest: Vec::new(),
        }))
    }

    /// What is said of answers with this status.
    pub(super) fn response(&self, status: u16) -> Option<&Response> {
        let matches = |own: &&Response| match own.statuses {
            Statuses::One(one) => one == status,
            Statuses::Class(digit) => digit == status / 100,
            Statuses::Default => true,
        };
        self.responses.iter().filter(matches).min_by_key(|own| own.statuses)
    }
}

impl Response {
    /// Says what is wrong with an answer's fields.
    pub(super) fn check_headers(
        &self,
        fields: &dyn Fields,
        checker: &Checker,
        look: Look,
    ) -> Vec<Violation> {
        let check = |header: &Parameter| {
            header.check(Given::Texts(&fields.lines(&header.wanted.name)), checker, look)
        };
        self.headers.iter().flat_map(check).collect()
    }
}

fn read_parameters(part: &Part, schemas: &mut Schemas, desk: &mut Desk<'_>) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for item in part.member("parameters").map(|all| all.items()).unwrap_or_default() {
        let Some(found) = desk.follow(item.clone()) else { continue };
        let Some(parameter) = Parameter::read(&found, schemas, desk) else { continue };
        if parameters.iter().any(|own| own.is_same_as(&parameter)) {
            desk.report.fault(&item.place, "describes a parameter for the second time");
        }
        parameters.push(parameter);
    }
    parameters
}

fn read_body(part: &Part, schemas: &mut Schemas, desk: &mut Desk<'_>) -> Option<RequestBody> {
    let body = desk.follow(part.member("requestBody")?)?;
    let Some(content) = body.member("content") else {
        desk.report.fault(&body.place, "has no `content`");
        return None;
    };
    Some(RequestBody {
        required: body.flag("required") == Some(true),
        content: Content::read(&content, schemas, desk),
    })
}

fn read_responses(part: &Part, schemas: &mut Schemas, desk: &mut Desk<'_>) -> Vec<Response> {
    let mut responses = Vec::new();
    for (name, response) in part.member("responses").map(|all| all.members()).unwrap_or_default() {
        if name.starts_with("x-") {
            continue;
        }
        let Some(statuses) = Statuses::parse(&name) else {
            desk.report
                .fault(&response.place, "is no status, no class as `2XX`, and not `default`");
            continue;
        };
        let Some(response) = desk.follow(response) else { continue };
        let mut headers = Vec::new();
        for (name, header) in
            response.member("headers").map(|all| all.members()).unwrap_or_default()
        {
            let header = desk.follow(header);
            headers
                .extend(header.and_then(|own| Parameter::read_header(&own, &name, schemas, desk)));
        }
        let content = response.member("content");
        let content = content.map(|own| Content::read(&own, schemas, desk)).unwrap_or_default();
        note_others(&response, &["description", "headers", "content", "summary"], desk);
        responses.push(Response { statuses, headers, content });
    }
    responses
}

impl Statuses {
    fn parse(text: &str) -> Option<Self> {
        if text == "default" {
            return Some(Self::Default);
        }
        let digit = |at: usize| char::to_digit(text.chars().nth(at)?, 10);
        let first = u16::try_from(digit(0).filter(|digit| (1..=5).contains(digit))?).ok()?;
        match text.get(1..)? {
            "XX" | "xx" => Some(Self::Class(first)),
            rest if rest.len() == 2 => {
                Some(Self::One(first * 100 + u16::try_from(digit(1)? * 10 + digit(2)?).ok()?))
            }
            _ => None,
        }
    }
}

/// What an operation says that is read here, or that says nothing about messages.
const OPERATION: [&str; 11] = [
    "tags",
    "summary",
    "description",
    "externalDocs",
    "operationId",
    "parameters",
    "requestBody",
    "responses",
    "deprecated",
    "servers",
    "security",
];

/// Notes what else is there.
fn note_others(part: &Part, known: &[&str], desk: &mut Desk<'_>) {
    for (name, member) in part.members() {
        let what = match name.as_str() {
            name if known.contains(&name) || name.starts_with("x-") => continue,
            "callbacks" | "links" => {
                "describes requests that do not come by here; it is not checked"
            }
            _ => "is nothing that is known here; it checks nothing",
        };
        desk.report.note(&member.place, what);
    }
}
