//! What happens beside the event log and must be in the audit log once: tokens that are made and
//! revoked in their file, and the lives of the core.
//!
//! The file of tokens is compared with a stream of the event log that says what entries have told
//! already; entry and note are one batch. So an entry follows whoever changed the file, and however
//! the core ended meanwhile; a start writes it before anybody is let in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use selvedge_audit::{
    entry::{ActorKind, Outcome},
    event::{Event, Fact, Principal},
    merkle::Hash,
    time::Timestamp,
};
use selvedge_eventlog::{Append, Batch, StreamId, StreamOptions, block_on};
use selvedge_identity::{Entry, Scope, TokenFile, Usage};
use selvedge_telemetry::Level;

use super::{
    Desk,
    journal::{Journal, list, now},
};
use crate::{
    exit::{Exit, Failure, chain},
    token::Intent,
};

/// The stream that says what entries have told.
const STREAM: &str = "audit.ledger";
/// How often files are looked at: so late is an entry about them at most.
const EVERY: Duration = Duration::from_secs(1);
/// An intent that came to nothing for so long never will.
const INTENT_PATIENCE: Duration = Duration::from_secs(60);
/// Entries in one batch.
const BATCH_MAX: usize = 128;
const READ_BYTES: usize = 1 << 20;
const DAY: u64 = 86_400;

/// What entries have told, and how it is kept.
pub(super) struct Ledger {
    journal: Arc<Journal>,
    data_dir: PathBuf,
    stream: StreamId,
    told: Told,
    /// The files as last looked at.
    versions: Vec<Option<Version>>,
}

/// Tells a file from a later one.
type Version = (u64, u64, i64, i64);

#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    tokens: BTreeMap<String, Mark>,
    /// Files of intents that entries have told and that may still be there.
    intents: BTreeSet<String>,
    /// How the life before ended.
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Crash,
    Stop,
}

/// What entries have told of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mark {
    /// Of what it may do, and for whom.
    digest: String,
    revoked: bool,
    /// Its line was taken out of the file.
    gone: bool,
    /// The last day of use that was told, since 1970.
    day: u64,
}

impl Ledger {
    /// Reads what was told, tells that the core begins, and what happened to tokens meanwhile. Blocks.
    pub(super) fn open(journal: Arc<Journal>, data_dir: &Path) -> Result<Self, Failure> {
        let log = &journal.log;
        let unavailable =
            |error: &dyn std::error::Error| Failure::new(Exit::Unavailable, chain(error));
        let stream = match log.stream(STREAM) {
            Some(stream) => stream,
            None => block_on(log.create(STREAM, StreamOptions::default()))
                .map_err(|error| unavailable(&error))?,
        };
        let mut told = Told::default();
        let mut at = log.info(stream).map_err(|error| unavailable(&error))?.start;
        loop {
            let chunk = log.read(stream, at, READ_BYTES).map_err(|error| unavailable(&error))?;
            chunk.records().for_each(|(_, record)| told.take(&record));
            if chunk.next == at {
                break;
            }
            at = chunk.next;
        }
        let data_dir = data_dir.to_owned();
        let mut ledger = Self { journal, data_dir, stream, told, versions: Vec::new() };
        ledger.begin()?;
        match ledger.look() {
            // Tokens that cannot be read let nobody in, so there is nothing to tell yet.
            Err(Failure { exit: Exit::Failure, .. }) | Ok(()) => Ok(ledger),
            Err(unwritten) => Err(unwritten),
        }
    }

