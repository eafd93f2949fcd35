//! Lives of a log on a server in memory and a disk that fails on purpose, beside what was acknowledged.

use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use fastrand::Rng;
use selvedge_eventlog::{
    Append, Batch, Disk, Log, Settings, StreamId, StreamOptions, block_on,
    sim::{Death, SimDisk},
};

use crate::{
    copy::{Identity, Position, look},
    error::{OpenError, folder},
    mirror::{Journal, Mirror},
    operation::{Body, Operation, Place, Stamp, open, pack, seal},
    restore::{Messages, Source, restore},
};

/// The stream of a server.
#[derive(Default)]
struct Server {
    messages: BTreeMap<u64, (Place, Bytes)>,
    last: u64,
    writers: u64,
}

/// A core's way to it.
struct Way {
    server: Arc<Mutex<Server>>,
    own: Mutex<Own>,
    room: usize,
}

struct Own {
    last: u64,
    next: Stamp,
    /// Messages until the core dies while it sends.
    fuse: Option<u64>,
}

impl Way {
    fn to(server: &Arc<Mutex<Server>>, fuse: Option<u64>, room: usize) -> Arc<Self> {
        let mut locked = server.lock().unwrap();
        locked.writers += 1;
        let next = Stamp { writer: locked.writers, ordinal: 0 };
        let own = Mutex::new(Own { last: locked.last, next, fuse });
        Arc::new(Self { server: Arc::clone(server), own, room })
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }
}

impl Own {
    fn send(&mut self, server: &mut Server, body: Body) -> io::Result<Position> {
        if let Some(left) = &mut self.fuse {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("dead"))?;
        }
        if server.last != self.last {
            return Err(io::Error::other("another writes"));
        }
        let stamp = self.next;
        self.next.ordinal += 1;
        self.last += 1;
        server.last += 1;
        server.messages.insert(self.last, (body.place, seal(stamp, &body.bytes)));
        Ok(Position { sequence: self.last, stamp })
    }
}

impl Journal for Way {
    fn room(&self) -> usize {
        self.room
    }

    fn publish(&self, bodies: Vec<Body>) -> io::Result<Position> {
        let (mut own, mut server) = (self.own.lock().unwrap(), self.server());
        let mut sent = bodies.into_iter().map(|body| own.send(&mut server, body));
        let first = sent.next().expect("nobody sends nothing")?;
        sent.try_fold(first, |_, sent| sent)
    }

    fn forget(&self, name: &str, before: u64) {
        let place = Place::File(name.to_owned());
        self.server().messages.retain(|sequence, (of, _)| *of != place || *sequence >= before);
    }
}

impl Source for Way {
    fn identity(&self) -> Identity {
        Identity { stream: "LOG".to_owned(), created: "once".to_owned() }
    }

    fn end(&self) -> Result<u64, OpenError> {
        Ok(self.server().last)
    }

    fn stamp(&self, sequence: u64) -> Result<Option<Stamp>, OpenError> {
        let server = self.server();
        Ok(server.messages.get(&sequence).map(|(_, bytes)| open(bytes.clone()).unwrap().0))
    }

    fn read(&self, from: u64, to: u64) -> Result<Messages, OpenError> {
        let server = self.server();
        let some = server.messages.range(from..=to).take(7);
        Ok(some.map(|(sequence, (_, bytes))| (*sequence, bytes.clone())).collect())
    }

    fn files(&self) -> Result<Vec<String>, OpenError> {
        let server = self.server();
        let files = server.messages.values().filter_map(|(place, _)| match place {
            Place::File(name) => Some(name.clone()),
            _ => None,
        });
        Ok(files.collect())
    }

    fn hold(&self, end: u64) -> Result<Option<Position>, OpenError> {
        self.own.lock().unwrap().last = end;
        let hold = Operation::Hold { holder: String::new() };
        Ok(self.publish(pack(&[hold], self.room)).ok())
    }
}

/// So often that segments are removed in a short life.
const UPKEEP_MS: u64 = 1;

fn bounds() -> Settings {
    Settings {
        segment_bytes: 64 << 10,
        record_bytes_max: 8 << 10,
        batch_bytes_max: 12 << 10,
        group_bytes_max: 24 << 10,
        upkeep_ms: UPKEEP_MS,
        ..Settings::default()
    }
}

fn start(disk: &SimDisk, way: &Arc<Way>) -> Result<Log, OpenError> {
    start_within(bounds(), disk, way)
}

fn start_within(bounds: Settings, disk: &SimDisk, way: &Arc<Way>) -> Result<Log, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let found = look(disk.as_ref()).map_err(folder("looking"))?;
    let copy = restore(disk, found, way.as_ref())?;
    let mirror = Mirror::new(copy, Arc::clone(way) as Arc<dyn Journal>);
    Log::open_on(Arc::new(mirror), bounds).map_err(OpenError::Log)
}

