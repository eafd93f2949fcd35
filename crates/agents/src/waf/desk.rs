//! One exchange at work.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use selvedge_agent::{
    Body, HttpVersion, RequestHead, ResponseHead, Verdict, WebsocketFrame, attributes,
};
use selvedge_waf::{
    engine::{self, Connection, Decision, Refusal, Transaction},
    policy::Unreadable,
};
use tokio::runtime::Handle;

use super::{
    Ready, answer,
    answer::Report,
    mask::Whole,
    pool::{Generation, Lease},
    tally::{Judged, Outcome, Sender, Unread},
    watch::Watched,
};
use crate::coding::{CodingFault, Codings};

/// Bodies larger than this are judged off the thread that speaks to the edge.
const LARGE: usize = 32 << 10;
/// Opcodes of RFC 6455 from this on are control frames.
const CONTROL: u8 = 8;
/// The opcode of a frame that goes on with a message.
const CONTINUATION: u8 = 0;

/// An exchange, and what was said of it so far.
pub(super) struct Desk {
    ready: Arc<Ready>,
    transaction: Lease,
    /// So many matches are in findings already.
    told: usize,
    /// What was decided of the request's body.
    decision: Decision,
    /// The response's codings.
    codings: Codings,
    is_websocket: bool,
    /// The frames of a message that goes on.
    message: Vec<u8>,
    /// The rules that come last were asked.
    is_logged: bool,
    /// It is judged off the thread that speaks to the edge.
    is_large: bool,
    /// What the message cost that is judged.
    cost: Cost,
    watched: Watched,
}

/// What it cost to judge a message.
#[derive(Default)]
struct Cost {
    took: Duration,
    bytes: u64,
    unread: Option<Unread>,
}

/// A response's body, and whose it is.
#[derive(Clone, Copy)]
pub(super) struct Message<'m> {
    pub(super) request: &'m RequestHead<'m>,
    pub(super) response: &'m ResponseHead<'m>,
    pub(super) body: Body<'m>,
}

impl Desk {
    /// Begins an exchange.
    pub(super) fn new(
        ready: Arc<Ready>,
        generation: Generation,
        request: &RequestHead<'_>,
    ) -> Self {
        let mut transaction = Lease::new(generation);
        let connection = connection(request);
        transaction.judge(|one| one.begin(&ready.profile, &connection, SystemTime::now()));
        Self {
            ready,
            transaction,
            told: 0,
            decision: Decision::Pass,
            codings: Codings::default(),
            is_websocket: false,
            message: Vec::new(),
            is_logged: false,
            is_large: false,
            cost: Cost::default(),
            watched: Watched::default(),
        }
    }

    /// Judges a head, and the whole request if there is no more of it.
    pub(super) fn request_head(&mut self, request: &RequestHead<'_>) -> Verdict {
        self.is_websocket = self.ready.websocket && is_websocket(request);
        self.watched = self.ready.watch.head(request);
        if self.is_stopped() {
            return self.request(request);
        }
        self.decision = self.judge(false, |one| request_head(one, request));
        self.transaction.add_points(self.watched.points());
        if self.decision != Decision::Pass {
            return self.request(request);
        }
        if request.has_body() {
            return self.changed(Verdict::allow());
        }
        if self.is_stopped_by(request, b"") {
            return self.request(request);
        }
        self.decision = self.judge(self.ends_with_request(), Transaction::request);
        let verdict = self.request(request);
        if verdict.is_allow() { self.changed(verdict) } else { verdict }
    }

    /// Counters refuse the request.
    fn is_stopped(&self) -> bool {
        self.watched.is_stopped() && self.ready.is_enforced
    }

    /// Likewise, now that its body is there.
    fn is_stopped_by(&mut self, request: &RequestHead<'_>, body: &[u8]) -> bool {
        let points = self.ready.watch.body(request, body, &mut self.watched);
        self.transaction.add_points(points);
        self.is_stopped()
    }

    /// Asks for what can be inspected: an answer whole and not encoded, frames not compressed.
    fn changed(&self, verdict: Verdict) -> Verdict {
        let names: &[&str] = match (self.ready.responses, self.is_websocket) {
            (_, true) => &["sec-websocket-extensions"],
            (true, false) => &["accept-encoding", "range", "if-range"],
            (false, false) => &[],
        };
        names.iter().fold(verdict, |verdict, name| verdict.remove_request_header(name))
    }

