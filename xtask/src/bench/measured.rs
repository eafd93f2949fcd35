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
    /// What did not work, and why.
    trouble: Vec<(String, String)>,
    /// What did not work before: it is not tried again.
    given_up: Vec<String>,
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
        let mut given_up = vec![Vec::new(); count];
        for round in 0..rounds {
            println!("bench: round {} of {rounds}", round + 1);
            for place in (0..count).map(|place| (place + round) % count) {
                let contestant = measured.columns[place].contestant;
                let before = std::mem::take(&mut given_up[place]);
                let mut turn = Turn::new(contestant, round, before);
                measure(&mut turn);
                given_up[place] = measured.keep(place, turn);
            }
        }
        measured
    }

    /// Keeps a turn; returns what did not work so far.
    fn keep(&mut self, place: usize, turn: Turn) -> Vec<String> {
        let Turn { contestant, round: _, found, trouble, mut given_up } = turn;
        self.columns[place].rounds.push(Value::Object(found));
        let peer = contestant.whose == Whose::Peer;
        let list = if peer { &mut self.notes } else { &mut self.failures };
        for (name, why) in trouble {
            list.push(why);
            given_up.push(name);
        }
        given_up
    }
}

impl Turn {
    fn new(contestant: &'static Contestant, round: usize, given_up: Vec<String>) -> Self {
        Self { contestant, round, found: Map::new(), trouble: Vec::new(), given_up }
    }

    /// Keeps what is found under a name, or says why there is nothing.
    pub fn take(&mut self, name: &str, find: impl FnOnce() -> Result<Value>) {
        if self.given_up.iter().any(|it| it == name) {
            return;
        }
        let label = self.contestant.label;
        match find() {
            Ok(value) => {
                println!("bench:   {label}, {name}: {}", short(&value));
                self.found.insert(name.to_owned(), value);
            }
            Err(error) => {
                let text =
                    format!("{label}, {name}, round {}: {}", self.round + 1, reason(&*error));
                println!("bench:   {text}");
                self.trouble.push((name.to_owned(), text));
            }
        }
    }

    /// A figure that was found in this turn.
    pub fn figure(&self, name: &str, field: &str) -> Option<f64> {
        self.found.get(name)?.get(field)?.as_f64()
    }
}

/// What an error comes to: of what a program said the line that names an error, or the last.
fn reason(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let said = || text.lines().skip(1);
    let line = said().find(|line| line.contains("rror")).or_else(|| said().last());
    line.unwrap_or(&text).trim().to_owned()
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
        let measured = Measured::in_turns([&OURS, &PEER].into_iter(), 3, |turn| {
            order.push(turn.contestant.slug);
            let works = turn.round == 0;
            turn.take(
                "work",
                || if works { Ok(json!({ "ms": 2 })) } else { Err("no answer".into()) },
            );
        });
        assert_eq!(order, ["o", "p", "p", "o", "o", "p"]);
        assert_eq!(
            measured.columns[1].rounds,
            [json!({ "work": { "ms": 2 } }), json!({}), json!({})]
        );
        assert_eq!(measured.notes, ["Peer, work, round 2: no answer"]);
        assert_eq!(measured.failures, ["Ours, work, round 2: no answer"]);
    }

    #[track_caller]
    fn check(error: &str, expected: &str) {
        assert_eq!(reason(&*Box::<dyn std::error::Error>::from(error)), expected);
    }

    #[test]
    fn a_reason_is_a_line() {
        check("nobody listens", "nobody listens");
        check("load {}: exit status: 1\n3 of 4 arrived", "3 of 4 arrived");
        check("node: exit status: 1\nat x\nError: broken\n  at y\nNode.js v24", "Error: broken");
    }
}
