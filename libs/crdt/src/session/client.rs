//! A device's side of the session: one connection, and a channel for each document.

mod channel;
mod fetch;
mod link;
mod offer;
mod presence;
mod reading;
mod settings;
mod time;

use std::collections::VecDeque;

pub use settings::{Settings, Token, WakeUp};

use super::{
    ClientFrame, DeviceId, DocumentId, Keys, PRESENCE_BYTES_MAX, Refusal, RelayFrame,
    backoff::Backoff,
    entropy::Entropy,
    event::Event,
    replica::{Replica, Transaction},
};
use crate::{Document, Edit, sorted::Map};
use channel::Channel;
use link::Link;
use time::Time;

/// A device's side of the session.
///
/// It has no socket, disk, clock or chance. A driver asks what it [`wants`](Client::wants), connects, tells what
/// happened ([`connected`](Client::connected), [`receive`](Client::receive), [`disconnected`](Client::disconnected),
/// [`saved`](Client::saved)), calls [`tick`](Client::tick) after that and at [`wake_at`](Client::wake_at), and then takes what there is:
/// transactions to be stored first, then messages to be sent, then events. Times are the device's, in milliseconds
/// since 1970; they may jump.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub struct Client {
    device: DeviceId,
    settings: Settings,
    entropy: Entropy,
    link: Link,
    backoff: Backoff,
    channels: Map<DocumentId, Channel>,
    numbers: Map<u32, DocumentId>,
    out: VecDeque<Vec<u8>>,
    /// The document that is first in the next round.
    turn: usize,
    time: Time,
}

/// What a client wants of who drives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing new.
    Nothing,
    /// A connection to the relay.
    Connect,
    /// The connection is of no use any more, once what is to be sent was sent.
    Disconnect,
}

impl Client {
    /// A client without a connection and without documents. `seed` is random, and another one at each start.
    pub fn new(device: DeviceId, settings: Settings, seed: [u8; 32]) -> Self {
        Client {
            device,
            settings,
            entropy: Entropy::new(seed),
            link: Link::Down { again_ms: 0 },
            backoff: Backoff::default(),
            channels: Map::new(),
            numbers: Map::new(),
            out: VecDeque::new(),
            turn: 0,
            time: Time::default(),
        }
    }

    /// Takes a document over. It is opened as soon as there are a connection and a token.
    pub fn add(&mut self, replica: Replica, token: Option<Token>) {
        self.channels.insert(replica.name().clone(), Channel::new(replica, token));
    }

    /// Closes a document, and gives it back; what it still wants stored is in it.
    pub fn remove(&mut self, document: &DocumentId) -> Option<Replica> {
        let channel = self.channels.remove(document)?;
        if let Some(number) = channel.number() {
            self.numbers.remove(&number);
            self.send(&ClientFrame::Close, number);
        }
        Some(channel.replica)
    }

    /// The replica of a document.
    pub fn replica(&self, document: &DocumentId) -> Option<&Replica> {
        self.channels.get(document).map(|channel| &channel.replica)
    }

    /// A document.
    pub fn document(&self, document: &DocumentId) -> Option<&Document> {
        self.replica(document).map(Replica::document)
    }

    /// All documents.
    pub fn documents(&self) -> impl Iterator<Item = &DocumentId> {
        self.channels.keys()
    }

