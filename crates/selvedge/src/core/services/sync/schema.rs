//! Schemas of documents, as files name them: the same JSON that `new Schema(…)` takes in `@selvedge/crdt`.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use selvedge_crdt::{EntityType, FieldRule, Kind, OnDelete, Schema, ValueType};
use serde::Deserialize;

/// Bytes of a schema, at most.
const BYTES_MAX: u64 = 1 << 20;

/// A type of entities.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Definition {
    fields: BTreeMap<String, FieldDefinition>,
    #[serde(default)]
    on_delete: Deletion,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldDefinition {
    kind: String,
    #[serde(default)]
    types: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deletion {
    #[default]
    EditsRevive,
    DeletionWins,
}

/// Reads a file. What is wrong is said with its name.
pub(super) fn read(path: &Path) -> Result<Arc<Schema>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let bytes = fs::metadata(path).map_err(|error| failed(&error))?.len();
    if bytes > BYTES_MAX {
        return Err(failed(&format!("a schema has at most {BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    parse(&text).map(Arc::new).map_err(|error| failed(&error))
}

fn parse(text: &str) -> Result<Schema, String> {
    let types: BTreeMap<String, Definition> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    types.into_iter().try_fold(Schema::default(), |schema, (name, definition)| {
        let of = definition.settle().map_err(|why| format!("{name}.{why}"))?;
        Ok(schema.entity(&name, of))
    })
}

impl Definition {
    fn settle(self) -> Result<EntityType, String> {
        let of = EntityType::new(match self.on_delete {
            Deletion::EditsRevive => OnDelete::EditsRevive,
            Deletion::DeletionWins => OnDelete::DeletionWins,
        });
        self.fields.into_iter().try_fold(of, |of, (name, field)| {
            let rule = field.settle().map_err(|why| format!("{name}: {why}"))?;
            Ok(of.field(&name, rule))
        })
    }
}

impl FieldDefinition {
    fn settle(self) -> Result<FieldRule, String> {
        let kind = Kind::from_name(&self.kind).filter(|kind| *kind != Kind::LIFE);
        let kind = kind.ok_or_else(|| format!("no kind of fields is called {:?}", self.kind))?;
        let types = self.types.iter().map(|name| {
            let unknown = || format!("no type of values is called {name:?}");
            ValueType::from_name(name).ok_or_else(unknown)
        });
        let types: Vec<ValueType> = types.collect::<Result<_, _>>()?;
        // Kinds that say themselves what they hold need none; a field of another kind without types would take nothing.
        if types.is_empty() && kind != Kind::COUNTER && kind != Kind::TEXT {
            return Err(format!("a field of kind {kind} names the types of its values"));
        }
        Ok(FieldRule::new(kind, &types))
    }
}

#[cfg(test)]
mod tests {
    use selvedge_crdt::Value;

    use super::*;

    #[test]
    fn a_schema_is_what_the_file_says() {
        let schema = parse(
            r#"{ "note": { "fields": { "title": { "kind": "lww", "types": ["text", "null"] },
                                       "votes": { "kind": "counter" } } },
                 "list": { "fields": {}, "onDelete": "deletion-wins" } }"#,
        )
        .unwrap();
        let rule = schema.rule("note/1", "title").unwrap();
        assert!(rule.kind() == Kind::LWW && rule.takes(&Value::Null));
        assert!(!rule.takes(&Value::Int(5)) && schema.rule("note/1", "more").is_none());
        assert_eq!(schema.type_of("list/1").unwrap().on_delete(), OnDelete::DeletionWins);
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("[]", "expected a map");
        check(r#"{"note":{"fields":{},"more":1}}"#, "unknown field `more`");
        check(
            r#"{"note":{"fields":{"a":{"kind":"heap"}}}}"#,
            "note.a: no kind of fields is called \"heap\"",
        );
        check(r#"{"note":{"fields":{"a":{"kind":"life"}}}}"#, "note.a: no kind");
        check(r#"{"note":{"fields":{"a":{"kind":"lww"}}}}"#, "note.a: a field of kind lww names");
        check(r#"{"note":{"fields":{"a":{"kind":"lww","types":["txt"]}}}}"#, "\"txt\"");
        check(r#"{"note":{"fields":{},"onDelete":"never"}}"#, "unknown variant `never`");
    }
}
