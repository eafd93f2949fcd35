//! Who is to be woken for what, and when. No clock, no disk, no socket.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use selvedge_crdt::session::{DeviceId, DocumentId, relay::Grant};
use selvedge_webpush::Subscription;

use crate::settings::ms;

/// Documents that one device is woken for, at most.
const OF_DEVICE_MAX: usize = 256;
/// Devices that are woken for one document, at most.
const OF_DOCUMENT_MAX: usize = 1_024;
/// A device that is not woken again sooner is not woken less often either, in milliseconds.
const DAY_MS: u64 = 86_400_000;
/// After the first failure; each further one doubles it, in milliseconds.
const FAILED_MS: u64 = 30_000;
/// The same after a service said that it takes no such message.
const REFUSED_MS: u64 = 3_600_000;
/// After so many refusals without a success between them the subscription is forgotten.
const REFUSALS_MAX: u32 = 5;
/// A device that is connected is looked at again after this time, in milliseconds.
const PUT_OFF_MS: u64 = 5_000;
/// A subscription that is said again is kept again after this time, in milliseconds.
const KEEP_MS: u64 = DAY_MS;

/// How many, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) after_ms: u64,
    pub(super) every_ms: u64,
    pub(super) subscriptions_max: usize,
    pub(super) renew_ms: u64,
}

/// A device that wants to be woken for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) device: DeviceId,
    pub(super) document: DocumentId,
    pub(super) target: Subscription,
    /// The id of the token by which it has the document, and when that ends, in milliseconds since 1970.
    pub(super) token: String,
    pub(super) ends_ms: u64,
    /// When it said so.
    pub(super) heard_ms: u64,
}

/// There is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Somebody to be woken now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) device: DeviceId,
    pub(super) target: Subscription,
    pub(super) documents: Vec<News>,
}

/// A document that a device has not seen all of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) document: DocumentId,
    pub(super) token: String,
    pub(super) ends_ms: u64,
    /// It was not told of it yet.
    pub(super) is_new: bool,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Sent,
    /// There is no such subscription any more.
    Gone,
    /// The service wants to be asked later.
    Later(Option<Duration>),
    /// There was no answer.
    Failed,
    /// The service will not take it.
    Refused,
    /// It needs not be woken now.
    PutOff,
}

/// Everybody who wants to be woken.
#[derive(Debug)]
pub(super) struct Roll {
    bounds: Bounds,
    devices: HashMap<DeviceId, Sleeper>,
    documents: HashMap<DocumentId, Circle>,
    /// Whose turn it is when.
    due: BTreeSet<(u64, DeviceId)>,
    subscriptions: usize,
}

/// Who wants to hear of a document.
#[derive(Debug, Default)]
struct Circle {
    count: usize,
    /// Those of them for whom a change is something new.
    calm: BTreeSet<DeviceId>,
}

#[derive(Debug)]
struct Sleeper {
    target: Subscription,
    wishes: BTreeMap<DocumentId, Place>,
    due_ms: Option<u64>,
    sent_ms: Option<u64>,
    /// Messages since it was here.
    unanswered: u32,
    failures: u32,
    refusals: u32,
    paused_until_ms: u64,
    is_called: bool,
}

#[derive(Debug)]
struct Place {
    token: String,
    ends_ms: u64,
    heard_ms: u64,
    state: State,
}

/// How a device stands with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has seen all of it.
    Calm,
    /// Something changed.
    Changed,
    /// It was told that something changed, and has not come since.
    Told,
}

