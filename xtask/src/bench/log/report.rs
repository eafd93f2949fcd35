//! Results as JSON, which is kept, and as Markdown, which is made from it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    super::{
        figures::{grouped, median},
        goal::{self, Goal},
        machine,
        report::machine_markdown,
    },
    Settings,
    course::{AUDIT_PACES, Results, Row, is_ours},
    server,
};
use crate::Result;

/// A report; everything it says is in the JSON.
#[derive(Clone, Debug)]
pub struct Report(Value);

/// The report of one run.
pub fn assemble(mut machine: Value, settings: &Settings, results: &Results) -> Result<Report> {
    machine["versions"] = versions();
    Ok(Report(json!({
        "machine": machine,
        "file_system": results.file_system,
        "date": settings.date,
        "rounds": settings.rounds,
        "seconds": settings.seconds,
        "replayed": settings.records,
        "followers": settings.followers,
        "goals": goals(results).iter().map(Goal::json).collect::<Vec<_>>(),
        "rows": results.rows.iter().map(|row| row_json(row, results)).collect::<Vec<_>>(),
        "notes": results.notes,
        "failures": results.failures,
    })))
}

fn versions() -> Value {
    let nats = crate::setup::nats()
        .map(|program| machine::said(&program.to_string_lossy(), &["--version"]));
    let (name, version) = server::DURABLE_STREAMS;
    json!({
        "selvedge": machine::commit().unwrap_or_default(),
        "rustc": machine::said("rustc", &["--version"]),
        "PostgreSQL": machine::said(crate::setup::POSTGRES.program, &["--version"]),
        "nats-server": nats.unwrap_or_else(|_| "unknown".into()),
        name: version,
        "SQLite": "as bundled in rusqlite",
    })
}

impl Row {
    /// A figure of each round.
    fn figures(&self, field: &str) -> impl Iterator<Item = Option<f64>> {
        self.rounds.iter().map(move |round| {
            field.split('.').try_fold(round, |value, name| value.get(name))?.as_f64()
        })
    }

    fn median(&self, field: &str) -> Option<f64> {
        median(self.figures(field).flatten())
    }
}

impl Results {
    fn find(&self, table: &str, slug: &str, number: Option<u32>) -> Option<&Row> {
        let is = |row: &&Row| row.table == table && row.slug == slug && row.number == number;
        self.rows.iter().find(is)
    }

    /// For each round, a figure of one row by the best of others in that round, and the median of these.
    fn ratio(&self, row: &Row, field: &str, rivals: &[&Row], of: &str) -> Option<f64> {
        let best = |round: usize| {
            let figures = rivals.iter().filter_map(|rival| rival.figures(of).nth(round).flatten());
            figures.max_by(f64::total_cmp)
        };
        let rounds = row.figures(field).enumerate();
        median(rounds.filter_map(|(round, figure)| Some(figure? / best(round)?)))
    }

    /// How many times the rate of the best rival in the same table.
    fn ahead(&self, row: &Row) -> Option<f64> {
        let rivals: Vec<&Row> = match row.table {
            // What a commit costs SQLite is the same however many wait for it: the better of its rows.
            "appends" => {
                self.rows.iter().filter(|it| it.slug == "sqlite" && it.table == "appends").collect()
            }
            _ => {
                let rival = |it: &&Row| {
                    it.table == row.table && it.number == row.number && !is_ours(it.slug)
                };
                self.rows.iter().filter(rival).collect()
            }
        };
        self.ratio(row, "per_second", &rivals, "per_second").filter(|_| is_ours(row.slug))
    }
}