    /// Takes the body of a request, and judges it.
    pub(super) async fn take_request(mut self, request: &RequestHead<'_>, body: Body<'_>) -> Self {
        let policy = self.ready.profile.policy();
        let lines: Vec<&[u8]> = request.fields().all("content-encoding").collect();
        let codings = Codings::read(&lines);
        let decoded = decode(&codings, body, policy.limits.request_body_bytes);
        let (bytes, is_more) = match decoded {
            Ok(bytes) => (bytes, body.is_truncated()),
            Err(fault) => {
                self.cost.unread = Some(unread(fault));
                let (status, unreadable, reason) = match fault {
                    CodingFault::Large => (413, policy.oversize, TOO_LARGE),
                    CodingFault::Broken => (400, policy.undecodable, BROKEN),
                    CodingFault::Unknown => (415, policy.undecodable, UNKNOWN),
                };
                let judged = self.judge(self.ends_with_request(), Transaction::request);
                self.decision = match unreadable {
                    // Nothing of the body can be read.
                    Unreadable::Reject | Unreadable::Inspect if judged == Decision::Pass => {
                        refusal(status, reason)
                    }
                    _ => judged,
                };
                return self;
            }
        };
        self.cost.unread = is_more.then_some(Unread::Large);
        if self.is_stopped_by(request, &bytes) {
            return self;
        }
        let is_last = self.ends_with_request();
        self.judge_body(is_last, bytes, move |one, bytes| {
            one.request_body(bytes);
            if is_more {
                // One byte beyond the bound says that there is more.
                one.request_body(b"\0");
            }
            one.request()
        })
        .await
    }

    /// Nothing of the answer is of interest to rules.
    fn ends_with_request(&self) -> bool {
        !self.ready.responses && !self.ready.logs_response
    }

    /// What is said of the request.
    pub(super) fn request(&mut self, request: &RequestHead<'_>) -> Verdict {
        let score = self.transaction.score().inbound;
        if let Some(refusal) = self.watched.refusal(request).filter(|_| self.is_stopped()) {
            self.watched.close();
            self.count((Sender::Client, Outcome::Blocked), score);
            return refusal;
        }
        let decision = std::mem::replace(&mut self.decision, Decision::Pass);
        let verdict = self.verdict(request, (decision, score, Sender::Client));
        let verdict = self.remember(verdict, score);
        let verdict = match verdict.is_allow() {
            true => verdict.value(selvedge_config::waf::SCORE, score.to_string()),
            false => verdict,
        };
        let is_over = self.ends_with_request() && !self.is_websocket && !self.watched.is_open();
        if verdict.is_allow() && is_over { verdict.done() } else { verdict }
    }

    /// Tells counters what rules found, and the verdict what counters did.
    fn remember(&mut self, verdict: Verdict, score: u32) -> Verdict {
        let refused = !verdict.is_allow();
        let by_rules = score.saturating_sub(self.watched.points());
        self.ready.watch.found(&self.watched, (by_rules, refused));
        if refused {
            self.watched.close();
        }
        self.watched.tell(verdict, refused || score >= self.ready.log_at)
    }

    /// Judges the head of a response, and the whole response if its body is of no interest.
    pub(super) fn response_head(
        &mut self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
    ) -> Verdict {
        self.ready.watch.answered(response, &mut self.watched);
        if !self.ready.responses {
            if self.ready.logs_response && !self.is_logged {
                self.judge(true, |one| {
                    with_head(request, response, |head| one.note_response_head(head));
                    Decision::Pass
                });
            }
            return self.end(Verdict::allow());
        }
        let decision =
            self.judge(false, |one| with_head(request, response, |head| one.response_head(head)));
        if decision == Decision::Pass && self.wants_body(request, response) {
            let lines: Vec<&[u8]> = response.fields().all("content-encoding").collect();
            self.codings = Codings::read(&lines);
            return Verdict::allow();
        }
        let decision = match decision {
            Decision::Pass => self.judge(true, Transaction::response),
            refused => refused,
        };
        let verdict = self.response(request, decision);
        self.end(verdict)
    }

