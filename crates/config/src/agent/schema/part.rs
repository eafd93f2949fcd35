//! The nodes of an agent of type `schema`.

use std::{collections::BTreeMap, path::PathBuf};

use selvedge_base::ByteSize;

use super::{Bounds, Document, Path, Patterns, Schema, Settings, Side, Undocumented};
use crate::{
    Code, Id,
    address::id,
    cursor::Cursor,
    http::{anchored_regex, media_range, method, path},
    reading::{Problem, Reading},
    source::{Span, Spanned},
    value::Checked,
};

/// Nodes that only agents of this type have.
pub(in crate::agent) const NODES: [&str; 9] = [
    "document",
    "schema",
    "bounds",
    "report-only",
    "response",
    "status",
    "formats",
    "patterns",
    "decode",
];

const PATTERNS: [(&str, Patterns); 2] =
    [("linear", Patterns::Linear), ("backtracking", Patterns::Backtracking)];

/// The settings as written.
pub(in crate::agent) struct SchemaPart {
    documents: Vec<DocumentPart>,
    schemas: Vec<OnePart>,
    bounds: BoundsPart,
    report_only: Option<Spanned<bool>>,
    response: Option<Spanned<bool>>,
    status: Option<Spanned<u16>>,
    formats: Option<Spanned<bool>>,
    patterns: Option<Spanned<Patterns>>,
    decode: Option<Spanned<bool>>,
}

struct DocumentPart {
    id: Option<Spanned<Id>>,
    file: Option<Spanned<PathBuf>>,
    base_path: Option<Spanned<String>>,
    undocumented: Option<Spanned<Undocumented>>,
}

/// One `schema` by itself.
struct OnePart {
    id: Option<Spanned<Id>>,
    file: Option<Spanned<PathBuf>>,
    on: Option<Spanned<Side>>,
    paths: Vec<Path>,
    methods: Vec<String>,
    content_types: Vec<String>,
}

#[derive(Default)]
struct BoundsPart {
    size: Option<Spanned<ByteSize>>,
    depth: Option<Spanned<usize>>,
    keys: Option<Spanned<usize>>,
    items: Option<Spanned<usize>>,
    number_digits: Option<Spanned<usize>>,
    string_size: Option<Spanned<ByteSize>>,
    violations: Option<Spanned<usize>>,
}

impl SchemaPart {
    pub(in crate::agent) fn read(cursor: &mut Cursor<'_>) -> Self {
        let part = Self {
            documents: cursor.children(&["document"], DocumentPart::read),
            schemas: cursor.children(&["schema"], OnePart::read),
            bounds: cursor.child("bounds", BoundsPart::read).unwrap_or_default(),
            report_only: cursor.setting("report-only", |value| value.boolean()),
            response: cursor.setting("response", |value| value.boolean()),
            status: cursor.setting("status", |value| value.integer(400..=422)),
            formats: cursor.setting("formats", |value| value.boolean()),
            patterns: cursor.setting("patterns", |value| value.word(&PATTERNS)),
            decode: cursor.setting("decode", |value| value.boolean()),
        };
        if part.documents.is_empty() && part.schemas.is_empty() {
            let problem = Problem::new(Code::Missing, "this agent has nothing to check by");
            let help =
                "add `document \"api\" { openapi \"openapi.yaml\" }` or `schema \"order\" { … }`";
            cursor.error(problem.help(help));
        }
        let reading = cursor.reading();
        check_ids(reading, ("documents", part.documents.iter().map(|part| &part.id)));
        check_ids(reading, ("schemas", part.schemas.iter().map(|part| &part.id)));
        part.check_response(reading);
        part.check_status(reading);
        part
    }

    fn check_response(&self, reading: &Reading<'_>) {
        let Some(switch) = self.response.as_ref().filter(|_| self.documents.is_empty()) else {
            return;
        };
        let problem =
            Problem::new(Code::Conflict, "`response` concerns documents, and there is none");
        reading.error(switch.span, problem.help("write `on \"response\"` into a `schema`"));
    }

    fn check_status(&self, reading: &Reading<'_>) {
        let written = self.status.as_ref().filter(|status| !matches!(status.value, 400 | 422));
        if let Some(status) = written {
            let message = format!("{} does not say that a request is invalid", status.value);
            let problem = Problem::new(Code::OutOfRange, message);
            reading.error(status.span, problem.help("write 400 or 422"));
        }
    }

    pub(in crate::agent) fn settle(
        self,
        reading: &Reading<'_>,
        (scope, body_max): (&str, ByteSize),
    ) -> Option<Settings> {
        let Self {
            documents,
            schemas,
            bounds,
            report_only,
            response,
            status,
            formats,
            patterns,
            decode,
        } = self;
        let documents: Vec<_> = documents.into_iter().map(DocumentPart::settle).collect();
        let schemas: Vec<_> = schemas.into_iter().map(OnePart::settle).collect();
        Some(Settings {
            documents: documents.into_iter().collect::<Option<_>>()?,
            schemas: schemas.into_iter().collect::<Option<_>>()?,
            bounds: bounds.settle(reading, (scope, body_max)),
            report_only: report_only.is_some_and(|switch| switch.value),
            response: response.is_some_and(|switch| switch.value),
            status: status.map_or(400, |status| status.value),
            formats: formats.is_none_or(|switch| switch.value),
            patterns: patterns.map_or(Patterns::Linear, |choice| choice.value),
            decode: decode.is_some_and(|switch| switch.value),
        })
    }
}

