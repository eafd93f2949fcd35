//! Places of a log, with the greatest stamp and the bytes before each.

use crate::Hlc;

/// Marks that are kept; in between nothing is known, so a horizon is sometimes a little earlier than it could be.
const MARKS_MAX: usize = 128;

/// What is known of everything before an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Records before this offset count.
    pub offset: u64,
    /// The greatest stamp of their batches.
    pub stamp: Hlc,
    /// Their bytes, counted from the log's beginning.
    pub bytes: u64,
}

/// Marks by offset. The last one is always where the log ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub marks: Vec<Mark>,
    pub last: Mark,
    /// Records between marks, at least.
    pub stride: u64,
}

impl Marks {
    /// Takes in the record before `offset`.
    pub fn push(&mut self, offset: u64, stamp: Hlc, bytes: usize) {
        let stamp = self.last.stamp.max(stamp);
        self.last = Mark { offset, stamp, bytes: self.last.bytes + bytes as u64 };
        let before = self.marks.last().map_or(0, |mark| mark.offset);
        if offset >= before + self.stride.max(1) {
            self.marks.push(self.last);
        }
        if self.marks.len() > MARKS_MAX {
            self.stride = self.stride.max(1) * 2;
            let mut index = 0;
            self.marks.retain(|_| {
                index += 1;
                index % 2 == 0
            });
        }
    }

    /// The last mark at or before `offset`.
    pub fn at(&self, offset: u64) -> Option<Mark> {
        if self.last.offset <= offset {
            return Some(self.last);
        }
        let behind = self.marks.partition_point(|mark| mark.offset <= offset);
        behind.checked_sub(1).map(|at| self.marks[at])
    }

    /// The first mark at or behind `offset`; the last one, if there is none.
    pub fn from(&self, offset: u64) -> Mark {
        let at = self.marks.partition_point(|mark| mark.offset < offset);
        self.marks.get(at).copied().unwrap_or(self.last)
    }

    /// Where surely everything up to `stamp` lies before.
    pub fn after(&self, stamp: Hlc) -> Option<u64> {
        self.marks.iter().find(|mark| mark.stamp > stamp).map(|mark| mark.offset)
    }

    /// Forgets what lies before a log's new beginning, but for one mark.
    pub fn trim(&mut self, start: u64) {
        let behind = self.marks.partition_point(|mark| mark.offset <= start);
        self.marks.drain(..behind.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_few_and_never_say_too_much() {
        let mut marks = Marks::default();
        for offset in 1..=10_000 {
            marks.push(offset, Hlc(offset * 2), 10);
        }
        assert!(marks.marks.len() <= MARKS_MAX);
        for offset in [200, 5_000, 9_999] {
            let mark = marks.at(offset).expect("there are marks before");
            assert!(mark.offset <= offset && mark.offset + 200 > offset, "{mark:?}");
            assert_eq!((mark.stamp, mark.bytes), (Hlc(mark.offset * 2), mark.offset * 10));
            assert!(marks.after(mark.stamp).is_none_or(|after| after > mark.offset));
        }
        assert_eq!(marks.at(20_000), Some(marks.last));
        marks.trim(5_000);
        assert!(marks.at(5_000).is_some());
    }

    #[test]
    fn stamps_that_go_back_change_nothing() {
        let mut marks = Marks::default();
        marks.push(1, Hlc(9), 1);
        marks.push(2, Hlc(3), 1);
        assert_eq!(marks.at(2).map(|mark| mark.stamp), Some(Hlc(9)));
        assert_eq!(marks.at(0), None);
    }
}
