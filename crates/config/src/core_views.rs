//! `core { view "…" { … } }`: what streams of events come to.

use crate::{
    Code, Id, VIEW_ROWS, View, ViewAggregate, ViewBucket, ViewColumn, ViewComparison,
    ViewCondition, ViewGroup, ViewShape, ViewTest, ViewValue,
    address::id,
    cursor::Cursor,
    reading::{Problem, Reading},
    source::{Span, Spanned, sound},
    value::{Checked, Plain, Value},
};

/// Views of one core.
const VIEWS_MAX: usize = 256;
/// Aggregates of one view.
const COLUMNS_MAX: usize = 64;
/// Fields that rows stand for.
const GROUPS_MAX: usize = 8;
const CONDITIONS_MAX: usize = 16;
const FIELD_BYTES_MAX: usize = 256;
const STREAM_BYTES_MAX: usize = 1_024;
const ROWS_MAX: u32 = 10_000_000;
/// Places of a `top`.
const TOP: usize = 10;
const TOP_MAX: u32 = 100;
const COLUMNS: [&str; 9] =
    ["count", "sum", "average", "min", "max", "first", "latest", "top", "distinct"];

/// A view as written.
pub(crate) struct ViewPart {
    span: Span,
    name: Option<Spanned<Id>>,
    stream: Option<Spanned<String>>,
    tenant: Option<Option<Spanned<Id>>>,
    rows: Option<Spanned<usize>>,
    conditions: Vec<Option<ViewCondition>>,
    groups: Vec<Spanned<Option<ViewGroup>>>,
    columns: Vec<Spanned<Option<ViewColumn>>>,
    latest_by: Option<Vec<Option<Spanned<String>>>>,
    deleted: Option<Option<Spanned<String>>>,
    sql: Option<Option<Spanned<String>>>,
    /// Where the nodes of each shape are written.
    written: Vec<(&'static str, Span)>,
}

impl ViewPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        let nodes = ["sql", "latest-by", "deleted", "where", "group-by"];
        let nodes = nodes.into_iter().chain(COLUMNS);
        Self {
            span: cursor.span(),
            written: nodes.filter_map(|name| Some((name, cursor.span_of(name)?))).collect(),
            name: cursor.argument("a name").and_then(|value| value.literal(id)),
            stream: cursor.required("stream", "stream \"orders\"", |value| value.parse(stream)),
            tenant: cursor.child("tenant", |c| c.argument("an id").and_then(|v| v.literal(id))),
            rows: cursor.setting("rows", |value| value.count(1..=ROWS_MAX)),
            conditions: cursor.children(&["where"], read_condition),
            groups: cursor.children(&["group-by"], read_group),
            columns: cursor.children(&COLUMNS, read_column),
            latest_by: cursor.child("latest-by", |c| {
                let fields = c.arguments("fields such as \"id\"");
                fields.into_iter().map(|value| value.parse(field)).collect()
            }),
            deleted: cursor
                .child("deleted", |c| c.argument("a field").and_then(|v| v.parse(field))),
            sql: cursor.child("sql", |c| {
                let value = c.argument("a query");
                value.and_then(|value| value.parse(|text| Ok(text.to_owned())))
            }),
        }
    }

    fn settle(self, reading: &Reading<'_>) -> Option<View> {
        let Self {
            span,
            name,
            stream,
            tenant,
            rows,
            conditions,
            groups,
            columns,
            latest_by,
            deleted,
            sql,
            written,
        } = self;
        check_shape(reading, span, &written)?;
        check_bounds(reading, span, (conditions.len(), groups.len(), columns.len()));
        check_names(reading, &groups, &columns);
        let conditions = conditions.into_iter().collect::<Option<_>>();
        let shape = match (sound(sql)?, latest_by) {
            (Some(sql), _) => ViewShape::Sql(sql.value),
            (None, Some(key)) => ViewShape::Latest {
                conditions: conditions?,
                key: key.into_iter().map(|field| Some(field?.value)).collect::<Option<_>>()?,
                deleted: sound(deleted)?.map(|field| field.value),
            },
            (None, None) => ViewShape::Fold {
                conditions: conditions?,
                groups: groups.into_iter().map(|group| group.value).collect::<Option<_>>()?,
                columns: columns.into_iter().map(|column| column.value).collect::<Option<_>>()?,
            },
        };
        Some(View {
            name: name?.value.to_string(),
            tenant: sound(tenant)?.map(|tenant| tenant.value.to_string()),
            stream: stream?.value,
            rows_max: rows.map_or(VIEW_ROWS, |rows| rows.value),
            shape,
        })
    }
}