impl Roll {
    pub(super) fn new(bounds: Bounds) -> Self {
        let (devices, documents) = (HashMap::new(), HashMap::new());
        Self { bounds, devices, documents, due: BTreeSet::new(), subscriptions: 0 }
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// Takes a wish; says whether it is to be kept, which it is not where it was there a short time ago. A device has one address: the
    /// one that it said last.
    pub(super) fn subscribe(&mut self, wish: Wish, now_ms: u64) -> Result<bool, Full> {
        let Wish { device, document, target, token, ends_ms, heard_ms } = wish;
        let known = self.devices.get(&device);
        let is_there = known.is_some_and(|it| it.wishes.contains_key(&document));
        if !is_there && !self.has_room(&device, &document) {
            return Err(Full);
        }
        let sleeper = self.devices.entry(device).or_insert_with(|| Sleeper::new(target.clone()));
        let is_new_target = sleeper.target != target;
        if is_new_target {
            sleeper.target = target;
            (sleeper.failures, sleeper.refusals, sleeper.paused_until_ms) = (0, 0, 0);
            // What is kept of its other wishes has the former address, until they are said again.
            sleeper.wishes.values_mut().for_each(|place| place.heard_ms = 0);
        }
        if !is_there {
            let place = Place { token, ends_ms, heard_ms, state: State::Calm };
            sleeper.wishes.insert(document.clone(), place);
            self.subscriptions += 1;
            let circle = self.documents.entry(document).or_default();
            circle.count += 1;
            circle.calm.insert(device);
            return Ok(true);
        }
        let place = sleeper.wishes.get_mut(&document).expect("it is there");
        let is_same = (&place.token, place.ends_ms) == (&token, ends_ms);
        let is_fresh = now_ms.saturating_sub(place.heard_ms) < KEEP_MS;
        if is_same && is_fresh && !is_new_target {
            return Ok(false);
        }
        (place.token, place.ends_ms, place.heard_ms) = (token, ends_ms, heard_ms);
        Ok(true)
    }

    fn has_room(&self, device: &DeviceId, document: &DocumentId) -> bool {
        let of_device = self.devices.get(device).map_or(0, |it| it.wishes.len());
        let of_document = self.documents.get(document).map_or(0, |it| it.count);
        self.subscriptions < self.bounds.subscriptions_max
            && of_device < OF_DEVICE_MAX
            && of_document < OF_DOCUMENT_MAX
    }

    /// Lets a device sleep; says whether it was to be woken.
    pub(super) fn unsubscribe(&mut self, device: &DeviceId, document: &DocumentId) -> bool {
        let Some(sleeper) = self.devices.get_mut(device) else { return false };
        let was_there = sleeper.wishes.remove(document).is_some();
        if was_there {
            self.leave(device, document);
            self.settle(device);
        }
        was_there
    }

    fn leave(&mut self, device: &DeviceId, document: &DocumentId) {
        self.subscriptions -= 1;
        let Some(circle) = self.documents.get_mut(document) else { return };
        circle.calm.remove(device);
        circle.count -= 1;
        if circle.count == 0 {
            self.documents.remove(document);
        }
    }

    /// Takes notice of another token; the wish, if it is to be kept again.
    pub(super) fn renew(
        &mut self,
        device: &DeviceId,
        document: &DocumentId,
        grant: &Grant,
    ) -> Option<Wish> {
        let sleeper = self.devices.get_mut(device)?;
        let place = sleeper.wishes.get_mut(document)?;
        (place.token, place.ends_ms) = (grant.id.clone(), grant.expires_ms);
        Some(place.wish((*device, document.clone()), &sleeper.target))
    }

    /// Whether a wish counts as it was kept.
    pub(super) fn has(&self, wish: &Wish) -> bool {
        let sleeper = self.devices.get(&wish.device);
        let place = sleeper.and_then(|it| Some((it, it.wishes.get(&wish.document)?)));
        place.is_some_and(|(sleeper, place)| {
            place.wish((wish.device, wish.document.clone()), &sleeper.target) == *wish
        })
    }

    /// A document changed by a device's hand; says whether somebody is due earlier than before.
    pub(super) fn changed(
        &mut self,
        document: &DocumentId,
        author: &DeviceId,
        now_ms: u64,
    ) -> bool {
        let Some(circle) = self.documents.get_mut(document) else { return false };
        let is_author_calm = circle.calm.remove(author);
        let startled = std::mem::take(&mut circle.calm);
        if is_author_calm {
            circle.calm.insert(*author);
        }
        for device in &startled {
            let sleeper = self.devices.get_mut(device);
            let place = sleeper.and_then(|it| it.wishes.get_mut(document));
            place.expect("who hears of a document has a place for it").state = State::Changed;
            self.schedule(device, now_ms.saturating_add(self.bounds.after_ms));
        }
        !startled.is_empty()
    }

    /// A device has seen all of a document.
    pub(super) fn seen(&mut self, device: &DeviceId, document: &DocumentId) {
        let Some(sleeper) = self.devices.get_mut(device) else { return };
        let Some(place) = sleeper.wishes.get_mut(document) else { return };
        sleeper.unanswered = 0;
        if place.state == State::Calm {
            return;
        }
        place.state = State::Calm;
        if let Some(circle) = self.documents.get_mut(document) {
            circle.calm.insert(*device);
        }
        self.settle(device);
    }

    /// Whose turn it is: at most so many. Each is [done](Self::done) before it is called again.
    pub(super) fn take_due(&mut self, max: usize, now_ms: u64) -> Vec<Call> {
        let due = self.due.iter().take_while(|(at_ms, _)| *at_ms <= now_ms).take(max);
        let due: Vec<(u64, DeviceId)> = due.copied().collect();
        due.into_iter().filter_map(|turn| self.call(turn)).collect()
    }

    /// When somebody's turn is.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    fn call(&mut self, turn: (u64, DeviceId)) -> Option<Call> {
        self.due.remove(&turn);
        let (_, device) = turn;
        let sleeper = self.devices.get_mut(&device)?;
        (sleeper.due_ms, sleeper.is_called) = (None, true);
        let waiting = sleeper.wishes.iter_mut().filter(|(_, it)| it.state != State::Calm);
        let mut documents = Vec::new();
        for (document, place) in waiting {
            let is_new = place.state == State::Changed;
            let (token, ends_ms) = (place.token.clone(), place.ends_ms);
            documents.push(News { document: document.clone(), token, ends_ms, is_new });
            if is_new {
                // What changes while it is called is something new again.
                place.state = State::Told;
                if let Some(circle) = self.documents.get_mut(document) {
                    circle.calm.insert(device);
                }
            }
        }
        // What is new comes first: a message has not room for everything.
        documents.sort_by_key(|news| !news.is_new);
        Some(Call { device, target: sleeper.target.clone(), documents })
    }

