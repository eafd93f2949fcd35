//! A run from the first start to the last check.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdin, Stdio},
};

use super::{
    Settings, check,
    figures::median,
    load::{Latency, Throughput, Tools},
    machine, packaged,
    peer::{Contestant, Flavour, Kind, Origin, Peer, Place},
    pinned::{self, Core, CpuTime},
    scenario::{self, Scenario, Setup},
};
use crate::Result;

/// Kept-alive connections of the memory measurement.
pub const IDLE_CONNECTIONS: usize = 5_000;

/// Seconds of load before the first round.
const WARM_UP_SECONDS: u64 = 1;

/// Everything that a run needs.
#[derive(Debug)]
pub struct Course<'a> {
    /// What is wanted.
    pub settings: &'a Settings,
    /// Where files go.
    pub place: &'a Place,
    /// What makes load.
    pub tools: &'a Tools,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Results {
    /// By scenario, in the order measured.
    pub scenarios: Vec<Measured>,
    /// By peer.
    pub memory: Vec<Memory>,
    /// When, as `YYYY-MM-DD`.
    pub date: String,
    /// Seconds of each measurement.
    pub seconds: u64,
}

/// One scenario, measured.
#[derive(Debug)]
pub struct Measured {
    /// Which.
    pub scenario: &'static Scenario,
    /// Who took part.
    pub rows: Vec<Row>,
}

/// One contestant in one scenario.
#[derive(Debug)]
pub struct Row {
    /// Who.
    pub contestant: Contestant,
    /// One for each round.
    pub samples: Vec<Sample>,
    /// One for each round of latency.
    pub latencies: Vec<Latency>,
    /// Requests answered in warm-up and rounds.
    pub requests: u64,
    /// What TLS was agreed on.
    pub tls: Option<String>,
    /// Lines in the access log as a share of the requests answered.
    pub logged: Option<f64>,
    /// Why its figures do not count.
    pub failure: Option<String>,
}

/// One contestant in one round.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Requests per second.
    pub rate: f64,
    /// Microseconds of the proxy's own code for each request.
    pub user_us: f64,
    /// Microseconds of the kernel on its behalf for each request.
    pub system_us: f64,
    /// Share of its core that the proxy used; much less than 1 means that the load was the limit.
    pub busy: f64,
    /// Share of its core that others used or the hypervisor took away: noise.
    pub disturbed: f64,
    /// TCP segments that all parties sent for each request.
    pub segments: f64,
}

/// What a peer weighs, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Who.
    pub contestant: Contestant,
    /// After start.
    pub idle: u64,
    /// With [`IDLE_CONNECTIONS`] connections, each of which has been answered once.
    pub connected: u64,
}

impl Results {
    /// What went wrong, one line each.
    pub fn failures(&self) -> Vec<String> {
        let rows = self.scenarios.iter().flat_map(|measured| {
            measured.rows.iter().map(move |row| (measured.scenario.name, row))
        });
        rows.filter_map(|(scenario, row)| {
            let reason = row.failure.as_ref()?;
            Some(format!("{scenario}, {}: {reason}", row.contestant.label()))
        })
        .collect()
    }
}

