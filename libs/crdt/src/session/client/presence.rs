//! What sessions show of themselves.

use super::{channel::Channel, link::Turn};
use crate::{
    session::{ClientFrame, Event, Limits, replica::Replica},
    sorted::Sorted,
};

/// Twenty times a second is enough, whatever the relay takes.
const LEAST_MS: u64 = 50;

/// Sessions of others that are remembered, at most.
const SESSIONS_MAX: usize = 4_096;

/// What this session shows, and who else shows something.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Presence {
    state: Vec<u8>,
    changed: bool,
    sent_ms: Option<u64>,
    others: Sorted<u64>,
}

impl Presence {
    pub fn show(&mut self, state: Vec<u8>) {
        self.changed |= self.state != state;
        self.state = state;
    }

    pub fn received(&mut self, session: u64, state: &[u8], replica: &mut Replica) {
        if state.is_empty() {
            self.others.take(&session);
        } else if self.others.len() < SESSIONS_MAX {
            self.others.add(session);
        }
        replica.tell(Event::Presence { session, state: state.to_vec() });
    }

    /// Nobody is seen without a connection.
    pub fn disconnected(&mut self, replica: &mut Replica) {
        self.sent_ms = None;
        self.changed = !self.state.is_empty();
        for session in std::mem::take(&mut self.others).iter() {
            replica.tell(Event::Presence { session: *session, state: Vec::new() });
        }
    }

    /// When the state is to be sent: soon after it changed, and again before it ends.
    pub fn wake_at(&self, limits: &Limits) -> Option<u64> {
        let least = u64::from(limits.presence_ms).max(LEAST_MS);
        let again = u64::from(limits.presence_ends_ms / 2).max(least);
        match (self.changed, self.sent_ms) {
            (true, None) => Some(0),
            (true, Some(sent)) => Some(sent.saturating_add(least)),
            (false, Some(sent)) if !self.state.is_empty() => Some(sent.saturating_add(again)),
            (false, _) => None,
        }
    }
}

impl Channel {
    pub(super) fn tick_presence(&mut self, turn: &mut Turn<'_>) {
        let presence = &mut self.presence;
        if presence.wake_at(&turn.up.limits).is_some_and(|at| turn.now_ms >= at) {
            presence.changed = false;
            presence.sent_ms = Some(turn.now_ms);
            turn.send(&ClientFrame::Presence { state: &presence.state }, self.number);
        }
    }
}
