//! The agents' part in an exchange: who is asked when, and what their answers come to.

use std::{
    cell::OnceCell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use selvedge_agent::{
    AttributesBuf, Decision, Event, HttpVersion, OutcomeTotals, RequestHeadBuf, RequestLine,
    ResponseHeadBuf, Verdict, WebsocketFrame, attributes,
};
use selvedge_config::{FailureMode, RouteAgent};
use selvedge_http1::{Known, RequestHead, ResponseHead, Version};
use tokio::sync::Mutex;

use super::{
    Exchange, Failure, Refusal,
    forward::{Reply, body_failure},
    local::is_grpc,
    origin::Origin,
};
use crate::{
    agent::{
        advice::{Advice, is_free_in_answer},
        call::{CallFault, CoreAgent, outcome_of},
        held::Held,
        minutes::{Asked, Minutes, Written},
        session::{BodyOf, Question, Session, Ticket},
        sieve::{Sieve, Stopped},
        stats::Outcome,
    },
    client::Client,
    core::{Core, Snapshot},
    deadline::Deadline,
    message::{BodySource, Filled},
    outbound::RequestBody,
    plan::RoutePlan,
    problem::Problem,
    websocket::{Frame, Judge, Judgement},
};

/// The agents of one exchange, and what came of asking them.
#[derive(Default)]
pub(crate) struct Council {
    members: Vec<Member>,
    pub(crate) advice: Advice,
    /// As much of the request's body as was read for them.
    pub(crate) held: Option<Held>,
    /// Why agents, or the lack of one, ended the tunnel that the exchange became.
    pub(super) tunnel_failure: Option<Failure>,
    /// What is told of them in the end; made when they are first asked.
    minutes: OnceCell<Minutes>,
}

impl Council {
    /// Asks the agents that want it about the head and the body of the response, which they may change.
    pub(super) async fn hear_response(
        &mut self,
        core: &Core,
        request: &RequestHead,
        reply: ReplyParts<'_>,
    ) -> Result<(), Failure> {
        let stages = self.members.iter().map(|member| member.stage + 1).max().unwrap_or(0);
        let ReplyParts { response, source, exists, deadline, patience } = reply;
        let minutes = self.minutes().clone();
        for stage in 0..stages {
            let content_type = response.fields().first(Known::ContentType);
            let content_type = content_type.and_then(|value| std::str::from_utf8(value).ok());
            let about = BodyOf { exists, method: request.method(), content_type };
            let event = Event::ResponseBody;
            let members = self.members.iter().filter(|member| member.stage == stage);
            let wanted = members.filter_map(|member| member.session.inspects(event, about)).max();
            let mut head = ResponseHeadBuf::default();
            write_response(&mut head, response);
            let head = &head;
            let mut asked = Vec::new();
            let mut bodies = vec![false; self.members.len()];
            for (place, member) in self.members.iter_mut().enumerate() {
                let inspects = member.session.inspects(event, about).is_some();
                let body = inspects || member.session.streams(event, about);
                bodies[place] = inspects && member.stage == stage;
                let verdict = member.session.hears_response(about.method);
                if member.stage == stage && (body || verdict) {
                    asked.push(Call::new(core, member, move |session| {
                        session.ask(Question::ResponseHeaders { head, body, verdict })
                    }));
                }
            }
            let mut answers = hear(asked, Event::ResponseHeaders, &minutes).await?;
            if let Some(bytes_max) = wanted {
                source.hold(bytes_max, deadline, patience).await?;
                let mut asked = Vec::new();
                let (bytes, is_whole) = (source.held.bytes.clone(), source.held.is_whole);
                for (member, body) in self.members.iter_mut().zip(bodies) {
                    if body && !member.session.is_over() {
                        let question = Question::ResponseBody { bytes: bytes.clone(), is_whole };
                        asked.push(Call::new(core, member, |session| session.ask(question)));
                    }
                }
                let later = hear(asked, event, &minutes).await?;
                if let Some(body) =
                    later.iter().rev().find_map(|(_, verdict)| verdict.replacement())
                {
                    source.held.bytes = body.clone();
                }
                answers.extend(later);
            }
            for (_, verdict) in answers {
                self.advice.take_response(&verdict);
            }
            self.advice.give(response);
        }
        let content_type = response.fields().first(Known::ContentType);
        let content_type = content_type.and_then(|value| std::str::from_utf8(value).ok());
        let about = BodyOf { exists, method: request.method(), content_type };
        source.held.sieves = self.sieves(Event::ResponseBody, about);
        Ok(())
    }

    /// The agents that a body passes through, in the order of the config.
    fn sieves(&self, event: Event, about: BodyOf<'_>) -> Vec<Sieve> {
        let members = self.members.iter();
        members
            .filter(|member| member.session.streams(event, about))
            .filter_map(|member| {
                let minutes = self.minutes().clone();
                member.session.sieve(member.index, event, member.failure_mode, minutes)
            })
            .collect()
    }

    /// Whether an agent wants to see the frames of a tunnel.
    pub(super) fn hears_frames(&self) -> bool {
        self.members.iter().any(|member| member.session.hears_frames())
    }

    /// Asks the agents that want it about a frame of a tunnel, all at once.
    async fn hear_frame(
        &mut self,
        core: &Core,
        frame: &Frame,
        from_upstream: bool,
    ) -> Result<Option<Bytes>, Failure> {
        let minutes = self.minutes().clone();
        let seen = WebsocketFrame {
            opcode: frame.opcode,
            payload: &frame.payload,
            from_upstream,
            continues: !frame.is_last,
            truncated: false,
        };
        let members = self.members.iter_mut().filter(|member| member.session.hears_frames());
        let asked = members.map(|member| {
            Call::new(core, member, move |session| session.ask(Question::WebsocketFrame(seen)))
        });
        let answers = hear(asked.collect(), Event::WebsocketFrame, &minutes).await?;
        Ok(answers.iter().rev().find_map(|(_, verdict)| verdict.replacement().cloned()))
    }

    /// Whether any agent may still have something to say.
    pub(super) fn is_empty(&self) -> bool {
        self.members.iter().all(|member| member.session.is_over())
    }

    /// Whether any agent was: what clients say of themselves has been taken off the request then.
    pub(super) fn was_asked(&self) -> bool {
        !self.members.is_empty()
    }

    fn minutes(&self) -> &Minutes {
        self.minutes.get_or_init(Minutes::default)
    }

    /// What was written down; nothing where no agent was asked.
    pub(super) fn take_minutes(&self) -> Written {
        self.minutes.get().map(Minutes::take).unwrap_or_default()
    }
}

/// One agent in one exchange.
struct Member {
    /// Position in the plan's list of agents.
    index: usize,
    /// Position in the route's list.
    place: usize,
    agent: Rc<CoreAgent>,
    session: Session,
    stage: usize,
    failure_mode: FailureMode,
}

/// An agent's refusal, and whose it is.
#[derive(Debug)]
pub(crate) struct AgentRefusal {
    /// Position of the agent in the plan.
    pub(crate) agent: usize,
    pub(crate) verdict: Verdict,
}

/// A response on its way to the client.
pub(super) struct ReplyParts<'a> {
    pub(super) response: &'a mut ResponseHead,
    pub(super) source: &'a mut Reply,
    /// Whether it has a body.
    pub(super) exists: bool,
    pub(super) deadline: &'a Deadline,
    /// Time for each piece of the body.
    pub(super) patience: Duration,
}

