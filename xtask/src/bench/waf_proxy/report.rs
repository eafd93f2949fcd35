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
    contestant::{Contestant, Proxy},
    course::{CORPORA, Results, Row, Sample, passes},
};
use crate::{Result, process};

/// A report; everything it says is in the JSON.
#[derive(Clone, Debug)]
pub struct Report(Value);

/// What the way to the agent and back costs beside the engine.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hop {
    /// Median of what it adds to a request that is alone, in microseconds.
    latency_us: f64,
    /// Processor time that it adds, in microseconds, where no request is refused.
    cpu_us: f64,
}

/// The report of one run.
pub fn assemble(mut machine: Value, settings: &Settings, results: &Results) -> Report {
    machine["versions"] = versions();
    let corpora = 0..CORPORA.len();
    Report(json!({
        "machine": machine,
        "date": settings.date,
        "rounds": settings.rounds,
        "recorded": results.recorded,
        "goals": goals(&results.rows).iter().map(Goal::json).collect::<Vec<_>>(),
        "corpora": corpora.map(|corpus| corpus_json(corpus, &results.rows)).collect::<Vec<_>>(),
        "proxies": results.rows.iter().map(proxy_json).collect::<Vec<_>>(),
        "failures": results.failures,
    }))
}

fn versions() -> Value {
    let package = |name: &str| {
        let version = process::output("dpkg-query", &["-W", "-f", "${Version}", name]);
        version.unwrap_or_else(|_| "unknown".into())
    };
    json!({
        "selvedge": machine::commit().unwrap_or_default(),
        "rustc": machine::said("rustc", &["--version"]),
        "nginx": machine::said("nginx", &["-v"]),
        "libnginx-mod-http-modsecurity": package("libnginx-mod-http-modsecurity"),
        "libmodsecurity": package("libmodsecurity3"),
        "Core Rule Set": "4.28-dev",
    })
}

fn find<'r>(rows: &'r [Row], contestant: &Contestant) -> Option<&'r Row> {
    rows.iter().find(|row| row.contestant == contestant)
}

fn by_slug<'r>(rows: &'r [Row], slug: &str) -> Option<&'r Row> {
    rows.iter().find(|row| row.contestant.slug == slug)
}

impl Row {
    fn middle(&self, corpus: usize, figure: fn(&Sample) -> f64) -> Option<f64> {
        median(self.samples[corpus].iter().map(figure))
    }

    /// Microseconds of requests that were alone, in order of size.
    fn alone_us(&self, corpus: usize) -> Vec<f64> {
        let all = self.samples[corpus].iter().flat_map(|sample| &sample.alone);
        let mut all: Vec<f64> = all.map(|(_, ns)| *ns as f64 / 1000.0).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    }

    fn percentile_us(&self, corpus: usize, share: f64) -> Option<f64> {
        let all = self.alone_us(corpus);
        let at = ((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1));
        all.get(at).copied()
    }

    /// Beside the same proxy without rules, request by request and round by round.
    fn hop(&self, corpus: usize, bare: &Self) -> Option<Hop> {
        let rounds = || self.samples[corpus].iter().zip(&bare.samples[corpus]);
        let latency = rounds().flat_map(|(own, bare)| {
            let pairs = own.alone.iter().zip(&bare.alone).zip(&own.engine);
            pairs.filter_map(|((own, bare), engine)| {
                let both = passes(own.0) && passes(bare.0);
                both.then(|| (own.1 as f64 - bare.1 as f64 - *engine as f64) / 1000.0)
            })
        });
        let cpu = rounds().map(|(own, bare)| own.cpu_us - bare.cpu_us - own.engine_us);
        Some(Hop { latency_us: median(latency)?, cpu_us: median(cpu)? })
    }
}

/// Of ours with rules, on a corpus.
fn hop(rows: &[Row], slug: &str, corpus: usize) -> Option<Hop> {
    let row = by_slug(rows, slug)?;
    if row.contestant.proxy != Proxy::Selvedge || row.contestant.rules.is_none() {
        return None;
    }
    row.hop(corpus, find(rows, row.contestant.bare())?)
}

