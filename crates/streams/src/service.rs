//! What can be done with streams, without HTTP.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use selvedge_eventlog::{
    Append, AppendError, Batch, Follower, Log, Placed, Producer, ReadError, StreamId,
};
use tokio::task::spawn_blocking;

use crate::{
    Settings,
    chronicle::{Author, Change, Chronicle, What},
    content::{ContentType, Kind},
    directory::{Directory, Entry, Span},
    headers,
    json::{self, Uncut},
    lifetime::Lifetime,
    meta::{Fork, Meta},
    offset::{From, Offset},
    path::{self, PathError},
    reader::Reader,
    refusal::Refusal,
};

/// The largest record a body of bytes is cut into.
const RECORD_BYTES: usize = 256 << 10;
/// What the log writes before each record.
const LENGTH_BYTES: usize = 4;

/// All streams, on a log.
pub(crate) struct Service {
    pub(crate) log: Log,
    pub(crate) settings: Settings,
    pub(crate) directory: Directory,
    reader: Reader,
    chronicle: Option<Arc<dyn Chronicle>>,
    clock_ms: AtomicU64,
}

/// What a creation asks for.
#[derive(Debug, Default)]
pub(crate) struct Creation {
    pub(crate) content_type: Option<ContentType>,
    pub(crate) lifetime: Lifetime,
    pub(crate) closed: bool,
    pub(crate) body: Bytes,
    pub(crate) fork: Option<ForkAsked>,
}

/// What a fork asks for.
#[derive(Debug)]
pub(crate) struct ForkAsked {
    /// Path of the source.
    pub(crate) from: String,
    pub(crate) offset: Option<Offset>,
    /// How many messages or bytes behind the offset.
    pub(crate) behind: u64,
}

/// What an append asks for.
#[derive(Debug, Default)]
pub(crate) struct Appending {
    pub(crate) content_type: Option<String>,
    pub(crate) producer: Option<headers::Producer>,
    pub(crate) seq: Option<String>,
    pub(crate) close: bool,
    pub(crate) body: Bytes,
}

/// What became of an append.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) tail: Offset,
    pub(crate) closed: bool,
    /// The producer's epoch and highest sequence, and whether it had sent this before.
    pub(crate) producer: Option<(u64, u64, bool)>,
}

/// A stream as it is.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) entry: Arc<Entry>,
    pub(crate) tail: Offset,
    pub(crate) closed: bool,
}

/// Records, and where they end.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<Bytes>,
    pub(crate) from: Offset,
    pub(crate) next: Offset,
    pub(crate) tail: Offset,
    /// Whether nothing comes behind `tail`.
    pub(crate) closed: bool,
}

impl Page {
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.next >= self.tail
    }

    /// Whether this is the end of a closed stream.
    pub(crate) fn is_last(&self) -> bool {
        self.closed && self.is_up_to_date()
    }
}

impl Service {
    pub(crate) fn new(
        log: Log,
        settings: Settings,
        chronicle: Option<Arc<dyn Chronicle>>,
    ) -> Service {
        let now_ms = now_ms();
        Service {
            directory: Directory::load(&log, settings.retention(), now_ms),
            reader: Reader::new(
                log.clone(),
                settings.disk_reads_max,
                settings.disk_reads_waiting_max,
            ),
            log,
            settings,
            chronicle,
            clock_ms: AtomicU64::new(now_ms),
        }
    }

    /// Milliseconds since 1970; never less than before.
    pub(crate) fn now_ms(&self) -> u64 {
        let now_ms = now_ms();
        self.clock_ms.fetch_max(now_ms, Ordering::Relaxed).max(now_ms)
    }

    pub(crate) fn name(&self, tenant: Option<&str>, path: &str) -> Result<String, Refusal> {
        path::name(tenant, path, self.settings.path_bytes_max).map_err(|error| match error {
            PathError::Unfit(reason) => Refusal::Path(reason),
            PathError::Reserved => Refusal::Reserved,
        })
    }

