//! What rules set while they are asked.

use super::{
    arena::{Arena, Span},
    template::{Names, Slot},
};
use crate::rule::{Allow, Mode, Processor, Variable};

/// Variables whose names rules make up are no more than this.
const NAMED_MAX: usize = 2000;

/// What a variable holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Held {
    #[default]
    Nothing,
    Number(i64),
    Text(Span),
}

/// A variable whose name a rule made up, or one of another collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub collection: Variable,
    pub name: Span,
    pub held: Held,
}

/// What a link fired on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub variable: Variable,
    pub name: Span,
    pub text: Span,
    pub start: usize,
    pub end: usize,
}

/// What rules set while they are asked.
#[derive(Default)]
pub(super) struct State {
    pub slots: Vec<Held>,
    pub named: Vec<Named>,
    /// What the links of the rule at hand fired on.
    pub matched: Vec<Hit>,
    pub mode: Mode,
    pub allowed: Option<Allow>,
    pub processor: Option<Processor>,
    pub request_body: bool,
    pub response_body: bool,
    pub force_request_body: bool,
}

impl State {
    pub fn clear(&mut self, slots: usize) {
        let Self {
            slots: held,
            named,
            matched,
            mode,
            allowed,
            processor,
            request_body,
            response_body,
            force_request_body,
        } = self;
        held.clear();
        held.resize(slots, Held::Nothing);
        named.clear();
        matched.clear();
        (*mode, *allowed, *processor) = (Mode::On, None, None);
        (*request_body, *response_body, *force_request_body) = (true, true, false);
    }

    /// What a variable of a name, which is in lower case, holds.
    pub fn get(&self, arena: &Arena, names: &Names, collection: Variable, name: &[u8]) -> Held {
        if let (Variable::Tx, Some(slot)) = (collection, names.get(name)) {
            return self.slots[usize::from(slot)];
        }
        self.find(arena, collection, name).map_or(Held::Nothing, |at| self.named[at].held)
    }

    /// Sets it. Names beyond the bound are dropped: only a rule that makes up names from a request's bytes gets there.
    pub fn set(
        &mut self,
        arena: &mut Arena,
        names: &Names,
        collection: Variable,
        name: &[u8],
        held: Held,
    ) {
        if let (Variable::Tx, Some(slot)) = (collection, names.get(name)) {
            self.slots[usize::from(slot)] = held;
            return;
        }
        match self.find(arena, collection, name) {
            Some(at) => self.named[at].held = held,
            None if self.named.len() < NAMED_MAX => {
                let name = arena.derive(name);
                self.named.push(Named { collection, name, held });
            }
            None => {}
        }
    }

    fn find(&self, arena: &Arena, collection: Variable, name: &[u8]) -> Option<usize> {
        self.named
            .iter()
            .position(|named| named.collection == collection && arena.get(named.name) == name)
    }

    pub fn set_slot(&mut self, slot: Slot, held: Held) {
        self.slots[usize::from(slot.0)] = held;
    }

    pub fn slot(&self, slot: Slot) -> Held {
        self.slots[usize::from(slot.0)]
    }
}
