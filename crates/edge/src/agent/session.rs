//! One agent in one exchange: the stream that its questions share, and what it still wants to hear.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use selvedge_agent::{
    Ask, AttributesBuf, CancelCode, Event, Mode, RequestHeadBuf, ResponseHeadBuf, SendError,
    Subscription, Subscriptions, Verdict, WebsocketFrame,
};
use selvedge_config::{AgentEvent, FailureMode};

use super::{
    call::{CallFault, CoreAgent},
    link::{Answer, Link, StreamKey},
    minutes::Minutes,
    sieve::Sieve,
};

/// An agent's part in an exchange. Its stream ends with it.
pub(crate) struct Session {
    agent: Rc<CoreAgent>,
    stream: Option<StreamKey>,
    /// What the agent wanted when the stream was opened. Until then nobody knows.
    wants: Option<Rc<Subscriptions>>,
    /// The agent has said all it wants to say, or was given up.
    over: bool,
}

/// A question to one agent.
pub(crate) enum Question<'a> {
    RequestHeaders {
        attributes: &'a AttributesBuf,
        head: &'a RequestHeadBuf,
        /// Of the request.
        body: BodyOf<'a>,
    },
    RequestBody {
        bytes: Bytes,
        is_whole: bool,
    },
    ResponseHeaders {
        head: &'a ResponseHeadBuf,
        body: bool,
        verdict: bool,
    },
    ResponseBody {
        bytes: Bytes,
        is_whole: bool,
    },
    WebsocketFrame(WebsocketFrame<'a>),
}

/// An answer to be waited for.
pub(crate) struct Ticket {
    link: Rc<Link>,
    /// `None`: the agent does not want to be asked.
    asked: Option<(StreamKey, Event)>,
}

/// What decides whether an agent is asked about a body.
#[derive(Clone, Copy)]
pub(crate) struct BodyOf<'a> {
    /// Whether there is one.
    pub(crate) exists: bool,
    pub(crate) method: &'a str,
    pub(crate) content_type: Option<&'a str>,
}

impl Session {
    pub(crate) fn new(agent: Rc<CoreAgent>) -> Self {
        Self { agent, stream: None, wants: None, over: false }
    }

    /// How many bytes of a body the agent wants to see before it may go on; `None`: none at all.
    pub(crate) fn inspects(&self, event: Event, body: BodyOf<'_>) -> Option<usize> {
        self.body_wanted(event, body, Mode::Inspect)
    }

    fn body_wanted(&self, event: Event, body: BodyOf<'_>, mode: Mode) -> Option<usize> {
        if self.over || !body.exists {
            return None;
        }
        let wanted = self.wanted(self.wants.as_ref()?, event)?;
        let fits = wanted.mode == mode
            && wanted.wants_method(body.method)
            && wanted.wants_content_type(body.content_type);
        let max = usize::try_from(self.agent.state.config.body_max.0).unwrap_or(usize::MAX);
        fits.then_some((wanted.body_max as usize).min(max))
    }

    /// Whether a body is to pass through the agent piece by piece.
    pub(crate) fn streams(&self, event: Event, body: BodyOf<'_>) -> bool {
        self.body_wanted(event, body, Mode::Stream).is_some()
    }

    /// The sieve for a body that passes through the agent.
    pub(crate) fn sieve(
        &self,
        index: usize,
        event: Event,
        failure_mode: FailureMode,
        minutes: Minutes,
    ) -> Option<Sieve> {
        let key = self.stream.filter(|_| !self.over)?;
        Some(Sieve::new(self.agent.clone(), index, key, event, failure_mode, minutes))
    }

    /// Whether the agent is to be told how the exchange ends.
    pub(crate) fn wants_log(&self) -> bool {
        let wants = self.wants.as_ref();
        wants.is_some_and(|wants| self.wanted(wants, Event::Log).is_some())
    }

    /// Whether the agent has said all it has to say.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the agent is to be asked about the head of a response.
    pub(crate) fn hears_response(&self, method: &str) -> bool {
        let wants = self.wants.as_ref().filter(|_| !self.over);
        let wanted = wants.and_then(|wants| self.wanted(wants, Event::ResponseHeaders));
        wanted.is_some_and(|wanted| wanted.wants_method(method))
    }