/// All views of a core; their names differ.
pub(crate) fn settle(reading: &Reading<'_>, parts: Vec<ViewPart>) -> Option<Vec<View>> {
    if let Some(beyond) = parts.get(VIEWS_MAX) {
        let message = format!("a core has at most {VIEWS_MAX} views");
        let problem = Problem::new(Code::TooLarge, message);
        reading.error(beyond.span, problem.help("remove some"));
    }
    for (index, part) in parts.iter().enumerate() {
        let Some(name) = &part.name else { continue };
        let same = |other: &&ViewPart| other.name.as_ref().is_some_and(|it| it.value == name.value);
        if let Some(first) = parts[..index].iter().find(same) {
            let problem = Problem::new(
                Code::DuplicateId,
                format!("two views have the name `{}`", name.value),
            );
            let problem = problem.note("first written here", first.span);
            reading.error(name.span, problem.help("give one of them another name"));
        }
    }
    let settled: Vec<_> = parts.into_iter().map(|part| part.settle(reading)).collect();
    settled.into_iter().collect()
}

/// A view has one shape: aggregates, the latest events, or a query.
fn check_shape(reading: &Reading<'_>, span: Span, written: &[(&'static str, Span)]) -> Option<()> {
    let find = |name: &str| written.iter().find(|(known, _)| *known == name).copied();
    let refused: (_, &[&str]) = match (find("sql"), find("latest-by")) {
        (Some(sql), _) => (sql, &["where", "group-by", "latest-by", "deleted"]),
        (None, Some(latest)) => (latest, &["group-by"]),
        (None, None) if !COLUMNS.iter().any(|name| find(name).is_some()) => {
            let problem = Problem::new(Code::Missing, "the view computes nothing");
            let help = "add `count \"orders\"`, `sum \"revenue\" of=\"amount\"`, `latest-by \"id\"` or `sql \"SELECT …\"`";
            reading.error(span, problem.help(help));
            return None;
        }
        (None, None) => ((("count"), span), &["deleted"]),
    };
    let ((shape, at), others) = refused;
    let is_fold = find("sql").is_none() && find("latest-by").is_none();
    let clashing = written
        .iter()
        .filter(|(name, _)| others.contains(name) || (!is_fold && COLUMNS.contains(name)));
    let mut sound = Some(());
    for (name, span) in clashing {
        let problem = Problem::new(
            Code::Conflict,
            format!("`{name}` does not go together with what the view is"),
        );
        let problem = problem.note(&format!("`{shape}` says what it is"), at);
        let help = match is_fold {
            true => "it belongs to `latest-by`; remove it".to_owned(),
            false => format!("remove `{name}`, or `{shape}`; a second view may have it"),
        };
        reading.error(*span, problem.help(help));
        sound = None;
    }
    sound
}

fn check_bounds(
    reading: &Reading<'_>,
    span: Span,
    (conditions, groups, columns): (usize, usize, usize),
) {
    let bounds = [
        ("conditions", conditions, CONDITIONS_MAX),
        ("`group-by`", groups, GROUPS_MAX),
        ("aggregates", columns, COLUMNS_MAX),
    ];
    for (what, count, max) in bounds.into_iter().filter(|(_, count, max)| count > max) {
        let message = format!("a view has at most {max} {what}, and this has {count}");
        reading.error(span, Problem::new(Code::TooLarge, message).help("make it two views"));
    }
}

/// Names of groups and aggregates are the fields of a row.
fn check_names(
    reading: &Reading<'_>,
    groups: &[Spanned<Option<ViewGroup>>],
    columns: &[Spanned<Option<ViewColumn>>],
) {
    let groups = groups.iter().filter_map(|group| Some((&group.value.as_ref()?.name, group.span)));
    let columns =
        columns.iter().filter_map(|column| Some((&column.value.as_ref()?.name, column.span)));
    let names: Vec<_> = groups.chain(columns).collect();
    for (index, (name, span)) in names.iter().enumerate() {
        if let Some((_, first)) = names[..index].iter().find(|(other, _)| other == name) {
            let problem = Problem::new(
                Code::DuplicateId,
                format!("two fields of the rows are called `{name}`"),
            );
            let problem = problem.note("first written here", *first);
            reading.error(
                *span,
                problem.help("give one another name; a `group-by` takes it from `as=\"…\"`"),
            );
        }
    }
}

/// What stands between a field and a value, or says all by itself.
const TESTS: [(&str, Result<ViewComparison, ViewTest>); 8] = [
    ("=", Ok(ViewComparison::Equal)),
    ("!=", Ok(ViewComparison::NotEqual)),
    ("<", Ok(ViewComparison::Less)),
    ("<=", Ok(ViewComparison::AtMost)),
    (">", Ok(ViewComparison::More)),
    (">=", Ok(ViewComparison::AtLeast)),
    ("exists", Err(ViewTest::Exists)),
    ("missing", Err(ViewTest::Missing)),
];

