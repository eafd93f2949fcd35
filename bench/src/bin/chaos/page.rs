//! The page of results.

use std::{fmt::Write, fs, time::Duration};

use super::{
    course::Run,
    figures::{Figures, Latency, Memory},
    load::CONNECTIONS,
};

/// What the page says of the circumstances.
pub struct Setting<'a> {
    pub rate: u32,
    pub commit: &'a str,
    pub date: &'a str,
}

const METHOD: &str = include_str!("method.md");

/// The page in Markdown.
pub fn markdown(setting: &Setting<'_>, runs: &[Run]) -> String {
    let mut page = String::from(METHOD);
    let Setting { rate, commit, date } = setting;
    let infallible = "a string takes everything";
    write!(
        page,
        "\n## Results\n\n{date}, Selvedge {commit}, {}; {rate} requests per second on {CONNECTIONS} connections.\n\n",
        machine()
    )
    .expect(infallible);
    page += TABLE;
    for run in runs {
        page += &line(run.fault.name, &run.figures);
    }
    let violated = runs.iter().filter(|run| !run.violations().is_empty());
    for run in violated {
        writeln!(page, "\nViolated by *{}*:\n", run.fault.name).expect(infallible);
        for violation in run.violations() {
            writeln!(page, "- {violation}").expect(infallible);
        }
    }
    page
}

const TABLE: &str = "\
| fault | closed: uninspected | refused; slowest | open: failed | passed over; slowest | memory before, peak, after | \
first inspected answer | last without one | other agent's route: p50, p99 before → during |
|---|---|---|---|---|---|---|---|---|
| **goal** | **0** | **≤ 120 ms** | **0** | | **bounded** | **< 1 s** | | **unmoved** |
";

fn line(name: &str, figures: &Figures) -> String {
    let Figures { closed, open, memory, recovery, steady } = figures;
    let Memory { before_kib, peak_kib, after_kib } = memory;
    format!(
        "| {name} | {} | {} | {} | {} | {}, {}, {} MiB | {} | {} | {} → {} |\n",
        closed.uninspected,
        counted(closed.refused, closed.slowest_refusal),
        open.failed,
        counted(open.uninspected, open.slowest),
        mib(*before_kib),
        mib(*peak_kib),
        mib(*after_kib),
        recovery.first.map_or_else(|| "never".to_owned(), millis),
        if recovery.last_unanswered.is_zero() {
            "–".to_owned()
        } else {
            millis(recovery.last_unanswered)
        },
        latency(&steady.before),
        latency(&steady.during),
    )
}

fn counted(count: usize, slowest: Duration) -> String {
    if count == 0 { "0".to_owned() } else { format!("{count}; {}", millis(slowest)) }
}

fn latency(Latency { p50, p99 }: &Latency) -> String {
    format!("{:.2}, {:.2} ms", p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3)
}

fn millis(time: Duration) -> String {
    match time.as_secs() {
        0 | 1 => format!("{} ms", time.as_millis()),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

/// The processor and how many there are of it.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |rest| rest.trim_start_matches(['\t', ' ', ':']));
    format!("{cores} cores of {model}")
}
