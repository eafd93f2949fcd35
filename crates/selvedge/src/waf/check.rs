//! `selvedge waf check`: what rules there are, what of them has no effect, and whether they find what they say they find.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf, sync::Arc};

use clap::Args;
use selvedge_waf::{
    engine::{Plan, Profile, Rules},
    native::{Case, Expectation},
    policy::{Policy, Unreadable},
    rule::{Mode, Rule},
    seclang::{Note, NoteKind},
};
use serde_json::{Value, json};

use super::{
    judge::Judge,
    rules::{self, Ruleset},
    shown,
};
use crate::{
    cli::{Format, Outcome},
    exit::Exit,
    findings::counted,
    terminal::{Paint, Terminal},
};

/// Options of `selvedge waf check`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    selvedge waf check\n  \
    selvedge waf check native shop.kdl --paranoia 2\n  \
    selvedge waf check --list --paranoia 2\n  \
    selvedge waf check /usr/share/coreruleset --deny-warnings")]
pub(super) struct CheckArgs {
    /// .kdl or .conf files, folders, or `native`: the rules that come with Selvedge [default: native]
    #[arg(value_name = "RULES")]
    rules: Vec<PathBuf>,
    /// Paranoia level at which live rules are counted, 1 to 4; otherwise as the rules say
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=4))]
    paranoia: Option<u8>,
    /// List the live rules by kind and paranoia level
    #[arg(long)]
    list: bool,
    /// End with exit code 3 when something would decide elsewhere and does not here
    #[arg(long)]
    deny_warnings: bool,
    /// Print for people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// All that there is to say.
struct Findings {
    rules: usize,
    live: usize,
    /// The live rules, for a list.
    listed: Vec<Listed>,
    /// Rules of more than one link.
    chained: usize,
    plan: Plan,
    /// How many rules find which kind of attack.
    kinds: BTreeMap<String, Count>,
    set: Ruleset,
    problems: Vec<String>,
    /// What is wrong with which case.
    failures: Vec<String>,
}

/// Rules of a kind.
#[derive(Clone, Copy, Default)]
struct Count {
    rules: usize,
    live: usize,
}

/// A live rule; rules that only steer others are none.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    kind: String,
    paranoia: u8,
    id: u64,
    points: u32,
    name: String,
}

/// Reads, compiles and tries the rules.
pub(super) fn run(args: &CheckArgs, terminal: &mut Terminal) -> Outcome {
    let findings = look(args, rules::read(&args.rules)?);
    let text = match args.format {
        Format::Text => render(&findings, args, terminal.paint),
        Format::Json => format!("{:#}\n", to_json(&findings)),
    };
    terminal.write(&text)?;
    Ok(exit(args, &findings))
}

fn exit(args: &CheckArgs, findings: &Findings) -> Exit {
    match (findings.problems.len(), findings.failures.len()) {
        (1.., _) => Exit::Config,
        (0, 1..) => Exit::Failure,
        (0, 0) if args.deny_warnings && findings.warnings().next().is_some() => Exit::Warnings,
        (0, 0) => Exit::Success,
    }
}

fn look(args: &CheckArgs, set: Ruleset) -> Findings {
    let all = set.all();
    let compiled = Arc::new(Rules::compile(&all));
    let policy = Policy { paranoia: args.paranoia, ..Policy::default() };
    let profile = Profile::new(compiled.clone(), policy);
    Findings {
        rules: compiled.len(),
        live: profile.live_len(),
        listed: if args.list { listed(profile.live()) } else { Vec::new() },
        chained: rules::rules(&all).filter(|rule| rule.links.len() > 1).count(),
        plan: compiled.plan(),
        kinds: kinds(rules::rules(&all), profile.live()),
        problems: rules::problems(&compiled).collect(),
        failures: failures(&set),
        set,
    }
}

