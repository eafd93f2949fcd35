//! The connection itself.

use super::{Channel, Client, Want};
use crate::session::{
    CONNECTION, ClientFrame, CloseReason, DocumentId, Keys, Limits, NONCE_BYTES, RelayFrame,
    VERSION,
};

/// Bytes of records and pieces that the relay may send before it gets more credit.
const WINDOW_BYTES: u32 = 4 << 20;

/// How long a relay may take to answer HELLO.
const GREETING_MS: u64 = 30_000;

#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) enum Link {
    Down {
        again_ms: u64,
    },
    Greeting {
        until_ms: u64,
    },
    Up(Up),
    /// It is to be closed by the driver.
    Broken {
        again_ms: u64,
    },
}

/// A connection on which both sides know each other.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) struct Up {
    pub challenge: [u8; NONCE_BYTES],
    pub limits: Limits,
    /// What may be sent.
    pub credit: u64,
    /// What was taken, and is to be given back.
    taken: u32,
    /// Channels that were never used on this connection begin here.
    pub next_number: u32,
}

impl Link {
    pub fn challenge(&self) -> Option<[u8; NONCE_BYTES]> {
        if let Link::Up(up) = self { Some(up.challenge) } else { None }
    }

    /// Counts what the relay sent on its credit.
    pub fn took(&mut self, frame: &RelayFrame<'_>, bytes: usize) {
        let is_paid = matches!(
            frame,
            RelayFrame::Record { .. } | RelayFrame::Piece { .. } | RelayFrame::Keys { .. }
        );
        if let (Link::Up(up), true) = (self, is_paid) {
            up.taken = up.taken.saturating_add(bytes as u32);
        }
    }
}

impl Up {
    /// Takes as much credit as a message needs, if there is so much.
    pub fn spend(&mut self, bytes: usize) -> bool {
        let left = self.credit.checked_sub(bytes as u64);
        self.credit = left.unwrap_or(self.credit);
        left.is_some()
    }
}

impl Client {
    /// What the driver should do.
    pub fn wants(&mut self, now_ms: u64) -> Want {
        let now_ms = self.time.pass(now_ms);
        match self.link {
            Link::Down { again_ms } if now_ms >= again_ms && !self.channels.is_empty() => {
                Want::Connect
            }
            Link::Broken { .. } => Want::Disconnect,
            _ => Want::Nothing,
        }
    }

    /// A network is there again: the next connection is due now, however long it was to be waited.
    pub fn hurry(&mut self) {
        if let Link::Down { again_ms } = &mut self.link {
            *again_ms = 0;
        }
    }

    /// There is a connection.
    pub fn connected(&mut self, now_ms: u64) {
        let now_ms = self.time.pass(now_ms);
        self.out.clear();
        self.link = Link::Greeting { until_ms: now_ms.saturating_add(GREETING_MS) };
        let (version, device, credit) = (VERSION, self.device, WINDOW_BYTES);
        self.send(&ClientFrame::Hello { version, device, credit }, CONNECTION);
    }

    /// The connection is gone, or there is none to be had.
    pub fn disconnected(&mut self, now_ms: u64) {
        let now_ms = self.time.pass(now_ms);
        let again_ms = match self.link {
            Link::Broken { again_ms } => again_ms,
            _ => now_ms.saturating_add(self.backoff.next(None, &mut self.entropy)),
        };
        self.link = Link::Down { again_ms };
        self.numbers.clear();
        self.out.clear();
        self.channels.values_mut().for_each(|channel| channel.disconnected(now_ms));
    }

    /// Ends a connection that makes no sense any more.
    pub(super) fn break_off(&mut self, now_ms: u64, asked_ms: Option<u64>) {
        let again_ms = now_ms.saturating_add(self.backoff.next(asked_ms, &mut self.entropy));
        self.link = Link::Broken { again_ms };
        self.numbers.clear();
        self.out.clear();
        self.send(&ClientFrame::Close, CONNECTION);
        self.channels.values_mut().for_each(|channel| channel.disconnected(now_ms));
    }

