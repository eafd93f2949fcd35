//! What keeps an HTTP/2 connection to a target going, and finds out when it is dead.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{Builder, Connection, SendRequest},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{http2_pool::Usage, pool::ConnectionPermit};
use crate::{
    core::Core,
    deadline::{Deadline, Deadlines},
    transport::{Owned, Transport},
};

/// Bytes of one response that a target may send before the client has taken them.
pub(crate) const STREAM_WINDOW: u32 = 256 << 10;
/// The window of all streams together bounds nothing: else clients that read slowly would use it up
/// and stall the others. What is held is bounded by the streams and their windows.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Streams given up by us whose late frames are still expected. Clients that leave must not end a
/// connection that others use.
const RESET_STREAMS_MAX: usize = 1024;
/// What h2 says of the streams that a peer allows before the peer has said it.
const STREAMS_UNKNOWN: usize = usize::MAX - 1;
/// How long a connection that nobody uses any more may take to close in order.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// An HTTP/2 connection whose target has said what it allows, and which somebody must drive.
pub(super) struct Established {
    pub(super) send: SendRequest<Bytes>,
    pub(super) usage: Rc<Usage>,
    pub(super) connection: Connection<Listening, Bytes>,
}

/// Begins HTTP/2 on a connection. Ready once the target has sent its settings: a target that speaks
/// something else fails here, before any request was sent.
pub(super) async fn establish(
    core: &Core,
    transport: Transport,
    response_head_max: u32,
) -> Result<Established, h2::Error> {
    let usage = Usage::new(core.deadlines.now());
    let transport = Listening {
        transport: Owned::new(transport, Vec::new()),
        deadlines: core.deadlines.clone(),
        usage: usage.clone(),
    };
    let handshake = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(STREAMS_UNKNOWN)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(None)
        .max_header_list_size(response_head_max)
        .enable_push(false)
        .handshake(transport)
        .await;
    let (send, mut connection) = handshake?;
    poll_fn(|context| match Pin::new(&mut connection).poll(context) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(h2::Reason::NO_ERROR.into())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending if connection.max_concurrent_send_streams() == STREAMS_UNKNOWN => {
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(Ok(())),
    })
    .await?;
    Ok(Established { send, usage, connection })
}

/// Drives a connection until it ends: in order, or because nothing comes from it any more.
pub(super) async fn drive(
    core: Rc<Core>,
    mut connection: Connection<Listening, Bytes>,
    usage: Rc<Usage>,
    permit: ConnectionPermit,
) {
    let mut watch = Watch::new(&core, &mut connection);
    let mut streams_max = connection.max_concurrent_send_streams();
    poll_fn(|context| {
        // How it ended is told to each stream; nobody else needs to know.
        if Pin::new(&mut connection).poll(context).is_ready() {
            return Poll::Ready(());
        }
        let allowed = connection.max_concurrent_send_streams();
        if std::mem::replace(&mut streams_max, allowed) < allowed {
            core.pool_queue.wake_all();
        }
        watch.poll_dead(&usage, core.deadlines.now(), context)
    })
    .await;
    usage.retire();
    // Ends the streams that are left.
    drop(connection);
    drop(permit);
    core.pool_queue.wake_all();
}

/// Finds out when a connection is dead.
struct Watch {
    pings: Option<PingPong>,
    deadline: Deadline,
    liveness: Liveness,
    /// When a connection that nobody uses any more is closed, in order or not.
    over_at: Option<Instant>,
}

impl Watch {
    fn new(core: &Core, connection: &mut Connection<Listening, Bytes>) -> Self {
        let deadline = core.deadlines.register();
        let liveness = Liveness::default();
        Self { pings: connection.ping_pong(), deadline, liveness, over_at: None }
    }

