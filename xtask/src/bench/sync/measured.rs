//! Contestants that take turns, and what came of it.

use serde_json::{Map, Value};

use super::table::{Column, Contestant, Whose};
use crate::Result;

/// Figures, and what did not work.
#[derive(Debug, Default)]
pub struct Measured {
    /// In the order of the contestants.
    pub columns: Vec<Column>,
    /// Of peers, or of what was left out.
    pub notes: Vec<String>,
    /// Of ours.
    pub failures: Vec<String>,
}

/// One contestant's turn.
#[derive(Debug)]
pub struct Turn {
    /// Whose.
    pub contestant: &'static Contestant,
    /// In which round, from 0.
    pub round: usize,
    found: Map<String, Value>,
    trouble: Vec<String>,
}

impl Measured {
    /// Has each of `contestants` take a turn in each round; who begins changes.
    pub fn in_turns(
        contestants: impl Iterator<Item = &'static Contestant>,
        rounds: usize,
        mut measure: impl FnMut(&mut Turn),
    ) -> Self {
        let columns = contestants.map(|contestant| Column { contestant, rounds: Vec::new() });
        let mut measured = Self { columns: columns.collect(), ..Self::default() };
        let count = measured.columns.len();
        for round in 0..rounds {
            println!("bench: round {} of {rounds}", round + 1);
            for place in (0..count).map(|place| (place + round) % count) {
                let contestant = measured.columns[place].contestant;
                let mut turn = Turn { contestant, round, found: Map::new(), trouble: Vec::new() };
                measure(&mut turn);
                measured.keep(place, turn);
            }
        }
        measured
    }

    fn keep(&mut self, place: usize, turn: Turn) {
        self.columns[place].rounds.push(Value::Object(turn.found));
        let peer = turn.contestant.whose == Whose::Peer;
        let list = if peer { &mut self.notes } else { &mut self.failures };
        list.extend(turn.trouble);
    }
}

impl Turn {
    /// Keeps what was found under a name, or says why there is nothing; returns whether there is.
    pub fn take(&mut self, name: &str, found: Result<Value>) -> bool {
        let label = self.contestant.label;
        match found {
            Ok(value) => {
                println!("bench:   {label}, {name}: {}", short(&value));
                self.found.insert(name.to_owned(), value);
                true
            }
            Err(error) => {
                let error = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                let text = format!("{label}, {name}, round {}: {error}", self.round + 1);
                println!("bench:   {text}");
                self.trouble.push(text);
                false
            }
        }
    }

    /// A figure that was found in this turn.
    pub fn figure(&self, name: &str, field: &str) -> Option<f64> {
        self.found.get(name)?.get(field)?.as_f64()
    }
}

/// Figures with two digits behind the point, for who watches.
fn short(value: &Value) -> String {
    let Some(figures) = value.as_object() else { return value.to_string() };
    let figure = |(name, value): (&String, &Value)| match value {
        Value::Number(number) => Some(format!("{name} {:.2}", number.as_f64()?)),
        Value::Object(_) => Some(format!("{name} ({})", short(value))),
        _ => None,
    };
    figures.iter().filter_map(figure).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static OURS: Contestant = Contestant { slug: "o", label: "Ours", whose: Whose::Ours };
    static PEER: Contestant = Contestant { slug: "p", label: "Peer", whose: Whose::Peer };

    #[test]
    fn turns_are_taken_and_kept_in_place() {
        let mut order = Vec::new();
        let measured = Measured::in_turns([&OURS, &PEER].into_iter(), 2, |turn| {
            order.push(turn.contestant.slug);
            let found = if turn.round == 0 { Ok(json!({ "ms": 2 })) } else { Err("no\nanswer".into()) };
            assert_eq!(turn.take("work", found), turn.round == 0);
        });
        assert_eq!(order, ["o", "p", "p", "o"]);
        assert_eq!(measured.columns[1].rounds, [json!({ "work": { "ms": 2 } }), json!({})]);
        assert_eq!(measured.notes, ["Peer, work, round 2: no answer"]);
        assert_eq!(measured.failures, ["Ours, work, round 2: no answer"]);
    }
}
