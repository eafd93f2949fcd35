//! What of descriptions and schemas is for a message, and what comes of it.

use selvedge_config::schema::{
    Bounds, Document, Patterns, RouteOptions, Settings, Side, Undocumented,
};

use super::{
    answer::{Reason, Refusal},
    body::{Judgement, Look},
    checker::{self, Dialect, Finding, Violations},
    guard::Limits,
    media::MediaType,
    openapi::{Api, BodyRule, Fields, Found, Options, RequestHead},
    pointer::Pointer,
    single::Single,
    violation::{Place, Violation},
};
use crate::coding::{CodingFault, Codings};

/// Everything that an agent goes by.
pub(super) struct Rules {
    documents: Vec<Described>,
    singles: Vec<Single>,
    look: Look,
    report_only: bool,
    /// Whether responses are checked against documents.
    response: bool,
    status: u16,
    decode: bool,
}

/// An API's description, and what is not in it.
struct Described {
    id: String,
    api: Api,
    undocumented: Undocumented,
}

/// The head of a message.
#[derive(Clone, Copy)]
pub(super) struct Message<'m> {
    /// Of the request, as are path and query.
    pub(super) method: &'m str,
    pub(super) path: &'m str,
    pub(super) query: Option<&'m str>,
    pub(super) fields: &'m dyn Fields,
    pub(super) has_body: bool,
}

/// What a route goes by: numbers of documents and of schemas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    documents: Vec<usize>,
    singles: Vec<usize>,
}

/// An operation of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    document: usize,
    number: usize,
}

/// A body that is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    side: Side,
    media: MediaType,
    codings: Codings,
    /// The status, if it is a response.
    status: u16,
    /// The operation, if it says what the body is.
    operation: Option<Operation>,
    /// The schemas that it is checked against.
    singles: Vec<usize>,
}

/// A response that is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    chosen: Chosen,
    operation: Option<Operation>,
}

/// What is said of a head.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ruling {
    pub(super) refusal: Option<Refusal>,
    /// Its body, if that is to be looked at.
    pub(super) due: Option<Due>,
    /// The response to a request, if that is to be looked at.
    pub(super) awaited: Option<Awaited>,
}

impl Rules {
    /// Reads all documents and schemas. Beside the rules come notes on what is not checked; the error tells
    /// every fault.
    pub(super) fn read(settings: &Settings) -> Result<(Self, Vec<String>), String> {
        let Settings {
            documents,
            schemas,
            bounds,
            report_only,
            response,
            status,
            formats,
            patterns,
            decode,
        } = settings;
        let patterns = match patterns {
            Patterns::Linear => checker::Patterns::Linear,
            Patterns::Backtracking => checker::Patterns::Backtracking,
        };
        let dialect = Dialect { formats: Some(*formats), patterns };
        let (mut notes, mut faults) = (Vec::new(), Vec::new());
        let told = |id: &str, lines: Vec<String>| {
            lines.into_iter().map(|line| format!("`{id}`: {line}")).collect::<Vec<_>>()
        };
        let mut own_documents = Vec::new();
        for Document { id, file, base_path, undocumented } in documents {
            let options =
                Options { base_path: base_path.as_deref(), dialect, responses: *response };
            match Api::load(file, options) {
                Ok((api, lines)) => {
                    notes.extend(told(id, lines));
                    let undocumented = *undocumented;
                    own_documents.push(Described { id: id.clone(), api, undocumented });
                }
                Err(lines) => faults.extend(told(id, lines)),
            }
        }
        let mut singles = Vec::new();
        for schema in schemas {
            match Single::load(schema, dialect) {
                Ok((single, lines)) => {
                    notes.extend(told(&schema.id, lines));
                    singles.push(single);
                }
                Err(lines) => faults.extend(told(&schema.id, lines)),
            }
        }
        if !faults.is_empty() {
            return Err(faults.join("\n"));
        }
        let rules = Self {
            documents: own_documents,
            singles,
            look: look(bounds),
            report_only: *report_only,
            response: *response,
            status: *status,
            decode: *decode,
        };
        Ok((rules, notes))
    }

    /// The status of answers to requests that are not as described.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether nothing is refused where a route does not say otherwise.
    pub(super) fn report_only(&self) -> bool {
        self.report_only
    }