fn goals(rows: &[Row]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (corpus, label) in CORPORA.iter().enumerate().take(3).map(|(at, it)| (at, it.label)) {
        let found = hop(rows, "selvedge-core", corpus);
        let what = format!("{label}: the way to the agent and back adds to the median");
        goals.push(Goal::most(what, found.map(|it| it.latency_us), 25.0, " µs"));
    }
    for corpus in [1, 2] {
        let found = hop(rows, "selvedge-core", corpus);
        let what = format!("{}: it adds processor time", CORPORA[corpus].label);
        goals.push(Goal::most(what, found.map(|it| it.cpu_us), 25.0, " µs"));
    }
    for slug in ["selvedge-core", "selvedge-native"] {
        let row = by_slug(rows, slug);
        let label = row.map_or(slug, |row| row.contestant.label);
        let what = format!("{}: p99, {label}", CORPORA[0].label);
        let found = row.and_then(|row| row.percentile_us(0, 0.99));
        goals.push(Goal::most(what, found, 1000.0, " µs"));
    }
    goals
}

fn corpus_json(corpus: usize, rows: &[Row]) -> Value {
    let peer = by_slug(rows, "nginx-core");
    let told = rows.iter().map(|row| {
        let bare =
            find(rows, row.contestant.bare()).filter(|bare| bare.contestant != row.contestant);
        let against = |other: Option<&Row>, figure: fn(&Sample) -> f64| {
            let rounds = row.samples[corpus].iter().zip(&other?.samples[corpus]);
            median(rounds.map(|(own, other)| figure(own) / figure(other)))
        };
        let hop = hop(rows, row.contestant.slug, corpus);
        json!({
            "slug": row.contestant.slug,
            "label": row.contestant.label,
            "rps": row.middle(corpus, |it| it.rate),
            "to_bare": against(bare, |it| it.rate),
            "to_peer": against(peer, |it| it.rate),
            "cpu_us": row.middle(corpus, |it| it.cpu_us),
            "cpu_to_peer": against(peer, |it| it.cpu_us),
            "busy": row.middle(corpus, |it| it.busy),
            "p50_us": row.percentile_us(corpus, 0.5),
            "p99_us": row.percentile_us(corpus, 0.99),
            "hop_latency_us": hop.map(|hop| hop.latency_us),
            "hop_cpu_us": hop.map(|hop| hop.cpu_us),
            "rounds_rps": row.samples[corpus].iter().map(|it| it.rate).collect::<Vec<_>>(),
            "rounds_cpu_us": row.samples[corpus].iter().map(|it| it.cpu_us).collect::<Vec<_>>(),
        })
    });
    json!({ "label": CORPORA[corpus].label, "rows": told.collect::<Vec<_>>() })
}

fn proxy_json(row: &Row) -> Value {
    let [wrong, right] = row.shares();
    json!({
        "label": row.contestant.label,
        "memory_mib": row.memory as f64 / f64::from(1 << 20),
        "ordinary_refused_percent": wrong,
        "attacks_refused_percent": right,
    })
}

impl Report {
    /// For other programs.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.0)? + "\n")
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# What a firewall costs in front of an application\n\n");
        text += "Written by `cargo xtask bench waf-proxy --write`; the method is in [README](README.md#the-firewall-in-its-proxy), ";
        text += "raw figures are in [waf-proxy.json](waf-proxy.json).\n";
        text += &machine_markdown(&self.0["machine"]);
        text += &goal::markdown(&self.0["goals"]);
        let (rounds, date) = (&self.0["rounds"], self.0["date"].as_str().unwrap_or("unknown"));
        let _ = write!(
            text,
            "\n## Requests\n\n{rounds} rounds, {date}; {} recorded requests, no two alike. Rates and processor time are over 16 connections, \
             latencies over one. *The hop* is what the way to the agent and back adds beside the engine's own time.\n",
            self.0["recorded"],
        );
        list(&self.0["corpora"]).iter().for_each(|corpus| text += &corpus_markdown(corpus));
        text += &proxies_markdown(&self.0["proxies"]);
        text
    }
}

