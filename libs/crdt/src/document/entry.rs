//! Entries, and the bytes of their payloads in one piece of memory.

use std::cmp::Ordering::Greater;

use super::{entity::Cell, slab::Slab};
use crate::{
    Hlc,
    sorted::{Place, Sorted},
};

/// Less waste than this is not worth a look.
const WASTE_MIN: usize = 4096;

/// An entry, in the numbers of its document.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub hlc: Hlc,
    pub seq: u64,
    pub replica: u32,
    pub entity: u32,
    pub field: u32,
    /// Where its payload lies; known once it is inserted.
    pub(super) len: u32,
    pub(super) at: usize,
}

/// Several entries of one cell, by their payloads.
pub(crate) type Crowd = Sorted<u32>;

/// All entries of a document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    entries: Slab<Entry>,
    payloads: Vec<u8>,
    waste: usize,
    crowds: Slab<Crowd>,
}

impl Entries {
    /// Room for so many entries with so many bytes together.
    pub fn with_capacity(entries: usize, bytes: usize) -> Self {
        Entries {
            entries: Slab::with_capacity(entries),
            payloads: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    pub fn get(&self, at: u32) -> &Entry {
        self.entries.get(at)
    }

    pub fn payload(&self, at: u32) -> &[u8] {
        let entry = self.entries.get(at);
        &self.payloads[entry.at..entry.at + entry.len as usize]
    }

    pub fn insert(&mut self, entry: Entry, payload: &[u8]) -> u32 {
        let at = self.payloads.len();
        self.payloads.extend_from_slice(payload);
        let len = u32::try_from(payload.len()).expect("payloads have a bound");
        self.entries.insert(Entry { at, len, ..entry })
    }

    pub fn remove(&mut self, at: u32) {
        self.waste += self.entries.remove(at).len as usize;
    }

    /// Returns whether more payload is dead than alive.
    pub fn is_wasteful(&self) -> bool {
        self.waste > WASTE_MIN && self.waste > self.payloads.len() / 2
    }

    /// Gives the bytes of dead payloads back; `alive` is every entry there is.
    pub fn repack(&mut self, alive: impl Iterator<Item = u32>) {
        let mut packed = Vec::with_capacity(self.payloads.len() - self.waste);
        for at in alive {
            let start = packed.len();
            packed.extend_from_slice(self.payload(at));
            self.entries.get_mut(at).at = start;
        }
        self.payloads = packed;
        self.waste = 0;
    }

    /// The cell with one more entry.
    pub fn join_cell(&mut self, cell: Option<Cell>, at: u32) -> Cell {
        let crowd = match cell {
            None => return Cell::One(at),
            Some(Cell::Crowd(crowd)) => crowd,
            Some(Cell::One(first)) => self.crowds.insert(Crowd::from_iter([first])),
        };
        if let Err(place) = self.find_in(crowd, at) {
            self.crowds.get_mut(crowd).insert(place, at);
        }
        Cell::Crowd(crowd)
    }

    /// The cell without an entry of it, if one is left.
    pub fn leave_cell(&mut self, cell: Cell, at: u32) -> Option<Cell> {
        let Cell::Crowd(number) = cell else { return None };
        let place = self.find_in(number, at);
        let crowd = self.crowds.get_mut(number);
        if let Ok(place) = place {
            crowd.remove(place);
        }
        if crowd.len() > 1 {
            return Some(cell);
        }
        let last = crowd.first().map(|last| Cell::One(*last));
        self.crowds.remove(number);
        last
    }

    /// All entries of a cell, in no order that means anything.
    pub fn of_cell(&self, cell: Option<Cell>) -> impl Iterator<Item = u32> {
        let (one, crowd) = match cell {
            None => (None, None),
            Some(Cell::One(at)) => (Some(at), None),
            Some(Cell::Crowd(crowd)) => (None, Some(self.crowds.get(crowd))),
        };
        one.into_iter().chain(crowd.into_iter().flat_map(Crowd::iter).copied())
    }

    /// The entries of a cell that have this payload.
    pub fn with_payload(&self, cell: Option<Cell>, payload: &[u8]) -> impl Iterator<Item = u32> {
        let (one, crowd) = match cell {
            None => (None, None),
            Some(Cell::One(at)) => (Some(at), None),
            Some(Cell::Crowd(crowd)) => {
                let crowd = self.crowds.get(crowd);
                let first = crowd.find(&|at| self.payload(*at).cmp(payload).then(Greater));
                (None, Some(crowd.onward(first.unwrap_or_else(|place| place))))
            }
        };
        let found = one.into_iter().chain(crowd.into_iter().flatten().copied());
        found.take_while(move |at| self.payload(*at) == payload)
    }

    /// Where an entry is in a crowd, or would be.
    fn find_in(&self, crowd: u32, at: u32) -> Result<Place, Place> {
        let side = |other: &u32| self.payload(*other).cmp(self.payload(at)).then(other.cmp(&at));
        self.crowds.get(crowd).find(&side)
    }
}
