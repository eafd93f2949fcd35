//! What a view does with one event: its definition, ready to run.

use std::cmp::Ordering;

use selvedge_config::{
    View, ViewAggregate, ViewBucket, ViewColumn, ViewComparison, ViewCondition, ViewGroup,
    ViewShape, ViewTest, ViewValue,
};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    accumulator::Kind,
    field::{Event, Field},
    scalar::Scalar,
    sql::{SqlPlan, Unfit},
};

/// Bytes of a row's key.
const KEY_BYTES_MAX: usize = 1 << 10;
/// Bytes of an event that becomes a row as it is.
const ROW_BYTES_MAX: usize = 64 << 10;

/// What becomes of an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// The view does not ask for it.
    Pass,
    /// Each column takes one value.
    Add { key: Vec<Scalar>, values: Vec<Scalar> },
    /// The row is this now.
    Put { key: Vec<Scalar>, row: String },
    /// There is no such row any more.
    Remove { key: Vec<Scalar> },
}

/// Why an event cannot be folded.
pub(crate) type Bad = String;

/// A view's definition, ready to run.
pub(crate) struct Plan {
    /// Names of the parts of the key that rows show.
    pub(crate) groups: Vec<String>,
    /// Aggregates, in order; none where rows are events.
    pub(crate) columns: Vec<(String, Kind)>,
    /// Rows that the view may have.
    pub(crate) rows_max: usize,
    shape: Shape,
}

/// A part of the key, and the stretch of time that counts if it is a time.
type Part = (Field, Option<ViewBucket>);

enum Shape {
    Fold { filter: Filter, groups: Vec<Part>, inputs: Vec<Option<Field>> },
    Latest { filter: Filter, key: Vec<Field>, deleted: Option<Field> },
    Sql(SqlPlan),
}

struct Filter(Vec<(Field, ViewTest)>);

impl Plan {
    /// Compiles a definition.
    ///
    /// # Errors
    /// If it is SQL that cannot be kept up.
    pub(crate) fn new(view: &View) -> Result<Plan, Unfit> {
        let rows_max = view.rows_max;
        match &view.shape {
            ViewShape::Fold { conditions, groups, columns } => {
                Ok(fold(Filter::new(conditions), groups, columns, rows_max))
            }
            ViewShape::Latest { conditions, key, deleted } => {
                let shape = Shape::Latest {
                    filter: Filter::new(conditions),
                    key: key.iter().map(|field| Field::parse(field)).collect(),
                    deleted: deleted.as_deref().map(Field::parse),
                };
                Ok(Plan { groups: key.clone(), columns: Vec::new(), rows_max, shape })
            }
            ViewShape::Sql(text) => {
                let sql = SqlPlan::new(text)?;
                let (groups, columns) = (sql.groups.clone(), sql.columns.clone());
                Ok(Plan { groups, columns, rows_max, shape: Shape::Sql(sql) })
            }
        }
    }