/// What a question to one agent came to. `None`: it has nothing to say to this.
type Answered = Result<Option<Verdict>, CallFault>;

impl Exchange<'_> {
    /// Asks the agents of the route about the request. When this returns `Ok`, the request may go on,
    /// changed as they advise.
    pub(super) async fn consult<C: Client>(
        &mut self,
        client: &mut C,
        planned: &RoutePlan,
        path: &str,
        origin: &Origin,
    ) -> Result<(), Failure> {
        self.council.members = members(&self.snapshot, planned);
        let stages = self.council.members.iter().map(|member| member.stage + 1).max().unwrap_or(0);
        let mut head = RequestHeadBuf::default();
        self.write_head(&mut head, path, origin);
        for stage in 0..stages {
            let mut changed = self.ask_heads(stage, planned, &head).await?;
            if let Some(bytes_max) = self.body_wanted(stage) {
                self.hold_body(client, bytes_max, planned.route.limits.body.0).await?;
                changed |= self.ask_bodies(stage).await?;
            }
            if changed && stage + 1 < stages {
                self.write_head(&mut head, path, origin);
            }
        }
        if self.council.hears_frames() {
            // Frames that are compressed could not be judged.
            self.request.fields_mut().remove("sec-websocket-extensions");
        }
        let sieves = self.council.sieves(Event::RequestBody, about(self.request, self.body));
        if !sieves.is_empty() {
            self.council.held.get_or_insert_default().sieves = sieves;
            // How long it will be is the agents' business.
            self.body = RequestBody::Streamed;
        }
        Ok(())
    }

    /// Answers in the words of the agent that refused.
    pub(super) async fn send_agent_refusal<C: Client>(
        &mut self,
        client: &mut C,
        refusal: AgentRefusal,
    ) {
        let answer = AgentAnswer::of(refusal.verdict.decision());
        self.note_agent_refusal(refusal);
        if is_grpc(self.request) {
            let message = "refused (agent/blocked)";
            return self.send_grpc_status(client, answer.status, message, None).await;
        }
        self.begin(answer.status);
        let fields = self.response.fields_mut();
        for (name, value) in &answer.fields {
            fields.push(name.as_bytes(), value);
        }
        if let Err(Failure::ClientGone(detail)) = self.finish(client, &answer.body).await {
            self.facts.error.get_or_insert(detail);
        }
    }

    /// Tells agents that want to know how the exchange ended.
    pub(super) fn tell_agents(&mut self) {
        let wants = |member: &&Member| member.session.wants_log();
        if !self.council.members.iter().any(|member| wants(&member)) {
            return;
        }
        let Some(route) = self.facts.route else { return };
        let snapshot = self.snapshot.clone();
        let planned = &snapshot.plan.routes[route];
        let target = match self.request.has_query() {
            true => format!("{}?{}", self.request.raw_path(), self.request.query()),
            false => self.request.raw_path().to_owned(),
        };
        let mut all = self.attributes(planned);
        all.push(attributes::REQUEST_METHOD, self.request.method())
            .push(attributes::REQUEST_AUTHORITY, self.request.authority())
            .push(attributes::REQUEST_TARGET, &target);
        let blocked_by = self.facts.blocked_by.map(|agent| &snapshot.plan.agents[agent].config.id);
        let totals = OutcomeTotals {
            status: self.facts.status.unwrap_or(0),
            request_body_bytes: self.facts.bytes_in,
            response_body_bytes: self.facts.bytes_out,
            duration: self.facts.timings.total(),
            blocked_by: blocked_by.map_or("", |id| id),
        };
        for member in self.council.members.iter().filter(wants) {
            member.agent.log(&all, &totals);
        }
    }

    /// Records who refused, and why.
    pub(super) fn note_agent_refusal(&mut self, refusal: AgentRefusal) {
        let AgentRefusal { agent, verdict } = refusal;
        let id = &self.snapshot.plan.agents[agent].config.id;
        let reason = Some(verdict.reason_text()).filter(|reason| !reason.is_empty());
        self.facts.refuse("agent/blocked", reason.map(|reason| format!("{id}: {reason}")));
        self.facts.blocked_by = Some(agent);
    }

    /// Asks the agents of one stage about the head, all at once. Says whether the request changed.
    async fn ask_heads(
        &mut self,
        stage: usize,
        planned: &RoutePlan,
        head: &RequestHeadBuf,
    ) -> Result<bool, Failure> {
        let about = about(self.request, self.body);
        let common = self.attributes(planned);
        let minutes = self.council.minutes().clone();
        let mut asked: Vec<_> = Vec::new();
        let core = self.core;
        for member in self.council.members.iter_mut().filter(|member| member.stage == stage) {
            let mut own = common.clone();
            for (name, text) in &planned.route.agents[member.place].options {
                own.push_route_option(name, text);
            }
            asked.push(Call::new(core, member, move |session| {
                session.ask(Question::RequestHeaders { attributes: &own, head, body: about })
            }));
        }
        let answers = hear(asked, Event::RequestHeaders, &minutes).await?;
        Ok(self.take(answers))
    }

    /// Asks the agents of one stage that want it about the body held for them.
    async fn ask_bodies(&mut self, stage: usize) -> Result<bool, Failure> {
        let held = self.council.held.as_ref();
        let (bytes, is_whole) =
            held.map_or((Bytes::new(), true), |held| (held.bytes.clone(), held.is_whole));
        let core = self.core;
        let minutes = self.council.minutes().clone();
        let about = about(self.request, self.body);
        let mut asked: Vec<_> = Vec::new();
        for member in self.council.members.iter_mut().filter(|member| member.stage == stage) {
            if member.session.inspects(Event::RequestBody, about).is_some() {
                let question = Question::RequestBody { bytes: bytes.clone(), is_whole };
                asked.push(Call::new(core, member, |session| session.ask(question)));
            }
        }
        let answers = hear(asked, Event::RequestBody, &minutes).await?;
        for (_, verdict) in &answers {
            if let (Some(body), Some(held)) = (verdict.replacement(), &mut self.council.held) {
                held.bytes = body.clone();
                self.body = RequestBody::Sized(body.len() as u64);
            }
        }
        Ok(self.take(answers))
    }

    /// Takes the advice of agents that let the request pass.
    fn take(&mut self, answers: Vec<(usize, Verdict)>) -> bool {
        let mut changed = false;
        for (_, verdict) in answers {
            changed |= self.council.advice.take(&verdict, self.request);
        }
        changed
    }

    /// The most that an agent of this stage wants to see of the body.
    fn body_wanted(&self, stage: usize) -> Option<usize> {
        let about = about(self.request, self.body);
        let stage = self.council.members.iter().filter(|member| member.stage == stage);
        stage.filter_map(|member| member.session.inspects(Event::RequestBody, about)).max()
    }

    /// Reads the body until more than `bytes_max` are held, so that it is known whether there are
    /// more, or it is over.
    async fn hold_body<C: Client>(
        &mut self,
        client: &mut C,
        bytes_max: usize,
        limit: u64,
    ) -> Result<(), Failure> {
        let held = self.council.held.take().unwrap_or_default();
        if held.is_whole || held.bytes.len() > bytes_max {
            self.council.held = Some(held);
            return Ok(());
        }
        let mut bytes = BytesMut::from(&held.bytes[..]);
        let timeout = self.connection.listener.timeouts.body;
        let (source, sink) = client.split();
        self.deadline.arm(timeout);
        let mut progress = 0;
        let is_whole = loop {
            let filled = self.deadline.within(|context| {
                // An interim response asks for the body, where the client waits for one.
                let _ = crate::message::BodySink::poll_flush(sink, context);
                source.poll_fill(context)
            });
            match filled.await {
                Err(_) => return Err(Refusal::new(Problem::BODY_TIMEOUT).into()),
                Ok(Err(fault)) => return Err(body_failure(fault)),
                Ok(Ok(Filled::End)) => break true,
                Ok(Ok(Filled::Data)) => {
                    bytes.extend_from_slice(source.chunk());
                    source.consume();
                }
            }
            if bytes.len() as u64 > limit {
                return Err(Refusal::new(Problem::BODY_LIMIT).into());
            }
            if bytes.len() > bytes_max {
                break false;
            }
            if bytes.len() - progress >= PROGRESS_MIN {
                progress = bytes.len();
                self.deadline.arm(timeout);
            }
        };
        self.council.held = Some(Held { bytes: bytes.freeze(), is_whole, ..held });
        Ok(())
    }

    /// Writes the request's head as the agents see it.
    fn write_head(&self, head: &mut RequestHeadBuf, path: &str, origin: &Origin) {
        let target = match self.request.has_query() {
            true => format!("{path}?{}", self.request.query()),
            false => path.to_owned(),
        };
        let fields = head.start(RequestLine {
            method: self.request.method(),
            scheme: origin.scheme(self.connection),
            authority: self.request.authority(),
            target: &target,
            version: match self.request.version() {
                Version::Http10 => HttpVersion::Http10,
                Version::Http11 => HttpVersion::Http11,
                Version::Http2 => HttpVersion::Http2,
            },
        });
        for (name, value, known) in self.request.fields().iter() {
            if known != Known::Host
                && let Ok(name) = std::str::from_utf8(name)
            {
                fields.push(name, value);
            }
        }
    }

    /// What the agents are told beside the head.
    fn attributes(&self, planned: &RoutePlan) -> AttributesBuf {
        let mut all = AttributesBuf::default();
        let ip = self.facts.client.ip();
        match ip == self.connection.peer.ip() {
            true => all.push(attributes::CLIENT_ADDRESS, &self.connection.peer_text),
            false => all.push(attributes::CLIENT_ADDRESS, &ip.to_canonical().to_string()),
        };
        all.push(attributes::CLIENT_PORT, itoa::Buffer::new().format(self.connection.peer.port()))
            .push(attributes::LISTENER, &self.connection.listener.id)
            .push(attributes::ROUTE, &planned.route.id)
            .push(attributes::TRACE, &self.facts.trace_id())
            .push(attributes::SPAN, &hex(&self.facts.trace.span_id()));
        if let Some(tls) = &self.connection.tls {
            all.push(attributes::TLS_VERSION, tls.version);
            let pairs = [
                (attributes::TLS_SNI, tls.sni.as_deref()),
                (attributes::TLS_CLIENT_SUBJECT, tls.whole_subject()),
                (attributes::TLS_CLIENT_SAN, tls.client_san.as_deref()),
                (attributes::TLS_CLIENT_SHA256, tls.client_sha256.as_deref()),
            ];
            for (name, text) in pairs {
                if let Some(text) = text {
                    all.push(name, text);
                }
            }
        }
        for (name, value) in self.council.advice.values() {
            all.push_value(name, value);
        }
        all
    }
}