    /// Ready when nothing more is to be hoped for.
    fn poll_dead(
        &mut self,
        usage: &Rc<Usage>,
        now: Instant,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(pings) = &mut self.pings else { return Poll::Pending };
        if pings.poll_pong(context).is_ready() {
            self.liveness.pong();
        }
        if usage.is_over() && now >= *self.over_at.get_or_insert(now + CLOSE_WITHIN) {
            return Poll::Ready(());
        }
        let signs = Signs {
            now,
            heard: usage.heard.get(),
            busy: usage.is_busy(),
            answered: usage.answered.take(),
        };
        let next = match self.liveness.step(&signs) {
            Step::Dead => return Poll::Ready(()),
            Step::Ping => {
                // An error says that a ping is on its way already, or that the connection has ended.
                let _ = pings.send_ping(Ping::opaque());
                Some(now + PONG_WITHIN)
            }
            Step::Wait(until) => Some(until),
            Step::Rest => None,
        };
        if let Some(at) = next.into_iter().chain(self.over_at).min() {
            self.deadline.arm(at.saturating_duration_since(now));
            if self.deadline.poll_expired(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

/// A connection that says nothing for so long, while streams wait, is asked for a sign of life.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);
/// A connection from which nothing comes for so long after it was asked is dead.
pub(crate) const PONG_WITHIN: Duration = Duration::from_secs(5);
/// How long it is not asked again unless it answered something else: gRPC servers end connections
/// that ask more often.
const PING_AGAIN: Duration = Duration::from_secs(300);

/// Whether a connection still lives, by what was heard of it.
#[derive(Debug, Default)]
struct Liveness {
    /// When streams began to wait.
    busy_since: Option<Instant>,
    /// When it was last asked.
    asked: Option<Instant>,
    /// A sign of life is owed.
    owed: bool,
}

/// What is known of a connection at one moment.
struct Signs {
    now: Instant,
    /// When bytes last came.
    heard: Instant,
    /// Whether streams are open.
    busy: bool,
    /// Whether a part of a response has come since the last step.
    answered: bool,
}

/// What to do about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing, until a stream opens.
    Rest,
    /// Nothing before this moment.
    Wait(Instant),
    /// Ask for a sign of life, and look again after [`PONG_WITHIN`].
    Ping,
    /// It is dead.
    Dead,
}

impl Liveness {
    /// The sign of life came.
    fn pong(&mut self) {
        self.owed = false;
    }

    fn step(&mut self, signs: &Signs) -> Step {
        let Signs { now, heard, busy, answered } = *signs;
        if answered {
            (self.asked, self.owed) = (None, false);
        }
        if let Some(asked) = self.asked.filter(|_| self.owed) {
            self.owed = heard <= asked;
            if self.owed {
                let until = asked + PONG_WITHIN;
                return if now >= until { Step::Dead } else { Step::Wait(until) };
            }
        }
        if !busy {
            self.busy_since = None;
            return Step::Rest;
        }
        let silent_since = heard.max(*self.busy_since.get_or_insert(now));
        let again = self.asked.map(|asked| asked + PING_AGAIN);
        let due = again.into_iter().fold(silent_since + SILENCE, Instant::max);
        if now < due {
            return Step::Wait(due);
        }
        (self.asked, self.owed) = (Some(now), true);
        Step::Ping
    }
}

/// A byte stream that remembers when it last brought something.
pub(super) struct Listening {
    transport: Owned,
    deadlines: Rc<Deadlines>,
    usage: Rc<Usage>,
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.usage.heard.set(self.deadlines.now());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// Feeds `(second, sign)`: `s` streams are open, `b` and bytes come, `a` and they answer, `p` and
    /// they are the pong, `-` no stream is open.
    #[track_caller]
    fn check(signs: &[(u64, char)], expected: Expect) {
        let start = Instant::now();
        let (mut liveness, mut heard) = (Liveness::default(), start);
        let steps: Vec<String> = signs
            .iter()
            .map(|&(at, sign)| {
                let now = start + Duration::from_secs(at);
                if matches!(sign, 'b' | 'a' | 'p') {
                    heard = now;
                }
                if sign == 'p' {
                    liveness.pong();
                }
                let signs = Signs { now, heard, busy: sign != '-', answered: sign == 'a' };
                match liveness.step(&signs) {
                    Step::Wait(until) => format!("wait {}", (until - start).as_secs()),
                    step => format!("{step:?}").to_lowercase(),
                }
            })
            .collect();
        expected.assert_eq(&steps.join(", "));
    }

    #[test]
    fn silence_is_asked_about_once() {
        check(
            &[(0, 's'), (4, 's'), (5, 's'), (5, 'p'), (60, 's'), (305, 's')],
            expect!["wait 5, wait 5, ping, wait 305, wait 305, ping"],
        );
        check(&[(0, 's'), (5, 's'), (9, 's'), (10, 's')], expect!["wait 5, ping, wait 10, dead"]);
        check(&[(0, 's'), (5, 's'), (6, '-'), (10, '-')], expect!["wait 5, ping, wait 10, dead"]);
    }

    #[test]
    fn bytes_are_a_sign_of_life_and_answers_allow_another_question() {
        check(&[(0, 's'), (3, 'b'), (5, 's'), (8, 's')], expect!["wait 5, wait 8, wait 8, ping"]);
        check(
            &[(0, 's'), (5, 's'), (6, 'b'), (20, 's')],
            expect!["wait 5, ping, wait 305, wait 305"],
        );
        check(
            &[(0, 's'), (5, 's'), (5, 'p'), (7, 'a'), (12, 's'), (17, 's')],
            expect!["wait 5, ping, wait 305, wait 12, ping, dead"],
        );
    }

    #[test]
    fn a_connection_that_idles_is_left_alone() {
        check(
            &[(0, '-'), (100, '-'), (100, 's'), (105, 's')],
            expect!["rest, rest, wait 105, ping"],
        );
    }
}
