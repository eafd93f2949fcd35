//! What people write when anything goes.

use super::Chance;
use crate::{Edit, EditError, Kind};

/// Something that is done to an entity or a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Set,
    Assign,
    Raise,
    Lower,
    Include,
    Add,
    Remove,
    Increment,
    Unset,
    Delete,
    Bury,
    /// Seldom it is erased, mostly made.
    EraseOrCreate,
}

/// What somebody writes at random.
pub(super) struct Scribbler {
    pub entities: &'static [&'static str],
    /// The first entity is never deleted.
    pub keeps_first: bool,
    /// Each is as likely as another.
    pub verbs: &'static [Verb],
}

impl Scribbler {
    pub fn write(&self, edit: &mut Edit<'_>, chance: &mut Chance) -> Result<(), EditError> {
        let entity = chance.one(self.entities);
        let field = chance.one(&["f", "g"]);
        let value = (chance.next() % 4) as i64;
        let verb = chance.one(self.verbs);
        if self.keeps_first && verb.ends_entities() && entity == self.entities[0] {
            return edit.set(entity, field, "kept".into());
        }
        match verb {
            Verb::Set => edit.set(entity, field, value.into()),
            Verb::Assign => edit.assign(entity, field, value.into()),
            Verb::Raise => edit.raise(entity, field, value.into()),
            Verb::Lower => edit.lower(entity, field, value.into()),
            Verb::Include => edit.include(entity, field, value.into()),
            Verb::Add => edit.add(entity, field, value.into()),
            Verb::Remove => edit.remove(entity, field, value.into()),
            Verb::Increment => edit.increment(entity, field, value - 1),
            Verb::Unset => edit.unset(entity, field, Kind::LWW),
            Verb::Delete => edit.delete(entity),
            Verb::Bury => edit.bury(entity),
            Verb::EraseOrCreate if value == 0 => edit.erase(entity),
            Verb::EraseOrCreate => edit.create(entity),
        }
    }
}

impl Verb {
    fn ends_entities(self) -> bool {
        matches!(self, Verb::Delete | Verb::Bury | Verb::EraseOrCreate)
    }
}
