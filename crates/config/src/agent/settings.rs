//! `settings { … }` of a foreign agent: KDL of any shape becomes JSON.

use selvedge_base::Secret;
use serde_json::{Map, Value as Json};

use crate::{Code, cursor::Cursor, reading::Problem, source::Span};

/// The JSON of a whole block; `None` when something in it is wrong.
pub(super) fn read_settings(cursor: &mut Cursor<'_>) -> Option<Secret> {
    let entries = read_entries(cursor);
    let json = match has_items(&entries) {
        false => Json::Object(object(cursor, entries)?),
        true => {
            let problem = Problem::new(Code::Conflict, "settings are names with values");
            cursor.error(problem.help("write `name value`; `-` is for the items of a list"));
            return None;
        }
    };
    Some(Secret::new(json.to_string()))
}

/// A name and its value.
struct Entry {
    name: String,
    span: Span,
    json: Json,
    /// Written as a property, which cannot stand beside another of its name.
    is_property: bool,
}

/// Properties and children; `None` for one that is wrong.
fn read_entries(cursor: &mut Cursor<'_>) -> Vec<Option<Entry>> {
    let properties = cursor.rest_of_properties().into_iter().map(|value| {
        let name = value.key()?.to_owned();
        Some(Entry { name, span: value.span(), json: value.json()?, is_property: true })
    });
    let mut entries: Vec<_> = properties.collect();
    entries.extend(cursor.rest(|cursor| {
        let (name, span) = (cursor.name().to_owned(), cursor.span());
        Some(Entry { name, span, json: read_node(cursor)?, is_property: false })
    }));
    entries
}

/// No value is `true`, one is itself, several are a list; names make an object, `-` a list.
fn read_node(cursor: &mut Cursor<'_>) -> Option<Json> {
    let values = std::iter::from_fn(|| cursor.optional_argument());
    let values: Vec<Option<Json>> = values.map(|value| value.json()).collect();
    let entries = read_entries(cursor);
    let mut values = values.into_iter().collect::<Option<Vec<Json>>>()?;
    if !values.is_empty() && !entries.is_empty() {
        let message = format!("`{}` has values and names", cursor.name());
        let help = "write the values as a list of their own: `name { - 1; - 2 }`";
        cursor.error(Problem::new(Code::Conflict, message).help(help));
        return None;
    }
    if has_items(&entries) {
        return items(cursor, entries).map(Json::Array);
    }
    if !entries.is_empty() {
        return object(cursor, entries).map(Json::Object);
    }
    match values.len() {
        0 => Some(Json::Bool(true)),
        1 => values.pop(),
        _ => Some(Json::Array(values)),
    }
}

fn has_items(entries: &[Option<Entry>]) -> bool {
    entries.iter().flatten().any(|entry| entry.name == "-")
}

fn items(cursor: &Cursor<'_>, entries: Vec<Option<Entry>>) -> Option<Vec<Json>> {
    let entries = entries.into_iter().collect::<Option<Vec<_>>>()?;
    if let Some(named) = entries.iter().find(|entry| entry.name != "-") {
        let message = format!("`{}` stands in a list", named.name);
        let help = "either all nodes of a block are called `-`, or none is";
        cursor.reading().error(named.span, Problem::new(Code::Conflict, message).help(help));
        return None;
    }
    Some(entries.into_iter().map(|entry| entry.json).collect())
}

/// Nodes of one name make a list.
fn object(cursor: &Cursor<'_>, entries: Vec<Option<Entry>>) -> Option<Map<String, Json>> {
    let mut lists: Vec<(Entry, Vec<Json>)> = Vec::new();
    for entry in entries.into_iter().collect::<Option<Vec<_>>>()? {
        match lists.iter_mut().find(|(first, _)| first.name == entry.name) {
            Some((first, _)) if first.is_property || entry.is_property => {
                let problem =
                    Problem::new(Code::Repeated, format!("`{}` is written twice", entry.name))
                        .note("first written here", first.span)
                        .help("keep one of them");
                cursor.reading().error(entry.span, problem);
                return None;
            }
            Some((_, more)) => more.push(entry.json),
            None => lists.push((entry, Vec::new())),
        }
    }
    let whole = lists.into_iter().map(|(first, more)| match more.is_empty() {
        true => (first.name, first.json),
        false => (first.name, std::iter::once(first.json).chain(more).collect()),
    });
    Some(whole.collect())
}
