//! One fault from a fresh edge to the end of its recovery.

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use selvedge_bench::hostile::{Order, Orders};

use super::{
    edge::{Edge, signal, wait_for_end},
    fault::{Act, Fault},
    figures::{Closed, Figures, Memory, Moments},
    load::{Exchange, Load, Outcome, Route},
    upstream::{Seen, Upstream},
};

/// What all runs share.
pub struct Course<'a> {
    pub selvedge: &'a Path,
    pub agent: &'a Path,
    pub rate: u32,
}

/// What came of one fault.
pub struct Run {
    pub fault: &'static Fault,
    pub figures: Figures,
    violations: Vec<String>,
}

/// Time for the first answers of a fresh edge.
const WARM_UP_MAX: Duration = Duration::from_secs(30);
/// How long everything is well before the fault.
const BEFORE: Duration = Duration::from_secs(3);
/// Longest time for the recovery: more than a breaker rests.
const RECOVERY_MAX: Duration = Duration::from_secs(45);
/// How long the edge is watched after the first good answer.
const AFTER: Duration = Duration::from_secs(2);

impl Course<'_> {
    pub fn run(&self, fault: &'static Fault) -> io::Result<Run> {
        let folder = tempfile::tempdir()?;
        let upstream = Upstream::start()?;
        let files = [folder.path().join("hostile"), folder.path().join("steady")];
        let config = folder.path().join("selvedge.kdl");
        fs::write(&config, self.config(fault, &upstream, &files[0], &files[1]))?;
        let mut edge = Edge::start(self.selvedge, &config)?;
        let load = Load::start(edge.address, self.rate)?;
        let warm = warm_up(&load)?;
        thread::sleep(BEFORE);
        let mut memory = Memory::new(edge.resident_kib());
        let subject = Subject {
            edge: &edge,
            orders: Orders::new(files[0].clone()),
            argument: files[0].display().to_string(),
        };
        let (began, ended) = subject.suffer(fault, &mut memory)?;
        let recovered = recover(&load, &edge, ended, &mut memory);
        memory.after_kib = edge.resident_kib();
        let alive = edge.is_alive();
        let exchanges = load.end()?;
        let moments = Moments { warm, began, ended };
        let figures = Figures::of(&exchanges, moments, self.pace(), memory, &upstream.seen);
        let mut violations = violations(fault, &exchanges, &figures, &upstream.seen, warm);
        if !alive {
            violations.push("the edge has ended".to_owned());
        }
        if !recovered {
            violations.push(format!("no inspected answer within {RECOVERY_MAX:?}"));
        }
        if !violations.is_empty() {
            edge.said().iter().for_each(|line| super::say(&format!("    {line}")));
        }
        Ok(Run { fault, figures, violations })
    }

    /// Time between two requests of one connection.
    fn pace(&self) -> Duration {
        Duration::from_secs(1) * super::load::CONNECTIONS / self.rate.max(1)
    }

    fn config(&self, fault: &Fault, upstream: &Upstream, hostile: &Path, steady: &Path) -> String {
        let agent = self.agent.display();
        let (hostile, steady) = (hostile.display(), steady.display());
        format!(
            r#"workers 2
admin #false
telemetry {{ access-log #false }}
listener "web" {{ address "127.0.0.1:0" }}
agent "hostile" {{
    type "hostile"
    command "{agent}" "{hostile}"
    identity-headers "X-Inspected"
    {}
}}
agent "steady" {{
    type "steady"
    command "{agent}" "{steady}"
    timeout-ms 5000
}}
upstream "app" {{ target "{}" }}
route "closed" {{ matches {{ path-prefix "/closed" }}; agents "hostile"; upstream "app" }}
route "open" {{
    matches {{ path-prefix "/open" }}
    agent "hostile" failure-mode="open"
    upstream "app"
}}
route "steady" {{ matches {{ path-prefix "/steady" }}; agents "steady"; upstream "app" }}
"#,
            fault.settings, upstream.address
        )
    }
}

/// Waits until every route has had an inspected answer.
fn warm_up(load: &Load) -> io::Result<Instant> {
    let began = Instant::now();
    let inspected = |exchanges: &[Exchange], route| {
        exchanges.iter().any(|one| one.route == route && one.outcome == Outcome::Inspected)
    };
    while began.elapsed() < WARM_UP_MAX {
        if load.look(|all| Route::ALL.iter().all(|route| inspected(all, *route))) {
            // What was asked before the agents were there is over by then.
            thread::sleep(Duration::from_secs(1));
            return Ok(Instant::now());
        }
        thread::sleep(Duration::from_millis(10));
    }
    let last = load.look(|all| all.last().map(|one| format!("{:?}", one.outcome)));
    Err(io::Error::other(format!("the agents never answered; last: {last:?}")))
}

/// Waits for an inspected answer to a request that was sent after the fault, and a while longer.
fn recover(load: &Load, edge: &Edge, ended: Instant, memory: &mut Memory) -> bool {
    let mut recovered = false;
    while !recovered && ended.elapsed() < RECOVERY_MAX {
        sample(edge, memory, SAMPLE);
        recovered = load.look(|all| all.iter().rev().any(|one| is_recovered(one, ended)));
    }
    sample(edge, memory, AFTER);
    recovered
}

/// Whether this shows that the fault is over.
pub fn is_recovered(one: &Exchange, ended: Instant) -> bool {
    one.route == Route::Closed && one.sent >= ended && one.outcome == Outcome::Inspected
}

const SAMPLE: Duration = Duration::from_millis(20);

/// Watches the memory for a while.
fn sample(edge: &Edge, memory: &mut Memory, lasts: Duration) {
    let until = Instant::now() + lasts;
    loop {
        memory.peak_kib = memory.peak_kib.max(edge.resident_kib());
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(SAMPLE));
    }
}