fn goals(results: &Results) -> Vec<Goal> {
    let row = |table, slug, number| results.find(table, slug, number);
    let own = row("appends", "ours", Some(64));
    let syncs = |of| results.ratio(own?, "p99_ms", &[row("disk", "disk", None)?], of);
    let served = |number| results.ahead(row("servers", "selvedge", Some(number))?);
    let followers = row("fan-out", "selvedge", None);
    let figure = |row: Option<&Row>, field| row.and_then(|row| row.median(field));
    let [fastest, paced] = [0, 1].map(|pace| row("audit", "audit", Some(AUDIT_PACES[pace].0)));
    vec![
        Goal::least(
            "64 writers in process: appends, of SQLite's commits",
            own.and_then(|own| results.ahead(own)),
            50.0,
            "×",
        ),
        Goal::most(
            "64 writers in process: p99, in median syncs of this disk",
            syncs("p50_ms"),
            2.5,
            "",
        ),
        Goal::most(
            "64 writers in process: p99, in p99 syncs of this disk",
            syncs("p99_ms"),
            2.5,
            "",
        ),
        Goal::least(
            "appends in process, pipelined",
            figure(row("appends", "ours-pipelined", None), "per_second"),
            500_000.0,
            "/s",
        ),
        Goal::least("1 writer over loopback: appends, of the best peer's", served(1), 1.0, "×"),
        Goal::least("64 writers over loopback: appends, of the best peer's", served(64), 1.0, "×"),
        Goal::least(
            "1,024 writers over loopback: appends, of the best peer's",
            served(1024),
            1.0,
            "×",
        ),
        Goal::least("replay", figure(row("replay", "ours", None), "per_second"), 1_200_000.0, "/s"),
        Goal::most("an append is with a follower: p99", figure(followers, "p99_ms"), 10.0, " ms"),
        Goal::most("memory of all followers", figure(followers, "memory_mib"), 30.0, " MiB"),
        Goal::least("audit entries", figure(fastest, "per_second"), 20_000.0, "/s"),
        // A log that does not keep up with the pace has heads that are close behind.
        Goal::least(
            "audit entries at 22,000/s, which the next row is about",
            figure(paced, "per_second"),
            0.98 * f64::from(AUDIT_PACES[1].0),
            "/s",
        ),
        Goal::most(
            "signed heads are behind, at 22,000 entries/s: p99",
            figure(paced, "behind.p99_ms"),
            150.0,
            " ms",
        ),
    ]
}

/// Figures of which the median is shown.
const FIGURES: &[&str] = &[
    "per_second",
    "p50_ms",
    "p99_ms",
    "max_ms",
    "memory_mib",
    "processor_us",
    "behind.p50_ms",
    "behind.p99_ms",
    "deliveries",
];

fn row_json(row: &Row, results: &Results) -> Value {
    let mut told = json!({
        "table": row.table,
        "slug": row.slug,
        "label": row.label,
        "number": row.number,
        "ahead": results.ahead(row),
        "rounds": row.rounds,
    });
    for figure in FIGURES {
        told[*figure] = row.median(figure).into();
    }
    told
}

impl Report {
    /// For other programs.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.0)? + "\n")
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# What a durable append costs\n\n");
        text += "Written by `cargo xtask bench log --write`; the method is in [README](README.md#the-event-log), ";
        text += "raw figures are in [log.json](log.json).\n";
        text += &machine_markdown(&self.0["machine"]);
        let _ = writeln!(text, "| Disk | {} |", word(&self.0["file_system"]));
        text += &goal::markdown(&self.0["goals"]);
        for table in TABLES {
            text += &self.table(table);
        }
        text += &self.remarks();
        text
    }

    fn table(&self, table: &Table) -> String {
        let mut rows: Vec<&Value> =
            list(&self.0["rows"]).iter().filter(|row| row["table"] == table.name).collect();
        if rows.is_empty() {
            return String::new();
        }
        rows.sort_by_key(|row| row["number"].as_u64().unwrap_or(u64::MAX));
        let mut text = format!("\n## {}\n\n{}\n\n| |", table.title, self.about(table));
        table.columns.iter().for_each(|column| text += &format!(" {} |", column.head));
        text += "\n|---|";
        text += &"--:|".repeat(table.columns.len());
        for row in rows {
            let _ = write!(text, "\n| {} |", word(&row["label"]));
            for column in table.columns {
                let _ = write!(text, " {} |", column.cell(row));
            }
        }
        text + "\n"
    }

    fn about(&self, table: &Table) -> String {
        let (rounds, seconds) = (&self.0["rounds"], &self.0["seconds"]);
        let figure = |name: &str| self.0[name].as_f64().map_or("–".into(), grouped);
        table
            .about
            .replace(
                "{rounds}",
                &format!("{rounds} rounds of {seconds} s, {}", word(&self.0["date"])),
            )
            .replace("{replayed}", &figure("replayed"))
            .replace("{followers}", &figure("followers"))
    }

    fn remarks(&self) -> String {
        let mut text = String::new();
        for (name, title) in
            [("notes", "What others did not do"), ("failures", "What we did not do")]
        {
            let remarks = list(&self.0[name]);
            if !remarks.is_empty() {
                let _ = write!(text, "\n## {title}\n\n");
                remarks.iter().for_each(|remark| {
                    let _ = writeln!(text, "- {}", word(remark));
                });
            }
        }
        text
    }
}

/// A table of the page.
struct Table {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    columns: &'static [Column],
}

/// A column: its head, its figure, and what stands behind the figure.
struct Column {
    head: &'static str,
    figure: &'static str,
    unit: &'static str,
}

impl Column {
    const fn new(head: &'static str, figure: &'static str, unit: &'static str) -> Self {
        Self { head, figure, unit }
    }

    fn cell(&self, row: &Value) -> String {
        // Writers and deliveries are counted, not measured.
        if row[self.figure].is_u64() {
            return row[self.figure].to_string();
        }
        let figure = row[self.figure].as_f64();
        figure.map_or("–".into(), |figure| grouped(figure) + self.unit)
    }
}