    /// Bytes of a body that are looked at.
    pub(super) fn body_max(&self) -> u32 {
        u32::try_from(self.look.limits.size).unwrap_or(u32::MAX)
    }

    /// Whether bodies of requests are looked at.
    pub(super) fn looks_at_requests(&self) -> bool {
        !self.documents.is_empty() || self.singles.iter().any(|own| own.side == Side::Request)
    }

    /// Whether responses are looked at.
    pub(super) fn looks_at_responses(&self) -> bool {
        (self.response && !self.documents.is_empty())
            || self.singles.iter().any(|own| own.side == Side::Response)
    }

    /// What a route goes by; `None` if it names what is not there.
    pub(super) fn choose(&self, options: &RouteOptions) -> Option<Chosen> {
        let RouteOptions { documents, schemas, report_only: _ } = options;
        if documents.is_empty() && schemas.is_empty() {
            return Some(Chosen {
                documents: (0..self.documents.len()).collect(),
                singles: (0..self.singles.len()).collect(),
            });
        }
        let document = |id: &String| self.documents.iter().position(|own| own.id == *id);
        let single = |id: &String| self.singles.iter().position(|own| own.id == *id);
        Some(Chosen {
            documents: documents.iter().map(document).collect::<Option<_>>()?,
            singles: schemas.iter().map(single).collect::<Option<_>>()?,
        })
    }

    /// Judges the head of a request.
    pub(super) fn request_head(&self, message: &Message<'_>, chosen: &Chosen) -> Ruling {
        let mut ruling = Ruling::default();
        let operation = match self.find(message, chosen) {
            Ok(Some((operation, violations))) => {
                ruling.refusal = (!violations.is_empty()).then(|| self.invalid(violations));
                Some(operation)
            }
            Ok(None) => None,
            Err(refusal) => {
                ruling.refusal = Some(refusal);
                None
            }
        };
        let singles = self.singles_for(Side::Request, message, chosen);
        let rule = operation.map(|Operation { document, number }| {
            let media = media(message.fields);
            let api = &self.documents[document].api;
            self.or_pass(document, api.request_body_rule(number, media.as_ref(), message.has_body))
        });
        // When nothing is refused, what else is wrong is of interest still.
        match self.due(Side::Request, message, (operation, rule, singles), 0) {
            Ok(due) => ruling.due = due,
            Err(refusal) => {
                ruling.refusal.get_or_insert(refusal);
            }
        }
        let is_awaited = (self.response && operation.is_some())
            || !self.singles_for(Side::Response, message, chosen).is_empty();
        ruling.awaited = is_awaited.then(|| Awaited { chosen: chosen.clone(), operation });
        ruling
    }

    /// Finds the operation that a request is for; nothing if it may be for none.
    fn find(
        &self,
        message: &Message<'_>,
        chosen: &Chosen,
    ) -> Result<Option<(Operation, Vec<Violation>)>, Refusal> {
        let Message { method, path, query, fields, has_body: _ } = *message;
        let request = RequestHead { method, path, query, fields };
        let mut allowed: Vec<String> = Vec::new();
        let mut passes = chosen.documents.is_empty();
        for document in &chosen.documents {
            let Described { api, undocumented, .. } = &self.documents[*document];
            match api.find(request, self.look) {
                Found::Operation { number, violations } => {
                    return Ok(Some((Operation { document: *document, number }, violations)));
                }
                Found::Methods(methods) => allowed.extend(methods),
                Found::Nothing => {}
            }
            passes |= *undocumented == Undocumented::Pass;
        }
        if passes || is_preflight_of(message, &allowed) {
            return Ok(None);
        }
        if allowed.is_empty() {
            return Err(Refusal::new(Reason::Path));
        }
        allowed.sort();
        allowed.dedup();
        Err(Refusal::new(Reason::Method { allow: allowed.join(", ") }))
    }

    fn singles_for(&self, side: Side, message: &Message<'_>, chosen: &Chosen) -> Vec<usize> {
        let is_for = |number: &usize| {
            let single = &self.singles[*number];
            single.side == side && single.is_for(message.method, message.path)
        };
        chosen.singles.iter().copied().filter(is_for).collect()
    }

