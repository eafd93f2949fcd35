//! One document on the connection: opened, read, pushed, closed and opened again.

mod steps;

use std::sync::Arc;

use super::{
    fetch::{Fetch, Load},
    link::Turn,
    offer::Offers,
    presence::Presence,
    settings::{Token, WakeUp},
};
use crate::{
    session::{
        ClientFrame, CloseReason, Event, Keys, NONCE_BYTES, OpenDocument, Signature,
        backoff::Backoff, proof_bytes, replica::Replica,
    },
    sorted::Map,
};

/// What is seen is said at most this often, unless much was seen.
const SAW_MS: u64 = 1_000;

/// So many records are worth saying at once.
const SAW_RECORDS: u64 = 64;

/// A token is asked for so long before the old one ends.
const TOKEN_EARLY_MS: u64 = 60_000;

/// A relay may take so long to answer OPEN.
const OPENING_MS: u64 = 60_000;

/// A channel that lives so long was opened well.
const STEADY_MS: u64 = 30_000;

/// A document on its way through connections.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) struct Channel {
    pub replica: Replica,
    pub(super) phase: Phase,
    pub(super) number: u32,
    token: Option<Token>,
    asked_token: bool,
    /// The tail when the document was opened.
    pub(super) goal: u64,
    caught_up: bool,
    just_caught_up: bool,
    just_opened: bool,
    pub(super) rights: u8,
    lease_ms: u64,
    opened_ms: u64,
    saw: u64,
    saw_ms: u64,
    /// Records whose acknowledgement came before their turn in the log.
    pub(super) places: Map<u64, Arc<[u8]>>,
    /// The next OPEN says nothing of where the replica is.
    pub(super) anew: bool,
    /// The relay may have forgotten this device when it was asked.
    pub(super) forgettable: bool,
    pub(super) fetch: Option<Fetch>,
    pub(super) offers: Offers,
    pub(super) presence: Presence,
    wake_up: Option<WakeUp>,
    tells_wake_up: bool,
    backoff: Backoff,
    again_asked_ms: Option<u64>,
}

/// What a channel is doing.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) enum Phase {
    /// It is opened at this time.
    Closed { again_ms: u64 },
    /// It waits for a token.
    Stopped,
    /// OPEN was sent.
    Opening { until_ms: u64 },
    /// A snapshot is on its way.
    Loading(Box<Load>),
    /// Records are read and pushed.
    Open,
    /// It is to be closed, and opened again.
    Leaving { again_ms: Option<u64> },
}

impl Channel {
    pub fn new(replica: Replica, token: Option<Token>) -> Self {
        Channel {
            replica,
            phase: Phase::Closed { again_ms: 0 },
            number: 0,
            token,
            asked_token: false,
            goal: 0,
            caught_up: false,
            just_caught_up: false,
            just_opened: false,
            rights: 0,
            lease_ms: u64::MAX,
            opened_ms: 0,
            saw: 0,
            saw_ms: 0,
            places: Map::new(),
            anew: false,
            forgettable: true,
            fetch: None,
            offers: Offers::default(),
            presence: Presence::default(),
            wake_up: None,
            tells_wake_up: false,
            backoff: Backoff::default(),
            again_asked_ms: None,
        }
    }

    /// The number of the channel, from OPEN to CLOSE.
    pub fn number(&self) -> Option<u32> {
        match self.phase {
            Phase::Closed { .. } | Phase::Stopped => None,
            Phase::Opening { .. } | Phase::Loading(_) | Phase::Open | Phase::Leaving { .. } => {
                Some(self.number)
            }
        }
    }

    /// The number of a channel that the relay has opened.
    pub fn open_number(&self) -> Option<u32> {
        matches!(self.phase, Phase::Loading(_) | Phase::Open).then_some(self.number)
    }

    /// Returns once that all was read that the relay had when it opened the document.
    pub fn caught_up_once(&mut self) -> bool {
        std::mem::take(&mut self.just_caught_up)
    }

    pub fn set_token(&mut self, token: Token) {
        self.token = Some(token);
        self.asked_token = false;
        self.replica.allowed();
        if matches!(self.phase, Phase::Stopped) {
            self.phase = Phase::Closed { again_ms: 0 };
        }
    }

    pub fn set_wake_up(&mut self, wake_up: Option<WakeUp>) {
        self.wake_up = wake_up;
        self.tells_wake_up = true;
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now_ms: u64) {
        if !matches!(self.phase, Phase::Stopped) {
            self.left(now_ms);
        }
    }