const P50: Column = Column::new("p50 ms", "p50_ms", "");
const P99: Column = Column::new("p99 ms", "p99_ms", "");
const RATE: Column = Column::new("records/s", "per_second", "");
const WRITERS: Column = Column::new("writers", "number", "");

const TABLES: &[Table] = &[
    Table {
        name: "disk",
        title: "The disk",
        about: "One file, one writer, within what was written before; {rounds}.",
        columns: &[P50, P99, Column::new("longest ms", "max_ms", "")],
    },
    Table {
        name: "appends",
        title: "Appends in process",
        about: "Records of 256 B; each writer waits until its record is durable before it appends the next. Times are from the call to the \
                acknowledgement; the last column is of SQLite's better row in the same round. {rounds}.",
        columns: &[WRITERS, RATE, P50, P99, Column::new("of SQLite's", "ahead", "×")],
    },
    Table {
        name: "servers",
        title: "Appends over loopback",
        about: "The same from another process, each server on a core of its own; the last column is of the best peer in the same round. {rounds}.",
        columns: &[WRITERS, RATE, P50, P99, Column::new("of the best peer's", "ahead", "×")],
    },
    Table {
        name: "replay",
        title: "Replay",
        about: "{replayed} records of 256 B read in order and compared. The last column is of the best peer in the same round.",
        columns: &[RATE, Column::new("of the best peer's", "ahead", "×")],
    },
    Table {
        name: "fan-out",
        title: "Followers",
        about: "{followers} clients follow one stream by server-sent events, 20 appends a second for 5 s. Times are from when an append is \
                sent until a follower has it, over all appends and followers; memory is what the server's processes grew by, the processor what they \
                used for one delivery.",
        columns: &[
            P50,
            P99,
            Column::new("longest ms", "max_ms", ""),
            Column::new("memory MiB", "memory_mib", ""),
            Column::new("processor µs", "processor_us", ""),
            Column::new("deliveries", "deliveries", ""),
        ],
    },
    Table {
        name: "audit",
        title: "Audit",
        about: "Logins of 1,000 people, two fields sealed, by one thread. Times to durability, and from there to a signed head that covers the entry; \
                the whole log is verified afterwards. {rounds}.",
        columns: &[
            Column::new("entries/s", "per_second", ""),
            P50,
            P99,
            Column::new("head behind p50 ms", "behind.p50_ms", ""),
            Column::new("head behind p99 ms", "behind.p99_ms", ""),
        ],
    },
];

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(table: &'static str, slug: &'static str, number: Option<u32>, rounds: &[Value]) -> Row {
        Row { table, slug, label: slug, number, rounds: rounds.to_vec() }
    }

    fn rates(rates: &[f64]) -> Vec<Value> {
        rates.iter().map(|rate| json!({ "per_second": rate, "p99_ms": 9.0 })).collect()
    }

    fn results() -> Results {
        let disk = json!({ "p50_ms": 4.0, "p99_ms": 6.0 });
        let rows = vec![
            row("disk", "disk", None, &[disk.clone(), disk]),
            row("appends", "sqlite", Some(1), &rates(&[200.0, 100.0])),
            row("appends", "sqlite", Some(64), &rates(&[100.0, 250.0])),
            row("appends", "ours", Some(64), &rates(&[10_000.0, 20_000.0])),
            row("servers", "selvedge", Some(64), &[json!({ "per_second": 900.0 }), Value::Null]),
            row("servers", "nats", Some(64), &rates(&[300.0, 300.0])),
            row("servers", "postgres", Some(64), &rates(&[1000.0, 1000.0])),
        ];
        Results { rows, ..Results::default() }
    }

    #[test]
    fn ratios_are_to_the_best_rival_of_the_same_round() {
        let results = results();
        let goals: Vec<Value> = goals(&results).iter().map(Goal::json).collect();
        let told = |goal: usize| (goals[goal]["found"].as_f64(), goals[goal]["met"].as_bool());
        assert_eq!(told(0), (Some(65.0), Some(true)));
        assert_eq!(told(1), (Some(2.25), Some(true)));
        assert_eq!(told(2), (Some(1.5), Some(true)));
        assert_eq!(told(3), (None, None));
        assert_eq!(told(5), (Some(0.9), Some(false)));
        assert!(results.ahead(&results.rows[6]).is_none());
    }

    #[test]
    fn a_round_that_did_not_work_is_no_figure() {
        let row =
            row("servers", "nats", None, &[Value::Null, json!({ "behind": { "p99_ms": 7.0 } })]);
        assert_eq!(row.median("behind.p99_ms"), Some(7.0));
        assert_eq!(row.median("per_second"), None);
    }
}
