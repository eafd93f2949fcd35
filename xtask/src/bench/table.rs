//! Tables of figures: a row for each figure, a column for each contestant, and how far ours is ahead.

use std::fmt::Write;

use serde_json::{Value, json};

use super::figures::{grouped, median};

/// Somebody who is measured.
#[derive(Debug, PartialEq, Eq)]
pub struct Contestant {
    /// Its name on the command line.
    pub slug: &'static str,
    /// The head of its column.
    pub label: &'static str,
    /// Whose it is.
    pub whose: Whose,
}

/// Whose a contestant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Ours, where peers run.
    Ours,
    /// Ours, where no peer runs: shown, and compared with nobody.
    OursAlone,
    /// Somebody else's.
    Peer,
}

/// All that was measured of one contestant.
#[derive(Clone, Debug)]
pub struct Column {
    /// Whom.
    pub contestant: &'static Contestant,
    /// Figures by their names, round by round; what did not work is not there.
    pub rounds: Vec<Value>,
}

/// One row.
#[derive(Debug)]
pub struct Figure {
    /// What it is, with its unit.
    pub title: &'static str,
    /// Where it is in a round, with dots.
    pub path: &'static str,
    /// Whether more is better.
    pub more: bool,
}

impl Figure {
    /// A figure of which less is better.
    pub const fn less(title: &'static str, path: &'static str) -> Self {
        Self { title, path, more: false }
    }

    /// A figure of which more is better.
    pub const fn more(title: &'static str, path: &'static str) -> Self {
        Self { title, path, more: true }
    }

    fn in_round(&self, round: &Value) -> Option<f64> {
        self.path.split('.').try_fold(round, |value, name| value.get(name))?.as_f64()
    }

    /// The median of a contestant's rounds.
    pub fn median(&self, column: &Column) -> Option<f64> {
        median(column.rounds.iter().filter_map(|round| self.in_round(round)))
    }

    /// How many times as good ours is as the best peer in the same round; the median of rounds.
    pub fn ahead(&self, columns: &[Column]) -> Option<f64> {
        let ours = columns.iter().find(|column| column.contestant.whose == Whose::Ours)?;
        let ratios = ours.rounds.iter().enumerate().filter_map(|(at, round)| {
            let (own, best) = (self.in_round(round)?, self.best_peer(columns, at)?);
            Some(if self.more { own / best } else { best / own })
        });
        median(ratios)
    }

    fn best_peer(&self, columns: &[Column], round: usize) -> Option<f64> {
        let peers = columns.iter().filter(|column| column.contestant.whose == Whose::Peer);
        let figures = peers.filter_map(|peer| self.in_round(peer.rounds.get(round)?));
        if self.more { figures.max_by(f64::total_cmp) } else { figures.min_by(f64::total_cmp) }
    }

    fn json(&self, columns: &[Column]) -> Value {
        json!({
            "what": self.title,
            "medians": columns.iter().map(|column| self.median(column)).collect::<Vec<_>>(),
            "ahead": self.ahead(columns),
        })
    }
}

/// A table with all that it was made from.
pub fn table_json(title: &str, figures: &[Figure], columns: &[Column]) -> Value {
    let rounds =
        columns.iter().map(|column| (column.contestant.slug.to_owned(), json!(column.rounds)));
    json!({
        "title": title,
        "columns": columns.iter().map(|column| column.contestant.label).collect::<Vec<_>>(),
        "rows": figures.iter().map(|figure| figure.json(columns)).collect::<Vec<_>>(),
        "rounds": rounds.collect::<serde_json::Map<_, _>>(),
    })
}

/// The table for people.
pub fn table_markdown(table: &Value) -> String {
    let heads = list(&table["columns"]);
    let mut text = String::from("| |");
    heads.iter().for_each(|head| {
        let _ = write!(text, " {} |", head.as_str().unwrap_or_default());
    });
    let _ = write!(text, " ours is ahead |\n|---|{}--:|\n", "--:|".repeat(heads.len()));
    for row in list(&table["rows"]) {
        let _ = write!(text, "| {} |", row["what"].as_str().unwrap_or_default());
        for figure in list(&row["medians"]) {
            let _ = write!(text, " {} |", figure.as_f64().map_or("–".into(), grouped));
        }
        let ahead =
            row["ahead"].as_f64().map_or("–".into(), |ahead| match grouped(ahead) + "×" {
                less if ahead < 1.0 => format!("**{less}**"),
                more => more,
            });
        let _ = writeln!(text, " {ahead} |");
    }
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    static OURS: Contestant = Contestant { slug: "o", label: "Ours", whose: Whose::Ours };
    static ALONE: Contestant = Contestant { slug: "a", label: "Alone", whose: Whose::OursAlone };
    static ONE: Contestant = Contestant { slug: "p", label: "One", whose: Whose::Peer };
    static OTHER: Contestant = Contestant { slug: "q", label: "Other", whose: Whose::Peer };

    fn column(contestant: &'static Contestant, figures: &[f64]) -> Column {
        let rounds = figures.iter().map(|figure| json!({ "a": { "ms": figure } }));
        Column { contestant, rounds: rounds.collect() }
    }

    fn columns() -> Vec<Column> {
        let mut columns = vec![
            column(&ONE, &[4.0, 9.0, 4.0]),
            column(&OTHER, &[6.0, 6.0, 2.0]),
            column(&OURS, &[2.0, 2.0, 4.0]),
        ];
        columns.push(column(&ALONE, &[1.0]));
        columns
    }

    #[test]
    fn ours_is_compared_with_the_best_of_each_round() {
        let (less, more) = (Figure::less("ms", "a.ms"), Figure::more("ms", "a.ms"));
        assert_eq!(less.ahead(&columns()), Some(2.0));
        assert_eq!(more.ahead(&columns()), Some(1.0 / 3.0));
        assert_eq!(Figure::less("ms", "b.ms").ahead(&columns()), None);
        assert_eq!(less.ahead(&columns()[..2]), None);
    }

    #[test]
    fn a_table_shows_medians() {
        let table = table_json("t", &[Figure::less("time, ms", "a.ms")], &columns());
        let text = table_markdown(&table);
        assert_eq!(text.lines().last(), Some("| time, ms | 4.00 | 6.00 | 2.00 | 1.00 | 2.00× |"));
    }
}
