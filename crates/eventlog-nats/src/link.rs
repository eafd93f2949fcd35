//! The thread that speaks to the servers, and what others say to it.
//!
//! A log's committer is a thread that waits for its disk; the client of NATS lives in a runtime. This is
//! the seam: a request, and an answer that is waited for.

use std::{
    io,
    sync::{Arc, mpsc as waits},
    thread,
};

use tokio::{runtime, sync::mpsc};

use crate::{
    copy::{Identity, Position},
    error::{OpenError, folder},
    mirror::Journal,
    monitor::{Durability, durability},
    operation::{Body, Stamp},
    restore::{Messages, Source},
    session::{Over, Session, taken},
    settings::Settings,
    standing::Standing,
};

/// Requests that wait: the committer has one under way at a time.
const REQUESTS: usize = 16;

/// The way to the servers.
pub(crate) struct Link {
    requests: mpsc::Sender<Request>,
    standing: Arc<Standing>,
    hello: Hello,
}

/// What the servers said first.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    pub(crate) identity: Identity,
    pub(crate) room: usize,
    pub(crate) durability: Durability,
}

type Answer<T> = waits::SyncSender<T>;

/// What the thread is asked for.
enum Request {
    End(Answer<Result<u64, OpenError>>),
    Stamp(u64, Answer<Result<Option<Stamp>, OpenError>>),
    Read(u64, u64, Answer<Result<Messages, OpenError>>),
    Files(Answer<Result<Vec<String>, OpenError>>),
    Hold(u64, Answer<Result<Position, Over>>),
    Publish(Vec<Body>, Answer<Result<Position, Over>>),
    Forget(String, u64),
}

impl Link {
    /// Connects, and finds the stream or makes it, unless there is a copy of so much of it. Blocks.
    pub(crate) fn open(settings: Settings, known: Option<u64>) -> Result<Self, OpenError> {
        let (requests, asked) = mpsc::channel(REQUESTS);
        let standing = Arc::new(Standing::default());
        let (answer, hello) = waits::sync_channel(1);
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(folder("starting the client of NATS"))?;
        let thread = thread::Builder::new().name("log-nats".into());
        let theirs = Arc::clone(&standing);
        let work = move || runtime.block_on(serve((settings, known), theirs, asked, answer));
        thread.spawn(work).map_err(folder("starting the client of NATS"))?;
        let hello = hello.recv().map_err(|_| gone())??;
        Ok(Self { requests, standing, hello })
    }

    pub(crate) fn hello(&self) -> &Hello {
        &self.hello
    }

    pub(crate) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// Asks, and waits for the answer; none comes when the thread has ended.
    fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Option<T> {
        let (answer, answered) = waits::sync_channel(1);
        self.send(request(answer))?;
        answered.recv().ok()
    }

    /// There is room when the thread has taken what waits: it takes one after the other.
    fn send(&self, request: Request) -> Option<()> {
        let mut request = request;
        loop {
            match self.requests.try_send(request) {
                Ok(()) => return Some(()),
                Err(mpsc::error::TrySendError::Closed(_)) => return None,
                Err(mpsc::error::TrySendError::Full(back)) => request = back,
            }
            thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl Journal for Link {
    fn room(&self) -> usize {
        self.hello.room
    }

    fn publish(&self, bodies: Vec<Body>) -> io::Result<Position> {
        let published = self.ask(|answer| Request::Publish(bodies, answer));
        let reason = match published {
            Some(Ok(position)) => return Ok(position),
            Some(Err(Over::Another)) => taken(None),
            Some(Err(Over::Final(reason))) => reason,
            None => "the client of NATS has ended".to_owned(),
        };
        self.standing.is_over(&reason);
        Err(io::Error::other(self.standing.trouble().unwrap_or(reason)))
    }

    fn forget(&self, name: &str, before: u64) {
        // Without it, the next start gives it up.
        let _ = self.send(Request::Forget(name.to_owned(), before));
    }
}

impl Source for Link {
    fn identity(&self) -> Identity {
        self.hello.identity.clone()
    }

    fn end(&self) -> Result<u64, OpenError> {
        self.ask(Request::End).ok_or_else(gone)?
    }

    fn stamp(&self, sequence: u64) -> Result<Option<Stamp>, OpenError> {
        self.ask(|answer| Request::Stamp(sequence, answer)).ok_or_else(gone)?
    }

    fn read(&self, from: u64, to: u64) -> Result<Messages, OpenError> {
        self.ask(|answer| Request::Read(from, to, answer)).ok_or_else(gone)?
    }

    fn files(&self) -> Result<Vec<String>, OpenError> {
        self.ask(Request::Files).ok_or_else(gone)?
    }

    fn hold(&self, end: u64) -> Result<Option<Position>, OpenError> {
        match self.ask(|answer| Request::Hold(end, answer)).ok_or_else(gone)? {
            Ok(position) => Ok(Some(position)),
            Err(Over::Another) => Ok(None),
            Err(Over::Final(reason)) => {
                Err(OpenError::Refused { step: "taking the log over", reason })
            }
        }
    }
}

fn gone() -> OpenError {
    OpenError::Unreachable("the client of NATS has ended".to_owned())
}

/// The thread: connects, says what it found, and does what it is asked for, one after the other.
async fn serve(
    wanted: (Settings, Option<u64>),
    standing: Arc<Standing>,
    mut asked: mpsc::Receiver<Request>,
    hello: Answer<Result<Hello, OpenError>>,
) {
    let mut session = match greet(&wanted, &standing).await {
        Ok((session, said)) => {
            let _ = hello.send(Ok(said));
            session
        }
        Err(error) => {
            let _ = hello.send(Err(error));
            return;
        }
    };
    while let Some(request) = asked.recv().await {
        answer(&mut session, &standing, request).await;
    }
}

async fn greet(
    (settings, known): &(Settings, Option<u64>),
    standing: &Arc<Standing>,
) -> Result<(Session, Hello), OpenError> {
    let session = Session::open(settings, *known, Arc::clone(standing)).await?;
    session.watch_holders().await?;
    let durability = durability(settings, &session.version()).await;
    let hello = Hello { identity: session.identity(), room: session.room(), durability };
    Ok((session, hello))
}

/// Does one thing. Who asked may have gone.
async fn answer(session: &mut Session, standing: &Standing, request: Request) {
    match request {
        Request::End(answer) => drop(answer.send(session.end().await)),
        Request::Stamp(sequence, answer) => drop(answer.send(session.stamp(sequence).await)),
        Request::Read(from, to, answer) => drop(answer.send(session.read(from, to).await)),
        Request::Files(answer) => drop(answer.send(session.files().await)),
        Request::Hold(end, answer) => drop(answer.send(session.hold(end).await)),
        Request::Publish(bodies, answer) => {
            let published = session.publish(bodies).await;
            if let Err(Over::Another) = published {
                standing.is_over(&taken(session.holder().await.as_deref()));
            }
            let _ = answer.send(published);
        }
        Request::Forget(name, before) => session.forget(&name, before),
    }
}
