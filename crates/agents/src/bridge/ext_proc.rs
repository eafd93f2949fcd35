//! `envoy.service.ext_proc.v3`: one conversation for each exchange, an answer to each message.

mod conversation;

use std::time::Duration;

use bytes::Bytes;
use selvedge_agent::{Body, Chunk, RequestHead, ResponseHead, Step, Subscriptions, Verdict};
use selvedge_config::{
    AgentEvent,
    bridge::{BodyMode, Grpc, Settings},
};
use tokio::time::timeout;

use self::conversation::{Conversation, Lingering};
use super::{
    body_bytes,
    envoy::{
        BodyMutation, BodySendMode, CommonResponse, HeaderSendMode, HttpBody, HttpHeaders,
        ImmediateResponse, Mutation, ProcessingMode, ProcessingRequest, ProcessingResponse,
        ProtocolConfiguration, Question, Reply, ResponseStatus,
    },
    failure::Failure,
    fields::{self, AnswerFields, Message},
    grpc::Service,
    metadata, too_large,
};

/// Namespace under which Envoy puts what it knows of an exchange.
const ATTRIBUTES: &str = "envoy.filters.http.ext_proc";

/// A service that processes messages.
pub(super) struct ExtProc {
    service: Service,
    timeout: Duration,
    body_mode: BodyMode,
    body_max: u32,
    events: Vec<AgentEvent>,
    lingering: Lingering,
}

/// What is kept of an exchange.
#[derive(Default)]
pub(super) struct Exchange {
    conversation: Option<Conversation>,
    /// The service has ended the conversation, in order: it has no more to say.
    is_released: bool,
    /// What the service does not want to see of this exchange.
    skips: Skips,
    request: Replaced,
    response: Replaced,
}

#[derive(Clone, Copy, Debug, Default)]
struct Skips {
    request_body: bool,
    response_headers: bool,
    response_body: bool,
}

/// What comes in place of a body, if the service said so when it saw the head.
#[derive(Debug, Default)]
enum Replaced {
    #[default]
    No,
    By(Bytes),
    /// It has been given already; what follows is dropped.
    Done,
}

/// The part of a message that a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
}

/// What a service says of a part, apart from the changes of fields, which are in a verdict already.
struct Said {
    verdict: Verdict,
    replaces_all: bool,
    body: Option<BodyMutation>,
    mode: Option<ProcessingMode>,
}

impl ExtProc {
    pub(super) fn new(settings: &Settings, grpc: &Grpc) -> Result<Self, String> {
        Ok(Self {
            service: Service::new(settings, grpc)?,
            timeout: settings.timeout,
            body_mode: grpc.body_mode,
            body_max: body_bytes(settings),
            events: settings.events.clone(),
            lingering: Lingering::default(),
        })
    }

    pub(super) fn wants(&self) -> Subscriptions {
        let max = self.body_max;
        self.events.iter().fold(Subscriptions::none(), |wants, event| {
            match (event, self.body_mode) {
                (AgentEvent::RequestHeaders, _) => wants.request_headers(),
                (AgentEvent::ResponseHeaders, _) => wants.response_headers(),
                (AgentEvent::RequestBody, BodyMode::Inspect) => wants.inspect_request_body(max),
                (AgentEvent::ResponseBody, BodyMode::Inspect) => wants.inspect_response_body(max),
                // It passes through, however long.
                (AgentEvent::RequestBody, BodyMode::Stream) => wants.stream_request_body(u32::MAX),
                (AgentEvent::ResponseBody, BodyMode::Stream) => {
                    wants.stream_response_body(u32::MAX)
                }
                (AgentEvent::WebsocketFrame | AgentEvent::Log, _) => wants,
            }
        })
    }

    fn is_asked(&self, event: AgentEvent) -> bool {
        self.events.contains(&event)
    }

