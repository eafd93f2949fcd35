//! A run from the first start to the last check.

use super::{
    super::figures::median,
    Settings,
    contestant::{ALL, Contestant, PANELS, Panel},
    runner::{Ground, Latency, Runner, Sample},
};
use crate::Result;

/// Seconds of load before the first round.
const WARM_UP_SECONDS: u64 = 1;

/// All figures of a run, but for the auth agent's own.
#[derive(Debug, Default)]
pub struct Results {
    /// Closed loops, by contestant.
    pub rows: Vec<Row>,
    /// Open loops.
    pub panels: Vec<Paced>,
}

/// One contestant.
#[derive(Debug)]
pub struct Row {
    /// Who.
    pub contestant: &'static Contestant,
    /// One for each round.
    pub samples: Vec<Sample>,
    /// Why its figures do not count.
    pub failure: Option<String>,
}

/// A panel, measured.
#[derive(Debug)]
pub struct Paced {
    /// Which.
    pub panel: &'static Panel,
    /// Requests per second that were due.
    pub rate: f64,
    /// By member, one for each round.
    pub members: Vec<(&'static str, Vec<Latency>)>,
}

/// A contestant during the run; it drops out at its first wrong answer.
struct Runners(Vec<(Row, Option<Runner>)>);

/// Measures everything that was asked for.
pub fn run(settings: &Settings, ground: &Ground<'_>) -> Result<Results> {
    println!("\nbench: starting everybody");
    let mut runners = Runners::start(settings, ground);
    runners.each(|_, runner| runner.check());
    runners.each(|_, runner| runner.saturate(WARM_UP_SECONDS).map(drop));
    for round in 1..=settings.rounds {
        println!("\nbench: throughput, round {round}");
        runners.each(|row, runner| {
            let sample = runner.saturate(settings.seconds)?;
            println!(
                "  {:<32} {:>9.0}/s  busy {:>3.0} %  others {:>3.0} %  cpu {:>6.1} µs",
                row.contestant.label,
                sample.rate,
                sample.busy * 100.0,
                sample.disturbed * 100.0,
                sample.cpu_us,
            );
            row.samples.push(sample);
            Ok(())
        });
    }
    let mut panels = Vec::new();
    for panel in PANELS.iter().filter(|_| settings.latency_rounds > 0) {
        panels.extend(runners.pace(panel, settings));
    }
    runners.each(|_, runner| runner.check());
    Ok(Results { rows: runners.0.into_iter().map(|(row, _)| row).collect(), panels })
}

impl Results {
    /// What went wrong, one line each.
    pub fn failures(&self) -> Vec<String> {
        let failed =
            |row: &Row| Some(format!("{}: {}", row.contestant.label, row.failure.as_ref()?));
        self.rows.iter().filter_map(failed).collect()
    }
}

impl Runners {
    fn start(settings: &Settings, ground: &Ground<'_>) -> Self {
        let wanted = ALL.iter().filter(|contestant| settings.wants(contestant.slug));
        let runners = wanted.map(|contestant| {
            let mut row = Row { contestant, samples: Vec::new(), failure: None };
            let runner = Runner::start(contestant, ground).map_err(|error| row.fail(&error));
            (row, runner.ok())
        });
        Self(runners.collect())
    }

    /// Does `step` to all that have not failed.
    fn each(&mut self, mut step: impl FnMut(&mut Row, &Runner) -> Result) {
        for (row, slot) in &mut self.0 {
            let Some(runner) = slot else { continue };
            if let Err(error) = step(row, runner) {
                row.fail(&format!("{error}\n{}", runner.said()));
                *slot = None;
            }
        }
    }

    /// Takes latencies at half of what the slowest member can do; `None` if nobody is left to compare.
    fn pace(&mut self, panel: &'static Panel, settings: &Settings) -> Option<Paced> {
        let present = |slug: &str| {
            self.0.iter().any(|(row, runner)| row.contestant.slug == slug && runner.is_some())
        };
        let mut members: Vec<(&'static str, Vec<Latency>)> = panel
            .members()
            .into_iter()
            .filter(|slug| present(slug))
            .map(|it| (it, vec![]))
            .collect();
        let best = |slug: &str| {
            let (row, _) = self.0.iter().find(|(row, _)| row.contestant.slug == slug)?;
            median(row.samples.iter().map(|sample| sample.rate))
        };
        let slowest = members.iter().filter_map(|(slug, _)| best(slug)).min_by(f64::total_cmp)?;
        let rate = (slowest / 2.0).round();
        println!("\nbench: latency of `{}`, {rate:.0} requests due per second", panel.name);
        for _ in 0..settings.latency_rounds {
            for (slug, latencies) in &mut members {
                self.each(|row, runner| {
                    if row.contestant.slug != *slug {
                        return Ok(());
                    }
                    let latency = runner.pace(rate, settings.seconds)?;
                    let Latency { p50, p99, p999, sent_late } = latency;
                    println!(
                        "  {:<32} p50 {p50:>7.1}  p99 {p99:>8.1}  p99.9 {p999:>8.1} µs  (load late by {sent_late:.1})",
                        row.contestant.label,
                    );
                    latencies.push(latency);
                    Ok(())
                });
            }
        }
        Some(Paced { panel, rate, members })
    }
}

impl Row {
    fn fail(&mut self, reason: &dyn std::fmt::Display) {
        println!("  {} failed: {reason}", self.contestant.label);
        self.failure = Some(reason.to_string().trim().to_owned());
    }
}