fn read_condition(cursor: &mut Cursor<'_>) -> Option<ViewCondition> {
    let name = cursor.argument("a field").and_then(|value| value.parse(field));
    let test = cursor.argument("`\"=\"`, another sign, `\"exists\"` or `\"missing\"`");
    let test = match test.and_then(|value| value.word(&TESTS))?.value {
        Ok(comparison) => {
            let value = cursor.argument("a value").and_then(Value::plain)?;
            ViewTest::Is(comparison, literal(cursor, value)?)
        }
        Err(test) => test,
    };
    Some(ViewCondition { field: name?.value, test })
}

fn literal(cursor: &Cursor<'_>, value: Spanned<Plain>) -> Option<ViewValue> {
    Some(match value.value {
        Plain::Text(text) => ViewValue::Text(text),
        Plain::Switch(value) => ViewValue::Switch(value),
        Plain::Fraction(fraction) => ViewValue::Fraction(fraction),
        Plain::Integer(integer) => match i64::try_from(integer) {
            Ok(integer) => ViewValue::Integer(integer),
            Err(_) => {
                let problem = Problem::new(Code::OutOfRange, "the number does not fit 64 bits");
                cursor.reading().error(value.span, problem.help("write a smaller one"));
                return None;
            }
        },
    })
}

const BUCKETS: [(&str, ViewBucket); 3] =
    [("minute", ViewBucket::Minute), ("hour", ViewBucket::Hour), ("day", ViewBucket::Day)];

fn read_group(cursor: &mut Cursor<'_>) -> Spanned<Option<ViewGroup>> {
    let span = cursor.span();
    let of = cursor.argument("a field").and_then(|value| value.parse(field));
    let name = cursor.property("as").map(|value| value.parse(column_name));
    let bucket = cursor.property("bucket").map(|value| value.word(&BUCKETS));
    let read = || {
        let of = of?.value;
        let name = sound(name)?.map_or_else(|| of.clone(), |name| name.value);
        let bucket = sound(bucket)?.map(|bucket| bucket.value);
        Some(ViewGroup { name, field: of, bucket })
    };
    Spanned::new(read(), span)
}

fn read_column(cursor: &mut Cursor<'_>) -> Spanned<Option<ViewColumn>> {
    let span = cursor.span();
    let name = cursor.argument("a name for it").and_then(|value| value.parse(column_name));
    let of = cursor.property("of").map(|value| value.parse(field));
    let most = match cursor.name() {
        "top" => cursor.property("most").map(|value| value.count(1..=TOP_MAX)),
        _ => None,
    };
    let read = || {
        let of = sound(of)?.map(|of| of.value);
        let most = sound(most)?.map_or(TOP, |most| most.value);
        Some(ViewColumn { name: name?.value, aggregate: aggregate(cursor, of, most)? })
    };
    Spanned::new(read(), span)
}

fn aggregate(cursor: &Cursor<'_>, of: Option<String>, most: usize) -> Option<ViewAggregate> {
    let kind = cursor.name();
    let Some(field) = of else {
        if kind == "count" {
            return Some(ViewAggregate::Count(None));
        }
        let problem = Problem::new(Code::Missing, format!("`{kind}` does not say of which field"));
        cursor.error(problem.help(format!("write `{kind} \"name\" of=\"field\"`")));
        return None;
    };
    Some(match kind {
        "count" => ViewAggregate::Count(Some(field)),
        "sum" => ViewAggregate::Sum(field),
        "average" => ViewAggregate::Average(field),
        "min" => ViewAggregate::Min(field),
        "max" => ViewAggregate::Max(field),
        "first" => ViewAggregate::First(field),
        "latest" => ViewAggregate::Latest(field),
        "top" => ViewAggregate::Top { field, most },
        _ => ViewAggregate::Distinct(field),
    })
}

/// `customer.country`, `lines.0.price`, `@time`.
fn field(text: &str) -> Checked<String> {
    let is_path = text.split('.').all(|name| !name.is_empty());
    let is_known = !text.starts_with('@') || matches!(text, "@time" | "@seq");
    if is_path && is_known && text.len() <= FIELD_BYTES_MAX && !text.contains(['"', '\0']) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, format!("{text:?} cannot be a field of an event"))
        .help("write names with dots between them, such as \"customer.country\", or \"@time\" or \"@seq\""))
}

/// A field of the rows.
fn column_name(text: &str) -> Checked<String> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Id, format!("{text:?} cannot be the name of a field"))
        .help("1 to 64 bytes of letters, digits, `-`, `_` or `.`"))
}

/// The path of a stream, as its clients write it behind `/streams/`.
fn stream(text: &str) -> Checked<String> {
    let is_path = text.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    let is_plain = !text.chars().any(char::is_control) && !text.starts_with("__ds/");
    if is_path && is_plain && text.len() <= STREAM_BYTES_MAX {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Path, format!("{text:?} cannot be the path of a stream")).help(
        "write what its clients write behind `/streams/`, such as \"orders\" or \"orders/eu\"",
    ))
}
