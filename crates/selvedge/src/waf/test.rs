//! `selvedge waf test`: what the rules say to recorded requests, and on which bytes.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use selvedge_waf::{policy::Policy, rule::Mode};
use serde_json::{Value, json};

use super::{
    RulesArgs,
    judge::{Judge, Verdict},
    shown, traffic,
};
use crate::{
    cli::{Format, Outcome},
    exit::Exit,
    findings::counted,
    terminal::{Paint, Terminal, complain},
};

/// Options of `selvedge waf test`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    selvedge waf test request.http --explain\n  \
    selvedge waf test attacks/ --rules /usr/share/modsecurity-crs/owasp-crs.load --paranoia 2 --expect refuse\n  \
    printf 'GET /?q=1 HTTP/1.1\\nHost: a\\n\\n' | selvedge waf test -")]
pub(super) struct TestArgs {
    /// Raw HTTP/1.1 requests: files, folders of .http files, `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    rules: RulesArgs,
    /// Print each match: its rule, its points, and the bytes it fired on
    #[arg(long)]
    explain: bool,
    /// Ask all rules and refuse nothing
    #[arg(long)]
    detect: bool,
    /// End with exit code 1 unless this becomes of every request
    #[arg(long, value_enum, value_name = "VERDICT")]
    expect: Option<Expected>,
    /// Print for people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What should become of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Expected {
    Pass,
    Refuse,
}

/// What became of all of them.
#[derive(Default)]
struct Tally {
    passed: usize,
    refused: usize,
    unread: usize,
}

/// Judges request after request.
pub(super) fn run(args: &TestArgs, terminal: &mut Terminal) -> Outcome {
    let files = traffic::files(&args.files)?;
    let rules = Arc::new(args.rules.read()?.compile());
    let mut judge = Judge::new(rules, policy(args));
    let mut tally = Tally::default();
    let mut all = Vec::new();
    for file in &files {
        let request = match traffic::request(file) {
            Ok(request) => request,
            Err(error) => {
                tally.unread += 1;
                complain(&format!("error: {error}\n"));
                continue;
            }
        };
        let verdict = judge.request(&request);
        match verdict.refusal {
            Some(_) => tally.refused += 1,
            None => tally.passed += 1,
        }
        let name = file.display().to_string();
        match args.format {
            Format::Text => terminal.write(&render(args, &name, &verdict, terminal.paint))?,
            Format::Json => all.push(verdict_json(&name, &verdict)),
        }
    }
    match args.format {
        Format::Json => terminal.write(&format!("{:#}\n", Value::from(all)))?,
        Format::Text if files.len() > 1 => terminal.write(&summary(&tally))?,
        Format::Text => {}
    }
    Ok(exit(args, &tally))
}

fn policy(args: &TestArgs) -> Policy {
    Policy { mode: args.detect.then_some(Mode::DetectionOnly), ..args.rules.policy() }
}

fn exit(args: &TestArgs, tally: &Tally) -> Exit {
    let unexpected = match args.expect {
        Some(Expected::Pass) => tally.refused,
        Some(Expected::Refuse) => tally.passed,
        None => 0,
    };
    if unexpected + tally.unread > 0 { Exit::Failure } else { Exit::Success }
}

fn summary(tally: &Tally) -> String {
    let Tally { passed, refused, unread } = tally;
    let requests = counted(passed + refused, "request");
    let mut text = format!("{requests}: {refused} refused, {passed} passed");
    if *unread > 0 {
        text.push_str(&format!("; {} could not be read", counted(*unread, "file")));
    }
    text + "\n"
}

/// `refused 403`, `would be refused 403`, `passes, logged` or `passes`.
fn word(verdict: &Verdict<'_>) -> String {
    match verdict.refusal {
        Some(refusal) if verdict.refused => format!("refused {}", refusal.status),
        Some(refusal) => format!("would be refused {}", refusal.status),
        None if verdict.points >= Policy::default().log_at => "passes, logged".to_owned(),
        None => "passes".to_owned(),
    }
}

fn render(args: &TestArgs, name: &str, verdict: &Verdict<'_>, paint: Paint) -> String {
    let hue = if verdict.refusal.is_some() { "1;31" } else { "1;32" };
    let points = counted(verdict.points as usize, "point");
    let mut text = format!(
        "{}: {}, {points}{}\n",
        shown::plain(name.as_bytes()),
        paint.with(hue, &word(verdict)),
        by(verdict, args.explain)
    );
    if args.explain {
        verdict.matches.iter().for_each(|found| text.push_str(&shown::explained(found, paint)));
    }
    text
}

/// What lies behind a verdict in one line.
fn by(verdict: &Verdict<'_>, explained: bool) -> String {
    let mut parts = Vec::new();
    if let Some(refusal) = verdict.refusal.filter(|refusal| refusal.rule.is_some() || explained) {
        parts.push(shown::plain(refusal.reason.as_bytes()));
    }
    if let Some(problem) = verdict.body_problem {
        parts.push(format!("its body: {}", shown::plain(problem.as_bytes())));
    }
    let scored = verdict.matches.iter().filter(|found| found.points > 0);
    if !explained {
        parts.extend(scored.map(shown::rule));
    }
    if parts.is_empty() { String::new() } else { format!("; {}", parts.join(", ")) }
}

fn verdict_json(name: &str, verdict: &Verdict<'_>) -> Value {
    let Verdict { refusal, refused, points, matches, body_problem, work } = verdict;
    json!({
        "file": name,
        "refused": refused,
        "refusal": refusal.map(|refusal| json!({
            "status": refusal.status,
            "rule": refusal.rule,
            "reason": refusal.reason,
        })),
        "points": points,
        "work": work,
        "body_problem": body_problem,
        "matches": matches.iter().map(shown::to_json).collect::<Value>(),
    })
}
