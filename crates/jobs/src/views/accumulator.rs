//! Aggregates: each takes one value after the other and can be stored in between.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{scalar::Scalar, sketch::Sketch};

/// Bytes of a text that an aggregate keeps.
const TEXT_BYTES_MAX: usize = 1 << 10;
/// Counters behind a list of the most frequent values, for each place of it.
const COUNTERS_PER_PLACE: usize = 10;
const COUNTERS_MIN: usize = 100;

/// What an aggregate computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Sum,
    Average,
    Min,
    Max,
    First,
    Latest,
    Top { most: usize },
    Distinct,
}

impl Kind {
    /// Whether a value may be added.
    ///
    /// # Errors
    /// If it is of a kind that the aggregate makes no sense of.
    pub(crate) fn admit(self, value: &Scalar) -> Result<(), &'static str> {
        if value.weight() > TEXT_BYTES_MAX {
            return Err("is longer than an aggregate keeps");
        }
        let is_number = value.is_null() || value.fraction().is_some();
        match self {
            Kind::Sum | Kind::Average if !is_number => Err("is not a number"),
            Kind::Min | Kind::Max if matches!(value, Scalar::Switch(_)) => {
                Err("is neither a number nor text")
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn begin(self) -> Accumulator {
        match self {
            Kind::Count => Accumulator::Count(0),
            Kind::Sum => Accumulator::Sum(Sum::default()),
            Kind::Average => Accumulator::Average(Sum::default()),
            Kind::Min => Accumulator::Min(Scalar::Null),
            Kind::Max => Accumulator::Max(Scalar::Null),
            Kind::First => Accumulator::First(Scalar::Null),
            Kind::Latest => Accumulator::Latest(Scalar::Null),
            Kind::Top { most } => Accumulator::Top(Top { most, counts: BTreeMap::new() }),
            Kind::Distinct => Accumulator::Distinct(Sketch::default()),
        }
    }
}

/// An aggregate under way. As in SQL, null changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Accumulator {
    #[serde(rename = "count")]
    Count(u64),
    #[serde(rename = "sum")]
    Sum(Sum),
    #[serde(rename = "average")]
    Average(Sum),
    #[serde(rename = "min")]
    Min(Scalar),
    #[serde(rename = "max")]
    Max(Scalar),
    #[serde(rename = "first")]
    First(Scalar),
    #[serde(rename = "latest")]
    Latest(Scalar),
    #[serde(rename = "top")]
    Top(Top),
    #[serde(rename = "distinct")]
    Distinct(Sketch),
}

impl Accumulator {
    /// Adds a value that its [`Kind`] admits.
    pub(crate) fn add(&mut self, value: &Scalar) {
        if value.is_null() {
            return;
        }
        match self {
            Accumulator::Count(count) => *count += 1,
            Accumulator::Sum(sum) | Accumulator::Average(sum) => sum.add(value),
            Accumulator::Min(least) => replace_if(least, value, Ordering::Less),
            Accumulator::Max(most) => replace_if(most, value, Ordering::Greater),
            Accumulator::First(first) if !first.is_null() => {}
            Accumulator::First(kept) | Accumulator::Latest(kept) => *kept = value.clone(),
            Accumulator::Top(top) => top.add(value),
            Accumulator::Distinct(sketch) => sketch.add(value.json().to_string().as_bytes()),
        }
    }

    pub(crate) fn result(&self) -> Value {
        match self {
            Accumulator::Count(count) => json!(count),
            Accumulator::Sum(sum) => sum.total(),
            Accumulator::Average(sum) => sum.average(),
            Accumulator::Min(value)
            | Accumulator::Max(value)
            | Accumulator::First(value)
            | Accumulator::Latest(value) => value.json(),
            Accumulator::Top(top) => top.result(),
            Accumulator::Distinct(sketch) => json!(sketch.estimate()),
        }
    }
}

fn replace_if(kept: &mut Scalar, value: &Scalar, ordering: Ordering) {
    if kept.is_null() || value.rank(kept) == ordering {
        *kept = value.clone();
    }
}

/// A sum: exact while all are integers and it fits 64 bits; fractions are summed with a correction (Neumaier).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sum {
    count: u64,
    integers: i64,
    /// Bits of the sum of all that is no integer, and of what rounding has lost of it.
    fractions: Option<(u64, u64)>,
}

impl Sum {
    fn add(&mut self, value: &Scalar) {
        self.count += 1;
        match value {
            Scalar::Integer(integer) => match self.integers.checked_add(*integer) {
                Some(sum) => self.integers = sum,
                None => self.add_fraction(*integer as f64),
            },
            other => self.add_fraction(other.fraction().unwrap_or_default()),
        }
    }

    fn add_fraction(&mut self, value: f64) {
        let (sum, lost) = self.fractions.unwrap_or_default();
        let (sum, lost) = (f64::from_bits(sum), f64::from_bits(lost));
        let next = sum + value;
        let off =
            if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        // Beyond the range of numbers there is nothing left to correct.
        let lost = if next.is_finite() { lost + off } else { 0.0 };
        self.fractions = Some((next.clamp(f64::MIN, f64::MAX).to_bits(), lost.to_bits()));
    }