impl Course<'_> {
    /// Measures everything that was asked for.
    pub fn run(&self) -> Result<Results> {
        let mut results = Results {
            date: self.settings.date.clone(),
            seconds: self.settings.seconds,
            ..Results::default()
        };
        let origin = Origin::start(self.place)?;
        for scenario in scenario::ALL.iter().filter(|scenario| self.wants(scenario)) {
            results.scenarios.push(self.measure(scenario, &origin)?);
        }
        if self.settings.memory {
            results.memory = self.weigh_all(&origin)?;
        }
        Ok(results)
    }

    fn wants(&self, scenario: &Scenario) -> bool {
        let wanted = &self.settings.scenarios;
        wanted.is_empty() || wanted.iter().any(|name| name == scenario.name)
    }

    fn measure(&self, scenario: &'static Scenario, origin: &Origin) -> Result<Measured> {
        println!("\nbench: {} ({})", scenario.name, scenario.about);
        let mut runners = self.start(scenario, origin);
        for runner in &mut runners {
            runner.attempt(|row, peer| self.warm_up(scenario, row, peer, origin));
        }
        for round in 1..=self.settings.rounds {
            for runner in &mut runners {
                runner.attempt(|row, peer| self.sample(scenario, row, peer, round));
            }
        }
        if scenario.setup == Setup::AccessLog {
            for runner in &mut runners {
                runner.attempt(count_log);
            }
        }
        for _ in 0..self.settings.latency_rounds {
            for runner in &mut runners {
                runner.attempt(|row, peer| self.pace(scenario, row, peer));
            }
        }
        for runner in &mut runners {
            runner.attempt(|_, peer| check::answers(scenario, peer, origin, self.place));
        }
        Ok(Measured { scenario, rows: runners.into_iter().map(|runner| runner.row).collect() })
    }

    fn start(&self, scenario: &Scenario, origin: &Origin) -> Vec<Runner> {
        let contestants = scenario.contestants.iter();
        contestants
            .filter(|contestant| self.settings.peers.contains(&contestant.kind))
            .map(|contestant| {
                Runner::new(
                    *contestant,
                    Peer::start(*contestant, scenario.setup, origin, self.place),
                )
            })
            .collect()
    }

    fn warm_up(&self, scenario: &Scenario, row: &mut Row, peer: &Peer, origin: &Origin) -> Result {
        check::answers(scenario, peer, origin, self.place)?;
        row.tls = check::tls_facts(scenario, peer, self.place)?;
        let done = self.tools.saturate(scenario, peer.address, WARM_UP_SECONDS)?;
        row.requests += verified(scenario, done)?.requests;
        Ok(())
    }

    fn sample(&self, scenario: &Scenario, row: &mut Row, peer: &Peer, round: usize) -> Result {
        let before = Clocks::read(peer)?;
        let done = self.tools.saturate(scenario, peer.address, self.settings.seconds)?;
        let used = Clocks::read(peer)?.since(before);
        let done = verified(scenario, done)?;
        let requests = done.requests as f64;
        let sample = Sample {
            rate: done.rate(),
            user_us: used.cpu.user * 1e6 / requests,
            system_us: used.cpu.system * 1e6 / requests,
            busy: used.cpu.all() / done.seconds,
            disturbed: ((used.core - used.cpu.all()) / done.seconds).max(0.0),
            segments: used.segments as f64 / requests,
        };
        println!(
            "  round {round} {:<24} {:>9.0}/s  busy {:>3.0} %  others {:>3.0} %  cpu {:>5.1} µs  segments {:.2}",
            peer.contestant.label(),
            sample.rate,
            sample.busy * 100.0,
            sample.disturbed * 100.0,
            sample.user_us + sample.system_us,
            sample.segments,
        );
        row.requests += done.requests;
        row.samples.push(sample);
        Ok(())
    }

    fn pace(&self, scenario: &Scenario, row: &mut Row, peer: &Peer) -> Result {
        let Some(best) = median(row.samples.iter().map(|sample| sample.rate)) else {
            return Ok(());
        };
        let seconds = self.settings.seconds;
        let Some(latency) = self.tools.pace(scenario, peer.address, best / 2.0, seconds)? else {
            return Ok(());
        };
        println!(
            "  at {:>7.0}/s {:<24} p50 {:.3}  p99 {:.3}  p99.9 {:.3} ms",
            latency.due,
            peer.contestant.label(),
            latency.p50,
            latency.p99,
            latency.p999,
        );
        row.latencies.push(latency);
        Ok(())
    }

    fn weigh_all(&self, origin: &Origin) -> Result<Vec<Memory>> {
        println!("\nbench: memory with {IDLE_CONNECTIONS} idle connections");
        let kinds = self.settings.peers.iter().filter(|kind| **kind != Kind::Direct);
        kinds.map(|kind| self.weigh(Contestant::new(*kind, Flavour::Usual), origin)).collect()
    }

    fn weigh(&self, contestant: Contestant, origin: &Origin) -> Result<Memory> {
        let peer = Peer::start(contestant, Setup::Plain, origin, self.place)?;
        let idle = peer.server.memory()?;
        let crowd = Crowd::gather(peer.address)?;
        let connected = peer.server.memory()?;
        crowd.leave()?;
        println!("  {:<24} {idle:>12} → {connected:>12} bytes", contestant.label());
        Ok(Memory { contestant, idle, connected })
    }
}

