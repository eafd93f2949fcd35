//! What an application expects of its documents. It is asked when something is written or admitted, and
//! never when documents merge.

use std::{error::Error, fmt};

use crate::{
    Batch, Change, Field, Kind, Op, Value,
    sorted::{Map, sort},
    type_name,
};

/// The types of a document's entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    types: Map<String, EntityType>,
}

/// One type: the part of an id before the first `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityType {
    fields: Map<String, FieldRule>,
    on_delete: OnDelete,
}

/// What a deletion does to an edit at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDelete {
    /// The edit revives the whole entity.
    #[default]
    EditsRevive,
    /// The entity stays deleted.
    DeletionWins,
}

/// What may be in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRule {
    kind: Kind,
    types: Vec<ValueType>,
}

/// A type of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueType {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
}

impl ValueType {
    /// Every type.
    pub const ALL: [ValueType; 6] = [
        ValueType::Null,
        ValueType::Bool,
        ValueType::Int,
        ValueType::Float,
        ValueType::Text,
        ValueType::Bytes,
    ];

    /// Its name in a schema.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::Null => "null",
            ValueType::Bool => "bool",
            ValueType::Int => "int",
            ValueType::Float => "float",
            ValueType::Text => "text",
            ValueType::Bytes => "bytes",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        ValueType::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// Why an operation does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// A type of entities that is not there.
    Type(String),
    /// A field that is not there.
    Field(String, String),
    /// A field of another kind.
    Kind {
        /// The type, and the field.
        of: (String, String),
        /// The kind that it has.
        expected: Kind,
        /// The kind that was written.
        found: Kind,
    },
    /// A value of a type that the field does not take.
    Value {
        /// The type, and the field.
        of: (String, String),
        /// What it takes; nothing where its kind says that.
        expected: Vec<ValueType>,
        /// What was written; nothing if nobody here knows that type.
        found: Option<ValueType>,
    },
    /// A deletion of the other sort.
    Deletion(String),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Type(id) => write!(f, "no type of entities is called {id:?}"),
            Mismatch::Field(of, name) => write!(f, "{of} has no field {name:?}"),
            Mismatch::Kind { of: (of, name), expected, found } => {
                write!(f, "{of}.{name} is of kind {expected}, and not {found}")
            }
            Mismatch::Value { of: (of, name), expected, found } => {
                let found = found.map_or("a value that is not known", ValueType::name);
                let expected: Vec<&str> = expected.iter().map(|it| it.name()).collect();
                match expected[..] {
                    [] => write!(f, "{of}.{name} does not take {found}"),
                    _ => write!(f, "{of}.{name} takes {}, and not {found}", expected.join(" or ")),
                }
            }
            Mismatch::Deletion(of) => write!(f, "{of} is deleted in another way"),
        }
    }
}

impl Error for Mismatch {}

/// Why a schema cannot follow another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    /// A field changed its kind: what is there would no longer be read.
    Kind(String, String),
    /// A field no longer takes values that it took.
    Narrowed(String, String),
    /// Deletions of a type do something else: devices would disagree while both are in use.
    OnDelete(String),
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Break::Kind(of, name) => {
                write!(f, "{of}.{name} has another kind; give the new field a new name")
            }
            Break::Narrowed(of, name) => write!(f, "{of}.{name} takes less than before"),
            Break::OnDelete(of) => write!(f, "{of} is deleted in another way than before"),
        }
    }
}

impl FieldRule {
    /// A field of this kind with values of these types.
    pub fn new(kind: Kind, types: &[ValueType]) -> Self {
        let mut types = types.to_vec();
        sort(&mut types, &Ord::cmp);
        types.dedup();
        FieldRule { kind, types }
    }

    /// How the field is read.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns whether such a value may be in the field.
    pub fn takes(&self, value: &Value<'_>) -> bool {
        match self.kind {
            Kind::COUNTER => matches!(value, Value::Int(_)),
            Kind::TEXT => matches!(value, Value::Bytes(_)),
            _ => type_of(value).is_some_and(|of| self.types.contains(&of)),
        }
    }

    fn takes_all_of(&self, older: &FieldRule) -> bool {
        older.types.iter().all(|of| self.types.contains(of))
    }
}

fn type_of(value: &Value<'_>) -> Option<ValueType> {
    match value {
        Value::Null => Some(ValueType::Null),
        Value::Bool(_) => Some(ValueType::Bool),
        Value::Int(_) => Some(ValueType::Int),
        Value::Float(_) => Some(ValueType::Float),
        Value::Text(_) => Some(ValueType::Text),
        Value::Bytes(_) => Some(ValueType::Bytes),
        Value::Other(_) => None,
    }
}

impl EntityType {
    /// A type whose deletions do this.
    pub fn new(on_delete: OnDelete) -> Self {
        EntityType { fields: Map::new(), on_delete }
    }