/// Longest time that a killed process takes to be gone.
const KILLED_MAX: Duration = Duration::from_secs(10);

/// The agent that fails.
struct Subject<'a> {
    edge: &'a Edge,
    orders: Orders,
    /// What its process is known by.
    argument: String,
}

impl Subject<'_> {
    /// Makes it fail, and returns when that began and ended.
    fn suffer(&self, fault: &Fault, memory: &mut Memory) -> io::Result<(Instant, Instant)> {
        let agent = self.edge.agent(&self.argument);
        let agent = agent.ok_or_else(|| io::Error::other("the agent has no process"))?;
        let began = Instant::now();
        match fault.act {
            Act::Kill => {
                signal(agent, Signal::KILL);
                wait_for_end(agent, KILLED_MAX);
            }
            Act::Stop => {
                signal(agent, Signal::STOP);
                sample(self.edge, memory, fault.lasts);
                signal(agent, Signal::CONT);
            }
            Act::Freeze => self.freeze(agent, fault.lasts)?,
            Act::Replace(order) => {
                self.orders.give(order)?;
                signal(agent, Signal::KILL);
                sample(self.edge, memory, fault.lasts);
                self.orders.give(Order::Fine)?;
            }
            Act::Order(order) => {
                self.orders.give(order)?;
                sample(self.edge, memory, fault.lasts);
                self.orders.give(Order::Fine)?;
            }
        }
        Ok((began, Instant::now()))
    }

    fn freeze(&self, agent: Pid, longest: Duration) -> io::Result<()> {
        signal(agent, Signal::STOP);
        if wait_for_end(agent, longest) {
            return Ok(());
        }
        signal(agent, Signal::KILL);
        Err(io::Error::other(format!("the edge left a frozen agent alone for {longest:?}")))
    }
}

/// Everything that must not have happened.
fn violations(
    fault: &Fault,
    exchanges: &[Exchange],
    figures: &Figures,
    seen: &Seen,
    warm: Instant,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut forbid = |count: u64, what: &str| {
        if count > 0 {
            found.push(format!("{count} × {what}"));
        }
    };
    for route in [Route::Closed, Route::Steady] {
        let name = route.name();
        forbid(seen.uninspected(route), &format!("uninspected at the upstream on {name}"));
        forbid(seen.denied(route), &format!("denied and yet at the upstream on {name}"));
    }
    let refused_by_edge = |one: &&Exchange| one.outcome == Outcome::Refused && one.sent >= warm;
    for route in [Route::Open, Route::Steady] {
        let refused = exchanges.iter().filter(|one| one.route == route).filter(refused_by_edge);
        forbid(refused.count() as u64, &format!("refused on {}", route.name()));
    }
    for one in exchanges {
        if let Outcome::Failed(why) = &one.outcome {
            forbid(1, &format!("failed on {}: {why}", one.route.name()));
        }
    }
    let Closed { refused, .. } = figures.closed;
    if fault.bites && refused + figures.open.uninspected == 0 {
        found.push("the fault did not show: every request was answered".to_owned());
    }
    // A flood of failures tells no more than its beginning.
    found.truncate(20);
    found
}

impl Run {
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// A line for the terminal.
    pub fn summary(&self) -> String {
        self.figures.summary()
    }
}
