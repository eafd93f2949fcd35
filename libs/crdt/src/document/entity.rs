//! One entity: its cells, and what deleted it.

use std::collections::BTreeMap;

use crate::{EntityId, Stamp};

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

/// What was deleted, and by whom last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deletion {
    pub stamp: Stamp,
    /// For each replica the sequence up to which entries are marked.
    pub marks: BTreeMap<u32, u64>,
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
    Many(BTreeMap<u32, Cell>),
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
            *self = Cells::Many(cells.drain(..).collect());
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
        let many = many.into_iter().flatten().map(|(field, cell)| (*field, *cell));
        few.iter().copied().chain(many)
    }
}