    /// Tells that the core begins, and writes the ledger anew, so that it stays short.
    fn begin(&mut self) -> Result<(), Failure> {
        let after = match self.told.end {
            None => "nothing",
            Some(End::Crash) => "crash",
            Some(End::Stop) => "stop",
        };
        let mut event = self.journal.own("core.start", ("core", "core"));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        event.details.insert("version".to_owned(), Fact::Text(version));
        event.details.insert("process".to_owned(), Fact::Number(std::process::id().into()));
        event.details.insert("after".to_owned(), Fact::Text(after.to_owned()));
        let mut append = Append::to(self.stream);
        for (id, mark) in self.told.tokens.iter().filter(|(_, mark)| !mark.gone) {
            append.push(mark.line(id).as_bytes());
        }
        self.told.tokens.retain(|_, mark| !mark.gone);
        let data_dir = &self.data_dir;
        self.told.intents.retain(|file| !Intent::remove(data_dir, file));
        for file in &self.told.intents {
            append.push(intent_line(file).as_bytes());
        }
        append.push(End::Crash.line());
        let committed = self.journal.commit(&[event], Some(append))?;
        if let Some(placed) = committed.others.first() {
            // Refused or not: the next start asks for it again.
            let _ = self.journal.log.append(Batch::trim(self.stream, placed.first)).wait();
        }
        Ok(())
    }

    /// Tells that the core ends. Blocks.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.look()?;
        let event = self.journal.own("core.stop", ("core", "core"));
        let append = Append::to(self.stream).record(End::Stop.line());
        self.journal.commit(&[event], Some(append))?;
        Ok(())
    }

    /// Tells what happened to tokens since the last look. Blocks.
    fn look(&mut self) -> Result<(), Failure> {
        let versions = self.files().map(|path| version(&path)).to_vec();
        if versions == self.versions && Intent::is_none(&self.data_dir) {
            return Ok(());
        }
        let entries = TokenFile::within(&self.data_dir).understood()?;
        let entries: BTreeMap<String, Entry> =
            entries.into_iter().map(|entry| (entry.id.clone(), entry)).collect();
        let mut intents = Intent::all(&self.data_dir);
        // One whose file could not be removed.
        intents.retain(|intent| {
            file_of(&intent.path).is_none_or(|file| !self.told.intents.contains(&file))
        });
        let usage = Usage::within(&self.data_dir);
        let mut news = News { ledger: self, intents, told: Vec::new() };
        entries.values().for_each(|entry| news.look_at(entry, usage.last(&entry.id)));
        news.look_for_gone(&entries);
        news.look_for_deeds();
        news.give_up_intents();
        let News { intents: _, told, .. } = news;
        for news in told.chunks(BATCH_MAX) {
            self.tell(news)?;
        }
        self.versions = versions;
        Ok(())
    }

    fn tell(&mut self, news: &[Piece]) -> Result<(), Failure> {
        // Nobody appends nothing.
        let marks = news.iter().filter_map(Piece::line).fold(None, |append, line| {
            let append: Append = append.unwrap_or_else(|| Append::to(self.stream));
            Some(append.record(line.as_bytes()))
        });
        let events: Vec<Event> = news.iter().map(|piece| piece.event.clone()).collect();
        self.journal.commit(&events, marks)?;
        for Piece { event: _, mark, intent } in news {
            if let Some((id, mark)) = mark {
                self.told.tokens.insert(id.clone(), mark.clone());
            }
            if let Some(intent) = intent
                && fs::remove_file(intent).is_err()
            {
                self.told.intents.extend(file_of(intent));
            }
        }
        Ok(())
    }

    fn files(&self) -> [PathBuf; 2] {
        ["tokens", "tokens.used"].map(|name| self.data_dir.join(name))
    }
}

/// Something to tell.
struct Piece {
    event: Event,
    /// What will have been told of the token.
    mark: Option<(String, Mark)>,
    /// The intent that is told with it.
    intent: Option<PathBuf>,
}

impl Piece {
    /// What the ledger remembers of it, so that it is told once.
    fn line(&self) -> Option<String> {
        match (&self.mark, &self.intent) {
            (Some((id, mark)), _) => Some(mark.line(id)),
            (None, Some(intent)) => file_of(intent).map(|file| intent_line(&file)),
            (None, None) => None,
        }
    }
}

fn file_of(intent: &Path) -> Option<String> {
    Some(intent.file_name()?.to_str()?.to_owned())
}

fn intent_line(file: &str) -> String {
    format!("intent {file}")
}

/// What one look finds.
struct News<'l> {
    ledger: &'l Ledger,
    intents: Vec<Intent>,
    told: Vec<Piece>,
}

