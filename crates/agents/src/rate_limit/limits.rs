//! What one version of the settings says, with the buckets.

use std::sync::Arc;

use selvedge_agent::{RequestHead, ResponseHead, Verdict};
use selvedge_config::rate_limit as settings;
use selvedge_config::rate_limit::{OnFailure, RouteOptions, Settings, Store};
use tokio::runtime::Handle;

use super::{
    answer,
    key::{Key, NoAddress, Seed},
    local::Local,
    note,
    policy::Policy,
    ruling::{Asked, Charge, Ruling, Standing},
    shared::{Shared, Unavailable},
};

/// Most policies of one agent: all are asked in one call.
const POLICIES_MAX: usize = 64;

/// Policies, and where their buckets are.
#[derive(Debug)]
pub struct Limits {
    policies: Vec<Policy>,
    /// The buckets, or what stands in for those of the server; none if nothing does.
    local: Local,
    shared: Option<(Arc<Shared>, OnFailure)>,
    headers: bool,
    /// Where work is left that outlives an exchange.
    runtime: Handle,
}

/// One policy's part in an exchange.
#[derive(Debug)]
pub struct Account {
    /// Which policy, in the order of the config.
    pub index: usize,
    /// Whose bucket.
    pub key: Key,
    /// How it stands; `None` while nobody counts.
    pub standing: Option<Standing>,
}

/// What came of asking.
#[derive(Debug)]
pub enum Counted {
    /// All that was asked was decided.
    Ruling(Ruling),
    /// The server does not answer, and requests pass then.
    Uncounted,
    /// The server does not answer, and requests are refused then.
    Unavailable,
}

impl Limits {
    /// Makes the settings ready; what `previous` counted goes on. The error is for the operator.
    pub async fn start(settings: Settings, previous: Option<&Self>) -> Result<Self, String> {
        let Settings { policies, store, headers } = settings;
        let policies = compiled(&policies, previous)?;
        let local = buckets(&policies, &store, previous)?;
        for (policy, (usage, bytes)) in policies.iter().zip(local.usage(&policies)) {
            let Policy { id, limit, key_kind, .. } = policy;
            let room = format!("room for {} keys in {bytes} bytes", usage.places);
            note(&format!("policy {id:?}: {limit} by {key_kind}, {room}"));
        }
        let shared = match store {
            Store::Local => None,
            Store::Redis(redis) => {
                let on_failure = redis.on_failure;
                Some((connected(redis, previous).await?, on_failure))
            }
        };
        Ok(Self { policies, local, shared, headers, runtime: Handle::current() })
    }

    /// The policies, in the order of the config.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Whether clients are told their limits.
    pub fn headers(&self) -> bool {
        self.headers
    }

