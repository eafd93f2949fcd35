//! What the agents of one exchange advise, put together.

use selvedge_agent::{Change, Operation, Target, Verdict};
use selvedge_http1::{Fields, Known, RequestHead, ResponseHead};

/// Advice that was taken: what it does to the response, and what later agents are told.
///
/// Verdicts are taken in the order of the config, so what comes out does not depend on who answered
/// first.
#[derive(Debug, Default)]
pub(crate) struct Advice {
    response: Vec<Change>,
    values: Vec<(String, String)>,
}

/// Bytes of values that the agents of one exchange may give; more are dropped.
const VALUES_MAX: usize = 16 << 10;

impl Advice {
    /// Takes the advice of an agent that lets the exchange pass; says whether the request changed.
    pub(crate) fn take(&mut self, verdict: &Verdict, request: &mut RequestHead) -> bool {
        let mut changed = false;
        for change in verdict.changes().iter().filter(|change| is_free(change)) {
            match change.target {
                Target::Request => {
                    carry_out(change, request.fields_mut());
                    changed = true;
                }
                Target::Response => self.response.push(change.clone()),
            }
        }
        for (name, value) in verdict.values() {
            self.values.retain(|(known, _)| known != name);
            let held: usize =
                self.values.iter().map(|(name, value)| name.len() + value.len()).sum();
            if held + name.len() + value.len() <= VALUES_MAX {
                self.values.push((name.clone(), value.clone()));
            }
        }
        changed
    }

    /// Takes what a verdict on the response says of its fields.
    pub(crate) fn take_response(&mut self, verdict: &Verdict) {
        let changes = verdict.changes().iter();
        let fit = changes.filter(|change| change.target == Target::Response && is_free(change));
        self.response.extend(fit.cloned());
    }

    /// Values for later agents and for routing.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of this name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Carries out what was advised of the response, once.
    pub(crate) fn give(&mut self, response: &mut ResponseHead) {
        for change in self.response.drain(..) {
            carry_out(&change, response.fields_mut());
        }
    }
}

fn carry_out(change: &Change, fields: &mut Fields) {
    let Change { operation, name, value, .. } = change;
    if *operation != Operation::Add {
        fields.remove(name);
    }
    if *operation != Operation::Remove {
        fields.push(name.as_bytes(), value);
    }
}

/// Whether an agent may change this field: not those that frame or route a message.
fn is_free(change: &Change) -> bool {
    let known = Known::of(change.name.as_bytes());
    !known.is_hop_by_hop() && !matches!(known, Known::ContentLength | Known::Host | Known::Expect)
}

/// Whether a field of an agent's answer goes to the client.
pub(crate) fn is_free_in_answer(name: &str) -> bool {
    let known = Known::of(name.as_bytes());
    !known.is_hop_by_hop() && known != Known::ContentLength
}

/// Takes fields off a request that only agents may set. Some servers take `_` for `-`, so a name
/// written with either goes.
pub(crate) fn strip(request: &mut RequestHead, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let same = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    request.fields_mut().retain(|name, _, _| {
        !names.iter().any(|identity| {
            identity.len() == name.len()
                && identity.bytes().zip(name).all(|(own, &sent)| same(own) == same(sent))
        })
    });
}
