//! Devices that are not connected hear by Web Push that a document changed: not what, and only where they asked for it.
//!
//! [`Roll`] says whom and when, [`Shelf`] keeps the subscriptions in the log, and the rest asks push services. Nothing that is acknowledged
//! or told waits for any of it.

mod roll;
mod shelf;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use selvedge_crdt::session::{DeviceId, DocumentId, Refusal, Subscription, relay::Grant};
use selvedge_eventlog::Log;
use selvedge_webpush::{PushError, Sender, Wake};
use tokio::{sync::Notify, task::JoinSet};

use self::{
    roll::{Bounds, Call, Roll, Wish},
    shelf::Shelf,
};
use crate::{hub::Hub, settings::ms};

pub(crate) use self::roll::Outcome;

/// How devices are woken that are not connected.
#[derive(Clone, Debug)]
pub struct Push {
    /// Asks the push services.
    pub sender: Arc<Sender>,
    /// How long something waits before its device is woken.
    pub after: Duration,
    /// How often one device is woken, at most; each time that it does not come the pause doubles, up to a day.
    pub every: Duration,
    /// Subscriptions at all, of a device to a document each; WAKE is refused (*quota*) beyond.
    pub subscriptions_max: usize,
    /// How long after the end of its token a device is still woken: as long as the token can be exchanged for another.
    pub renew: Duration,
}

/// Questions to push services that are on their way, at most.
const CALLS_MAX: usize = 16;
/// Documents that one message names, at most: as many as it has room for, whatever they are called.
const NAMED_MAX: usize = 16;
/// When a device may try again whose subscription has no room, in milliseconds.
const AGAIN_MS: u64 = 3_600_000;
/// How often subscriptions are looked for whose tokens have ended.
const FORGET_MS: u64 = 3_600_000;
/// How long the task sleeps where nothing is due, in milliseconds: news wake it.
const REST_MS: u64 = 60_000;

/// Who is woken, and how.
pub(crate) struct Wakes {
    push: Push,
    roll: Mutex<Roll>,
    /// Subscriptions that there are: without any nothing else is looked at.
    count: AtomicUsize,
    shelf: Shelf,
    has_news: Notify,
}

/// Why a device is not woken for a document any more, or not now.
enum May {
    Know,
    /// It is connected, or it cannot be found out whether it may.
    NotNow,
    Never,
}

impl Wakes {
    /// Reads the subscriptions; blocks.
    pub(crate) fn open(log: &Log, push: &Push, now_ms: u64) -> Result<Self, String> {
        let (shelf, wishes) = Shelf::open(log, &push.sender.public_key())?;
        let mut roll = Roll::new(Bounds {
            after_ms: ms(push.after),
            every_ms: ms(push.every),
            subscriptions_max: push.subscriptions_max,
            renew_ms: ms(push.renew),
        });
        for wish in wishes {
            // Where a bound became smaller, the last ones are forgotten.
            let _ = roll.subscribe(wish, now_ms);
        }
        roll.forget(now_ms);
        let count = AtomicUsize::new(roll.subscriptions());
        let (push, roll) = (push.clone(), Mutex::new(roll));
        Ok(Self { push, roll, count, shelf, has_news: Notify::new() })
    }

    /// The key that browsers subscribe with.
    pub(crate) fn public_key(&self) -> [u8; 65] {
        self.push.sender.public_key()
    }

