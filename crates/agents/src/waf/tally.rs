//! What the firewall measures: how often which rule matched, what came of it, and what it cost.

use std::time::Duration;

use selvedge_agent::{Counter, Histogram, Labelled, Metrics};
use selvedge_waf::engine::Match;

/// Upper bounds of the time that a message takes, in seconds.
const TIMES: [f64; 13] = [
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1,
];
/// Upper bounds of points.
const POINTS: [f64; 8] = [0.0, 4.0, 9.0, 14.0, 24.0, 49.0, 99.0, 199.0];
/// What a profile is called that has no name.
const UNNAMED: &str = "(none)";

/// Whose message it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    /// The client, over a WebSocket.
    Tunnel,
    Upstream,
}

impl Sender {
    const NAMES: [&str; 3] = ["request", "frame", "response"];
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It went on, and nothing was said of it.
    Passed,
    /// It went on; what was found is in the log.
    Logged,
    /// It went on; only rules that are watched are in the log.
    Shadow,
    /// It went on and would not have if refusals were carried out.
    Detected,
    /// It was refused.
    Blocked,
    /// It went on without what it gave away.
    Masked,
}

impl Outcome {
    const NAMES: [&str; 6] = ["passed", "logged", "shadow", "detected", "blocked", "masked"];
}

/// Why a body was not read as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// There is more of it than is inspected.
    Large,
    /// It is not coded as its head says.
    Broken,
    /// It has a coding that is not known here.
    Coding,
    /// It is not what its content type says.
    Form,
}

impl Unread {
    const NAMES: [&str; 4] = ["too-large", "broken-coding", "unknown-coding", "malformed"];
}

/// A message that was judged.
pub(super) struct Judged<'m> {
    pub(super) sender: Sender,
    pub(super) outcome: Outcome,
    /// What was found in it.
    pub(super) matches: &'m [Match],
    pub(super) score: u32,
    pub(super) took: Duration,
    /// Of its body.
    pub(super) bytes: u64,
    pub(super) unread: Option<Unread>,
    pub(super) is_exhausted: bool,
}

/// What is measured under one policy. Everything that a clean message raises was found when the rules
/// were loaded.
pub(super) struct Tally {
    matches: Labelled<Counter, 3>,
    messages: [Messages; Sender::NAMES.len()],
    unread: [Counter; Unread::NAMES.len()],
    exhausted: Counter,
}

/// Messages from one sender.
struct Messages {
    outcomes: [Counter; Outcome::NAMES.len()],
    bytes: Counter,
    points: Histogram,
    took: Histogram,
}

impl Tally {
    /// For the policy of a profile, or of the agent itself.
    pub(super) fn new(metrics: &Metrics, profile: Option<&str>) -> Self {
        let profile = profile.unwrap_or(UNNAMED);
        let matches = metrics.counters(
            "rule_matches_total",
            "Matches of a rule, by what came of the message.",
            ["rule", "category", "outcome"],
        );
        let unread = metrics.counters(
            "unread_bodies_total",
            "Bodies of which not all could be inspected.",
            ["profile", "reason"],
        );
        let exhausted = metrics.counters(
            "budget_exhausted_total",
            "Messages that cost more work than one exchange may.",
            ["profile"],
        );
        Self {
            matches,
            messages: Sender::NAMES.map(|sender| Messages::new(metrics, profile, sender)),
            unread: Unread::NAMES.map(|reason| unread.with([profile, reason])),
            exhausted: exhausted.with([profile]),
        }
    }

    pub(super) fn count(&self, judged: &Judged<'_>) {
        let Judged { sender, outcome, matches, score, took, bytes, unread, is_exhausted } = judged;
        let messages = &self.messages[*sender as usize];
        messages.outcomes[*outcome as usize].add(1);
        messages.bytes.add(*bytes);
        messages.points.record(f64::from(*score));
        messages.took.record_duration(*took);
        if let Some(unread) = unread {
            self.unread[*unread as usize].add(1);
        }
        self.exhausted.add(u64::from(*is_exhausted));
        self.count_matches(matches, *outcome);
    }

    /// Counts matches in a message of which this came.
    pub(super) fn count_matches(&self, matches: &[Match], outcome: Outcome) {
        matches.iter().for_each(|found| self.count_match(found, outcome));
    }

    fn count_match(&self, found: &Match, outcome: Outcome) {
        let outcome = if found.shadow { Outcome::Shadow } else { outcome };
        let number = found.id.to_string();
        let rule = found.name.as_deref().unwrap_or(&number);
        let category = found.category.map(|category| format!("{category:?}").to_lowercase());
        let category = category.unwrap_or_default();
        self.matches.with([rule, &category, Outcome::NAMES[outcome as usize]]).add(1);
    }
}

impl Messages {
    fn new(metrics: &Metrics, profile: &str, sender: &str) -> Self {
        let outcomes = metrics.counters(
            "decisions_total",
            "Messages that were judged, by what came of them.",
            ["profile", "message", "outcome"],
        );
        let bytes = metrics.counters(
            "inspected_body_bytes_total",
            "Bytes of bodies and frames that were inspected, decoded.",
            ["profile", "message"],
        );
        let points =
            metrics.histograms("points", "Points that a message had.", ["message"], &POINTS);
        let took = metrics.histograms(
            "inspection_seconds",
            "Time that a message took, without waits.",
            ["message"],
            &TIMES,
        );
        Self {
            outcomes: Outcome::NAMES.map(|outcome| outcomes.with([profile, sender, outcome])),
            bytes: bytes.with([profile, sender]),
            points: points.with([sender]),
            took: took.with([sender]),
        }
    }
}
