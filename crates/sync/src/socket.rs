//! The task of one connection: bytes in and out, and what is asked for in between.
//!
//! While nothing happens it holds no buffer: bytes are read into one that all connections of a thread share.

use std::{
    cell::RefCell,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use selvedge_crdt::{
    BatchHash, Header, ReplicaId,
    session::{
        CloseReason, Record, RecordHash, Refusal, RelayFrame, Resume, Signature, SnapshotHash,
        Subscription,
        relay::{ADMIN, Asked, Grant, JOIN, Opening, READ, Session, Vetted, Want},
    },
};
use selvedge_eventlog::{Chunk, ReadError, StreamId};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    Seat,
    connection::Connection,
    document::{By, Document},
    hub::{Entered, Hub},
    names,
    pace::Bucket,
    rosters::{self, Next},
    snapshots::{self, Upload},
    websocket::{self, CloseCode, Decoder, Event},
};

/// Bytes that are read or written in one go, about.
const BUFFER_BYTES: usize = 64 << 10;
/// Turns of reading and writing before others have theirs.
const TURNS_MAX: usize = 16;
/// When to push again what cannot be judged now, in milliseconds.
const AGAIN_MS: u64 = 2_000;
/// When to offer a snapshot again where others are on their way, in milliseconds.
const OFFER_AGAIN_MS: u64 = 30_000;
/// In this time a connection has tokens verified as often as it may at once: so often at least.
const VERIFIED: Duration = Duration::from_secs(60);
const VERIFIED_MIN: u32 = 64;
/// The same before a token counted, of whoever it is.
const STRANGERS: u32 = 32;
const STRANGER: Duration = Duration::from_secs(16);
/// Types of messages, as refusals name them.
const PUSH: u8 = 3;
const OFFER: u8 = 5;
const PIECE: u8 = 6;
const PRESENCE: u8 = 8;
const WAKE: u8 = 11;

thread_local! {
    /// Where bytes are read into.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into());
}

/// A connection, which is served for as long as it is polled.
pub(crate) struct Socket<T> {
    io: T,
    seat: Seat,
    decoder: Decoder,
    /// Bytes that wait until what is being done is done.
    input: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    open: Vec<Open>,
    /// How often a token and its proof are verified: before one counted, and after that.
    verified: [Bucket; 2],
    /// What a message asked for, before the next is looked at.
    doing: Option<Work<Done>>,
    /// What is read for channels that lag.
    reading: Option<Work<Found>>,
    upload: Option<Box<Upload>>,
    stage: Stage,
}

/// An open document.
struct Open {
    channel: u32,
    document: Arc<Document>,
    _entered: Entered,
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The last frame is to be sent, and then nothing.
    Closing,
    /// It was written into `out`.
    Closed,
}

/// What came of something that took a while.
enum Done {
    Opened(u32, Result<(Arc<Document>, Entered), CloseReason>),
    Uploaded(Option<Box<Upload>>, u32, usize, Option<RelayFrame<'static>>),
    Pushed,
}

/// What was read from the log.
enum Found {
    Records(u32, Result<Chunk, ReadError>),
    Keys(u32, u64, Result<Chunk, ReadError>),
    Piece(u32, SnapshotHash, u64, Result<Bytes, ReadError>),
}

/// Why the task ends.
struct End;

type Step = Result<bool, End>;

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Socket<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.get_mut().advance(context)
    }
}

impl<T> Drop for Socket<T> {
    /// Leaves everything.
    fn drop(&mut self) {
        self.reap();
        let Seat { hub, connection } = &self.seat;
        for Open { channel, document, _entered } in self.open.drain(..) {
            document.leave(hub, (connection, channel));
        }
    }
}

