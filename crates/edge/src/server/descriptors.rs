//! File descriptors: what the bounds ask for, and what the system allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use selvedge_telemetry::{Hub, Level};

/// Descriptors for everything but connections: listeners, runtimes, logs, files being sent.
const OTHERS: u64 = 512;

/// Takes all descriptors that the process may have, and tells where its bounds count on more: on one for each of
/// `connections`, and on some for the rest. `bounds` names those that an operator may lower.
pub fn provide_descriptors(connections: usize, bounds: &str, hub: &Hub) {
    let allowed = raise(hub);
    let needed = (connections as u64).saturating_add(OTHERS);
    if let Some(allowed) = allowed.filter(|allowed| *allowed < needed) {
        let message = format!(
            "fewer file descriptors than the bounds may need; raise `ulimit -Hn` (systemd: LimitNOFILE) or lower \
             `{bounds}`"
        );
        hub.event(Level::Warn, &message, &[("allowed", &allowed), ("needed", &needed)]);
    }
}

/// Moves the soft limit up to the hard one; returns what holds then, `None` for no limit.
fn raise(hub: &Hub) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            let message = "the limit of file descriptors stays where it is";
            hub.event(Level::Warn, message, &[("error", &error)]);
            current
        }
    }
}