    pub(super) async fn request_headers(
        &self,
        request: &RequestHead<'_>,
        exchange: &mut Exchange,
    ) -> Result<Verdict, Failure> {
        let headers = Some(fields::of_request(request));
        let question = HttpHeaders { headers, end_of_stream: !request.has_body() };
        let question = Question::RequestHeaders(question);
        let message = Message::Request(*request);
        let answer = self.ask(question, request, exchange).await?;
        let Some(answer) = answer else { return Ok(Verdict::allow().done()) };
        let said = Said::read(answer, Phase::RequestHeaders, message)?;
        if let Some(mode) = &said.mode {
            exchange.skips = Skips::of(mode);
        }
        if said.replaces_all {
            let can = request.has_body() && self.is_asked(AgentEvent::RequestBody);
            exchange.request = Replaced::by(said.body, can)?;
        }
        let wants_body = request.has_body()
            && self.is_asked(AgentEvent::RequestBody)
            && (exchange.request.is_any() || !exchange.skips.request_body);
        Ok(self.end_unless(wants_body || self.wants_response(exchange), said.verdict))
    }

    pub(super) async fn response_headers(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        exchange: &mut Exchange,
    ) -> Result<Verdict, Failure> {
        if exchange.skips.response_headers {
            return Ok(self.end_unless(self.wants_response_body(exchange), Verdict::allow()));
        }
        let headers = Some(fields::of_response(response));
        let question = HttpHeaders { headers, end_of_stream: !response.has_body() };
        let question = Question::ResponseHeaders(question);
        let message = Message::Response(*response);
        let answer = self.ask(question, request, exchange).await?;
        let Some(answer) = answer else { return Ok(Verdict::allow().done()) };
        let said = Said::read(answer, Phase::ResponseHeaders, message)?;
        if let Some(mode) = &said.mode {
            exchange.skips.response_body = Skips::of(mode).response_body;
        }
        if said.replaces_all {
            let can = response.has_body() && self.is_asked(AgentEvent::ResponseBody);
            exchange.response = Replaced::by(said.body, can)?;
        }
        let wants_body = response.has_body() && self.wants_response_body(exchange);
        Ok(self.end_unless(wants_body, said.verdict))
    }

    pub(super) async fn request_body(
        &self,
        request: &RequestHead<'_>,
        body: Body<'_>,
        exchange: &mut Exchange,
    ) -> Result<Verdict, Failure> {
        let verdict = match exchange.request.take() {
            Replaced::By(bytes) => Verdict::allow().replace_body(bytes),
            _ if exchange.skips.request_body || exchange.is_released => Verdict::allow(),
            _ if body.is_truncated() => return Ok(too_large(413)),
            _ => {
                let question = Question::RequestBody(whole(body));
                let message = Message::Request(*request);
                self.body(question, (request, message), Phase::RequestBody, exchange).await?
            }
        };
        Ok(self.end_unless(self.wants_response(exchange), verdict))
    }

    pub(super) async fn response_body(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        body: Body<'_>,
        exchange: &mut Exchange,
    ) -> Result<Verdict, Failure> {
        match exchange.response.take() {
            Replaced::By(bytes) => Ok(Verdict::allow().replace_body(bytes)),
            _ if exchange.skips.response_body || exchange.is_released => Ok(Verdict::allow()),
            // As Envoy does; the upstream is to blame.
            _ if body.is_truncated() => Ok(too_large(502)),
            _ => {
                let question = Question::ResponseBody(whole(body));
                let message = Message::Response(*response);
                self.body(question, (request, message), Phase::ResponseBody, exchange).await
            }
        }
    }

    async fn body(
        &self,
        question: Question,
        (request, message): (&RequestHead<'_>, Message<'_>),
        phase: Phase,
        exchange: &mut Exchange,
    ) -> Result<Verdict, Failure> {
        let answer = self.ask(question, request, exchange).await?;
        let Some(answer) = answer else { return Ok(Verdict::allow()) };
        let Said { verdict, body, .. } = Said::read(answer, phase, message)?;
        match body.map(replacement).transpose()?.flatten() {
            Some(bytes) if verdict.is_allow() => Ok(verdict.replace_body(bytes)),
            _ => Ok(verdict),
        }
    }

    pub(super) async fn request_chunk(
        &self,
        request: &RequestHead<'_>,
        chunk: Chunk<'_>,
        exchange: &mut Exchange,
    ) -> Result<Step, Failure> {
        if let Some(step) = exchange.request.step() {
            return Ok(step);
        }
        if exchange.skips.request_body || exchange.is_released {
            return Ok(Step::Decide(Verdict::allow()));
        }
        let message = Message::Request(*request);
        let question = Question::RequestBody(piece(chunk));
        self.chunk(question, (request, message), (Phase::RequestBody, chunk), exchange).await
    }