    /// What both the agent and the operator want it to be asked.
    fn wanted<'w>(&self, wants: &'w Subscriptions, event: Event) -> Option<&'w Subscription> {
        let allowed = self.agent.state.config.events.iter().any(|own| same(*own, event));
        wants.get(event).filter(|_| allowed)
    }

    /// Puts a question on its way.
    pub(crate) fn ask(&mut self, question: Question<'_>) -> Result<Ticket, CallFault> {
        let link = (**self.agent.link).clone();
        let asked = match question {
            Question::RequestHeaders { attributes, head, body } => {
                self.open(&link, attributes, head, body)
            }
            Question::RequestBody { bytes, is_whole } => {
                self.send_body(&link, Event::RequestBody, bytes, is_whole)
            }
            Question::ResponseHeaders { head, body, verdict } => {
                self.send_response(&link, head, Ask { body, verdict })
            }
            Question::WebsocketFrame(frame) => self.send_frame(&link, frame),
            Question::ResponseBody { bytes, is_whole } => {
                self.send_body(&link, Event::ResponseBody, bytes, is_whole)
            }
        };
        let asked = asked.map_err(|error| match error {
            SendError::Full | SendError::Backlog => CallFault::QueueFull,
            other => CallFault::Lost(other.to_string()),
        })?;
        Ok(Ticket { link, asked })
    }

    fn open(
        &mut self,
        link: &Link,
        attributes: &AttributesBuf,
        head: &RequestHeadBuf,
        body: BodyOf<'_>,
    ) -> Result<Option<(StreamKey, Event)>, SendError> {
        let wants = self.wants.insert(link.wants().ok_or(SendError::NotReady)?).clone();
        let verdict = self
            .wanted(&wants, Event::RequestHeaders)
            .is_some_and(|wanted| wanted.wants_method(body.method));
        let body = self.inspects(Event::RequestBody, body).is_some()
            || self.streams(Event::RequestBody, body);
        let later = [Event::ResponseHeaders, Event::ResponseBody, Event::WebsocketFrame];
        let hears_more = body || later.iter().any(|event| self.wanted(&wants, *event).is_some());
        if !verdict && !hears_more {
            self.over = true;
            return Ok(None);
        }
        let key = link.open_stream(attributes, head, Ask { body, verdict })?;
        self.stream = Some(key);
        Ok(verdict.then_some((key, Event::RequestHeaders)))
    }

    fn send_body(
        &mut self,
        link: &Link,
        event: Event,
        bytes: Bytes,
        is_whole: bool,
    ) -> Result<Option<(StreamKey, Event)>, SendError> {
        let key = self.stream.ok_or(SendError::Closed)?;
        link.send_body(key, event, bytes, is_whole)?;
        Ok(Some((key, event)))
    }

    fn send_response(
        &mut self,
        link: &Link,
        head: &ResponseHeadBuf,
        ask: Ask,
    ) -> Result<Option<(StreamKey, Event)>, SendError> {
        let key = self.stream.ok_or(SendError::Closed)?;
        link.send_response(key, head, ask)?;
        Ok(ask.verdict.then_some((key, Event::ResponseHeaders)))
    }

    fn send_frame(
        &mut self,
        link: &Link,
        frame: WebsocketFrame<'_>,
    ) -> Result<Option<(StreamKey, Event)>, SendError> {
        let key = self.stream.ok_or(SendError::Closed)?;
        link.send_frame(key, frame)?;
        Ok(Some((key, Event::WebsocketFrame)))
    }

    /// Whether the agent wants to see the frames of a WebSocket tunnel.
    pub(crate) fn hears_frames(&self) -> bool {
        let wants = self.wants.as_ref().filter(|_| !self.over);
        wants.is_some_and(|wants| self.wanted(wants, Event::WebsocketFrame).is_some())
    }

    /// Remembers what an answer means for later questions. Only the agent's own word that it is done,
    /// and never the loss of its connection, spares the exchange from them.
    pub(crate) fn answered(&mut self, answer: &Result<Option<Verdict>, CallFault>) {
        match answer {
            Ok(Some(verdict)) if verdict.is_done() => self.over = true,
            Ok(_) => {}
            Err(CallFault::Timeout) => self.end(CancelCode::Timeout),
            Err(_) => self.end(CancelCode::NotNeeded),
        }
    }

    /// The agent is not asked any more.
    pub(crate) fn end(&mut self, why: CancelCode) {
        self.over = true;
        if let Some(key) = self.stream.take() {
            self.agent.link.end_stream(key, why);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(CancelCode::NotNeeded);
    }
}

fn same(own: AgentEvent, event: Event) -> bool {
    own.as_str() == event.name()
}

impl Ticket {
    /// Ready with the verdict; without one where the agent does not want to be asked.
    pub(crate) fn poll_verdict(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Verdict>, CallFault>> {
        let Some((key, asked)) = self.asked else { return Poll::Ready(Ok(None)) };
        Poll::Ready(match ready!(self.link.poll_answer(key, context)) {
            Answer::Verdict(event, verdict) if event == asked || !verdict.is_allow() => {
                Ok(Some(verdict))
            }
            Answer::Verdict(event, _) => {
                Err(CallFault::Lost(format!("it answers {} unasked", event.name())))
            }
            Answer::Release { .. } | Answer::Replace { .. } => {
                Err(CallFault::Lost("it releases what is held".to_owned()))
            }
            Answer::Abandoned(why) => Err(CallFault::Abandoned(why)),
            Answer::Lost(why) => Err(CallFault::Lost(why)),
        })
    }
}
