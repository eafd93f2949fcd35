//! An API's description made ready: OpenAPI 3.0 or 3.1.
//!
//! Everything is read when the agent starts: references are followed, schemas compiled, and what cannot be
//! checked is said with its file and line. What would be checked otherwise than its author means is
//! a fault, and the description is not used.

mod body;
mod operation;
mod parameter;
mod paths;
mod report;
mod schemas;
mod servers;
mod style;

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use self::{
    body::Content,
    operation::{Head, Operation},
    paths::{Captures, Paths, TemplateError},
    report::Report,
    schemas::{Desk, Schemas},
    style::Coding,
};
use super::{
    body::{Judgement, Look},
    checker::{Checker, Dialect, Finding, NoFiles, Source},
    document::{Folder, Part, Place},
    media::MediaType,
    pointer::Pointer,
    violation::{Violation, shortened},
};

/// A description made ready.
pub(super) struct Api {
    paths: Paths<Methods>,
    operations: Vec<Operation>,
    requests: Checker,
    /// `None` if responses are not checked.
    responses: Option<Checker>,
}

/// How a description is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'o> {
    /// What request paths have in front; `None`: as `servers` say.
    pub(super) base_path: Option<&'o str>,
    pub(super) dialect: Dialect,
    /// Whether responses are checked.
    pub(super) responses: bool,
}

/// A version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V3_0,
    V3_1,
}

/// Whose messages a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

impl Direction {
    /// The keyword of properties that are not for it.
    fn hides(self) -> &'static str {
        match self {
            Self::Request => "readOnly",
            Self::Response => "writeOnly",
        }
    }
}

/// The head of a request, as far as a description is concerned.
#[derive(Clone, Copy)]
pub(super) struct RequestHead<'h> {
    pub(super) method: &'h str,
    pub(super) path: &'h str,
    pub(super) query: Option<&'h str>,
    pub(super) fields: &'h dyn Fields,
}

/// The fields of a message.
pub(super) trait Fields {
    /// The values of a field's lines; its name is in any case.
    fn lines(&self, name: &str) -> Vec<&[u8]>;
}

/// What a request is to a description.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A request to the operation of this number.
    Operation {
        number: usize,
        /// What is wrong with its parameters.
        violations: Vec<Violation>,
    },
    /// The path is there, with these methods only.
    Methods(Vec<String>),
    /// There is no such path.
    Nothing,
}

/// What is said about a message's body before it is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyRule {
    /// It passes unseen, or there is none.
    Unseen,
    /// It is to be looked into.
    Seen,
    /// It is missing, or there is one and must not be.
    Violates(Box<Violation>),
    /// It is of another type than these.
    Type(String),
}

/// Operations of one description.
const OPERATIONS: usize = 20_000;

impl Api {
    /// Reads a description. Notes say what is not checked; the error has a line for each fault.
    pub(super) fn load(
        file: &Path,
        options: Options<'_>,
    ) -> Result<(Self, Vec<String>), Vec<String>> {
        let (folder, name) = Folder::of(file).map_err(|error| vec![error])?;
        Self::of(folder, name, options)
    }

    /// The description in the file of this name, which was read.
    pub(super) fn of(
        mut folder: Folder,
        name: String,
        options: Options<'_>,
    ) -> Result<(Self, Vec<String>), Vec<String>> {
        let mut report = Report::default();
        let place = Place { file: name, pointer: Pointer::root() };
        let root = folder.get(&place).expect("the document was just read");
        let mut desk = Desk { folder: &mut folder, report: &mut report, root: place };
        let Some(version) = version(&root, &mut desk) else {
            return Err(report.finish(&folder).err().unwrap_or_default());
        };
        let formats = options.dialect.formats != Some(false);
        let mut requests = Schemas::new(Direction::Request, version, formats);
        let mut responses = Schemas::new(Direction::Response, version, formats);
        let (paths, operations) =
            read_paths(&root, options, (&mut requests, &mut responses), &mut desk);
        let requests = compile(requests, options.dialect, &mut desk);
        let responses = options.responses.then(|| compile(responses, options.dialect, &mut desk));
        let notes = report.finish(&folder)?;
        let compiled = "what does not compile is a fault";
        let requests = requests.expect(compiled);
        let responses = responses.map(|responses| responses.expect(compiled));
        Ok((Self { paths, operations, requests, responses }, notes))
    }

