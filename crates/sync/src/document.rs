//! One document: what was admitted, what became durable, and who hears of it.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use selvedge_crdt::{
    ReplicaId,
    session::{
        CloseReason, DeviceId, DocumentId, OpenDocument, Record, RecordHash, Refusal, RelayFrame,
        Resume, SnapshotHash, Start,
        relay::{
            Answer, Checkpoint, Grant, Placed, Presences, RelayDocument, SNAPSHOTS_KEPT, Session,
            Terms, Verdict, Vetted, WRITE,
        },
    },
};
use selvedge_eventlog::{
    Append, AppendError, Batch, Committed, ReadError, StreamId, StreamOptions, Ticket,
};

use crate::{
    connection::Connection,
    hub::{Hub, REST_MS},
    names,
    rosters::{self, Rosters},
};

/// Snapshots of a document that are on their way here at once.
const UPLOADS_MAX: usize = 4;
/// After so long without a piece, one gives way to another, in milliseconds.
const UPLOAD_SILENT_MS: u64 = 60_000;
/// When somebody may try again whose record the log did not take, in milliseconds.
const AGAIN_MS: u64 = 2_000;

/// A document in memory.
pub(crate) struct Document {
    pub(crate) id: DocumentId,
    pub(crate) stream: StreamId,
    pub(crate) terms: Terms,
    state: Mutex<State>,
}

/// What changes of it.
pub(crate) struct State {
    pub(crate) fold: RelayDocument,
    /// Whether the log has its stream, or will.
    is_created: bool,
    pub(crate) rosters: Rosters,
    listeners: Vec<Listener>,
    /// In order of offsets; answers among them wait for what was pushed before.
    pending: VecDeque<Pending>,
    is_pumping: bool,
    /// The log did not take a record: those behind it are refused, before others are admitted.
    has_failed: bool,
    presences: Presences<Bytes>,
    used_ms: u64,
    /// Where it was saved last, and when.
    saved: (u64, u64),
    /// Leases changed since.
    is_unsaved: bool,
    /// When the log may be cut, and where.
    trim: Option<(u64, u64)>,
    /// It was let go: whoever still holds it looks it up again.
    is_gone: bool,
    /// Snapshots on their way here, each with when something of it came.
    uploads: Vec<(StreamId, u64)>,
}

struct Listener {
    connection: Arc<Connection>,
    channel: u32,
    session: Session,
    /// By which others know it.
    number: u64,
}

/// Who pushed something.
#[derive(Clone)]
pub(crate) struct By {
    pub(crate) connection: Arc<Connection>,
    pub(crate) channel: u32,
    pub(crate) session: Session,
    /// Bytes of credit that it gets back.
    pub(crate) bytes: usize,
}

enum Pending {
    Record { offset: u64, record: Bytes, ticket: Option<Ticket>, by: Option<(By, Option<Own>)> },
    Answer { by: By, answer: Answer },
}

/// Of a batch: its replica, last and first sequence.
type Own = (ReplicaId, u64, u64);

/// What happened, in order.
enum Event {
    Durable { offset: u64, record: Bytes, by: Option<(By, Option<Own>)> },
    Answer { by: By, answer: Answer },
}

impl Event {
    fn by(&self) -> Option<&By> {
        match self {
            Event::Durable { by, .. } => by.as_ref().map(|(by, _)| by),
            Event::Answer { by, .. } => Some(by),
        }
    }
}

type Outcome = Result<Committed, AppendError>;

enum Next {
    Wait(Ticket),
    Again,
    Done,
}

