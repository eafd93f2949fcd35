//! What goes out on one connection: in order where order matters, within a bound, and no more records than the
//! device takes.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    ReplicaId,
    session::{RelayFrame, SnapshotHash},
    wire::put_varint,
};

/// Bytes of records that wait for one connection, at most.
pub(super) const QUEUE_BYTES_MAX: usize = 256 << 10;

/// Presences that wait for one connection, at most; the eldest is forgotten, as there will be another.
const PRESENCES_MAX: usize = 1024;

/// What an entry takes beside its record.
const ENTRY_BYTES: usize = 64;

/// What a device hears of something that it pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is safe: the replica, the last sequence of the batch, and its offset.
    Ack(ReplicaId, u64, u64),
    /// It was not taken.
    Frame(RelayFrame<'static>),
}

/// Something that waits.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) enum Out<S> {
    Record {
        channel: u32,
        offset: u64,
        record: S,
    },
    /// Keys, before records.
    Keys {
        channel: u32,
        index: u64,
        record: S,
    },
    Piece {
        channel: u32,
        snapshot: SnapshotHash,
        from: u64,
        bytes: S,
    },
    /// In place of a record.
    Answer {
        channel: u32,
        answer: Answer,
    },
    /// The channel has caught up.
    Caught {
        channel: u32,
    },
}

/// Queues of one connection.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub(super) struct Outbox<S> {
    /// Before all else, and not counted as records.
    urgent: VecDeque<Box<[u8]>>,
    urgent_bytes: usize,
    /// In order.
    queue: VecDeque<Out<S>>,
    queue_bytes: usize,
    /// Of each channel and session the last.
    presences: BTreeMap<(u32, u64), Option<S>>,
    /// Bytes of records and pieces that the device takes.
    credit: u64,
}

impl<S> Default for Outbox<S> {
    fn default() -> Self {
        Outbox {
            urgent: VecDeque::new(),
            urgent_bytes: 0,
            queue: VecDeque::new(),
            queue_bytes: 0,
            presences: BTreeMap::new(),
            credit: 0,
        }
    }
}

impl<S> Out<S> {
    fn channel(&self) -> u32 {
        match self {
            Out::Record { channel, .. }
            | Out::Keys { channel, .. }
            | Out::Piece { channel, .. }
            | Out::Answer { channel, .. }
            | Out::Caught { channel } => *channel,
        }
    }
}

impl<S: AsRef<[u8]>> Outbox<S> {
    pub fn grant(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(bytes.into());
    }

    pub fn say(&mut self, channel: u32, frame: &RelayFrame<'_>) {
        let bytes = frame.to_bytes(channel);
        self.urgent_bytes += bytes.len() + ENTRY_BYTES;
        self.urgent.push_back(bytes.into());
    }

    pub fn answer(&mut self, channel: u32, answer: &Answer) {
        self.say(channel, &answer.frame());
    }

    pub fn push(&mut self, out: Out<S>) {
        self.queue_bytes += out.weight();
        self.queue.push_back(out);
    }

    pub fn show(&mut self, channel: u32, session: u64, state: Option<S>) {
        self.presences.insert((channel, session), state);
        if self.presences.len() > PRESENCES_MAX {
            self.presences.pop_first();
        }
    }

    /// Gives back room that nothing takes.
    pub fn rest(&mut self) {
        self.urgent.shrink_to_fit();
        self.queue.shrink_to_fit();
    }

    /// Whether there is no room for more records.
    pub fn is_full(&self) -> bool {
        self.queue_bytes > QUEUE_BYTES_MAX
    }

    /// Whether answers pile up that the device does not read.
    pub fn is_clogged(&self) -> bool {
        self.urgent_bytes > QUEUE_BYTES_MAX
    }

    /// Whether there is room to read ahead from the log, and somebody who takes it.
    pub fn wants_more(&self) -> bool {
        self.queue_bytes < QUEUE_BYTES_MAX / 2 && self.credit > 0
    }