    pub(super) async fn response_chunk(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        chunk: Chunk<'_>,
        exchange: &mut Exchange,
    ) -> Result<Step, Failure> {
        if let Some(step) = exchange.response.step() {
            return Ok(step);
        }
        if exchange.skips.response_body || exchange.is_released {
            return Ok(Step::Decide(Verdict::allow()));
        }
        let message = Message::Response(*response);
        let question = Question::ResponseBody(piece(chunk));
        self.chunk(question, (request, message), (Phase::ResponseBody, chunk), exchange).await
    }

    async fn chunk(
        &self,
        question: Question,
        (request, message): (&RequestHead<'_>, Message<'_>),
        (phase, chunk): (Phase, Chunk<'_>),
        exchange: &mut Exchange,
    ) -> Result<Step, Failure> {
        if chunk.is_truncated() {
            return Ok(Step::Decide(too_large(413)));
        }
        let answer = self.ask(question, request, exchange).await?;
        let Some(answer) = answer else { return Ok(Step::Decide(Verdict::allow())) };
        let Said { verdict, body, .. } = Said::read(answer, phase, message)?;
        if !verdict.is_allow() {
            return Ok(Step::Decide(verdict));
        }
        let bytes = body.map(replacement).transpose()?.flatten();
        Ok(bytes.map_or(Step::Release, Step::Replace))
    }

    /// Asks, and waits for the answer; `None` if the service has no more to say of this exchange.
    async fn ask(
        &self,
        question: Question,
        request: &RequestHead<'_>,
        exchange: &mut Exchange,
    ) -> Result<Option<ProcessingResponse>, Failure> {
        if exchange.is_released {
            return Ok(None);
        }
        let asked =
            timeout(self.timeout + super::OVERTIME, self.converse(question, request, exchange))
                .await;
        let answer = asked.unwrap_or(Err(Failure::Late));
        if !matches!(answer, Ok(Some(_))) {
            exchange.conversation = None;
            exchange.is_released = true;
        }
        answer
    }

    async fn converse(
        &self,
        question: Question,
        request: &RequestHead<'_>,
        exchange: &mut Exchange,
    ) -> Result<Option<ProcessingResponse>, Failure> {
        if let Some(conversation) = &mut exchange.conversation {
            let question = ProcessingRequest { request: Some(question), ..Default::default() };
            return conversation.ask(question).await;
        }
        let attributes = metadata::attributes(request);
        let first = ProcessingRequest {
            request: Some(question),
            metadata_context: metadata::context(request),
            attributes: [(ATTRIBUTES.to_owned(), attributes)].into(),
            protocol_config: Some(self.protocol_config()),
        };
        let begun = Conversation::begin(&self.service, first, &self.lingering).await?;
        exchange.conversation.insert(begun).answer().await
    }

    fn protocol_config(&self) -> ProtocolConfiguration {
        let mode = |event| match (self.is_asked(event), self.body_mode) {
            (false, _) => BodySendMode::None.into(),
            (true, BodyMode::Inspect) => BodySendMode::Buffered.into(),
            (true, BodyMode::Stream) => BodySendMode::Streamed.into(),
        };
        ProtocolConfiguration {
            request_body_mode: mode(AgentEvent::RequestBody),
            response_body_mode: mode(AgentEvent::ResponseBody),
        }
    }

    fn wants_response(&self, exchange: &Exchange) -> bool {
        let wants_headers =
            self.is_asked(AgentEvent::ResponseHeaders) && !exchange.skips.response_headers;
        !exchange.is_released && (wants_headers || self.wants_response_body(exchange))
    }

    fn wants_response_body(&self, exchange: &Exchange) -> bool {
        let is_needed = !exchange.skips.response_body && !exchange.is_released;
        self.is_asked(AgentEvent::ResponseBody) && (is_needed || exchange.response.is_any())
    }

    /// Ends the exchange where nothing is left to ask.
    fn end_unless(&self, is_needed: bool, verdict: Verdict) -> Verdict {
        if is_needed { verdict } else { verdict.done() }
    }
}

fn whole(body: Body<'_>) -> HttpBody {
    HttpBody { body: Bytes::copy_from_slice(body.bytes()), end_of_stream: true }
}

fn piece(chunk: Chunk<'_>) -> HttpBody {
    let body = Bytes::copy_from_slice(chunk.bytes());
    HttpBody { body, end_of_stream: chunk.is_last() }
}

impl Skips {
    /// A service that says how it wants the rest says all of it: what it leaves out, it does not want.
    fn of(mode: &ProcessingMode) -> Self {
        let is_none = |mode| mode == i32::from(BodySendMode::None);
        Self {
            request_body: is_none(mode.request_body_mode),
            response_headers: mode.response_header_mode == i32::from(HeaderSendMode::Skip),
            response_body: is_none(mode.response_body_mode),
        }
    }
}

impl Replaced {
    /// `can`: there will be a body to replace.
    fn by(mutation: Option<BodyMutation>, can: bool) -> Result<Self, Failure> {
        let Some(bytes) = mutation.map(replacement).transpose()?.flatten() else {
            return Ok(Self::No);
        };
        match (can, bytes.is_empty()) {
            (true, _) => Ok(Self::By(bytes)),
            (false, true) => Ok(Self::No),
            (false, false) => Err(Failure::Answer(
                "a body for a message that has none, or whose body the service is not asked about",
            )),
        }
    }

