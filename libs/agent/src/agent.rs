use std::future::Future;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    Body, Chunk, Metrics, Outcome, RequestHead, ResponseHead, Subscriptions, Verdict,
    WebsocketFrame,
};

/// An agent: what it wants to be asked about, and what it says.
///
/// One value serves every connection and thread. The handlers of one exchange are called one after
/// the other and share its [`Exchange`](Agent::Exchange); those of different exchanges run side by side.
/// Each is called only for events that [`wants`](Agent::wants) names. A handler that panics abandons its
/// exchange and no other. When the edge loses interest, a handler is dropped at the point where it waits.
///
/// A handler that is ready without waiting is never given to the scheduler, which is how a decision
/// costs microseconds. Handlers that wait hold up nobody, not even the answer to the edge's ping. One
/// that computes for milliseconds holds up its thread and all of that: it belongs into
/// `tokio::task::spawn_blocking`.
///
/// ```
/// use selvedge_agent::{Agent, RequestHead, Subscriptions, Verdict};
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     prefix: String,
/// }
///
/// struct Deny {
///     prefix: String,
/// }
///
/// impl Agent for Deny {
///     type Settings = Settings;
///     type Exchange = ();
///
///     async fn start(settings: Settings, _previous: Option<&Self>) -> Result<Self, String> {
///         Ok(Self { prefix: settings.prefix })
///     }
///
///     fn wants(&self) -> Subscriptions {
///         Subscriptions::none().request_headers()
///     }
///
///     async fn request_headers(&self, request: &RequestHead<'_>, _: &mut ()) -> Verdict {
///         if request.path().starts_with(&self.prefix) {
///             return Verdict::block(403).reason("the path is on the list");
///         }
///         Verdict::allow()
///     }
/// }
/// ```
#[expect(unused_variables, reason = "names of arguments that defaults ignore are documentation")]
pub trait Agent: Sized + Send + Sync + 'static {
    /// What the config block of the agent says, as JSON.
    type Settings: DeserializeOwned;

    /// What is kept from one event of an exchange to the next.
    type Exchange: Default + 'static;

    /// Starts the agent with its settings; `previous` is the one that it takes over from, with its caches.
    ///
    /// It runs in a tokio runtime that lives as long as the process, so work in the background can be
    /// spawned here. The error goes to the operator; after a reload the previous agent stays.
    fn start(
        settings: Self::Settings,
        previous: Option<&Self>,
    ) -> impl Future<Output = Result<Self, String>>;

    /// What the agent wants to be asked about.
    fn wants(&self) -> Subscriptions;

    /// The head of a request.
    fn request_headers(
        &self,
        request: &RequestHead<'_>,
        exchange: &mut Self::Exchange,
    ) -> impl Future<Output = Verdict> {
        async { Verdict::allow() }
    }

    /// The inspected part of a request's body.
    fn request_body(
        &self,
        request: &RequestHead<'_>,
        body: Body<'_>,
        exchange: &mut Self::Exchange,
    ) -> impl Future<Output = Verdict> {
        async { Verdict::allow() }
    }

    /// A piece of a request's body that streams.
    fn request_chunk(
        &self,
        request: &RequestHead<'_>,
        chunk: Chunk<'_>,
        exchange: &mut Self::Exchange,
    ) -> impl Future<Output = Step> {
        async { Step::Release }
    }

    /// The head of the response.
    fn response_headers(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        exchange: &mut Self::Exchange,
    ) -> impl Future<Output = Verdict> {
        async { Verdict::allow() }
    }

    /// The inspected part of the response's body.
    fn response_body(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        body: Body<'_>,
        exchange: &mut Self::Exchange,
    ) -> impl Future<Output = Verdict> {
        async { Verdict::allow() }
    }

    /// A piece of the response's body that streams.
    fn response_chunk(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        chunk: Chunk<'_>,
        exchange: &mut Self::Exchange,
    ) -> impl Future<Output = Step> {
        async { Step::Release }
    }

    /// A frame of a WebSocket tunnel: allowed frames pass, anything else closes the tunnel.
    fn websocket_frame(
        &self,
        request: &RequestHead<'_>,
        frame: WebsocketFrame<'_>,
        exchange: &mut Self::Exchange,
    ) -> impl Future<Output = Verdict> {
        async { Verdict::allow() }
    }

    /// Where the agent keeps what it measures; the edge asks for it whenever somebody asks the edge for its own.
    ///
    /// An agent that starts with settings anew goes on with the registry of the `previous` one, and so
    /// with its counts.
    fn metrics(&self) -> Option<&Metrics> {
        None
    }

    /// How an exchange ended; it is an event of its own and shares nothing with the exchange's.
    fn log(&self, outcome: &Outcome<'_>) -> impl Future<Output = ()> {
        async {}
    }
}

/// What an agent says to a piece of a body that streams.
#[expect(clippy::large_enum_variant, reason = "it is returned once and taken apart at once")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This piece, and those held before it, go on as they are.
    Release,
    /// Not yet: the agent wants to see more. To hold the last piece abandons the exchange.
    Hold,
    /// These bytes go on in place of this piece and of those held before it.
    Replace(Bytes),
    /// The agent has seen enough: if it allows, the rest passes unseen; otherwise the message is cut off.
    Decide(Verdict),
}