    fn fraction(&self) -> f64 {
        let (sum, lost) = self.fractions.unwrap_or_default();
        self.integers as f64 + (f64::from_bits(sum) + f64::from_bits(lost))
    }

    /// Null of nothing, as in SQL.
    fn total(&self) -> Value {
        match self {
            Sum { count: 0, .. } => Value::Null,
            Sum { fractions: None, integers, .. } => json!(integers),
            _ => Scalar::of_fraction(self.fraction()).json(),
        }
    }

    fn average(&self) -> Value {
        match self.count {
            0 => Value::Null,
            count => Scalar::of_fraction(self.fraction() / count as f64).json(),
        }
    }
}

/// The most frequent values, by the Space-Saving algorithm (Metwally et al., 2005): exact while there are fewer different values than counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Top {
    most: usize,
    /// For each value, as JSON: its count, and by how much that may be too high.
    counts: BTreeMap<String, (u64, u64)>,
}

impl Top {
    fn add(&mut self, value: &Scalar) {
        let text = value.json().to_string();
        if let Some((count, _)) = self.counts.get_mut(&text) {
            *count += 1;
            return;
        }
        let room = (self.most * COUNTERS_PER_PLACE).max(COUNTERS_MIN);
        let inherited = if self.counts.len() < room { 0 } else { self.evict() };
        self.counts.insert(text, (inherited + 1, inherited));
    }

    /// Removes the rarest value and returns its count, which the next inherits.
    fn evict(&mut self) -> u64 {
        let rarest = self.counts.iter().min_by_key(|(_, (count, _))| *count);
        let Some((text, (count, _))) = rarest.map(|(text, counts)| (text.clone(), *counts)) else {
            return 0;
        };
        self.counts.remove(&text);
        count
    }

    fn result(&self) -> Value {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        let shown = counts.into_iter().take(self.most).map(|(text, (count, over))| {
            let value: Value = serde_json::from_str(text).unwrap_or_default();
            match over {
                0 => json!({ "value": value, "count": count }),
                over => json!({ "value": value, "count": count, "over_by_at_most": over }),
            }
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, values: Value, expected: Value) {
        let mut accumulator = kind.begin();
        for value in values.as_array().unwrap() {
            let value = Scalar::of(value).unwrap();
            kind.admit(&value).unwrap();
            // Each is stored and read again, as between two batches.
            let stored = serde_json::to_string(&accumulator).unwrap();
            accumulator = serde_json::from_str(&stored).unwrap();
            accumulator.add(&value);
        }
        assert_eq!(accumulator.result(), expected, "{kind:?}");
    }

    #[test]
    fn aggregates_pass_over_null_as_sql_does() {
        let values = || json!([3, null, 1, 2.5]);
        check(Kind::Count, values(), json!(3));
        check(Kind::Sum, values(), json!(6.5));
        check(Kind::Average, json!([1, null, 3]), json!(2));
        check(Kind::Min, values(), json!(1));
        check(Kind::Max, values(), json!(3));
        check(Kind::First, values(), json!(3));
        check(Kind::Latest, values(), json!(2.5));
        check(Kind::Distinct, json!([1, 1.0, "1", null]), json!(2));
        for kind in [Kind::Sum, Kind::Average, Kind::Min, Kind::Max, Kind::First, Kind::Latest] {
            check(kind, json!([null]), Value::Null);
        }
    }

    #[test]
    fn sums_are_exact_while_they_can_be() {
        check(Kind::Sum, json!([9_007_199_254_740_993_i64, 1]), json!(9_007_199_254_740_994_i64));
        check(Kind::Sum, json!([1e16, 1.5, -1e16]), json!(1.5));
        check(Kind::Sum, json!([i64::MAX, i64::MAX]), json!(2.0 * i64::MAX as f64));
        check(Kind::Sum, json!([1e308, 1e308, 1e308]), json!(f64::MAX));
    }

    #[test]
    fn the_most_frequent_come_first_and_ties_by_value() {
        check(
            Kind::Top { most: 2 },
            json!(["b", "c", "b", "a", "a", 7]),
            json!([{ "value": "a", "count": 2 }, { "value": "b", "count": 2 }]),
        );
    }

    #[test]
    fn a_frequent_value_is_found_among_more_than_there_are_counters() {
        let kind = Kind::Top { most: 1 };
        let mut top = kind.begin();
        for number in 0..5_000 {
            top.add(&Scalar::Integer(number));
            top.add(&Scalar::Text("often".into()));
        }
        let result = top.result();
        assert_eq!(result[0]["value"], "often");
        assert!(result[0]["count"].as_u64().unwrap() >= 5_000);
        let Accumulator::Top(top) = top else { unreachable!() };
        assert_eq!(top.counts.len(), COUNTERS_MIN);
    }

    #[test]
    fn what_makes_no_sense_is_not_admitted() {
        let text = Scalar::Text("x".into());
        assert!(Kind::Sum.admit(&text).is_err() && Kind::Average.admit(&text).is_err());
        assert!(Kind::Max.admit(&text).is_ok() && Kind::Max.admit(&Scalar::Switch(true)).is_err());
        let long = Scalar::Text("x".repeat(TEXT_BYTES_MAX + 1));
        assert!(Kind::First.admit(&long).is_err());
    }
}