    fn is_any(&self) -> bool {
        !matches!(self, Self::No)
    }

    fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// What becomes of a piece of a body that is replaced.
    fn step(&mut self) -> Option<Step> {
        match std::mem::take(self) {
            Self::No => None,
            Self::By(bytes) => {
                *self = Self::Done;
                Some(Step::Replace(bytes))
            }
            Self::Done => {
                *self = Self::Done;
                Some(Step::Replace(Bytes::new()))
            }
        }
    }
}

/// The bytes in place of others, if any.
fn replacement(mutation: BodyMutation) -> Result<Option<Bytes>, Failure> {
    match mutation.mutation {
        Some(Mutation::Body(bytes)) => Ok(Some(bytes)),
        Some(Mutation::ClearBody(true)) => Ok(Some(Bytes::new())),
        Some(Mutation::ClearBody(false)) | None => Ok(None),
        Some(Mutation::StreamedResponse(_)) => {
            Err(Failure::Answer("a body for a mode that was not offered"))
        }
    }
}

impl Said {
    fn read(
        answer: ProcessingResponse,
        phase: Phase,
        message: Message<'_>,
    ) -> Result<Self, Failure> {
        let ProcessingResponse { response, dynamic_metadata, mode_override: mode, .. } = answer;
        let common = match (phase, response) {
            (_, Some(Reply::Immediate(immediate))) => {
                let verdict = self::immediate(immediate)?;
                let verdict = metadata::add_values(verdict, dynamic_metadata.as_ref());
                return Ok(Self { verdict, replaces_all: false, body: None, mode: None });
            }
            (Phase::RequestHeaders, Some(Reply::RequestHeaders(said)))
            | (Phase::RequestBody, Some(Reply::RequestBody(said)))
            | (Phase::ResponseHeaders, Some(Reply::ResponseHeaders(said)))
            | (Phase::ResponseBody, Some(Reply::ResponseBody(said))) => said.response,
            _ => return Err(Failure::Answer("an answer to something that was not asked")),
        };
        let CommonResponse { status, header_mutation, body_mutation } = common.unwrap_or_default();
        let mut verdict = metadata::add_values(Verdict::allow(), dynamic_metadata.as_ref());
        if let Some(mutation) = header_mutation {
            verdict = message.change(verdict, &mutation)?;
        }
        let replaces_all = status == i32::from(ResponseStatus::ContinueAndReplace);
        Ok(Self { verdict, replaces_all, body: body_mutation, mode })
    }
}

fn immediate(immediate: ImmediateResponse) -> Result<Verdict, Failure> {
    let ImmediateResponse { status, headers, body, grpc_status, details } = immediate;
    let code = status.map_or(0, |status| status.code);
    // What Envoy takes for a response that says none.
    let status = if code == 0 { Ok(200) } else { u16::try_from(code) };
    let mut fields = AnswerFields::default();
    if !body.is_empty() {
        fields.add("content-type", b"text/plain");
    }
    if let Some(grpc) = grpc_status {
        fields.add("grpc-status", grpc.status.to_string().as_bytes());
    }
    let fields = fields.change(&headers.unwrap_or_default())?;
    let verdict = fields.refuse(status.unwrap_or(0))?.body(body);
    Ok(if details.is_empty() { verdict } else { verdict.reason(details) })
}