    /// Takes what came of a call that told of these documents; returns those that the device is not woken for any more.
    pub(super) fn done(
        &mut self,
        call: &Call,
        (outcome, told): (&Outcome, &HashSet<DocumentId>),
        now_ms: u64,
    ) -> Vec<DocumentId> {
        let Bounds { after_ms, .. } = self.bounds;
        let Some(sleeper) = self.devices.get_mut(&call.device) else { return Vec::new() };
        // Meanwhile it may have subscribed elsewhere: then this says nothing of it.
        let is_its = sleeper.target == call.target;
        sleeper.is_called = false;
        let mut again_ms = now_ms;
        match outcome {
            Outcome::Sent => {
                sleeper.sent_ms = Some(now_ms);
                sleeper.unanswered = sleeper.unanswered.saturating_add(1);
                (sleeper.failures, sleeper.refusals) = (0, 0);
                again_ms = now_ms.saturating_add(after_ms);
            }
            Outcome::Gone if is_its => return self.remove(&call.device),
            Outcome::Refused if is_its && sleeper.refusals + 1 >= REFUSALS_MAX => {
                return self.remove(&call.device);
            }
            Outcome::Gone => {}
            Outcome::Later(after) => sleeper.fail((FAILED_MS, *after), now_ms),
            Outcome::Failed => sleeper.fail((FAILED_MS, None), now_ms),
            Outcome::Refused => {
                sleeper.refusals += 1;
                sleeper.fail((REFUSED_MS, None), now_ms);
            }
            Outcome::PutOff => again_ms = now_ms.saturating_add(after_ms.max(PUT_OFF_MS)),
        }
        let untold = call.documents.iter().filter(|news| {
            news.is_new && !(*outcome == Outcome::Sent && told.contains(&news.document))
        });
        for News { document, .. } in untold {
            self.untell(&call.device, document);
        }
        self.schedule_if_changed(&call.device, again_ms);
        Vec::new()
    }

    /// It was not told after all; if it has come meanwhile, it knows.
    fn untell(&mut self, device: &DeviceId, document: &DocumentId) {
        let place = self.devices.get_mut(device).and_then(|it| it.wishes.get_mut(document));
        if let Some(place) = place.filter(|place| place.state == State::Told) {
            place.state = State::Changed;
            if let Some(circle) = self.documents.get_mut(document) {
                circle.calm.remove(device);
            }
        }
    }

