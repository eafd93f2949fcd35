//! Operations that are issued again under another id, where their replica's id was somebody else's as well.

use super::{BATCH_BYTES_MAX, BATCH_RANGES_MAX, Batch, ROW_BYTES_MAX};
use crate::{Change, DotRange, Hlc, ReplicaId, sorted::sort};

/// Which operations of one replica become which of another. Others of the old one stay what they are.
#[derive(Clone, Debug)]
pub(crate) struct Renumber {
    from: ReplicaId,
    to: ReplicaId,
    /// By their old sequences: the first, the last, and the new first.
    spans: Vec<(u64, u64, u64)>,
    next: u64,
}

impl Renumber {
    pub fn new(from: ReplicaId, to: ReplicaId) -> Self {
        Renumber { from, to, spans: Vec::new(), next: 1 }
    }

    /// The sequence after the last that was given.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The next batch of the old replica under the new name, with stamps of at least `not_before`. Nothing if an operation
    /// would name more than one may.
    pub fn batch(&mut self, old: &Batch, not_before: Hlc) -> Option<Batch> {
        self.renumbered(old, not_before, false)
    }

    /// The same in place of the old one: each entry covers the one that it was before, wherever that is or comes from. Nothing also
    /// where it has no room for that.
    pub fn replacing(&mut self, old: &Batch, not_before: Hlc) -> Option<Batch> {
        self.renumbered(old, not_before, true)
    }

    fn renumbered(&mut self, old: &Batch, not_before: Hlc, replaces: bool) -> Option<Batch> {
        let len = old.rows.len() as u64;
        let (first, last) = (old.first, old.first + len - 1);
        self.spans.push((first, last, self.next));
        let mut new = Batch { replica: self.to, first: self.next, ..old.clone() };
        new.ranges.clear();
        for at in 0..old.rows.len() {
            let op = old.op(at);
            let is_delete = matches!(op.change, Change::Delete { .. });
            let moved = op.ranges().iter().flat_map(|range| self.moved(range, is_delete));
            let is_entry = replaces && matches!(op.change, Change::Put { .. });
            let (replica, seq) = (self.from, op.dot.seq);
            let former = is_entry.then_some(DotRange { replica, first: seq, last: seq });
            let mut ranges: Vec<DotRange> = moved.chain(former).collect();
            sort(&mut ranges, &Ord::cmp);
            new.ranges.extend(joined(ranges));
            new.rows[at].ranges_end = new.ranges.len() as u32;
            new.rows[at].hlc = op.hlc.max(not_before);
        }
        let is_large = new.ranges.len() > BATCH_RANGES_MAX
            || new.weight() > BATCH_BYTES_MAX - 2 * ROW_BYTES_MAX;
        if replaces && is_large || new.ops().any(|op| op.check().is_err()) {
            self.spans.pop();
            return None;
        }
        self.next += len;
        Some(new)
    }

    fn moved(&self, range: &DotRange, is_mark: bool) -> Vec<DotRange> {
        if range.replica != self.from {
            return vec![*range];
        }
        if is_mark { self.moved_mark(range.last) } else { self.moved_cover(range) }
    }

    /// The parts that were given other names, and the parts between.
    fn moved_cover(&self, range: &DotRange) -> Vec<DotRange> {
        let (mut parts, mut from) = (Vec::new(), range.first);
        for (first, last, new) in &self.spans {
            let (low, high) = (from.max(*first), range.last.min(*last));
            if low > high {
                continue;
            }
            if from < low {
                parts.push(DotRange { replica: self.from, first: from, last: low - 1 });
            }
            let shift = |seq: u64| seq - first + new;
            parts.push(DotRange { replica: self.to, first: shift(low), last: shift(high) });
            from = high + 1;
        }
        if from <= range.last {
            parts.push(DotRange { replica: self.from, first: from, last: range.last });
        }
        parts
    }

    /// "Up to here", for what keeps its name and for what does not.
    fn moved_mark(&self, seq: u64) -> Vec<DotRange> {
        let mut stays = seq;
        for (first, last, _) in self.spans.iter().rev() {
            if (*first..=*last).contains(&stays) {
                stays = first - 1;
            }
        }
        let given = self.spans.iter().rev().find(|(first, ..)| *first <= seq);
        let goes = given.map_or(0, |(first, last, new)| seq.min(*last) - first + new);
        let mark = |replica, seq| DotRange { replica, first: seq, last: seq };
        let both = [mark(self.from, stays), mark(self.to, goes)];
        both.into_iter().filter(|mark| mark.last > 0).collect()
    }
}

/// Ranges in order, neighbours as one.
fn joined(ranges: Vec<DotRange>) -> Vec<DotRange> {
    let mut joined: Vec<DotRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.replica == range.replica && range.first <= last.last + 1 => {
                last.last = last.last.max(range.last);
            }
            _ => joined.push(range),
        }
    }
    joined
}