    /// What a request asks of each policy of its route; an error where that cannot be said.
    pub fn asked(&self, request: &RequestHead<'_>) -> Result<Vec<Asked<'_>>, String> {
        let attributes = request.attributes();
        let route = RouteOptions::read(|name| attributes.route_option(name));
        let is_known = |id: &String| self.policies.iter().any(|policy| policy.id == *id);
        if let Some(id) = route.policies.iter().find(|id| !is_known(id)) {
            return Err(format!(
                "the route names the policy {id:?}, which this agent does not have"
            ));
        }
        let holds =
            |policy: &Policy| route.policies.is_empty() || route.policies.contains(&policy.id);
        let all = self.policies.iter().enumerate().filter(|(_, policy)| holds(policy));
        let asked = all.map(|(index, policy)| {
            let key = policy.rule.key(request)?;
            Ok(Asked { index, policy, key, ask: policy.ask(request, route.cost), place: None })
        });
        asked
            .collect::<Result<_, NoAddress>>()
            .map_err(|NoAddress| "the edge names no client address".to_owned())
    }

    /// Decides at once or, if patience helps and there is room in the queues, for later.
    pub async fn decide(&self, asked: &mut [Asked<'_>]) -> Counted {
        match self.count(asked).await {
            Counted::Ruling(ruling) if !ruling.admitted && queue(asked, &ruling) => {
                self.count(asked).await
            }
            counted => counted,
        }
    }

    async fn count(&self, asked: &[Asked<'_>]) -> Counted {
        let Some((shared, on_failure)) = &self.shared else { return self.count_here(asked) };
        match (shared.decide(asked).await, on_failure) {
            (Ok(ruling), _) => Counted::Ruling(ruling),
            (Err(Unavailable), OnFailure::Local) => self.count_here(asked),
            (Err(Unavailable), OnFailure::Open) => Counted::Uncounted,
            (Err(Unavailable), OnFailure::Closed) => Counted::Unavailable,
        }
    }

    fn count_here(&self, asked: &[Asked<'_>]) -> Counted {
        Counted::Ruling(self.local.decide(self.local.now(), asked))
    }

    /// Takes what an exchange turned out to cost; `None` is one without a response.
    pub async fn settle(&self, account: &mut Account, response: Option<&ResponseHead<'_>>) {
        let Account { index, key, standing } = account;
        let policy = &self.policies[*index];
        if policy.is_charged_later() {
            let tokens = policy.charge(response);
            *standing = self.charge(&Charge { index: *index, policy, key, tokens }).await;
        }
    }

    /// Takes what exchanges cost that end without a response.
    pub fn settle_unanswered(self: Arc<Self>, accounts: Vec<Account>) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            for mut account in accounts {
                self.settle(&mut account, None).await;
            }
        });
    }

    async fn charge(&self, charge: &Charge<'_>) -> Option<Standing> {
        let here = || Some(self.local.charge(self.local.now(), charge));
        let Some((shared, on_failure)) = &self.shared else { return here() };
        match (shared.charge(charge).await, on_failure) {
            (Ok(standing), _) => Some(standing),
            (Err(Unavailable), OnFailure::Local) => here(),
            // Nobody counts, and the request is past refusing.
            (Err(Unavailable), OnFailure::Open | OnFailure::Closed) => None,
        }
    }

    /// Tells the client how it stands.
    pub fn with_fields(&self, verdict: Verdict, accounts: &[Account]) -> Verdict {
        let standing = |account: &Account| Some((&self.policies[account.index], account.standing?));
        let counted: Vec<_> = accounts.iter().filter_map(standing).collect();
        if !self.headers || counted.is_empty() {
            return verdict;
        }
        answer::with_fields(verdict, &counted)
    }
}

fn compiled(
    policies: &[settings::Policy],
    previous: Option<&Limits>,
) -> Result<Vec<Policy>, String> {
    if !(1..=POLICIES_MAX).contains(&policies.len()) {
        return Err(format!("an agent has from 1 to {POLICIES_MAX} policies"));
    }
    let mut compiled: Vec<Policy> = Vec::with_capacity(policies.len());
    for policy in policies {
        let mut policy = Policy::new(policy)?;
        if compiled.iter().any(|other| other.id == policy.id) {
            return Err(format!("two policies are called {:?}", policy.id));
        }
        let same = |old: &&Policy| old.id == policy.id;
        if let Some(old) = previous.and_then(|limits| limits.policies.iter().find(same)) {
            policy.inherit_queue(old);
        }
        compiled.push(policy);
    }
    Ok(compiled)
}

fn buckets(policies: &[Policy], store: &Store, previous: Option<&Limits>) -> Result<Local, String> {
    let counted_here = match store {
        Store::Redis(redis) if redis.on_failure != OnFailure::Local => &[],
        Store::Redis(_) | Store::Local => policies,
    };
    let local = match previous {
        Some(old) => Local::succeeding(&old.local, &old.policies, counted_here),
        None => {
            let seed = Seed::random().map_err(|_| "the system gives no randomness")?;
            Local::new(seed, counted_here)
        }
    };
    local.map_err(|_| "no memory for so many keys".to_owned())
}

async fn connected(
    redis: settings::Redis,
    previous: Option<&Limits>,
) -> Result<Arc<Shared>, String> {
    match previous.and_then(|old| old.shared.as_ref()) {
        Some((shared, _)) if *shared.settings() == redis => Ok(Arc::clone(shared)),
        _ => Shared::connect(redis).await.map(Arc::new),
    }
}

/// Looks for a place in the queue of each policy that refused; if every one of them has one, the
/// request may ask again with patience.
fn queue(asked: &mut [Asked<'_>], ruling: &Ruling) -> bool {
    let all = asked.iter_mut().zip(&ruling.standings);
    let mut refused: Vec<_> = all.filter(|(_, standing)| standing.wait.is_err()).collect();
    if !refused.iter().all(|(asked, standing)| standing.could_wait(asked.policy.patience())) {
        return false;
    }
    let places: Option<Vec<_>> = refused.iter().map(|(asked, _)| asked.policy.wait()).collect();
    let Some(places) = places else { return false };
    for ((asked, _), place) in refused.iter_mut().zip(places) {
        asked.ask.patience = asked.policy.patience();
        asked.place = Some(place);
    }
    true
}
