//! The Core Rule Set's regression tests. Reads stages, a line of JSON each; prints what a suite prints.
//!
//! `waf_ftw detection|blocking STAGES RULES…`. `detection`: what each stage expects. `blocking`: whether what rules of
//! level 1 must find is refused, and whether requests that no rule may find pass.
//! `waf_ftw proxied-detection|proxied-blocking STAGES EDGE ORIGIN LOG RULES…`: the same through a proxy that listens at `EDGE`,
//! asks at `ORIGIN`, where this program answers, and writes its log to `LOG`.
//! `waf_ftw records STAGES OUT`: the requests, as a file of records.
#![expect(clippy::print_stdout, reason = "a suite prints its cases")]

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use selvedge_bench_waf::{
    ftw::{
        Gate, Outcome, Response, Stage,
        proxied::{self, Proxy, Refusal},
        suite::{Case, Tally, decisive, nature, stages},
    },
    record::{self, Kind},
    subject::{self, Subject, status},
};
use selvedge_waf::policy::{Limits, Policy};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mode = words.next().unwrap_or_default();
    let stages = stages(Path::new(&words.next().unwrap_or_default()))?;
    let files: Vec<PathBuf> = words.map(PathBuf::from).collect();
    match (mode.as_str(), files.as_slice()) {
        ("detection", files) => detection(&stages, files),
        ("blocking", files) => blocking(&stages, files),
        ("proxied-detection", [edge, origin, log, ..]) => {
            proxied_detection(&stages, &Proxy::at(edge, origin, log)?)
        }
        ("proxied-blocking", [edge, origin, log, files @ ..]) => {
            proxied_blocking(&stages, &Proxy::at(edge, origin, log)?, files)
        }
        ("records", [out]) => records(&stages, out),
        _ => Err("say `detection`, `blocking`, either of them `proxied-`, or `records`".into()),
    }
}

fn detection(stages: &[Case], files: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    // Bounds are other tests' business: the suite has arguments of 64 KB, and expects to be asked about them.
    let limits = Limits { work: u64::MAX, ..Limits::default() };
    let policy = Policy { limits, ..Policy::default() };
    let mut subject = Subject::new(&subject::load(files)?, policy)?;
    let mut tally = Tally::begin(stages);
    for (file, stage) in stages {
        let fault = stage.fault(&exchange(&mut subject, stage));
        tally.say(file, stage, fault);
    }
    tally.finish();
    Ok(())
}

/// What each request meets at level 1, where the suite leaves no doubt about it.
fn blocking(stages: &[Case], files: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let set = subject::load(files)?;
    let decisive = decisive(&set);
    let mut subject = Subject::new(&set, Policy::default())?;
    let mut tally = Tally::begin(stages);
    for (file, stage) in stages {
        let Some(nature) = nature(stage, &decisive) else { continue };
        let status = refusal(&mut subject, stage);
        let fault = match (nature, status) {
            (Kind::Attack, 403) | (Kind::Ordinary, 0) => None,
            (Kind::Attack, 0) => Some("an attack passes".to_owned()),
            (Kind::Attack, other) => Some(format!("an attack is refused with {other}")),
            (Kind::Ordinary, _) => Some(format!("refused for {:?}", ids(&subject))),
        };
        tally.say(file, stage, fault);
    }
    tally.finish();
    Ok(())
}

fn proxied_detection(stages: &[Case], proxy: &Proxy) -> Result<(), Box<dyn Error>> {
    let mut tally = Tally::begin(stages);
    let all: Vec<&Case> = stages.iter().collect();
    for ((file, stage), seen) in stages.iter().zip(proxied::run(&all, proxy)?) {
        tally.say(file, stage, stage.fault(&seen.outcome).map(|fault| seen.explained(&fault)));
    }
    tally.finish();
    Ok(())
}

/// What the edge refuses before it asks anybody is refused too.
fn proxied_blocking(
    stages: &[Case],
    proxy: &Proxy,
    files: &[PathBuf],
) -> Result<(), Box<dyn Error>> {
    let decisive = decisive(&subject::load(files)?);
    let mut tally = Tally::begin(stages);
    let decided = stages.iter().filter(|(_, stage)| nature(stage, &decisive).is_some());
    let decided: Vec<&Case> = decided.collect();
    let mut early = 0;
    for ((file, stage), seen) in decided.iter().zip(proxied::run(&decided, proxy)?) {
        early += usize::from(seen.refusal() == Some(Refusal::Gate));
        let fault = match (nature(stage, &decisive), seen.refusal()) {
            (Some(Kind::Attack), None) => Some("an attack passes"),
            (Some(Kind::Ordinary), Some(_)) => Some("refused"),
            (_, Some(Refusal::Other)) => Some("nobody refused it, and nothing passed"),
            _ => None,
        };
        tally.say(file, stage, fault.map(|fault| seen.explained(fault)));
    }
    tally.finish();
    println!(
        "{}",
        json!({ "note": format!("{early} were refused by the edge itself, before any rule.") })
    );
    Ok(())
}

fn records(stages: &[Case], out: &Path) -> Result<(), Box<dyn Error>> {
    let requests: Vec<_> = stages.iter().map(|(_, stage)| stage.request().0).collect();
    let names: Vec<_> = stages.iter().map(|(_, stage)| stage.name.as_str()).collect();
    fs::write(out.with_extension("names"), names.join("\n") + "\n")?;
    Ok(record::write(out, &requests)?)
}

fn exchange(subject: &mut Subject, stage: &Stage) -> Outcome {
    let (request, gate) = stage.request();
    if let Gate::Shut(status) = gate
        && stage.due_status() == Some(status)
    {
        return Outcome { status, ids: Vec::new(), log: String::new() };
    }
    let response = Response::to(&request);
    let refused = match status(&subject.request(&request)) {
        0 => status(&subject.response(&response)),
        refused => refused,
    };
    let status = match (gate, refused) {
        (Gate::Shut(status), _) => status,
        (Gate::Open, 0) => response.status,
        (Gate::Open, refused) => refused,
    };
    Outcome { status, ids: ids(subject), log: log(subject) }
}

/// 0, or the status that request or response are refused with.
fn refusal(subject: &mut Subject, stage: &Stage) -> u16 {
    let (request, _) = stage.request();
    match status(&subject.request(&request)) {
        0 => status(&subject.response(&Response::to(&request))),
        refused => refused,
    }
}

fn ids(subject: &Subject) -> Vec<u64> {
    subject.matches().iter().map(|matched| matched.id).collect()
}

/// As ModSecurity writes it, as far as the suite looks at it.
fn log(subject: &Subject) -> String {
    let line = |matched: &selvedge_waf::engine::Match| {
        let (id, message, data) = (matched.id, shown(&matched.message), shown(&matched.log_data));
        format!("[id \"{id}\"] [msg \"{message}\"] [data \"{data}\"]")
    };
    subject.matches().iter().map(line).collect::<Vec<_>>().join("\n")
}

/// With what is not printable as `\x0a`.
fn shown(text: &str) -> String {
    let shown = |c: char| match c {
        '\0'..='\x1f' | '\x7f' => format!("\\x{:02x}", c as u32),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}
