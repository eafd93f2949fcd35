//! One entity: its cells, and what deleted it.

use crate::{EntityId, Hlc, Stamp, sorted::Map};

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

/// What was deleted: marks, none of which says less than another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deletion {
    /// By replica and sequence.
    marks: Vec<Mark>,
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
        self.onward(replica, seq).any(|mark| hlc <= mark.stamp.hlc)
    }

    /// The marks of a replica from a sequence on.
    fn onward(&self, replica: u32, seq: u64) -> impl Iterator<Item = &Mark> {
        let marks = self.marks[self.place(replica, seq)..].iter();
        marks.take_while(move |mark| mark.replica == replica)
    }

    fn place(&self, replica: u32, seq: u64) -> usize {
        self.marks.partition_point(|mark| (mark.replica, mark.seq) < (replica, seq))
    }

    /// Adds a mark, unless another says as much; those that say less go.
    pub fn join(&mut self, mark: Mark) {
        if self.onward(mark.replica, mark.seq).any(|more| more.stamp >= mark.stamp) {
            return;
        }
        let says_less = |other: &Mark| {
            other.replica == mark.replica && other.seq <= mark.seq && other.stamp <= mark.stamp
        };
        self.marks.retain(|other| !says_less(other));
        self.marks.insert(self.place(mark.replica, mark.seq), mark);
    }

    pub fn retain(&mut self, keep: impl Fn(Mark) -> bool) {
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
