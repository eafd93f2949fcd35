//! The driver of one connection.

use std::{
    cell::RefCell,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    net::UnixStream,
    sync::watch,
    task::spawn_local,
};

use super::{exchange::Exchange, link::Link, say, worker::Shared};
use crate::{
    Agent, AgentSide, Fault, FromEdge, Metrics, Mode, Outcome, StreamId,
    head::{OwnedRequestHead, OwnedResponseHead},
    outcome::OwnedOutcome,
};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// How long what a handler said may wait for other handlers that came with it, before it is written.
const UNWRITTEN: Duration = Duration::from_micros(100);

/// Serves a connection until its edge closes it.
pub(super) async fn serve<A: Agent>(stream: UnixStream, shared: Shared<A>) {
    let options = &shared.options;
    let machine = AgentSide::new(options.bounds, &options.name, &options.version);
    let link = Link::new(machine);
    let driver = Driver {
        stream,
        input: BytesMut::new(),
        agents: Rc::new(Agents { current: RefCell::new(None), accepted: RefCell::new(None) }),
        fresh: Vec::new(),
        outcomes_lost: 0,
        link: link.clone(),
        shared,
    };
    let ended = driver.run().await;
    link.cancel_all();
    if let Err(error) = ended
        && !error.is_hang_up()
    {
        say(&format!("a connection ended: {error}"));
    }
}

/// Why a connection ended otherwise than in order.
#[derive(Debug)]
enum Ended {
    Socket(io::Error),
    Fault(Fault),
}

