//! Results as JSON, which is kept, and as Markdown, which is made from it.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{
    course::{IDLE_CONNECTIONS, Measured, Memory, Results, Row, Sample},
    figures::{grouped, median},
    load::Latency,
    peer::Kind,
    scenario,
};
use crate::Result;

/// A report; everything it says is in the JSON.
#[derive(Clone, Debug)]
pub struct Report(Value);

/// The report of one run.
pub fn assemble(machine: Value, results: &Results) -> Report {
    let entries = results.scenarios.iter().map(|measured| {
        let mut entry = scenario_json(measured);
        entry["date"] = json!(results.date);
        entry["seconds"] = json!(results.seconds);
        entry["selvedge"] = machine["versions"]["selvedge"].clone();
        (measured.scenario.name.to_owned(), entry)
    });
    let scenarios: Map<String, Value> = entries.collect();
    let memory: Vec<Value> = results.memory.iter().map(memory_json).collect();
    Report(json!({ "machine": machine, "scenarios": scenarios, "memory": memory }))
}

impl Report {
    /// This run's results, and of an earlier report those that were not measured again.
    ///
    /// Figures of two machines do not belong in one table, so that is an error.
    pub fn merged_into(&self, earlier: Option<&str>) -> Result<Self> {
        let Some(earlier) = earlier else { return Ok(self.clone()) };
        let earlier: Value = serde_json::from_str(earlier)?;
        let mut merged = self.0.clone();
        for fact in ["cpu", "cores"] {
            let (was, is) = (&earlier["machine"][fact], &merged["machine"][fact]);
            if was != is {
                return Err(format!(
                    "the results in place are from another machine ({fact} {was}, here {is}); \
                     remove them and measure everything"
                )
                .into());
            }
        }
        for (name, entry) in earlier["scenarios"].as_object().into_iter().flatten() {
            if merged["scenarios"].get(name).is_none() {
                merged["scenarios"][name] = entry.clone();
            }
        }
        if list(&merged["memory"]).is_empty() {
            merged["memory"] = earlier["memory"].clone();
        }
        Ok(Self(merged))
    }

    /// For the next run and for other programs.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.0)? + "\n")
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# The edge beside nginx and HAProxy\n\n");
        text +=
            "Written by `cargo xtask bench edge --write`; the method is in [README](README.md), ";
        text += "raw figures are in [edge.json](edge.json).\n";
        text += &machine_markdown(&self.0["machine"]);
        text += &summary_markdown(&self.scenarios());
        for (name, about, entry) in self.scenarios() {
            text += &scenario_markdown(name, about, entry);
        }
        text += &memory_markdown(&self.0["memory"]);
        text
    }

    /// Name, description and figures of the scenarios that have been measured, in the order of the table.
    fn scenarios(&self) -> Vec<(&'static str, &'static str, &Value)> {
        let all = scenario::ALL.iter();
        all.filter_map(|s| Some((s.name, s.about, self.0["scenarios"].get(s.name)?))).collect()
    }
}

fn scenario_json(measured: &Measured) -> Value {
    let best = best_rival_rates(measured);
    let rows: Vec<Value> = measured.rows.iter().map(|row| row_json(row, &best)).collect();
    json!({ "about": measured.scenario.about, "rows": rows })
}

/// The rate of the better rival in each round; none for a round without one.
fn best_rival_rates(measured: &Measured) -> Vec<Option<f64>> {
    let rivals: Vec<&Row> = measured
        .rows
        .iter()
        .filter(|row| row.contestant.kind.is_rival() && row.failure.is_none())
        .collect();
    let rounds = rivals.iter().map(|row| row.samples.len()).max().unwrap_or(0);
    (0..rounds)
        .map(|round| {
            let rates = rivals.iter().filter_map(|row| Some(row.samples.get(round)?.rate));
            rates.max_by(f64::total_cmp)
        })
        .collect()
}

