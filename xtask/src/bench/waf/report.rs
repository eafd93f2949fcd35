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
    contestant::Whose,
    course::{BOUNDED_SIZES, CORPORA, HOSTILE, PATIENCE, PEER_SIZES, Results, Row, SIZES},
};
use crate::{Result, process, workspace};

/// A report; everything it says is in the JSON.
#[derive(Clone, Debug)]
pub struct Report(Value);

/// The report of one run.
pub fn assemble(mut machine: Value, settings: &Settings, results: &Results) -> Report {
    machine["versions"] = versions();
    Report(json!({
        "machine": machine,
        "date": settings.date,
        "rounds": settings.rounds,
        "sizes": SIZES,
        "goals": goals(&results.rows).iter().map(Goal::json).collect::<Vec<_>>(),
        "corpora": (0..CORPORA.len()).map(|file| corpus_json(file, &results.rows)).collect::<Vec<_>>(),
        "engines": results.rows.iter().map(engine_json).collect::<Vec<_>>(),
        "hostile": (0..HOSTILE.len()).map(|kind| hostile_json(kind, &results.rows)).collect::<Vec<_>>(),
        "failures": results.failures,
    }))
}

fn versions() -> Value {
    let library = process::output("dpkg-query", &["-W", "-f", "${Version}", "libmodsecurity3"]);
    let lock =
        std::fs::read_to_string(workspace::root().join("conformance/waf/zentinel/Cargo.lock"));
    let zentinel = lock.ok().and_then(|lock| {
        let (_, rest) = lock.split_once("name = \"zentinel-modsec\"\nversion = \"")?;
        rest.split('"').next().map(str::to_owned)
    });
    json!({
        "selvedge": machine::commit().unwrap_or_default(),
        "rustc": machine::said("rustc", &["--version"]),
        "libmodsecurity": library.unwrap_or_else(|_| "unknown".into()),
        "zentinel-modsec": zentinel.unwrap_or_else(|| "unknown".into()),
        "Core Rule Set": "4.28-dev",
    })
}

/// Of one engine on one corpus.
impl Row {
    /// All times, in order of size.
    fn sorted(&self, file: usize) -> Vec<u64> {
        let mut all: Vec<u64> = self.times[file].iter().flatten().copied().collect();
        all.sort_unstable();
        all
    }

    fn mean_us(&self, file: usize) -> f64 {
        mean_us(&self.sorted(file))
    }

    fn percentile_us(&self, file: usize, share: f64) -> f64 {
        let all = self.sorted(file);
        let at = ((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1));
        all.get(at).map_or(f64::NAN, |ns| *ns as f64 / 1000.0)
    }

    /// How many times as long `other` takes, round by round.
    fn ratios_to(&self, other: &Self, file: usize) -> Vec<f64> {
        let rounds = other.times[file].iter().zip(&self.times[file]);
        rounds.map(|(other, own)| mean_us(other) / mean_us(own)).collect()
    }

    /// The longest that a hostile body within the default bounds takes, in ms.
    fn worst_ms(&self) -> Option<f64> {
        if self.hostile.iter().any(|sizes| sizes.len() < BOUNDED_SIZES) {
            return Some(PATIENCE.as_millis() as f64);
        }
        let bounded = self.hostile.iter().flat_map(|sizes| sizes.iter().take(BOUNDED_SIZES));
        bounded.max().map(|ns| *ns as f64 / 1e6)
    }
}

fn mean_us(times: &[u64]) -> f64 {
    times.iter().sum::<u64>() as f64 / times.len() as f64 / 1000.0
}

fn goals(rows: &[Row]) -> Vec<Goal> {
    let row = |slug: &str| rows.iter().find(|row| row.contestant.slug == slug);
    let ratio = |one: &str, other: &str, file| median(row(one)?.ratios_to(row(other)?, file));
    let mut goals = Vec::new();
    for (file, bound) in [(0, 20.0), (1, 40.0), (2, 40.0), (3, 50.0)] {
        for (peer, name) in [("modsecurity", "libmodsecurity"), ("zentinel", "zentinel-modsec")] {
            let what = format!("{}: Core Rule Set, {name}'s time of ours", CORPORA[file].label);
            goals.push(Goal::least(what, ratio("core", peer, file), bound, "×"));
        }
    }
    let native = "recorded requests: time with the Core Rule Set of that with rules of our own";
    goals.push(Goal::least(native, ratio("native", "core", 0), 2.0, "×"));
    let ours = |figure: &dyn Fn(&Row) -> Option<f64>| {
        let ours = rows.iter().filter(|row| row.contestant.whose == Whose::Selvedge);
        ours.filter_map(figure).max_by(f64::total_cmp)
    };
    goals.push(Goal::most(
        "recorded requests: p99",
        ours(&|row| Some(row.percentile_us(0, 0.99))),
        1000.0,
        " µs",
    ));
    goals.push(Goal::most(
        "worst hostile body within the bounds",
        ours(&Row::worst_ms),
        20.0,
        " ms",
    ));
    goals.push(Goal::most(
        "memory",
        ours(&|row| Some(row.memory_kib as f64 / 1024.0)),
        40.0,
        " MiB",
    ));
    goals.push(Goal::most(
        "rules load in",
        ours(&|row| Some(row.load_us as f64 / 1000.0)),
        500.0,
        " ms",
    ));
    goals
}

