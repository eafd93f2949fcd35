//! Reading rows: connections that cannot write, and the SQL of a question.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, Row, params_from_iter, types::Value as Sql};
use selvedge_config::ViewShape;

use super::{
    query::{After, Query, meanings},
    scalar::{self, Scalar},
    store::{Fault, Generation, faults, generations},
};

/// Connections that are kept open.
const KEPT_MAX: usize = 4;
/// How long one question may take.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Steps of SQLite between two looks at the clock.
const STEPS: i32 = 10_000;
/// Ways to read a key of several parts.
const MEANINGS_MAX: usize = 64;

/// Connections for readers.
pub(crate) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// Rows, and what they include.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    pub(crate) generation: Generation,
    /// Each is an object of JSON, or for the latest events whatever the event is.
    pub(crate) rows: Vec<String>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<String>,
}

impl Readers {
    pub(crate) fn new(file: PathBuf) -> Readers {
        Readers { file, idle: Mutex::default() }
    }

    /// Reads one page of a view; nothing if there is no build of it. Blocks.
    pub(crate) fn page(
        &self,
        (view, shape): (&str, &ViewShape),
        query: &Query,
    ) -> rusqlite::Result<Option<Page>> {
        self.with(|connection| {
            let reading = connection.unchecked_transaction()?;
            let Some(generation) = generations(&reading, view)?.into_iter().next() else {
                return Ok(None);
            };
            let (rows, next) = rows(&reading, generation.id, (shape, query))?;
            Ok(Some(Page { generation, rows, next }))
        })
    }

    /// Reads the last bad events of a build. Blocks.
    pub(crate) fn faults(&self, generation: i64) -> rusqlite::Result<Vec<Fault>> {
        self.with(|connection| faults(connection, generation))
    }

    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| self.connect(), Ok)?;
        let end = Instant::now() + TIME_MAX;
        connection.progress_handler(STEPS, Some(move || Instant::now() > end))?;
        let result = read(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if result.is_ok() && idle.len() < KEPT_MAX {
            idle.push(connection);
        }
        result
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.file, flags)?;
        connection.busy_timeout(TIME_MAX)?;
        Ok(connection)
    }
}

/// A statement that grows, and what fills its gaps.
struct Building {
    text: String,
    values: Vec<Sql>,
}

impl Building {
    /// The gap for a value.
    fn gap(&mut self, value: impl Into<Sql>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }
}

type Found = (Vec<String>, Option<String>);

fn rows(
    connection: &Connection,
    generation: i64,
    (shape, query): (&ViewShape, &Query),
) -> rusqlite::Result<Found> {
    let building = select(generation, (shape, query));
    let mut statement = connection.prepare_cached(&building.text)?;
    let read = |row: &Row<'_>| -> rusqlite::Result<(After, String)> {
        let value = row.get::<_, Sql>(2).map(of_sql)?;
        let value = query.order.as_ref().map(|_| value);
        Ok((After { key: row.get(0)?, value }, row.get(1)?))
    };
    let found = statement.query_map(params_from_iter(building.values), read)?;
    let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    // One more than asked for says that there is a next page.
    let is_cut = found.len() > query.limit;
    found.truncate(query.limit);
    let next = found.last().filter(|_| is_cut).map(|(after, _)| after.token());
    Ok((found.into_iter().map(|(_, row)| row).collect(), next))
}

fn select(generation: i64, (shape, query): (&ViewShape, &Query)) -> Building {
    let mut building = Building { text: String::new(), values: Vec::new() };
    let sorted = match &query.order {
        Some(order) => field(&mut building, shape, &order.field),
        None => "NULL".to_owned(),
    };
    let generation = building.gap(generation);
    let mut conditions = vec![format!("generation = {generation}")];
    conditions.extend(keys(&mut building, query));
    conditions.extend(prefix(&mut building, query));
    for condition in &query.conditions {
        let found = field(&mut building, shape, &condition.field);
        conditions.push(compare(&mut building, (&found, condition.operator), &condition.value));
    }
    // What has nothing to be sorted by comes last.
    let (order, sign) = match query.order.as_ref().map(|order| order.descending) {
        None => ("key".to_owned(), ">"),
        Some(false) => (format!("{sorted} IS NULL, ifnull({sorted}, ''), key"), ">"),
        Some(true) => {
            (format!("{sorted} IS NOT NULL DESC, ifnull({sorted}, '') DESC, key DESC"), "<")
        }
    };
    if let Some(after) = &query.after {
        conditions.push(beyond(&mut building, (&sorted, sign), after));
    }
    building.text = format!(
        "SELECT key, row, {sorted} FROM row WHERE {} ORDER BY {order} LIMIT {}",
        conditions.join(" AND "),
        query.limit + 1
    );
    building
}