fn row_json(row: &Row, best: &[Option<f64>]) -> Value {
    let of = |figure: fn(&Sample) -> f64| row.samples.iter().map(figure).collect::<Vec<f64>>();
    let latency = |figure: fn(&Latency) -> f64| median(row.latencies.iter().map(figure));
    let ratios: Vec<f64> = row
        .samples
        .iter()
        .zip(best)
        .filter_map(|(sample, best)| Some(sample.rate / (*best)?))
        .collect();
    json!({
        "name": row.contestant.label(),
        "kind": row.contestant.kind.name(),
        "failure": row.failure,
        "tls": row.tls,
        "logged": row.logged,
        "median": {
            "rps": median(of(|sample| sample.rate)),
            "ratio": median(ratios.clone()),
            "user_us": median(of(|sample| sample.user_us)),
            "system_us": median(of(|sample| sample.system_us)),
            "busy": median(of(|sample| sample.busy)),
            "disturbed": median(of(|sample| sample.disturbed)),
            "segments": median(of(|sample| sample.segments)),
            "due_rps": latency(|latency| latency.due),
            "paced_rps": latency(|latency| latency.rate),
            "p50_ms": latency(|latency| latency.p50),
            "p99_ms": latency(|latency| latency.p99),
            "p999_ms": latency(|latency| latency.p999),
        },
        "rounds": {
            "rps": of(|sample| sample.rate),
            "ratio": ratios,
            "user_us": of(|sample| sample.user_us),
            "system_us": of(|sample| sample.system_us),
            "busy": of(|sample| sample.busy),
            "disturbed": of(|sample| sample.disturbed),
            "segments": of(|sample| sample.segments),
            "latency": row.latencies.iter().map(Latency::json).collect::<Vec<_>>(),
        },
    })
}

fn memory_json(memory: &Memory) -> Value {
    let Memory { contestant, idle, connected } = memory;
    json!({ "name": contestant.label(), "idle_bytes": idle, "connected_bytes": connected })
}

/// The table of machine and versions.
pub fn machine_markdown(machine: &Value) -> String {
    let mut text = String::from("\n| | |\n|---|---|\n");
    let rows = [
        ("Processor", format!("{}, {} cores", word(&machine["cpu"]), machine["cores"])),
        ("Memory", word(&machine["memory"])),
        ("System", format!("{}, Linux {}", word(&machine["system"]), word(&machine["kernel"]))),
        ("Virtual", if machine["hypervisor"] == json!(true) { "yes" } else { "no" }.into()),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    for (program, version) in machine["versions"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "| {program} | {} |", word(version));
    }
    text
}

fn summary_markdown(scenarios: &[(&str, &str, &Value)]) -> String {
    let mut text = String::from(
        "\n## In short\n\n\
         Requests per second on one core, and Selvedge's ratio to the better of nginx and HAProxy: above 1 is faster. \
         The latency is p99 at half of one's own maximum, as a ratio to the lower one: below 1 is better.\n\n\
         | scenario | nginx | HAProxy | plain hyper | Selvedge | throughput | p99 |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    for (name, _, entry) in scenarios {
        let best = |kind: Kind| best_of(entry, kind, "rps", f64::max).map_or("–".into(), grouped);
        let ratio = best_of(entry, Kind::Selvedge, "ratio", f64::max);
        let _ = writeln!(
            text,
            "| [{name}](#{name}) | {} | {} | {} | {} | {} | {} |",
            best(Kind::Nginx),
            best(Kind::Haproxy),
            best(Kind::Hyper),
            best(Kind::Selvedge),
            ratio.map_or("–".into(), |ratio| format!("**{ratio:.2}×**")),
            tail_ratio(entry).map_or("–".into(), |ratio| format!("{ratio:.2}×")),
        );
    }
    text
}

