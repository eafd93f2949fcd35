mod encoding;

use bytes::Bytes;

use crate::{
    attributes::VALUE_PREFIX,
    fields::{is_name, is_value},
};

/// What an agent says about one event.
///
/// A verdict is built from its decision and what goes with it; what cannot be sent (a field with a
/// line feed in it, a text longer than the protocol's) makes the whole verdict unfit, and the agent
/// abandons the stream instead, which is what [`Verdict::flaw`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    decision: Decision,
    changes: Vec<Change>,
    findings: Vec<Finding>,
    values: Vec<(String, String)>,
    reason: String,
    done: bool,
    replacement: Option<Bytes>,
    flaw: Option<&'static str>,
}

/// What happens to the exchange, as far as one agent is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// It goes on.
    #[default]
    Allow,
    /// The client gets this answer.
    Block(Answer),
    /// The client is sent elsewhere.
    Redirect {
        /// The value of `Location`.
        location: String,
        /// Status and fields; most redirects have no body.
        answer: Answer,
    },
    /// The client is asked for credentials.
    Challenge {
        /// The scheme of `WWW-Authenticate`: `Bearer`.
        scheme: String,
        /// The scheme's parameters; the edge quotes their values.
        parameters: Vec<(String, String)>,
        /// Status, fields and body.
        answer: Answer,
    },
}

/// What the client gets when a request does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Fields without those of framing, which the edge writes.
    pub fields: Vec<(String, Bytes)>,
    /// The body.
    pub body: Bytes,
}

/// Which message a change is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Target {
    /// The request, before the upstream sees it.
    Request = 0,
    /// The response, before the client sees it.
    Response = 1,
}

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// The field has this value and no other.
    Set = 0,
    /// One more field of this name.
    Add = 1,
    /// No field of this name.
    Remove = 2,
}

/// A change of a message's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of which message.
    pub target: Target,
    /// What is done.
    pub operation: Operation,
    /// The field's name; its case does not matter.
    pub name: String,
    /// Its value; empty if it is removed.
    pub value: Bytes,
}

/// Something that an agent found, for the decision log.
///
/// ```
/// use selvedge_agent::Finding;
///
/// let finding = Finding::new("942100").score(5).tag("sqli").detail("`' OR 1=1` in ARGS:id");
/// assert_eq!((finding.rule.as_str(), finding.score), ("942100", 5));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// The id of the rule that found it.
    pub rule: String,
    /// How much it weighs; what that means is the agent's.
    pub score: u16,
    /// What it is about: `sqli`, `CVE-2021-44228`.
    pub tags: Vec<String>,
    /// What was found and where, for people.
    pub detail: String,
}

impl Finding {
    /// A finding of this rule.
    pub fn new(rule: impl Into<String>) -> Self {
        Self { rule: rule.into(), ..Self::default() }
    }

    /// How much it weighs.
    pub fn score(mut self, score: u16) -> Self {
        self.score = score;
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// What was found and where.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl Verdict {
    /// The exchange goes on.
    pub fn allow() -> Self {
        Self::new(Decision::Allow)
    }

    /// The client gets an answer of this status. It ends the stream.
    pub fn block(status: u16) -> Self {
        Self::refuse(status, Decision::Block)
    }

    /// The client is sent to `location` with this status. It ends the stream.
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        let location = location.into();
        let fits = is_value(location.as_bytes()) && !location.is_empty();
        Self::refuse(status, |answer| Decision::Redirect { location, answer })
            .flawed_unless(fits, "a location that is not a field value")
    }

    /// The client is asked for credentials of this scheme, with status 401. It ends the stream.
    pub fn challenge(scheme: impl Into<String>) -> Self {
        let scheme = scheme.into();
        let fits = is_name(&scheme);
        Self::refuse(401, |answer| Decision::Challenge { scheme, parameters: Vec::new(), answer })
            .flawed_unless(fits, "a scheme that is not a token")
    }

    /// The agent cannot decide, for this reason: the edge does what the operator chose for its failure.
    pub fn abandon(why: &'static str) -> Self {
        Self::allow().flawed_unless(false, why)
    }

    fn refuse(status: u16, decision: impl FnOnce(Answer) -> Decision) -> Self {
        let answer = Answer { status, fields: Vec::new(), body: Bytes::new() };
        let mut verdict = Self::new(decision(answer));
        verdict.done = true;
        verdict.flawed_unless((200..=599).contains(&status), "a status that answers nothing")
    }

    fn new(decision: Decision) -> Self {
        Self {
            decision,
            changes: Vec::new(),
            findings: Vec::new(),
            values: Vec::new(),
            reason: String::new(),
            done: false,
            replacement: None,
            flaw: None,
        }
    }