/// What was sent, and what of it was acknowledged.
#[derive(Default)]
struct Stream {
    sent: Vec<Vec<u8>>,
    acknowledged: usize,
    trimmed: usize,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What lives came to.
#[derive(Debug, Default)]
struct Report {
    acknowledged: usize,
    deaths: usize,
    deaths_opening: usize,
    forgotten: u64,
}

struct Story {
    rng: Rng,
    server: Arc<Mutex<Server>>,
    disk: SimDisk,
    streams: [Stream; 3],
    report: Report,
}

impl Story {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            server: Arc::default(),
            disk: SimDisk::new(seed),
            streams: Default::default(),
            report: Report::default(),
        }
    }

    fn tell(mut self) -> Report {
        for _ in 0..8 {
            self.live();
            let death = if self.rng.bool() { Death::PowerCut } else { Death::Kill };
            self.disk.restart(death);
            if self.rng.u8(..) < 40 {
                // The core goes on on another machine.
                self.disk = SimDisk::new(self.rng.u64(..));
            }
        }
        let log = start(&self.disk, &Way::to(&self.server, None, 4096)).unwrap();
        self.check(&log).unwrap();
        drop(log);
        let elsewhere = SimDisk::new(1);
        let log = start(&elsewhere, &Way::to(&self.server, None, 4096)).unwrap();
        self.check(&log).unwrap();
        let server = self.server.lock().unwrap();
        self.report.forgotten = server.last - server.messages.len() as u64;
        self.report
    }

    /// One core, until it ends in some way.
    fn live(&mut self) {
        let fuse = (self.rng.u8(..) < 100).then(|| self.rng.u64(0..200));
        let room = [600, 4096, 1 << 20][self.rng.usize(0..3)];
        let way = Way::to(&self.server, fuse, room);
        if self.rng.u8(..) < 120 {
            self.disk.die_after(self.rng.u64(0..600));
        }
        let Ok(log) = start(&self.disk, &way) else {
            self.report.deaths_opening += 1;
            assert!(fuse.is_some() || self.disk.is_dead(), "nothing kept it from opening");
            return;
        };
        if self.check(&log).is_none() {
            self.report.deaths += 1;
            return;
        }
        for _ in 0..self.rng.usize(20..150) {
            if self.act(&log).is_none() {
                self.report.deaths += 1;
                return;
            }
        }
        if self.rng.bool() {
            // It ends as it is: nothing is settled any more.
            self.disk.die_after(0);
        }
    }

    fn act(&mut self, log: &Log) -> Option<()> {
        let at = self.rng.usize(0..NAMES.len());
        let stream = self.stream(log, at)?;
        if self.rng.u8(..) < 20 {
            let start = self.rng.usize(0..=self.streams[at].acknowledged);
            self.streams[at].trimmed = self.streams[at].trimmed.max(start);
            return log.append(Batch::trim(stream, start as u64)).wait().ok().map(drop);
        }
        let record = vec![self.rng.u8(..); self.rng.usize(0..6000)];
        self.streams[at].sent.push(record.clone());
        log.append(Append::to(stream).record(&record)).wait().ok()?;
        self.streams[at].acknowledged = self.streams[at].sent.len();
        self.report.acknowledged += 1;
        Some(())
    }

    fn stream(&self, log: &Log, at: usize) -> Option<StreamId> {
        match log.stream(NAMES[at]) {
            Some(stream) => Some(stream),
            None => block_on(log.create(NAMES[at], StreamOptions::default())).ok(),
        }
    }

    /// Everything acknowledged is there, and nothing that was not sent; what was sent and is not there
    /// never comes. `None`: the core died meanwhile.
    #[must_use]
    fn check(&mut self, log: &Log) -> Option<()> {
        for (name, known) in NAMES.iter().zip(&mut self.streams) {
            let Some(stream) = log.stream(name) else {
                assert_eq!(known.acknowledged, 0, "{name} is gone");
                known.sent.clear();
                continue;
            };
            let info = log.info(stream).unwrap();
            let (start, tail) = (info.start as usize, info.tail as usize);
            assert!(tail >= known.acknowledged && tail <= known.sent.len(), "{name}: {tail}");
            assert!(start <= known.trimmed, "{name} begins at {start}");
            let mut next = info.start;
            while next < info.tail {
                let chunk = match log.read(stream, next, 64 << 10) {
                    // The committer's upkeep took the last step before the power went.
                    Err(_) if self.disk.is_dead() => return None,
                    chunk => chunk.unwrap(),
                };
                for (sequence, record) in chunk.records() {
                    assert_eq!(record[..], known.sent[sequence as usize], "{name} {sequence}");
                }
                next = chunk.next;
            }
            known.sent.truncate(tail);
            known.acknowledged = tail;
        }
        Some(())
    }
}

