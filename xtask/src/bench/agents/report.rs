//! Results as JSON, which is kept, and as Markdown, which is made from it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    super::{
        figures::{grouped, median},
        goal::{self, Goal},
        report::machine_markdown,
    },
    Settings,
    contestant::{ALL, Work},
    course::{Paced, Results, Row},
    runner::{Latency, Sample},
    speed::{self, Speed},
};
use crate::Result;

/// A report; everything it says is in the JSON.
#[derive(Clone, Debug)]
pub struct Report(Value);

/// The report of one run.
pub fn assemble(
    machine: Value,
    settings: &Settings,
    results: &Results,
    speeds: &[Speed],
) -> Report {
    Report(json!({
        "machine": machine,
        "date": settings.date,
        "seconds": settings.seconds,
        "goals": goals(results, speeds).iter().map(Goal::json).collect::<Vec<_>>(),
        "rows": results.rows.iter().map(|row| row_json(row, &results.rows)).collect::<Vec<_>>(),
        "panels": results.panels.iter().map(panel_json).collect::<Vec<_>>(),
        "auth": speeds.iter().map(Speed::json).collect::<Vec<_>>(),
    }))
}

fn goals(results: &Results, speeds: &[Speed]) -> Vec<Goal> {
    let panel = |name: &str| results.panels.iter().find(|paced| paced.panel.name == name);
    let one = |figure| median(panel("one")?.added("one", "none", figure));
    let three = |figure| {
        let panel = panel("three")?;
        let (one, three) =
            (panel.added("one", "none", figure), panel.added("three", "none", figure));
        // Where one adds nothing that could be measured, there is nothing to compare with.
        let one = median(one).filter(|one| *one > 0.0)?;
        Some(median(three)? / one)
    };
    let rate = median(ratios(&results.rows, "one", "auth-request"));
    let speed =
        |what: &str| speeds.iter().find(|speed| speed.what == what).map(|speed| speed.per_second);
    vec![
        Goal::most("one agent adds to p50", one(|latency| latency.p50), 40.0, " µs"),
        Goal::most("one agent adds to p99", one(|latency| latency.p99), 150.0, " µs"),
        Goal::most("three add to p50, of what one adds", three(|latency| latency.p50), 1.5, "×"),
        Goal::most("three add to p99, of what one adds", three(|latency| latency.p99), 1.5, "×"),
        Goal::least("throughput with one agent, of nginx auth_request's", rate, 3.0, "×"),
        Goal::least("known ES256 tokens per second and core", speed(speed::KNOWN), 200_000.0, ""),
        Goal::least("new ES256 tokens per second and core", speed(speed::NEW), 10_000.0, ""),
    ]
}

impl Paced {
    /// What `row` adds to a figure of `base`, round by round.
    fn added(&self, row: &str, base: &str, figure: fn(&Latency) -> f64) -> Vec<f64> {
        let of = |slug: &str| {
            let member = self.members.iter().find(|(own, _)| *own == slug);
            member.map(|(_, latencies)| latencies.as_slice()).unwrap_or_default()
        };
        let pairs = of(row).iter().zip(of(base));
        pairs.map(|(row, base)| figure(row) - figure(base)).collect()
    }
}

/// Rates of one row as a ratio to those of another, round by round; none if either failed.
fn ratios(rows: &[Row], row: &str, base: &str) -> Vec<f64> {
    let of = |slug: &str| {
        let found = rows.iter().find(|row| row.contestant.slug == slug && row.failure.is_none());
        found.map(|row| row.samples.as_slice()).unwrap_or_default()
    };
    of(row).iter().zip(of(base)).map(|(row, base)| row.rate / base.rate).collect()
}

fn row_json(row: &Row, rows: &[Row]) -> Value {
    let of = |figure: fn(&Sample) -> f64| row.samples.iter().map(figure).collect::<Vec<f64>>();
    let contestant = row.contestant;
    // The same proxy without an adviser, doing the same work.
    let base = ALL.iter().find(|it| (it.proxy, it.work) == (contestant.proxy, contestant.work));
    let kept = base.map(|base| ratios(rows, contestant.slug, base.slug)).unwrap_or_default();
    let to_auth_request = match contestant.work {
        Work::Head => ratios(rows, contestant.slug, "auth-request"),
        Work::Body => Vec::new(),
    };
    json!({
        "slug": contestant.slug,
        "label": contestant.label,
        "body": contestant.work == Work::Body,
        "failure": row.failure,
        "median": {
            "rps": median(of(|sample| sample.rate)),
            "kept": median(kept.clone()),
            "to_auth_request": median(to_auth_request.clone()),
            "cpu_us": median(of(|sample| sample.cpu_us)),
            "busy": median(of(|sample| sample.busy)),
            "disturbed": median(of(|sample| sample.disturbed)),
        },
        "rounds": {
            "rps": of(|sample| sample.rate),
            "kept": kept,
            "to_auth_request": to_auth_request,
            "cpu_us": of(|sample| sample.cpu_us),
            "busy": of(|sample| sample.busy),
            "disturbed": of(|sample| sample.disturbed),
        },
    })
}