/// A rule's category, or the first `attack-…` among its tags; rules that only steer others have none.
fn kind(rule: &Rule) -> Option<&str> {
    let category = rule.name.as_ref().and_then(|_| rule.tags.first());
    let attack = || rule.tags.iter().find(|tag| tag.starts_with("attack-"));
    category.or_else(attack).map(|kind| &**kind)
}

fn kinds<'r>(
    rules: impl Iterator<Item = &'r Rule>,
    live: impl Iterator<Item = &'r Rule>,
) -> BTreeMap<String, Count> {
    let mut kinds: BTreeMap<String, Count> = BTreeMap::new();
    for kind in rules.filter_map(kind) {
        kinds.entry(kind.to_owned()).or_default().rules += 1;
    }
    for kind in live.filter_map(kind) {
        kinds.entry(kind.to_owned()).or_default().live += 1;
    }
    kinds
}

/// The rules by kind, level and number.
fn listed<'r>(live: impl Iterator<Item = &'r Rule>) -> Vec<Listed> {
    let one = |rule: &Rule| {
        let message = || rule.message.as_ref().and_then(|text| text.literal()).unwrap_or_default();
        let name = rule.name.as_deref().unwrap_or_else(message);
        Some(Listed {
            kind: kind(rule)?.to_owned(),
            paranoia: rule.paranoia,
            id: rule.id,
            points: rule.points,
            name: shown::plain(name.as_bytes()),
        })
    };
    let mut listed: Vec<_> = live.filter_map(one).collect();
    listed.sort();
    listed
}

/// Runs the cases of native rules, all of which are asked.
fn failures(set: &Ruleset) -> Vec<String> {
    if set.cases.is_empty() {
        return Vec::new();
    }
    let policy = Policy {
        mode: Some(Mode::DetectionOnly),
        paranoia: Some(4),
        undecodable: Unreadable::Inspect,
        ..Policy::default()
    };
    let mut judge = Judge::new(Arc::new(Rules::compile(&set.native)), policy);
    set.cases.iter().filter_map(|case| failure(case, &mut judge)).collect()
}

fn failure(case: &Case, judge: &mut Judge) -> Option<String> {
    let found = judge.exchange(&case.exchange()).iter().any(|found| found.id == case.rule);
    let Case { name, place, text, .. } = case;
    let text = shown::plain(text.as_bytes());
    match (found, case.expectation) {
        (true, Expectation::Match) | (false, Expectation::NoMatch) => None,
        (false, Expectation::Match) => {
            Some(format!("{place}: {name} does not find the attack \"{text}\""))
        }
        (true, Expectation::NoMatch) => {
            Some(format!("{place}: {name} finds \"{text}\", which is clean"))
        }
    }
}

impl Findings {
    /// Notes on what would decide something elsewhere, or names what is not there.
    fn warnings(&self) -> impl Iterator<Item = &Note> {
        self.set.report.notes.iter().filter(|note| note.kind != NoteKind::Inert)
    }
}

fn render(findings: &Findings, args: &CheckArgs, paint: Paint) -> String {
    let mut out = String::new();
    let error = paint.with("1;31", "error");
    for problem in findings.problems.iter().chain(&findings.failures) {
        push(&mut out, format_args!("{error}: {problem}"));
    }
    for note in &findings.set.report.notes {
        let is_inert = note.kind == NoteKind::Inert;
        let label = if is_inert { "note".to_owned() } else { paint.with("1;33", "warning") };
        push(&mut out, format_args!("{label}: {note}"));
    }
    if findings.set.report.notes_left_out > 0 {
        push(&mut out, format_args!("and {} more", findings.set.report.notes_left_out));
    }
    list(&mut out, &findings.listed);
    table(&mut out, findings, args);
    verdict(&mut out, findings, paint);
    out
}

