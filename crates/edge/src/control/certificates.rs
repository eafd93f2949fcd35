//! Certificates that are renewed while the edge runs, and those that nobody renews.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use selvedge_config::Id;
use selvedge_telemetry::{CertificateExpiry, Hub, Level};

use super::Watch;
use crate::{
    plan::Plan,
    tls::{CertificateFacts, ServerTls, TlsError, Warning},
};

/// How often the files are looked at.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// A certificate is worth a warning this many seconds before it ends; one that lives for a short
/// time only, when a third of its life is left.
const EXPIRES_SOON: i64 = 21 * DAY;
/// A warning is said again after this long.
const WARN_AGAIN: Duration = Duration::from_secs(24 * 3600);
const DAY: i64 = 24 * 3600;

/// Looks at the files every so often, and whenever another config takes effect.
pub(super) async fn run(hub: Hub, mut in_force: Watch, every: Duration) {
    let mut warned = Warned::default();
    loop {
        let plan = in_force.borrow_and_update().plan.clone();
        refresh(&hub, &plan).await;
        publish(&hub, &plan);
        warned.warn(&hub, &plan, Instant::now());
        drop(plan);
        if let Ok(Err(_)) = tokio::time::timeout(every, in_force.changed()).await {
            return;
        }
    }
}

/// Reads the certificates whose files have changed, off this thread: files may lie on a slow disk.
async fn refresh(hub: &Hub, plan: &Arc<Plan>) {
    let plan = plan.clone();
    let read = tokio::task::spawn_blocking(move || {
        listeners(&plan)
            .filter(|(_, tls)| tls.changed())
            .map(|(listener, tls)| (listener.clone(), tls.reload().map(drop)))
            .collect::<Vec<_>>()
    });
    match read.await {
        Ok(read) => read.iter().for_each(|(listener, outcome)| tell(hub, listener, outcome)),
        Err(error) => {
            hub.event(Level::Error, "certificates were not read", &[("error", &error)]);
        }
    }
}

fn tell(hub: &Hub, listener: &Id, outcome: &Result<(), TlsError>) {
    match outcome {
        Ok(()) => hub.event(Level::Info, "certificates reloaded", &[("listener", listener)]),
        Err(error) => {
            let message = "certificates not reloaded; those before stay in use";
            hub.event(Level::Warn, message, &[("listener", listener), ("error", error)]);
        }
    }
}

fn listeners(plan: &Plan) -> impl Iterator<Item = (&Id, &ServerTls)> {
    let listeners = plan.listeners.iter();
    listeners.filter_map(|planned| Some((&planned.listener.id, planned.tls.as_deref()?)))
}

/// Tells metrics when certificates end. Of several for one name the first to end counts.
fn publish(hub: &Hub, plan: &Plan) {
    let mut ends = HashMap::new();
    for (listener, tls) in listeners(plan) {
        for facts in tls.certificates() {
            let name = facts.names.into_iter().next().unwrap_or(facts.source);
            let end = ends.entry((listener.to_string(), name)).or_insert(facts.not_after);
            *end = facts.not_after.min(*end);
        }
    }
    let mut certificates = ends
        .into_iter()
        .map(|((listener, name), not_after)| CertificateExpiry {
            listener,
            name,
            not_after: system_time(not_after),
        })
        .collect::<Vec<_>>();
    certificates.sort_by(|a, b| (&a.listener, &a.name).cmp(&(&b.listener, &b.name)));
    hub.set_certificates(certificates);
}

fn system_time(unix_seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(unix_seconds.unsigned_abs());
    let moved = match unix_seconds < 0 {
        true => UNIX_EPOCH.checked_sub(distance),
        false => UNIX_EPOCH.checked_add(distance),
    };
    moved.unwrap_or(UNIX_EPOCH)
}

/// When each warning was last said; only those that still hold.
#[derive(Default)]
struct Warned(HashMap<(Id, String), Instant>);

impl Warned {
    fn warn(&mut self, hub: &Hub, plan: &Plan, now: Instant) {
        let mut said = std::mem::take(&mut self.0);
        for (listener, key, text) in warnings(plan) {
            let key = (listener, key);
            let last = said.remove(&key);
            let again = last.is_none_or(|last| now.saturating_duration_since(last) >= WARN_AGAIN);
            if again {
                hub.event(Level::Warn, &text, &[("listener", &key.0)]);
            }
            self.0.insert(key, last.filter(|_| !again).unwrap_or(now));
        }
    }
}

/// Listener, what stays the same of a warning as time passes, and its text.
fn warnings(plan: &Plan) -> Vec<(Id, String, String)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut all = Vec::new();
    for (listener, tls) in listeners(plan) {
        let warnings = tls.warnings().into_iter().filter_map(|warning| {
            let key = match &warning {
                Warning::Expired { source, .. } => format!("expired {source}"),
                Warning::NotYetValid { source, .. } => format!("early {source}"),
                Warning::NoNames { source } => format!("nameless {source}"),
                // Said below, and earlier.
                Warning::ExpiresSoon { .. } => return None,
            };
            Some((key, warning.to_string()))
        });
        let certificates = tls.certificates();
        let soon = certificates.iter().filter_map(|facts| expires_soon(facts, now));
        all.extend(warnings.chain(soon).map(|(key, text)| (listener.clone(), key, text)));
    }
    all
}

fn expires_soon(facts: &CertificateFacts, now: i64) -> Option<(String, String)> {
    let left = facts.not_after - now;
    let third = (facts.not_after - facts.not_before) / 3;
    (0..EXPIRES_SOON.min(third)).contains(&left).then(|| {
        let source = &facts.source;
        let left = match left / DAY {
            0 => format!("{} h", left / 3600),
            days => format!("{days} days"),
        };
        let text = format!("the certificate in {source} expires in {left}: renew it");
        (format!("{} {source}", facts.not_after), text)
    })
}