fn corpus_json(file: usize, rows: &[Row]) -> Value {
    let core = rows.iter().find(|row| row.contestant.slug == "core");
    let rows = rows.iter().map(|row| {
        let rounds: Vec<f64> = row.times[file].iter().map(|times| mean_us(times)).collect();
        json!({
            "slug": row.contestant.slug,
            "label": row.contestant.label,
            "mean_us": row.mean_us(file),
            "p50_us": row.percentile_us(file, 0.5),
            "p99_us": row.percentile_us(file, 0.99),
            "max_us": row.percentile_us(file, 1.0),
            "to_core": core.and_then(|core| median(core.ratios_to(row, file))),
            "rounds_us": rounds,
        })
    });
    let requests = core.map_or(0, |core| core.times[file].iter().map(Vec::len).sum());
    let rows: Vec<Value> = rows.collect();
    json!({ "label": CORPORA[file].label, "requests": requests, "rows": rows })
}

fn engine_json(row: &Row) -> Value {
    let [wrong, right] = row.shares();
    json!({
        "slug": row.contestant.slug,
        "label": row.contestant.label,
        "load_ms": row.load_us as f64 / 1000.0,
        "memory_mib": row.memory_kib as f64 / 1024.0,
        "ordinary_refused_percent": wrong,
        "attacks_refused_percent": right,
    })
}

fn hostile_json(kind: usize, rows: &[Row]) -> Value {
    let rows = rows.iter().filter(|row| !row.hostile.is_empty()).map(|row| {
        json!({
            "slug": row.contestant.slug,
            "label": row.contestant.label,
            "ns": row.hostile[kind],
            "unbounded_ns": row.unbounded.get(kind),
        })
    });
    json!({ "name": HOSTILE[kind].replace('-', " "), "rows": rows.collect::<Vec<_>>() })
}

impl Report {
    /// For other programs.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.0)? + "\n")
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# What the firewall's engine costs\n\n");
        text += "Written by `cargo xtask bench waf --write`; the method is in [README](README.md#the-firewalls-engine), ";
        text += "raw figures are in [waf.json](waf.json).\n";
        text += &machine_markdown(&self.0["machine"]);
        text += &goal::markdown(&self.0["goals"]);
        let (rounds, date) = (&self.0["rounds"], self.0["date"].as_str().unwrap_or("unknown"));
        let _ = write!(
            text,
            "\n## Requests\n\nTime of the processor for each request, both phases, in µs; {rounds} rounds, {date}.\n"
        );
        list(&self.0["corpora"]).iter().for_each(|corpus| text += &corpus_markdown(corpus));
        text += &engines_markdown(&self.0["engines"]);
        text += &hostile_markdown(&self.0["hostile"]);
        text
    }
}

fn corpus_markdown(corpus: &Value) -> String {
    let mut text = format!(
        "\n{} {}, no two alike:\n\n| | mean | p50 | p99 | longest | per second | of ours with the Core Rule Set |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
        corpus["requests"],
        corpus["label"].as_str().unwrap_or_default(),
    );
    for row in list(&corpus["rows"]) {
        let figure = |name: &str| row[name].as_f64().map_or("–".into(), grouped);
        let rate = row["mean_us"].as_f64().map_or("–".into(), |mean| grouped(1e6 / mean));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {rate} | {}× |",
            row["label"].as_str().unwrap_or_default(),
            figure("mean_us"),
            figure("p50_us"),
            figure("p99_us"),
            figure("max_us"),
            figure("to_core"),
        );
    }
    text
}

