use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::Duration,
};

use crate::{
    Ask, AttributesBuf, EdgeBounds, EdgeSide, Event, FromAgent, Greeting, Report, RequestHeadBuf,
    SendError, Settings, StreamId, Verdict,
};

/// How long an agent may be silent before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// An edge that asks one question after the other, for tests of agents. It blocks.
///
/// ```no_run
/// use selvedge_agent::{Ask, AttributesBuf, RequestHeadBuf, RequestLine, TestEdge};
///
/// let mut edge = TestEdge::connect("/run/deny.sock".as_ref(), r#"{"prefix":"/admin"}"#)?;
/// let mut head = RequestHeadBuf::default();
/// head.start(RequestLine { method: "GET", target: "/admin/users", ..RequestLine::default() });
/// let verdict = edge.ask(&AttributesBuf::default(), &head)?;
/// assert!(!verdict.is_allow());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TestEdge {
    stream: UnixStream,
    machine: EdgeSide,
    input: Vec<u8>,
}

impl TestEdge {
    /// Connects to an agent and waits until it is ready; one that has just been started has some time to bind.
    pub fn connect(path: &Path, settings: &str) -> io::Result<Self> {
        Self::over(patiently(|| UnixStream::connect(path))?, settings)
    }

    /// Greets an agent over this connection and waits until it is ready.
    pub fn over(stream: UnixStream, settings: &str) -> io::Result<Self> {
        Self::with_bounds(EdgeBounds::default(), stream, settings)
    }

    /// As [`over`](Self::over), with bounds of the test's own.
    pub fn with_bounds(bounds: EdgeBounds, stream: UnixStream, settings: &str) -> io::Result<Self> {
        let settings = Settings::new(settings);
        let greeting = Greeting { edge: "test", agent: "test", generation: 1, settings };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let machine = EdgeSide::new(bounds, greeting).map_err(io::Error::other)?;
        let mut edge = Self { stream, machine, input: Vec::new() };
        edge.wait(|_, said| (said == FromAgent::Ready).then_some(()))?;
        Ok(edge)
    }

    /// The machine, to say other things with; [`wait`](Self::wait) writes them.
    pub fn machine(&mut self) -> &mut EdgeSide {
        &mut self.machine
    }

    /// The connection.
    pub fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    /// Writes what there is to say, and hears the agent until `hear` has what it wants.
    pub fn wait<T>(
        &mut self,
        mut hear: impl FnMut(&mut EdgeSide, FromAgent<'_>) -> Option<T>,
    ) -> io::Result<T> {
        loop {
            let mut rest = &self.input[..];
            let mut found = None;
            while found.is_none()
                && let Some(said) = self.machine.receive(&mut rest).map_err(io::Error::other)?
            {
                found = hear(&mut self.machine, said);
            }
            let taken = self.input.len() - rest.len();
            self.input.drain(..taken);
            self.write()?;
            match found {
                Some(found) => return Ok(found),
                None => self.read()?,
            }
        }
    }

    /// Writes what there is to say.
    pub fn write(&mut self) -> io::Result<()> {
        self.stream.write_all(self.machine.output())?;
        self.machine.advance_output(self.machine.output_len());
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.input.extend_from_slice(&bytes[..length]);
                Ok(())
            }
        }
    }

    /// Offers new settings and puts them in force once the agent has accepted them; or says why it did not.
    pub fn configure(&mut self, generation: u64, settings: &str) -> io::Result<Result<(), String>> {
        let offered = self.machine.configure(generation, Settings::new(settings));
        offered.map_err(io::Error::other)?;
        let answer = self.wait(|_, said| match said {
            FromAgent::Configured { result, .. } => Some(result.map_err(str::to_owned)),
            _ => None,
        })?;
        self.machine.adopt();
        Ok(answer)
    }

    /// Asks about a request without a body and returns the verdict.
    pub fn ask(
        &mut self,
        attributes: &AttributesBuf,
        head: &RequestHeadBuf,
    ) -> io::Result<Verdict> {
        let ask = Ask { body: false, verdict: true };
        let stream = self.open(attributes, head, ask)?;
        self.verdict(stream, Event::RequestHeaders)
    }

    /// Asks what the agent has measured.
    pub fn measure(&mut self) -> io::Result<Report> {
        if !self.machine.measure() {
            return Err(io::Error::other("an agent of version 1"));
        }
        self.wait(|_, said| match said {
            FromAgent::Metrics(report) => Some(report),
            _ => None,
        })
    }

    /// Opens a stream.
    pub fn open(
        &mut self,
        attributes: &AttributesBuf,
        head: &RequestHeadBuf,
        ask: Ask,
    ) -> io::Result<StreamId> {
        self.machine.open(attributes, head, ask).map_err(io::Error::other)
    }

    /// Sends a whole body, as there is room for it, or as much as the agent wants; answers that come
    /// before are lost.
    pub fn send_body(&mut self, stream: StreamId, event: Event, body: &[u8]) -> io::Result<()> {
        let mut rest = body;
        loop {
            match self.machine.body(stream, event, rest, true) {
                Ok(taken) if taken.ended => return self.write(),
                Ok(taken) => rest = &rest[taken.bytes..],
                Err(SendError::Answered | SendError::Closed) => return Ok(()),
                Err(error) => return Err(io::Error::other(error)),
            }
            self.wait(|_, said| matches!(said, FromAgent::Credit { .. }).then_some(()))?;
        }
    }

    /// Waits for the verdict to this event; an abandoned stream is an error.
    pub fn verdict(&mut self, stream: StreamId, event: Event) -> io::Result<Verdict> {
        let answer = self.wait(|_, said| match said {
            FromAgent::Verdict { stream: of, event: to, verdict } => {
                (of == stream && to == event).then_some(Ok(verdict))
            }
            FromAgent::Abandoned { stream: of, reason } => {
                (of == stream).then(|| Err(reason.to_owned()))
            }
            _ => None,
        })?;
        answer.map_err(io::Error::other)
    }
}

/// Tries for as long as the agent's socket is not there yet.
fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const PAUSE: Duration = Duration::from_millis(10);
    let mut left = PATIENCE.as_millis() / PAUSE.as_millis();
    loop {
        let error = match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let is_early =
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
        if !is_early || left == 0 {
            return Err(error);
        }
        left -= 1;
        thread::sleep(PAUSE);
    }
}