    /// Streams of events go on as they come: to hold them is to break them.
    fn wants_body(&self, request: &RequestHead<'_>, response: &ResponseHead<'_>) -> bool {
        let is_there = response.has_body()
            && request.method() != "HEAD"
            && !matches!(response.status(), 101 | 204 | 304);
        let field = response.header("content-type").unwrap_or_default();
        let is_stream =
            field.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"));
        is_there && !is_stream && self.transaction.wants_response_body()
    }

    /// Judges the body of a response, and hides what it gives away if that is wanted.
    pub(super) async fn response_body(mut self, message: Message<'_>) -> (Self, Verdict) {
        let Message { request, response, body } = message;
        let size = self.ready.profile.policy().limits.response_body_bytes;
        let bytes = match decode(&self.codings, body, size) {
            Ok(bytes) => bytes,
            Err(fault) => {
                self.cost.unread = Some(unread(fault));
                let is_refused = self.ready.profile.policy().undecodable == Unreadable::Reject;
                let said = if is_refused { refusal(502, CODED) } else { Decision::Pass };
                let decision = self.judge(true, |_| said);
                let verdict = self.response(request, decision);
                return (self, verdict.done());
            }
        };
        let before = self.transaction.matches().len();
        self.cost.unread = body.is_truncated().then_some(Unread::Large);
        let mut desk = self
            // The body may be needed once more.
            .judge_body(true, Cow::Borrowed(&*bytes), |one, bytes| {
                one.response_body(bytes);
                one.response()
            })
            .await;
        let decision = std::mem::replace(&mut desk.decision, Decision::Pass);
        let can_mask = desk.ready.mask
            && desk.codings.is_identity()
            && !body.is_truncated()
            && bytes.len() <= size;
        let masked = match &decision {
            Decision::Refuse(_) if can_mask => {
                let leaks = desk.transaction.matches()[before..].to_vec();
                let (whole, ready) = (Whole::new(request, response), Arc::clone(&desk.ready));
                let bytes = bytes.into_owned();
                // Each round is a judgement of its own: however small the body, others do not wait for all of them.
                elsewhere(move || whole.masked(&ready, leaks, bytes)).await
            }
            _ => None,
        };
        let verdict = match masked {
            Some(masked) => desk.masked((decision, masked)),
            None => desk.response(request, decision),
        };
        (desk, verdict.done())
    }

    fn masked(&mut self, (decision, body): (Decision, Vec<u8>)) -> Verdict {
        let refusal = match decision {
            Decision::Refuse(refusal) => Some(refusal),
            Decision::Pass => None,
        };
        let score = self.transaction.score().outbound;
        self.tell(Verdict::allow().replace_body(body), refusal, (score, Sender::Upstream))
    }

    fn response(&mut self, request: &RequestHead<'_>, decision: Decision) -> Verdict {
        let score = self.transaction.score().outbound;
        self.verdict(request, (decision, score, Sender::Upstream))
    }

    /// Judges what a client sends over a WebSocket: each frame, and each message of several frames.
    pub(super) fn frame(
        &mut self,
        request: &RequestHead<'_>,
        frame: WebsocketFrame<'_>,
    ) -> Verdict {
        let WebsocketFrame { opcode, payload, from_upstream, continues, truncated } = frame;
        if from_upstream || opcode >= CONTROL || !self.ready.websocket {
            return Verdict::allow();
        }
        let policy = self.ready.profile.policy();
        if opcode != CONTINUATION {
            self.message.clear();
        }
        let is_part = continues || opcode == CONTINUATION;
        let size = payload.len() + if is_part { self.message.len() } else { 0 };
        let is_large = truncated || size > policy.limits.request_body_bytes;
        if is_large && policy.oversize == Unreadable::Reject {
            self.cost.unread = Some(Unread::Large);
            return self.verdict(request, (refusal(413, TOO_LARGE), 0, Sender::Tunnel));
        }
        if is_large && policy.oversize == Unreadable::Pass {
            return Verdict::allow();
        }
        let verdict = self.judge_frame(request, payload);
        if !verdict.is_allow() || !is_part {
            return verdict;
        }
        if !is_large {
            self.message.extend_from_slice(payload);
        }
        if continues {
            return verdict;
        }
        let message = std::mem::take(&mut self.message);
        self.judge_frame(request, &message)
    }

