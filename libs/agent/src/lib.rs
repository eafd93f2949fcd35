//! How an edge asks other processes about an exchange: the agent protocol, for both sides.
//!
//! Whoever can be wrong, slow or hostile must be asked from outside: in its own process, over a
//! socket, at the cost of microseconds. This crate holds what both ends of that socket share: frames,
//! views of what is in them, and one state machine for each side. It does no I/O and keeps no time;
//! drivers own sockets and clocks. The feature `serve` adds such a driver, so that an agent is a
//! type that implements [`Agent`].
//!
//! It knows nothing of the edge's config, of HTTP's syntax, or of what agents are for.
//!
//! ```
//! use selvedge_agent::{Decision, Finding, Verdict};
//!
//! let verdict = Verdict::block(403)
//!     .header("content-type", "text/plain")
//!     .body("not today\n")
//!     .reason("the path is on the list")
//!     .finding(Finding::new("deny/path").tag("policy"));
//! let Decision::Block(answer) = verdict.decision() else { panic!("it blocks") };
//! assert_eq!((answer.status, &*answer.body), (403, &b"not today\n"[..]));
//! ```

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
mod outcome;
mod send;
#[cfg(feature = "serve")]
mod serve;
mod setup;
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
pub use outcome::{Outcome, OutcomeTotals};
pub use send::SendError;
#[cfg(feature = "serve")]
pub use serve::{Options, serve, serve_until};
pub use setup::{Bounds, FRAME_MAX_MIN, Hello, Settings, VERSION, WINDOW_MIN};
pub use stream::{CancelCode, StreamHasher, StreamId, StreamMap};
pub use subscriptions::{Mode, Subscription, Subscriptions};
#[cfg(feature = "test-edge")]
pub use test_edge::TestEdge;
pub use verdict::{Answer, Change, Decision, Finding, Operation, Target, Verdict};
pub use wire::Malformed;