#[test]
fn whatever_dies_nothing_acknowledged_is_lost() {
    let mut total = Report::default();
    for seed in 0..60 {
        let told = catch_unwind(AssertUnwindSafe(|| Story::new(seed).tell()));
        let Report { acknowledged, deaths, deaths_opening, forgotten } =
            told.unwrap_or_else(|_| panic!("seed {seed} breaks a promise"));
        total.acknowledged += acknowledged;
        total.deaths += deaths;
        total.deaths_opening += deaths_opening;
        total.forgotten += forgotten;
    }
    assert!(total.acknowledged > 5000 && total.deaths > 50, "{total:?}");
    assert!(total.deaths_opening > 5 && total.forgotten > 500, "{total:?}");
}

/// Two cores on one stream: the later one writes, and the earlier one is refused.
#[test]
fn who_comes_later_writes() {
    let server = Arc::default();
    let first = start(&SimDisk::new(1), &Way::to(&server, None, 4096)).unwrap();
    let stream = block_on(first.create("a", StreamOptions::default())).unwrap();
    first.append(Append::to(stream).record(b"0")).wait().unwrap();
    let second = start(&SimDisk::new(2), &Way::to(&server, None, 4096)).unwrap();
    let refused = first.append(Append::to(stream).record(b"lost")).wait().unwrap_err();
    assert!(refused.to_string().contains("another writes"), "{refused}");
    assert_eq!(second.append(Append::to(stream).record(b"1")).wait().unwrap().placed.tail, 2);
}

/// A server that has less than it acknowledged, or other messages, is not believed.
#[test]
fn a_server_that_lost_messages_is_noticed() {
    let server = Arc::default();
    let disk = SimDisk::new(1);
    let log = start(&disk, &Way::to(&server, None, 4096)).unwrap();
    let stream = block_on(log.create("a", StreamOptions::default())).unwrap();
    log.append(Append::to(stream).record(b"0")).wait().unwrap();
    drop(log);
    {
        let mut server = server.lock().unwrap();
        let last = server.last;
        server.messages.remove(&last);
        server.last -= 1;
    }
    let opened = start(&disk, &Way::to(&server, None, 4096));
    assert!(matches!(opened, Err(OpenError::Lost { .. })), "{:?}", opened.err());
    // Somebody else wrote in its place.
    drop(start(&SimDisk::new(2), &Way::to(&server, None, 4096)).unwrap());
    let opened = start(&disk, &Way::to(&server, None, 4096));
    assert!(matches!(opened, Err(OpenError::Lost { .. })), "{:?}", opened.err());
}

/// A log that was kept on one machine is sent, and is then where another finds it.
#[test]
fn a_log_that_is_there_already_is_sent() {
    let disk = SimDisk::new(1);
    let alone = Log::open_on(Arc::new(disk.clone()), bounds()).unwrap();
    let stream = block_on(alone.create("a", StreamOptions::default())).unwrap();
    let records: Vec<Vec<u8>> = (0..100).map(|n| vec![n; 4000]).collect();
    for record in &records {
        alone.append(Append::to(stream).record(record)).wait().unwrap();
    }
    drop(alone);
    let server = Arc::default();
    drop(start(&disk, &Way::to(&server, None, 4096)).unwrap());
    let log = start(&SimDisk::new(2), &Way::to(&server, None, 4096)).unwrap();
    let chunk = log.read(stream, 0, 1 << 20).unwrap();
    let found: Vec<Vec<u8>> = chunk.records().map(|(_, record)| record.to_vec()).collect();
    assert_eq!(found, records);
    // A log of its own does not go into a stream that another has.
    let other = SimDisk::new(3);
    drop(Log::open_on(Arc::new(other.clone()), bounds()).unwrap());
    let opened = start(&other, &Way::to(&server, None, 4096));
    assert!(matches!(opened, Err(OpenError::Foreign(_))), "{:?}", opened.err());
}

/// Starting sends no more than who writes: recovery writes again what the server has.
#[test]
fn a_start_sends_one_message() {
    let server = Arc::default();
    let disk = SimDisk::new(1);
    let log = start(&disk, &Way::to(&server, None, 4096)).unwrap();
    let stream = block_on(log.create("a", StreamOptions::default())).unwrap();
    for n in 0..50u8 {
        log.append(Append::to(stream).record(&[n; 3000])).wait().unwrap();
    }
    disk.die_after(0);
    drop(log);
    disk.restart(Death::PowerCut);
    let before = server.lock().unwrap().last;
    let calm = Settings { upkeep_ms: 3_600_000, ..bounds() };
    let log = start_within(calm, &disk, &Way::to(&server, None, 4096)).unwrap();
    assert_eq!(server.lock().unwrap().last, before + 1);
    assert_eq!(log.info(stream).unwrap().tail, 50);
}
