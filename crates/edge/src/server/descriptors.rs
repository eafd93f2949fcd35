//! File descriptors: what the bounds ask for, and what the system allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use selvedge_config::Limits;
use selvedge_telemetry::{Hub, Level};

/// Descriptors for everything but connections: listeners, runtimes, logs, files being sent.
const OTHERS: u64 = 512;

/// Takes all descriptors that the process may have, and tells where the bounds count on more.
pub(super) fn provide(limits: &Limits, hub: &Hub) {
    let allowed = raise(hub);
    let needed = needed(limits);
    if allowed.is_some_and(|allowed| allowed < needed) {
        let message = "fewer file descriptors than the bounds may need; raise `ulimit -Hn` \
                       (systemd: LimitNOFILE) or lower `limits { connections …; upstream-connections … }`";
        let allowed = allowed.unwrap_or_default();
        hub.event(Level::Warn, message, &[("allowed", &allowed), ("needed", &needed)]);
    }
}

fn needed(limits: &Limits) -> u64 {
    let connections = limits.connections.saturating_add(limits.upstream_connections);
    (connections as u64).saturating_add(OTHERS)
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
