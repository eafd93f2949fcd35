//! What an open channel does when it is its turn.

use super::{Channel, Phase, SAW_MS, SAW_RECORDS, STEADY_MS, TOKEN_EARLY_MS};
use crate::{
    ReplicaId,
    session::{
        ClientFrame, Event, Subscription,
        client::link::{Turn, Up},
        replica::Next,
    },
};

/// The right to push batches.
const WRITE: u8 = 2;

impl Channel {
    pub(super) fn tick_open(&mut self, turn: &mut Turn<'_>) {
        if turn.now_ms.saturating_sub(self.opened_ms) >= STEADY_MS {
            self.backoff.reset();
        }
        if self.replica.finds_key(turn.keys) {
            // What was passed over can be read by now: everything is read again.
            self.anew = true;
            return self.leave();
        }
        if std::mem::take(&mut self.just_opened) {
            self.lease(turn);
        }
        if self.replica.remedy(turn.now_ms, turn.keys) == Next::Reopen {
            return self.leave();
        }
        if self.next() >= self.goal && !self.caught_up && !self.finish_catching_up(turn) {
            return;
        }
        if self.caught_up && self.replica.awaits_rename() {
            // All that is safe must have been read before anything is issued again.
            return if self.replica.in_flight() == 0 {
                self.leave()
            };
        }
        self.replica.settle(turn.relay_ms, turn.keys);
        self.push(turn);
        self.say_seen(turn);
        if self.caught_up {
            self.heal(turn);
            self.tick_offers(turn);
        }
        self.tick_presence(turn);
        self.tell_wake_up(turn);
    }

    /// All was read that the relay had; returns whether the channel goes on.
    fn finish_catching_up(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.replica.awaits_rename() {
            if self.replica.in_flight() > 0 {
                return false;
            }
            self.replica.take_id(ReplicaId(turn.entropy.id()), turn.relay_ms);
        }
        // What is written from here on is later than whatever was lost before.
        self.replica.observe(turn.relay_ms);
        (self.caught_up, self.just_caught_up) = (true, true);
        self.replica.tell(Event::CaughtUp);
        self.replica.tell_awaited_key();
        true
    }

    fn push(&mut self, turn: &mut Turn<'_>) {
        while let Some(record) = self.replica.next_keys(turn.now_ms) {
            if !turn.send_paid(&ClientFrame::Push { record: &record }, self.number) {
                return;
            }
            self.replica.pushed_keys();
        }
        while let Some(push) = self.replica.next_push(turn.now_ms) {
            if !turn.send_paid(&ClientFrame::Push { record: &push.record }, self.number) {
                return;
            }
            self.replica.pushed(&push);
        }
    }

    /// Says what is here, durably: when much is new, after a while, and from time to time so that the lease lasts.
    fn say_seen(&mut self, turn: &mut Turn<'_>) {
        let Some(next) = self.replica.seen().filter(|_| self.caught_up) else { return };
        let waited = turn.now_ms.saturating_sub(self.saw_ms);
        let much = next >= self.saw.saturating_add(SAW_RECORDS);
        let due = next > self.saw && (much || waited >= SAW_MS) || waited >= self.renewal_ms();
        if due && next >= self.saw {
            turn.send(&ClientFrame::Saw { next }, self.number);
            (self.saw, self.saw_ms) = (next, turn.now_ms);
            self.lease(turn);
        }
    }

    /// The relay heard of this device: if that writes, it is not forgotten for a lease.
    fn lease(&mut self, turn: &Turn<'_>) {
        if self.rights & WRITE != 0 {
            self.replica.leased(turn.wall_ms, self.lease_ms);
        }
    }

    fn renewal_ms(&self) -> u64 {
        (self.lease_ms / 4).max(SAW_MS)
    }

    fn tell_wake_up(&mut self, turn: &mut Turn<'_>) {
        if !std::mem::take(&mut self.tells_wake_up) {
            return;
        }
        let subscription = self.wake_up.as_ref().map(|it| Subscription {
            endpoint: &it.endpoint,
            key: it.key,
            secret: it.secret,
        });
        turn.send(&ClientFrame::Wake { subscription }, self.number);
    }

    /// When something is due here.
    pub fn due(&self, up: &Up, wall_ms: u64, now_ms: u64) -> Option<u64> {
        match &self.phase {
            Phase::Stopped => None,
            Phase::Closed { again_ms } => self.token.as_ref().map(|_| *again_ms),
            Phase::Opening { until_ms } => Some(*until_ms),
            Phase::Loading(_) | Phase::Leaving { .. } => None,
            Phase::Open => {
                let wait = |next| if next > self.saw { SAW_MS } else { self.renewal_ms() };
                let seen = self.replica.seen().map(|next| self.saw_ms.saturating_add(wait(next)));
                let presence = self.presence.wake_at(&up.limits);
                let ends = self.token.as_ref().and_then(|token| token.ends_ms);
                let token = ends.map(|ends| ends.saturating_sub(TOKEN_EARLY_MS));
                let token = token.filter(|_| !self.asked_token);
                let token = token.map(|at| now_ms.saturating_add(at.saturating_sub(wall_ms)));
                let held = self.replica.held_until(now_ms);
                [seen, held, presence, token].into_iter().flatten().min()
            }
        }
    }
}
