//! A view's definition as JSON: what readers are shown, and by which a change is noticed.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use selvedge_config::{
    View, ViewAggregate, ViewBucket, ViewColumn, ViewComparison, ViewCondition, ViewGroup,
    ViewShape, ViewTest, ViewValue,
};
use serde_json::{Value, json};

/// How this version folds; raised when the same definition comes to other rows.
const FOLDING: u32 = 1;

/// What a generation is built from. Another text is another build.
pub(crate) fn text(view: &View) -> String {
    let View { name: _, tenant, stream: _, rows_max, shape: what } = view;
    json!({ "folding": FOLDING, "tenant": tenant, "rows": rows_max, "shape": shape(what) })
        .to_string()
}

/// Whether a definition is of the same tenant as a view: nobody sees what another's stream came to.
pub(crate) fn is_of_tenant(text: &str, view: &View) -> bool {
    let definition: Value = serde_json::from_str(text).unwrap_or_default();
    definition.get("tenant") == Some(&json!(view.tenant))
}

/// The name in the log of the stream that a view follows.
pub(crate) fn source(view: &View) -> String {
    match &view.tenant {
        // What is encoded holds no underscore, which stands for nobody.
        Some(tenant) => {
            format!("streams/{}/{}", utf8_percent_encode(tenant, NON_ALPHANUMERIC), view.stream)
        }
        None => format!("streams/_/{}", view.stream),
    }
}

/// What is done with an event.
pub(crate) fn shape(shape: &ViewShape) -> Value {
    match shape {
        ViewShape::Sql(text) => json!({ "sql": text }),
        ViewShape::Latest { conditions, key, deleted } => json!({
            "where": conditions.iter().map(condition).collect::<Value>(),
            "latest_by": key,
            "deleted": deleted,
        }),
        ViewShape::Fold { conditions, groups, columns } => json!({
            "where": conditions.iter().map(condition).collect::<Value>(),
            "group_by": groups.iter().map(group).collect::<Value>(),
            "columns": columns.iter().map(column).collect::<Value>(),
        }),
    }
}

fn condition(condition: &ViewCondition) -> Value {
    let field = &condition.field;
    match &condition.test {
        ViewTest::Exists => json!([field, "exists"]),
        ViewTest::Missing => json!([field, "missing"]),
        ViewTest::Is(comparison, value) => json!([field, sign(*comparison), literal(value)]),
    }
}

fn sign(comparison: ViewComparison) -> &'static str {
    match comparison {
        ViewComparison::Equal => "=",
        ViewComparison::NotEqual => "!=",
        ViewComparison::Less => "<",
        ViewComparison::AtMost => "<=",
        ViewComparison::More => ">",
        ViewComparison::AtLeast => ">=",
    }
}

fn literal(value: &ViewValue) -> Value {
    match value {
        ViewValue::Text(text) => json!(text),
        ViewValue::Integer(integer) => json!(integer),
        ViewValue::Fraction(fraction) => json!(fraction),
        ViewValue::Switch(value) => json!(value),
    }
}

fn group(group: &ViewGroup) -> Value {
    let ViewGroup { name, field, bucket } = group;
    let bucket = bucket.map(|bucket| match bucket {
        ViewBucket::Minute => "minute",
        ViewBucket::Hour => "hour",
        ViewBucket::Day => "day",
    });
    json!({ "name": name, "field": field, "bucket": bucket })
}

fn column(column: &ViewColumn) -> Value {
    let (aggregate, field, most) = match &column.aggregate {
        ViewAggregate::Count(field) => ("count", field.as_deref(), None),
        ViewAggregate::Sum(field) => ("sum", Some(field.as_str()), None),
        ViewAggregate::Average(field) => ("average", Some(field.as_str()), None),
        ViewAggregate::Min(field) => ("min", Some(field.as_str()), None),
        ViewAggregate::Max(field) => ("max", Some(field.as_str()), None),
        ViewAggregate::First(field) => ("first", Some(field.as_str()), None),
        ViewAggregate::Latest(field) => ("latest", Some(field.as_str()), None),
        ViewAggregate::Top { field, most } => ("top", Some(field.as_str()), Some(most)),
        ViewAggregate::Distinct(field) => ("distinct", Some(field.as_str()), None),
    };
    json!({ "name": column.name, "aggregate": aggregate, "of": field, "most": most })
}
