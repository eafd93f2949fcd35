//! `request-headers { … }` and `response-headers { … }` of a route.

use selvedge_base::Secret;

use crate::{
    HeaderOp,
    cursor::Cursor,
    http::{header_value, operable_header_name},
};

/// Operations in the order written.
pub(crate) fn read_header_ops(cursor: &mut Cursor<'_>, is_request: bool) -> Vec<HeaderOp> {
    let ops = cursor.children(&["set", "add", "remove"], |cursor| match cursor.name() {
        "remove" => read_removals(cursor, is_request),
        _ => read_write(cursor, is_request).into_iter().collect(),
    });
    ops.into_iter().flatten().collect()
}

fn read_removals(cursor: &mut Cursor<'_>, is_request: bool) -> Vec<HeaderOp> {
    let arguments = cursor.arguments("names of headers");
    let name = |text: &str| operable_header_name(text, is_request);
    let names = arguments.into_iter().filter_map(|value| value.parse(name));
    names.map(|name| HeaderOp::Remove(name.value)).collect()
}

fn read_write(cursor: &mut Cursor<'_>, is_request: bool) -> Option<HeaderOp> {
    let name = cursor.argument("the name of a header");
    let name = name.and_then(|value| value.parse(|text| operable_header_name(text, is_request)));
    let value = cursor.argument("a name and a value");
    let value = value.and_then(|value| value.parse(header_value));
    let (name, value) = (name?.value, Secret::new(value?.value));
    Some(match cursor.name() {
        "set" => HeaderOp::Set(name, value),
        _ => HeaderOp::Add(name, value),
    })
}