    /// Says what becomes of an event.
    ///
    /// # Errors
    /// With the reason, if the event is not what the view expects. Nothing of it is folded then.
    pub(crate) fn change(&self, event: &Event<'_>) -> Result<Change, Bad> {
        let text = std::str::from_utf8(event.bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let json: Value =
            serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let change = match &self.shape {
            Shape::Fold { filter, .. } | Shape::Latest { filter, .. }
                if !filter.admits(event, &json)? =>
            {
                Change::Pass
            }
            Shape::Fold { groups, inputs, .. } => self.add(event, &json, (groups, inputs))?,
            Shape::Latest { key, deleted, .. } => {
                let key = key_of(key, event, &json)?;
                let is_gone = |field: &Field| {
                    field.is_there(&json) && field.of(event, &json) != Ok(Scalar::Switch(false))
                };
                match deleted.as_ref().is_some_and(is_gone) {
                    true => Change::Remove { key },
                    false => Change::Put { key, row: row_of(text)? },
                }
            }
            Shape::Sql(sql) => sql.change(event, text)?,
        };
        self.bound(change)
    }

    fn add(
        &self,
        event: &Event<'_>,
        json: &Value,
        (groups, inputs): (&[Part], &[Option<Field>]),
    ) -> Result<Change, Bad> {
        let group = |((field, bucket), name): (&Part, &String)| {
            let value = field.of(event, json).and_then(|value| match bucket {
                Some(bucket) => begin_of(*bucket, value),
                None => Ok(value),
            });
            value.map_err(|what| format!("`{name}` {what}"))
        };
        let key = groups.iter().zip(&self.groups).map(group).collect::<Result<_, _>>()?;
        let value = |(field, (name, kind)): (&Option<Field>, &(String, Kind))| match (field, kind) {
            // A count counts whatever is there.
            (Some(field), Kind::Count) if !field.is_there(json) => Ok(Scalar::Null),
            (None, _) | (_, Kind::Count) => Ok(Scalar::Integer(1)),
            (Some(field), _) => field.of(event, json).map_err(|what| format!("`{name}` {what}")),
        };
        let values = inputs.iter().zip(&self.columns).map(value).collect::<Result<_, _>>()?;
        Ok(Change::Add { key, values })
    }

    /// Refuses what is too long to be kept or makes no sense to its aggregate.
    fn bound(&self, change: Change) -> Result<Change, Bad> {
        let (key, values) = match &change {
            Change::Pass => return Ok(change),
            Change::Add { key, values } => (key, values.as_slice()),
            Change::Put { key, .. } | Change::Remove { key } => (key, &[][..]),
        };
        if key.iter().map(Scalar::weight).sum::<usize>() > KEY_BYTES_MAX {
            return Err(format!("its key is longer than {KEY_BYTES_MAX} bytes"));
        }
        for (value, (name, kind)) in values.iter().zip(&self.columns) {
            kind.admit(value).map_err(|what| format!("`{name}` {what}"))?;
        }
        Ok(change)
    }
}

fn fold(filter: Filter, groups: &[ViewGroup], columns: &[ViewColumn], rows_max: usize) -> Plan {
    let (kinds, inputs): (Vec<_>, Vec<_>) = columns.iter().map(aggregate).unzip();
    let shape = Shape::Fold {
        filter,
        groups: groups.iter().map(|group| (Field::parse(&group.field), group.bucket)).collect(),
        inputs,
    };
    let groups = groups.iter().map(|group| group.name.clone()).collect();
    Plan { groups, columns: kinds, rows_max, shape }
}

fn aggregate(column: &ViewColumn) -> ((String, Kind), Option<Field>) {
    let (kind, field) = match &column.aggregate {
        ViewAggregate::Count(field) => (Kind::Count, field.as_ref()),
        ViewAggregate::Sum(field) => (Kind::Sum, Some(field)),
        ViewAggregate::Average(field) => (Kind::Average, Some(field)),
        ViewAggregate::Min(field) => (Kind::Min, Some(field)),
        ViewAggregate::Max(field) => (Kind::Max, Some(field)),
        ViewAggregate::First(field) => (Kind::First, Some(field)),
        ViewAggregate::Latest(field) => (Kind::Latest, Some(field)),
        ViewAggregate::Top { field, most } => (Kind::Top { most: *most }, Some(field)),
        ViewAggregate::Distinct(field) => (Kind::Distinct, Some(field)),
    };
    ((column.name.clone(), kind), field.map(|field| Field::parse(field)))
}

fn key_of(fields: &[Field], event: &Event<'_>, json: &Value) -> Result<Vec<Scalar>, Bad> {
    let value = |field: &Field| match field.of(event, json) {
        Ok(Scalar::Null) => Err("its key is missing".to_owned()),
        value => value.map_err(|what| format!("its key {what}")),
    };
    fields.iter().map(value).collect()
}

fn row_of(text: &str) -> Result<String, Bad> {
    match text.len() <= ROW_BYTES_MAX {
        true => Ok(text.to_owned()),
        false => Err(format!("it is longer than a row of {ROW_BYTES_MAX} bytes")),
    }
}

impl Filter {
    fn new(conditions: &[ViewCondition]) -> Filter {
        let ready =
            |condition: &ViewCondition| (Field::parse(&condition.field), condition.test.clone());
        Filter(conditions.iter().map(ready).collect())
    }

    fn admits(&self, event: &Event<'_>, json: &Value) -> Result<bool, Bad> {
        for (field, test) in &self.0 {
            let holds = match test {
                ViewTest::Exists => field.is_there(json),
                ViewTest::Missing => !field.is_there(json),
                // An array or object equals no plain value; that is no fault of the event.
                ViewTest::Is(comparison, value) => match field.of(event, json) {
                    Ok(found) => holds(&found, *comparison, &scalar(value)),
                    Err(_) => *comparison == ViewComparison::NotEqual,
                },
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Values of different kinds are not equal, and neither is before the other.
fn holds(found: &Scalar, comparison: ViewComparison, value: &Scalar) -> bool {
    let ordering = found.compare(value);
    match comparison {
        ViewComparison::Equal => ordering == Some(Ordering::Equal),
        ViewComparison::NotEqual => ordering != Some(Ordering::Equal),
        ViewComparison::Less => ordering == Some(Ordering::Less),
        ViewComparison::AtMost => ordering.is_some_and(Ordering::is_le),
        ViewComparison::More => ordering == Some(Ordering::Greater),
        ViewComparison::AtLeast => ordering.is_some_and(Ordering::is_ge),
    }
}

fn scalar(value: &ViewValue) -> Scalar {
    match value {
        ViewValue::Text(text) => Scalar::Text(text.clone()),
        ViewValue::Integer(integer) => Scalar::Integer(*integer),
        ViewValue::Fraction(fraction) => Scalar::of_fraction(*fraction),
        ViewValue::Switch(value) => Scalar::Switch(*value),
    }
}

/// Where the minute, hour or day begins, in UTC, that a time lies in: milliseconds since 1970, or RFC 3339.
fn begin_of(bucket: ViewBucket, value: Scalar) -> Result<Scalar, &'static str> {
    const NO_TIME: &str =
        "is no time: milliseconds since 1970, or text such as 2026-01-31T12:00:00Z";
    let time = match &value {
        Scalar::Null => return Ok(Scalar::Null),
        Scalar::Integer(ms) => {
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(*ms) * 1_000_000).ok()
        }
        Scalar::Text(text) if text.len() == "2026-01-31".len() => {
            OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339).ok()
        }
        Scalar::Text(text) => OffsetDateTime::parse(text, &Rfc3339).ok(),
        _ => None,
    };
    let time = time.ok_or(NO_TIME)?.to_utc();
    let (year, month, day) = time.to_calendar_date();
    let date = format!("{year:04}-{:02}-{day:02}", u8::from(month));
    Ok(Scalar::Text(match bucket {
        ViewBucket::Day => date,
        ViewBucket::Hour => format!("{date}T{:02}:00:00Z", time.hour()),
        ViewBucket::Minute => format!("{date}T{:02}:{:02}:00Z", time.hour(), time.minute()),
    }))
}
