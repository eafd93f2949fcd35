//! Both sides, and what is between them.

use selvedge_agent::{
    AgentBounds, AgentSide, AttributesBuf, Bounds, EdgeBounds, EdgeSide, Fault, FromAgent,
    FromEdge, Greeting, HttpVersion, OutcomeTotals, RequestHeadBuf, RequestLine, ResponseHeadBuf,
    Settings, Subscriptions, attributes,
};

/// Small bounds, so that a test meets them.
pub const BOUNDS: Bounds = Bounds { frame_max: 16 << 10, window: 1 << 10, streams_max: 4 };

/// Both sides, and the bytes between them.
pub struct Conversation {
    pub edge: EdgeSide,
    pub agent: AgentSide,
    /// On the way to the agent, and to the edge.
    forth: Vec<u8>,
    back: Vec<u8>,
}

impl Conversation {
    /// A connection on which nothing has been written.
    pub fn new() -> Self {
        let bounds = EdgeBounds { frame_max: 16 << 10, window: 1 << 10, ..EdgeBounds::default() };
        let greeting = Greeting {
            edge: "selvedge 0.1.0",
            agent: "auth",
            generation: 1,
            settings: Settings::new(r#"{"issuer":"https://id.example"}"#),
        };
        let edge = EdgeSide::new(bounds, greeting).expect("short settings");
        let bounds = AgentBounds { bounds: BOUNDS, ..AgentBounds::default() };
        let agent = AgentSide::new(bounds, "deny", "1.2.3");
        Self { edge, agent, forth: Vec::new(), back: Vec::new() }
    }

    /// A connection to an agent that wants this.
    pub fn ready(wants: &Subscriptions) -> Self {
        let mut both = Self::new();
        both.tell_agent(usize::MAX, |_, _| {}).expect("a greeting");
        both.agent.ready(wants).expect("the edge asks");
        both.tell_edge(usize::MAX, |_, _| {}).expect("an answer");
        assert!(both.edge.is_ready());
        both
    }

    /// Carries up to `length` bytes to the agent, and shows what it hears.
    pub fn tell_agent(
        &mut self,
        length: usize,
        mut hear: impl FnMut(&mut AgentSide, FromEdge<'_>),
    ) -> Result<(), Fault> {
        let length = length.min(self.edge.output_len());
        self.forth.extend_from_slice(&self.edge.output()[..length]);
        self.edge.advance_output(length);
        let mut rest = &self.forth[..];
        while let Some(said) = self.agent.receive(&mut rest)? {
            hear(&mut self.agent, said);
        }
        let taken = self.forth.len() - rest.len();
        self.forth.drain(..taken);
        Ok(())
    }

    /// Carries up to `length` bytes to the edge, and shows what it hears.
    pub fn tell_edge(
        &mut self,
        length: usize,
        mut hear: impl FnMut(&mut EdgeSide, FromAgent<'_>),
    ) -> Result<(), Fault> {
        let length = length.min(self.agent.output_len());
        self.back.extend_from_slice(&self.agent.output()[..length]);
        self.agent.advance_output(length);
        let mut rest = &self.back[..];
        while let Some(said) = self.edge.receive(&mut rest)? {
            hear(&mut self.edge, said);
        }
        let taken = self.back.len() - rest.len();
        self.back.drain(..taken);
        Ok(())
    }

    /// What the edge has to say, which is then forgotten.
    pub fn edge_says(&mut self) -> Vec<u8> {
        let bytes = self.edge.output().to_vec();
        self.edge.advance_output(bytes.len());
        bytes
    }

    /// What the agent has to say, which is then forgotten.
    pub fn agent_says(&mut self) -> Vec<u8> {
        let bytes = self.agent.output().to_vec();
        self.agent.advance_output(bytes.len());
        bytes
    }
}

/// What is known of a request in these tests.
pub fn attributes() -> AttributesBuf {
    let mut known = AttributesBuf::default();
    known.push(attributes::CLIENT_ADDRESS, "192.0.2.7").push(attributes::ROUTE, "api");
    known.push_value("user", "ada").push_route_option("scopes", "read write");
    known
}

/// A request.
pub fn request() -> RequestHeadBuf {
    let mut head = RequestHeadBuf::default();
    let line = RequestLine {
        method: "POST",
        scheme: "https",
        authority: "api.example",
        target: "/orders?limit=2",
        version: HttpVersion::Http2,
    };
    head.start(line).push("Content-Type", b"application/json").push("x-name", b"J\xfcrgen");
    head
}

/// A response.
pub fn response() -> ResponseHeadBuf {
    let mut head = ResponseHeadBuf::default();
    head.start(200).push("content-type", b"text/plain");
    head
}

/// The figures of an exchange.
pub fn totals() -> OutcomeTotals<'static> {
    OutcomeTotals {
        status: 403,
        request_body_bytes: 12,
        response_body_bytes: 345,
        duration: std::time::Duration::from_micros(6_789),
        blocked_by: "auth",
    }
}