impl Document {
    pub(crate) fn new(
        (mut fold, rosters): (RelayDocument, Rosters),
        stream: StreamId,
        (terms, hub): (Terms, &Hub),
    ) -> Self {
        fold.keeps(rosters.bytes());
        let id = fold.id().clone();
        let now_ms = hub.now_ms();
        let current = fold.snapshots().last().map(|placed| placed.info.offset);
        let trim = current.filter(|offset| *offset > fold.start());
        let state = State {
            is_created: hub.log.info(stream).is_ok(),
            rosters,
            listeners: Vec::new(),
            pending: VecDeque::new(),
            is_pumping: false,
            has_failed: false,
            presences: Presences::default(),
            used_ms: now_ms,
            saved: (fold.durable(), now_ms),
            is_unsaved: false,
            trim: trim.map(|offset| (now_ms + hub.settings_ms().grace, offset)),
            is_gone: false,
            uploads: Vec::new(),
            fold,
        };
        Self { id, stream, terms, state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it on a channel: everything durable from here on is delivered there. Nothing if it was let go.
    pub(crate) fn open(
        &self,
        hub: &Hub,
        (connection, channel, number): (&Arc<Connection>, u32, u64),
        grant: Grant,
        (resume, before, replicas): (Option<Resume>, Option<RecordHash>, &[ReplicaId]),
    ) -> Option<OpenDocument> {
        let mut state = self.lock();
        let device = connection.device()?;
        if state.is_gone {
            return None;
        }
        let session = Session { device, rights: grant.rights };
        let now_ms = hub.now_ms();
        let until = (&self.terms, now_ms);
        let opened = state.fold.open(&session, (resume, before), replicas, until);
        state.used_ms = now_ms;
        state.is_unsaved |= session.may(WRITE);
        let connection = connection.clone();
        connection.with(|machine| {
            machine.opened(channel, (number, grant), opened.clone());
            if state.rosters.has_some() && opened.start != Start::Resumed {
                machine.keys_first(channel);
            }
            for (of, shown) in state.presences.all() {
                machine.show(channel, of, Some(shown));
            }
        });
        if state.listeners.is_empty() {
            // Most documents are open once.
            state.listeners.reserve_exact(1);
        }
        state.listeners.push(Listener { connection, channel, session, number });
        if let Some(wakes) = &hub.wakes {
            wakes.seen(&self.id, &device);
        }
        Some(opened)
    }

    /// The channel was closed, or its connection ended.
    pub(crate) fn leave(&self, hub: &Hub, (connection, channel): (&Connection, u32)) {
        let mut state = self.lock();
        let is_it = |it: &Listener| it.connection.id == connection.id && it.channel == channel;
        let Some(at) = state.listeners.iter().position(is_it) else { return };
        let left = state.listeners.swap_remove(at);
        state.presences.put(left.number, None, hub.now_ms());
        state.used_ms = hub.now_ms();
        hub.show_soon(&self.id, &state.presences);
    }

    /// The rights of a session changed with its token.
    pub(crate) fn renew(&self, (connection, channel): (&Connection, u32), rights: u8) {
        let mut state = self.lock();
        let mut listeners = state.listeners.iter_mut();
        let is_it = |it: &&mut Listener| it.connection.id == connection.id && it.channel == channel;
        if let Some(listener) = listeners.find(is_it) {
            listener.session.rights = rights;
        }
    }

    /// Takes a record that was pushed.
    pub(crate) fn push(self: &Arc<Self>, hub: &Arc<Hub>, by: By, record: &Vetted<'_>) {
        self.push_into(self.lock(), hub, by, record);
    }

    /// Takes a roster that was pushed, if it is the one behind so many others.
    pub(crate) fn push_roster(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        by: By,
        (record, behind): (&Vetted<'_>, u64),
    ) {
        let state = self.lock();
        match state.rosters.count() == behind {
            true => self.push_into(state, hub, by, record),
            // Another is on its way, which may be the same: soon it is known which.
            false => {
                drop(state);
                self.refuse(hub, by, record.refused(Refusal::Unavailable(AGAIN_MS)));
            }
        }
    }

    /// Whether it is known who was taken out of the members.
    pub(crate) fn knows_gone(&self) -> bool {
        self.lock().rosters.knows_gone()
    }

    /// Takes notice of who was taken out of the members.
    pub(crate) async fn know_gone(&self, hub: &Arc<Hub>) -> Result<(), ReadError> {
        if let Some(line) = hub.line(&self.id).await? {
            self.lock().rosters.know_gone(&line);
        }
        Ok(())
    }

    /// Whether a device was taken out of the members, as far as that is known.
    pub(crate) fn is_gone(&self, device: &DeviceId) -> bool {
        self.lock().rosters.is_gone(device)
    }

    fn push_into(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        hub: &Arc<Hub>,
        by: By,
        record: &Vetted<'_>,
    ) {
        let now_ms = hub.now_ms();
        let verdict = if state.has_failed {
            Verdict::Refused(record.refused(Refusal::Unavailable(AGAIN_MS)))
        } else {
            let until = (&self.terms, now_ms);
            let verdict = state.fold.admit(&by.session, record, until);
            match verdict {
                Verdict::Append(_) if !state.has_place(hub) => {
                    // Nothing else is on its way, as there is no document yet.
                    state.fold.take_back();
                    Verdict::Refused(record.refused(Refusal::Quota(self.terms.again_ms)))
                }
                verdict => verdict,
            }
        };
        match verdict {
            Verdict::Append(offset) => {
                let own = own(record.record());
                let bytes = Bytes::copy_from_slice(record.bytes());
                state.submit((self, hub), (offset, bytes), Some((by, own)));
            }
            Verdict::Again(replica, seq, offset) => {
                let answer = Answer::Ack(replica, seq, offset);
                state.pending.push_back(Pending::Answer { by, answer });
            }
            Verdict::Known => by.connection.with(|machine| machine.settle(by.bytes)),
            Verdict::Refused(frame) => {
                hub.metrics.refused(&frame);
                let answer = Answer::Frame(frame);
                state.pending.push_back(Pending::Answer { by, answer });
            }
        }
        self.pump_soon(hub, state);
    }

    /// Refuses something in its turn.
    pub(crate) fn refuse(self: &Arc<Self>, hub: &Arc<Hub>, by: By, frame: RelayFrame<'static>) {
        let mut state = self.lock();
        hub.metrics.refused(&frame);
        state.pending.push_back(Pending::Answer { by, answer: Answer::Frame(frame) });
        self.pump_soon(hub, state);
    }

    /// Puts a snapshot in place whose bytes are durable.
    ///
    /// # Errors
    /// The frame that says why not.
    pub(crate) fn place(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        (session, replaces): (&Session, Option<SnapshotHash>),
        record: &Vetted<'_>,
    ) -> Result<(), RelayFrame<'static>> {
        let mut state = self.lock();
        if state.has_failed {
            return Err(record.refused(Refusal::Unavailable(AGAIN_MS)));
        }
        let offset = state.fold.place(session, record, replaces, &self.terms)?;
        if !state.has_place(hub) {
            state.fold.take_back();
            return Err(record.refused(Refusal::Quota(self.terms.again_ms)));
        }
        let bytes = Bytes::copy_from_slice(record.bytes());
        state.submit((self, hub), (offset, bytes), None);
        self.pump_soon(hub, state);
        Ok(())
    }

    /// A snapshot is about to come; false if as many are on their way as may be.
    pub(crate) fn begin_upload(&self, stream: StreamId, now_ms: u64) -> bool {
        let uploads = &mut self.lock().uploads;
        if uploads.len() >= UPLOADS_MAX {
            let is_silent = |(_, at): &(StreamId, u64)| *at + UPLOAD_SILENT_MS <= now_ms;
            let Some(silent) = uploads.iter().position(is_silent) else { return false };
            uploads.remove(silent);
        }
        uploads.push((stream, now_ms));
        true
    }

    /// A piece of it came; false if it gave way to another.
    pub(crate) fn goes_on(&self, stream: StreamId, now_ms: u64) -> bool {
        let mut state = self.lock();
        let upload = state.uploads.iter_mut().find(|(of, _)| *of == stream);
        upload.map(|(_, at)| *at = now_ms).is_some()
    }

    /// It came, or does not come any more.
    pub(crate) fn end_upload(&self, stream: StreamId) {
        self.lock().uploads.retain(|(of, _)| *of != stream);
    }

    /// Takes notice of what a device has seen; says whether that is everything.
    pub(crate) fn saw(&self, session: &Session, next: u64, now_ms: u64) -> bool {
        let mut state = self.lock();
        state.fold.saw(session, next, now_ms);
        state.is_unsaved |= session.may(WRITE);
        next >= state.fold.durable()
    }

    /// Whether a device has it open.
    pub(crate) fn is_open_for(&self, device: &DeviceId) -> bool {
        self.lock().listeners.iter().any(|listener| listener.session.device == *device)
    }

    /// Takes what a session shows of itself; false if there is no room.
    pub(crate) fn show(&self, hub: &Hub, number: u64, state: Option<Bytes>) -> bool {
        let mut own = self.lock();
        let taken = own.presences.put(number, state, hub.now_ms());
        hub.show_soon(&self.id, &own.presences);
        taken
    }

    /// Tells everybody what others show by now.
    pub(crate) fn tell_presences(&self, dead_ms: u64) {
        let mut state = self.lock();
        let news = state.presences.take_news(dead_ms);
        if news.is_empty() {
            return;
        }
        for listener in &state.listeners {
            listener.connection.with(|machine| {
                for (number, shown) in &news {
                    machine.show(listener.channel, *number, shown.clone());
                }
            });
        }
    }

    fn pump_soon(self: &Arc<Self>, hub: &Arc<Hub>, mut state: MutexGuard<'_, State>) {
        if state.is_pumping || state.pending.is_empty() {
            return;
        }
        state.deliver_answers(hub);
        if !state.pending.is_empty() {
            state.is_pumping = true;
            drop(state);
            tokio::spawn(pump(self.clone(), hub.clone()));
        }
    }
}

/// Waits for the log, and tells what it says, until nothing is pending.
async fn pump(document: Arc<Document>, hub: Arc<Hub>) {
    loop {
        let next = document.lock().next(&hub);
        match next {
            Next::Wait(ticket) => {
                let outcome = ticket.await;
                document.lock().settle((&document, &hub), outcome);
            }
            Next::Again => {}
            Next::Done => return,
        }
    }
}

impl State {
    /// Whether its tenant may have it; a document that is not there yet takes one of its places.
    fn has_place(&self, hub: &Hub) -> bool {
        self.is_created || hub.make(self.fold.id().tenant())
    }

    /// Sends a record on its way to the log.
    fn submit(
        &mut self,
        (document, hub): (&Document, &Hub),
        (offset, record): (u64, Bytes),
        by: Option<(By, Option<Own>)>,
    ) {
        let append = Append::to(document.stream).record(&record).expect_tail(offset);
        let batch = match mem::replace(&mut self.is_created, true) {
            true => Batch::from(append),
            false => {
                let name = names::document(&document.id);
                Batch::create(document.stream, name, StreamOptions::default()).and(append)
            }
        };
        let batch = match rosters::is_keys(&record) {
            true => {
                let batch = batch.and(self.rosters.keep(&document.id, &record));
                self.fold.keeps(self.rosters.bytes());
                batch
            }
            false => batch,
        };
        let ticket = Some(hub.log.append(batch));
        self.pending.push_back(Pending::Record { offset, record, ticket, by });
    }

    fn next(&mut self, hub: &Hub) -> Next {
        match self.pending.front_mut() {
            Some(Pending::Record { ticket, .. }) => {
                Next::Wait(ticket.take().expect("one task waits, for the first"))
            }
            Some(Pending::Answer { .. }) => {
                self.deliver_answers(hub);
                Next::Again
            }
            None => {
                self.is_pumping = false;
                Next::Done
            }
        }
    }

    /// Gives back room that nothing takes.
    fn rest(&mut self) {
        self.fold.rest();
        self.listeners.shrink_to_fit();
        self.pending.shrink_to_fit();
        self.uploads.shrink_to_fit();
    }

    /// Answers what waits for nothing.
    fn deliver_answers(&mut self, hub: &Hub) {
        let mut events = Vec::new();
        while let Some(Pending::Answer { .. }) = self.pending.front() {
            let Some(Pending::Answer { by, answer }) = self.pending.pop_front() else { break };
            events.push(Event::Answer { by, answer });
        }
        self.tell(events, hub);
    }

    /// Takes what the log says of the first record, and of those behind it that it has judged as well.
    fn settle(&mut self, (document, hub): (&Document, &Hub), first: Outcome) {
        let mut events = Vec::new();
        let mut outcome = Some(first);
        while let Some(front) = self.pending.front_mut() {
            if let Pending::Record { ticket: Some(ticket), .. } = front {
                outcome = ticket.try_take();
            }
            match (self.pending.front(), outcome.take()) {
                (Some(Pending::Record { .. }), None) => break,
                (_, judged) => events.extend(self.judged(document, judged)),
            }
        }
        let is_over = !self.pending.iter().any(|it| matches!(it, Pending::Record { .. }));
        if self.has_failed && is_over {
            self.fold.take_back();
            self.is_created = hub.log.info(document.stream).is_ok();
            if !self.is_created {
                hub.tenants.unmake(document.id.tenant());
            }
            self.has_failed = false;
            self.rosters.take_back();
            self.fold.keeps(self.rosters.bytes());
        }
        self.used_ms = hub.now_ms();
        self.tell(events, hub);
        self.after(document, hub);
    }

    fn judged(&mut self, document: &Document, outcome: Option<Outcome>) -> Option<Event> {
        match (self.pending.pop_front()?, outcome) {
            (Pending::Answer { by, answer }, _) => Some(Event::Answer { by, answer }),
            (Pending::Record { offset, record, by, .. }, Some(Ok(_))) => {
                self.fold.commit();
                if rosters::is_keys(&record) {
                    self.rosters.kept(&record);
                }
                Some(Event::Durable { offset, record, by })
            }
            (Pending::Record { by, .. }, _) => {
                self.has_failed = true;
                let (by, own) = by?;
                let why = Refusal::Unavailable(AGAIN_MS.max(document.terms.again_ms / 30));
                let frame = match own {
                    Some((replica, _, first)) => RelayFrame::Refused { replica, first, why },
                    None => RelayFrame::Rejected { frame: 3, why },
                };
                Some(Event::Answer { by, answer: Answer::Frame(frame) })
            }
        }
    }

    /// Tells everybody, each once.
    fn tell(&self, events: Vec<Event>, hub: &Hub) {
        if events.is_empty() {
            return;
        }
        for event in &events {
            if let Event::Durable { record, by, .. } = event {
                hub.metrics.records.fetch_add(1, Relaxed);
                hub.metrics.record_bytes.fetch_add(record.len() as u64, Relaxed);
                if let (Some(wakes), Some((by, _))) = (&hub.wakes, by) {
                    wakes.changed(self.fold.id(), &by.session.device, hub.now_ms());
                }
            }
        }
        for listener in &self.listeners {
            let is_concerned = |event: &Event| match event {
                Event::Durable { .. } => true,
                Event::Answer { by, .. } => listener.is(by),
            };
            if events.iter().any(is_concerned) {
                listener.connection.with(|machine| {
                    events.iter().for_each(|event| listener.hear(machine, event));
                    hub.metrics.lags.fetch_add(machine.take_lags(), Relaxed);
                });
            }
        }
        // Also of channels that were closed meanwhile.
        for by in events.iter().filter_map(Event::by) {
            by.connection.with(|machine| machine.settle(by.bytes));
        }
    }

    /// What a durable record changes beside: the log may be cut where a snapshot is, later.
    fn after(&mut self, document: &Document, hub: &Hub) {
        let current = self.fold.durable_snapshot().map(|placed| placed.info.offset);
        let known = self.trim.map_or(self.fold.start(), |(_, offset)| offset);
        if let Some(offset) = current.filter(|offset| *offset > known) {
            self.trim = Some((hub.now_ms() + hub.settings_ms().grace, offset));
            hub.metrics.snapshots.fetch_add(1, Relaxed);
            let uploads: Vec<StreamId> = self.uploads.iter().map(|(stream, _)| *stream).collect();
            let there = (self.fold.snapshots(), &uploads[..]);
            hub.sweep_snapshots(&document.id, there, SNAPSHOTS_KEPT);
        }
    }

    /// Compacts if enough is stable; those who were not counted begin anew.
    fn compact(&mut self, (document, hub): (&Arc<Document>, &Hub)) {
        let now_ms = hub.now_ms();
        if self.has_failed || !self.is_created {
            return;
        }
        let Some(record) = self.fold.compact(&document.terms, now_ms) else { return };
        hub.metrics.compactions.fetch_add(1, Relaxed);
        let offset = self.fold.tail() - 1;
        self.submit((document, hub), (offset, record.into()), None);
        let forgotten = self.listeners.iter().filter(|it| {
            it.session.may(WRITE)
                && !self.fold.is_leased(&it.session.device, (&document.terms, now_ms))
        });
        for listener in forgotten {
            listener.connection.with(|machine| {
                machine.close(listener.channel, CloseReason::Unavailable, Some(0));
            });
        }
    }

    /// Snapshots that are kept, and where the log begins and ends for readers.
    pub(crate) fn placed(&self, hash: &SnapshotHash) -> Option<&Placed> {
        self.fold.snapshots().iter().find(|placed| placed.info.hash == *hash)
    }
}

impl Listener {
    fn is(&self, by: &By) -> bool {
        self.connection.id == by.connection.id && self.channel == by.channel
    }

    fn hear(&self, machine: &mut crate::connection::Machine, event: &Event) {
        match event {
            Event::Durable { offset, record, by } => {
                let own = by.as_ref().filter(|(by, _)| self.is(by));
                let ack = own.and_then(|(_, own)| *own);
                let ack = ack.map(|(replica, seq, _)| Answer::Ack(replica, seq, *offset));
                machine.deliver(self.channel, (*offset, record), ack);
            }
            Event::Answer { by, answer } if self.is(by) => {
                machine.answer(self.channel, answer.clone());
            }
            Event::Answer { .. } => {}
        }
    }
}

fn own(record: &Record<'_>) -> Option<Own> {
    let Record::Batch { batch, .. } = record else { return None };
    let (header, _) = selvedge_crdt::Header::read(batch).ok()?;
    Some((header.replica, header.last(), header.first))
}

/// What is looked after from time to time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chore {
    Nothing,
    /// To be saved: the checkpoint, and where the log is to be cut behind it.
    Save(Checkpoint, Option<u64>),
    /// Nobody has it open: to be let go.
    Evict(Option<Checkpoint>),
}

impl Document {
    /// Looks after it; `is_last` saves whatever is not.
    pub(crate) fn look(self: &Arc<Self>, hub: &Arc<Hub>, is_last: bool) -> Chore {
        let mut state = self.lock();
        state.compact((self, hub));
        let (now_ms, bounds) = (hub.now_ms(), hub.settings_ms());
        let (saved, saved_ms) = state.saved;
        let durable = state.fold.durable();
        let cut = state.trim.filter(|(at_ms, _)| *at_ms <= now_ms).map(|(_, offset)| offset);
        if state.used_ms + REST_MS <= now_ms {
            state.rest();
        }
        // What the log does not have is not kept for whoever asks for names that nobody wrote to.
        let idle_ms = if state.is_created { bounds.idle } else { 0 };
        let is_idle = state.listeners.is_empty() && state.used_ms + idle_ms <= now_ms;
        let is_changed = state.is_created && (durable > saved || state.is_unsaved);
        let is_due = durable >= saved + SAVE_RECORDS || saved_ms + SAVE_MS <= now_ms;
        let wanted = cut.is_some() || is_changed && (is_due || is_idle || is_last);
        let checkpoint = wanted.then(|| state.fold.checkpoint()).flatten();
        // What changes from here on is in the next one.
        state.is_unsaved &= checkpoint.is_none();
        let is_idle = is_idle && state.pending.is_empty();
        self.pump_soon(hub, state);
        match (checkpoint, is_idle && cut.is_none()) {
            (checkpoint, true) => Chore::Evict(checkpoint),
            (Some(checkpoint), false) => Chore::Save(checkpoint, cut),
            (None, false) => Chore::Nothing,
        }
    }

    /// It was saved as it was at `durable`.
    pub(crate) fn saved(&self, durable: u64, now_ms: u64) {
        let mut state = self.lock();
        state.saved = (durable, now_ms);
    }

    /// The checkpoint was not taken.
    pub(crate) fn not_saved(&self) {
        self.lock().is_unsaved = true;
    }

    /// The log was cut.
    pub(crate) fn trimmed(&self, start: u64) {
        let mut state = self.lock();
        state.fold.trimmed(start);
        state.is_unsaved = true;
        if state.trim.is_some_and(|(_, offset)| offset <= start) {
            state.trim = None;
        }
    }

    /// Lets it go, if still nobody has it open.
    pub(crate) fn evict(&self) -> bool {
        let mut state = self.lock();
        let is_free = state.listeners.is_empty() && state.pending.is_empty();
        state.is_gone |= is_free;
        is_free
    }
}

/// Records after which a document is saved.
const SAVE_RECORDS: u64 = 1024;
/// How long leases and heads may be unsaved, in milliseconds.
const SAVE_MS: u64 = 60_000;