    fn judge_frame(&mut self, request: &RequestHead<'_>, payload: &[u8]) -> Verdict {
        let decision = self.judge(false, |one| one.frame(payload));
        self.cost.bytes = payload.len() as u64;
        self.told = 0;
        let score = self.transaction.score().inbound;
        self.verdict(request, (decision, score, Sender::Tunnel))
    }

    /// What is said to the edge, with what was found since it was last told.
    fn verdict(
        &mut self,
        request: &RequestHead<'_>,
        (decision, score, sender): (Decision, u32, Sender),
    ) -> Verdict {
        let (verdict, refused) = match decision {
            Decision::Refuse(refusal) if self.ready.is_enforced => {
                (answer::refuse(&refusal, sender, request), Some(refusal))
            }
            Decision::Refuse(refusal) => (Verdict::allow(), Some(refusal)),
            Decision::Pass => (Verdict::allow(), self.transaction.refusal().cloned()),
        };
        self.tell(verdict, refused, (score, sender))
    }

    /// Adds to a verdict what was found since the last one, and counts the message.
    fn tell(
        &mut self,
        verdict: Verdict,
        refusal: Option<Refusal>,
        (score, sender): (u32, Sender),
    ) -> Verdict {
        let report = Report {
            matches: &self.transaction.matches()[self.told..],
            score,
            refusal: refusal.as_ref(),
            ready: &self.ready,
        };
        let outcome = report.outcome(&verdict);
        let verdict = report.on(verdict);
        self.count((sender, outcome), score);
        verdict
    }

    /// Counts a message that was judged, with what was found in it and not told before.
    fn count(&mut self, (sender, outcome): (Sender, Outcome), score: u32) {
        let Cost { took, bytes, unread } = std::mem::take(&mut self.cost);
        let has_form = sender != Sender::Client || self.transaction.body_problem().is_none();
        let work_max = self.ready.profile.policy().limits.work;
        self.ready.tally.count(&Judged {
            sender,
            outcome,
            matches: &self.transaction.matches()[self.told..],
            score,
            took,
            bytes,
            unread: unread.or_else(|| (!has_form).then_some(Unread::Form)),
            is_exhausted: self.transaction.work() > work_max,
        });
        self.told = self.transaction.matches().len();
    }

    /// Judges, and notes how long it takes. After the last message, and after one that is refused, the rules are asked
    /// that come last.
    fn judge(
        &mut self,
        is_last: bool,
        judge: impl FnOnce(&mut Transaction) -> Decision,
    ) -> Decision {
        let since = Instant::now();
        let decision = self.transaction.judge(judge);
        let is_over = is_last || decision != Decision::Pass;
        if is_over && !std::mem::replace(&mut self.is_logged, true) {
            self.transaction.judge(Transaction::log);
        }
        self.cost.took += since.elapsed();
        decision
    }

    /// Nothing more of this exchange is of interest, unless its frames are.
    fn end(&self, verdict: Verdict) -> Verdict {
        if self.is_websocket { verdict } else { verdict.done() }
    }

    /// Judges a body here, or elsewhere if it is large.
    async fn judge_body(
        mut self,
        is_last: bool,
        bytes: Cow<'_, [u8]>,
        judge: impl FnOnce(&mut Transaction, &[u8]) -> Decision + Send + 'static,
    ) -> Self {
        self.cost.bytes = bytes.len() as u64;
        if bytes.len() <= LARGE {
            self.decision = self.judge(is_last, |one| judge(one, &bytes));
            return self;
        }
        self.is_large = true;
        let bytes = bytes.into_owned();
        elsewhere(move || {
            self.decision = self.judge(is_last, |one| judge(one, &bytes));
            self
        })
        .await
    }
}

impl Drop for Desk {
    /// Ends an exchange of which there was no last message: it was refused by others, or somebody went away.
    fn drop(&mut self) {
        if self.is_logged || std::thread::panicking() {
            return;
        }
        let (ready, told) = (Arc::clone(&self.ready), self.told);
        let mut transaction = self.transaction.take();
        let mut end = move || {
            transaction.judge(Transaction::log);
            ready.tally.count_matches(&transaction.matches()[told..], Outcome::Passed);
        };
        match Handle::try_current().ok().filter(|_| self.is_large) {
            Some(runtime) => drop(runtime.spawn_blocking(end)),
            None => end(),
        }
    }
}