/// What decides which agents want the request's body.
fn about(request: &RequestHead, body: RequestBody) -> BodyOf<'_> {
    let content_type = request.fields().first(Known::ContentType);
    BodyOf {
        exists: body != RequestBody::None,
        method: request.method(),
        content_type: content_type.and_then(|value| std::str::from_utf8(value).ok()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_response(head: &mut ResponseHeadBuf, response: &ResponseHead) {
    let fields = head.start(response.status());
    for (name, value, _) in response.fields().iter() {
        if let Ok(name) = std::str::from_utf8(name) {
            fields.push(name, value);
        }
    }
}

/// Bytes of a body that count as progress: fewer within the client's time for a body are too few.
const PROGRESS_MIN: usize = 1 << 10;

/// The agents of a route, ready to be asked.
fn members(snapshot: &Snapshot, planned: &RoutePlan) -> Vec<Member> {
    let asked = planned.agents.iter().zip(&planned.route.agents).enumerate();
    asked
        .map(|(place, (&index, RouteAgent { stage, failure_mode, .. }))| {
            let agent = snapshot.agents[index].clone();
            let session = Session::new(agent.clone());
            Member { index, place, agent, session, stage: *stage, failure_mode: *failure_mode }
        })
        .collect()
}

/// A question that is being asked.
struct Call<'a> {
    index: usize,
    failure_mode: FailureMode,
    began: Instant,
    answer: Pin<Box<dyn Future<Output = Answered> + 'a>>,
}

impl<'a> Call<'a> {
    fn new(
        core: &'a Core,
        member: &'a mut Member,
        ask: impl FnOnce(&mut Session) -> Result<Ticket, CallFault> + 'a,
    ) -> Self {
        let Member { index, agent, session, failure_mode, .. } = member;
        let answer = Box::pin(async move {
            let answer = agent.call(core, || ask(session)).await;
            session.answered(&answer);
            answer
        });
        Self { index: *index, failure_mode: *failure_mode, began: Instant::now(), answer }
    }
}

impl Call<'_> {
    /// What is written down of it, now that it is over.
    fn asked(&self, event: Event, outcome: Outcome) -> Asked {
        let (began, took) = (self.began, self.began.elapsed());
        Asked { agent: self.index, event, outcome, began, took, passed_over: false }
    }
}