    pub(super) fn receive_link(&mut self, now_ms: u64, frame: RelayFrame<'_>) {
        match (frame, &mut self.link) {
            (
                RelayFrame::Welcome { version: VERSION, challenge, now_ms: relay_ms, limits },
                Link::Greeting { .. },
            ) => {
                self.time.heard(relay_ms);
                let credit = limits.credit.into();
                let up = Up { challenge, limits, credit, taken: 0, next_number: 1 };
                self.link = Link::Up(up);
            }
            (RelayFrame::Credit { bytes }, Link::Up(up)) => {
                up.credit = up.credit.saturating_add(bytes.into());
            }
            (RelayFrame::Closed { why, again_ms }, Link::Greeting { .. } | Link::Up(_)) => {
                let lasting = matches!(why, CloseReason::Denied | CloseReason::Protocol);
                let again_ms = again_ms.or(lasting.then_some(60_000));
                self.break_off(now_ms, again_ms);
            }
            _ => self.break_off(now_ms, None),
        }
    }

    pub(super) fn tick_link(&mut self, now_ms: u64) {
        match &mut self.link {
            Link::Greeting { until_ms } if now_ms >= *until_ms => self.break_off(now_ms, None),
            Link::Up(up) if up.taken >= WINDOW_BYTES / 4 => {
                let bytes = std::mem::take(&mut up.taken);
                self.send(&ClientFrame::Credit { bytes }, CONNECTION);
            }
            _ => {}
        }
    }

    pub(super) fn tick_channel(&mut self, name: &DocumentId, now_ms: u64, keys: &mut dyn Keys) {
        let opened = self.channels.values().filter(|channel| channel.number().is_some()).count();
        let Link::Up(up) = &mut self.link else { return };
        let Some(channel) = self.channels.get_mut(name) else { return };
        let room = opened < up.limits.channels as usize;
        let mut turn = Turn {
            now_ms,
            wall_ms: self.time.wall_ms(),
            relay_ms: self.time.stamp_ms(),
            up,
            out: &mut self.out,
            keys,
            entropy: &mut self.entropy,
            settings: &self.settings,
        };
        let before = channel.number();
        channel.tick(&mut turn, room);
        if channel.caught_up_once() {
            self.backoff.reset();
        }
        let after = channel.number();
        if before != after {
            before.map(|number| self.numbers.remove(&number));
            after.map(|number| self.numbers.insert(number, name.clone()));
        }
    }

    /// When [`tick`](Client::tick) is to be called at the latest, if nothing else happens.
    pub fn wake_at(&self) -> Option<u64> {
        self.due().map(|due| self.time.wall_at(due))
    }

    fn due(&self) -> Option<u64> {
        match &self.link {
            Link::Down { again_ms } => (!self.channels.is_empty()).then_some(*again_ms),
            Link::Greeting { until_ms } => Some(*until_ms),
            Link::Broken { .. } => None,
            Link::Up(up) => {
                let now_ms = self.time.steady_ms();
                let due = |channel: &Channel| channel.due(up, self.time.wall_ms(), now_ms);
                let dues = self.channels.values().filter_map(due);
                // What was due by now waits for something else.
                dues.filter(|due| *due > now_ms).min()
            }
        }
    }
}

/// What a channel has at hand when it is its turn.
pub(super) struct Turn<'t> {
    /// The time that goes on.
    pub now_ms: u64,
    /// The device's clock, which may jump.
    pub wall_ms: u64,
    /// The relay's clock, as far as it is known.
    pub relay_ms: u64,
    pub up: &'t mut Up,
    pub out: &'t mut std::collections::VecDeque<Vec<u8>>,
    pub keys: &'t mut dyn Keys,
    pub entropy: &'t mut crate::session::entropy::Entropy,
    pub settings: &'t super::Settings,
}

impl Turn<'_> {
    pub fn send(&mut self, frame: &ClientFrame<'_>, number: u32) {
        self.out.push_back(frame.to_bytes(number));
    }

    /// Sends what costs credit, if there is enough.
    pub fn send_paid(&mut self, frame: &ClientFrame<'_>, number: u32) -> bool {
        let message = frame.to_bytes(number);
        let paid = self.up.spend(message.len());
        if paid {
            self.out.push_back(message);
        }
        paid
    }
}
