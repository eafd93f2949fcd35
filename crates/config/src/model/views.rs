//! Views of the core: what streams of events come to.

/// Rows that a view may have when nothing is said.
pub const VIEW_ROWS: usize = 100_000;

/// A materialised view, as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// By which it is read.
    pub name: String,
    /// Whose stream it is, and who may read the view. `None`: callers without a tenant.
    pub tenant: Option<String>,
    /// Path of the stream that it follows.
    pub stream: String,
    /// Rows it may have; groups beyond are left out and counted.
    pub rows_max: usize,
    /// What is done with an event.
    pub shape: ViewShape,
}

/// What a view does with an event.
#[derive(Clone, Debug, PartialEq)]
pub enum ViewShape {
    /// Aggregates by group.
    Fold {
        /// All of them must hold.
        conditions: Vec<ViewCondition>,
        /// What a row stands for. Empty: one row for everything.
        groups: Vec<ViewGroup>,
        /// At least one.
        columns: Vec<ViewColumn>,
    },
    /// The latest event of each key.
    Latest {
        /// All of them must hold.
        conditions: Vec<ViewCondition>,
        /// Fields that make the key.
        key: Vec<String>,
        /// An event in which this field is true, or anything but null, false and nothing, removes its key.
        deleted: Option<String>,
    },
    /// One SELECT with aggregates over `event(seq, time, json)`.
    Sql(String),
}

/// Something that must hold for an event to count.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewCondition {
    /// Field of the event: `customer.country`, or `@time` and `@seq`.
    pub field: String,
    /// What must be true of it.
    pub test: ViewTest,
}

/// What must be true of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum ViewTest {
    /// It is there and is not null.
    Exists,
    /// It is not there, or null.
    Missing,
    /// It compares so with a value of the same kind.
    Is(ViewComparison, ViewValue),
}

/// How a field compares with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ViewComparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ViewValue {
    Text(String),
    Integer(i64),
    Fraction(f64),
    Switch(bool),
}

/// One part of what a row stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewGroup {
    /// Its name in the rows.
    pub name: String,
    /// Field of the event.
    pub field: String,
    /// Whether the field is a time, of which only the beginning of its hour or day counts.
    pub bucket: Option<ViewBucket>,
}

/// A stretch of time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ViewBucket {
    Minute,
    Hour,
    Day,
}

/// One aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewColumn {
    /// Its name in the rows.
    pub name: String,
    /// What is computed.
    pub aggregate: ViewAggregate,
}

/// What is computed of the events of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewAggregate {
    /// How many events there are, or in how many a field is there.
    Count(Option<String>),
    /// Sum of a number.
    Sum(String),
    /// Its average.
    Average(String),
    /// Least number or text.
    Min(String),
    /// Greatest number or text.
    Max(String),
    /// The first value that came.
    First(String),
    /// The latest value that came.
    Latest(String),
    /// The most frequent values.
    Top {
        /// Of this field.
        field: String,
        /// How many of them.
        most: usize,
    },
    /// About how many different values there are.
    Distinct(String),
}
