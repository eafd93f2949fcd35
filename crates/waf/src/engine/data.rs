//! The values of one exchange.

use super::{
    arena::{self, Arena, Span},
    template::Key,
};
use crate::rule::Variable;

/// Room for so many values is kept for the next exchange.
const KEPT_MAX: usize = 4_096;

/// Something rules look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    /// Of what kind: never one that others are made of, such as `ARGS`.
    pub class: Variable,
    pub name: Span,
    /// The number of its name, if a rule names it.
    pub key: Key,
    pub value: Span,
}

/// Bytes, and the values they hold, in the order in which they came.
pub(super) struct Data {
    pub arena: Arena,
    pub values: Vec<Value>,
    by_class: Vec<Vec<u32>>,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            arena: Arena::default(),
            values: Vec::new(),
            by_class: vec![Vec::new(); Variable::ALL.len()],
        }
    }
}

impl Data {
    pub fn clear(&mut self) {
        self.arena.clear();
        arena::empty(&mut self.values, KEPT_MAX);
        self.by_class.iter_mut().for_each(|class| arena::empty(class, KEPT_MAX));
    }

    /// What its lists have room for.
    pub fn memory_bytes(&self) -> usize {
        let numbers: usize = self.by_class.iter().map(Vec::capacity).sum();
        self.values.capacity() * size_of::<Value>() + numbers * size_of::<u32>()
    }

    pub fn push(&mut self, class: Variable, name: Span, key: Key, value: Span) {
        self.by_class[class as usize].push(self.values.len() as u32);
        self.values.push(Value { class, name, key, value });
    }

    /// The numbers of the values of a class.
    pub fn of_class(&self, class: Variable) -> &[u32] {
        &self.by_class[class as usize]
    }

    /// The first value of a class with this name, whatever its case.
    pub fn named(&self, class: Variable, name: &[u8]) -> Option<&[u8]> {
        self.find(class, name).map(|value| self.arena.get(value))
    }

    /// Where that value is.
    pub fn find(&self, class: Variable, name: &[u8]) -> Option<Span> {
        let values = self.of_class(class).iter().map(|&at| &self.values[at as usize]);
        let mut found =
            values.filter(|value| self.arena.get(value.name).eq_ignore_ascii_case(name));
        found.next().map(|value| value.value)
    }
}