impl News<'_> {
    fn look_at(&mut self, entry: &Entry, used: Option<SystemTime>) {
        let known = self.ledger.told.tokens.get(&entry.id).filter(|mark| !mark.gone);
        let mut mark = known.cloned().unwrap_or_default();
        let digest = digest(entry);
        if known.is_none() || mark.digest != digest {
            let action = if known.is_none() { "token.create" } else { "token.change" };
            mark.digest = digest;
            self.push(action, entry, &mark);
        }
        if entry.revoked.is_some() && !mark.revoked {
            mark.revoked = true;
            self.push("token.revoke", entry, &mark);
        }
        let day = used.and_then(|used| used.duration_since(UNIX_EPOCH).ok());
        let day = day.map_or(0, |used| used.as_secs() / DAY);
        if day > mark.day {
            mark.day = day;
            let mut event = self.event("token.use", &entry.id);
            event.details.insert("name".to_owned(), Fact::Text(entry.name.clone()));
            let mark = Some((entry.id.clone(), mark));
            self.told.push(Piece { event, mark, intent: None });
        }
    }

    fn push(&mut self, action: &str, entry: &Entry, mark: &Mark) {
        let mut event = self.event(action, &entry.id);
        let mut put = |name: &str, fact: Fact| event.details.insert(name.to_owned(), fact);
        put("name", Fact::Text(entry.name.clone()));
        put("scopes", list(entry.scopes.iter().map(Scope::as_str)));
        if let Some(tenant) = &entry.tenant {
            put("tenant", Fact::Text(tenant.clone()));
        }
        if let Some(expires) = entry.expires {
            put("expires", Fact::Text(moment(expires).to_string()));
        }
        let intent = self.intents.iter().position(|intent| intent.is_of(action, entry));
        let intent = intent.map(|at| self.intents.swap_remove(at));
        if let Some(intent) = &intent {
            (event.actor, event.time) = (person(intent), moment(intent.at));
        }
        let intent = intent.map(|intent| intent.path);
        self.told.push(Piece { event, mark: Some((entry.id.clone(), mark.clone())), intent });
    }

    fn look_for_gone(&mut self, entries: &BTreeMap<String, Entry>) {
        let tokens = &self.ledger.told.tokens;
        let gone = tokens.iter().filter(|(id, mark)| !mark.gone && !entries.contains_key(*id));
        for (id, mark) in gone {
            let event = self.event("token.remove", id);
            let mark = Some((id.clone(), Mark { gone: true, ..mark.clone() }));
            self.told.push(Piece { event, mark, intent: None });
        }
    }

    /// What was done while no core ran.
    fn look_for_deeds(&mut self) {
        let intents = std::mem::take(&mut self.intents);
        let (deeds, others): (Vec<_>, Vec<_>) = intents.into_iter().partition(Intent::is_deed);
        self.intents = others;
        for deed in deeds {
            let resource = match deed.action.as_str() {
                "backup.create" => ("backup", deed.name.as_str()),
                _ => ("log", "events"),
            };
            let mut event = self.ledger.journal.own(&deed.action, resource);
            (event.actor, event.time) = (person(&deed), moment(deed.at));
            event.details.extend(deed.details.iter().filter_map(|(name, value)| {
                let fact = value.as_i64().map(Fact::Number);
                Some((name.clone(), fact.or_else(|| Some(Fact::Text(value.as_str()?.to_owned())))?))
            }));
            self.told.push(Piece { event, mark: None, intent: Some(deed.path) });
        }
    }

    /// What somebody meant to do and nothing came of.
    fn give_up_intents(&mut self) {
        for intent in std::mem::take(&mut self.intents) {
            let age = SystemTime::now().duration_since(intent.at).unwrap_or_default();
            if age < INTENT_PATIENCE {
                continue;
            }
            // Its maker came to say which token it is after we had found it ourselves.
            if self.is_told(&intent) {
                intent.drop_it();
                continue;
            }
            let mut event = self.event(&intent.action, intent.id.as_deref().unwrap_or_default());
            event.details.insert("name".to_owned(), Fact::Text(intent.name.clone()));
            event.outcome = Outcome::Failed;
            event.reason = Some("unfinished".to_owned());
            (event.actor, event.time) = (person(&intent), moment(intent.at));
            self.told.push(Piece { event, mark: None, intent: Some(intent.path) });
        }
    }

    fn is_told(&self, intent: &Intent) -> bool {
        let id = intent.id.as_ref();
        let mark = id.and_then(|id| self.ledger.told.tokens.get(id));
        mark.is_some_and(|mark| intent.action == "token.create" || mark.revoked)
    }

    fn event(&self, action: &str, id: &str) -> Event {
        self.ledger.journal.own(action, ("token", id))
    }
}

