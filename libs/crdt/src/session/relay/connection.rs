//! One connection: messages taken apart, channels, credit both ways, and what goes out.

use super::{
    Answer, Grant, Session, Trust,
    channel::{Channel, Fetch, Mode},
    outbox::{Out, Outbox, head_bytes},
};
use crate::ReplicaId;
use crate::session::{
    CONNECTION, ClientFrame, CloseReason, DeviceId, DocumentId, Limits, MESSAGE_BYTES_MAX,
    NONCE_BYTES, OPEN_BYTES_MAX, OpenDocument, PIECE_BYTES_MAX, Refusal, RelayFrame, Resume,
    SnapshotHash, Subscription, VERSION,
};

/// Bytes that one read of the log brings for a channel, at most about so many.
const READ_BYTES: usize = 64 << 10;

/// A connection, as its relay sees it. `S` are shared bytes.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
pub struct RelayConnection<S> {
    challenge: [u8; NONCE_BYTES],
    limits: Limits,
    device: Option<DeviceId>,
    channels: Vec<Channel>,
    outbox: Outbox<S>,
    /// Bytes that the device may still send.
    open_credit: u64,
    /// Bytes that are settled, and that it does not know it may send again.
    settled: u64,
    /// Whose turn it is to be served from the log.
    turn: usize,
    /// Channels that ended, and that the driver has not heard of.
    closed: Vec<u32>,
    /// Times that a channel fell behind, which the driver has not heard of.
    lags: u64,
    is_over: bool,
    /// A token opened something here.
    has_opened: bool,
}

