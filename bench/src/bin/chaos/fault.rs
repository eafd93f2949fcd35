//! What is done to the agent.

use std::time::Duration;

use selvedge_bench::hostile::Order;

/// One line of the table.
pub struct Fault {
    pub name: &'static str,
    pub act: Act,
    /// Settings of the agent beside the defaults.
    pub settings: &'static str,
    /// How long it lasts.
    pub lasts: Duration,
    /// Whether requests must have gone without an answer: otherwise the fault was none.
    pub bites: bool,
}

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Its process is killed, once.
    Kill,
    /// Its process is stopped, and continued in the end.
    Stop,
    /// Its process is stopped, and nobody continues it.
    Freeze,
    /// Its process is killed, and the next one does it.
    Replace(Order),
    /// It does it itself.
    Order(Order),
}

const LASTS: Duration = Duration::from_secs(4);
/// More than the edge gives a process that it does not hear of.
const FREEZE_MAX: Duration = Duration::from_secs(30);

const fn fault(name: &'static str, act: Act) -> Fault {
    Fault { name, act, settings: "", lasts: LASTS, bites: true }
}

/// Every fault, in the order of the table.
pub const FAULTS: [Fault; 15] = [
    // The next process may be there before anybody has asked.
    Fault { lasts: Duration::ZERO, bites: false, ..fault("kill -9", Act::Kill) },
    fault("SIGSTOP, SIGCONT", Act::Stop),
    Fault { lasts: FREEZE_MAX, ..fault("SIGSTOP for good", Act::Freeze) },
    fault("slow: 10 × timeout", Act::Order(Order::Slow)),
    Fault {
        settings: "circuit-breaker { timeout-seconds 1 }",
        ..fault("slow, breaker rests 1 s", Act::Order(Order::Slow))
    },
    fault("leak into its rlimit", Act::Order(Order::Leak)),
    fault("garbage frames", Act::Order(Order::Garbage)),
    fault("frames out of order", Act::Order(Order::Disorder)),
    fault("frame of 2³¹ bytes", Act::Order(Order::Huge)),
    fault("verdicts for unknown streams", Act::Order(Order::Stranger)),
    fault("never reads", Act::Order(Order::Deaf)),
    fault("never greets", Act::Replace(Order::Mute)),
    fault("flood of frames", Act::Order(Order::Flood)),
    fault("restart storm", Act::Order(Order::Storm)),
    fault("blocks, then crashes", Act::Order(Order::Crash)),
];