impl<T> Socket<T> {
    pub(crate) fn new(io: T, seat: Seat) -> Self {
        // Twice: a device that lost its connection opens everything again.
        let at_once = seat.hub.settings.channels_max.saturating_mul(2).max(VERIFIED_MIN);
        Self {
            io,
            verified: [Bucket::within(STRANGERS, STRANGER), Bucket::within(at_once, VERIFIED)],
            seat,
            decoder: Decoder::default(),
            input: Vec::new(),
            out: Vec::new(),
            written: 0,
            open: Vec::new(),
            doing: None,
            reading: None,
            upload: None,
            stage: Stage::Open,
        }
    }

    /// Leaves documents whose channels ended.
    fn reap(&mut self) {
        for channel in self.seat.connection.within(|machine| machine.take_closed()) {
            if self.upload.as_ref().is_some_and(|upload| upload.channel == channel) {
                self.upload = None;
            }
            if let Some(at) = self.open.iter().position(|open| open.channel == channel) {
                let open = self.open.swap_remove(at);
                open.document.leave(&self.seat.hub, (&self.seat.connection, channel));
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket<T> {
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.seat.connection.wake_by(context.waker());
        for _ in 0..TURNS_MAX {
            match self.turn(context) {
                Ok(true) => {}
                Ok(false) => {
                    self.rest();
                    return Poll::Pending;
                }
                Err(End) => return Poll::Ready(()),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does what can be done without waiting; says whether that was anything.
    fn turn(&mut self, context: &mut Context<'_>) -> Step {
        if self.seat.connection.is_cut.load(Relaxed) {
            return Err(End);
        }
        self.reap();
        let wrote = self.poll_write(context)?;
        let did = self.poll_doing(context);
        let found = self.poll_log(context);
        let read = self.poll_read(context)?;
        Ok(wrote || did || found || read)
    }

    /// Gives back memory.
    fn rest(&mut self) {
        self.decoder.rest();
        self.open.shrink_to_fit();
        if self.out.is_empty() && self.out.capacity() > 0 {
            self.out = Vec::new();
        }
        if self.input.is_empty() && self.input.capacity() > 0 {
            self.input = Vec::new();
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Step {
        if self.written == self.out.len() {
            self.fill();
        }
        if self.out.is_empty() {
            self.seat.connection.moved_ms.store(self.seat.hub.now_ms(), Relaxed);
            return if self.stage == Stage::Closed { Err(End) } else { Ok(false) };
        }
        match Pin::new(&mut self.io).poll_write(context, &self.out[self.written..]) {
            Poll::Ready(Ok(0) | Err(_)) => Err(End),
            Poll::Ready(Ok(bytes)) => {
                self.written += bytes;
                self.seat.connection.moved_ms.store(self.seat.hub.now_ms(), Relaxed);
                Ok(true)
            }
            Poll::Pending => Ok(false),
        }
    }

    /// Takes what is to go out.
    fn fill(&mut self) {
        self.out.clear();
        self.written = 0;
        if self.stage == Stage::Closed {
            return;
        }
        if self.seat.connection.is_ping_due.swap(false, Relaxed) {
            websocket::put_ping(&mut self.out);
        }
        let mut head = Vec::new();
        let (out, mut sent) = (&mut self.out, 0_u64);
        let is_over = self.seat.connection.within(|machine| {
            while out.len() < BUFFER_BYTES
                && let Some(body) = machine.pop(&mut head)
            {
                let body = body.as_deref().unwrap_or_default();
                websocket::put_binary_head(head.len() + body.len(), out);
                out.extend_from_slice(&head);
                out.extend_from_slice(body);
                head.clear();
                sent += 1;
            }
            machine.is_over()
        });
        self.seat.hub.metrics.sent.fetch_add(sent, Relaxed);
        self.seat.hub.metrics.sent_bytes.fetch_add(self.out.len() as u64, Relaxed);
        // What is left of the queues needs credit that will not come.
        if (is_over || self.stage == Stage::Closing) && self.out.len() < BUFFER_BYTES {
            websocket::put_close(CloseCode::Normal, &mut self.out);
            self.stage = Stage::Closed;
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Step {
        if self.stage != Stage::Open || self.doing.is_some() {
            return Ok(false);
        }
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            return self.take(&input).map(|()| true);
        }
        // Who sends and does not read what comes back, pongs among it, is not read from either.
        let unsent = self.out.len().saturating_sub(self.written);
        if unsent > 2 * BUFFER_BYTES || self.seat.connection.within(|machine| machine.is_clogged())
        {
            return Ok(false);
        }
        SCRATCH.with(|scratch| {
            let mut scratch = scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(context, &mut buffer) {
                Poll::Pending => Ok(false),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.seat.connection.heard_ms.store(self.seat.hub.now_ms(), Relaxed);
                    self.take(buffer.filled()).map(|()| true)
                }
                Poll::Ready(Ok(()) | Err(_)) => Err(End),
            }
        })
    }

    /// Takes bytes apart, until a message asks for something that takes a while.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() && self.stage == Stage::Open {
            if self.doing.is_some() {
                self.input = bytes.to_vec();
                return Ok(());
            }
            let max = self.seat.connection.within(|machine| machine.message_bytes_max());
            match self.decoder.feed(bytes, max) {
                Ok((used, event)) => {
                    bytes = &bytes[used..];
                    event.into_iter().for_each(|event| self.event(event));
                }
                Err(code) => {
                    self.close(code);
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Message => {
                let mut decoder = std::mem::take(&mut self.decoder);
                self.message(decoder.message());
                decoder.clear();
                self.decoder = decoder;
            }
            Event::Ping => {
                websocket::put_pong(self.decoder.control(), &mut self.out);
                self.decoder.clear_control();
            }
            Event::Pong => self.decoder.clear_control(),
            Event::Close => self.stage = Stage::Closing,
        }
    }

    fn close(&mut self, code: CloseCode) {
        websocket::put_close(code, &mut self.out);
        self.stage = Stage::Closed;
    }

    fn message(&mut self, message: &[u8]) {
        let now_ms = self.seat.hub.now_ms();
        let connection = self.seat.connection.clone();
        let asked = connection.within(|machine| machine.receive(message, now_ms));
        self.reap();
        let size = message.len();
        match asked {
            Asked::Nothing | Asked::Over => {}
            Asked::Open(opening) => self.open(opening, now_ms),
            Asked::Push(channel, record) => self.push(channel, record, size),
            Asked::Saw(channel, next) => {
                if let Some((document, session)) = self.find(channel) {
                    let has_all = document.saw(&session, next, now_ms);
                    if let Some(wakes) = self.seat.hub.wakes.as_ref().filter(|_| has_all) {
                        wakes.seen(&document.id, &session.device);
                    }
                }
            }
            Asked::Offer(channel, record, replaces) => {
                self.offer(channel, (record, replaces));
                self.settle(size);
            }
            Asked::Piece(channel, from, bytes) => self.piece(channel, (from, bytes), size),
            Asked::Fetch(channel, snapshot, from) => self.fetch(channel, (snapshot, from)),
            Asked::Presence(channel, state) => self.show(channel, state),
            Asked::Token(channel, token, proof) => self.renew(channel, (token, &proof), now_ms),
            Asked::Wake(channel, subscription) => self.wake(channel, subscription, now_ms),
        }
    }

    /// Takes notice of how a device is woken, or that it is to be let sleep.
    fn wake(&self, channel: u32, subscription: Option<Subscription<'_>>, now_ms: u64) {
        let grant = self.seat.connection.within(|machine| machine.grant(channel).cloned());
        let (Some((document, session)), Some(grant)) = (self.find(channel), grant) else { return };
        let too_fast = self.too_fast(&session, document.id.tenant());
        let taken = match (&self.seat.hub.wakes, too_fast) {
            (_, Some(wait_ms)) => Err(Refusal::Quota(wait_ms)),
            (None, _) if subscription.is_none() => Ok(()),
            (None, _) => Err(Refusal::Invalid("this relay sends no push messages".to_owned())),
            (Some(_), _) if !session.may(READ) => Err(Refusal::Denied),
            (Some(wakes), _) => {
                wakes.wish((&document.id, &session.device), (&grant, subscription), now_ms)
            }
        };
        if let Err(why) = taken {
            self.reject(channel, WAKE, why);
        }
    }

    fn find(&self, channel: u32) -> Option<(Arc<Document>, Session)> {
        let open = self.open.iter().find(|open| open.channel == channel)?;
        let session = self.seat.connection.within(|machine| machine.session(channel))?;
        Some((open.document.clone(), session))
    }

    fn open(&mut self, opening: Opening<'_>, now_ms: u64) {
        let Opening { channel, document, token, proof, resume, replicas } = opening;
        if let Some(wait_ms) = self.verifies_too_much() {
            return self.refuse_channel(channel, CloseReason::Limit, Some(wait_ms));
        }
        let warden = self.seat.hub.warden.clone();
        let grant = self
            .seat
            .connection
            .within(|machine| machine.verify(channel, (token, &proof), (&*warden, now_ms)));
        let Some(grant) = grant else {
            self.seat.hub.metrics.denied.fetch_add(1, Relaxed);
            return self.refuse_channel(channel, CloseReason::Denied, None);
        };
        let Some(entered) = self.seat.hub.enter(&document) else {
            return self.refuse_channel(channel, CloseReason::Limit, Some(60_000));
        };
        let (hub, connection) = (self.seat.hub.clone(), self.seat.connection.clone());
        let asked = (grant, resume, replicas);
        self.doing = Some(Box::pin(async move {
            let opened = enter(&hub, &connection, (channel, &document), asked).await;
            Done::Opened(channel, opened.map(|document| (document, entered)))
        }));
    }

    /// How many milliseconds it is to wait until another token is looked at. Signatures are the dear part, and nothing is
    /// known of who asks before they were verified.
    fn verifies_too_much(&mut self) -> Option<u64> {
        let which = usize::from(self.seat.connection.within(|machine| machine.has_opened()));
        let taken = self.verified[which].take(self.seat.hub.now_ns());
        taken.err().map(|wait| crate::settings::ms(wait).max(1))
    }

    fn refuse_channel(&mut self, channel: u32, why: CloseReason, again_ms: Option<u64>) {
        self.seat.connection.within(|machine| machine.close(channel, why, again_ms));
        self.reap();
    }

    fn push(&mut self, channel: u32, record: &[u8], bytes: usize) {
        let Some((document, session)) = self.find(channel) else { return self.settle(bytes) };
        let by = By { connection: self.seat.connection.clone(), channel, session, bytes };
        let hub = self.seat.hub.clone();
        if let Some(wait_ms) = self.too_fast(&session, document.id.tenant()) {
            let frame = refused(record, Refusal::Quota(wait_ms));
            return document.refuse(&hub, by, frame);
        }
        if !document.knows_gone() || is_for_line(&document, &session, record) {
            let record = record.to_vec();
            self.doing = Some(Box::pin(async move {
                push_in_line(&hub, &document, by, &record).await;
                Done::Pushed
            }));
            return;
        }
        push(&hub, &document, by, record);
    }

    /// How many milliseconds it is to wait, if it pushes more than it may.
    fn too_fast(&self, session: &Session, tenant: &str) -> Option<u64> {
        let now_ns = self.seat.hub.now_ns();
        let taken = self.seat.hub.devices.take(session.device, now_ns);
        let taken = taken.and_then(|()| self.seat.hub.tenant_paces.take(tenant.to_owned(), now_ns));
        taken.err().map(|wait| crate::settings::ms(wait).max(1))
    }

    fn settle(&self, bytes: usize) {
        self.seat.connection.within(|machine| machine.settle(bytes));
    }

    fn reject(&self, channel: u32, frame: u8, why: Refusal) {
        let frame = RelayFrame::Rejected { frame, why };
        self.seat.hub.metrics.refused(&frame);
        self.seat.connection.within(|machine| machine.say(channel, &frame));
    }

    fn offer(&mut self, channel: u32, (record, replaces): (&[u8], Option<SnapshotHash>)) {
        let Some((document, session)) = self.find(channel) else { return };
        if let Some(wait_ms) = self.too_fast(&session, document.id.tenant()) {
            self.upload = None;
            return self.reject(channel, OFFER, Refusal::Quota(wait_ms));
        }
        let vetted = Vetted::judge(record, &document.id, &*self.seat.hub.warden, None);
        let is_gone = document.is_gone(&session.device);
        let judged = vetted.and_then(|vetted| {
            if is_gone {
                return Err(vetted.refused(Refusal::Denied));
            }
            let fold = &document.lock().fold;
            let info = fold.judge_offer(&session, &vetted, replaces, &document.terms)?;
            Ok((vetted, info))
        });
        match judged {
            Ok((vetted, info)) => {
                let what = (&vetted, info, replaces);
                // The former one makes room for this.
                self.upload = None;
                let upload = Upload::begin(&self.seat.hub, &document, (channel, session), what);
                self.upload = upload.map(Box::new);
                if self.upload.is_none() {
                    self.reject(channel, OFFER, Refusal::Unavailable(OFFER_AGAIN_MS));
                }
            }
            Err(RelayFrame::Rejected { why, .. } | RelayFrame::Refused { why, .. }) => {
                self.upload = None;
                self.reject(channel, OFFER, why);
            }
            Err(_) => {}
        }
    }

    fn piece(&mut self, channel: u32, (from, bytes): (u64, &[u8]), size: usize) {
        let fits = |upload: &Upload| upload.channel == channel && upload.fits(from, bytes.len());
        let Some(mut upload) = self.upload.take_if(|upload| fits(upload)) else {
            // Of an offer that was refused, pieces may still be on their way.
            if self.upload.take().is_some() {
                let text = "pieces come in order, up to the end".to_owned();
                self.reject(channel, PIECE, Refusal::Invalid(text));
            }
            return self.settle(size);
        };
        let bytes = bytes.to_vec();
        self.doing = Some(Box::pin(async move {
            match upload.take(&bytes).await {
                Ok(true) => Done::Uploaded(None, channel, size, None),
                Ok(false) => Done::Uploaded(Some(upload), channel, size, None),
                Err(frame) => Done::Uploaded(None, channel, size, Some(frame)),
            }
        }));
    }

    fn fetch(&mut self, channel: u32, (hash, from): (SnapshotHash, u64)) {
        let Some((document, session)) = self.find(channel) else { return };
        let placed = document.lock().placed(&hash).map(|placed| placed.info.bytes);
        self.seat.connection.within(|machine| match placed {
            _ if !session.may(READ) => machine.fetch_failed(channel, Refusal::Denied),
            Some(bytes) => machine.fetching(channel, hash, (from, bytes)),
            None => machine.fetch_failed(channel, Refusal::Superseded(None)),
        });
    }

    fn show(&mut self, channel: u32, state: &[u8]) {
        let Some((document, _)) = self.find(channel) else { return };
        let shown = (!state.is_empty()).then(|| Bytes::copy_from_slice(state));
        let number = self.seat.connection.within(|machine| machine.number(channel));
        let taken = number.is_none_or(|number| document.show(&self.seat.hub, number, shown));
        if !taken {
            self.reject(channel, PRESENCE, Refusal::Quota(60_000));
        }
    }

    fn renew(&mut self, channel: u32, (token, proof): (&str, &Signature), now_ms: u64) {
        if let Some(wait_ms) = self.verifies_too_much() {
            return self.refuse_channel(channel, CloseReason::Limit, Some(wait_ms));
        }
        let warden = self.seat.hub.warden.clone();
        let grant = self
            .seat
            .connection
            .within(|machine| machine.verify(channel, (token, proof), (&*warden, now_ms)));
        let document = self.find(channel).map(|(document, _)| document);
        match (grant, document) {
            (Some(grant), Some(document)) => {
                document.renew((&self.seat.connection, channel), grant.rights);
                if let (Some(wakes), Some(device)) =
                    (&self.seat.hub.wakes, self.seat.connection.device())
                {
                    wakes.renewed(&document.id, &device, &grant);
                }
                self.seat.connection.within(|machine| machine.renewed(channel, grant));
                self.end_if_revoked(channel);
            }
            _ => self.refuse_channel(channel, CloseReason::Denied, None),
        }
    }

    fn poll_doing(&mut self, context: &mut Context<'_>) -> bool {
        let Some(doing) = &mut self.doing else { return false };
        let Poll::Ready(done) = doing.as_mut().poll(context) else { return false };
        self.doing = None;
        match done {
            Done::Pushed => {}
            Done::Opened(channel, Ok((document, _entered))) => {
                let is_there =
                    self.seat.connection.within(|machine| machine.session(channel).is_some());
                match is_there {
                    true => {
                        if self.open.is_empty() {
                            // Most connections have one document open.
                            self.open.reserve_exact(1);
                        }
                        self.open.push(Open { channel, document, _entered });
                        self.end_if_revoked(channel);
                    }
                    // It was closed meanwhile.
                    false => document.leave(&self.seat.hub, (&self.seat.connection, channel)),
                }
            }
            Done::Opened(channel, Err(why)) => self.refuse_channel(channel, why, Some(2_000)),
            Done::Uploaded(upload, channel, size, refused) => {
                self.upload = upload;
                if let Some(RelayFrame::Rejected { why, .. }) = refused {
                    self.reject(channel, OFFER, why);
                }
                self.settle(size);
            }
        }
        true
    }

    /// Ends a channel whose token was revoked while nobody saw yet that the channel has it.
    fn end_if_revoked(&mut self, channel: u32) {
        let warden = &self.seat.hub.warden;
        let is_revoked = self.seat.connection.within(|machine| {
            machine.grant(channel).is_some_and(|grant| warden.is_revoked(&grant.id))
        });
        if is_revoked {
            self.refuse_channel(channel, CloseReason::Expired, None);
        }
    }

    /// Serves channels that lag, and snapshots.
    fn poll_log(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(reading) = &mut self.reading {
            let Poll::Ready(found) = reading.as_mut().poll(context) else { return false };
            self.reading = None;
            self.found(found);
            return true;
        }
        match self.seat.connection.within(|machine| machine.wants()) {
            Some(Want::Records { channel, from, bytes }) => self.want_records(channel, from, bytes),
            Some(Want::Keys { channel, from, bytes }) => self.want_keys(channel, (from, bytes)),
            Some(Want::Piece { channel, snapshot, from, bytes }) => {
                self.want_piece(channel, (snapshot, from, bytes));
            }
            None => return false,
        }
        true
    }

    fn want_records(&mut self, channel: u32, from: u64, bytes: usize) {
        let Some((document, _)) = self.find(channel) else {
            return self.refuse_channel(channel, CloseReason::Unavailable, Some(0));
        };
        {
            let state = document.lock();
            let durable = state.fold.durable();
            if self.seat.connection.within(|machine| machine.caught_up(channel, durable)) {
                return;
            }
        }
        match self.seat.hub.log.read_cached(document.stream, from, bytes) {
            Ok(Some(chunk)) => self.found(Found::Records(channel, Ok(chunk))),
            Ok(None) => {
                let reading = self.seat.hub.clone().read(document.stream, (from, bytes));
                let found = async move { Found::Records(channel, reading.await) };
                self.reading = Some(Box::pin(found));
            }
            Err(error) => self.found(Found::Records(channel, Err(error))),
        }
    }

    fn want_keys(&mut self, channel: u32, (from, bytes): (u64, usize)) {
        let Some((document, _)) = self.find(channel) else {
            return self.refuse_channel(channel, CloseReason::Unavailable, Some(0));
        };
        let stream = document.lock().rosters.stream;
        match self.seat.hub.log.info(stream) {
            Ok(info) if from < info.tail => {
                let reading = self.seat.hub.clone().read(stream, (from, bytes));
                let found = async move { Found::Keys(channel, from, reading.await) };
                self.reading = Some(Box::pin(found));
            }
            // That is all, or the first of them is on its way and will be a record like others.
            _ => self.seat.connection.within(|machine| machine.keys_end(channel)),
        }
    }

    fn want_piece(&mut self, channel: u32, (hash, from, bytes): (SnapshotHash, u64, usize)) {
        let document = self.find(channel).map(|(document, _)| document);
        let name = document.map(|document| names::snapshot(&document.id, &hash));
        let Some(stream) = name.and_then(|name| self.seat.hub.log.stream(&name)) else {
            let failed = Refusal::Superseded(None);
            return self.seat.connection.within(|machine| machine.fetch_failed(channel, failed));
        };
        let reading = snapshots::read(self.seat.hub.clone(), stream, (from, bytes));
        self.reading =
            Some(Box::pin(async move { Found::Piece(channel, hash, from, reading.await) }));
    }

    fn found(&mut self, found: Found) {
        match found {
            Found::Records(channel, Ok(chunk)) => {
                let Some((document, _)) = self.find(channel) else { return };
                // What is behind was not told to others either.
                let durable = document.lock().fold.durable();
                self.seat.connection.within(|machine| {
                    let records = chunk.records().take_while(|(offset, _)| *offset < durable);
                    records.for_each(|record| machine.supply(channel, record));
                });
            }
            Found::Keys(channel, from, Ok(chunk)) => self.seat.connection.within(|machine| {
                let kept = chunk.records().skip_while(|(index, _)| *index < from);
                kept.for_each(|(index, kept)| {
                    machine.supply_keys(channel, (index, rosters::record(kept)));
                });
            }),
            // It was cut off meanwhile, or cannot be read: it begins anew, with the snapshot.
            Found::Records(channel, Err(_)) | Found::Keys(channel, _, Err(_)) => {
                self.refuse_channel(channel, CloseReason::Unavailable, Some(1_000));
            }
            Found::Piece(channel, hash, from, Ok(bytes)) if !bytes.is_empty() => {
                self.seat
                    .connection
                    .within(|machine| machine.supply_piece(channel, hash, (from, bytes)));
            }
            Found::Piece(channel, ..) => {
                let failed = Refusal::Unavailable(2_000);
                self.seat.connection.within(|machine| machine.fetch_failed(channel, failed));
            }
        }
    }
}

/// Opens a document, which may have to be loaded.
async fn enter(
    hub: &Arc<Hub>,
    connection: &Arc<Connection>,
    (channel, id): (u32, &selvedge_crdt::session::DocumentId),
    (grant, resume, replicas): (Grant, Option<Resume>, Vec<ReplicaId>),
) -> Result<Arc<Document>, CloseReason> {
    let number = hub.number();
    loop {
        let document = hub.document(id).await.map_err(|_| CloseReason::Unavailable)?;
        let before = match resume {
            Some(resume) => hash_before(hub, &document, &resume).await?,
            None => None,
        };
        let whose = (connection, channel, number);
        let asked = (resume, before, &replicas[..]);
        if let Some(opened) = document.open(hub, whose, grant.clone(), asked) {
            if opened.start == selvedge_crdt::session::Start::Lost {
                hub.metrics.lost.fetch_add(1, Relaxed);
            }
            return Ok(document);
        }
    }
}

/// Whether a record is a roster of somebody who is no admin, or no member any more.
fn is_for_line(document: &Document, session: &Session, record: &[u8]) -> bool {
    let is_trusted = session.may(ADMIN) && !document.is_gone(&session.device);
    session.may(JOIN) && !is_trusted && rosters::is_keys(record)
}

/// Takes what can be judged only by the rosters.
async fn push_in_line(hub: &Arc<Hub>, document: &Arc<Document>, by: By, record: &[u8]) {
    if document.know_gone(hub).await.is_err() {
        let frame = refused(record, Refusal::Unavailable(AGAIN_MS));
        return document.refuse(hub, by, frame);
    }
    match is_for_line(document, &by.session, record) {
        true => join(hub, document, by, record).await,
        false => push(hub, document, by, record),
    }
}

/// Takes a record; nothing of who is no member any more, and may only come in again.
fn push(hub: &Arc<Hub>, document: &Arc<Document>, by: By, record: &[u8]) {
    if document.is_gone(&by.session.device) {
        return document.refuse(hub, by, refused(record, Refusal::Denied));
    }
    let schema = document.terms.schema.as_deref();
    match Vetted::judge(record, &document.id, &*hub.warden, schema) {
        Ok(vetted) => document.push(hub, by, &vetted),
        Err(frame) => document.refuse(hub, by, frame),
    }
}

/// Takes a roster of somebody who is no admin: one that brings a device in. What he may push beside would be kept for ever,
/// and read by all who come.
async fn join(hub: &Arc<Hub>, document: &Arc<Document>, by: By, record: &[u8]) {
    let vetted = match Vetted::judge(record, &document.id, &*hub.warden, None) {
        Ok(vetted) => vetted,
        Err(frame) => return document.refuse(hub, by, frame),
    };
    let Ok(line) = hub.line(&document.id).await else {
        return document.refuse(hub, by, vetted.refused(Refusal::Unavailable(AGAIN_MS)));
    };
    let line = line.unwrap_or_default();
    match line.judge((&document.id, vetted.record()), hub.has_lost()) {
        Next::Follows => document.push_roster(hub, by, (&vetted, line.next)),
        Next::Known => by.connection.with(|machine| machine.settle(by.bytes)),
        Next::Late => document.refuse(hub, by, vetted.refused(Refusal::Superseded(None))),
        Next::Never => document.refuse(hub, by, vetted.refused(Refusal::Denied)),
    }
}

/// The hash of the record before the place where a device was.
async fn hash_before(
    hub: &Arc<Hub>,
    document: &Document,
    resume: &Resume,
) -> Result<Option<RecordHash>, CloseReason> {
    let asked: Option<(StreamId, u64)> =
        document.lock().fold.asks_for(resume).map(|at| (document.stream, at));
    let Some((stream, at)) = asked else { return Ok(None) };
    let unavailable = |_| CloseReason::Unavailable;
    let chunk = match hub.log.read_cached(stream, at, 1).map_err(unavailable)? {
        Some(chunk) => chunk,
        None => hub.clone().read(stream, (at, 1)).await.map_err(unavailable)?,
    };
    let found = chunk.records().find(|(offset, _)| *offset == at);
    Ok(found.map(|(_, record)| BatchHash::of(&record)))
}

/// The frame that refuses a record which nobody has looked at.
fn refused(record: &[u8], why: Refusal) -> RelayFrame<'static> {
    let header = match Record::read(record) {
        Ok(Record::Batch { batch, .. }) => Header::read(batch).ok(),
        _ => None,
    };
    match header {
        Some((Header { replica, first, .. }, _)) => RelayFrame::Refused { replica, first, why },
        None => RelayFrame::Rejected { frame: PUSH, why },
    }
}
