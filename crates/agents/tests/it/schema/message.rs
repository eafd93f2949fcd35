//! Messages as an edge tells of them (docs/reference/agent-protocol.md), and what an agent says to them.

use std::fmt::Write;

use selvedge_agent::{Agent, Body, Decision, RequestHead, ResponseHead, Verdict};

/// A message: the first line, fields, and a body.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// `POST /path` of a request, nothing of a response.
    pub line: String,
    pub status: u16,
    pub fields: Vec<(String, Vec<u8>)>,
    pub attributes: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub truncated: bool,
}

impl Message {
    pub fn request(line: &str) -> Self {
        Self { line: line.to_owned(), ..Self::default() }
    }

    pub fn response(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((format!("route.{name}"), value.to_owned()));
        self
    }

    /// With a body of JSON.
    pub fn json(self, body: &str) -> Self {
        self.field("content-type", "application/json").body(body)
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// The body goes on unseen.
    pub fn truncated(mut self) -> Self {
        self.truncated = true;
        self
    }

    fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.status == 0 {
            out.extend(count(self.attributes.len()));
            for (name, value) in &self.attributes {
                out.extend([text8(name), text16(value.as_bytes())].concat());
            }
            let (method, target) = self.line.split_once(' ').unwrap();
            out.extend([text8(method), text8("https"), text16(b"example.com")].concat());
            out.extend(text16(target.as_bytes()));
            out.push(11);
        } else {
            out.extend(self.status.to_be_bytes());
        }
        out.extend(count(self.fields.len()));
        for (name, value) in &self.fields {
            out.extend([text16(name.as_bytes()), text16(value)].concat());
        }
        out
    }
}

fn text8(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn text16(text: &[u8]) -> Vec<u8> {
    [count(text.len()), text.to_vec()].concat()
}

fn count(count: usize) -> Vec<u8> {
    u16::try_from(count).unwrap().to_be_bytes().to_vec()
}

/// Asks about a request and its response as an edge does, and returns everything that was said.
pub async fn ask<A: Agent>(agent: &A, request: &Message, response: Option<&Message>) -> String {
    let mut said = String::new();
    let mut exchange = A::Exchange::default();
    let payload = request.payload();
    let head = RequestHead::parse(&payload, !request.body.is_empty()).unwrap();
    let verdict = agent.request_headers(&head, &mut exchange).await;
    if !tell("request head", &verdict, &mut said) {
        return said;
    }
    if !request.body.is_empty() {
        let body = Body::new(&request.body, request.truncated);
        let verdict = agent.request_body(&head, body, &mut exchange).await;
        if !tell("request body", &verdict, &mut said) {
            return said;
        }
    }
    let Some(response) = response else { return said };
    let payload = response.payload();
    let answer = ResponseHead::parse(&payload, !response.body.is_empty()).unwrap();
    let verdict = agent.response_headers(&head, &answer, &mut exchange).await;
    if tell("response head", &verdict, &mut said) && !response.body.is_empty() {
        let body = Body::new(&response.body, response.truncated);
        let verdict = agent.response_body(&head, &answer, body, &mut exchange).await;
        tell("response body", &verdict, &mut said);
    }
    said
}

/// The verdict on a request's head.
pub async fn head_verdict<A: Agent>(agent: &A, request: &Message) -> Verdict {
    head_verdict_in(agent, request, &mut A::Exchange::default()).await
}

/// Likewise, of an exchange that goes on.
pub async fn head_verdict_in<A: Agent>(
    agent: &A,
    request: &Message,
    exchange: &mut A::Exchange,
) -> Verdict {
    let payload = request.payload();
    let head = RequestHead::parse(&payload, !request.body.is_empty()).unwrap();
    agent.request_headers(&head, exchange).await
}

/// Writes a verdict down, and returns whether the exchange goes on with this agent.
fn tell(event: &str, verdict: &Verdict, said: &mut String) -> bool {
    assert_eq!(verdict.flaw(), None, "the verdict can be sent");
    match verdict.decision() {
        Decision::Allow if verdict.is_done() => writeln!(said, "{event}: allow, done").unwrap(),
        Decision::Allow => writeln!(said, "{event}: allow").unwrap(),
        Decision::Block(answer) => {
            writeln!(said, "{event}: block {}", answer.status).unwrap();
            for (name, value) in &answer.fields {
                writeln!(said, "  {name}: {}", String::from_utf8_lossy(value)).unwrap();
            }
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["status"], answer.status);
            assert!(body["type"].as_str().unwrap().starts_with("urn:selvedge:problem:"));
            write!(said, "  {}", String::from_utf8_lossy(&answer.body)).unwrap();
        }
        decision => panic!("unexpected {decision:?}"),
    }
    for change in verdict.changes() {
        writeln!(said, "  {:?} {}", change.operation, change.name).unwrap();
    }
    if let Some(body) = verdict.replacement() {
        writeln!(said, "  instead: {}", String::from_utf8_lossy(body)).unwrap();
    }
    for (name, value) in verdict.values() {
        writeln!(said, "  value {name}: {value}").unwrap();
    }
    for finding in verdict.findings() {
        writeln!(said, "  finding {}: {}", finding.rule, finding.detail).unwrap();
    }
    verdict.is_allow() && !verdict.is_done()
}