/// A contestant during a scenario: its process, and its figures.
struct Runner {
    peer: Option<Peer>,
    row: Row,
}

impl Runner {
    fn new(contestant: Contestant, started: Result<Peer>) -> Self {
        let mut row = Row::new(contestant);
        let peer = started.map_err(|error| row.fail(&error)).ok();
        Self { peer, row }
    }

    /// Does `step` unless an earlier one failed.
    fn attempt(&mut self, step: impl FnOnce(&mut Row, &Peer) -> Result) {
        let Some(peer) = &self.peer else { return };
        if let Err(error) = step(&mut self.row, peer) {
            self.row.fail(&format!("{error}\n{}", peer.server.said()));
            self.peer = None;
        }
    }
}

impl Row {
    /// A row without figures.
    pub fn new(contestant: Contestant) -> Self {
        Self {
            contestant,
            samples: Vec::new(),
            latencies: Vec::new(),
            requests: 0,
            tls: None,
            logged: None,
            failure: None,
        }
    }

    /// Voids the figures.
    pub fn fail(&mut self, reason: &dyn std::fmt::Display) {
        println!("  {} failed: {reason}", self.contestant.label());
        self.failure = Some(reason.to_string().trim().to_owned());
    }
}

/// How much of what was answered is in the log.
fn count_log(row: &mut Row, peer: &Peer) -> Result {
    row.logged = Some(peer.logged_lines()? as f64 / row.requests as f64);
    Ok(())
}

/// Everything that is counted while load runs.
#[derive(Clone, Copy)]
struct Clocks {
    cpu: CpuTime,
    core: f64,
    segments: u64,
}

impl Clocks {
    fn read(peer: &Peer) -> Result<Self> {
        Ok(Self {
            cpu: peer.server.cpu_time()?,
            core: machine::proxy_core_seconds()?,
            segments: machine::segments_sent()?,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.since(before.cpu),
            core: self.core - before.core,
            segments: self.segments - before.segments,
        }
    }
}

/// Refuses figures of a load that had a single wrong answer.
fn verified(scenario: &Scenario, done: Throughput) -> Result<Throughput> {
    let short = done.bytes < done.requests * scenario.answer.bytes();
    if done.requests > 0 && done.failed == 0 && !short {
        return Ok(done);
    }
    let Throughput { requests, failed, bytes, seconds: _ } = done;
    Err(format!("{requests} answers of {bytes} bytes in all, {failed} requests failed").into())
}

/// Many connections that do nothing.
struct Crowd {
    child: Child,
    /// Closing it sends them home.
    input: ChildStdin,
}

impl Crowd {
    fn gather(address: SocketAddr) -> Result<Self> {
        let mut command = pinned::command(Core::Load, packaged("idle_connections"));
        command.args([&address.to_string(), &IDLE_CONNECTIONS.to_string(), "/small"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("idle_connections has no pipes".into());
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.trim() == format!("ready {IDLE_CONNECTIONS}") {
            return Ok(Self { child, input });
        }
        let _ = child.wait();
        Err(format!("{IDLE_CONNECTIONS} connections at once were too many: {line}").into())
    }

    fn leave(mut self) -> Result {
        drop(self.input);
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("idle_connections: {status}").into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_answer_voids_the_figures() {
        let small = &scenario::ALL[0];
        let right = Throughput { requests: 10, failed: 0, bytes: 120, seconds: 1.0 };
        assert!(verified(small, right).is_ok());
        for wrong in [
            Throughput { requests: 0, bytes: 0, ..right },
            Throughput { failed: 1, ..right },
            Throughput { bytes: 119, ..right },
        ] {
            assert!(verified(small, wrong).is_err(), "{wrong:?}");
        }
    }
}