fn corpus_markdown(corpus: &Value) -> String {
    let mut text = format!(
        "\n{}:\n\n| | req/s | of the same without rules | of nginx and libmodsecurity | CPU µs/req | of nginx and libmodsecurity | \
         core busy | p50 µs | p99 µs | hop: latency µs | hop: CPU µs |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        corpus["label"].as_str().unwrap_or_default(),
    );
    for row in list(&corpus["rows"]) {
        let figure = |name: &str| row[name].as_f64().map_or("–".into(), grouped);
        let ratio = |name: &str| row[name].as_f64().map_or("–".into(), |it| format!("{it:.3}×"));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {:.0} % | {} | {} | {} | {} |",
            row["label"].as_str().unwrap_or_default(),
            figure("rps"),
            ratio("to_bare"),
            ratio("to_peer"),
            figure("cpu_us"),
            ratio("cpu_to_peer"),
            row["busy"].as_f64().unwrap_or(f64::NAN) * 100.0,
            figure("p50_us"),
            figure("p99_us"),
            figure("hop_latency_us"),
            figure("hop_cpu_us"),
        );
    }
    text
}

fn proxies_markdown(proxies: &Value) -> String {
    let mut text = String::from(
        "\n## Proxies\n\nMemory is of all processes after all of the above; shares are of the recorded requests.\n\n\
         | | memory | ordinary requests refused | attacks refused |\n|---|--:|--:|--:|\n",
    );
    for proxy in list(proxies) {
        let figure = |name: &str| proxy[name].as_f64().unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "| {} | {} MiB | {:.2} % | {:.1} % |",
            proxy["label"].as_str().unwrap_or_default(),
            grouped(figure("memory_mib")),
            figure("ordinary_refused_percent"),
            figure("attacks_refused_percent"),
        );
    }
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::{super::contestant::ALL, *};

    fn row(slug: &str, alone_us: &[u64], engine_us: u64) -> Row {
        let sample = Sample {
            rate: 1000.0,
            cpu_us: alone_us[0] as f64,
            busy: 1.0,
            alone: alone_us.iter().map(|us| (200, us * 1000)).collect(),
            engine: alone_us.iter().map(|_| engine_us * 1000).collect(),
            engine_us: engine_us as f64,
        };
        Row {
            contestant: ALL.iter().find(|it| it.slug == slug).unwrap(),
            samples: CORPORA.iter().map(|_| vec![sample.clone()]).collect(),
            memory: 1 << 20,
            quality: [(0, 1); 2],
        }
    }

    #[test]
    fn the_hop_is_what_neither_engine_nor_proxy_take() {
        let rows = [row("selvedge", &[50, 60, 70], 0), row("selvedge-core", &[100, 110, 180], 30)];
        assert_eq!(hop(&rows, "selvedge-core", 1), Some(Hop { latency_us: 20.0, cpu_us: 20.0 }));
        assert_eq!(hop(&rows, "selvedge", 1), None);
        let told: Vec<Value> = goals(&rows).iter().map(Goal::json).collect();
        assert_eq!((&told[0]["found"], &told[0]["met"]), (&json!(20.0), &json!(true)));
        assert_eq!(told[6]["met"], Value::Null);
    }

    #[test]
    fn requests_that_were_refused_say_nothing_of_the_hop() {
        let mut rows =
            [row("selvedge", &[50, 60, 70], 0), row("selvedge-core", &[100, 110, 180], 30)];
        for round in &mut rows[1].samples[0] {
            round.alone[0].0 = 403;
            round.alone[1].0 = 403;
        }
        assert_eq!(hop(&rows, "selvedge-core", 0).unwrap().latency_us, 80.0);
    }

    #[test]
    fn rows_without_rules_are_compared_with_nobody_but_the_peer() {
        let rows = [row("nginx", &[40], 0), row("nginx-core", &[400], 0)];
        let told = corpus_json(0, &rows);
        assert_eq!(told["rows"][0]["to_bare"], Value::Null);
        assert_eq!(told["rows"][1]["to_bare"], json!(1.0));
        assert_eq!(told["rows"][0]["cpu_to_peer"], json!(0.1));
    }
}