impl Ended {
    /// Whether the edge was gone while there was still something to say, which is for the edge to judge.
    fn is_hang_up(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        matches!(self, Self::Socket(error) if matches!(error.kind(), BrokenPipe | ConnectionReset))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => error.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl Error for Ended {}

struct Driver<A> {
    stream: UnixStream,
    /// What was read and not taken: less than a frame, unless the edge does not read.
    input: BytesMut,
    agents: Rc<Agents<A>>,
    /// Handlers that have not run yet.
    fresh: Vec<Fresh>,
    /// Outcomes for which there were too many handlers already.
    outcomes_lost: u64,
    link: Rc<Link>,
    shared: Shared<A>,
}

/// The agent that new streams belong to, and the one that they will belong to.
///
/// Exchanges hold the inner `Rc`: threads that counted in one `Arc` for each would be in each other's way.
#[expect(clippy::redundant_allocation, reason = "the inner count is shared between threads")]
struct Agents<A> {
    current: RefCell<Option<Rc<Arc<A>>>>,
    accepted: RefCell<Option<Rc<Arc<A>>>>,
}

/// A handler that has not run yet, and its stream if it answers one.
struct Fresh {
    stream: Option<StreamId>,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

impl<A: Agent> Driver<A> {
    async fn run(mut self) -> Result<(), Ended> {
        let mut draining = self.shared.draining.clone();
        let mut drained = pin!(told_to_drain(&mut draining));
        let mut is_draining = false;
        poll_fn(|context| {
            if !is_draining && drained.as_mut().poll(context).is_ready() {
                is_draining = true;
                self.link.machine().borrow_mut().drain();
            }
            let polled = self.poll(context);
            // Only now: what handlers said so far has been written.
            self.link.wait(context.waker());
            polled
        })
        .await
    }

    /// Takes, answers, writes and reads until one of the last two has to wait.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            let taken = self.take();
            let run = self.run_fresh(context);
            let written = self.write(context);
            taken.and(run).and(written)?;
            self.link.unstall();
            if self.link.machine().borrow().is_held_up() {
                return Poll::Pending;
            }
            let Poll::Ready(read) = self.read(context)? else { return Poll::Pending };
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn read(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Ended>> {
        self.input.reserve(READ_BYTES);
        let read = pin!(self.stream.read_buf(&mut self.input));
        read.poll(context).map_err(Ended::Socket)
    }

    fn write(&mut self, context: &mut Context<'_>) -> Result<(), Ended> {
        let mut machine = self.link.machine().borrow_mut();
        while machine.output_len() > 0 {
            let Poll::Ready(written) =
                Pin::new(&mut self.stream).poll_write(context, machine.output())
            else {
                break;
            };
            match written.map_err(Ended::Socket)? {
                0 => return Err(Ended::Socket(io::ErrorKind::WriteZero.into())),
                written => machine.advance_output(written),
            }
        }
        Ok(())
    }

    /// Takes every frame that is whole.
    fn take(&mut self) -> Result<(), Ended> {
        let mut input = mem::take(&mut self.input);
        let mut rest = &input[..];
        let taken = loop {
            let said = self.link.machine().borrow_mut().receive(&mut rest);
            match said {
                Ok(Some(said)) => self.enter(said),
                Ok(None) => break Ok(()),
                Err(fault) => break Err(Ended::Fault(fault)),
            }
        };
        let length = input.len() - rest.len();
        input.advance(length);
        self.input = input;
        taken
    }

    fn enter(&mut self, said: FromEdge<'_>) {
        match said {
            FromEdge::Hello(hello) => {
                self.greet(hello.generation, hello.settings.as_str().to_owned());
            }
            FromEdge::Configure { generation, settings } => {
                self.configure(generation, settings.as_str().to_owned());
            }
            FromEdge::Adopted { .. } => {
                let accepted = self.agents.accepted.borrow_mut().take();
                *self.agents.current.borrow_mut() = accepted;
            }
            FromEdge::Request { stream, head, ask } => {
                let Some(agent) = self.agents.current.borrow().clone() else { return };
                let inbox = self.link.open(stream);
                let (head, link) = (OwnedRequestHead::new(&head), self.link.clone());
                let future = Box::pin(Exchange { agent, link, stream, inbox, head }.run(ask));
                self.fresh.push(Fresh { stream: Some(stream), future });
            }
            FromEdge::Body { stream, event, mode, bytes, end } => {
                self.link.put(stream, |inbox| inbox.put_body(event, mode, (bytes, end)));
                if mode == Mode::Inspect {
                    self.link.grant(stream, event, bytes.len() as u32);
                }
            }
            FromEdge::Response { stream, head, ask } => {
                let head = OwnedResponseHead::new(&head);
                self.link.put(stream, |inbox| inbox.put_response(head, ask));
            }
            FromEdge::WebsocketFrame { stream, frame } => {
                self.link.put(stream, |inbox| inbox.put_frame(frame));
            }
            FromEdge::Credit { stream, .. } => self.link.put(stream, |inbox| inbox.wake()),
            FromEdge::Outcome(outcome) => self.outcome(&outcome),
            FromEdge::Cancelled { stream, .. } => {
                self.fresh.retain(|fresh| fresh.stream != Some(stream));
                self.link.cancel(stream);
            }
            FromEdge::Measure => self.report(),
            FromEdge::Draining => {}
        }
    }

    /// Tells what the agent has measured.
    fn report(&self) {
        let agent = self.agents.current.borrow().clone();
        let report = agent.as_ref().and_then(|agent| agent.metrics()).map(Metrics::report);
        let report = report.unwrap_or_default();
        let told = self.link.machine().borrow_mut().metrics(&report);
        told.expect("the edge has just asked, and what does not fit is left out");
    }

    /// Starts the agent for an edge that has just come.
    fn greet(&self, generation: u64, settings: String) {
        let (door, link) = (self.shared.door.clone(), self.link.clone());
        let agents = self.agents.clone();
        spawn_local(async move {
            let ready = match door.ask(generation, settings).await {
                Ok(started) => {
                    *agents.current.borrow_mut() = Some(Rc::new(started.agent));
                    link.ready(&started.wants).map_err(|error| format!("its wishes: {error}"))
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ready {
                link.refuse(&error);
            }
        });
    }

    /// Starts the agent anew; until the edge adopts it, streams belong to the one that runs.
    fn configure(&self, generation: u64, settings: String) {
        let (door, link) = (self.shared.door.clone(), self.link.clone());
        let agents = self.agents.clone();
        spawn_local(async move {
            let answer = match door.ask(generation, settings).await {
                Ok(started) => {
                    let answer = link.configured(Ok(&started.wants));
                    *agents.accepted.borrow_mut() = Some(Rc::new(started.agent));
                    answer
                }
                Err(error) => {
                    say(&format!("settings of generation {generation} are refused: {error}"));
                    link.configured(Err(&error))
                }
            };
            if let Err(error) = answer {
                link.refuse(&format!("its wishes: {error}"));
            }
        });
    }

    /// Makes a handler for an outcome, unless as many run as exchanges may.
    fn outcome(&mut self, outcome: &Outcome<'_>) {
        let Some(agent) = self.agents.current.borrow().clone() else { return };
        let max = self.shared.options.bounds.bounds.streams_max as usize;
        let Some(run) = self.link.begin_outcome(max) else {
            self.outcomes_lost += 1;
            if self.outcomes_lost.is_power_of_two() {
                say(&format!("{} outcomes came faster than they were handled", self.outcomes_lost));
            }
            return;
        };
        let outcome = OwnedOutcome::new(outcome);
        let future = Box::pin(async move {
            agent.log(&outcome.view()).await;
            drop(run);
        });
        self.fresh.push(Fresh { stream: None, future });
    }

    /// Runs new handlers as far as they go without waiting; only those that wait become tasks. What the
    /// first have said does not wait for the last where handlers compute for long.
    fn run_fresh(&mut self, context: &mut Context<'_>) -> Result<(), Ended> {
        let mut fresh = mem::take(&mut self.fresh);
        let mut written = Instant::now();
        for Fresh { stream, future } in fresh.drain(..) {
            self.run_handler(stream, future);
            if written.elapsed() >= UNWRITTEN {
                self.write(context)?;
                written = Instant::now();
            }
        }
        self.fresh = fresh;
        Ok(())
    }

    fn run_handler(&self, stream: Option<StreamId>, future: Pin<Box<dyn Future<Output = ()>>>) {
        let is_over = |stream| !self.link.machine().borrow().is_open(stream);
        if stream.is_some_and(is_over) {
            return;
        }
        let mut handler = Handler { future, stream, link: self.link.clone() };
        // A handler that waits is polled again as a task, by the waker of that task.
        let mut context = Context::from_waker(Waker::noop());
        if Pin::new(&mut handler).poll(&mut context).is_pending() {
            let task = spawn_local(handler).abort_handle();
            if let Some(stream) = stream {
                self.link.set_task(stream, task);
            }
        }
    }
}

/// The handlers of one exchange, or of an outcome. A panic in them ends nothing else.
struct Handler {
    future: Pin<Box<dyn Future<Output = ()>>>,
    stream: Option<StreamId>,
    link: Rc<Link>,
}

impl Future for Handler {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // A future that panicked is dropped and never looked at again.
        let poll = AssertUnwindSafe(|| self.future.as_mut().poll(context));
        let polled = catch_unwind(poll);
        if polled.is_err()
            && let Some(stream) = self.stream
        {
            self.link.abandon(stream, "the agent panicked");
            self.link.close(stream);
        }
        polled.unwrap_or(Poll::Ready(()))
    }
}

async fn told_to_drain(draining: &mut watch::Receiver<bool>) {
    // Whoever told us is gone only once the process is about to end.
    let _ = draining.wait_for(|draining| *draining).await;
}