    /// Finds the operation that a request is for, and checks its parameters.
    pub(super) fn find(&self, request: RequestHead<'_>, look: Look) -> Found {
        let mut found = Found::Nothing;
        let mut allowed = Vec::new();
        self.paths.visit(request.path, &mut |methods, captures| {
            let of = |wanted: &str| methods.iter().find(|(method, _)| method == wanted);
            // HEAD asks for what GET would be answered with (RFC 9110 §9.3.2).
            let is_head = request.method == "HEAD";
            let own = of(request.method).or_else(|| is_head.then(|| of("GET")).flatten());
            let Some((_, number)) = own else {
                allowed.extend(methods.iter().map(|(method, _)| method.clone()));
                return false;
            };
            let violations = self.check_parameters(*number, request, captures, look);
            found = Found::Operation { number: *number, violations };
            true
        });
        if found == Found::Nothing && !allowed.is_empty() {
            allowed.sort();
            allowed.dedup();
            return Found::Methods(allowed);
        }
        found
    }

    fn check_parameters(
        &self,
        number: usize,
        request: RequestHead<'_>,
        captures: Captures<'_, '_>,
        look: Look,
    ) -> Vec<Violation> {
        let operation = &self.operations[number];
        let query = match style::pairs(request.query.unwrap_or_default(), '&', Coding::Form) {
            Ok(query) if query.len() <= look.limits.keys => query,
            Ok(_) => {
                let message = format!("has more than {} parameters", look.limits.keys);
                return vec![operation.violation_in_query("", message)];
            }
            Err(name) => {
                let message = "has a name that is not percent-encoded UTF-8".to_owned();
                return vec![operation.violation_in_query(name, message)];
            }
        };
        let lines = request.fields.lines("cookie");
        // A cookie that is not UTF-8 is none that a description can name.
        let lines: Vec<&str> =
            lines.iter().filter_map(|line| std::str::from_utf8(line).ok()).collect();
        let cookies = lines.iter().flat_map(|line| style::pairs(line, ';', Coding::Plain));
        let cookies: Vec<_> = cookies.flatten().collect();
        let head = Head { captures, query: &query, cookies: &cookies, fields: request.fields };
        operation.check_parameters(&head, &self.requests, look)
    }

    /// The name of an operation: `GET /pets/{id}`.
    pub(super) fn name(&self, number: usize) -> &str {
        &self.operations[number].name
    }

    /// What a request's body has to be.
    pub(super) fn request_body_rule(
        &self,
        number: usize,
        media: Option<&MediaType>,
        has_body: bool,
    ) -> BodyRule {
        let operation = &self.operations[number];
        match &operation.body {
            Some(body) if !has_body && body.required => {
                operation.violation("required", "must have a body")
            }
            None if has_body => operation.violation("requestBody", "must not have a body"),
            _ if !has_body => BodyRule::Unseen,
            Some(body) => body_rule(&body.content, media),
            None => BodyRule::Unseen,
        }
    }

    /// Looks at a request's body.
    pub(super) fn check_request_body(
        &self,
        number: usize,
        media: &MediaType,
        body: &[u8],
        look: Look,
    ) -> Judgement {
        match &self.operations[number].body {
            Some(own) => own.content.check(media, body, &self.requests, look),
            None => Ok(Finding::Fits),
        }
    }

    /// What is wrong with the head of an answer; `None` if its status is not described.
    pub(super) fn check_response_head(
        &self,
        (number, status): (usize, u16),
        fields: &dyn Fields,
        look: Look,
    ) -> Option<Vec<Violation>> {
        let response = self.operations[number].response(status)?;
        let Some(checker) = &self.responses else { return Some(Vec::new()) };
        Some(response.check_headers(fields, checker, look))
    }

    /// What an answer's body has to be.
    pub(super) fn response_body_rule(
        &self,
        (number, status): (usize, u16),
        media: Option<&MediaType>,
        has_body: bool,
    ) -> BodyRule {
        match self.operations[number].response(status) {
            Some(response) if has_body && !response.content.is_empty() => {
                body_rule(&response.content, media)
            }
            _ => BodyRule::Unseen,
        }
    }

    /// Looks at an answer's body.
    pub(super) fn check_response_body(
        &self,
        (number, status): (usize, u16),
        media: &MediaType,
        body: &[u8],
        look: Look,
    ) -> Judgement {
        match (self.operations[number].response(status), &self.responses) {
            (Some(response), Some(checker)) => response.content.check(media, body, checker, look),
            _ => Ok(Finding::Fits),
        }
    }
}

fn body_rule(content: &Content, media: Option<&MediaType>) -> BodyRule {
    match media {
        Some(media) if content.looks_into(media) => BodyRule::Seen,
        Some(media) if content.takes(media) => BodyRule::Unseen,
        _ => BodyRule::Type(content.accepted()),
    }
}