    /// The status of the answer, where the decision has another by default.
    pub fn status(mut self, status: u16) -> Self {
        if let Some(answer) = self.answer_mut() {
            answer.status = status;
        }
        self.flawed_unless((200..=599).contains(&status), "a status that answers nothing")
    }

    /// A field of the answer that the client gets: of this one, or of the upstream's if the request is allowed.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let fits = is_name(name) && is_value(value);
        match self.answer_mut() {
            Some(answer) => {
                answer.fields.push((name.to_owned(), Bytes::copy_from_slice(value)));
                self.flawed_unless(fits, NOT_A_FIELD)
            }
            None => self.change(Target::Response, Operation::Set, name, value),
        }
    }

    /// The body of the answer. An allowed request has no answer of the agent's, and no body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        match self.answer_mut() {
            Some(answer) => answer.body = body.into(),
            None => self.flaw = Some("a body for a request that is allowed"),
        }
        self
    }

    /// A parameter of the challenge: `.param("realm", "api")`.
    pub fn param(mut self, name: &str, value: &str) -> Self {
        let fits = is_name(name) && is_value(value.as_bytes());
        match &mut self.decision {
            Decision::Challenge { parameters, .. } => {
                parameters.push((name.to_owned(), value.to_owned()));
                self.flawed_unless(fits, "a parameter that cannot be quoted")
            }
            _ => self.flawed_unless(false, "a parameter without a challenge"),
        }
    }

    /// Why, for the decision log.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Adds what was found.
    pub fn finding(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }

    /// A value for later agents and for routing.
    pub fn value(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        let fits = is_value_name(&name);
        self.values.push((name, value.into()));
        self.flawed_unless(fits, "a value without a name, or with one that is too long")
    }

    /// The request has this field, once.
    pub fn set_request_header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.change(Target::Request, Operation::Set, name, value.as_ref())
    }

    /// The request has one more field of this name.
    pub fn add_request_header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.change(Target::Request, Operation::Add, name, value.as_ref())
    }

    /// The request has no field of this name.
    pub fn remove_request_header(self, name: &str) -> Self {
        self.change(Target::Request, Operation::Remove, name, b"")
    }

    /// The response has this field, once.
    pub fn set_response_header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.change(Target::Response, Operation::Set, name, value.as_ref())
    }

    /// The response has one more field of this name.
    pub fn add_response_header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.change(Target::Response, Operation::Add, name, value.as_ref())
    }

    /// The response has no field of this name.
    pub fn remove_response_header(self, name: &str) -> Self {
        self.change(Target::Response, Operation::Remove, name, b"")
    }

    fn change(mut self, target: Target, operation: Operation, name: &str, value: &[u8]) -> Self {
        let fits = is_name(name) && is_value(value);
        let (name, value) = (name.to_owned(), Bytes::copy_from_slice(value));
        self.changes.push(Change { target, operation, name, value });
        self.flawed_unless(fits, NOT_A_FIELD)
    }

    /// Another body in place of the one that was inspected.
    pub fn replace_body(mut self, body: impl Into<Bytes>) -> Self {
        self.replacement = Some(body.into());
        self
    }

    /// The agent has seen enough of this exchange: the stream ends with this verdict.
    pub fn done(mut self) -> Self {
        self.done = true;
        self
    }

    fn flawed_unless(mut self, fits: bool, flaw: &'static str) -> Self {
        if !fits {
            self.flaw.get_or_insert(flaw);
        }
        self
    }

    fn answer_mut(&mut self) -> Option<&mut Answer> {
        match &mut self.decision {
            Decision::Allow => None,
            Decision::Block(answer)
            | Decision::Redirect { answer, .. }
            | Decision::Challenge { answer, .. } => Some(answer),
        }
    }

    /// What was decided.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Whether the exchange goes on.
    pub fn is_allow(&self) -> bool {
        self.decision == Decision::Allow
    }

    /// Changes of fields, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What was found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Values for later agents and for routing: names and values.
    pub fn values(&self) -> &[(String, String)] {
        &self.values
    }

    /// Why, for the decision log.
    pub fn reason_text(&self) -> &str {
        &self.reason
    }

    /// Whether the stream ends with it.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The body in place of the one that was inspected; on the edge's side it came before the verdict.
    pub fn replacement(&self) -> Option<&Bytes> {
        self.replacement.as_ref()
    }

    /// Why it cannot be sent, if so.
    pub fn flaw(&self) -> Option<&'static str> {
        self.flaw
    }
}

/// Whether a value may have this name, which must be one of an attribute too, with its prefix.
fn is_value_name(name: &str) -> bool {
    (1..=usize::from(u8::MAX) - VALUE_PREFIX.len()).contains(&name.len())
}

const NOT_A_FIELD: &str = "a field that HTTP does not allow";
