//! One exchange after another.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use super::{
    Connection, Decision, Match, Profile, Refusal, RequestHead, ResponseHead, Rules, Score,
    arena::{self, Span},
    bench::Bench,
    bits::Bits,
    clean::Fingerprint,
    collections::Opened,
    compile::CompiledTarget,
    data::Data,
    gather::Entry,
    intake::{Asked, Multipart},
    scan::{Candidates, SAME_MAX},
    state::State,
};
use crate::{
    body,
    policy::{Exhausted, Unreadable},
    rule::{Allow, Mode, Phase, Processor, Severity, Variable},
    transform::Transformation,
};

/// What is looked at of an exchange, and what its rules said. It is used for one after another, and keeps its buffers.
///
/// Call [`begin`](Self::begin), then one method for each phase in their order; leave out those that do not happen. After a
/// refusal that is carried out, only [`log`](Self::log) makes sense.
pub struct Transaction {
    pub(super) profile: Option<Arc<Profile>>,
    pub(super) connection: Connection,
    pub(super) now: SystemTime,
    /// Unlike that of any other transaction of this process.
    pub(super) number: u64,
    /// How many exchanges there were.
    pub(super) exchange: u64,
    pub(super) data: Data,
    pub(super) state: State,
    pub(super) candidates: Candidates,
    pub(super) bench: Bench,
    /// So many of the values were scanned.
    scanned: usize,
    pub(super) suspects: Vec<Suspect>,
    /// For each phase whether its rules were asked.
    pub(super) walked: [bool; 5],
    pub(super) gathered: Vec<Entry>,
    pub(super) swap: Vec<u8>,
    pub(super) expanded: Vec<u8>,
    pub(super) parsers: body::Scratch,
    pub(super) removed: Bits,
    pub(super) removed_targets: Vec<(Arc<Bits>, Arc<CompiledTarget>)>,
    pub(super) opened: Vec<Opened>,
    /// The rule at hand.
    pub(super) asked: Option<u16>,
    /// What it added to variables that are scores.
    pub(super) scored: u32,
    pub(super) matches: Vec<Match>,
    pub(super) points: Score,
    pub(super) severity: Option<Severity>,
    pub(super) work: u64,
    pub(super) refusal: Option<Refusal>,
    pub(super) refused: bool,
    pub(super) head_bytes: usize,
    pub(super) request_body: Span,
    pub(super) processor: Option<Processor>,
    pub(super) body_problem: Option<String>,
    pub(super) multipart: Option<Multipart>,
    pub(super) graphql: Option<Asked>,
    pub(super) oversize: bool,
    pub(super) response_status: Option<u16>,
    pub(super) response_protocol: Option<Span>,
    response_body: Span,
    /// Whether it is a message of a WebSocket.
    pub(super) framed: bool,
    pub(super) response_oversize: bool,
    /// Collections remember nothing of it.
    pub(super) is_trial: bool,
}

/// Room for so many is kept for the next exchange.
const SUSPECTS_KEPT_MAX: usize = 4_096;

/// A value with candidates, of which so many were not asked yet.
pub(super) struct Suspect {
    value: u32,
    left: usize,
    fingerprint: Fingerprint,
}

impl Default for Transaction {
    fn default() -> Self {
        Self::new()
    }
}