    /// A body of a type that is not described is one more thing that a document may let pass.
    fn or_pass(&self, document: usize, rule: BodyRule) -> BodyRule {
        let passes = self.documents[document].undocumented == Undocumented::Pass;
        if passes && matches!(rule, BodyRule::Type(_)) { BodyRule::Unseen } else { rule }
    }

    /// Judges what a head says of its body, by what an operation and schemas say.
    fn due(
        &self,
        side: Side,
        message: &Message<'_>,
        (operation, rule, singles): (Option<Operation>, Option<BodyRule>, Vec<usize>),
        status: u16,
    ) -> Result<Option<Due>, Refusal> {
        let mut seen = false;
        match rule {
            Some(BodyRule::Type(accept)) => return Err(Refusal::new(Reason::MediaType { accept })),
            Some(BodyRule::Violates(violation)) => return Err(self.invalid(vec![*violation])),
            Some(BodyRule::Seen) => seen = true,
            Some(BodyRule::Unseen) | None => {}
        }
        let media = media(message.fields);
        let singles = self.singles_of_type(side, message, media.as_ref(), singles)?;
        let Some(media) = media.filter(|_| message.has_body && (seen || !singles.is_empty()))
        else {
            return Ok(None);
        };
        if media.is_foreign_text() {
            let accept = format!("{}; charset=utf-8", media.essence);
            return Err(Refusal::new(Reason::MediaType { accept }));
        }
        let codings = Codings::read(&message.fields.lines("content-encoding"));
        let decodes = side == Side::Response || self.decode;
        let is_readable = codings.is_identity() || (decodes && codings.is_known());
        if !is_readable {
            let accept = if decodes { "gzip, deflate" } else { "identity" };
            return Err(Refusal::new(Reason::Coding { accept }));
        }
        let operation = operation.filter(|_| seen);
        Ok(Some(Due { side, media, codings, status, operation, singles }))
    }

    /// Those of `singles` that are for a body of this type. A request's has to be of a type that they are
    /// for, and has to be there where requests have one.
    fn singles_of_type(
        &self,
        side: Side,
        message: &Message<'_>,
        media: Option<&MediaType>,
        mut singles: Vec<usize>,
    ) -> Result<Vec<usize>, Refusal> {
        if !message.has_body {
            let lacks =
                singles.iter().find(|number| self.singles[**number].needs_body(message.method));
            return match lacks {
                Some(number) => Err(self.invalid(vec![lacks_body(&self.singles[*number].id)])),
                None => Ok(Vec::new()),
            };
        }
        let takes = |number: &usize| media.is_some_and(|media| self.singles[*number].takes(media));
        if side == Side::Request
            && let Some(other) = singles.iter().find(|number| !takes(number))
        {
            let accept = self.singles[*other].accepted();
            return Err(Refusal::new(Reason::MediaType { accept }));
        }
        singles.retain(takes);
        Ok(singles)
    }

    fn invalid(&self, mut violations: Vec<Violation>) -> Refusal {
        let more = violations.len().saturating_sub(self.look.most);
        violations.truncate(self.look.most);
        Refusal::invalid(violations, Some(more))
    }

    /// Judges the head of a response.
    pub(super) fn response_head(
        &self,
        message: &Message<'_>,
        status: u16,
        Awaited { chosen, operation }: &Awaited,
    ) -> Ruling {
        let mut ruling = Ruling::default();
        let operation = operation.filter(|_| self.response);
        let rule = operation.map(|operation| {
            let violations = self.response_fields(message, status, operation);
            ruling.refusal = (!violations.is_empty()).then(|| self.invalid(violations));
            let Operation { document, number } = operation;
            let (api, media) = (&self.documents[document].api, media(message.fields));
            let rule = api.response_body_rule((number, status), media.as_ref(), message.has_body);
            self.or_pass(document, rule)
        });
        let singles = self.singles_for(Side::Response, message, chosen);
        match self.due(Side::Response, message, (operation, rule, singles), status) {
            Ok(due) => ruling.due = due,
            Err(refusal) => {
                ruling.refusal.get_or_insert(refusal);
            }
        }
        ruling
    }

