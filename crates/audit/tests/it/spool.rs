//! The spool on a disk that dies, beside an audit log that takes each number once.

use std::{collections::BTreeMap, sync::Arc};

use selvedge_audit::{
    event::{Event, Fact},
    spool::{Fill, Loss, Portion, Spool, Why},
    time::Timestamp,
};
use selvedge_eventlog::sim::{Death, SimDisk};

const ROOM: u64 = 8 << 20;

fn event(number: u64) -> Vec<u8> {
    Event::by_system(Timestamp(number), "request.block", ("route", "r")).to_wire()
}

fn read(bytes: &[u8]) -> Event {
    Event::from_wire(bytes).unwrap()
}

/// The other end: what it took of each epoch.
#[derive(Default)]
struct Core(BTreeMap<u64, Vec<Vec<u8>>>);

impl Core {
    /// Takes what is new of a portion, and says which number comes next.
    fn take(&mut self, portion: &Portion) -> u64 {
        let taken = self.0.entry(portion.epoch).or_default();
        let first = usize::try_from(portion.first).unwrap();
        assert!(first <= taken.len(), "numbers were left out");
        for (number, event) in portion.events.iter().enumerate() {
            match taken.get(first + number) {
                Some(known) => assert_eq!(known, event, "a number has two events"),
                None => taken.push(event.clone()),
            }
        }
        taken.len() as u64
    }

    fn all(&self) -> Vec<u64> {
        self.0.values().flatten().map(|event| read(event).time.0).collect()
    }
}

/// What was kept for certain, and what perhaps.
#[derive(Default)]
struct Story {
    core: Core,
    next: u64,
    kept: Vec<u64>,
    perhaps: Vec<u64>,
}

impl Story {
    /// One life: until the machine dies, or long enough. Any error is a death.
    fn live(&mut self, disk: &SimDisk, rng: &mut fastrand::Rng) -> Option<()> {
        let spool = Spool::open_on(Arc::new(disk.clone()), ROOM, Timestamp(self.next + 1)).ok()?;
        for _ in 0..rng.u64(1..60) {
            match rng.u8(0..3) {
                0 | 1 => self.keep(&spool, rng.u64(1..6))?,
                _ => self.deliver(&spool, rng.u8(0..3) > 0)?,
            }
        }
        Some(())
    }

    fn keep(&mut self, spool: &Spool, count: u64) -> Option<()> {
        let numbers: Vec<_> = (self.next..self.next + count).collect();
        self.next += count;
        let events: Vec<_> = numbers.iter().copied().map(event).collect();
        match spool.keep(&events, Timestamp(self.next)) {
            Ok(kept) => {
                assert_eq!(kept, events.len());
                self.kept.extend(numbers);
                Some(())
            }
            Err(_) => {
                self.perhaps.extend(numbers);
                None
            }
        }
    }

    fn deliver(&mut self, spool: &Spool, is_heard: bool) -> Option<()> {
        let Some(portion) = spool.next().ok()? else { return Some(()) };
        let next = self.core.take(&portion);
        if is_heard { spool.delivered(next, &[]).ok() } else { Some(()) }
    }
}

#[test]
fn whatever_the_machine_dies_of_nothing_is_lost_or_doubled() {
    let (mut deaths, mut perhaps) = (0, 0);
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new(seed);
        let mut story = Story::default();
        for _ in 0..6 {
            disk.die_after(rng.u64(1..160));
            story.live(&disk, &mut rng);
            deaths += u64::from(disk.is_dead());
            disk.restart(if rng.bool() { Death::Kill } else { Death::PowerCut });
        }
        let spool = Spool::open_on(Arc::new(disk), ROOM, Timestamp(story.next + 1)).unwrap();
        while spool.fill().events > 0 {
            story.deliver(&spool, true).unwrap();
        }
        let all = story.core.all();
        assert!(all.is_sorted_by(|one, next| one < next), "seed {seed}: {all:?}");
        let missing = story.kept.iter().find(|number| all.binary_search(number).is_err());
        assert_eq!(missing, None, "seed {seed}");
        let known = |number: &&u64| story.kept.contains(number) || story.perhaps.contains(number);
        assert!(all.iter().all(|number| known(&number)), "seed {seed}");
        perhaps += story.perhaps.len();
    }
    assert!(deaths > 100 && perhaps > 20, "{deaths} {perhaps}");
}

/// Delivers all and returns it.
fn drain(spool: &Spool) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some(portion) = spool.next().unwrap() {
        all.extend(portion.events.iter().map(|event| read(event)));
        spool.delivered(portion.first + portion.events.len() as u64, &[]).unwrap();
    }
    all
}

