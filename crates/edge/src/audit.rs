//! What the edge has to tell the audit log, on its way to whoever keeps it.
//!
//! Each core has a queue of its own, and one is for all else. Telling waits for nothing: what finds its
//! queue full is counted, and the count is told. An exchange that nobody refused tells nothing and costs
//! nothing.

pub(crate) mod events;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use selvedge_audit::{
    event::Event,
    spool::{Loss, Why},
    time::Timestamp,
};

/// Events that wait in one queue; those that come then are counted and dropped.
pub(crate) const QUEUE_EVENTS_MAX: usize = 1_024;

/// The side that tells. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct AuditTrail {
    /// One for each core, and the last for all else. None: nobody listens.
    lanes: Arc<[Lane]>,
}

/// The side that is told.
pub struct AuditFeed {
    lanes: Vec<(Receiver<Box<Event>>, Arc<Counts>)>,
    bell: Receiver<()>,
}

/// What happened since the feed was last asked.
#[derive(Debug, Default)]
pub struct AuditNews {
    /// Events, the oldest first.
    pub events: Vec<Event>,
    /// Those that found their queue full.
    pub losses: Vec<Loss>,
    /// Whether there is nobody left who could tell anything.
    pub is_over: bool,
}

/// One queue's end.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    queue: SyncSender<Box<Event>>,
    /// Wakes the other side; one ring is enough for everything that lies in the queues.
    bell: SyncSender<()>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    waiting: AtomicUsize,
    lost: AtomicU64,
    /// When the first of the lost came, in microseconds since 1970.
    lost_since: AtomicU64,
    lost_ever: AtomicU64,
    sampled_out: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            lost_since: AtomicU64::new(u64::MAX),
            lost_ever: AtomicU64::new(0),
            sampled_out: AtomicU64::new(0),
        }
    }
}

impl AuditTrail {
    /// A trail for so many cores, and where it leads.
    pub fn new(cores: usize) -> (Self, AuditFeed) {
        let (bell, rings) = sync_channel(1);
        let (lanes, feeds) = (0..=cores)
            .map(|_| {
                let (queue, events) = sync_channel(QUEUE_EVENTS_MAX);
                let counts = Arc::new(Counts::default());
                let lane = Lane { queue, bell: bell.clone(), counts: counts.clone() };
                (lane, (events, counts))
            })
            .unzip::<_, _, Vec<_>, Vec<_>>();
        (Self { lanes: lanes.into() }, AuditFeed { lanes: feeds, bell: rings })
    }

    /// Tells something that happened beside the requests. Never waits.
    pub fn tell(&self, event: Event) {
        if let Some(lane) = self.lanes.last() {
            lane.tell(|| event);
        }
    }

    /// Where core `index` tells what it has to.
    pub(crate) fn lane(&self, index: usize) -> Option<Lane> {
        self.lanes.get(index).cloned()
    }

    /// Blocked requests that became no entry, as the config's share has it.
    pub fn sampled_out(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.counts.sampled_out.load(Relaxed)).sum()
    }

    /// Events that found their queue full.
    pub fn lost(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.counts.lost_ever.load(Relaxed)).sum()
    }
}

impl Lane {
    /// Tells an event, which is only put together if there is room for it.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        let counts = &*self.counts;
        if counts.waiting.fetch_add(1, Relaxed) < QUEUE_EVENTS_MAX
            && self.queue.try_send(Box::new(event())).is_ok()
        {
            // One that rings already is heard.
            let _ = self.bell.try_send(());
            return;
        }
        counts.waiting.fetch_sub(1, Relaxed);
        counts.lost_since.fetch_min(now().0, Relaxed);
        counts.lost.fetch_add(1, Relaxed);
        counts.lost_ever.fetch_add(1, Relaxed);
    }

    /// Counts a blocked request that becomes no entry.
    pub(crate) fn leave_out(&self) {
        self.counts.sampled_out.fetch_add(1, Relaxed);
    }
}

impl AuditFeed {
    /// Takes up to `most` events of each queue; waits up to `patience` where all are empty.
    pub fn take(&mut self, most: usize, patience: Duration) -> AuditNews {
        let news = self.try_take(most);
        if !news.events.is_empty() || !news.losses.is_empty() || news.is_over {
            return news;
        }
        // In time or not: the queues are looked at.
        let _ = self.bell.recv_timeout(patience);
        self.try_take(most)
    }

    fn try_take(&mut self, most: usize) -> AuditNews {
        let mut news = AuditNews { is_over: true, ..AuditNews::default() };
        for (queue, counts) in &self.lanes {
            let before = news.events.len();
            let mut is_closed = false;
            // Not asked beyond the bound: what was taken would be lost.
            while news.events.len() - before < most && !is_closed {
                match queue.try_recv() {
                    Ok(event) => news.events.push(*event),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => is_closed = true,
                }
            }
            news.is_over &= is_closed;
            counts.waiting.fetch_sub(news.events.len() - before, Relaxed);
            news.losses.extend(counts.take_loss());
        }
        news.events.sort_by_key(|event| event.time);
        news
    }
}

impl Counts {
    fn take_loss(&self) -> Option<Loss> {
        let lost = self.lost.swap(0, Relaxed);
        let since = self.lost_since.swap(u64::MAX, Relaxed);
        let loss = (lost > 0).then(|| Loss::new(lost, now(), Why::QueueFull));
        loss.map(|loss| loss.since(Timestamp(since)))
    }
}

/// This moment, as entries have it.
pub(crate) fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

/// A moment, as entries have it.
pub(crate) fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: u64) -> Event {
        Event::by_system(Timestamp(time), "a", ("b", "c"))
    }

    #[test]
    fn what_is_told_arrives_in_the_order_of_time() {
        let (trail, mut feed) = AuditTrail::new(2);
        trail.lane(0).unwrap().tell(|| event(2));
        trail.lane(1).unwrap().tell(|| event(1));
        trail.tell(event(3));
        let news = feed.take(10, Duration::ZERO);
        assert!(news.events.iter().map(|event| event.time.0).eq([1, 2, 3]));
        assert!(news.losses.is_empty() && !news.is_over);
        drop(trail);
        assert!(feed.take(10, Duration::ZERO).is_over);
    }

    #[test]
    fn a_flood_is_counted_and_costs_its_own_core_alone() {
        let (trail, mut feed) = AuditTrail::new(2);
        let flooded = trail.lane(0).unwrap();
        let mut made = 0;
        for number in 0..QUEUE_EVENTS_MAX as u64 + 7 {
            flooded.tell(|| {
                made += 1;
                event(number)
            });
        }
        assert_eq!(made, QUEUE_EVENTS_MAX, "what is dropped is not put together");
        trail.lane(1).unwrap().tell(|| event(0));
        let news = feed.take(100, Duration::ZERO);
        assert_eq!((news.events.len(), trail.lost()), (101, 7));
        assert_eq!(news.losses.len(), 1);
        flooded.tell(|| event(0));
        let news = feed.take(2_000, Duration::ZERO);
        assert_eq!(news.events.len(), QUEUE_EVENTS_MAX - 100 + 1);
        assert!(news.losses.is_empty());
    }

    #[test]
    fn where_nobody_listens_nothing_is_told() {
        let trail = AuditTrail::default();
        trail.tell(event(1));
        assert!(trail.lane(0).is_none());
        assert_eq!((trail.lost(), trail.sampled_out()), (0, 0));
    }
}