fn engines_markdown(engines: &Value) -> String {
    let mut text = String::from(
        "\n## Engines\n\nMemory is what the process holds after all of the above, beside the requests. \
         Shares are of the recorded requests.\n\n\
         | | rules load in | memory | ordinary requests refused | attacks refused |\n|---|--:|--:|--:|--:|\n",
    );
    for engine in list(engines) {
        let figure = |name: &str| engine[name].as_f64().unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "| {} | {} ms | {} MiB | {:.2} % | {:.1} % |",
            engine["label"].as_str().unwrap_or_default(),
            grouped(figure("load_ms")),
            grouped(figure("memory_mib")),
            figure("ordinary_refused_percent"),
            figure("attacks_refused_percent"),
        );
    }
    text
}

fn hostile_markdown(kinds: &Value) -> String {
    let measured = list(kinds).iter().find(|kind| !list(&kind["rows"]).is_empty());
    let Some(first) = measured else { return String::new() };
    let (mut head, mut rule) = (String::from("| body of |"), String::from("|---|"));
    for row in list(&first["rows"]) {
        let _ = write!(head, " {} |", row["label"].as_str().unwrap_or_default());
        rule += "--:|";
        if !row["unbounded_ns"].is_null() {
            head += " 128 KiB | 1 MiB, no bounds | growth |";
            rule += "--:|--:|--:|";
        }
    }
    let mut text = format!(
        "\n## Hostile bodies\n\nTime of the processor in ms for a body of 64 KiB; for ours also for one just below the bound of 128 KiB, \
         and without any bound for 1 MiB. *Growth* is from 64 KiB to 1 MiB without bounds: 16 is linear.\n\n{head}\n{rule}\n"
    );
    for kind in list(kinds) {
        let _ = write!(text, "| {} |", kind["name"].as_str().unwrap_or_default());
        list(&kind["rows"]).iter().for_each(|row| text += &hostile_cells(row));
        text.push('\n');
    }
    text
}

fn hostile_cells(row: &Value) -> String {
    let ns = |name: &str, size: usize| row[name][size].as_f64();
    let late = || format!("> {} s", PATIENCE.as_secs());
    let ms = |name: &str, size: usize| ns(name, size).map_or_else(late, |ns| grouped(ns / 1e6));
    let cells = format!(" {} |", ms("ns", PEER_SIZES - 1));
    if row["unbounded_ns"].is_null() {
        return cells;
    }
    let last = SIZES.len() - 1;
    let ends = (ns("unbounded_ns", last), ns("unbounded_ns", PEER_SIZES - 1));
    let growth = match ends {
        (Some(last), Some(first)) => format!("{:.1}", last / first),
        _ => "–".into(),
    };
    format!("{cells} {} | {} | {growth} |", ms("ns", BOUNDED_SIZES - 1), ms("unbounded_ns", last))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::{super::contestant::ALL, *};

    fn row(slug: &str, rounds: &[&[u64]]) -> Row {
        let times: Vec<Vec<u64>> = rounds.iter().map(|round| round.to_vec()).collect();
        Row {
            contestant: ALL.iter().find(|it| it.slug == slug).unwrap(),
            load_us: 250_000,
            memory_kib: 30 << 10,
            times: CORPORA.iter().map(|_| times.clone()).collect(),
            quality: [(0, 10), (9, 10)],
            hostile: vec![SIZES.iter().map(|size| *size as u64).collect(); HOSTILE.len()],
            unbounded: vec![SIZES.iter().map(|size| *size as u64).collect(); HOSTILE.len()],
        }
    }

    #[test]
    fn ratios_are_of_rounds() {
        let (core, peer) =
            (row("core", &[&[1000], &[2000]]), row("modsecurity", &[&[30_000], &[40_000]]));
        assert_eq!(core.ratios_to(&peer, 0), [30.0, 20.0]);
        let goals: Vec<Value> = goals(&[core, peer]).iter().map(Goal::json).collect();
        let told = |goal: usize| (goals[goal]["found"].as_f64(), goals[goal]["met"].as_bool());
        assert_eq!(told(0), (Some(25.0), Some(true)));
        assert_eq!(told(1), (None, None));
        assert_eq!(told(2), (Some(25.0), Some(false)));
        assert_eq!(told(12), (Some(250.0), Some(true)));
    }

    #[test]
    fn percentiles_are_of_all_rounds() {
        let row = row("core", &[&[1000, 3000], &[2000, 4000]]);
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|share| row.percentile_us(0, share)),
            [1.0, 3.0, 4.0, 4.0]
        );
        assert_eq!(row.mean_us(0), 2.5);
    }
}
