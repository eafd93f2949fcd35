//! One entity: its cells, and what deleted it.

use std::cmp::Ordering::{Greater, Less};

use crate::{
    EntityId, Hlc, Stamp,
    sorted::{Map, Sorted},
};

/// From here on, cells lie in a tree.
const FEW: usize = 32;

/// An entity, in the numbers of its document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entity {
    /// None in a place that is free.
    pub id: Option<EntityId>,
    pub cells: Cells,
    pub deletion: Option<Box<Deletion>>,
    /// How many tombstones there are.
    pub tombs: u32,
}

/// What was deleted: marks, none of which says less than another. So of one replica those with greater sequences have lesser stamps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deletion {
    /// By replica and sequence.
    marks: Sorted<Mark>,
}

/// The entries of a replica are marked up to this sequence, as far as they are not younger than the
/// operation with this stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub replica: u32,
    pub seq: u64,
    pub stamp: Stamp,
}

impl Deletion {
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// All marks, by replica and sequence.
    pub fn iter(&self) -> impl Iterator<Item = Mark> {
        self.marks.iter().copied()
    }

    /// Returns whether an entry is marked.
    pub fn marks(&self, replica: u32, seq: u64, hlc: Hlc) -> bool {
        self.first_from(replica, seq).is_some_and(|mark| hlc <= mark.stamp.hlc)
    }

    /// Of the marks of a replica from a sequence on the first, which is the youngest of them.
    fn first_from(&self, replica: u32, seq: u64) -> Option<&Mark> {
        let place = self.marks.find(&|mark| (mark.replica, mark.seq).cmp(&(replica, seq)));
        let first = self.marks.get(place.unwrap_or_else(|place| place));
        first.filter(|mark| mark.replica == replica)
    }

    /// Adds a mark, unless another says as much; those that say less go.
    pub fn join(&mut self, mark: Mark) {
        if self.first_from(mark.replica, mark.seq).is_some_and(|more| more.stamp >= mark.stamp) {
            return;
        }
        let by_age = |other: &Mark| {
            let is_younger = other.stamp > mark.stamp;
            other.replica.cmp(&mark.replica).then(if is_younger { Less } else { Greater })
        };
        loop {
            let place = self.marks.find(&by_age).unwrap_or_else(|place| place);
            match self.marks.get(place) {
                Some(less) if less.replica == mark.replica && less.seq <= mark.seq => {
                    self.marks.remove(place);
                }
                _ => {
                    self.marks.insert(place, mark);
                    return;
                }
            }
        }
    }

    /// Keeps what `keep` says, which is asked in order.
    pub fn retain(&mut self, mut keep: impl FnMut(Mark) -> bool) {
        self.marks.retain(|mark| keep(*mark));
    }
}

/// Where the entries of a cell are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// One entry.
    One(u32),
    /// Several, in a crowd of the document.
    Crowd(u32),
}

/// The cells of an entity by their field. There is no empty cell.
#[derive(Clone, Debug)]
pub(crate) enum Cells {
    Few(Vec<(u32, Cell)>),
    Many(Map<u32, Cell>),
}

impl Default for Cells {
    fn default() -> Self {
        Cells::Few(Vec::new())
    }
}

impl Cells {
    pub fn is_empty(&self) -> bool {
        match self {
            Cells::Few(cells) => cells.is_empty(),
            Cells::Many(cells) => cells.is_empty(),
        }
    }

    pub fn get(&self, field: u32) -> Option<Cell> {
        match self {
            Cells::Few(cells) => cells.iter().find(|(of, _)| *of == field).map(|(_, cell)| *cell),
            Cells::Many(cells) => cells.get(&field).copied(),
        }
    }

    pub fn set(&mut self, field: u32, cell: Cell) {
        match self {
            Cells::Few(cells) => match cells.iter_mut().find(|(of, _)| *of == field) {
                Some((_, old)) => *old = cell,
                None => cells.push((field, cell)),
            },
            Cells::Many(cells) => {
                cells.insert(field, cell);
            }
        }
        if let Cells::Few(cells) = self
            && cells.len() > FEW
        {
            let mut many = Map::new();
            for (field, cell) in cells.drain(..) {
                many.insert(field, cell);
            }
            *self = Cells::Many(many);
        }
    }

    pub fn remove(&mut self, field: u32) {
        match self {
            Cells::Few(cells) => cells.retain(|(of, _)| *of != field),
            Cells::Many(cells) => {
                cells.remove(&field);
            }
        }
    }

    /// All cells, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Cell)> {
        let (few, many) = match self {
            Cells::Few(cells) => (cells.as_slice(), None),
            Cells::Many(cells) => (&[][..], Some(cells)),
        };
        let many = many.into_iter().flat_map(Map::iter).map(|(field, cell)| (*field, *cell));
        few.iter().copied().chain(many)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Dot;

    fn mark((replica, seq, hlc): (u32, u64, u64)) -> Mark {
        Mark { replica, seq, stamp: Stamp { hlc: Hlc(hlc), dot: Dot::default() } }
    }

    fn says_less(one: &Mark, other: &Mark) -> bool {
        one.replica == other.replica && one.seq <= other.seq && one.stamp <= other.stamp
    }

    proptest! {
        #[test]
        fn no_mark_says_less_than_another(
            marks in prop::collection::vec((0..3u32, 1..40u64, 1..40u64), 0..120),
        ) {
            let (mut deletion, mut plain) = (Deletion::default(), Vec::<Mark>::new());
            for mark in marks.into_iter().map(mark) {
                deletion.join(mark);
                if !plain.iter().any(|other| says_less(&mark, other)) {
                    plain.retain(|other| !says_less(other, &mark));
                    plain.push(mark);
                }
            }
            plain.sort_by_key(|mark| (mark.replica, mark.seq));
            prop_assert!(deletion.iter().eq(plain.iter().copied()));
            for (replica, seq, hlc) in (0..4).flat_map(|at| (0..42).map(move |n| (at, n, 42 - n))) {
                let entry = mark((replica, seq, hlc));
                let is_marked = plain.iter().any(|mark| says_less(&entry, mark));
                prop_assert_eq!(deletion.marks(replica, seq, Hlc(hlc)), is_marked);
            }
        }
    }
}
