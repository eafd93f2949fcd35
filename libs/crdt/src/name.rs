//! Where a value lies: entities, fields, and the kinds of cells.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

/// Bytes of an entity's id, at most.
pub const ENTITY_BYTES_MAX: usize = 256;

/// Bytes of a field's name, at most.
pub const FIELD_BYTES_MAX: usize = 128;

/// Bytes of a payload, at most.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// Bytes of a payload of text, or of a kind that this version does not know, at most.
pub const TEXT_BYTES_MAX: usize = 768 << 10;

/// The id of an entity: by convention `type/key`, or `type` where there is only one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(Arc<str>);

impl EntityId {
    /// Takes 1 to [`ENTITY_BYTES_MAX`] bytes.
    pub fn new(id: &str) -> Option<Self> {
        (1..=ENTITY_BYTES_MAX).contains(&id.len()).then(|| EntityId(id.into()))
    }

    /// What stands before the first `/`.
    pub fn type_name(&self) -> &str {
        type_name(&self.0)
    }
}

/// The type of the entity with this id.
pub fn type_name(id: &str) -> &str {
    id.split_once('/').map_or(id, |(name, _)| name)
}

impl Deref for EntityId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for EntityId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// How the entries of a cell are read. Kinds that this version does not know are kept, and not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// Whether an entity exists; the field without a name.
    pub const LIFE: Kind = Kind(0);
    /// Last writer wins.
    pub const LWW: Kind = Kind(1);
    /// A set that only grows.
    pub const GROW_SET: Kind = Kind(2);
    /// A set in which who adds wins over who removes at the same time.
    pub const OR_SET: Kind = Kind(3);
    /// The greatest value that was written.
    pub const MAX: Kind = Kind(4);
    /// The least value that was written.
    pub const MIN: Kind = Kind(5);
    /// A sum.
    pub const COUNTER: Kind = Kind(6);
    /// All values that were written at the same time.
    pub const MULTI: Kind = Kind(7);
    /// Text, as updates of Yjs.
    pub const TEXT: Kind = Kind(8);

    /// Every kind that this version knows, with its name.
    pub const KNOWN: [(Kind, &'static str); 9] = [
        (Kind::LIFE, "life"),
        (Kind::LWW, "lww"),
        (Kind::GROW_SET, "grow-set"),
        (Kind::OR_SET, "or-set"),
        (Kind::MAX, "max"),
        (Kind::MIN, "min"),
        (Kind::COUNTER, "counter"),
        (Kind::MULTI, "multi"),
        (Kind::TEXT, "text"),
    ];

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::KNOWN.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    /// Bytes of a payload of this kind, at most.
    pub fn payload_bytes_max(self) -> usize {
        if self < Kind::TEXT { PAYLOAD_BYTES_MAX } else { TEXT_BYTES_MAX }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Kind::KNOWN.iter().find(|(known, _)| known == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "kind {}", self.0),
        }
    }
}

/// A field of entities: its kind is part of its name, so that two schemas that disagree write two cells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field {
    kind: Kind,
    name: Arc<str>,
}

impl Field {
    /// Takes 1 to [`FIELD_BYTES_MAX`] bytes, and none for [`Kind::LIFE`].
    pub fn new(name: &str, kind: Kind) -> Option<Self> {
        let right = name.len() <= FIELD_BYTES_MAX && name.is_empty() == (kind == Kind::LIFE);
        right.then(|| Field { kind, name: name.into() })
    }

    /// The field that says whether its entity exists.
    pub fn life() -> Self {
        Field { kind: Kind::LIFE, name: "".into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}