fn panel_json(paced: &Paced) -> Value {
    let rows = paced.members.iter().map(|(slug, latencies)| {
        let of = |figure: fn(&Latency) -> f64| latencies.iter().map(figure).collect::<Vec<f64>>();
        let base = paced.panel.pairs.iter().find(|(row, _)| row == slug).map(|(_, base)| *base);
        let added = |figure| base.map(|base| paced.added(slug, base, figure)).unwrap_or_default();
        let (added_p50, added_p99) = (added(|it| it.p50), added(|it| it.p99));
        let label = ALL.iter().find(|it| it.slug == *slug).map(|it| it.label);
        json!({
            "slug": slug,
            "label": label,
            "base": base,
            "median": {
                "p50_us": median(of(|it| it.p50)),
                "p99_us": median(of(|it| it.p99)),
                "p999_us": median(of(|it| it.p999)),
                "added_p50_us": median(added_p50.clone()),
                "added_p99_us": median(added_p99.clone()),
                "sent_late_us": median(of(|it| it.sent_late)),
            },
            "rounds": {
                "p50_us": of(|it| it.p50),
                "p99_us": of(|it| it.p99),
                "p999_us": of(|it| it.p999),
                "added_p50_us": added_p50,
                "added_p99_us": added_p99,
                "sent_late_us": of(|it| it.sent_late),
            },
        })
    });
    let rows: Vec<Value> = rows.collect();
    json!({ "name": paced.panel.name, "due_rps": paced.rate, "rows": rows })
}

impl Report {
    /// For other programs.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.0)? + "\n")
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# What agents cost\n\n");
        text += "Written by `cargo xtask bench agents --write`; the method is in [README](README.md#agents), ";
        text += "raw figures are in [agents.json](agents.json).\n";
        text += &machine_markdown(&self.0["machine"]);
        text += &goal::markdown(&self.0["goals"]);
        text += &self.throughput_markdown("Throughput", HEADS, false);
        text += &self.throughput_markdown("Bodies of 64 KiB", BODIES, true);
        text += &self.latency_markdown();
        text += &auth_markdown(&self.0["auth"]);
        text
    }

    fn throughput_markdown(&self, title: &str, about: &str, body: bool) -> String {
        let rows: Vec<&Value> =
            list(&self.0["rows"]).iter().filter(|row| row["body"] == json!(body)).collect();
        if rows.is_empty() {
            return String::new();
        }
        let rounds = rows.iter().map(|row| list(&row["rounds"]["rps"]).len()).max().unwrap_or(0);
        let mut text = format!(
            "\n## {title}\n\n{about} {rounds} rounds of {} s, {}.\n\n\
             | | req/s | spread | of the same without | of nginx auth_request | CPU µs/req | core busy (others) |\n\
             |---|--:|--:|--:|--:|--:|--:|\n",
            self.0["seconds"],
            word(&self.0["date"]),
        );
        for row in rows {
            text += &row_markdown(row);
        }
        text
    }

    fn latency_markdown(&self) -> String {
        let mut text = String::new();
        for panel in list(&self.0["panels"]) {
            let due = panel["due_rps"].as_f64().unwrap_or_default();
            let rows = list(&panel["rows"]);
            let rounds = rows.iter().map(|row| list(&row["rounds"]["p50_us"]).len()).max();
            let _ = write!(
                text,
                "\n## Latency: {}\n\n{} requests due per second of each, half of what the slowest can do, in µs; \
                 {} rounds of {} s.\n\n| | p50 | p99 | p99.9 | added to p50 | added to p99 | load late by |\n\
                 |---|--:|--:|--:|--:|--:|--:|\n",
                word(&panel["name"]),
                grouped(due),
                rounds.unwrap_or(0),
                self.0["seconds"],
            );
            for row in rows {
                let shown = |name: &str| row["median"][name].as_f64().map_or("–".into(), grouped);
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {} | {} |",
                    word(&row["label"]),
                    shown("p50_us"),
                    shown("p99_us"),
                    shown("p999_us"),
                    shown("added_p50_us"),
                    shown("added_p99_us"),
                    shown("sent_late_us"),
                );
            }
        }
        text
    }
}