    /// Subscriptions that there are.
    pub(crate) fn subscriptions(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// A device wants to be woken for a document, or to be let sleep.
    pub(crate) fn wish(
        &self,
        (document, device): (&DocumentId, &DeviceId),
        (grant, subscription): (&Grant, Option<Subscription<'_>>),
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let Some(subscription) = subscription else {
            if self.change(|roll| roll.unsubscribe(device, document)) {
                self.shelf.remove(device, document);
            }
            return Ok(());
        };
        let Subscription { endpoint, key, secret } = subscription;
        let target = selvedge_webpush::Subscription { endpoint: endpoint.to_owned(), key, secret };
        if !self.push.sender.allows(endpoint) {
            let text = "this relay asks no such push service";
            return Err(Refusal::Invalid(text.to_owned()));
        }
        target.check().map_err(|error| Refusal::Invalid(error.to_string()))?;
        let (token, ends_ms) = (grant.id.clone(), grant.expires_ms);
        let (device, document) = (*device, document.clone());
        let wish = Wish { device, document, target, token, ends_ms, heard_ms: now_ms };
        match self.change(|roll| roll.subscribe(wish.clone(), now_ms)) {
            Ok(true) => self.shelf.keep(&wish),
            Ok(false) => {}
            Err(roll::Full) => return Err(Refusal::Quota(AGAIN_MS)),
        }
        Ok(())
    }

    /// The device goes on with another token.
    pub(crate) fn renewed(&self, document: &DocumentId, device: &DeviceId, grant: &Grant) {
        if self.subscriptions() > 0
            && let Some(wish) = self.change(|roll| roll.renew(device, document, grant))
        {
            self.shelf.keep(&wish);
        }
    }

    /// Something of a document became durable that this device wrote.
    pub(crate) fn changed(&self, document: &DocumentId, author: &DeviceId, now_ms: u64) {
        if self.subscriptions() > 0 && self.lock().changed(document, author, now_ms) {
            self.has_news.notify_one();
        }
    }

    /// A device has everything of a document, or is about to read it.
    pub(crate) fn seen(&self, document: &DocumentId, device: &DeviceId) {
        if self.subscriptions() > 0 {
            self.lock().seen(device, document);
        }
    }

    /// Lets outdated records of subscriptions go; blocks.
    pub(crate) fn tidy(&self) -> Result<(), String> {
        self.shelf.tidy(self.subscriptions(), |wish| self.lock().has(wish))
    }

    fn change<T>(&self, work: impl FnOnce(&mut Roll) -> T) -> T {
        let mut roll = self.lock();
        let done = work(&mut roll);
        self.count.store(roll.subscriptions(), Relaxed);
        done
    }

    fn lock(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes devices, for as long as it is polled.
pub(crate) async fn run(hub: Arc<Hub>) {
    let Some(wakes) = &hub.wakes else { return };
    let mut calls = JoinSet::new();
    let mut forgot_ms = hub.now_ms();
    loop {
        let now_ms = hub.now_ms();
        if now_ms.saturating_sub(forgot_ms) >= FORGET_MS {
            forgot_ms = now_ms;
            wakes.change(|roll| roll.forget(now_ms));
        }
        let (due, next_ms) = {
            let mut roll = wakes.lock();
            (roll.take_due(CALLS_MAX - calls.len(), now_ms), roll.next_due_ms())
        };
        for call in due {
            let hub = hub.clone();
            calls.spawn(async move { perform(&hub, call).await });
        }
        let rest_ms = next_ms.map_or(REST_MS, |at| at.saturating_sub(now_ms).min(REST_MS));
        // Where all places are taken, one that is free again is waited for.
        let rest_ms = if calls.len() < CALLS_MAX { rest_ms } else { REST_MS };
        tokio::select! {
            Some(_) = calls.join_next(), if !calls.is_empty() => {}
            () = wakes.has_news.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(rest_ms.max(1))) => {}
        }
    }
}

/// Wakes one device, unless there is nobody to be woken.
async fn perform(hub: &Arc<Hub>, call: Call) {
    let Some(wakes) = &hub.wakes else { return };
    let mut told = Vec::new();
    let mut is_news = false;
    for of in &call.documents {
        match may(hub, &call.device, of).await {
            May::Know => {
                is_news |= of.is_new;
                told.push(of.document.clone());
            }
            May::NotNow => {}
            May::Never => {
                wakes.change(|roll| roll.unsubscribe(&call.device, &of.document));
                wakes.shelf.remove(&call.device, &of.document);
            }
        }
    }
    told.truncate(NAMED_MAX);
    let outcome = match is_news {
        true => send(hub, &call, &told).await,
        false => Outcome::PutOff,
    };
    let told: HashSet<DocumentId> = told.into_iter().collect();
    let ended = wakes.change(|roll| roll.done(&call, (&outcome, &told), hub.now_ms()));
    for document in ended {
        wakes.shelf.remove(&call.device, &document);
    }
    hub.metrics.woken(&outcome);
}

async fn send(hub: &Hub, call: &Call, told: &[DocumentId]) -> Outcome {
    let Some(wakes) = &hub.wakes else { return Outcome::PutOff };
    match wakes.push.sender.wake(&call.target, message(told).as_bytes()).await {
        Ok(Wake::Sent) => Outcome::Sent,
        Ok(Wake::Gone) => Outcome::Gone,
        Ok(Wake::Later(after)) => Outcome::Later(after),
        Err(PushError::Timeout | PushError::Exchange(_)) => Outcome::Failed,
        // What is no service any more since the config changed, too.
        Err(PushError::NotAllowed | PushError::Subscription(_)) => Outcome::Gone,
        Err(PushError::Refused(_)) => Outcome::Refused,
    }
}

/// What a browser reads. Names of documents have neither quotes nor backslashes.
fn message(told: &[DocumentId]) -> String {
    let names: Vec<String> = told.iter().map(|document| format!("\"{document}\"")).collect();
    format!("{{\"documents\":[{}]}}", names.join(","))
}

/// Whether a device may still know that a document changed, and needs to be told.
async fn may(hub: &Arc<Hub>, device: &DeviceId, of: &roll::News) -> May {
    let renew_ms = hub.settings.push.as_ref().map_or(0, |push| ms(push.renew));
    let has_ended = of.ends_ms.saturating_add(renew_ms) < hub.now_ms();
    if has_ended || hub.warden.is_revoked(&of.token) {
        return May::Never;
    }
    if hub.loaded(&of.document).is_some_and(|document| document.is_open_for(device)) {
        return May::NotNow;
    }
    match is_member(hub, &of.document, device).await {
        Some(true) => May::Know,
        Some(false) => May::Never,
        None => May::NotNow,
    }
}

/// Whether the roster of a document that is in force has a device, if it can be read; without one everybody with a token is a
/// member.
async fn is_member(hub: &Arc<Hub>, document: &DocumentId, device: &DeviceId) -> Option<bool> {
    let Some(line) = hub.line(document).await.ok()? else { return Some(true) };
    line.held.map(|roster| roster.member(device).is_some())
}

#[cfg(test)]
mod tests {
    use selvedge_webpush::MESSAGE_BYTES_MAX;

    use super::*;

    #[test]
    fn as_many_documents_as_are_named_fit() {
        let longest = DocumentId::new(&"t".repeat(64), &"n".repeat(128)).unwrap();
        assert!(message(&vec![longest; NAMED_MAX]).len() <= MESSAGE_BYTES_MAX);
        let notes = DocumentId::new("acme", "notes/1").unwrap();
        assert_eq!(message(&[notes]), r#"{"documents":["acme/notes/1"]}"#);
    }
}
