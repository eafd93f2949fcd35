//! `selvedge agents`: how the agents of the running edge are, once or as it changes.

mod key;

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    admin::{address_in, ask, cannot_ask},
    cli::Outcome,
    exit::{Exit, Failure},
    terminal::{Paint, Terminal},
};

/// Options of `selvedge agents`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AgentsArgs {
    #[command(subcommand)]
    command: Option<AgentsCommand>,
    /// Config file; names the admin listener that is asked
    #[arg(long, short, value_name = "FILE", default_value = "selvedge.kdl")]
    config: PathBuf,
    /// Admin listener to ask, whatever the config file says
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    admin: Option<SocketAddr>,
    /// Print what the admin listener answers, for programs
    #[arg(long)]
    json: bool,
    /// Print it each second until interrupted
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Subcommand)]
enum AgentsCommand {
    /// Make, revoke and list API keys for the auth agent
    Key(key::KeyArgs),
}

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);
/// To the first line, and nothing below.
const HOME: &str = "\x1b[H\x1b[J";

/// Asks and prints.
pub(crate) fn run(args: &AgentsArgs, terminal: &mut Terminal) -> Outcome {
    if let Some(AgentsCommand::Key(args)) = &args.command {
        return key::run(args, terminal);
    }
    let address = match args.admin {
        Some(address) => address,
        None => address_in(&args.config, "")?,
    };
    let mut view = View::new(args, terminal.paint);
    let first = view.show(&look(address)?)?;
    if !args.watch {
        terminal.write(&first)?;
        return Ok(Exit::Success);
    }
    match watch(address, &mut view, first) {
        // `selvedge agents --watch | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Success),
        Err(error) => Err(error.into()),
        Ok(never) => match never {},
    }
}

/// Prints a new page each second. An edge that is being restarted is asked again.
fn watch(
    address: SocketAddr,
    view: &mut View,
    mut page: String,
) -> io::Result<std::convert::Infallible> {
    let mut out = io::stdout();
    let home = if out.is_terminal() { HOME } else { "" };
    loop {
        write!(out, "{home}{page}")?;
        out.flush()?;
        thread::sleep(EVERY);
        page = match look(address).and_then(|answer| view.show(&answer)) {
            Ok(page) => page,
            Err(failure) if view.json => {
                format!("{}\n", serde_json::json!({ "error": failure.text }))
            }
            Err(failure) => failure.text,
        };
    }
}

fn look(address: SocketAddr) -> Result<Value, Failure> {
    let answer = ask(address, "GET /agents").map_err(|error| cannot_ask(address, &error, ""))?;
    let refuse = |what: &dyn std::fmt::Display| {
        Failure::new(Exit::Failure, format!("{address} answered {}: {what}", answer.status))
    };
    match answer.status {
        200 => serde_json::from_str(&answer.body).map_err(|error| refuse(&error)),
        _ => Err(refuse(&answer.body.trim_end())),
    }
}

/// How it is shown, and what was shown before.
struct View {
    json: bool,
    watch: bool,
    paint: Paint,
    /// Calls of each agent so far, and when they were counted.
    before: HashMap<String, (u64, Instant)>,
}

impl View {
    fn new(args: &AgentsArgs, paint: Paint) -> Self {
        Self { json: args.json, watch: args.watch, paint, before: HashMap::new() }
    }

    /// A page for this answer.
    fn show(&mut self, answer: &Value) -> Result<String, Failure> {
        match (self.json, self.watch) {
            (true, false) => Ok(format!("{answer:#}\n")),
            (true, true) => Ok(format!("{answer}\n")),
            (false, _) => {
                let agents = answer["agents"].as_array();
                let agents = agents.ok_or_else(|| {
                    Failure::new(Exit::Failure, "the admin listener tells of no agents")
                })?;
                Ok(self.table(agents, Instant::now()))
            }
        }
    }

    fn table(&mut self, agents: &[Value], now: Instant) -> String {
        if agents.is_empty() {
            return "no route asks an agent\n".to_owned();
        }
        let rows: Vec<Row> = agents.iter().map(|agent| self.row(agent, now)).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row.cells[column].chars().count());
            cells.chain([HEADS[column].len()]).max().unwrap_or_default()
        };
        let widths: [usize; HEADS.len()] = std::array::from_fn(width);
        let mut out = self.paint.bold(&line(&HEADS.map(str::to_owned), &widths));
        out.push('\n');
        for row in &rows {
            let text = line(&row.cells, &widths);
            let text = if row.is_well { text } else { self.paint.with("31", &text) };
            writeln!(out, "{text}").expect("a String takes every write");
        }
        for note in rows.iter().filter_map(|row| row.note.as_ref()) {
            writeln!(out, "{note}").expect("a String takes every write");
        }
        out
    }

    fn row(&mut self, agent: &Value, now: Instant) -> Row {
        let text = |name: &str| agent[name].as_str().unwrap_or("?").to_owned();
        let number = |name: &str| agent[name].as_u64().unwrap_or_default();
        let (id, state, breaker) = (text("id"), text("state"), text("breaker"));
        let [all, allowed] = verdicts(agent);
        let failed = sum(&agent["failures"]);
        let calls = all + failed;
        let before = self.before.insert(id.clone(), (calls, now));
        let rate = before.map(|(before, then)| {
            calls.saturating_sub(before) as f64 / now.duration_since(then).as_secs_f64().max(1e-3)
        });
        let is_well = state == "ready" && breaker == "closed";
        Row {
            note: note(&id, &agent["runs"]),
            cells: [
                id,
                state,
                number("restarts").to_string(),
                rate.map_or("-".to_owned(), |rate| format!("{rate:.0}")),
                number("in_flight").to_string(),
                number("waiting").to_string(),
                duration(number("p50_us")),
                duration(number("p99_us")),
                allowed.to_string(),
                (all - allowed).to_string(),
                failed.to_string(),
                breaker,
                text("failure_mode"),
            ],
            is_well,
        }
    }
}