    /// Returns a stream that can be used. One whose time is over cannot.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Entry>, Refusal> {
        let id = self.log.stream(name).ok_or(Refusal::Missing)?;
        let entry = self.directory.get(id).ok_or(Refusal::Missing)?;
        match entry.is_gone() {
            true => Err(Refusal::Gone),
            false if entry.is_over(self.now_ms()) => Err(Refusal::Missing),
            false => Ok(entry),
        }
    }

    /// Returns what a stream is now.
    pub(crate) fn state(&self, entry: &Arc<Entry>) -> Result<State, Refusal> {
        let info = self.log.info(entry.id)?;
        Ok(State {
            entry: Arc::clone(entry),
            tail: entry.base().after(info.tail),
            closed: info.closed,
        })
    }

    /// Creates a stream, or finds that it is there as it should be. Returns whether it is new.
    pub(crate) async fn create(
        &self,
        by: &Author,
        name: &str,
        mut asked: Creation,
    ) -> Result<(State, bool), Refusal> {
        let _making = self.directory.making(name).await;
        self.make_room(name).await?;
        let source = match &asked.fork {
            Some(fork) => Some(self.source(by.caller.tenant.as_deref(), fork)?),
            None => None,
        };
        let _family = match &source {
            Some(source) => Some(self.directory.family(source).await),
            None => None,
        };
        if let Some(id) = self.log.stream(name) {
            return self.same(id, source.as_deref(), &asked).map(|state| (state, false));
        }
        let max = self.settings.streams_per_tenant_max;
        let Some(room) = self.directory.room(name, max) else {
            return Err(Refusal::TooMany { max });
        };
        let (meta, inherited) = self.configure(source.as_ref(), &asked).await?;
        let id = self.log.new_stream();
        let body = std::mem::take(&mut asked.body);
        let contents = self.contents(Append::to(id), (inherited, body), &meta, asked.closed)?;
        let batch = Batch::create(id, name, meta.options(self.settings.retention()));
        let batch = contents.into_iter().fold(batch, Batch::and);
        let batch = self.told(batch, || Change::new(What::Created(by.clone()), id, name)).await?;
        match self.log.append(batch).await {
            Ok(_) => {
                let entry = self.directory.insert(&self.log.info(id)?, meta, self.now_ms());
                room.take();
                self.state(&entry).map(|state| (state, true))
            }
            // Somebody else was first.
            Err(AppendError::Exists(id)) => {
                self.same(id, source.as_deref(), &asked).map(|state| (state, false))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a stream whose time is over, so that its path is free.
    async fn make_room(&self, name: &str) -> Result<(), Refusal> {
        let entry = self.log.stream(name).and_then(|id| self.directory.get(id));
        match entry {
            Some(entry) if !entry.is_gone() && entry.is_over(self.now_ms()) => {
                match self.discard(&entry, What::Expired).await {
                    // Somebody else was first.
                    Err(Refusal::Missing) => Ok(()),
                    done => done,
                }
            }
            _ => Ok(()),
        }
    }

    /// A batch with what tells of it.
    async fn told(&self, batch: Batch, change: impl FnOnce() -> Change) -> Result<Batch, Refusal> {
        let Some(chronicle) = self.chronicle.clone() else { return Ok(batch) };
        let change = change();
        // A panic there has told nothing either.
        let step = spawn_blocking(move || chronicle.step(&change)).await;
        let step = step.ok().and_then(Result::ok).ok_or(Refusal::Untold)?;
        Ok(batch.and(step))
    }

    fn source(&self, tenant: Option<&str>, fork: &ForkAsked) -> Result<Arc<Entry>, Refusal> {
        self.find(&self.name(tenant, &fork.from)?).map_err(|refusal| match refusal {
            Refusal::Gone => Refusal::SourceGone,
            other => other,
        })
    }

    /// What a stream is created with: its configuration, and what of a record of its source is its own from now on.
    async fn configure(
        &self,
        source: Option<&Arc<Entry>>,
        asked: &Creation,
    ) -> Result<(Meta, Option<Bytes>), Refusal> {
        let said = asked.content_type.clone();
        let (Some(source), Some(fork)) = (source, &asked.fork) else {
            let content_type = said.unwrap_or_else(ContentType::unsaid);
            return Ok((
                Meta { content_type, lifetime: asked.lifetime.clone(), fork: None, gone: false },
                None,
            ));
        };
        // It may have been deleted while this waited for its family.
        if source.is_gone() {
            return Err(Refusal::SourceGone);
        }
        if said.as_ref().is_some_and(|said| *said != source.meta.content_type) {
            return Err(Refusal::Mismatch);
        }
        if source.lineage.len() >= self.settings.fork_depth_max {
            return Err(Refusal::Fork(
                "There are as many forks between the stream and its root as there may be",
            ));
        }
        let (base, inherited) = self.cut_at(source, fork).await?;
        let lifetime = match &asked.lifetime {
            Lifetime::Unlimited => source.meta.lifetime.clone(),
            said => said.clone(),
        };
        let asked = (fork.offset.map(|offset| offset.0), fork.behind);
        let fork = Fork::new(source.id, fork.from.clone(), asked, base);
        let content_type = said.unwrap_or_else(|| source.meta.content_type.clone());
        Ok((Meta { content_type, lifetime, fork: Some(fork), gone: false }, inherited))
    }

    /// Finds where a fork begins, and what of the record there is before it.
    async fn cut_at(
        &self,
        source: &Arc<Entry>,
        fork: &ForkAsked,
    ) -> Result<(Offset, Option<Bytes>), Refusal> {
        let state = self.state(source)?;
        let offset = fork.offset.unwrap_or(state.tail);
        if offset > state.tail {
            return Err(Refusal::Fork("The offset lies behind the end of the source"));
        }
        if fork.behind == 0 {
            return Ok((offset, None));
        }
        let append = self.page(source, From::At(offset), 1).await?.records;
        const BEYOND: Refusal =
            Refusal::Fork("The sub-offset lies behind the end of what was appended there");
        if source.meta.content_type.kind() == Kind::Json {
            let fits = usize::try_from(fork.behind).is_ok_and(|behind| behind <= append.len());
            return if fits { Ok((offset.after(fork.behind), None)) } else { Err(BEYOND) };
        }
        let mut behind = usize::try_from(fork.behind).map_err(|_| BEYOND)?;
        for (nth, record) in append.iter().enumerate() {
            let base = offset.after(nth as u64);
            match behind {
                0 => return Ok((base, None)),
                part if part < record.len() => return Ok((base, Some(record.slice(..part)))),
                _ => behind -= record.len(),
            }
        }
        if behind == 0 { Ok((offset.after(append.len() as u64), None)) } else { Err(BEYOND) }
    }

    /// What a stream is made with: what of a record it inherits, a body, and its end, as far as there are any.
    fn contents(
        &self,
        mut append: Append,
        (inherited, body): (Option<Bytes>, Bytes),
        meta: &Meta,
        closed: bool,
    ) -> Result<Option<Append>, Refusal> {
        inherited.iter().for_each(|record| append.push(record));
        let records = self.cut(&body, meta.content_type.kind(), &mut append)?;
        if closed {
            return Ok(Some(append.close()));
        }
        Ok((records > 0 || inherited.is_some()).then_some(append))
    }

    /// Cuts a body into records of an append, and returns how many they are.
    ///
    /// Small messages take more room than they came in: nothing but the append holds them, up to what the log takes.
    fn cut(&self, body: &[u8], kind: Kind, append: &mut Append) -> Result<usize, Refusal> {
        if body.is_empty() || kind != Kind::Json {
            let records = body.chunks(RECORD_BYTES);
            let count = records.len();
            records.for_each(|record| append.push(record));
            return Ok(count);
        }
        let bounds = self.log.settings();
        let share = usize::try_from(bounds.segment_bytes / 4).unwrap_or(usize::MAX);
        let bytes_max = bounds.batch_bytes_max.min(share);
        let (mut room, mut count) = (bytes_max, 0);
        let cut = json::messages(body, |message| {
            let left = room.checked_sub(LENGTH_BYTES + message.len());
            if let Some(left) = left {
                append.push(message);
                (room, count) = (left, count + 1);
            }
            left.is_some()
        });
        match cut {
            Ok(()) => Ok(count),
            Err(Uncut::Json(error)) => Err(Refusal::Json(error.to_string())),
            Err(Uncut::Full) => Err(Refusal::TooMuch { bytes_max }),
        }
    }

    /// Whether a stream that is there is what a creation asks for.
    fn same(
        &self,
        id: StreamId,
        source: Option<&Entry>,
        asked: &Creation,
    ) -> Result<State, Refusal> {
        let entry =
            self.directory.get(id).filter(|entry| !entry.is_gone()).ok_or(Refusal::Exists)?;
        let state = self.state(&entry)?;
        let fork = asked
            .fork
            .as_ref()
            .map(|fork| (fork.from.as_str(), (fork.offset.map(|offset| offset.0), fork.behind)));
        let had = entry.meta.fork.as_ref().map(|fork| (fork.from.as_str(), fork.asked));
        let inherited = source.map(|source| &source.meta);
        let said = asked.content_type.clone();
        let content_type = said
            .or_else(|| inherited.map(|meta| meta.content_type.clone()))
            .unwrap_or_else(ContentType::unsaid);
        let lifetime = match (&asked.lifetime, inherited) {
            (Lifetime::Unlimited, Some(meta)) => &meta.lifetime,
            (said, _) => said,
        };
        let same = fork == had
            && content_type == entry.meta.content_type
            && *lifetime == entry.meta.lifetime
            && asked.closed == state.closed;
        if same { Ok(state) } else { Err(Refusal::Exists) }
    }

    /// Appends to a stream, closes it, or both.
    pub(crate) async fn append(
        &self,
        entry: &Arc<Entry>,
        asked: Appending,
    ) -> Result<Appended, Refusal> {
        let Appending { content_type, producer, seq, close, body } = asked;
        if body.is_empty() && !close {
            return Err(Refusal::Empty);
        }
        if !body.is_empty() {
            self.admit_type(entry, content_type.as_deref())?;
        }
        entry.touch(self.now_ms());
        let mut append = Append::to(entry.id);
        let records = self.cut(&body, entry.meta.content_type.kind(), &mut append)?;
        if records == 0 && !body.is_empty() {
            return Err(Refusal::Json("The array is empty".to_owned()));
        }
        // It is in the append, which may wait for others.
        drop(body);
        let producer = producer.map(|producer| Producer {
            id: producer.id.into(),
            epoch: producer.epoch,
            sequence: producer.seq,
        });
        if close {
            append = append.close();
        }
        if let Some(producer) = &producer {
            append = append.producer(producer.clone());
        }
        let placed = self.place(entry, append, seq.as_deref()).await;
        match placed {
            Ok(placed) => Ok(appended(entry, &placed, producer, close)),
            Err(AppendError::Closed { tail }) => {
                let tail = entry.base().after(tail);
                // Closing what is closed is done.
                let done = records == 0 && producer.is_none();
                if done {
                    Ok(Appended { tail, closed: true, producer: None })
                } else {
                    Err(Refusal::Closed { tail })
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A stream that is closed says so before anything else is wrong.
    fn admit_type(&self, entry: &Arc<Entry>, said: Option<&str>) -> Result<(), Refusal> {
        let content_type = said.ok_or(Refusal::ContentType)?;
        let content_type = ContentType::parse(content_type).ok_or(Refusal::ContentType)?;
        if content_type == entry.meta.content_type {
            return Ok(());
        }
        let state = self.state(entry)?;
        Err(if state.closed { Refusal::Closed { tail: state.tail } } else { Refusal::Mismatch })
    }

    /// Writers with numbers wait for each other, so that numbers rise in the order in which they were appended.
    async fn place(
        &self,
        entry: &Entry,
        append: Append,
        seq: Option<&str>,
    ) -> Result<Placed, AppendError> {
        let mut writer = entry.writer.lock().await;
        if writer.recall(&self.log, &self.reader, entry.id).await.is_err() {
            return Err(AppendError::ReadOnly("what was appended last cannot be read".into()));
        }
        let Some(seq) = seq else {
            let append = match writer.last() {
                Some(last) => append.metadata(last.clone()),
                None => append,
            };
            let ticket = self.log.append(append);
            drop(writer);
            return ticket.await.map(|committed| committed.placed);
        };
        if !writer.admits(seq) {
            // No stream ends there: only a repetition, which is not written again, is taken.
            return self
                .log
                .append(append.expect_tail(u64::MAX))
                .await
                .map(|committed| committed.placed);
        }
        writer.append(&self.log, append, seq).await
    }

    /// Deletes a stream, or if it has forks, keeps what they need of it.
    pub(crate) async fn delete(&self, by: Author, entry: &Arc<Entry>) -> Result<(), Refusal> {
        self.discard(entry, What::Deleted(by)).await
    }

    async fn discard(&self, entry: &Arc<Entry>, what: What) -> Result<(), Refusal> {
        let _family = self.directory.family(entry).await;
        if entry.is_gone() {
            return Err(Refusal::Gone);
        }
        let name = self.log.info(entry.id)?.name;
        let change = || Change::new(what, entry.id, &name);
        if self.directory.is_forked(entry.id) {
            let meta = Meta { gone: true, ..entry.meta.clone() };
            let batch = Batch::configure(entry.id, meta.options(self.settings.retention()));
            self.log.append(self.told(batch, change).await?).await?;
            self.directory.retire(entry);
            return Ok(());
        }
        let doomed = self.directory.doomed(entry);
        let mut batch = Batch::delete(entry.id);
        for source in &doomed[1..] {
            batch = batch.and(Batch::delete(source.id));
        }
        self.log.append(self.told(batch, change).await?).await?;
        for entry in doomed {
            self.directory.remove(&entry, &name);
        }
        Ok(())
    }

    /// Deletes streams whose time is over.
    pub(crate) async fn sweep(&self) {
        for entry in self.directory.over(self.now_ms()) {
            // What fails is tried again at the next turn.
            let _ = self.discard(&entry, What::Expired).await;
        }
    }

    /// Reads about `bytes` from a position on, and at least one append if there is one.
    pub(crate) async fn page(
        &self,
        entry: &Arc<Entry>,
        from: From,
        bytes: usize,
    ) -> Result<Page, Refusal> {
        let state = self.state(entry)?;
        let from = match from {
            From::Start => self.start(entry)?,
            From::Tail => state.tail,
            From::At(offset) if offset > state.tail => return Err(Refusal::Offset),
            From::At(offset) => offset,
        };
        let mut page =
            Page { records: Vec::new(), from, next: from, tail: state.tail, closed: state.closed };
        let mut room = bytes;
        for span in entry.lineage.iter().filter(|span| span.until > from) {
            while page.next < span.until.min(page.tail) && room > 0 {
                let from = page.next.0 - span.base.0;
                let chunk = match self.reader.read(span.stream, from, room).await {
                    Ok(chunk) => chunk,
                    // What there is before a gap is told first: who reads on learns where the rest begins.
                    Err(ReadError::Trimmed { .. }) if !page.records.is_empty() => return Ok(page),
                    Err(error) => return Err(trimmed(error, span)),
                };
                let before = page.records.len();
                let wanted = usize::try_from(span.until.0 - page.next.0).unwrap_or(usize::MAX);
                page.records.extend(chunk.records().take(wanted).map(|(_, record)| record));
                let taken = &page.records[before..];
                if taken.is_empty() {
                    break;
                }
                page.next = page.next.after(taken.len() as u64);
                room = room.saturating_sub(taken.iter().map(|record| record.len() + 4).sum());
            }
        }
        // What came while this was read is for the next page.
        page.tail = page.tail.max(page.next);
        Ok(page)
    }

    /// Position of the first record that is kept. What was inherited may be given up, and what is its own still there.
    fn start(&self, entry: &Entry) -> Result<Offset, Refusal> {
        let mut start = entry.base();
        for span in &entry.lineage {
            start = span.base.after(self.log.info(span.stream)?.start);
            if start < span.until {
                break;
            }
        }
        Ok(start)
    }

    /// Waits at a position that is not before the stream's own records.
    pub(crate) fn follow(&self, entry: &Entry, at: Offset) -> Result<Follower, Refusal> {
        Ok(self.log.follow(entry.id, at.0.saturating_sub(entry.base().0))?)
    }
}

/// Why a span cannot be read. Where it is given up, what is kept begins in it, or where the next one does.
fn trimmed(error: ReadError, span: &Span) -> Refusal {
    match Refusal::from(error) {
        Refusal::Trimmed { start } => {
            Refusal::Trimmed { start: span.base.after(start.0).min(span.until) }
        }
        other => other,
    }
}

fn appended(entry: &Entry, placed: &Placed, producer: Option<Producer>, close: bool) -> Appended {
    let producer = producer.map(|producer| {
        (producer.epoch, placed.producer_sequence.unwrap_or(producer.sequence), placed.duplicate)
    });
    Appended { tail: entry.base().after(placed.tail), closed: close, producer }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