fn check_ids<'p>(
    reading: &Reading<'_>,
    (kind, ids): (&str, impl Iterator<Item = &'p Option<Spanned<Id>>>),
) {
    let mut first: BTreeMap<&str, Span> = BTreeMap::new();
    for id in ids.flatten() {
        if let Some(first) = first.get(id.value.as_ref()) {
            let message = format!("two {kind} have the id `{}`", id.value);
            let problem = Problem::new(Code::DuplicateId, message)
                .note("first written here", *first)
                .help("give one of them another id");
            reading.error(id.span, problem);
        }
        first.entry(&id.value).or_insert(id.span);
    }
}

impl DocumentPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let choices = [("refuse", Undocumented::Refuse), ("pass", Undocumented::Pass)];
        Self {
            id: cursor.argument("an id").and_then(|value| value.literal(id)),
            file: cursor.required("openapi", "openapi \"openapi.yaml\"", |value| value.file()),
            base_path: cursor.setting("base-path", |value| value.parse(path)),
            undocumented: cursor.setting("undocumented", |value| value.word(&choices)),
        }
    }

    fn settle(self) -> Option<Document> {
        let Self { id, file, base_path, undocumented } = self;
        Some(Document {
            id: id?.value.to_string(),
            file: file?.value,
            base_path: base_path.map(|path| path.value.trim_end_matches('/').to_owned()),
            undocumented: undocumented.map_or(Undocumented::Refuse, |choice| choice.value),
        })
    }
}

impl OnePart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let sides = [("request", Side::Request), ("response", Side::Response)];
        Self {
            id: cursor.argument("an id").and_then(|value| value.literal(id)),
            file: cursor.required("file", "file \"order.json\"", |value| value.file()),
            on: cursor.setting("on", |value| value.word(&sides)),
            paths: cursor
                .children(&["path", "path-prefix", "path-regex"], read_paths)
                .into_iter()
                .flatten()
                .collect(),
            methods: read_all(cursor, ("method", method)),
            content_types: read_all(cursor, ("content-type", media_range)),
        }
    }

    fn settle(self) -> Option<Schema> {
        let Self { id, file, on, paths, methods, mut content_types } = self;
        if content_types.is_empty() {
            content_types = ["application/json", "application/*+json"].map(str::to_owned).to_vec();
        }
        Some(Schema {
            id: id?.value.to_string(),
            file: file?.value,
            on: on.map_or(Side::Request, |side| side.value),
            paths,
            methods,
            content_types,
        })
    }
}

fn read_all(
    cursor: &mut Cursor<'_>,
    (name, read): (&'static str, fn(&str) -> Checked<String>),
) -> Vec<String> {
    let lists = cursor.children(&[name], |cursor| {
        let arguments = cursor.arguments("a value");
        let texts = arguments.into_iter().filter_map(|value| value.parse(read));
        texts.map(|text| text.value).collect::<Vec<_>>()
    });
    lists.into_iter().flatten().collect()
}

fn read_paths(cursor: &mut Cursor<'_>) -> Vec<Path> {
    let read: fn(&str) -> Checked<Path> = match cursor.name() {
        "path" => |text| path(text).map(Path::Exact),
        "path-prefix" => |text| path(text).map(Path::Prefix),
        _ => |text| anchored_regex(text).map(|regex| Path::Regex(regex.as_str().to_owned())),
    };
    let arguments = cursor.arguments("paths");
    arguments.into_iter().filter_map(|value| value.parse(read)).map(|one| one.value).collect()
}

impl BoundsPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        const MANY: std::ops::RangeInclusive<u32> = 1..=100_000_000;
        Self {
            size: cursor.setting("size", |v| v.size(ByteSize(1)..=super::super::BODY_MAX)),
            depth: cursor.setting("depth", |value| value.count(1..=127)),
            keys: cursor.setting("keys", |value| value.count(MANY)),
            items: cursor.setting("items", |value| value.count(MANY)),
            number_digits: cursor.setting("number-digits", |value| value.count(1..=10_000)),
            string_size: cursor
                .setting("string-size", |v| v.size(ByteSize(1)..=super::super::BODY_MAX)),
            violations: cursor.setting("violations", |value| value.count(1..=1_000)),
        }
    }

    fn settle(self, reading: &Reading<'_>, (scope, body_max): (&str, ByteSize)) -> Bounds {
        let Self { size, depth, keys, items, number_digits, string_size, violations } = self;
        if let Some(size) = size.as_ref().filter(|size| size.value > body_max) {
            let message =
                format!("this agent sees {body_max} of a body: no larger one can be checked");
            let problem = Problem::new(Code::Conflict, message);
            reading.error(size.span, problem.help("raise the agent's `body-max`, or lower this"));
        }
        let count = |name, written, default| reading.settle(scope, name, written, default);
        let size = reading.settle(scope, "bounds size", size, body_max);
        Bounds {
            size,
            depth: count("bounds depth", depth, 64),
            keys: count("bounds keys", keys, 10_000),
            items: count("bounds items", items, 100_000),
            number_digits: count("bounds number-digits", number_digits, 64),
            string_size: reading.settle(scope, "bounds string-size", string_size, size),
            violations: count("bounds violations", violations, 32),
        }
    }
}