    /// The type with one more field.
    pub fn field(mut self, name: &str, rule: FieldRule) -> Self {
        self.fields.insert(name.to_owned(), rule);
        self
    }

    /// What a deletion does.
    pub fn on_delete(&self) -> OnDelete {
        self.on_delete
    }
}

impl Schema {
    /// The schema with one more type.
    pub fn entity(mut self, name: &str, of: EntityType) -> Self {
        self.types.insert(name.to_owned(), of);
        self
    }

    /// The type of the entity with this id.
    pub fn type_of(&self, entity: &str) -> Option<&EntityType> {
        self.types.get(type_name(entity))
    }

    /// What may be in the field of this name.
    pub fn rule(&self, entity: &str, name: &str) -> Option<&FieldRule> {
        self.type_of(entity)?.fields.get(name)
    }

    /// Checks what somebody is about to put into a field.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check_value(
        &self,
        entity: &str,
        field: &Field,
        value: &Value<'_>,
    ) -> Result<(), Mismatch> {
        check_put(entity, self.known(entity)?, field, value)
    }

    /// Checks a deletion, of the sort that wins over edits at the same time or of the other.
    ///
    /// # Errors
    /// A type that is not there, or is deleted in the other way.
    pub fn check_deletion(&self, entity: &str, on_delete: OnDelete) -> Result<(), Mismatch> {
        let right = self.known(entity)?.on_delete == on_delete;
        right.then_some(()).ok_or_else(|| Mismatch::Deletion(type_name(entity).to_owned()))
    }

    fn known(&self, entity: &str) -> Result<&EntityType, Mismatch> {
        self.type_of(entity).ok_or_else(|| Mismatch::Type(type_name(entity).to_owned()))
    }

    /// The field of this name, with the kind that it has in the entity's type.
    pub fn field(&self, entity: &str, name: &str) -> Option<Field> {
        Field::new(name, self.rule(entity, name)?.kind)
    }

    /// Checks what somebody wrote.
    ///
    /// # Errors
    /// The first operation that does not fit.
    pub fn check(&self, batch: &Batch) -> Result<(), Mismatch> {
        batch.ops().try_for_each(|op| self.check_op(&op))
    }

    /// Checks one operation. Taking away is never wrong.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check_op(&self, op: &Op<'_>) -> Result<(), Mismatch> {
        match op.change {
            Change::Put { field, payload, .. } => {
                self.check_value(op.entity, field, &Value::decode(payload))
            }
            Change::Delete { .. } => self.check_deletion(op.entity, OnDelete::EditsRevive),
            Change::Cover { .. } => self.known(op.entity).map(|_| ()),
        }
    }

    /// Returns what keeps this schema from following `older`, if documents of both are to be one.
    pub fn breaks(&self, older: &Schema) -> Vec<Break> {
        let both =
            older.types.iter().filter_map(|(name, old)| Some((name, old, self.types.get(name)?)));
        both.flat_map(|(name, old, new)| type_breaks(name, old, new)).collect()
    }
}

fn check_put(
    entity: &str,
    of: &EntityType,
    field: &Field,
    value: &Value<'_>,
) -> Result<(), Mismatch> {
    let names = || (type_name(entity).to_owned(), field.name().to_owned());
    if field.kind() == Kind::LIFE {
        let wins = of.on_delete == OnDelete::DeletionWins;
        return match value {
            Value::Null => Ok(()),
            Value::Bool(false) if wins => Ok(()),
            _ => Err(Mismatch::Deletion(names().0)),
        };
    }
    let rule = of.fields.get(field.name()).ok_or_else(|| Mismatch::Field(names().0, names().1))?;
    if rule.kind != field.kind() {
        Err(Mismatch::Kind { of: names(), expected: rule.kind, found: field.kind() })
    } else if rule.takes(value) {
        Ok(())
    } else {
        let (expected, found) = (rule.types.clone(), type_of(value));
        Err(Mismatch::Value { of: names(), expected, found })
    }
}

fn type_breaks(name: &str, old: &EntityType, new: &EntityType) -> Vec<Break> {
    let mut breaks = Vec::new();
    if old.on_delete != new.on_delete {
        breaks.push(Break::OnDelete(name.to_owned()));
    }
    for (field, old) in old.fields.iter() {
        match new.fields.get(field) {
            Some(new) if new.kind != old.kind => {
                breaks.push(Break::Kind(name.to_owned(), field.clone()));
            }
            Some(new) if !new.takes_all_of(old) => {
                breaks.push(Break::Narrowed(name.to_owned(), field.clone()));
            }
            // A field that is no longer there keeps its values, which nobody reads.
            Some(_) | None => {}
        }
    }
    breaks
}