/// A field of a row: by its name, and in events by its path.
fn field(building: &mut Building, shape: &ViewShape, name: &str) -> String {
    let path: String = match shape {
        ViewShape::Latest { .. } => name.split('.').map(step).collect(),
        _ => format!(".{}", quoted(name)),
    };
    let gap = building.gap(format!("${path}"));
    format!("json_extract(row, {gap})")
}

fn step(name: &str) -> String {
    match name.parse::<u32>() {
        Ok(index) => format!("[{index}]"),
        Err(_) => format!(".{}", quoted(name)),
    }
}

/// A name that holds a quote matches nothing; names of columns have none.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', ""))
}

fn keys(building: &mut Building, query: &Query) -> Option<String> {
    let mut keys = vec![Vec::new()];
    for part in &query.keys {
        let meanings = meanings(part);
        let longer = keys.iter().flat_map(|key: &Vec<Scalar>| {
            meanings.iter().map(|meaning| [key.as_slice(), std::slice::from_ref(meaning)].concat())
        });
        keys = longer.take(MEANINGS_MAX).collect();
    }
    if query.keys.is_empty() {
        return None;
    }
    let gaps: Vec<String> = keys.iter().map(|key| building.gap(scalar::key(key))).collect();
    Some(format!("key IN ({})", gaps.join(", ")))
}

/// Keys are arrays of JSON, so those whose first value begins with a text lie together.
fn prefix(building: &mut Building, query: &Query) -> Option<String> {
    let text = serde_json::Value::from(query.prefix.as_deref()?).to_string();
    let begin = format!("[{}", text.strip_suffix('"')?);
    let from = building.gap(begin.clone());
    let to = building.gap(format!("{begin}\u{10ffff}"));
    Some(format!("key >= {from} AND key < {to}"))
}

/// Only values of one kind compare.
fn compare(building: &mut Building, (found, operator): (&str, &str), value: &Scalar) -> String {
    let kinds = match value {
        Scalar::Null if operator == "=" => return format!("{found} IS NULL"),
        Scalar::Null => return format!("{found} IS NOT NULL"),
        Scalar::Text(_) => "'text'",
        _ => "'integer', 'real'",
    };
    let gap = building.gap(to_sql(value));
    match operator {
        "<>" => format!("{found} IS NOT {gap}"),
        operator => format!("(typeof({found}) IN ({kinds}) AND {found} {operator} {gap})"),
    }
}

fn beyond(building: &mut Building, (sorted, sign): (&str, &str), after: &After) -> String {
    let key = building.gap(after.key.clone());
    let Some(value) = &after.value else { return format!("key {sign} {key}") };
    let is_last = value.is_null();
    let value = match value {
        Scalar::Null => Scalar::Text(String::new()),
        value => value.clone(),
    };
    let value = building.gap(to_sql(&value));
    let (test, rank) = match sign {
        "<" => ("IS NOT NULL", !is_last),
        _ => ("IS NULL", is_last),
    };
    let rank = i64::from(rank);
    format!("({sorted} {test}, ifnull({sorted}, ''), key) {sign} ({rank}, {value}, {key})")
}

fn to_sql(value: &Scalar) -> Sql {
    match value {
        Scalar::Null => Sql::Null,
        // SQLite reads true and false of JSON as numbers.
        Scalar::Switch(value) => Sql::Integer(i64::from(*value)),
        Scalar::Integer(integer) => Sql::Integer(*integer),
        Scalar::Fraction(bits) => Sql::Real(f64::from_bits(*bits)),
        Scalar::Text(text) => Sql::Text(text.clone()),
    }
}

fn of_sql(value: Sql) -> Scalar {
    match value {
        Sql::Null | Sql::Blob(_) => Scalar::Null,
        Sql::Integer(integer) => Scalar::Integer(integer),
        Sql::Real(fraction) => Scalar::of_fraction(fraction),
        Sql::Text(text) => Scalar::Text(text),
    }
}