/// Waits for all answers, in the order of the config; the first refusal ends the wait, and those who
/// have not answered are told that nobody waits any more. All of it goes into the minutes.
async fn hear(
    mut calls: Vec<Call<'_>>,
    event: Event,
    minutes: &Minutes,
) -> Result<Vec<(usize, Verdict)>, Failure> {
    let mut answers: Vec<Option<Verdict>> = calls.iter().map(|_| None).collect();
    let mut done = vec![false; calls.len()];
    let refused = poll_fn(|context| {
        for place in 0..calls.len() {
            if done[place] {
                continue;
            }
            let call = &mut calls[place];
            let Poll::Ready(answer) = call.answer.as_mut().poll(context) else { continue };
            done[place] = true;
            let passed_over = answer.is_err() && call.failure_mode == FailureMode::Open;
            let answer = match answer {
                Ok(None) => continue,
                Ok(Some(verdict)) => Ok(verdict),
                Err(fault) => Err(fault),
            };
            let outcome = answer.as_ref().map_or_else(CallFault::outcome, outcome_of);
            minutes.asked(Asked { passed_over, ..call.asked(event, outcome) });
            if let Ok(verdict) = &answer {
                minutes.ruled(call.index, verdict);
            }
            match answer {
                Ok(verdict) if verdict.is_allow() => answers[place] = Some(verdict),
                Ok(verdict) => {
                    let refusal = AgentRefusal { agent: call.index, verdict };
                    return Poll::Ready(Err(Failure::Agent(Box::new(refusal))));
                }
                Err(_) if passed_over => {}
                Err(fault) => return Poll::Ready(Err(unavailable(&fault))),
            }
        }
        if done.iter().all(|done| *done) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await;
    if refused.is_err() {
        let left = calls.iter().zip(&done).filter(|(_, done)| !**done);
        left.for_each(|(call, _)| minutes.asked(call.asked(event, Outcome::Cancelled)));
    }
    refused?;
    let indices = calls.iter().map(|call| call.index);
    Ok(indices.zip(answers).filter_map(|(index, verdict)| Some((index, verdict?))).collect())
}

/// What a client gets from an agent that refuses.
struct AgentAnswer {
    status: u16,
    fields: Vec<(String, Bytes)>,
    body: Bytes,
}

impl AgentAnswer {
    fn of(decision: &Decision) -> Self {
        let (answer, own) = match decision {
            // Nobody asks for the answer of an agent that has none.
            Decision::Allow => return Self { status: 403, fields: Vec::new(), body: Bytes::new() },
            Decision::Block(answer) => (answer, None),
            Decision::Redirect { location, answer } => {
                (answer, Some(("location", location.clone())))
            }
            Decision::Challenge { scheme, parameters, answer } => {
                (answer, Some(("www-authenticate", challenge(scheme, parameters))))
            }
        };
        let fields = answer.fields.iter().filter(|(name, _)| is_free_in_answer(name)).cloned();
        let own = own.map(|(name, value)| (name.to_owned(), Bytes::from(value)));
        Self {
            status: answer.status,
            fields: fields.chain(own).collect(),
            body: answer.body.clone(),
        }
    }
}

/// `Bearer realm="api", scope="a b"` (RFC 9110 §11.6.1).
fn challenge(scheme: &str, parameters: &[(String, String)]) -> String {
    let mut text = scheme.to_owned();
    for (place, (name, value)) in parameters.iter().enumerate() {
        let separator = if place == 0 { " " } else { ", " };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        text.push_str(&format!("{separator}{name}=\"{value}\""));
    }
    text
}

/// The agents of an exchange that became a tunnel.
pub(super) struct FrameJudges<'a> {
    core: &'a Core,
    /// One frame at a time: verdicts come in the order of the frames.
    council: Mutex<&'a mut Council>,
}

impl<'a> FrameJudges<'a> {
    pub(super) fn new(core: &'a Core, council: &'a mut Council) -> Self {
        Self { core, council: Mutex::new(council) }
    }
}

impl Judge for FrameJudges<'_> {
    async fn judge(&self, frame: &Frame, from_upstream: bool) -> Judgement {
        let mut council = self.council.lock().await;
        match council.hear_frame(self.core, frame, from_upstream).await {
            Ok(None) => Judgement::Pass,
            Ok(Some(payload)) => Judgement::Replace(payload),
            Err(failure) => {
                let refused = matches!(failure, Failure::Agent(_));
                // The other direction may wait for its turn still: what came first ended the tunnel.
                council.tunnel_failure.get_or_insert(failure);
                if refused { Judgement::Refuse } else { Judgement::Unanswered }
            }
        }
    }
}

