//! Texts with variables, and the names of variables, made ready.

use std::{collections::HashMap, sync::Arc};

use crate::rule::{Piece, Text, Variable};

/// The number of a transaction's variable whose name the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot(pub u16);

/// The number of a name by which rules choose an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(pub u16);

impl Key {
    /// A name by which no rule chooses.
    pub const NONE: Self = Self(u16::MAX);
}

/// Names in lower case → their numbers, in the order of their first use.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Arc<[u8]>, u16>,
    names: Vec<Arc<[u8]>>,
}

impl Names {
    /// The number of this name, which it gets if it has none.
    pub fn enter(&mut self, name: &[u8]) -> u16 {
        let name: Arc<[u8]> = name.to_ascii_lowercase().into();
        let next = u16::try_from(self.names.len()).expect("a rule set has fewer than 65,535 names");
        *self.numbers.entry(name.clone()).or_insert_with(|| {
            self.names.push(name);
            next
        })
    }

    /// The number of this name, which is in lower case.
    pub fn get(&self, name: &[u8]) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    /// The name of this number.
    pub fn name(&self, number: u16) -> &[u8] {
        &self.names[usize::from(number)]
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }
}

/// A text with variables, made ready.
#[derive(Clone, Debug)]
pub(super) struct Template(pub Box<[Part]>);

/// A part of it.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Literal(Box<[u8]>),
    /// `%{tx.name}`.
    Slot(Slot),
    /// Any other; the name is in lower case.
    Variable(Variable, Option<Box<[u8]>>),
}

impl Template {
    pub fn new(text: &Text, slots: &mut Names) -> Self {
        let part = |piece: &Piece| match piece {
            Piece::Literal(text) => Part::Literal(text.as_bytes().into()),
            Piece::Variable(Variable::Tx, Some(key)) => {
                Part::Slot(Slot(slots.enter(key.as_bytes())))
            }
            Piece::Variable(variable, key) => Part::Variable(
                *variable,
                key.as_ref().map(|key| key.to_ascii_lowercase().into_bytes().into()),
            ),
        };
        Self(text.0.iter().map(part).collect())
    }

    /// The text, if no variable is in it.
    pub fn literal(&self) -> Option<&[u8]> {
        match &*self.0 {
            [] => Some(b""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}
