//! What was found wrong or left out while a description was read.

use std::fmt::Write;

use crate::schema::document::{Folder, Place};

/// Everything found, in order.
#[derive(Debug, Default)]
pub(super) struct Report {
    faults: Vec<(Place, String)>,
    notes: Vec<(Place, String)>,
}

/// Faults and notes that are told.
const TOLD: usize = 50;

impl Report {
    /// Something that keeps the description from being used.
    pub(super) fn fault(&mut self, place: &Place, what: impl Into<String>) {
        self.faults.push((place.clone(), what.into()));
    }

    /// Something that will not be checked.
    pub(super) fn note(&mut self, place: &Place, what: impl Into<String>) {
        let note = (place.clone(), what.into());
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The notes as lines, or the faults if there are any.
    pub(super) fn finish(self, folder: &Folder) -> Result<Vec<String>, Vec<String>> {
        let Self { faults, notes } = self;
        if faults.is_empty() { Ok(lines(&notes, folder)) } else { Err(lines(&faults, folder)) }
    }
}

fn lines(found: &[(Place, String)], folder: &Folder) -> Vec<String> {
    let told = &found[..found.len().min(TOLD)];
    let places: Vec<Place> = told.iter().map(|(place, _)| place.clone()).collect();
    let numbers = folder.lines(&places);
    let line = |((place, what), number): (&(Place, String), Option<usize>)| {
        let mut line = place.file.clone();
        if let Some(number) = number {
            write!(line, ":{number}").expect("a String takes any text");
        }
        format!("{line}: {} {what}", place.pointer.to_fragment())
    };
    let mut lines: Vec<String> = told.iter().zip(numbers).map(line).collect();
    if found.len() > TOLD {
        lines.push(format!("and {} more", found.len() - TOLD));
    }
    lines
}