    /// Nothing that was on its way is any more.
    pub(super) fn left(&mut self, again_ms: u64) {
        self.phase = Phase::Closed { again_ms };
        self.replica.disconnected();
        self.places.clear();
        self.caught_up = false;
        self.offers.disconnected();
        self.presence.disconnected(&mut self.replica);
    }

    /// CLOSED: the channel is gone at the relay as well.
    pub(super) fn closed(&mut self, now_ms: u64, why: CloseReason, again_ms: Option<u64>) {
        self.left(now_ms);
        self.replica.tell(Event::Closed(why));
        self.again_asked_ms = again_ms.or(Some(0));
        if matches!(why, CloseReason::Denied | CloseReason::Expired) {
            self.phase = Phase::Stopped;
            self.replica.tell(Event::NeedsToken);
        }
    }

    /// Closes the channel, to open it again.
    pub(super) fn leave(&mut self) {
        self.phase = Phase::Leaving { again_ms: None };
    }

    pub fn token_frame(
        &self,
        challenge: &[u8; NONCE_BYTES],
        keys: &dyn Keys,
    ) -> Option<ClientFrame<'_>> {
        let token = self.token.as_ref()?.text.as_str();
        Some(ClientFrame::Token { token, proof: self.proof(token, challenge, keys) })
    }

    fn proof(&self, token: &str, challenge: &[u8; NONCE_BYTES], keys: &dyn Keys) -> Signature {
        keys.sign(&proof_bytes(challenge, self.replica.name(), token.as_bytes()))
    }

    /// Does what is due; `room` says whether one more channel may be opened.
    pub fn tick(&mut self, turn: &mut Turn<'_>, room: bool) {
        if let Some(asked) = self.again_asked_ms.take()
            && let Phase::Closed { again_ms } = &mut self.phase
        {
            *again_ms = turn.now_ms + self.backoff.next(Some(asked), turn.entropy);
        }
        match self.phase {
            Phase::Closed { again_ms } if turn.now_ms >= again_ms && room => self.open(turn),
            Phase::Opening { until_ms } if turn.now_ms >= until_ms => self.leave(),
            Phase::Loading(_) => self.tick_loading(turn),
            _ => {}
        }
        if matches!(self.phase, Phase::Open) {
            self.tick_open(turn);
        }
        if let Phase::Leaving { again_ms } = self.phase {
            turn.send(&ClientFrame::Close, self.number);
            let wait = self.backoff.next(again_ms, turn.entropy);
            self.left(turn.now_ms.saturating_add(wait));
        }
        self.ask_token(turn.wall_ms);
    }

    fn ask_token(&mut self, now_ms: u64) {
        let ends = self.token.as_ref().map_or(Some(0), |token| token.ends_ms);
        let soon = ends.is_some_and(|ends| now_ms.saturating_add(TOKEN_EARLY_MS) >= ends);
        if soon && !std::mem::replace(&mut self.asked_token, true) {
            self.replica.tell(Event::NeedsToken);
        }
        self.asked_token &= soon;
    }

    fn open(&mut self, turn: &mut Turn<'_>) {
        let Some(token) = &self.token else { return };
        let (resume, replicas) = self.replica.opening();
        let resume = resume.filter(|_| !self.anew);
        let proof = self.proof(&token.text, &turn.up.challenge, turn.keys);
        let document = self.replica.name().clone();
        let frame = ClientFrame::Open { document, token: &token.text, proof, resume, replicas };
        self.forgettable = self.replica.is_forgettable(turn.wall_ms);
        self.number = turn.up.next_number;
        turn.up.next_number += 1;
        turn.send(&frame, self.number);
        let until_ms = turn.now_ms.saturating_add(OPENING_MS);
        self.phase = Phase::Opening { until_ms };
        self.tells_wake_up |= self.wake_up.is_some();
    }

    /// The document is open: what the relay says of it counts from here.
    pub(super) fn opened(&mut self, now_ms: u64, opened: &OpenDocument) {
        (self.goal, self.rights) = (opened.tail, opened.rights);
        (self.lease_ms, self.opened_ms) = (opened.lease_ms, now_ms);
        self.just_opened = true;
        (self.saw, self.saw_ms) = (0, 0);
        self.caught_up = false;
        self.replica.allowed();
    }

    pub(super) fn next(&self) -> u64 {
        self.replica.position().map_or(0, |position| position.next)
    }
}