/// Compiles all schemas of one direction together, so that each is there once however many refer to it.
fn compile(schemas: Schemas, dialect: Dialect, desk: &mut Desk<'_>) -> Option<Checker> {
    let (schema, origins) = schemas.finish(desk);
    let source = Source::Copies(origins.iter().map(Place::to_string).collect());
    match Checker::new(&schema, "description:///", NoFiles, dialect, source) {
        Ok(checker) => Some(checker),
        Err(faults) => {
            faults.iter().for_each(|(path, what)| fault_in_copy(path, what, &origins, desk));
            None
        }
    }
}

/// Reports a fault at `path`, which begins with the number of a copy, where the copy is from.
fn fault_in_copy(path: &str, what: &str, origins: &[Place], desk: &mut Desk<'_>) {
    let mut steps = Pointer::from_text(path).steps().skip(1).collect::<Vec<_>>().into_iter();
    let origin = steps.next().and_then(|number| origins.get(number.parse::<usize>().ok()?));
    match origin {
        Some(origin) => {
            desk.report.fault(&steps.fold(origin.clone(), |at, step| at.join(&step)), what)
        }
        None => desk.report.fault(&desk.root.clone(), what),
    }
}

fn version(root: &Part, desk: &mut Desk<'_>) -> Option<Version> {
    let written = match root.value().get("openapi") {
        Some(Value::String(text)) => text.clone(),
        Some(number @ Value::Number(_)) => number.to_string(),
        _ => {
            desk.report.fault(&root.place, "has no `openapi`: it is no description of OpenAPI 3");
            return None;
        }
    };
    let is = |version: &str| written == version || written.starts_with(&format!("{version}."));
    let version = match () {
        () if is("3.0") => Version::V3_0,
        () if is("3.1") => Version::V3_1,
        () => {
            let what = format!("is version {}; 3.0 and 3.1 are understood", shortened(&written));
            desk.report.fault(&root.place.join("openapi"), what);
            return None;
        }
    };
    let dialect = root.text("jsonSchemaDialect").filter(|_| version == Version::V3_1);
    if dialect.is_some_and(|dialect| !schemas::is_own_dialect(dialect)) {
        let place = root.place.join("jsonSchemaDialect");
        desk.report.fault(&place, "names a dialect other than OpenAPI's own");
    }
    if root.value().get("security").is_some() {
        desk.report.note(&root.place.join("security"), "is left to the agent `auth`");
    }
    if root.value().get("webhooks").is_some() {
        let what = "describes requests that do not come by here; it is not checked";
        desk.report.note(&root.place.join("webhooks"), what);
    }
    Some(version)
}

/// Operations of one path, by method.
type Methods = Vec<(String, usize)>;

type Read = (Paths<Methods>, Vec<Operation>);

fn read_paths(
    root: &Part,
    options: Options<'_>,
    (requests, responses): (&mut Schemas, &mut Schemas),
    desk: &mut Desk<'_>,
) -> Read {
    let mut paths = Paths::new();
    let mut operations = Vec::new();
    let Some(all) = root.member("paths") else {
        desk.report.fault(&root.place, "has no `paths`");
        return (paths, operations);
    };
    for (template, item) in all.members() {
        if template.starts_with("x-") {
            continue;
        }
        let Some(item) = desk.follow(item) else { continue };
        let read = Operation::read_all(&template, &item, (requests, responses), desk);
        // Operations of one path may be at different servers.
        let mut at: BTreeMap<String, Methods> = BTreeMap::new();
        for (method, part, operation) in read {
            for base in servers::bases(&[&part, &item, root], options.base_path, desk) {
                at.entry(base).or_default().push((method.clone(), operations.len()));
            }
            operations.push(operation);
        }
        for (base, methods) in at {
            if let Err(error) = paths.insert(&format!("{base}{template}"), methods) {
                desk.report.fault(&all.place.join(&template), describe(&error));
            }
        }
    }
    if operations.len() > OPERATIONS {
        desk.report.fault(&all.place, format!("has more than {OPERATIONS} operations"));
    }
    (paths, operations)
}

fn describe(error: &TemplateError) -> String {
    match error {
        TemplateError::Relative => "does not begin with `/`".to_owned(),
        TemplateError::Braces => "has braces that do not match".to_owned(),
        TemplateError::Adjacent => "has two parameters with nothing between them".to_owned(),
        TemplateError::Twice(name) => format!("has the parameter `{name}` twice"),
        TemplateError::Ambiguous => "matches the same paths as another template".to_owned(),
    }
}

#[cfg(test)]
mod tests;
