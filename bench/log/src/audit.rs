//! The audit log: entries that are durable, and how far behind them its signed heads are.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use selvedge_audit::{
    entry::ActorKind,
    event::{Event, Fact, Principal},
    keys::{KEYS_MAX, KeyStore, MasterKey},
    note::{Scheme, SigningKey},
    service::{AuditLog, Heads, Pace, Parts},
    store::Folder,
    time::Timestamp,
    verify::{Scope, verify},
};
use selvedge_eventlog::{Log, Settings, Ticket};
use serde_json::Value;

use crate::{Result, appended::Appended, options::Options, times::Times};

/// People whose data is sealed, each under a key of their own.
const PEOPLE: u64 = 1000;
/// Entries that wait for the disk at most.
const UNDER_WAY: usize = 2048;
/// How long heads may take to cover everything once nothing more comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// When an entry was durable, by its number.
type Durable = Vec<(u64, Instant)>;

/// Entries at a pace of so many per second, or as fast as they go if it is 0.
pub fn append(options: &Options) -> Result<Value> {
    let folder = options.fresh_folder()?;
    let (log, audit) = start(&folder)?;
    // Keys of people are made when they are first met, which happens once and not for each entry.
    let known: Vec<Ticket> = (0..PEOPLE)
        .map(|person| Ok(log.append(audit.entry(&event(person))?)))
        .collect::<Result<_>>()?;
    known.into_iter().try_for_each(|ticket| ticket.wait().map(drop))?;
    if !audit.wait_signed(PEOPLE, PATIENCE) {
        return Err(format!("heads stay behind: {:?}", audit.status()).into());
    }
    let done = AtomicBool::new(false);
    let begin = Instant::now();
    let (times, durable, heads) = thread::scope(|scope| -> Result<_> {
        let heads = scope.spawn(|| watch(&audit, &done));
        let written = write(&log, &audit, options);
        let covered = written.as_ref().map(|(_, durable)| PEOPLE + durable.len() as u64);
        let signed = covered.is_ok_and(|size| audit.wait_signed(size, PATIENCE));
        done.store(true, Ordering::Relaxed);
        let heads = heads.join().map_err(|_| "the watch panicked")?;
        let (times, durable) = written?;
        if !signed {
            return Err(format!("heads stay behind: {:?}", audit.status()).into());
        }
        Ok((times, durable, heads))
    })?;
    let last = durable.iter().map(|(_, at)| *at).max().unwrap_or(begin);
    let behind = behind(&durable, &heads)?.told();
    let appended = Appended::new(times, last - begin);
    let report = verify(&audit.files(), audit.trust(), Scope::Everything { since: None });
    if !report.faults.is_empty() {
        return Err(format!("verification finds {:?}", report.faults).into());
    }
    let mut told = appended.proven(report.entries.saturating_sub(PEOPLE))?;
    told["behind"] = behind;
    Ok(told)
}

fn start(folder: &Path) -> Result<(Log, AuditLog)> {
    let log = Log::open(&folder.join("log"), Settings::default())?;
    let disk = selvedge_eventlog::Folder::open(&folder.join("keys"))?;
    let audit = AuditLog::start(Parts {
        log: log.clone(),
        storage: Arc::new(Folder::create(&folder.join("audit"))?),
        keys: Arc::new(KeyStore::open(&disk, MasterKey::new([3; 32]), KEYS_MAX)?),
        key: SigningKey::new("bench.example/audit", Scheme::Ed25519, [7; 32])?,
        node: "core-1".to_owned(),
        pace: Pace::default(),
        heads: Heads::default(),
    })?;
    Ok((log, audit))
}

/// A login, with two fields that are sealed.
fn event(number: u64) -> Event {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = Timestamp(now.unwrap_or_default().as_micros() as u64);
    let mut event = Event::by_system(now, "session.begin", ("session", "s1"));
    event.actor = Principal {
        kind: ActorKind::User,
        id: Some(format!("person {}", number % PEOPLE)),
        tenant: Some("acme".to_owned()),
        auth: "password".to_owned(),
    };
    event.address = Some("192.0.2.7".to_owned());
    event.details.insert("device".into(), Fact::Personal("a phone".into()));
    event
}

/// Appends; returns how long each entry took to be durable, and when it was.
fn write(log: &Log, audit: &AuditLog, options: &Options) -> Result<(Times, Durable)> {
    let (pace, begin): (f64, _) = (options.number("per_second")?, Instant::now());
    let end = begin + options.seconds()?;
    let (mut times, mut durable) = (Times::default(), Durable::new());
    let mut under_way = VecDeque::<(Instant, Ticket)>::new();
    for number in 0_u64.. {
        let due =
            if pace > 0.0 { Duration::from_secs_f64(number as f64 / pace) } else { Duration::ZERO };
        while let Some((submitted, ticket)) = under_way.front_mut() {
            let Some(outcome) = ticket.try_take() else { break };
            let (submitted, now) = (*submitted, Instant::now());
            times.push(now - submitted);
            durable.push((outcome?.placed.first, now));
            under_way.pop_front();
        }
        thread::sleep((begin + due).saturating_duration_since(Instant::now()));
        if Instant::now() >= end {
            break;
        }
        let entry = audit.entry(&event(number))?;
        under_way.push_back((Instant::now(), log.append(entry)));
        if under_way.len() == UNDER_WAY {
            settle(&mut under_way, &mut times, &mut durable, 1)?;
        }
    }
    let left = under_way.len();
    settle(&mut under_way, &mut times, &mut durable, left)?;
    Ok((times, durable))
}

/// Waits for the oldest entries.
fn settle(
    under_way: &mut VecDeque<(Instant, Ticket)>,
    times: &mut Times,
    durable: &mut Durable,
    count: usize,
) -> Result {
    for (submitted, ticket) in under_way.drain(..count) {
        let number = ticket.wait()?.placed.first;
        let now = Instant::now();
        times.push(now - submitted);
        durable.push((number, now));
    }
    Ok(())
}

/// When heads appeared, and how many entries they cover.
fn watch(audit: &AuditLog, done: &AtomicBool) -> Durable {
    let mut heads = Durable::new();
    let mut signed = audit.status().signed;
    while !done.load(Ordering::Relaxed) {
        if audit.wait_signed(signed + 1, Duration::from_millis(20)) {
            signed = audit.status().signed;
            heads.push((signed, Instant::now()));
        }
    }
    signed = audit.status().signed;
    heads.push((signed, Instant::now()));
    heads
}

/// How long after it was durable each entry was under a head.
fn behind(durable: &Durable, heads: &Durable) -> Result<Times> {
    let behind = durable.iter().map(|(number, at)| {
        let head = heads.partition_point(|(signed, _)| signed <= number);
        let (_, signed_at) = heads.get(head).ok_or("an entry is under no head")?;
        Ok(signed_at.saturating_duration_since(*at))
    });
    behind.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_waits_for_the_first_head_that_covers_it() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let heads = vec![(1, at(10)), (3, at(50))];
        let told =
            |durable: &Durable| behind(durable, &heads).map(|times| times.told()["max_ms"].clone());
        assert_eq!(told(&vec![(0, at(5))]).unwrap(), 5.0);
        assert_eq!(told(&vec![(1, at(5)), (2, at(20))]).unwrap(), 45.0);
        assert!(told(&vec![(3, at(5))]).is_err());
    }
}
