//! What could not be kept: counted, and told as an event.

use crate::{
    entry::Outcome,
    event::{Event, Fact},
    time::Timestamp,
};

/// Events that were dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How many. `None`: the count was lost with the process that counted.
    events: Option<u64>,
    since: Timestamp,
    until: Timestamp,
    /// For which reasons, each once.
    whys: Vec<Why>,
}

/// Why events are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// They came faster than a disk takes them.
    QueueFull,
    /// The spool has no room.
    SpoolFull,
    /// The disk has no room, or fails.
    Disk,
    /// One was longer than events may be.
    TooLong,
}

impl Why {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::QueueFull, Self::SpoolFull, Self::Disk, Self::TooLong];

    /// As entries and metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::SpoolFull => "spool-full",
            Self::Disk => "disk",
            Self::TooLong => "too-long",
        }
    }
}

impl Loss {
    /// So many, at this moment.
    pub fn new(events: u64, at: Timestamp, why: Why) -> Self {
        Self { events: Some(events), since: at, until: at, whys: vec![why] }
    }

    /// The same, begun earlier.
    pub fn since(self, since: Timestamp) -> Self {
        Self { since: since.min(self.until), ..self }
    }

    /// What a process left uncounted that was killed.
    pub(super) fn unknown(since: Timestamp, until: Timestamp) -> Self {
        let until = until.max(since);
        Self { events: None, since, until, whys: vec![Why::SpoolFull] }
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        let mut whys = [self.whys, other.whys].concat();
        whys.sort_unstable();
        whys.dedup();
        Self {
            events: self.events.zip(other.events).map(|(one, other)| one.saturating_add(other)),
            since: self.since.min(other.since),
            until: self.until.max(other.until),
            whys,
        }
    }

    /// What the audit log has of it.
    pub(super) fn to_event(&self) -> Event {
        let Self { events, since, until, whys } = self;
        let mut event = Event::by_system(*until, "audit.drop", ("spool", "events"));
        event.outcome = Outcome::Failed;
        event.reason = whys.first().map(|why| why.name().to_owned());
        let whys = whys.iter().map(|why| why.name().to_owned()).collect();
        let details = [
            ("since", Fact::Text(since.to_string())),
            ("until", Fact::Text(until.to_string())),
            ("whys", Fact::List(whys)),
        ];
        event.details = details.map(|(name, fact)| (name.to_owned(), fact)).into();
        let events = match events {
            Some(events) => Fact::Number(i64::try_from(*events).unwrap_or(i64::MAX)),
            None => Fact::Text("unknown: the process that counted was killed".to_owned()),
        };
        event.details.insert("events".to_owned(), events);
        event
    }
}