/// Works off the thread that speaks to the edge.
async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and the process with it.
            Err(_) => std::future::pending().await,
        },
    }
}

const TOO_LARGE: &str = "there is more of it than is inspected: see `selvedge explain waf/size`";
const BROKEN: &str = "the body is not encoded as its head says";
const UNKNOWN: &str = "the body has a coding that is not decoded here";
const CODED: &str = "the response has a coding that cannot be decoded here";

fn refusal(status: u16, reason: &str) -> Decision {
    let reason = reason.to_owned();
    Decision::Refuse(Refusal { status, location: None, rule: None, reason })
}

fn unread(fault: CodingFault) -> Unread {
    match fault {
        CodingFault::Large => Unread::Large,
        CodingFault::Broken => Unread::Broken,
        CodingFault::Unknown => Unread::Coding,
    }
}

/// Takes a body out of its codings.
fn decode<'b>(
    codings: &Codings,
    body: Body<'b>,
    size: usize,
) -> Result<Cow<'b, [u8]>, CodingFault> {
    if codings.is_identity() {
        return Ok(Cow::Borrowed(body.bytes()));
    }
    if body.is_truncated() {
        // The end is missing, and with it the proof that the beginning is sound.
        return Err(CodingFault::Large);
    }
    codings.decode(body.bytes(), size as u64)
}

fn is_websocket(request: &RequestHead<'_>) -> bool {
    let upgrades = request.fields().all("upgrade").any(|value| {
        value
            .split(|byte| *byte == b',')
            .any(|one| one.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    });
    upgrades || request.method() == "CONNECT"
}

fn request_head(transaction: &mut Transaction, request: &RequestHead<'_>) -> Decision {
    transaction.request_head(&engine::RequestHead {
        method: request.method().as_bytes(),
        target: request.target().as_bytes(),
        version: version(request.version()),
        fields: &request_fields(request),
    })
}

/// The fields of a request, with the host that HTTP/2 tells elsewhere.
pub(super) fn request_fields<'r>(request: &'r RequestHead<'_>) -> Vec<(&'r [u8], &'r [u8])> {
    let own = request.fields();
    let host = own.get("host").is_none().then(|| ("host", request.authority().as_bytes()));
    // What was not sent is not an empty field.
    let host = host.filter(|(_, host)| !host.is_empty());
    host.into_iter().chain(own.iter()).map(|(name, value)| (name.as_bytes(), value)).collect()
}

pub(super) fn response_fields<'r>(response: &'r ResponseHead<'_>) -> Vec<(&'r [u8], &'r [u8])> {
    response.fields().iter().map(|(name, value)| (name.as_bytes(), value)).collect()
}

/// Does something with the head of a response, as the engine takes it.
fn with_head<T>(
    request: &RequestHead<'_>,
    response: &ResponseHead<'_>,
    take: impl FnOnce(&engine::ResponseHead<'_>) -> T,
) -> T {
    take(&engine::ResponseHead {
        status: response.status(),
        version: version(request.version()),
        fields: &response_fields(response),
    })
}

pub(super) fn version(version: HttpVersion) -> &'static str {
    match version {
        HttpVersion::Http10 => "HTTP/1.0",
        HttpVersion::Http11 => "HTTP/1.1",
        HttpVersion::Http2 => "HTTP/2.0",
        HttpVersion::Http3 => "HTTP/3.0",
    }
}

/// The client as the edge believes it, and the server as the client named it.
pub(super) fn connection(request: &RequestHead<'_>) -> Connection {
    let nobody = IpAddr::from([0, 0, 0, 0]);
    let known = request.attributes();
    let port = known.get(attributes::CLIENT_PORT).and_then(|port| port.parse().ok());
    let named = request.authority().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let usual = if request.scheme() == "https" { 443 } else { 80 };
    Connection {
        client: known.client_address().unwrap_or(nobody),
        client_port: port.unwrap_or_default(),
        server: nobody,
        server_port: named.unwrap_or(usual),
    }
}
