//! Events that other machines kept for a while: each is appended once, in the order of its number.
//!
//! Each machine that delivers has a stream of its own, with an empty record for each of its events that
//! is in the log. Both are appended in one batch, and only where that stream ends at the event's number:
//! what was delivered is never forgotten, however long a machine is silent.

use selvedge_eventlog::{
    Append, AppendError, Batch, Log, Retention, StreamId, StreamOptions, block_on,
};

use super::{AuditError, AuditLog};
use crate::{
    entry::Delivery,
    event::{Event, NAME_BYTES_MAX},
};

/// Begins the names of the streams that count what each machine delivered.
pub const DELIVERIES: &str = "audit-deliveries/";

/// Only where such a stream ends counts; of its records a few are kept.
const MARK_BYTES_MAX: u64 = 64 << 10;

/// Machines that may deliver; a further one is refused.
pub const NODES_MAX: usize = 4_096;

impl AuditLog {
    /// The number that comes next from `node` in its `epoch`, which begins here if it is new: what comes
    /// of an epoch before is refused from then on. Blocks.
    pub fn next_of(&self, node: &str, epoch: u64) -> Result<u64, AuditError> {
        let stream = match self.mark(node, epoch) {
            Some(stream) => stream,
            None => self.begin_epoch(node, epoch)?,
        };
        Ok(self.log.info(stream).map_err(AuditError::Read)?.tail)
    }

    /// The batch that puts an event into the log that another machine kept until now. It is refused with
    /// [`AppendError::Tail`] unless its number is [the next](Self::next_of); so a repetition changes nothing.
    pub fn delivered(
        &self,
        node: &str,
        event: &Event,
        delivery: Delivery,
    ) -> Result<Batch, AuditError> {
        let Delivery { epoch, sequence } = delivery;
        let Some(mark) = self.mark(node, epoch) else {
            return Err(AuditError::Stream(AppendError::Gap { expected: 0, received: sequence }));
        };
        let recorded = self.recorded(node, event, Some(delivery))?;
        let entry = Append::to(self.stream).record(&recorded.entry);
        Ok(Batch::from(entry).and(Append::to(mark).record(b"").expect_tail(sequence)))
    }

    fn mark(&self, node: &str, epoch: u64) -> Option<StreamId> {
        self.log.stream(&mark_name(node, epoch))
    }

    fn begin_epoch(&self, node: &str, epoch: u64) -> Result<StreamId, AuditError> {
        let above = format!("{DELIVERIES}{}/", name_of(node));
        let known = self.log.list(&above, "", NODES_MAX);
        let name = mark_name(node, epoch);
        if let Some(newest) = known.last().filter(|newest| *newest.name > *name) {
            let epoch = u64::from_str_radix(&newest.name[above.len()..], 16).unwrap_or(u64::MAX);
            return Err(AuditError::Stream(AppendError::Fenced { epoch }));
        }
        if known.is_empty() && self.log.list(DELIVERIES, "", NODES_MAX).len() >= NODES_MAX {
            let max = NODES_MAX;
            return Err(AuditError::Stream(AppendError::TooManyStreams { max }));
        }
        let stream = create(&self.log, &name)?;
        for older in known {
            self.log.append(Batch::delete(older.id)).wait().map_err(AuditError::Stream)?;
        }
        Ok(stream)
    }
}

fn create(log: &Log, name: &str) -> Result<StreamId, AuditError> {
    let retention = Retention { age_ms_max: None, bytes_max: Some(MARK_BYTES_MAX) };
    let options = StreamOptions { retention, ..StreamOptions::default() };
    match block_on(log.create(name, options)) {
        // Somebody was faster; it is the same one.
        Ok(stream) | Err(AppendError::Exists(stream)) => Ok(stream),
        Err(error) => Err(AuditError::Stream(error)),
    }
}

/// Digits of one width, so that names sort as epochs do.
fn mark_name(node: &str, epoch: u64) -> String {
    format!("{DELIVERIES}{}/{epoch:016x}", name_of(node))
}

/// A name without what separates it from others.
fn name_of(node: &str) -> String {
    let most = node.chars().take(NAME_BYTES_MAX / 4);
    most.map(|letter| if letter == '/' { '\\' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_epoch_and_do_not_meet() {
        assert!(mark_name("a", 9) < mark_name("a", 10));
        assert!(mark_name("a", u64::MAX >> 1) < mark_name("a", u64::MAX));
        assert!(!mark_name("a/b", 1).starts_with(&format!("{DELIVERIES}a/")));
        assert!(mark_name(&"\u{1f980}".repeat(2_000), 1).len() < 1_024);
    }
}
