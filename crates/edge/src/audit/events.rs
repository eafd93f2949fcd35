//! Events of the edge that are no blocked requests.

use std::{net::IpAddr, time::Duration};

use selvedge_audit::{
    entry::{ActorKind, Outcome},
    event::{Event, Fact, Principal},
};
use selvedge_config::Id;

use super::now;
use crate::upstream::breaker::Change;

/// Bytes told of what a process says of its end.
const TEXT_BYTES_MAX: usize = 1 << 10;

/// A circuit breaker that changed its state: that of an `upstream` or of an `agent`.
pub(crate) fn breaker((kind, id): (&str, &Id), change: Change) -> Event {
    let mut event = Event::by_system(now(), &format!("{kind}.breaker"), (kind, id));
    let (state, rest) = match change {
        Change::Opened { rest } => ("opened", Some(rest)),
        Change::Reopened { rest } => ("reopened", Some(rest)),
        Change::HalfOpened => ("half-opened", None),
        Change::Closed => ("closed", None),
    };
    put(&mut event, "state", Fact::Text(state.to_owned()));
    if let Some(rest) = rest {
        put(&mut event, "rest_ms", millis(rest));
    }
    event
}

/// An agent's process that was started.
pub(crate) fn agent_started(agent: &Id, pid: u32) -> Event {
    let mut event = Event::by_system(now(), "agent.start", ("agent", agent));
    put(&mut event, "pid", Fact::Number(pid.into()));
    event
}

/// An agent's process that ended by itself and is started again after a pause.
pub(crate) fn agent_ended(agent: &Id, how: &str, pause: Duration) -> Event {
    let mut event = Event::by_system(now(), "agent.end", ("agent", agent));
    event.outcome = Outcome::Failed;
    put(&mut event, "how", Fact::Text(cut(how.as_bytes(), TEXT_BYTES_MAX)));
    put(&mut event, "starts_in_ms", millis(pause));
    event
}

/// Whoever speaks to the admin listener: it asks nobody who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The other end of the connection.
    pub address: IpAddr,
    /// What it says it is.
    pub user_agent: Option<String>,
}

impl Asker {
    /// Makes an event theirs.
    pub fn sign(&self, event: &mut Event) {
        let (id, tenant, auth) = (None, None, "admin-listener".to_owned());
        event.actor = Principal { kind: ActorKind::Anonymous, id, tenant, auth };
        event.address = Some(self.address.to_canonical().to_string());
        event.user_agent.clone_from(&self.user_agent);
    }
}

/// An order to the admin listener that came to nothing: refused at the door, or not to be carried out.
pub(crate) fn admin_refused(asker: &Asker, path: &str, reason: &str) -> Event {
    let path = cut(path.as_bytes(), 256);
    let mut event = Event::by_system(now(), "admin.order", ("admin", &path));
    asker.sign(&mut event);
    event.outcome = Outcome::Denied;
    event.reason = Some(reason.to_owned());
    event
}

pub(crate) fn put(event: &mut Event, name: &str, fact: Fact) {
    event.details.insert(name.to_owned(), fact);
}

fn millis(duration: Duration) -> Fact {
    Fact::Number(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// At most so many bytes, as text.
pub(crate) fn cut(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(most)]);
    text.trim_end_matches('\u{fffd}').to_owned()
}