const HEADS: &str = "GET of 12 bytes, HTTP/1.1 keep-alive, 64 connections. The origin refuses a request without the field \
    that the adviser sets. Proxy and advisers share one core; the CPU is of both.";

const BODIES: &str = "POST, HTTP/1.1 keep-alive, 64 connections. The agent reads each body whole before the origin gets any \
    of it, and the origin refuses a request without the body's length and checksum as the agent saw them.";

fn row_markdown(row: &Value) -> String {
    let label = word(&row["label"]);
    if let Some(reason) = row["failure"].as_str() {
        let reason = reason.lines().next().unwrap_or_default();
        return format!("| {label} | failed: {reason} | | | | | |\n");
    }
    let figure = |name: &str| row["median"][name].as_f64();
    let ratio = |name: &str| figure(name).map_or("–".into(), |ratio| format!("{ratio:.2}×"));
    let share = |name: &str| figure(name).unwrap_or_default() * 100.0;
    let rates = || list(&row["rounds"]["rps"]).iter().filter_map(Value::as_f64);
    let spread = match (rates().min_by(f64::total_cmp), rates().max_by(f64::total_cmp)) {
        (Some(least), Some(most)) => format!("{}–{}", grouped(least), grouped(most)),
        _ => "–".into(),
    };
    format!(
        "| {label} | {} | {spread} | {} | {} | {} | {:.0} % ({:.0} %) |\n",
        figure("rps").map_or("–".into(), grouped),
        ratio("kept"),
        ratio("to_auth_request"),
        figure("cpu_us").map_or("–".into(), grouped),
        share("busy"),
        share("disturbed"),
    )
}

fn auth_markdown(speeds: &Value) -> String {
    if list(speeds).is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n## Decisions of the auth agent\n\nOn one thread, without a socket, in time of the processor: \
         `crates/agents/examples/auth_speed.rs`.\n\n| | per second | µs each |\n|---|--:|--:|\n",
    );
    for speed in list(speeds) {
        let per_second = speed["per_second"].as_f64().unwrap_or(f64::NAN);
        let (rate, each) = (grouped(per_second), grouped(1e6 / per_second));
        let _ = writeln!(text, "| {} | {rate} | {each} |", word(&speed["what"]));
    }
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::agents::contestant::PANELS;

    fn row(slug: &str, rates: &[f64]) -> Row {
        let contestant = ALL.iter().find(|it| it.slug == slug).unwrap();
        let sample = |rate: &f64| Sample { rate: *rate, cpu_us: 9.0, busy: 1.0, disturbed: 0.0 };
        Row { contestant, samples: rates.iter().map(sample).collect(), failure: None }
    }

    fn results() -> Results {
        let latency = |p50: f64| Latency { p50, p99: p50 * 2.0, ..Latency::default() };
        let members = vec![
            ("none", vec![latency(100.0), latency(200.0)]),
            ("one", vec![latency(130.0), latency(234.0)]),
            ("three", vec![latency(150.0), latency(262.0)]),
        ];
        let panel =
            |index: usize| Paced { panel: &PANELS[index], rate: 10.0, members: members.clone() };
        Results {
            rows: vec![row("one", &[300.0, 500.0]), row("auth-request", &[100.0, 125.0])],
            panels: vec![panel(0), panel(1)],
        }
    }

    #[test]
    fn without_a_cost_of_one_there_is_no_ratio_to_it() {
        let mut results = results();
        for (_, latencies) in &mut results.panels[1].members {
            latencies.fill(Latency::default());
        }
        assert_eq!(goals(&results, &[])[2].json()["found"], Value::Null);
    }

    #[test]
    fn goals_are_judged_by_what_was_added_in_each_round() {
        let speeds = [Speed { what: speed::NEW.into(), per_second: 9_999.0 }];
        let goals = goals(&results(), &speeds);
        let told: Vec<String> = goals
            .iter()
            .map(|goal| format!("{} {}", goal.json()["found"], goal.json()["met"]))
            .collect();
        assert_eq!(
            told,
            [
                "32.0 true",
                "64.0 true",
                "1.75 false",
                "1.75 false",
                "3.5 true",
                "null null",
                "9999.0 false",
            ]
        );
    }

    #[test]
    fn a_failed_row_is_compared_with_nobody() {
        let mut results = results();
        results.rows[1].failure = Some("wrong\nanswers".into());
        assert!(ratios(&results.rows, "one", "auth-request").is_empty());
        assert_eq!(
            row_markdown(&row_json(&results.rows[1], &results.rows)),
            "| nginx, auth_request | failed: wrong | | | | | |\n"
        );
    }
}