    fn remove(&mut self, device: &DeviceId) -> Vec<DocumentId> {
        let Some(sleeper) = self.devices.remove(device) else { return Vec::new() };
        if let Some(due_ms) = sleeper.due_ms {
            self.due.remove(&(due_ms, *device));
        }
        let documents: Vec<DocumentId> = sleeper.wishes.into_keys().collect();
        documents.iter().for_each(|document| self.leave(device, document));
        documents
    }

    /// Forgets wishes whose tokens ended too long ago to be exchanged.
    pub(super) fn forget(&mut self, now_ms: u64) {
        let renew_ms = self.bounds.renew_ms;
        let has_ended = |place: &Place| place.ends_ms.saturating_add(renew_ms) < now_ms;
        let ended: Vec<(DeviceId, DocumentId)> = self
            .devices
            .iter()
            .flat_map(|(device, it)| it.wishes.iter().map(|(document, at)| (*device, document, at)))
            .filter(|(.., place)| has_ended(place))
            .map(|(device, document, _)| (device, document.clone()))
            .collect();
        for (device, document) in ended {
            self.unsubscribe(&device, &document);
        }
    }

    /// Has a device woken at this time, or when it may be again; one whose turn comes keeps it.
    fn schedule(&mut self, device: &DeviceId, at_ms: u64) {
        let every_ms = self.bounds.every_ms;
        let Some(sleeper) = self.devices.get_mut(device) else { return };
        if sleeper.is_called || sleeper.due_ms.is_some() {
            return;
        }
        let due_ms = at_ms.max(sleeper.quiet_until_ms(every_ms));
        sleeper.due_ms = Some(due_ms);
        self.due.insert((due_ms, *device));
    }

    fn schedule_if_changed(&mut self, device: &DeviceId, at_ms: u64) {
        if self.devices.get(device).is_some_and(Sleeper::has_changes) {
            self.schedule(device, at_ms);
        } else {
            self.settle(device);
        }
    }

    /// Takes back the turn of who has nothing to hear, and forgets who wants to hear of nothing.
    fn settle(&mut self, device: &DeviceId) {
        let Some(sleeper) = self.devices.get_mut(device) else { return };
        if let Some(due_ms) = sleeper.due_ms.filter(|_| !sleeper.has_changes()) {
            self.due.remove(&(due_ms, *device));
            sleeper.due_ms = None;
        }
        if sleeper.wishes.is_empty() && !sleeper.is_called {
            self.devices.remove(device);
        }
    }
}

impl Sleeper {
    fn new(target: Subscription) -> Self {
        Self {
            target,
            wishes: BTreeMap::new(),
            due_ms: None,
            sent_ms: None,
            unanswered: 0,
            failures: 0,
            refusals: 0,
            paused_until_ms: 0,
            is_called: false,
        }
    }

    fn has_changes(&self) -> bool {
        self.wishes.values().any(|place| place.state == State::Changed)
    }

    /// Until when it is left alone.
    fn quiet_until_ms(&self, every_ms: u64) -> u64 {
        let pause_ms = doubled(every_ms, self.unanswered.saturating_sub(1));
        let rested_ms = self.sent_ms.map_or(0, |sent_ms| sent_ms.saturating_add(pause_ms));
        rested_ms.max(self.paused_until_ms)
    }

    fn fail(&mut self, (first_ms, after): (u64, Option<Duration>), now_ms: u64) {
        let backoff_ms = doubled(first_ms, self.failures);
        let pause_ms = backoff_ms.max(after.map_or(0, ms)).min(DAY_MS);
        self.failures = self.failures.saturating_add(1);
        self.paused_until_ms = now_ms.saturating_add(pause_ms);
    }
}

impl Place {
    fn wish(&self, (device, document): (DeviceId, DocumentId), target: &Subscription) -> Wish {
        let Self { token, ends_ms, heard_ms, state: _ } = self;
        let (ends_ms, heard_ms) = (*ends_ms, *heard_ms);
        Wish { device, document, target: target.clone(), token: token.clone(), ends_ms, heard_ms }
    }
}

/// So many times twice as long, but not longer than a day, unless it was from the beginning.
fn doubled(first_ms: u64, times: u32) -> u64 {
    first_ms.saturating_mul(1 << times.min(30)).min(DAY_MS.max(first_ms))
}

#[cfg(test)]
mod tests;
