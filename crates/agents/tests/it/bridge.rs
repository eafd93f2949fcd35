//! The bridge as an edge asks it, between services that behave and services that do not.

#[path = "../../src/bridge/envoy.rs"]
mod envoy;
mod ext_authz;
mod ext_proc;
mod faults;
mod forward_auth;
mod service;
mod tls;
mod web;

use std::{fmt::Write as _, time::Duration};

use selvedge_agent::{
    Agent, AttributesBuf, Body, Chunk, Decision, Operation, RequestHead, RequestHeadBuf,
    RequestLine, ResponseHead, ResponseHeadBuf, Step, Target, Verdict,
};
use selvedge_agents::bridge::{Bridge, Exchange};
use selvedge_base::ByteSize;
use selvedge_config::{
    AgentEvent,
    bridge::{BodyMode, Grpc, GrpcProtocol, Http, Service, Settings},
};

/// Long enough for a machine that is busy, in tests where an answer comes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Short, in tests where none comes.
const IMPATIENCE: Duration = Duration::from_millis(100);

fn settings(service: Service) -> Settings {
    Settings {
        service,
        events: AgentEvent::ALL[..4].to_vec(),
        timeout: PATIENCE,
        body_max: ByteSize(64),
        ca: None,
    }
}

fn grpc(address: &str, protocol: GrpcProtocol) -> Settings {
    let (address, body_mode) = (address.to_owned(), BodyMode::Inspect);
    settings(Service::Grpc(Grpc { address, protocol, body_mode, metadata: Vec::new() }))
}

fn ext_proc(address: &str) -> Settings {
    grpc(address, GrpcProtocol::ExtProc)
}

fn ext_authz(address: &str) -> Settings {
    Settings { events: vec![AgentEvent::RequestHeaders], ..grpc(address, GrpcProtocol::ExtAuthz) }
}

fn forward_auth(address: &str) -> Settings {
    let http = Http {
        address: address.to_owned(),
        request_headers: None,
        response_headers: Vec::new(),
        client_headers: Vec::new(),
    };
    Settings { events: vec![AgentEvent::RequestHeaders], ..settings(Service::Http(http)) }
}

async fn start(settings: Settings) -> Bridge {
    Bridge::start(settings, None).await.unwrap()
}

/// A request, with what the edge knows of it.
#[derive(Clone, Default)]
struct Asked {
    head: RequestHeadBuf,
    attributes: AttributesBuf,
    has_body: bool,
}

impl Asked {
    fn new(method: &str, target: &str) -> Self {
        let mut asked = Self::default();
        let line = RequestLine {
            method,
            scheme: "https",
            authority: "shop.example",
            target,
            ..RequestLine::default()
        };
        asked.head.start(line);
        asked
    }

    fn get() -> Self {
        Self::new("GET", "/cart?id=7")
    }

    /// With a body to follow.
    fn post() -> Self {
        Self { has_body: true, ..Self::new("POST", "/cart") }
    }

    fn fields(mut self, fields: &[(&str, &str)]) -> Self {
        let line = RequestLine {
            method: if self.has_body { "POST" } else { "GET" },
            scheme: "https",
            authority: "shop.example",
            target: "/cart?id=7",
            ..RequestLine::default()
        };
        let buffer = self.head.start(line);
        for (name, value) in fields {
            buffer.push(name, value.as_bytes());
        }
        self
    }

    fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push(name, value);
        self
    }

    fn payload(&self) -> Vec<u8> {
        self.head.payload(&self.attributes).unwrap()
    }

    async fn headers(&self, agent: &Bridge, exchange: &mut Exchange) -> Verdict {
        let payload = self.payload();
        let head = RequestHead::parse(&payload, self.has_body).unwrap();
        agent.request_headers(&head, exchange).await
    }

    async fn body(&self, agent: &Bridge, body: Body<'_>, exchange: &mut Exchange) -> Verdict {
        let payload = self.payload();
        let head = RequestHead::parse(&payload, self.has_body).unwrap();
        agent.request_body(&head, body, exchange).await
    }

    async fn chunk(&self, agent: &Bridge, chunk: Chunk<'_>, exchange: &mut Exchange) -> Step {
        let payload = self.payload();
        let head = RequestHead::parse(&payload, self.has_body).unwrap();
        agent.request_chunk(&head, chunk, exchange).await
    }

    async fn response(
        &self,
        agent: &Bridge,
        response: &Responded,
        exchange: &mut Exchange,
    ) -> Verdict {
        let (payload, response) = (self.payload(), response.payload());
        let head = RequestHead::parse(&payload, self.has_body).unwrap();
        let response = ResponseHead::parse(&response, true).unwrap();
        agent.response_headers(&head, &response, exchange).await
    }

    async fn response_body(
        &self,
        agent: &Bridge,
        (response, body): (&Responded, Body<'_>),
        exchange: &mut Exchange,
    ) -> Verdict {
        let (payload, response) = (self.payload(), response.payload());
        let head = RequestHead::parse(&payload, self.has_body).unwrap();
        let response = ResponseHead::parse(&response, true).unwrap();
        agent.response_body(&head, &response, body, exchange).await
    }

    /// What the agent says to the head, in an exchange of its own.
    async fn ask(&self, agent: &Bridge) -> Verdict {
        self.headers(agent, &mut Exchange::default()).await
    }
}

/// A response that an upstream gave.
struct Responded(u16, &'static [(&'static str, &'static str)]);

impl Responded {
    fn payload(&self) -> Vec<u8> {
        let mut head = ResponseHeadBuf::default();
        let fields = head.start(self.0);
        for (name, value) in self.1 {
            fields.push(name, value.as_bytes());
        }
        head.payload().unwrap()
    }
}

/// A verdict in a few lines.
fn told(verdict: &Verdict) -> String {
    if let Some(flaw) = verdict.flaw() {
        return format!("abandoned: {flaw}\n");
    }
    let mut text = String::new();
    let answer = match verdict.decision() {
        Decision::Allow => {
            text += "allow";
            None
        }
        Decision::Block(answer) => {
            write!(text, "block {}", answer.status).unwrap();
            Some(answer)
        }
        Decision::Redirect { location, answer } => {
            write!(text, "redirect {} {location}", answer.status).unwrap();
            Some(answer)
        }
        Decision::Challenge { .. } => unreachable!("the bridge passes challenges on as they are"),
    };
    text += if verdict.is_allow() && verdict.is_done() { ", done\n" } else { "\n" };
    for (name, value) in answer.iter().flat_map(|answer| &answer.fields) {
        writeln!(text, "  {name}: {}", value.escape_ascii()).unwrap();
    }
    if let Some(answer) = answer.filter(|answer| !answer.body.is_empty()) {
        writeln!(text, "  body {:?}", String::from_utf8_lossy(&answer.body)).unwrap();
    }
    for change in verdict.changes() {
        let target = if change.target == Target::Request { "request" } else { "response" };
        write!(text, "  {:?} {target} {}", change.operation, change.name).unwrap();
        match change.operation {
            Operation::Remove => text += "\n",
            _ => writeln!(text, ": {}", change.value.escape_ascii()).unwrap(),
        }
    }
    for (name, value) in verdict.values() {
        writeln!(text, "  value {name}={value}").unwrap();
    }
    if let Some(body) = verdict.replacement() {
        writeln!(text, "  replaced by {:?}", String::from_utf8_lossy(body)).unwrap();
    }
    if !verdict.reason_text().is_empty() {
        writeln!(text, "  because {}", verdict.reason_text()).unwrap();
    }
    text
}
