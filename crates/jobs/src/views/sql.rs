//! Views written in SQL: what of it can be kept up event by event, and the reason where it cannot.
//!
//! A query is taken apart into what it groups by, the arguments of its aggregates, and its condition. SQLite computes these for
//! one event at a time; the aggregates are ours. It sees no table, and an authorizer refuses whatever is not computing.

use std::{ops::ControlFlow, thread};

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
    types::ValueRef,
};
use sqlparser::{
    ast::{
        Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Query,
        Select, SelectItem, SetExpr, Statement, Value, visit_expressions,
    },
    dialect::SQLiteDialect,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use super::{
    accumulator::Kind,
    field::Event,
    plan::{Bad, Change},
    scalar::Scalar,
};

/// Bytes of a query.
const TEXT_BYTES_MAX: usize = 8 << 10;
/// Words and signs of a query: a chain of operators is as deep as it is long, and those who walk it recurse.
const TOKENS_MAX: usize = 400;
/// Enough for the deepest query of that many words, whoever asks: the parser recurses too.
const STACK_BYTES: usize = 32 << 20;
/// Columns of a query.
const COLUMNS_MAX: usize = 64;
/// Bytes of any value while an event is judged.
const VALUE_BYTES_MAX: i32 = 16 << 20;
/// The columns of `event`.
const EVENT: [&str; 3] = ["seq", "time", "json"];
/// What SQLite computes the same from the same, whenever and wherever.
const FUNCTIONS: &[&str] = &[
    "->",
    "->>",
    "abs",
    "ceil",
    "ceiling",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "date",
    "datetime",
    "floor",
    "format",
    "glob",
    "hex",
    "ifnull",
    "iif",
    "if",
    "instr",
    "json",
    "json_array_length",
    "json_extract",
    "json_type",
    "json_valid",
    "julianday",
    "length",
    "like",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "max",
    "min",
    "mod",
    "nullif",
    "octet_length",
    "pow",
    "power",
    "printf",
    "quote",
    "replace",
    "round",
    "rtrim",
    "sign",
    "sqrt",
    "strftime",
    "substr",
    "substring",
    "time",
    "timediff",
    "trim",
    "trunc",
    "typeof",
    "unicode",
    "unixepoch",
    "upper",
];
/// Aggregates that SQL has and that cannot be kept up, or not within bounds.
const REFUSED: &[(&str, &str)] = &[
    ("group_concat", "grows without bound"),
    ("string_agg", "grows without bound"),
    ("json_group_array", "grows without bound"),
    ("json_group_object", "grows without bound"),
    ("jsonb_group_array", "grows without bound"),
    ("jsonb_group_object", "grows without bound"),
    ("total", "is `sum` with 0 instead of null; write `sum`"),
    ("median", "needs all values at once"),
    ("percentile", "needs all values at once"),
];

/// Why a definition cannot be kept up, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) String);

impl Unfit {
    fn new(reason: impl Into<String>) -> Unfit {
        Unfit(reason.into())
    }
}

/// A query, taken apart.
pub(crate) struct SqlPlan {
    pub(crate) groups: Vec<String>,
    pub(crate) columns: Vec<(String, Kind)>,
    connection: Connection,
    per_event: String,
}

/// One column of the query.
enum Item {
    Group(Box<Expr>),
    Aggregate { kind: Kind, argument: String },
}

impl SqlPlan {
    /// Takes a query apart.
    ///
    /// # Errors
    /// With the reason, if its result cannot be kept up event by event.
    pub(crate) fn new(text: &str) -> Result<SqlPlan, Unfit> {
        thread::scope(|scope| {
            let reader = thread::Builder::new().stack_size(STACK_BYTES);
            let reading = reader.spawn_scoped(scope, || SqlPlan::read(text));
            let plan =
                reading.map_err(|error| Unfit::new(format!("no thread reads it: {error}")))?;
            plan.join().unwrap_or_else(|_| Err(Unfit::new("reading it failed")))
        })
    }

    fn read(text: &str) -> Result<SqlPlan, Unfit> {
        let select = parse(text)?;
        let mut items = Vec::new();
        for item in &select.projection {
            items.push(read_item(item)?);
        }
        check_groups(&select, &items)?;
        check_names(&items)?;
        let mut plan = SqlPlan {
            groups: Vec::new(),
            columns: Vec::new(),
            connection: computing_only().map_err(|error| Unfit::new(error.to_string()))?,
            per_event: String::new(),
        };
        let (mut keys, mut arguments) = (Vec::new(), Vec::new());
        for (name, item) in items {
            match item {
                Item::Group(expr) => {
                    plan.groups.push(name);
                    keys.push(expr.to_string());
                }
                Item::Aggregate { kind, argument } => {
                    plan.columns.push((name, kind));
                    arguments.push(argument);
                }
            }
        }
        if plan.columns.is_empty() {
            return Err(Unfit::new(
                "it has no aggregate; add `count(*)`, `sum(…)`, `avg(…)`, `min(…)` or `max(…)`, or write `latest-by`",
            ));
        }
        keys.append(&mut arguments);
        let condition = select.selection.map(|condition| format!(" WHERE {condition}"));
        plan.per_event = format!(
            "SELECT {} FROM (SELECT ?1 AS seq, ?2 AS time, ?3 AS json) AS event{}",
            keys.join(", "),
            condition.unwrap_or_default()
        );
        let refused = plan.connection.prepare(&plan.per_event).err();
        match refused {
            None => Ok(plan),
            Some(error) => Err(Unfit::new(format!("SQLite does not take it: {}", said(&error)))),
        }
    }

    /// Says what an event comes to.
    pub(crate) fn change(&self, event: &Event<'_>, text: &str) -> Result<Change, Bad> {
        self.compute(event, text).map_err(|error| error.to_string())
    }

    fn compute(&self, event: &Event<'_>, text: &str) -> rusqlite::Result<Change> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(&self.per_event)?;
        let mut rows = statement.query((number(event.seq), number(event.time_ms), text))?;
        let Some(row) = rows.next()? else { return Ok(Change::Pass) };
        let scalar = |index: usize| row.get_ref(index).map(scalar);
        let groups = self.groups.len();
        Ok(Change::Add {
            key: (0..groups).map(scalar).collect::<rusqlite::Result<_>>()?,
            values: (groups..groups + self.columns.len())
                .map(scalar)
                .collect::<rusqlite::Result<_>>()?,
        })
    }
}

/// What SQLite says, without the statement that it was asked: nobody wrote that.
fn said(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

fn scalar(value: ValueRef<'_>) -> Scalar {
    match value {
        ValueRef::Null => Scalar::Null,
        ValueRef::Integer(integer) => Scalar::Integer(integer),
        ValueRef::Real(fraction) => Scalar::of_fraction(fraction),
        ValueRef::Text(text) | ValueRef::Blob(text) => {
            Scalar::Text(String::from_utf8_lossy(text).into_owned())
        }
    }
}

/// A connection that has nothing and may do nothing but compute.
fn computing_only() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)?;
    connection.set_limit(Limit::SQLITE_LIMIT_EXPR_DEPTH, 100)?;
    connection.authorizer(Some(authorize))?;
    Ok(connection)
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select => Authorization::Allow,
        AuthAction::Function { function_name } if is_one_of(FUNCTIONS, function_name) => {
            Authorization::Allow
        }
        // The fields of an event are parameters; SQLite asks for them without a database.
        AuthAction::Read { .. } if context.database_name.is_none() => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Reads one SELECT from `event`, with nothing that comes after grouping.
fn parse(text: &str) -> Result<Select, Unfit> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Unfit::new(format!("it is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let unread = |error: ParserError| Unfit::new(format!("it is not understood: {error}"));
    let parser = Parser::new(&SQLiteDialect {});
    let tokens = Tokenizer::new(&SQLiteDialect {}, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| unread(error.into()))?;
    let is_word = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    if tokens.iter().filter(is_word).count() > TOKENS_MAX {
        return Err(Unfit::new(format!("it has more than {TOKENS_MAX} words and signs")));
    }
    let statements =
        parser.with_tokens_with_locations(tokens).parse_statements().map_err(unread)?;
    let query = match <[Statement; 1]>::try_from(statements) {
        Ok([Statement::Query(query)]) => query,
        _ => return Err(Unfit::new("a view is one SELECT and nothing else")),
    };
    refuse_clauses(&query)?;
    let whole = query.to_string();
    let SetExpr::Select(select) = *query.body else {
        return Err(Unfit::new(
            "UNION, EXCEPT, INTERSECT and VALUES need all rows at once; make it two views",
        ));
    };
    refuse_parts(&select)?;
    refuse_expressions(&select)?;
    // What is spelled in another way than what we read holds something that we did not read.
    if whole != spelled(&select) {
        return Err(Unfit::new(
            "it has a clause that views do not know; a view is `SELECT … FROM event WHERE … GROUP BY …`",
        ));
    }
    Ok(*select)
}

fn spelled(select: &Select) -> String {
    let items: Vec<String> = select.projection.iter().map(ToString::to_string).collect();
    let from = select.from.iter().map(ToString::to_string).collect::<String>();
    let mut text = format!("SELECT {} FROM {from}", items.join(", "));
    if let Some(condition) = &select.selection {
        text += &format!(" WHERE {condition}");
    }
    match &select.group_by {
        GroupByExpr::Expressions(groups, _) if !groups.is_empty() => {
            let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
            text + " GROUP BY " + &groups.join(", ")
        }
        _ => text,
    }
}

fn refuse_clauses(query: &Query) -> Result<(), Unfit> {
    let reasons = [
        (query.with.is_some(), "WITH makes tables of its own; write one SELECT"),
        (
            query.order_by.is_some(),
            "rows have no order in a view; ask for it when reading: `?order=-revenue`",
        ),
        (
            query.limit_clause.is_some() || query.fetch.is_some(),
            "LIMIT belongs to reading: `?order=-revenue&limit=10`",
        ),
    ];
    first_of(&reasons)
}

fn refuse_parts(select: &Select) -> Result<(), Unfit> {
    let is_event = match select.from.as_slice() {
        [from] => from.joins.is_empty() && from.relation.to_string().eq_ignore_ascii_case("event"),
        _ => false,
    };
    let reasons = [
        (select.distinct.is_some(), "DISTINCT needs all rows at once; GROUP BY says the same"),
        (
            select.having.is_some(),
            "HAVING takes rows away that may come back; filter when reading: `?where=orders>10`",
        ),
        (
            !is_event,
            "it must read `FROM event` and nothing else: joins and other tables would have to be kept up too",
        ),
        (select.projection.len() > COLUMNS_MAX, "it has more than 64 columns"),
        (matches!(select.group_by, GroupByExpr::All(_)), "write out what is grouped by"),
    ];
    first_of(&reasons)
}

fn first_of(reasons: &[(bool, &str)]) -> Result<(), Unfit> {
    let first = reasons.iter().find(|(holds, _)| *holds);
    first.map_or(Ok(()), |(_, reason)| Err(Unfit::new(*reason)))
}

/// Refuses what is not a function of one event.
fn refuse_expressions(select: &Select) -> Result<(), Unfit> {
    let found = visit_expressions(select, |expr| match not_of_one_event(expr) {
        Some(reason) => ControlFlow::Break(reason),
        None => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(reason) => Err(Unfit(reason)),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn not_of_one_event(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            Some("a sub-query would have to be kept up too; write one SELECT".to_owned())
        }
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) if text.trim().eq_ignore_ascii_case("now") => Some(
                "'now' is another time at each rebuild; use `time`, when the event was appended"
                    .to_owned(),
            ),
            Value::Placeholder(_) => Some("there is nothing to fill placeholders with".to_owned()),
            _ => None,
        },
        Expr::Function(function) => refuse_function(function),
        _ => None,
    }
}

fn refuse_function(function: &Function) -> Option<String> {
    let name = name_of(function);
    if function.over.is_some() {
        return Some(format!(
            "`{name}(…) OVER` looks at other rows, which change; compute it when reading"
        ));
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Some(format!("`{name}` cannot be kept up: it {reason}"));
    }
    if aggregate_kind(function).is_some() || is_one_of(FUNCTIONS, &name) {
        let is_clock = is_one_of(&["date", "time", "datetime", "julianday", "unixepoch"], &name);
        return (is_clock && arguments(function).is_empty())
            .then(|| format!("`{name}()` is another time at each rebuild; use `time`, when the event was appended"));
    }
    Some(format!(
        "`{name}` is not a function that views know, or not one that always comes to the same"
    ))
}

fn name_of(function: &Function) -> String {
    function.name.to_string().to_ascii_lowercase()
}

fn arguments(function: &Function) -> &[FunctionArg] {
    match &function.args {
        FunctionArguments::List(list) => &list.args,
        _ => &[],
    }
}

/// Which aggregate a function is, if it is one: `min` and `max` of several arguments are none.
fn aggregate_kind(function: &Function) -> Option<Kind> {
    match (name_of(function).as_str(), arguments(function).len()) {
        ("count", 0 | 1) => Some(Kind::Count),
        ("sum", 1) => Some(Kind::Sum),
        ("avg", 1) => Some(Kind::Average),
        ("min", 1) => Some(Kind::Min),
        ("max", 1) => Some(Kind::Max),
        ("approx_count_distinct", 1) => Some(Kind::Distinct),
        _ => None,
    }
}

fn read_item(item: &SelectItem) -> Result<(String, Item), Unfit> {
    let (expr, name) = match item {
        SelectItem::UnnamedExpr(expr) => (expr, expr.to_string()),
        SelectItem::ExprWithAlias { expr, alias } => (expr, alias.value.clone()),
        _ => {
            return Err(Unfit::new(
                "`*` shows events, not what they come to; name what is grouped by",
            ));
        }
    };
    let aggregate = match expr {
        Expr::Function(function) => aggregate_kind(function).map(|kind| (kind, function)),
        _ => None,
    };
    match aggregate {
        Some((kind, function)) => Ok((name, read_aggregate(kind, function)?)),
        None if holds_aggregate(expr) => Err(Unfit::new(format!(
            "`{expr}` computes with an aggregate; select the aggregates by themselves and compute when reading"
        ))),
        None => Ok((name, Item::Group(Box::new(expr.clone())))),
    }
}

fn holds_aggregate(expr: &Expr) -> bool {
    visit_expressions(expr, |expr| match expr {
        Expr::Function(function) if aggregate_kind(function).is_some() => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// The value that an aggregate takes of an event.
fn read_aggregate(kind: Kind, function: &Function) -> Result<Item, Unfit> {
    let name = name_of(function);
    if let FunctionArguments::List(list) = &function.args {
        if list.duplicate_treatment.is_some() {
            return Err(Unfit::new(format!(
                "`{name}(DISTINCT …)` needs all values at once; `approx_count_distinct(…)` estimates how many there are"
            )));
        }
        if !list.clauses.is_empty() {
            return Err(Unfit::new(format!(
                "the order within `{name}` cannot be kept up; leave it out"
            )));
        }
    }
    let argument = match arguments(function) {
        [] | [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if kind == Kind::Count => {
            "1".to_owned()
        }
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] if !holds_aggregate(expr) => {
            expr.to_string()
        }
        _ => return Err(Unfit::new(format!("`{function}` is not an aggregate of one expression"))),
    };
    let argument = match &function.filter {
        Some(filter) => format!("CASE WHEN {filter} THEN {argument} END"),
        None => argument,
    };
    let spelled_out = Function { filter: None, ..function.clone() };
    let within = spelled_out.within_group.is_empty() && spelled_out.null_treatment.is_none();
    match within {
        true => Ok(Item::Aggregate { kind, argument }),
        false => Err(Unfit::new(format!("`{function}` has a clause that views do not know"))),
    }
}

/// What is selected plainly is what is grouped by.
fn check_groups(select: &Select, items: &[(String, Item)]) -> Result<(), Unfit> {
    let GroupByExpr::Expressions(groups, _) = &select.group_by else { return Ok(()) };
    let mut grouped = vec![false; items.len()];
    for group in groups {
        let index = find_group(group, items).ok_or_else(|| {
            Unfit::new(format!(
                "it groups by `{group}`, which rows would not show; add it to the SELECT"
            ))
        })?;
        grouped[index] = true;
    }
    for ((name, item), is_grouped) in items.iter().zip(grouped) {
        match (item, is_grouped) {
            (Item::Group(_), false) => {
                return Err(Unfit::new(format!(
                    "`{name}` is neither grouped by nor an aggregate; add it to GROUP BY"
                )));
            }
            (Item::Aggregate { .. }, true) => {
                return Err(Unfit::new(format!(
                    "`{name}` is an aggregate, and cannot be grouped by"
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The column that GROUP BY means: by its place, its name or the same expression.
fn find_group(group: &Expr, items: &[(String, Item)]) -> Option<usize> {
    let text = group.to_string();
    if let Ok(place) = text.parse::<usize>() {
        return place.checked_sub(1).filter(|index| *index < items.len());
    }
    let name = match group {
        Expr::Identifier(name) => name.value.as_str(),
        _ => text.as_str(),
    };
    let same = |item: &Item| matches!(item, Item::Group(expr) if expr.to_string() == text);
    items.iter().position(|(known, item)| known.eq_ignore_ascii_case(name) || same(item))
}

/// Names are told apart, and none hides a column of `event`.
fn check_names(items: &[(String, Item)]) -> Result<(), Unfit> {
    for (index, (name, item)) in items.iter().enumerate() {
        if items[..index].iter().any(|(other, _)| other == name) {
            return Err(Unfit::new(format!(
                "two columns are called `{name}`; give one another name with AS"
            )));
        }
        let is_itself = matches!(item, Item::Group(expr) if matches!(**expr, Expr::Identifier(_)));
        if is_one_of(&EVENT, name) && !is_itself {
            return Err(Unfit::new(format!(
                "`{name}` is a column of `event`; give this one another name with AS"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "sql/tests.rs"]
mod tests;