/// What becomes of an exchange whose body an agent stopped.
pub(super) fn stopped_by(stopped: Stopped) -> Failure {
    match stopped {
        Stopped::Refused(agent, verdict) => {
            Failure::Agent(Box::new(AgentRefusal { agent, verdict }))
        }
        Stopped::Unanswered(fault) => unavailable(&fault),
    }
}

/// What a client is told when an agent that must be asked cannot be.
fn unavailable(fault: &CallFault) -> Failure {
    let refusal = match fault {
        CallFault::Timeout => Refusal::new(Problem::AGENT_TIMEOUT),
        CallFault::BreakerOpen(left) => Refusal {
            retry_after: Some(left.as_secs().max(1)),
            ..Refusal::new(Problem::AGENT_UNAVAILABLE)
        },
        CallFault::QueueFull | CallFault::Lost(_) | CallFault::Abandoned(_) => {
            Refusal::new(Problem::AGENT_UNAVAILABLE)
        }
    };
    refusal.because(fault).into()
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, task::Context};

    use super::*;

    /// What an agent of the small world does when it is its turn.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Deed {
        Allow,
        Block,
        /// Not asked: it does not want to be.
        Unasked,
        FailOpen,
        FailClosed,
    }

    const DEEDS: [Deed; 5] =
        [Deed::Allow, Deed::Block, Deed::Unasked, Deed::FailOpen, Deed::FailClosed];
    const ORDERS: [[usize; 3]; 6] =
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

    /// An agent that answers once `clock` has come to `turn`.
    fn call<'a>(index: usize, deed: Deed, turn: usize, clock: &'a Cell<usize>) -> Call<'a> {
        let answer = poll_fn(move |_: &mut Context<'_>| {
            if clock.get() < turn {
                return Poll::Pending;
            }
            Poll::Ready(match deed {
                Deed::Allow => Ok(Some(Verdict::allow())),
                Deed::Block => Ok(Some(Verdict::block(403))),
                Deed::Unasked => Ok(None),
                Deed::FailOpen | Deed::FailClosed => Err(CallFault::Timeout),
            })
        });
        let failure_mode = match deed {
            Deed::FailClosed => FailureMode::Closed,
            _ => FailureMode::Open,
        };
        Call { index, failure_mode, began: Instant::now(), answer: Box::pin(answer) }
    }

    /// Whatever three agents do and in whichever order they answer: the first refusal is the answer,
    /// and without one the advice comes in the order of the config.
    #[test]
    fn every_order_of_every_answer() {
        let deeds = (0..125).map(|it| [DEEDS[it / 25], DEEDS[it / 5 % 5], DEEDS[it % 5]]);
        for (deeds, order) in deeds.flat_map(|deeds| ORDERS.map(|order| (deeds, order))) {
            let clock = Cell::new(0);
            let turn = |agent| order.iter().position(|other| *other == agent).unwrap();
            let calls = (0..3).map(|agent| call(agent, deeds[agent], turn(agent), &clock));
            let minutes = Minutes::default();
            let mut heard = std::pin::pin!(hear(calls.collect(), Event::RequestHeaders, &minutes));
            let mut context = Context::from_waker(std::task::Waker::noop());
            let outcome = loop {
                match heard.as_mut().poll(&mut context) {
                    Poll::Ready(outcome) => break outcome,
                    Poll::Pending => clock.set(clock.get() + 1),
                }
            };
            let refuses = |agent: &&usize| matches!(deeds[**agent], Deed::Block | Deed::FailClosed);
            match (outcome, order.iter().find(refuses)) {
                (Ok(advice), None) => {
                    let allow = (0..3).filter(|agent| deeds[*agent] == Deed::Allow);
                    assert!(
                        advice.iter().map(|(agent, _)| *agent).eq(allow),
                        "{deeds:?} {order:?}"
                    );
                }
                (Err(Failure::Agent(refusal)), Some(first)) => {
                    assert_eq!((refusal.agent, deeds[*first]), (*first, Deed::Block));
                }
                (Err(Failure::Refused(_)), Some(first)) => {
                    assert_eq!(deeds[*first], Deed::FailClosed);
                }
                (outcome, first) => panic!("{deeds:?} {order:?}: {first:?}, not {outcome:?}"),
            }
        }
    }
}