impl Transaction {
    /// Returns one that has judged nothing yet.
    pub fn new() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            profile: None,
            connection: Connection {
                client: nobody,
                client_port: 0,
                server: nobody,
                server_port: 0,
            },
            now: SystemTime::UNIX_EPOCH,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            exchange: 0,
            data: Data::default(),
            state: State::default(),
            candidates: Candidates::default(),
            bench: Bench::default(),
            scanned: 0,
            suspects: Vec::new(),
            walked: [false; 5],
            gathered: Vec::new(),
            swap: Vec::new(),
            expanded: Vec::new(),
            parsers: body::Scratch::default(),
            removed: Bits::default(),
            removed_targets: Vec::new(),
            opened: Vec::new(),
            asked: None,
            scored: 0,
            matches: Vec::new(),
            points: Score::default(),
            severity: None,
            work: 0,
            refusal: None,
            refused: false,
            head_bytes: 0,
            request_body: Span::default(),
            processor: None,
            body_problem: None,
            multipart: None,
            graphql: None,
            oversize: false,
            response_status: None,
            response_protocol: None,
            response_body: Span::default(),
            framed: false,
            response_oversize: false,
            is_trial: false,
        }
    }

    /// Returns one whose exchanges are only tried out: collections remember nothing of them.
    pub fn trial() -> Self {
        Self { is_trial: true, ..Self::new() }
    }

    /// Judges on a bench that others use, too, instead of on one of its own.
    pub fn with<T>(&mut self, bench: &mut Bench, judge: impl FnOnce(&mut Self) -> T) -> T {
        std::mem::swap(&mut self.bench, bench);
        if let Some(profile) = &self.profile {
            self.bench.fit(profile.rules());
        }
        let judged = judge(self);
        std::mem::swap(&mut self.bench, bench);
        judged
    }

    /// Returns the bytes that its buffers have room for, without its bench.
    pub fn memory_bytes(&self) -> usize {
        let buffers = [&self.data.arena.received, &self.data.arena.derived, &self.swap];
        let buffers: usize = buffers.iter().map(|buffer| buffer.capacity()).sum();
        let lists = size_of_val(self)
            + self.suspects.capacity() * size_of::<Suspect>()
            + self.gathered.capacity() * size_of::<Entry>();
        let (data, candidates) = (self.data.memory_bytes(), self.candidates.memory_bytes());
        buffers + self.expanded.capacity() + lists + data + candidates + self.parsers.memory_bytes()
    }

    /// Begins another exchange, and forgets the last one.
    pub fn begin(&mut self, profile: &Arc<Profile>, connection: &Connection, now: SystemTime) {
        let same =
            self.profile.as_ref().is_some_and(|last| Arc::ptr_eq(last.rules(), profile.rules()));
        if !same {
            self.fit(profile.rules());
        }
        self.bench.fit(profile.rules());
        self.profile = Some(profile.clone());
        (self.connection, self.now) = (*connection, now);
        self.exchange += 1;
        self.forget();
        self.state.clear(profile.rules().slots.len());
        for (slot, start) in &profile.start {
            let held = start.held(&mut self.data.arena);
            self.state.set_slot(*slot, held);
        }
    }

    /// Makes room for what these rules need.
    fn fit(&mut self, rules: &Rules) {
        self.candidates = Candidates::new(rules);
        self.removed = Bits::new(rules.len());
    }

    fn forget(&mut self) {
        self.data.clear();
        arena::empty(&mut self.swap, arena::KEPT_BYTES_MAX);
        arena::empty(&mut self.expanded, arena::KEPT_BYTES_MAX);
        arena::empty(&mut self.suspects, SUSPECTS_KEPT_MAX);
        self.parsers.shrink(arena::KEPT_BYTES_MAX);
        self.candidates.clear();
        self.removed.clear();
        self.removed_targets.clear();
        self.opened.clear();
        self.matches.clear();
        self.walked = [false; 5];
        self.points = Score::default();
        (self.severity, self.refusal, self.refused) = (None, None, false);
        (self.work, self.scanned, self.head_bytes) = (0, 0, 0);
        (self.request_body, self.response_body) = (Span::default(), Span::default());
        (self.processor, self.body_problem) = (None, None);
        (self.multipart, self.graphql) = (None, None);
        (self.oversize, self.response_oversize, self.framed) = (false, false, false);
        (self.response_status, self.response_protocol) = (None, None);
    }

    /// Judges the head of a request: phase 1.
    pub fn request_head(&mut self, head: &RequestHead<'_>) -> Decision {
        let Some(profile) = self.asking() else { return Decision::Pass };
        self.take_request_head(profile.rules(), profile.policy(), head);
        self.look_inside(profile.policy(), 0);
        self.except(&profile, head.method);
        self.phase(&profile, Phase::RequestHead)
    }

    /// Adds points that the caller found in the request by itself; they count as those of rules do. To be
    /// called before [`request`](Self::request).
    pub fn add_points(&mut self, points: u32) {
        self.points.inbound = self.points.inbound.saturating_add(points);
    }

    /// Takes a piece of the request's body. Bytes beyond the bound are dropped.
    pub fn request_body(&mut self, bytes: &[u8]) {
        let Some(profile) = self.asking() else { return };
        if !self.state.request_body {
            return;
        }
        let room =
            profile.policy().limits.request_body_bytes.saturating_sub(self.request_body.len());
        self.oversize |= bytes.len() > room;
        self.request_body = self.append(self.request_body, &bytes[..bytes.len().min(room)]);
    }

    /// Judges the request with what body it had: phase 2.
    pub fn request(&mut self) -> Decision {
        let Some(profile) = self.asking() else { return Decision::Pass };
        let received = self.data.values.len();
        if let Some(decision) = self.take_request_body(&profile) {
            return decision;
        }
        self.look_inside(profile.policy(), received);
        let decision = self.phase(&profile, Phase::Request);
        self.remember();
        if self.state.allowed == Some(Allow::Request) {
            self.state.allowed = None;
            return decision;
        }
        self.settle(&profile, decision)
    }

    /// Judges the head of a response: phase 3.
    pub fn response_head(&mut self, head: &ResponseHead<'_>) -> Decision {
        let Some(profile) = self.asking() else { return Decision::Pass };
        self.take_response_head(profile.rules(), head);
        self.phase(&profile, Phase::ResponseHead)
    }

    /// Takes the head of a response that is not judged, for what phase 5 says of it.
    pub fn note_response_head(&mut self, head: &ResponseHead<'_>) {
        if let Some(profile) = self.asking() {
            self.take_response_head(profile.rules(), head);
        }
    }

    /// Returns whether rules want to see the body of the response whose head was judged.
    pub fn wants_response_body(&self) -> bool {
        let Some(profile) = &self.profile else { return false };
        let types = &profile.rules().settings.response_types;
        profile.asks_response
            && !self.refused
            && self.state.response_body
            && self.is_wanted_type(types)
    }

    fn is_wanted_type(&self, types: &Option<Vec<String>>) -> bool {
        let field =
            self.data.named(Variable::ResponseHeaders, b"content-type").unwrap_or(b"text/plain");
        let name = field.split(|&byte| byte == b';').next().unwrap_or(field).trim_ascii();
        match types {
            Some(types) => types.iter().any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name)),
            None => [
                b"text/".as_slice(),
                b"application/json",
                b"application/xml",
                b"application/problem+json",
            ]
            .iter()
            .any(|wanted| {
                name.len() >= wanted.len() && name[..wanted.len()].eq_ignore_ascii_case(wanted)
            }),
        }
    }

    /// Takes a piece of the response's body. Bytes beyond the bound are not inspected.
    pub fn response_body(&mut self, bytes: &[u8]) {
        let Some(profile) = self.asking() else { return };
        let room =
            profile.policy().limits.response_body_bytes.saturating_sub(self.response_body.len());
        self.response_oversize |= bytes.len() > room;
        self.response_body = self.append(self.response_body, &bytes[..bytes.len().min(room)]);
    }

    /// Judges the response with its body: phase 4.
    pub fn response(&mut self) -> Decision {
        let Some(profile) = self.asking() else { return Decision::Pass };
        if self.response_body.len() > 0 {
            self.data.push(
                Variable::ResponseBody,
                Span::default(),
                super::template::Key::NONE,
                self.response_body,
            );
        }
        let decision = self.phase(&profile, Phase::Response);
        self.settle(&profile, decision)
    }

    /// Judges one message of a WebSocket by itself, as a request of nothing else.
    pub fn frame(&mut self, payload: &[u8]) -> Decision {
        let Some(profile) = self.profile.clone().filter(|profile| profile.mode != Mode::Off) else {
            return Decision::Pass;
        };
        self.forget();
        self.framed = true;
        let len = payload.len().min(profile.policy().limits.request_body_bytes);
        let span = self.data.arena.receive(&payload[..len]);
        self.data.push(Variable::WebSocketFrame, Span::default(), super::template::Key::NONE, span);
        let decision = self.phase(&profile, Phase::Request);
        self.settle(&profile, decision)
    }

    /// Ends the exchange: phase 5, which decides nothing.
    pub fn log(&mut self) {
        let Some(profile) = self.profile.clone().filter(|profile| profile.mode != Mode::Off) else {
            return;
        };
        self.state.allowed = None;
        if let Some(refusal) = self.refusal.as_ref().filter(|_| self.refused) {
            // What the client got, where there was no other answer.
            self.response_status.get_or_insert(refusal.status);
        }
        if self.state.mode != Mode::Off {
            self.scan(&profile);
            self.walk(&profile, Phase::Log);
        }
        self.remember();
        self.keep();
    }

    /// Returns the matches so far, in their order.
    pub fn matches(&self) -> &[Match] {
        &self.matches
    }

    /// Returns the points so far.
    pub fn score(&self) -> Score {
        self.points
    }

    /// Returns the first refusal, be it carried out or only detected.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Returns how much work was done, in units of the policy's bound.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Returns what is wrong with the request's body, if something is.
    pub fn body_problem(&self) -> Option<&str> {
        self.body_problem.as_deref()
    }

    /// The profile, unless no rule is asked any more.
    fn asking(&self) -> Option<Arc<Profile>> {
        let off = self.refused
            || self.state.mode == Mode::Off
            || self.state.allowed == Some(Allow::Exchange);
        self.profile.clone().filter(|profile| !off && profile.mode != Mode::Off)
    }

    /// The exceptions of the policy that depend on the request.
    fn except(&mut self, profile: &Profile, method: &[u8]) {
        if profile.exclusions.is_empty() {
            return;
        }
        let path = self
            .data
            .of_class(Variable::RequestFilename)
            .first()
            .map(|&at| self.data.values[at as usize].value);
        // As the upstream will read it: `/upload/../login` is no upload.
        let path = self.transformed(path.unwrap_or_default(), Transformation::NormalizePath);
        for exclusion in &profile.exclusions {
            if !exclusion.applies(method, self.data.arena.get(path)) {
                continue;
            }
            match &exclusion.target {
                Some(target) => {
                    self.removed_targets.push((exclusion.rules.clone(), target.clone()))
                }
                None => self.removed.union(&exclusion.rules),
            }
        }
    }

    /// Scans what is new and asks the rules of a phase.
    fn phase(&mut self, profile: &Profile, phase: Phase) -> Decision {
        self.scan(profile);
        let decision = self.walk(profile, phase);
        // At once: while this exchange waits for its body or its answer, others see what it counted.
        self.keep();
        if decision == Decision::Pass
            && self.exhausted(profile)
            && profile.policy().exhausted == Exhausted::Reject
        {
            return self.give_up(profile);
        }
        decision
    }

    /// Looks for candidates in what is new.
    fn scan(&mut self, profile: &Profile) {
        while self.scanned < self.data.values.len() && !self.exhausted(profile) {
            let at = self.scanned as u32;
            let value = self.data.values[self.scanned];
            self.scanned += 1;
            let bytes = self.data.arena.get(value.value);
            let fingerprint = Fingerprint::new(profile.number, value.class, value.key, bytes);
            if fingerprint.is_some_and(|fingerprint| self.bench.clean.contains(fingerprint)) {
                continue;
            }
            if fingerprint.is_none() {
                self.scanned += self.same(value.value);
            }
            let before = self.candidates.len();
            let values = at..self.scanned as u32;
            let Bench { scanner, clean, .. } = &mut self.bench;
            let (rules, data, candidates) = (profile.rules(), &mut self.data, &mut self.candidates);
            self.work += scanner.scan(rules, &profile.sight, data, values, candidates);
            let left = self.candidates.len() - before;
            match fingerprint {
                Some(fingerprint) if left == 0 => clean.insert(fingerprint),
                Some(fingerprint) => self.suspects.push(Suspect { value: at, left, fingerprint }),
                None => {}
            }
        }
    }

    /// How many of the values that come next are these very bytes.
    fn same(&self, span: Span) -> usize {
        let next = self.data.values[self.scanned..].iter().take(SAME_MAX - 1);
        next.take_while(|value| value.value == span).count()
    }

    /// Looks at none of what is new.
    pub(super) fn pass_over(&mut self) {
        self.scanned = self.data.values.len();
    }

    /// Remembers that a candidate was none.
    pub(super) fn acquit(&mut self, value: u32) {
        if let Ok(at) = self.suspects.binary_search_by_key(&value, |suspect| suspect.value) {
            self.suspects[at].left -= 1;
        }
    }

    /// Remembers the values all of whose candidates were none; others may still be found to be.
    fn remember(&mut self) {
        let Self { suspects, bench: Bench { clean, .. }, .. } = self;
        suspects.retain(|suspect| {
            let innocent = suspect.left == 0;
            if innocent {
                clean.insert(suspect.fingerprint);
            }
            !innocent
        });
    }

    /// Whether the work budget is spent.
    pub(super) fn exhausted(&self, profile: &Profile) -> bool {
        self.work > profile.policy().limits.work
    }

    fn give_up(&mut self, profile: &Profile) -> Decision {
        let reason = format!(
            "the work of {} units that one exchange may cost is spent",
            profile.policy().limits.work
        );
        self.conclude(profile, refusal(413, reason)).unwrap_or(Decision::Pass)
    }

    /// What the points say where the rules said nothing.
    fn settle(&mut self, profile: &Profile, decision: Decision) -> Decision {
        match decision {
            Decision::Pass if self.state.allowed.is_none() => self.by_points(profile),
            decision => decision,
        }
    }

    /// What the policy says of a body that is too large or broken. `None`: go on.
    pub(super) fn unreadable(
        &mut self,
        profile: &Profile,
        policy: Unreadable,
        status: u16,
        reason: String,
    ) -> Option<Decision> {
        match policy {
            Unreadable::Reject => self.conclude(profile, refusal(status, reason)),
            Unreadable::Inspect | Unreadable::Pass => None,
        }
    }

    /// Appends to a body; it is the last thing that was received.
    fn append(&mut self, body: Span, bytes: &[u8]) -> Span {
        let end = self.data.arena.receive(bytes);
        if body.len() == 0 {
            return end;
        }
        arena::received(
            self.data.arena.received.len() - end.len() - body.len(),
            body.len() + end.len(),
        )
    }
}

/// A refusal by no rule.
pub(super) fn refusal(status: u16, reason: String) -> Refusal {
    Refusal { status, location: None, rule: None, reason }
}