#[test]
fn where_there_is_no_room_the_oldest_stay_and_the_rest_is_counted() {
    let disk = SimDisk::new(1);
    let spool = || Spool::open_on(Arc::new(disk.clone()), 4_096, Timestamp(1)).unwrap();
    let first = spool();
    let events: Vec<_> = (0..40).map(event).collect();
    let kept = first.keep(&events, Timestamp(100)).unwrap();
    assert!((5..40).contains(&kept), "{kept}");
    let Fill { events: waiting, bytes, bytes_max, is_full } = first.fill();
    assert!(is_full && waiting == kept as u64 && bytes <= bytes_max);
    assert_eq!(first.keep(&events[..3], Timestamp(200)).unwrap(), 0);
    first.lose(Loss::new(2, Timestamp(250), Why::QueueFull));
    assert_eq!(first.keep(&[], Timestamp(300)).unwrap(), 0);

    let told = drain(&first);
    assert!(told.iter().map(|event| event.time.0).eq(0..kept as u64), "the oldest stayed");
    assert_eq!(first.keep(&events[..1], Timestamp(400)).unwrap(), 1);
    let [loss, after] = &drain(&first)[..] else { panic!("the loss, and what came after") };
    assert_eq!((&*loss.action, after.time), ("audit.drop", Timestamp(0)));
    assert_eq!(loss.details["events"], Fact::Number(40 - kept as i64 + 3 + 2));
    let at = |micros| Fact::Text(Timestamp(micros).to_string());
    assert_eq!((&loss.details["since"], &loss.details["until"]), (&at(100), &at(250)));
    assert!(!first.fill().is_full);
}

#[test]
fn a_count_that_dies_with_its_process_is_told_as_unknown() {
    let disk = SimDisk::new(2);
    let open = |now| Spool::open_on(Arc::new(disk.clone()), 4_096, Timestamp(now)).unwrap();
    let spool = open(1);
    let events: Vec<_> = (0..40).map(event).collect();
    spool.keep(&events, Timestamp(100)).unwrap();
    drop(spool);
    disk.restart(Death::Kill);
    let spool = open(500);
    assert!(spool.fill().is_full);
    drain(&spool);
    spool.keep(&[], Timestamp(600)).unwrap();
    let [loss] = &drain(&spool)[..] else { panic!("only the loss") };
    assert!(matches!(loss.details["events"], Fact::Text(_)), "{loss:?}");
    assert_eq!(loss.details["since"], Fact::Text(Timestamp(100).to_string()));
    drop(spool);
    assert_eq!(drain(&open(700)), [], "it is told once");
}

#[test]
fn numbers_begin_anew_where_the_log_does_not_know_them() {
    let disk = SimDisk::new(3);
    let spool = Spool::open_on(Arc::new(disk), ROOM, Timestamp(7)).unwrap();
    spool.keep(&[event(0), event(1), event(2)], Timestamp(8)).unwrap();
    spool.delivered(2, &[]).unwrap();
    assert_eq!(spool.numbers().unwrap(), (7, 2, 3));
    // A clock that went back does not bring an epoch back.
    assert_eq!(spool.begin_epoch(Timestamp(3)).unwrap(), 8);
    let portion = spool.next().unwrap().unwrap();
    assert_eq!(portion, Portion { epoch: 8, first: 0, events: vec![event(2)] });
    assert_eq!(spool.numbers().unwrap(), (8, 0, 1));
    spool.delivered(1, &[]).unwrap();
    assert_eq!(spool.next().unwrap(), None);
    spool.delivered(9, &[]).unwrap();
    assert_eq!(spool.numbers().unwrap(), (8, 1, 1), "nothing that is to come is delivered");
}

#[test]
fn what_the_log_refuses_lies_aside_and_what_comes_by_name_comes_once() {
    let disk = SimDisk::new(4);
    let spool = Spool::open_on(Arc::new(disk), ROOM, Timestamp(7)).unwrap();
    for _ in 0..3 {
        spool.keep_once("a", &event(1)).unwrap();
    }
    spool.keep_once("b", &event(2)).unwrap();
    assert_eq!(spool.fill().events, 2);
    spool.delivered(1, &[event(1)]).unwrap();
    assert_eq!(spool.aside().unwrap(), [event(1)]);
    assert_eq!(drain(&spool).len(), 1);
    assert_eq!(spool.fill().bytes, 0);
}

#[test]
fn a_disk_that_is_full_takes_nothing_and_later_all() {
    let disk = SimDisk::new(5);
    let spool = Spool::open_on(Arc::new(disk.clone()), 1 << 30, Timestamp(7)).unwrap();
    disk.set_capacity(disk.used() + (64 << 10));
    let large = vec![Event::by_system(Timestamp(1), &"a".repeat(40 << 10), ("", "")).to_wire(); 8];
    let mut kept = 0;
    while spool.keep(&large, Timestamp(8)).is_ok() {
        kept += large.len();
        assert!(kept < 10_000, "the disk has an end");
    }
    assert!(!spool.is_broken());
    disk.set_capacity(u64::MAX);
    assert_eq!(spool.keep(&large, Timestamp(9)).unwrap(), large.len());
    assert_eq!(drain(&spool).len(), kept + large.len());
}