    /// What is wrong with the status and the fields of a response.
    fn response_fields(
        &self,
        message: &Message<'_>,
        status: u16,
        Operation { document, number }: Operation,
    ) -> Vec<Violation> {
        let Described { api, undocumented, .. } = &self.documents[document];
        match api.check_response_head((number, status), message.fields, self.look) {
            Some(violations) => violations,
            None if *undocumented == Undocumented::Pass => Vec::new(),
            None => vec![not_described(api.name(number), status)],
        }
    }

    /// Judges a body.
    pub(super) fn body(&self, due: &Due, body: &[u8]) -> Option<Refusal> {
        let body = match due.codings.decode(body, self.look.limits.size) {
            Ok(body) => body,
            Err(CodingFault::Large) => return Some(Refusal::new(Reason::Size)),
            Err(CodingFault::Broken) => return Some(Refusal::new(Reason::Encoded)),
            Err(CodingFault::Unknown) => {
                return Some(Refusal::new(Reason::Coding { accept: "identity" }));
            }
        };
        if body.len() as u64 > self.look.limits.size {
            return Some(Refusal::new(Reason::Size));
        }
        let by_operation = due.operation.map(|operation| self.by_operation(operation, due, &body));
        let by_singles = due
            .singles
            .iter()
            .map(|number| self.singles[*number].check(&due.media, &body, self.look));
        self.sum_up(by_operation.into_iter().chain(by_singles))
    }

    fn by_operation(
        &self,
        Operation { document, number }: Operation,
        due: &Due,
        body: &[u8],
    ) -> Judgement {
        let Due { side, media, status, .. } = due;
        let api = &self.documents[document].api;
        match side {
            Side::Request => api.check_request_body(number, media, body, self.look),
            Side::Response => api.check_response_body((number, *status), media, body, self.look),
        }
    }

    /// One refusal of all that was found.
    fn sum_up(&self, judgements: impl Iterator<Item = Judgement>) -> Option<Refusal> {
        let (mut all, mut more) = (Vec::new(), Some(0));
        for judgement in judgements {
            match judgement {
                Ok(Finding::Fits) => {}
                Ok(Finding::TooCostly) => return Some(Refusal::new(Reason::Cost)),
                Err(fault) => return Some(Refusal::of_fault(fault)),
                Ok(Finding::Violates(Violations { listed, more: others })) => {
                    all.extend(listed);
                    more = more.zip(others).map(|(more, others)| more + others);
                }
            }
        }
        if all.is_empty() {
            return None;
        }
        let over = all.len().saturating_sub(self.look.most);
        all.truncate(self.look.most);
        Some(Refusal::invalid(all, more.map(|more| more + over)))
    }
}

fn look(bounds: &Bounds) -> Look {
    let Bounds { size, depth, keys, items, number_digits, string_size, violations } = bounds;
    Look {
        limits: Limits {
            size: size.0,
            depth: *depth,
            keys: *keys,
            items: *items,
            number: *number_digits,
            string: usize::try_from(string_size.0).unwrap_or(usize::MAX),
        },
        most: *violations,
    }
}

/// The one `Content-Type` of a message.
fn media(fields: &dyn Fields) -> Option<MediaType> {
    match fields.lines("content-type").as_slice() {
        [one] => MediaType::parse(std::str::from_utf8(one).ok()?),
        _ => None,
    }
}

/// Whether a browser asks whether it may use one of `methods` (Fetch, "CORS-preflight request").
fn is_preflight_of(message: &Message<'_>, methods: &[String]) -> bool {
    let asked = message.fields.lines("access-control-request-method");
    message.method == "OPTIONS"
        && !message.fields.lines("origin").is_empty()
        && matches!(asked.as_slice(), [one] if methods.iter().any(|own| own.as_bytes() == *one))
}

fn lacks_body(id: &str) -> Violation {
    Violation {
        place: Place::Body(Pointer::root()),
        rule: "required".to_owned(),
        source: id.to_owned(),
        message: "must be there".to_owned(),
        closest: Vec::new(),
    }
}

fn not_described(operation: &str, status: u16) -> Violation {
    Violation {
        place: Place::Body(Pointer::root()),
        rule: "responses".to_owned(),
        source: operation.to_owned(),
        message: format!("answers with status {status}, which is not described"),
        closest: Vec::new(),
    }
}