    /// Changes a document. Nothing if it is not here.
    pub fn edit<T>(
        &mut self,
        document: &DocumentId,
        now_ms: u64,
        write: impl FnOnce(&mut Edit<'_>) -> T,
    ) -> Option<T> {
        self.time.pass(now_ms);
        let now_ms = self.time.stamp_ms();
        Some(self.channels.get_mut(document)?.replica.edit(now_ms, write))
    }

    /// The time by the relay's clock, in milliseconds since 1970, as of the last thing that happened; the device's before it was heard of.
    /// It is at most a day later than by the device's.
    pub fn relay_ms(&self) -> u64 {
        self.time.stamp_ms()
    }

    /// Changes a document, or leaves it as it was where `write` fails. Nothing if it is not here.
    pub fn try_edit<T, E>(
        &mut self,
        document: &DocumentId,
        now_ms: u64,
        write: impl FnOnce(&mut Edit<'_>) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        self.time.pass(now_ms);
        let now_ms = self.time.stamp_ms();
        Some(self.channels.get_mut(document)?.replica.try_edit(now_ms, write))
    }

    /// Gives a new token.
    pub fn set_token(&mut self, document: &DocumentId, token: Token, keys: &dyn Keys) {
        let challenge = self.link.challenge();
        let Some(channel) = self.channels.get_mut(document) else { return };
        channel.set_token(token);
        if let Some((challenge, number)) = challenge.zip(channel.open_number()) {
            let frame = channel.token_frame(&challenge, keys);
            self.out.extend(frame.map(|frame| frame.to_bytes(number)));
        }
    }

    /// Shows others a state of this session, of at most [`PRESENCE_BYTES_MAX`](super::PRESENCE_BYTES_MAX) bytes;
    /// nothing to be gone. It is shown until it is changed. Returns whether it is.
    pub fn show(&mut self, document: &DocumentId, state: Vec<u8>) -> bool {
        let channel = self.channels.get_mut(document).filter(|_| state.len() <= PRESENCE_BYTES_MAX);
        channel.map(|channel| channel.presence.show(state)).is_some()
    }

    /// Saves the document at the relay, if the token allows that: who comes then begins with this.
    pub fn offer_snapshot(&mut self, document: &DocumentId) {
        if let Some(channel) = self.channels.get_mut(document) {
            channel.offers.wanted = true;
        }
    }

    /// Pushes keys, a [`Record::Keys`](super::Record::Keys) as it was signed. It is there when it comes back by
    /// [`Keys::take_keys`]; what was not when the application ended is to be pushed again. Nothing if it is no such
    /// record, or too many wait.
    pub fn push_keys(&mut self, document: &DocumentId, record: &[u8]) -> Option<()> {
        self.channels.get_mut(document)?.replica.push_keys(record)
    }

    /// Says how to wake this device when something waits; nothing to be let sleep.
    pub fn set_wake_up(&mut self, document: &DocumentId, wake_up: Option<WakeUp>) {
        if let Some(channel) = self.channels.get_mut(document) {
            channel.set_wake_up(wake_up);
        }
    }

    /// The next transaction to be stored.
    pub fn poll_transaction(&mut self) -> Option<(DocumentId, Transaction)> {
        self.channels.iter_mut().find_map(|(name, channel)| {
            channel.replica.take_transaction().map(|transaction| (name.clone(), transaction))
        })
    }

    /// All transactions of a document up to this one are durable.
    pub fn saved(&mut self, document: &DocumentId, number: u64) {
        if let Some(channel) = self.channels.get_mut(document) {
            channel.replica.saved(number);
        }
    }

    /// The next message to be sent.
    pub fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The next event of a document.
    pub fn poll_event(&mut self) -> Option<(DocumentId, Event)> {
        self.channels.iter_mut().find_map(|(name, channel)| {
            channel.replica.take_event().map(|event| (name.clone(), event))
        })
    }

    /// Takes a message of the relay.
    pub fn receive(&mut self, now_ms: u64, message: &[u8], keys: &mut dyn Keys) {
        let now_ms = self.time.pass(now_ms);
        match RelayFrame::read(message) {
            Ok((super::CONNECTION, frame)) => self.receive_link(now_ms, frame),
            Ok((number, mut frame)) => {
                self.link.took(&frame, message.len());
                if let RelayFrame::Refused { why: Refusal::Drift(relay_ms), .. } = &mut frame {
                    self.time.heard(*relay_ms);
                    *relay_ms = self.time.stamp_ms();
                }
                let name = self.numbers.get(&number);
                let Some(channel) = name.and_then(|name| self.channels.get_mut(name)) else {
                    return;
                };
                channel.receive(&self.time, frame, keys);
            }
            Err(_) => self.break_off(now_ms, None),
        }
    }

    /// Does what is due. Nothing else sends, cuts batches or tries again.
    pub fn tick(&mut self, now_ms: u64, keys: &mut dyn Keys) {
        let now_ms = self.time.pass(now_ms);
        self.tick_link(now_ms);
        let names: Vec<DocumentId> = self.channels.keys().cloned().collect();
        let first = self.turn.checked_rem(names.len()).unwrap_or_default();
        self.turn = first + 1;
        for name in names[first..].iter().chain(&names[..first]) {
            self.tick_channel(name, now_ms, keys);
        }
    }

    fn send(&mut self, frame: &ClientFrame<'_>, number: u32) {
        self.out.push_back(frame.to_bytes(number));
    }
}