/// Who sat at the machine.
fn person(intent: &Intent) -> Principal {
    Principal {
        kind: ActorKind::User,
        id: Some(intent.user.clone()),
        tenant: None,
        auth: "os".to_owned(),
    }
}

fn moment(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).map_or_else(|_| now(), Timestamp)
}

/// Of what a token may do, for whom, and how long.
fn digest(entry: &Entry) -> String {
    let Entry { id: _, name, scopes, tenant, expires, .. } = entry;
    let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    let text = format!("{name} {} {tenant:?} {:?}", scopes.join(","), expires.map(moment));
    Hash::of(text.as_bytes()).to_hex()[..16].to_owned()
}

fn version(path: &Path) -> Option<Version> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

impl End {
    fn line(self) -> &'static [u8] {
        match self {
            // A life of which no end is told ended so.
            Self::Crash => b"core start",
            Self::Stop => b"core stop",
        }
    }
}

impl Mark {
    fn line(&self, id: &str) -> String {
        let Self { digest, revoked, gone, day } = self;
        format!("token {id} {digest} {} {} {day}", u8::from(*revoked), u8::from(*gone))
    }

    fn parse(words: &[&str]) -> Option<Self> {
        let [digest, revoked, gone, day] = words else { return None };
        let day = day.parse().ok()?;
        Some(Self {
            digest: (*digest).to_owned(),
            revoked: *revoked == "1",
            gone: *gone == "1",
            day,
        })
    }
}

impl Told {
    /// Takes up a record. What this version does not know was written by a later one, and stays told.
    fn take(&mut self, record: &[u8]) {
        let text = str::from_utf8(record).unwrap_or_default();
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            ["core", "start"] => self.end = Some(End::Crash),
            ["core", "stop"] => self.end = Some(End::Stop),
            ["intent", file] => drop(self.intents.insert((*file).to_owned())),
            ["token", id, mark @ ..] => {
                if let Some(mark) = Mark::parse(mark) {
                    self.tokens.insert((*id).to_owned(), mark);
                }
            }
            _ => {}
        }
    }
}

/// Looks every second, for as long as it is polled.
pub(super) async fn follow(desk: Arc<Desk>) {
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failed: Option<String> = None;
    loop {
        turns.tick().await;
        let looking = desk.clone();
        let looked = tokio::task::spawn_blocking(move || {
            looking.ledger.lock().unwrap_or_else(PoisonError::into_inner).look()
        });
        let error = looked.await.ok().and_then(Result::err).map(|failure| failure.text);
        if let Some(error) = error.as_ref().filter(|_| error != failed) {
            let what = "what happened to tokens is not in the audit log yet";
            desk.hub.event(Level::Error, what, &[("error", &error.trim_end())]);
        }
        failed = error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_lead_back_to_what_was_told() {
        let mark = Mark { digest: "0a".to_owned(), revoked: true, gone: false, day: 20_000 };
        let mut told = Told::default();
        told.take(End::Crash.line());
        told.take(mark.line("7h3k").as_bytes());
        told.take(intent_line("12-7").as_bytes());
        assert!(told.intents.contains("12-7"));
        assert_eq!(told.tokens.get("7h3k"), Some(&mark));
        assert_eq!(told.end, Some(End::Crash));
        told.take(End::Stop.line());
        assert_eq!(told.end, Some(End::Stop));
        for strange in
            [&b""[..], b"\xff", b"token", b"token x", b"token x 1 2 3 many", b"core sleeps"]
        {
            told.take(strange);
        }
        assert_eq!((told.tokens.len(), told.end), (1, Some(End::Stop)));
    }
}