/// Selvedge's p99 as a ratio to the lower one of its rivals.
fn tail_ratio(entry: &Value) -> Option<f64> {
    let ours = best_of(entry, Kind::Selvedge, "p99_ms", f64::min)?;
    let rivals = [Kind::Nginx, Kind::Haproxy];
    let theirs = rivals.into_iter().filter_map(|kind| best_of(entry, kind, "p99_ms", f64::min));
    Some(ours / theirs.min_by(f64::total_cmp)?)
}

/// The best median among the rows of a program that did not fail.
fn best_of(entry: &Value, kind: Kind, figure: &str, better: fn(f64, f64) -> f64) -> Option<f64> {
    list(&entry["rows"])
        .iter()
        .filter(|row| row["kind"] == kind.name() && row["failure"].is_null())
        .filter_map(|row| row["median"][figure].as_f64())
        .reduce(better)
}

fn scenario_markdown(name: &str, about: &str, entry: &Value) -> String {
    let mut text = format!(
        "\n## {name}\n\n{about}. {} rounds of {} s, {}, Selvedge {}.\n\n\
         | | req/s | of the better | spread | core busy (others) | CPU µs/req (user + kernel) | segments/req \
         | at req/s | p50 ms | p99 ms | p99.9 ms |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        list(&entry["rows"]).iter().map(|row| list(&row["rounds"]["rps"]).len()).max().unwrap_or(0),
        entry["seconds"],
        word(&entry["date"]),
        word(&entry["selvedge"]),
    );
    for row in list(&entry["rows"]) {
        text += &row_markdown(row);
    }
    for row in list(&entry["rows"]) {
        text += &notes_markdown(row);
    }
    text
}

fn row_markdown(row: &Value) -> String {
    let name = word(&row["name"]);
    if !row["failure"].is_null() {
        return format!("| {name} | failed | | | | | | | | | |\n");
    }
    let figure = |name: &str| row["median"][name].as_f64();
    let shown = |name: &str| figure(name).map_or("–".into(), grouped);
    let ratio = figure("ratio").map_or("–".into(), |ratio| format!("{ratio:.2}×"));
    let busy = figure("busy").unwrap_or_default() * 100.0;
    let others = figure("disturbed").unwrap_or_default() * 100.0;
    let user = figure("user_us").unwrap_or_default();
    let system = figure("system_us").unwrap_or_default();
    format!(
        "| {name} | {} | {ratio} | {} | {busy:.0} % ({others:.0} %) | {} ({} + {}) | {} | {} | {} | {} | {} |\n",
        shown("rps"),
        spread(row),
        grouped(user + system),
        grouped(user),
        grouped(system),
        shown("segments"),
        shown("due_rps"),
        shown("p50_ms"),
        shown("p99_ms"),
        shown("p999_ms"),
    )
}

/// Slowest and fastest round.
fn spread(row: &Value) -> String {
    let rates = || list(&row["rounds"]["rps"]).iter().filter_map(Value::as_f64);
    match (rates().min_by(f64::total_cmp), rates().max_by(f64::total_cmp)) {
        (Some(least), Some(most)) => format!("{}–{}", grouped(least), grouped(most)),
        _ => "–".into(),
    }
}

fn notes_markdown(row: &Value) -> String {
    let name = word(&row["name"]);
    let mut text = String::new();
    if let Some(reason) = row["failure"].as_str() {
        let _ = writeln!(text, "\n{name} failed: `{}`", reason.replace('\n', " "));
    }
    if let Some(tls) = row["tls"].as_str() {
        let _ = writeln!(text, "\n{name} agreed on {tls}.");
    }
    if let Some(logged) = row["logged"].as_f64() {
        let _ = writeln!(text, "\n{name} logged {:.2} % of the requests answered.", logged * 100.0);
    }
    let (due, rate) = (row["median"]["due_rps"].as_f64(), row["median"]["paced_rps"].as_f64());
    if let (Some(due), Some(rate)) = (due, rate)
        && rate < due * 0.98
    {
        let (due, rate) = (grouped(due), grouped(rate));
        let _ = writeln!(
            text,
            "\n{name}: of {due} requests due each second {rate} were sent, so its latencies are those of an overload."
        );
    }
    text
}

