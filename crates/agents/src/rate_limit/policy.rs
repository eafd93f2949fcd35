//! One limit, ready to be asked.

use std::{
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::Duration,
};

use selvedge_agent::{RequestHead, ResponseHead};
use selvedge_base::format_duration;
use selvedge_config::rate_limit as settings;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    fields,
    gcra::{Ask, Rate, TOKENS_MAX, Tick},
    key::KeyRule,
    table::KEYS_MAX,
};

/// A policy of the config, compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The operator's name for it.
    pub id: String,
    /// How a request's bucket is found.
    pub rule: KeyRule,
    /// What the key is made of, for people.
    pub key_kind: String,
    /// The limit, for people: `100 per 1m`.
    pub limit: String,
    /// Its name in fields.
    pub name: String,
    /// Its item in `RateLimit-Policy`.
    pub item: String,
    /// Over our own clock.
    pub local: Rate,
    /// Over the clock of a Redis server.
    pub shared: Rate,
    /// Keys that are kept apart.
    pub keys_max: usize,
    cost: settings::Cost,
    queue: Option<Queue>,
}

/// Where requests of one policy wait.
#[derive(Clone, Debug)]
struct Queue {
    places: Arc<Semaphore>,
    settings: settings::Delay,
}

/// A place in a policy's queue, given back when it is dropped.
pub type Waiting = OwnedSemaphorePermit;

impl Policy {
    /// Compiles a policy; the error is for the operator.
    pub fn new(policy: &settings::Policy) -> Result<Self, String> {
        let settings::Policy { id, key, limit, per, burst, cost, delay, keys_max, ipv6_prefix } =
            policy;
        let wrong = |what: &str| format!("policy {id:?}: {what}");
        if !id.bytes().all(|byte| byte.is_ascii_graphic()) || !(1..=64).contains(&id.len()) {
            return Err(wrong("an id is 1 to 64 printable characters"));
        }
        if key.is_empty() {
            return Err(wrong("a key has at least one part"));
        }
        if !(1..=KEYS_MAX).contains(keys_max) {
            return Err(wrong(&format!("keys-max is from 1 to {KEYS_MAX}")));
        }
        let [limit_tokens, burst_tokens] =
            [*limit, *burst].map(|n| NonZeroU32::new(n).map(NonZeroU64::from));
        let limit_tokens = limit_tokens.ok_or_else(|| wrong("a limit is at least 1"))?;
        let burst_tokens = burst_tokens.ok_or_else(|| wrong("a burst is at least 1"))?;
        let rate = |tick| Rate::new(limit_tokens, *per, burst_tokens, tick);
        let rule = KeyRule::new(key.clone(), *ipv6_prefix);
        let name = fields::name(id);
        Ok(Self {
            id: id.clone(),
            key_kind: rule.kind(),
            rule,
            limit: format!("{limit} per {}", format_duration(*per)),
            item: fields::policy_item(&name, *limit, *per, *burst),
            name,
            local: rate(Tick::Nanosecond).map_err(|error| wrong(&error.to_string()))?,
            shared: rate(Tick::Microsecond).map_err(|error| wrong(&error.to_string()))?,
            keys_max: *keys_max,
            cost: cost.clone(),
            queue: delay.clone().map(Queue::new),
        })
    }

    /// Lets those who wait in `previous` count here too, if the bound is the same.
    pub fn inherit_queue(&mut self, previous: &Self) {
        if let (Some(own), Some(old)) = (&mut self.queue, &previous.queue)
            && own.settings.queue == old.settings.queue
        {
            own.places = Arc::clone(&old.places);
        }
    }

    /// What `request` needs and takes, without a wait.
    ///
    /// `route` is what the route says of costs that are fixed.
    pub fn ask(&self, request: &RequestHead<'_>, route: Option<u32>) -> Ask {
        match &self.cost {
            settings::Cost::Fixed(cost) => Ask::now(route.unwrap_or(*cost).into()),
            settings::Cost::Header { name, most } => Ask::now(asked_cost(request, name, *most)),
            settings::Cost::ResponseHeader { .. } => Ask { take: 0, ..Ask::now(1) },
        }
    }

    /// Whether the cost is known only when the response is there.
    pub fn is_charged_later(&self) -> bool {
        matches!(self.cost, settings::Cost::ResponseHeader { .. })
    }

    /// What a response costs; `None` is an exchange without one.
    pub fn charge(&self, response: Option<&ResponseHead<'_>>) -> u64 {
        match &self.cost {
            settings::Cost::ResponseHeader { name, otherwise } => {
                let said = response.and_then(|response| number(response.header(name)?));
                said.unwrap_or_else(|| (*otherwise).into()).min(TOKENS_MAX)
            }
            settings::Cost::Fixed(_) | settings::Cost::Header { .. } => 0,
        }
    }

    /// How long a request may wait.
    pub fn patience(&self) -> Duration {
        self.queue.as_ref().map_or(Duration::ZERO, |queue| queue.settings.max)
    }

    /// A place to wait in; `None` if all are taken.
    pub fn wait(&self) -> Option<Waiting> {
        Arc::clone(&self.queue.as_ref()?.places).try_acquire_owned().ok()
    }

    /// The furthest from full that a bucket can be by what this policy admits; `None` if responses
    /// decide.
    pub fn lag_max(&self) -> Option<Duration> {
        let depth = self.local.duration(self.local.depth());
        (!self.is_charged_later()).then(|| depth.saturating_add(self.patience()))
    }
}

impl Queue {
    fn new(settings: settings::Delay) -> Self {
        let places = Arc::new(Semaphore::new(settings.queue.min(Semaphore::MAX_PERMITS)));
        Self { places, settings }
    }
}

/// What a request says that it costs: nothing said is one token, nonsense the most.
fn asked_cost(request: &RequestHead<'_>, name: &str, most: u32) -> u64 {
    let most = u64::from(most.max(1));
    let mut all = request.fields().all(name);
    match (all.next(), all.next()) {
        (None, _) => 1,
        (Some(value), None) => {
            let said = str::from_utf8(value).ok().and_then(number);
            said.map_or(most, |cost| cost.clamp(1, most))
        }
        (Some(_), Some(_)) => most,
    }
}

/// Digits as a number; more than fit are the largest number.
fn number(text: &str) -> Option<u64> {
    let digits = text.trim_matches([' ', '\t']);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}