    /// Bytes of records that the device takes by now.
    pub fn credit(&self) -> u64 {
        self.credit
    }

    /// Takes everything that waits in order for the channels that `is_wanted` names.
    pub fn take(&mut self, is_wanted: impl Fn(u32) -> bool) -> Vec<Out<S>> {
        let (taken, kept): (VecDeque<_>, VecDeque<_>) =
            self.queue.drain(..).partition(|out| is_wanted(out.channel()));
        self.queue = kept;
        self.queue_bytes = self.queue.iter().map(Out::weight).sum();
        taken.into()
    }

    pub fn forget_presences(&mut self, of: u32) {
        self.presences.retain(|(channel, _), _| *channel != of);
    }

    /// The next message: its beginning is appended to `head`, the rest is returned. Nothing if nothing can go.
    pub fn pop(&mut self, head: &mut Vec<u8>) -> Option<Option<S>> {
        if let Some(message) = self.urgent.pop_front() {
            self.urgent_bytes -= message.len() + ENTRY_BYTES;
            head.extend(&message[..]);
            return Some(None);
        }
        self.pop_queue(head).or_else(|| self.pop_presence(head))
    }

    fn pop_queue(&mut self, head: &mut Vec<u8>) -> Option<Option<S>> {
        let begin = head.len();
        let front = self.queue.front()?;
        front.write_head(head);
        if let Some(body) = front.body() {
            let bytes = (head.len() - begin + body.as_ref().len()) as u64;
            if bytes > self.credit {
                head.truncate(begin);
                return None;
            }
            self.credit -= bytes;
        }
        let out = self.queue.pop_front()?;
        self.queue_bytes -= out.weight();
        Some(out.into_body())
    }

    fn pop_presence(&mut self, head: &mut Vec<u8>) -> Option<Option<S>> {
        let ((channel, session), state) = self.presences.pop_first()?;
        let frame = RelayFrame::Presence { session, state: &[] };
        frame.write(channel, head);
        Some(state)
    }
}

impl<S: AsRef<[u8]>> Out<S> {
    fn weight(&self) -> usize {
        ENTRY_BYTES + self.body().map_or(0, |body| body.as_ref().len())
    }

    fn body(&self) -> Option<&S> {
        match self {
            Out::Record { record, .. } | Out::Keys { record, .. } => Some(record),
            Out::Piece { bytes, .. } => Some(bytes),
            Out::Answer { .. } | Out::Caught { .. } => None,
        }
    }

    fn into_body(self) -> Option<S> {
        match self {
            Out::Record { record, .. } | Out::Keys { record, .. } => Some(record),
            Out::Piece { bytes, .. } => Some(bytes),
            Out::Answer { .. } | Out::Caught { .. } => None,
        }
    }

    fn write_head(&self, head: &mut Vec<u8>) {
        match self {
            Out::Record { channel, offset, .. } => {
                RelayFrame::Record { offset: *offset, record: &[] }.write(*channel, head);
            }
            Out::Keys { channel, .. } => RelayFrame::Keys { record: &[] }.write(*channel, head),
            Out::Piece { channel, snapshot, from, .. } => {
                let piece = RelayFrame::Piece { snapshot: *snapshot, from: *from, bytes: &[] };
                piece.write(*channel, head);
            }
            Out::Answer { channel, answer } => answer.frame().write(*channel, head),
            Out::Caught { channel } => RelayFrame::Lag { behind: 0 }.write(*channel, head),
        }
    }
}

impl Answer {
    fn frame(&self) -> RelayFrame<'_> {
        match self {
            Answer::Ack(replica, seq, offset) => {
                RelayFrame::Ack { replica: *replica, seq: *seq, offset: *offset }
            }
            Answer::Frame(frame) => frame.clone(),
        }
    }
}

/// Bytes of a message beside its content, at most: what a record must leave room for.
pub(super) fn head_bytes(channel: u32) -> usize {
    let mut head = vec![0];
    put_varint(&mut head, channel.into());
    head.len()
}
