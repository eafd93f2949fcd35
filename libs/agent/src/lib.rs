//! How an edge asks other processes about an exchange: the agent protocol, for both sides.
//!
//! Whoever can be wrong, slow or hostile must be asked from outside: in its own process, over a
//! socket, at the cost of microseconds. This crate holds what both ends of that socket share: frames,
//! views of what is in them, and one state machine for each side. It does no I/O and keeps no time;
//! drivers own sockets and clocks. The feature `serve` adds such a driver, so that an agent is a
//! type that implements [`Agent`].
//!
//! It knows nothing of the edge's config, of HTTP's syntax, or of what agents are for. Who writes an
//! agent begins with [`Agent`] and [`Verdict`]; who writes an edge with [`EdgeSide`]; who writes
//! either in another language with `docs/reference/agent-protocol.md`.
//!
//! A question and its answer, without a socket:
//!
//! ```
//! use selvedge_agent::*;
//!
//! let settings = Settings::new(r#"{"prefix":"/admin"}"#);
//! let greeting = Greeting { edge: "example", agent: "deny", generation: 1, settings };
//! let mut edge = EdgeSide::new(EdgeBounds::default(), greeting)?;
//! let mut agent = AgentSide::new(AgentBounds::default(), "deny", "1.0");
//!
//! let Some(FromEdge::Hello(_)) = agent.receive(&mut edge.output())? else { panic!("it greets") };
//! edge.advance_output(edge.output_len());
//! agent.ready(&Subscriptions::none().request_headers())?;
//! assert_eq!(edge.receive(&mut agent.output())?, Some(FromAgent::Ready));
//! agent.advance_output(agent.output_len());
//!
//! let mut head = RequestHeadBuf::default();
//! let line = RequestLine { method: "GET", target: "/admin/users", ..RequestLine::default() };
//! head.start(line).push("accept", b"text/html");
//! edge.open(&AttributesBuf::default(), &head, Ask { body: false, verdict: true })?;
//!
//! let asked = agent.receive(&mut edge.output())?;
//! let Some(FromEdge::Request { stream, head, .. }) = asked else { panic!("it asks") };
//! assert_eq!((head.path(), head.header("Accept")), ("/admin/users", Some("text/html")));
//! let verdict = Verdict::block(403)
//!     .header("content-type", "text/plain")
//!     .body("not today\n")
//!     .reason("the path is on the list")
//!     .finding(Finding::new("deny/path").tag("policy"));
//! agent.verdict(stream, Event::RequestHeaders, &verdict)?;
//!
//! let said = edge.receive(&mut agent.output())?;
//! let Some(FromAgent::Verdict { verdict, .. }) = said else { panic!("it answers") };
//! let Decision::Block(answer) = verdict.decision() else { panic!("it blocks") };
//! assert_eq!((answer.status, &*answer.body), (403, &b"not today\n"[..]));
//! assert_eq!((edge.streams_open(), agent.streams_open()), (0, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: `serve`, the kit for agents; `test-edge`, an edge for their tests.

#[cfg(feature = "serve")]
mod agent;
mod agent_side;
pub mod attributes;
mod body;
mod edge_side;
mod event;
mod fault;
mod fields;
pub mod frame;
mod head;
mod ledger;
#[cfg(feature = "serve")]
mod metrics;
mod outcome;
mod report;
mod send;
#[cfg(feature = "serve")]
mod serve;
mod setup;
mod side;
mod stream;
mod subscriptions;
#[cfg(feature = "test-edge")]
mod test_edge;
mod verdict;
mod wire;

#[cfg(feature = "serve")]
pub use agent::{Agent, Step};
pub use agent_side::{AgentBounds, AgentSide, FromEdge, Replacement};
pub use attributes::{Attributes, AttributesBuf};
pub use body::{Body, Chunk, WebsocketFrame};
pub use edge_side::{EdgeBounds, EdgeSide, FromAgent, Greeting, Taken};
pub use event::Event;
pub use fault::{Fault, FaultCode};
pub use fields::{Fields, FieldsBuf};
pub use head::{
    HttpVersion, RequestHead, RequestHeadBuf, RequestLine, ResponseHead, ResponseHeadBuf,
};
pub use ledger::{Ask, End, WEBSOCKET_UNANSWERED_MAX};
#[cfg(feature = "serve")]
pub use metrics::{Counter, Gauge, Histogram, Labelled, Metrics};
pub use outcome::{Outcome, OutcomeTotals};
pub use report::{
    BUCKETS_MAX, FAMILIES_MAX, Family, LABELS_MAX, Measured, MetricKind, NAME_BYTES_MAX, Report,
    SERIES_MAX, Series, VALUE_BYTES_MAX,
};
pub use send::SendError;
#[cfg(feature = "serve")]
pub use serve::{Options, serve, serve_until};
pub use setup::{Bounds, FRAME_MAX_MIN, Hello, Settings, VERSION, VERSION_MIN, WINDOW_MIN};
pub use stream::{CancelCode, StreamHasher, StreamId, StreamMap};
pub use subscriptions::{Mode, Subscription, Subscriptions};
#[cfg(feature = "test-edge")]
pub use test_edge::TestEdge;
pub use verdict::{Answer, Change, Decision, Finding, Operation, Target, Verdict};
pub use wire::Malformed;