/// What a device asks for, that its connection cannot answer by itself.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Nothing.
    Nothing,
    /// To open a document; [`RelayConnection::opened`] or [`RelayConnection::close`] answers.
    Open(Opening<'a>),
    /// To append a record; [`RelayConnection::answer`] answers, and [`RelayConnection::settle`] when it is done.
    Push(u32, &'a [u8]),
    /// It holds everything before an offset.
    Saw(u32, u64),
    /// To put a snapshot in place of another.
    Offer(u32, &'a [u8], Option<SnapshotHash>),
    /// Bytes of the snapshot that was offered last.
    Piece(u32, u64, &'a [u8]),
    /// A snapshot from a byte on; [`RelayConnection::fetching`] answers.
    Fetch(u32, SnapshotHash, u64),
    /// To be seen by others.
    Presence(u32, &'a [u8]),
    /// To go on with another token; [`RelayConnection::renewed`] or [`RelayConnection::close`] answers.
    Token(u32, &'a str, crate::session::Signature),
    /// To be woken.
    Wake(u32, Option<Subscription<'a>>),
    /// The connection is over, once everything that goes out has gone.
    Over,
}

/// An OPEN.
#[derive(Debug, PartialEq, Eq)]
pub struct Opening<'a> {
    /// The channel.
    pub channel: u32,
    /// The document.
    pub document: DocumentId,
    /// The capability, unverified.
    pub token: &'a str,
    /// That it is the device's, unverified.
    pub proof: crate::session::Signature,
    /// Where it was.
    pub resume: Option<Resume>,
    /// Whose heads it wants to know.
    pub replicas: Vec<ReplicaId>,
}

/// What a connection would have next from the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Records of a channel, about so many bytes from an offset on: [`RelayConnection::supply`].
    Records {
        /// Which channel.
        channel: u32,
        /// The first offset.
        from: u64,
        /// About so many.
        bytes: usize,
    },
    /// Keys of a channel's document, about so many bytes from the one of this number on: [`RelayConnection::supply_keys`].
    Keys {
        /// Which channel.
        channel: u32,
        /// The first of them, counted from 0.
        from: u64,
        /// About so many.
        bytes: usize,
    },
    /// A piece of a snapshot: [`RelayConnection::supply_piece`].
    Piece {
        /// Which channel.
        channel: u32,
        /// Which snapshot.
        snapshot: SnapshotHash,
        /// From which byte on.
        from: u64,
        /// At most so many.
        bytes: usize,
    },
}

impl<S: AsRef<[u8]> + Clone> RelayConnection<S> {
    /// A connection on which nothing was said. The challenge is random.
    pub fn new(challenge: [u8; NONCE_BYTES], limits: Limits) -> Self {
        RelayConnection {
            challenge,
            limits,
            device: None,
            channels: Vec::new(),
            outbox: Outbox::default(),
            open_credit: limits.credit.into(),
            settled: 0,
            turn: 0,
            closed: Vec::new(),
            lags: 0,
            is_over: false,
            has_opened: false,
        }
    }

    /// Whose it is, once that was said.
    pub fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// Whether it ends once everything has gone out.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether a token opened a document here, or is about to be looked at: anybody may connect and say HELLO.
    pub fn is_admitted(&self) -> bool {
        self.has_opened || !self.channels.is_empty()
    }

    /// Whether a token opened a document here.
    pub fn has_opened(&self) -> bool {
        self.has_opened
    }

    /// Bytes of a message that may come, at most: before a token opened something, as many as OPEN takes.
    pub fn message_bytes_max(&self) -> usize {
        if self.has_opened { MESSAGE_BYTES_MAX } else { OPEN_BYTES_MAX }
    }

    /// Channels that ended since this was asked last.
    pub fn take_closed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.closed)
    }

    /// Who speaks on a channel that is open.
    pub fn session(&self, channel: u32) -> Option<Session> {
        let found = self.find(channel).filter(|channel| channel.mode != Mode::Opening)?;
        Some(found.session(self.device?))
    }

    /// What the token of a channel gives.
    pub fn grant(&self, channel: u32) -> Option<&Grant> {
        self.find(channel).map(|channel| &channel.grant)
    }

    /// By what others know the session of a channel.
    pub fn number(&self, channel: u32) -> Option<u64> {
        self.find(channel).map(|channel| channel.session)
    }

    /// Channels whose token `is_revoked`.
    pub fn revoked(&self, is_revoked: impl Fn(&str) -> bool) -> Vec<u32> {
        let revoked = self.channels.iter().filter(|channel| is_revoked(&channel.grant.id));
        revoked.map(|channel| channel.id).collect()
    }

    /// Takes a message.
    pub fn receive<'a>(&mut self, message: &'a [u8], now_ms: u64) -> Asked<'a> {
        if self.is_over {
            return Asked::Nothing;
        }
        let Ok((channel, frame)) = ClientFrame::read(message) else {
            return self.end(CloseReason::Protocol, None);
        };
        let is_paid = matches!(
            frame,
            ClientFrame::Push { .. } | ClientFrame::Offer { .. } | ClientFrame::Piece { .. }
        );
        match self.open_credit.checked_sub(message.len() as u64) {
            Some(left) if is_paid => self.open_credit = left,
            None if is_paid => return self.end(CloseReason::Limit, None),
            _ => {}
        }
        match (self.device, frame) {
            (None, ClientFrame::Hello { version, device, credit }) => {
                self.welcome((version, device, credit), now_ms);
                Asked::Nothing
            }
            (Some(_), frame) if !matches!(frame, ClientFrame::Hello { .. }) => {
                let asked = self.frame(channel, frame);
                if is_paid && asked == Asked::Nothing {
                    self.settle(message.len());
                }
                asked
            }
            _ => self.end(CloseReason::Protocol, None),
        }
    }

    fn welcome(&mut self, (version, device, credit): (u8, DeviceId, u32), now_ms: u64) {
        self.device = Some(device);
        self.outbox.grant(credit);
        let welcome = RelayFrame::Welcome {
            version: version.min(VERSION),
            challenge: self.challenge,
            now_ms,
            limits: self.limits,
        };
        self.outbox.say(CONNECTION, &welcome);
    }

    fn frame<'a>(&mut self, channel: u32, frame: ClientFrame<'a>) -> Asked<'a> {
        match frame {
            ClientFrame::Hello { .. } => self.end(CloseReason::Protocol, None),
            ClientFrame::Credit { bytes } => {
                self.outbox.grant(bytes);
                Asked::Nothing
            }
            ClientFrame::Close if channel == CONNECTION => self.end(CloseReason::Asked, None),
            ClientFrame::Open { document, token, proof, resume, replicas } => {
                self.open(Opening { channel, document, token, proof, resume, replicas })
            }
            // What was on its way when the channel was closed is nobody's fault.
            _ if self.session(channel).is_none() => Asked::Nothing,
            ClientFrame::Push { record } => Asked::Push(channel, record),
            ClientFrame::Saw { next } => Asked::Saw(channel, next),
            ClientFrame::Offer { record, replaces } => Asked::Offer(channel, record, replaces),
            ClientFrame::Piece { from, bytes } => Asked::Piece(channel, from, bytes),
            ClientFrame::Fetch { snapshot, from } => Asked::Fetch(channel, snapshot, from),
            ClientFrame::Presence { state } => Asked::Presence(channel, state),
            ClientFrame::Token { token, proof } => Asked::Token(channel, token, proof),
            ClientFrame::Wake { subscription } => Asked::Wake(channel, subscription),
            ClientFrame::Close => {
                self.close(channel, CloseReason::Asked, None);
                Asked::Nothing
            }
        }
    }

    fn open<'a>(&mut self, opening: Opening<'a>) -> Asked<'a> {
        let Opening { channel, ref document, .. } = opening;
        if self.find(channel).is_some() {
            return self.end(CloseReason::Protocol, None);
        }
        if self.channels.len() >= self.limits.channels as usize {
            self.outbox.say(channel, &closed(CloseReason::Limit, None));
            return Asked::Nothing;
        }
        let grant = Grant { rights: 0, expires_ms: u64::MAX, id: String::new() };
        if self.channels.is_empty() {
            // Most connections have one document open.
            self.channels.reserve_exact(1);
        }
        self.channels.push(Channel {
            id: channel,
            session: 0,
            document: document.clone(),
            grant,
            next: 0,
            mode: Mode::Opening,
            fetch: None,
        });
        Asked::Open(opening)
    }

    /// Asks `trust` what a token gives on the document of a channel.
    pub fn verify(
        &self,
        channel: u32,
        (token, proof): (&str, &crate::session::Signature),
        (trust, now_ms): (&(impl Trust + ?Sized), u64),
    ) -> Option<Grant> {
        let (document, device) = (&self.find(channel)?.document, self.device?);
        let grant = trust.grant(document, &device, token, now_ms)?;
        let is_its_own = trust.is_proven(&self.challenge, document, &device, (token, proof));
        (is_its_own && grant.rights != 0 && grant.expires_ms > now_ms).then_some(grant)
    }

    /// Answers OPEN. From now on what becomes durable is to be [delivered](Self::deliver).
    pub fn opened(&mut self, channel: u32, (session, grant): (u64, Grant), opened: OpenDocument) {
        let Some(found) = self.channels.iter_mut().find(|found| found.id == channel) else {
            return;
        };
        let behind = opened.tail.saturating_sub(opened.next);
        self.has_opened = true;
        found.session = session;
        found.grant = grant;
        found.next = opened.next;
        let lags = behind > 0 && found.reads();
        found.mode = if lags { Mode::Log } else { Mode::Live };
        self.outbox.say(channel, &RelayFrame::Opened(Box::new(opened)));
        if lags {
            self.outbox.say(channel, &RelayFrame::Lag { behind });
        }
    }

    /// Has a channel that begins anew get the keys of its document before anything else.
    pub fn keys_first(&mut self, channel: u32) {
        let found = self.channels.iter_mut().find(|found| found.id == channel);
        if let Some(found) = found.filter(|found| found.reads()) {
            found.mode = Mode::Keys(0);
        }
    }

    /// Answers TOKEN.
    pub fn renewed(&mut self, channel: u32, grant: Grant) {
        if let Some(found) = self.channels.iter_mut().find(|found| found.id == channel) {
            found.grant = grant;
        }
    }

    /// Ends a channel.
    pub fn close(&mut self, channel: u32, why: CloseReason, again_ms: Option<u64>) {
        if let Some(at) = self.channels.iter().position(|found| found.id == channel) {
            self.channels.swap_remove(at);
            self.closed.push(channel);
            self.outbox.take(|of| of == channel);
            self.outbox.forget_presences(channel);
            self.outbox.say(channel, &closed(why, again_ms));
        }
    }

    /// Ends the connection.
    pub fn end<'a>(&mut self, why: CloseReason, again_ms: Option<u64>) -> Asked<'a> {
        if !self.is_over {
            self.is_over = true;
            self.outbox.say(CONNECTION, &closed(why, again_ms));
        }
        Asked::Over
    }

    /// Whether a channel's token is over.
    pub fn has_expired(&self, now_ms: u64) -> bool {
        self.channels.iter().any(|channel| channel.over(now_ms).is_some())
    }

    /// Ends channels whose tokens are over, and returns them.
    pub fn expire(&mut self, now_ms: u64) -> Vec<u32> {
        let over: Vec<(u32, CloseReason)> =
            self.channels.iter().filter_map(|it| Some((it.id, it.over(now_ms)?))).collect();
        over.iter().for_each(|(channel, why)| self.close(*channel, *why, None));
        over.into_iter().map(|(channel, _)| channel).collect()
    }

    /// Says something at once, whatever waits.
    pub fn say(&mut self, channel: u32, frame: &RelayFrame<'_>) {
        if self.find(channel).is_some() {
            self.outbox.say(channel, frame);
        }
    }

    /// Answers a push: in its turn, unless the channel lags.
    pub fn answer(&mut self, channel: u32, answer: Answer) {
        match self.find(channel).map(|found| found.mode) {
            Some(Mode::Live) => self.outbox.push(Out::Answer { channel, answer }),
            Some(Mode::Log | Mode::Keys(_)) => self.outbox.answer(channel, &answer),
            Some(Mode::Opening) | None => {}
        }
        self.unburden();
    }

    /// Says that what came in so many bytes is done with: the device may send as many again.
    pub fn settle(&mut self, bytes: usize) {
        self.settled += bytes as u64;
        self.give_credit();
    }

    /// Gives back what is settled, in large pieces, and before the largest message has no room for it; to who does not read, later.
    fn give_credit(&mut self) {
        let window = u64::from(self.limits.credit);
        let room = window.saturating_sub(MESSAGE_BYTES_MAX as u64);
        let is_due = self.settled >= room.min(window / 2).max(1);
        if is_due && !self.outbox.is_clogged() {
            let credit = u32::try_from(self.settled).unwrap_or(u32::MAX);
            self.settled -= u64::from(credit);
            self.open_credit += u64::from(credit);
            self.outbox.say(CONNECTION, &RelayFrame::Credit { bytes: credit });
        }
    }

    /// Takes a record that became durable. `own` is the answer where the channel pushed it itself.
    pub fn deliver(&mut self, channel: u32, (offset, record): (u64, &S), own: Option<Answer>) {
        let Some(found) = self.channels.iter_mut().find(|found| found.id == channel) else {
            return;
        };
        let is_next = !found.reads() || found.next == offset;
        match own {
            Some(answer) if found.mode == Mode::Live => {
                self.outbox.push(Out::Answer { channel, answer });
            }
            Some(answer) => return self.outbox.answer(channel, &answer),
            None if found.mode == Mode::Live && found.reads() && is_next => {
                self.outbox.push(Out::Record { channel, offset, record: record.clone() });
            }
            // It has it, or will have it from the log.
            None => return,
        }
        found.next = found.next.max(offset + 1);
        self.unburden();
    }

    /// Takes a presence; nothing if that session is gone. A session does not hear of itself.
    pub fn show(&mut self, channel: u32, session: u64, state: Option<S>) {
        let reads = self.find(channel).is_some_and(|it| it.reads() && it.session != session);
        if reads {
            self.outbox.show(channel, session, state);
        }
    }

    /// Where there is more than may wait, nothing waits: these channels are served from the log.
    fn unburden(&mut self) {
        if !self.outbox.is_full() {
            return;
        }
        for out in self.outbox.take(|_| true) {
            match out {
                Out::Record { channel, offset, .. } => self.lag(channel, offset),
                Out::Answer { channel, answer } => {
                    if let Answer::Ack(_, _, offset) = answer {
                        self.lag(channel, offset);
                    }
                    self.outbox.answer(channel, &answer);
                }
                Out::Keys { channel, index, .. } => self.keys_again(channel, index),
                Out::Piece { channel, from, .. } => self.fetch_again(channel, from),
                Out::Caught { channel } => {
                    let next = self.find(channel).map(|found| found.next);
                    next.into_iter().for_each(|next| self.lag(channel, next));
                }
            }
        }
    }

    /// The channel goes on from the log at `offset`, if it does not from before.
    fn lag(&mut self, channel: u32, offset: u64) {
        let Some(found) = self.channels.iter_mut().find(|found| found.id == channel) else {
            return;
        };
        if found.mode == Mode::Live && found.reads() {
            let behind = found.next.saturating_sub(offset).max(1);
            found.mode = Mode::Log;
            found.next = found.next.min(offset);
            self.lags += 1;
            self.outbox.say(channel, &RelayFrame::Lag { behind });
        } else if found.reads() && found.mode != Mode::Opening {
            found.next = found.next.min(offset);
        }
    }

    /// The channel goes on with the keys of this number, if it does not from before.
    fn keys_again(&mut self, channel: u32, index: u64) {
        let Some(found) = self.channels.iter_mut().find(|found| found.id == channel) else {
            return;
        };
        found.mode = match found.mode {
            Mode::Keys(next) => Mode::Keys(next.min(index)),
            _ => Mode::Keys(index),
        };
    }

    fn fetch_again(&mut self, channel: u32, from: u64) {
        let found = self.channels.iter_mut().find(|found| found.id == channel);
        if let Some(fetch) = found.and_then(|found| found.fetch.as_mut()) {
            fetch.at = fetch.at.min(from);
        }
    }

    /// What is wanted from the disk next, channels taking turns. `tail` is where a channel's document ends.
    pub fn wants(&mut self) -> Option<Want> {
        if !self.outbox.wants_more() {
            return None;
        }
        let count = self.channels.len();
        let (turn, room) = (self.turn, self.outbox.credit());
        let mut wanted = (0..count).filter_map(|step| {
            let at = (turn + step) % count;
            Some((at, self.channels[at].want(room)?))
        });
        let (at, want) = wanted.next()?;
        self.turn = at + 1;
        Some(want)
    }

    /// Takes a record from the log for a channel that lags.
    pub fn supply(&mut self, channel: u32, (offset, record): (u64, S)) {
        let found = self.channels.iter_mut().find(|found| found.id == channel);
        let Some(found) = found.filter(|it| it.mode == Mode::Log && it.next == offset) else {
            return;
        };
        found.next += 1;
        self.outbox.push(Out::Record { channel, offset, record });
    }

    /// Takes keys that were wanted: the one of this number.
    pub fn supply_keys(&mut self, channel: u32, (index, record): (u64, S)) {
        let found = self.channels.iter_mut().find(|found| found.id == channel);
        if let Some(found) = found.filter(|found| found.mode == Mode::Keys(index)) {
            found.mode = Mode::Keys(index + 1);
            self.outbox.push(Out::Keys { channel, index, record });
        }
    }

    /// Says that these were all keys: the channel goes on with the log.
    pub fn keys_end(&mut self, channel: u32) {
        let found = self.channels.iter_mut().find(|found| found.id == channel);
        if let Some(found) = found.filter(|found| matches!(found.mode, Mode::Keys(_))) {
            found.mode = Mode::Log;
        }
    }

    /// Says that the log ends at `tail`: a channel that got everything before goes on live. Nothing may become
    /// durable between looking and saying so.
    pub fn caught_up(&mut self, channel: u32, tail: u64) -> bool {
        let found = self.channels.iter_mut().find(|found| found.id == channel);
        let Some(found) = found.filter(|it| it.mode == Mode::Log && it.next >= tail) else {
            return false;
        };
        found.mode = Mode::Live;
        self.outbox.push(Out::Caught { channel });
        true
    }

    /// Answers FETCH: a snapshot of so many bytes, to be read from one on.
    pub fn fetching(&mut self, channel: u32, snapshot: SnapshotHash, (from, bytes): (u64, u64)) {
        if let Some(found) = self.channels.iter_mut().find(|found| found.id == channel) {
            found.fetch = Some(Fetch { snapshot, at: from, end: bytes });
        }
    }

    /// Takes bytes of a snapshot that were wanted.
    pub fn supply_piece(&mut self, channel: u32, snapshot: SnapshotHash, (from, bytes): (u64, S)) {
        let found = self.channels.iter_mut().find(|found| found.id == channel);
        let Some(fetch) = found.and_then(|found| found.fetch.as_mut()) else { return };
        if fetch.snapshot == snapshot && fetch.at == from {
            fetch.at += bytes.as_ref().len() as u64;
            self.outbox.push(Out::Piece { channel, snapshot, from, bytes });
        }
    }

    /// Gives up a fetch that cannot be served.
    pub fn fetch_failed(&mut self, channel: u32, why: Refusal) {
        const FETCH: u8 = 7;
        if let Some(found) = self.channels.iter_mut().find(|found| found.id == channel) {
            found.fetch = None;
            self.outbox.say(channel, &RelayFrame::Rejected { frame: FETCH, why });
        }
    }

    /// The next message that goes out: its beginning is appended to `head`, and what it ends with, if anything,
    /// is returned.
    pub fn pop(&mut self, head: &mut Vec<u8>) -> Option<Option<S>> {
        self.give_credit();
        self.outbox.pop(head)
    }

    /// Gives back room that it has no use for while nothing happens.
    pub fn rest(&mut self) {
        self.channels.shrink_to_fit();
        self.closed.shrink_to_fit();
        self.outbox.rest();
    }

    /// How often a channel fell behind since this was asked last.
    pub fn take_lags(&mut self) -> u64 {
        std::mem::take(&mut self.lags)
    }

    /// Whether nothing should be read before something has gone out.
    pub fn is_clogged(&self) -> bool {
        self.outbox.is_clogged()
    }

    fn find(&self, channel: u32) -> Option<&Channel> {
        self.channels.iter().find(|found| found.id == channel)
    }
}

impl Channel {
    fn want(&self, credit: u64) -> Option<Want> {
        let channel = self.id;
        let some = usize::try_from(credit).unwrap_or(READ_BYTES).min(READ_BYTES);
        // A snapshot opens with them.
        if let Mode::Keys(from) = self.mode {
            return Some(Want::Keys { channel, from, bytes: some });
        }
        if let Some(Fetch { snapshot, at, end }) = self.fetch.filter(|fetch| fetch.at < fetch.end) {
            let head = (head_bytes(channel) + 32 + 10) as u64;
            let room = credit.saturating_sub(head).min(PIECE_BYTES_MAX as u64).min(end - at);
            let bytes = usize::try_from(room).expect("a piece is small");
            return (bytes > 0).then_some(Want::Piece { channel, snapshot, from: at, bytes });
        }
        (self.mode == Mode::Log).then_some(Want::Records { channel, from: self.next, bytes: some })
    }
}

fn closed(why: CloseReason, again_ms: Option<u64>) -> RelayFrame<'static> {
    RelayFrame::Closed { why, again_ms }
}

/// A device's window always has room for one message.
const _: () = assert!(MESSAGE_BYTES_MAX < 2 << 20);