/// The live rules; points are those of native rules, others add them up in variables.
fn list(out: &mut String, listed: &[Listed]) {
    let mut kinds = listed.chunk_by(|left, right| left.kind == right.kind).peekable();
    while let Some(rules) = kinds.next() {
        push(out, format_args!("{}", rules[0].kind));
        for Listed { kind: _, paranoia, id, points, name } in rules {
            let points = if *points > 0 { points.to_string() } else { "-".to_owned() };
            push(out, format_args!("  PL{paranoia} {id:>8} {points:>3}  {name}"));
        }
        if kinds.peek().is_none() {
            push(out, format_args!(""));
        }
    }
}

fn table(out: &mut String, findings: &Findings, args: &CheckArgs) {
    let Findings { rules, live, chained, plan, set, .. } = findings;
    let level = args.paranoia.map_or(String::new(), |level| format!(" at paranoia {level}"));
    let counts = &set.report.counts;
    let files = set.native_files + counts.files;
    let bundled = if rules::rules(&set.native).count() > 0 && set.native_files == 0 {
        "compiled in".to_owned()
    } else {
        counted(files, "file")
    };
    push(out, format_args!("rules        {rules} ({bundled}), {live} live{level}"));
    push(out, format_args!("chains       {chained}"));
    push(
        out,
        format_args!(
            "expressions  {}; scanned for in one pass: {}, {} of them without a literal",
            plan.expressions,
            counted(plan.gated, "rule"),
            plan.loose
        ),
    );
    let attacks = set.cases.iter().filter(|case| case.expectation == Expectation::Match).count();
    let clean = set.cases.len() - attacks;
    push(out, format_args!("cases        {attacks} attacks, {clean} clean"));
    let width = findings.kinds.keys().map(String::len).max().unwrap_or_default();
    for (kind, Count { rules, live }) in &findings.kinds {
        push(out, format_args!("  {kind:width$} {:>8}", format!("{live}/{rules}")));
    }
}

fn verdict(out: &mut String, findings: &Findings, paint: Paint) {
    let (problems, failures) = (findings.problems.len(), findings.failures.len());
    let warnings = findings.warnings().count();
    let mut parts = Vec::new();
    for (count, noun) in [(problems, "error"), (failures, "failed case"), (warnings, "warning")] {
        if count > 0 {
            parts.push(counted(count, noun));
        }
    }
    let sound = problems + failures == 0;
    let word = if sound { paint.with("1;32", "ok") } else { paint.with("1;31", "wrong") };
    let rest = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    push(out, format_args!("{word}{rest}"));
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("a String takes every write");
}

fn to_json(findings: &Findings) -> Value {
    let Findings { rules, live, listed, chained, plan, kinds, set, problems, failures } = findings;
    let count = |of: fn(&Count) -> usize| {
        kinds.iter().map(|(kind, count)| (kind.clone(), Value::from(of(count)))).collect::<Value>()
    };
    json!({
        "ok": problems.is_empty() && failures.is_empty(),
        "rules": rules,
        "live": live,
        "chained": chained,
        "expressions": plan.expressions,
        "gated": plan.gated,
        "loose": plan.loose,
        "kinds": count(|kind| kind.rules),
        "live_kinds": count(|kind| kind.live),
        "listed": listed.iter().map(listed_json).collect::<Value>(),
        "cases": set.cases.len(),
        "problems": problems,
        "failed_cases": failures,
        "notes": set.report.notes.iter().map(note_json).collect::<Value>(),
        "notes_left_out": set.report.notes_left_out,
    })
}

fn listed_json(rule: &Listed) -> Value {
    let Listed { kind, paranoia, id, points, name } = rule;
    json!({ "kind": kind, "paranoia": paranoia, "id": id, "points": points, "name": name })
}

fn note_json(note: &Note) -> Value {
    let Note { place, kind, construct, rule, message } = note;
    json!({
        "file": &*place.file,
        "line": place.line,
        "kind": kind.to_string(),
        "construct": construct,
        "rule": rule,
        "message": message,
    })
}