#[rustfmt::skip]
const HEADS: [&str; 13] = [
    "AGENT", "STATE", "RESTARTS", "CALLS/S", "IN FLIGHT", "WAITING", "P50", "P99", "ALLOWED",
    "REFUSED", "FAILED", "BREAKER", "FAILS",
];
/// Columns of words; numbers are set to the right.
const WORDS: [usize; 4] = [0, 1, 11, 12];

/// One agent in the table.
struct Row {
    cells: [String; HEADS.len()],
    /// It is ready, and it is asked.
    is_well: bool,
    /// Why its process does not run.
    note: Option<String>,
}

fn line(cells: &[String; HEADS.len()], widths: &[usize; HEADS.len()]) -> String {
    let cells = cells.iter().zip(widths).enumerate().map(|(place, (cell, &width))| {
        match WORDS.contains(&place) {
            true => format!("{cell:width$}"),
            false => format!("{cell:>width$}"),
        }
    });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// All verdicts, and those that let pass.
fn verdicts(agent: &Value) -> [u64; 2] {
    let verdicts = &agent["verdicts"];
    [sum(verdicts), verdicts["allow"].as_u64().unwrap_or_default()]
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().into_iter().flat_map(|all| all.values()).filter_map(Value::as_u64).sum()
}

fn note(id: &str, runs: &Value) -> Option<String> {
    let process = &runs["process"];
    let ended = process["ended"].as_str()?;
    let program = runs["program"].as_str().unwrap_or_default();
    let starts = duration(process["starts_in_ms"].as_u64().unwrap_or_default() * 1_000);
    Some(format!("{id}: {program} ended ({ended}) and starts again in {starts}"))
}

/// Microseconds in three digits or so.
fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn agent(id: &str, state: &str, calls: u64) -> Value {
        json!({
            "id": id, "state": state, "restarts": 2, "in_flight": 3, "waiting": 0,
            "p50_us": 40, "p99_us": 1_250,
            "verdicts": { "allow": calls, "block": 2, "challenge": 1 },
            "failures": { "timeout": 4, "lost": 1 },
            "breaker": "closed", "failure_mode": "closed",
            "runs": { "address": "/run/a.sock" },
        })
    }

    fn view() -> View {
        let (paint, before) = (Paint { on: false }, HashMap::new());
        View { json: false, watch: true, paint, before }
    }

    #[track_caller]
    fn check(view: &mut View, agents: &[Value], at: Instant, expected: Expect) {
        expected.assert_eq(&view.table(agents, at));
    }

    #[test]
    fn the_second_page_has_rates() {
        let (mut view, start) = (view(), Instant::now());
        let first = [agent("auth", "ready", 100), agent("rate-limit", "away", 0)];
        check(
            &mut view,
            &first,
            start,
            expect![[r#"
            AGENT       STATE  RESTARTS  CALLS/S  IN FLIGHT  WAITING    P50     P99  ALLOWED  REFUSED  FAILED  BREAKER  FAILS
            auth        ready         2        -          3        0  40 µs  1.2 ms      100        3       5  closed   closed
            rate-limit  away          2        -          3        0  40 µs  1.2 ms        0        3       5  closed   closed
        "#]],
        );
        let second = [agent("auth", "ready", 1_100), agent("rate-limit", "away", 0)];
        check(
            &mut view,
            &second,
            start + Duration::from_secs(2),
            expect![[r#"
            AGENT       STATE  RESTARTS  CALLS/S  IN FLIGHT  WAITING    P50     P99  ALLOWED  REFUSED  FAILED  BREAKER  FAILS
            auth        ready         2      500          3        0  40 µs  1.2 ms     1100        3       5  closed   closed
            rate-limit  away          2        0          3        0  40 µs  1.2 ms        0        3       5  closed   closed
        "#]],
        );
    }

    #[test]
    fn a_process_that_rests_is_explained() {
        let mut agent = agent("auth", "resting", 0);
        agent["runs"] = json!({
            "program": "selvedge",
            "process": { "ended": "signal: 9 (SIGKILL)", "starts_in_ms": 300 },
        });
        check(
            &mut view(),
            &[agent],
            Instant::now(),
            expect![[r#"
            AGENT  STATE    RESTARTS  CALLS/S  IN FLIGHT  WAITING    P50     P99  ALLOWED  REFUSED  FAILED  BREAKER  FAILS
            auth   resting         2        -          3        0  40 µs  1.2 ms        0        3       5  closed   closed
            auth: selvedge ended (signal: 9 (SIGKILL)) and starts again in 300.0 ms
        "#]],
        );
        check(
            &mut view(),
            &[],
            Instant::now(),
            expect![[r#"
            no route asks an agent
        "#]],
        );
    }

    #[test]
    fn durations_are_short() {
        let texts = [0, 999, 1_000, 12_345, 2_000_000].map(duration);
        assert_eq!(texts, ["0 µs", "999 µs", "1.0 ms", "12.3 ms", "2.0 s"]);
    }
}
