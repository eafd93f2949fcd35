//! Folding events into rows: pure, so that what a batch comes to can be tried in any way.

use std::collections::BTreeMap;

use super::{
    accumulator::Accumulator,
    field::Event,
    plan::{Bad, Change, Plan},
    scalar::{self, Scalar},
};

/// How many events came to what, since the view began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Rows there are.
    pub(crate) rows: u64,
    /// Events that are in the rows.
    pub(crate) folded: u64,
    /// Events that the view does not ask for.
    pub(crate) passed: u64,
    /// Events that are not what the view expects.
    pub(crate) bad: u64,
    /// Events of groups for which there was no row left.
    pub(crate) overflowed: u64,
}

/// Rows as they were before a batch.
pub(crate) trait Rows {
    /// Why they cannot be read.
    type Error;

    /// Returns the state of a row's aggregates, which is empty for a row without; nothing if there is no such row.
    fn state(&mut self, key: &str) -> Result<Option<String>, Self::Error>;
}

/// What the rows of a batch are after it.
pub(crate) struct Batch<'p> {
    plan: &'p Plan,
    rows: BTreeMap<String, Slot>,
    pub(crate) tally: Tally,
}

/// What a row is to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Write {
    Put { row: String, state: String },
    Remove,
}

enum Slot {
    Absent { was_there: bool },
    Group { key: Vec<Scalar>, state: Vec<Accumulator>, is_changed: bool },
    Whole { row: Option<String> },
}

/// Why a batch cannot go on.
#[derive(Debug)]
pub(crate) enum FoldError<E> {
    Rows(E),
    /// The state of a row is not what this version writes.
    Damaged(String),
}

impl<'p> Batch<'p> {
    /// Begins where `tally` stands.
    pub(crate) fn new(plan: &'p Plan, tally: Tally) -> Self {
        Batch { plan, rows: BTreeMap::new(), tally }
    }

    /// Folds an event; returns why it is bad, if it is.
    pub(crate) fn fold<R: Rows>(
        &mut self,
        event: &Event<'_>,
        rows: &mut R,
    ) -> Result<Option<Bad>, FoldError<R::Error>> {
        match self.plan.change(event) {
            Err(bad) => {
                self.tally.bad += 1;
                return Ok(Some(bad));
            }
            Ok(Change::Pass) => self.tally.passed += 1,
            Ok(Change::Add { key, values }) => self.add(key, &values, rows)?,
            Ok(Change::Put { key, row }) => self.put(&key, row, rows)?,
            Ok(Change::Remove { key }) => self.remove(&key, rows)?,
        }
        Ok(None)
    }

    fn add<R: Rows>(
        &mut self,
        key: Vec<Scalar>,
        values: &[Scalar],
        rows: &mut R,
    ) -> Result<(), FoldError<R::Error>> {
        let plan = self.plan;
        let has_room = self.has_room();
        let slot = self.slot(&scalar::key(&key), rows, |text| begun(plan, &key, text))?;
        if let Slot::Absent { .. } = slot {
            if !has_room {
                self.tally.overflowed += 1;
                return Ok(());
            }
            let state = plan.columns.iter().map(|(_, kind)| kind.begin()).collect();
            *slot = Slot::Group { key, state, is_changed: true };
            add_to(slot, values);
            self.tally.rows += 1;
        } else {
            add_to(slot, values);
        }
        self.tally.folded += 1;
        Ok(())
    }

    fn put<R: Rows>(
        &mut self,
        key: &[Scalar],
        row: String,
        rows: &mut R,
    ) -> Result<(), FoldError<R::Error>> {
        let has_room = self.has_room();
        let slot = self.slot(&scalar::key(key), rows, |_| Ok(Slot::Whole { row: None }))?;
        let is_new = matches!(slot, Slot::Absent { .. });
        if is_new && !has_room {
            self.tally.overflowed += 1;
            return Ok(());
        }
        *slot = Slot::Whole { row: Some(row) };
        self.tally.rows += u64::from(is_new);
        self.tally.folded += 1;
        Ok(())
    }

    fn remove<R: Rows>(&mut self, key: &[Scalar], rows: &mut R) -> Result<(), FoldError<R::Error>> {
        let slot = self.slot(&scalar::key(key), rows, |_| Ok(Slot::Whole { row: None }))?;
        if !matches!(slot, Slot::Absent { .. }) {
            // Whether it was there before the batch does not matter: removing nothing is no harm.
            *slot = Slot::Absent { was_there: true };
            self.tally.rows -= 1;
        }
        self.tally.folded += 1;
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.tally.rows < self.plan.rows_max as u64
    }

    /// The row as it is by now.
    fn slot<R: Rows>(
        &mut self,
        key: &str,
        rows: &mut R,
        read: impl FnOnce(&str) -> Result<Slot, String>,
    ) -> Result<&mut Slot, FoldError<R::Error>> {
        if !self.rows.contains_key(key) {
            let slot = match rows.state(key).map_err(FoldError::Rows)? {
                Some(state) => read(&state).map_err(FoldError::Damaged)?,
                None => Slot::Absent { was_there: false },
            };
            self.rows.insert(key.to_owned(), slot);
        }
        Ok(self.rows.get_mut(key).expect("it was put there if it was not"))
    }

    /// Returns what is to be written, by key.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (&str, Write)> {
        self.rows.iter().filter_map(|(key, slot)| Some((key.as_str(), self.write(slot)?)))
    }

    fn write(&self, slot: &Slot) -> Option<Write> {
        match slot {
            Slot::Absent { was_there: true } => Some(Write::Remove),
            Slot::Whole { row: Some(row) } => {
                Some(Write::Put { row: row.clone(), state: String::new() })
            }
            Slot::Group { key, state, is_changed: true } => {
                let stored =
                    serde_json::to_string(state).expect("aggregates have a spelling in JSON");
                Some(Write::Put { row: row(self.plan, key, state), state: stored })
            }
            Slot::Absent { was_there: false } | Slot::Whole { row: None } | Slot::Group { .. } => {
                None
            }
        }
    }
}

fn begun(plan: &Plan, key: &[Scalar], text: &str) -> Result<Slot, String> {
    let state: Vec<Accumulator> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match state.len() == plan.columns.len() {
        true => Ok(Slot::Group { key: key.to_vec(), state, is_changed: false }),
        false => Err("it has another number of aggregates".to_owned()),
    }
}

fn add_to(slot: &mut Slot, values: &[Scalar]) {
    if let Slot::Group { state, is_changed, .. } = slot {
        state.iter_mut().zip(values).for_each(|(state, value)| state.add(value));
        *is_changed = true;
    }
}

/// A row as JSON: what it stands for, then the aggregates, in the order of the definition.
fn row(plan: &Plan, key: &[Scalar], state: &[Accumulator]) -> String {
    let groups = plan.groups.iter().zip(key).map(|(name, value)| (name, value.json()));
    let columns = plan.columns.iter().zip(state).map(|((name, _), state)| (name, state.result()));
    let fields = groups.chain(columns);
    let fields =
        fields.map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name.as_str())));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
#[path = "fold/tests.rs"]
mod tests;