fn memory_markdown(memory: &Value) -> String {
    if list(memory).is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n## Memory\n\nProportional set size of all processes, in MiB, after start and with {} connections that have each \
         been answered once; the last column is what one connection adds, in KiB.\n\n\
         | | idle | connected | each |\n|---|--:|--:|--:|\n",
        grouped(IDLE_CONNECTIONS as f64)
    );
    for row in list(memory) {
        let bytes = |name: &str| row[name].as_f64().unwrap_or_default();
        let (idle, connected) = (bytes("idle_bytes"), bytes("connected_bytes"));
        let each = (connected - idle) / IDLE_CONNECTIONS as f64 / 1024.0;
        let mib = |bytes: f64| format!("{:.1}", bytes / 1024.0 / 1024.0);
        let name = word(&row["name"]);
        let _ = writeln!(text, "| {name} | {} | {} | {each:.1} |", mib(idle), mib(connected));
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
    use crate::bench::peer::{Contestant, Flavour};

    fn row(kind: Kind, rates: &[f64]) -> Row {
        let sample = |rate: &f64| Sample {
            rate: *rate,
            user_us: 4.0,
            system_us: 12.0,
            busy: 0.99,
            disturbed: 0.0,
            segments: 4.0,
        };
        Row {
            samples: rates.iter().map(sample).collect(),
            ..Row::new(Contestant::new(kind, Flavour::Usual))
        }
    }

    fn report(rows: Vec<Row>, cpu: &str) -> Report {
        let measured = Measured { scenario: &scenario::ALL[0], rows };
        let results = Results { scenarios: vec![measured], ..Results::default() };
        assemble(json!({ "cpu": cpu, "cores": 2, "versions": { "selvedge": "0" } }), &results)
    }

    #[test]
    fn a_ratio_is_taken_to_the_better_rival_of_its_round() {
        let rows = vec![
            row(Kind::Nginx, &[100.0, 50.0, 100.0]),
            row(Kind::Haproxy, &[80.0, 100.0, 80.0]),
            row(Kind::Selvedge, &[120.0, 110.0, 130.0]),
        ];
        let report = report(rows, "a");
        let ours = &report.0["scenarios"]["small"]["rows"][2];
        assert_eq!(ours["rounds"]["ratio"], json!([1.2, 1.1, 1.3]));
        assert!(
            report
                .markdown()
                .contains("| [small](#small) | 100 | 80.0 | – | 120 | **1.20×** | – |")
        );
    }

    #[test]
    fn a_failed_row_is_no_rival() {
        let mut nginx = row(Kind::Nginx, &[1000.0]);
        nginx.fail(&"wrong bytes");
        let rows = vec![nginx, row(Kind::Haproxy, &[80.0]), row(Kind::Selvedge, &[120.0])];
        let report = report(rows, "a");
        assert_eq!(report.0["scenarios"]["small"]["rows"][2]["rounds"]["ratio"], json!([1.5]));
        assert!(report.markdown().contains("| nginx | failed |"));
    }

    #[test]
    fn earlier_scenarios_of_the_same_machine_are_kept() {
        let earlier = json!({
            "machine": { "cpu": "a", "cores": 2 },
            "scenarios": { "16k": { "rows": [] }, "small": { "rows": [] } },
            "memory": [{ "name": "nginx" }],
        })
        .to_string();
        let merged = report(Vec::new(), "a").merged_into(Some(&earlier)).unwrap();
        assert_eq!(merged.0["scenarios"]["16k"], json!({ "rows": [] }));
        assert!(!merged.0["scenarios"]["small"]["about"].is_null());
        assert_eq!(merged.0["memory"][0]["name"], "nginx");
        assert!(report(Vec::new(), "b").merged_into(Some(&earlier)).is_err());
    }
}
