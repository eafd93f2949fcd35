//! `selvedge agent rate-limit`: how often who may do what.
//!
//! [`gcra`] is the arithmetic of one bucket, [`table`] the buckets of one policy in fixed memory,
//! [`local`] decides on all policies of a request by them, [`shared`] by those in a Redis server.
//! This file asks one of the two, waits where a policy lets requests wait, and says what came of it.
//!
//! A request is admitted if every policy of its route has enough tokens; then it takes them from
//! all. If one refuses, none loses any.

mod fields;
mod gcra;
mod key;
mod local;
mod policy;
mod ruling;
mod shared;
mod table;

use std::{mem, sync::Arc, time::Duration};

use selvedge_agent::{Agent, Finding, RequestHead, ResponseHead, Subscriptions, Verdict};
use selvedge_base::format_duration;
use selvedge_config::rate_limit::{OnFailure, RouteOptions, Settings, Store};
use tokio::{runtime::Handle, time::sleep};

use self::{
    fields::Problem,
    key::{Key, Seed},
    local::Local,
    policy::Policy,
    ruling::{Asked, Charge, Ruling, Standing},
    shared::{Shared, Unavailable},
};

/// Most policies of one agent: all are asked in one call.
const POLICIES_MAX: usize = 64;
/// What a client is told to wait for when nobody can count.
const UNAVAILABLE_RETRY: &str = "1";

/// The agent that counts requests.
#[derive(Debug)]
pub struct RateLimit(Arc<Limits>);

/// What one version of the settings says, with the buckets.
#[derive(Debug)]
struct Limits {
    policies: Vec<Policy>,
    /// The buckets, or what stands in for those of the server.
    local: Local,
    shared: Option<(Arc<Shared>, OnFailure)>,
    headers: bool,
    /// Where work is left that outlives an exchange.
    runtime: Handle,
}

/// What is kept of a request until its response tells the cost.
#[derive(Debug, Default)]
pub struct Exchange(Option<Open>);

#[derive(Debug)]
struct Open {
    limits: Arc<Limits>,
    accounts: Vec<Account>,
}

/// One policy's part in an open exchange.
#[derive(Debug)]
struct Account {
    index: usize,
    key: Key,
    /// `None` while nobody counts.
    standing: Option<Standing>,
}

/// What came of asking.
enum Counted {
    Ruling(Ruling),
    /// The server does not answer, and requests pass then.
    Uncounted,
    /// The server does not answer, and requests are refused then.
    Unavailable,
}

impl Agent for RateLimit {
    type Settings = Settings;
    type Exchange = Exchange;

    async fn start(settings: Settings, previous: Option<&Self>) -> Result<Self, String> {
        let previous = previous.map(|agent| &*agent.0);
        Ok(Self(Arc::new(Limits::start(settings, previous).await?)))
    }

    fn wants(&self) -> Subscriptions {
        let wants = Subscriptions::none().request_headers();
        if self.0.policies.iter().any(Policy::is_charged_later) {
            return wants.response_headers();
        }
        wants
    }

    async fn request_headers(&self, request: &RequestHead<'_>, exchange: &mut Exchange) -> Verdict {
        let limits = &self.0;
        let mut asked = match limits.asked(request) {
            Ok(asked) => asked,
            Err(flaw) => return undecidable(&flaw),
        };
        let ruling = match limits.decide(&mut asked).await {
            Counted::Ruling(ruling) if ruling.admitted => Some(ruling),
            Counted::Ruling(ruling) => return limits.refusal(&asked, &ruling),
            Counted::Uncounted => None,
            Counted::Unavailable => return unavailable(),
        };
        let wait = ruling.as_ref().map(Ruling::wait).unwrap_or_default();
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let verdict = explained(Verdict::allow(), &asked, ruling.as_ref());
        let open = Open::new(limits, asked, ruling);
        if open.is_charged_later() {
            exchange.0 = Some(open);
            return verdict;
        }
        limits.with_fields(verdict, &open.accounts).done()
    }

    async fn response_headers(
        &self,
        _: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        let Some(mut open) = exchange.0.take() else { return Verdict::allow().done() };
        let limits = Arc::clone(&open.limits);
        let mut accounts = mem::take(&mut open.accounts);
        for account in &mut accounts {
            limits.settle(account, Some(response)).await;
        }
        limits.with_fields(Verdict::allow(), &accounts).done()
    }
}

impl Limits {
    async fn start(settings: Settings, previous: Option<&Self>) -> Result<Self, String> {
        let Settings { policies, store, headers } = settings;
        if !(1..=POLICIES_MAX).contains(&policies.len()) {
            return Err(format!("an agent has from 1 to {POLICIES_MAX} policies"));
        }
        let mut policies = policies.iter().map(Policy::new).collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<_> = policies.iter().map(|policy| &policy.id).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two policies are called {:?}", twice[0]));
        }
        let local = match previous {
            None => Seed::random().map(|seed| Local::new(seed, &policies)),
            Some(previous) => Ok(Local::succeeding(&previous.local, &previous.policies, &policies)),
        };
        let local = local.map_err(|_| "the system gives no randomness".to_owned())?;
        let local = local.map_err(|_| "no memory for so many keys".to_owned())?;
        for policy in &mut policies {
            let old = previous.and_then(|old| old.policies.iter().find(|old| old.id == policy.id));
            old.into_iter().for_each(|old| policy.inherit_queue(old));
        }
        for (policy, (usage, bytes)) in policies.iter().zip(local.usage(&policies)) {
            note(&format!(
                "policy {:?}: {} by {}, room for {} keys in {bytes} bytes",
                policy.id, policy.limit, policy.key_kind, usage.places
            ));
        }
        let shared = match store {
            Store::Local => None,
            Store::Redis(redis) => {
                let on_failure = redis.on_failure;
                let old = previous.and_then(|old| old.shared.as_ref());
                let shared = match old.filter(|(old, _)| *old.settings() == redis) {
                    Some((old, _)) => Arc::clone(old),
                    None => Arc::new(Shared::connect(redis).await?),
                };
                Some((shared, on_failure))
            }
        };
        Ok(Self { policies, local, shared, headers, runtime: Handle::current() })
    }

    /// What a request asks of each policy of its route; an error where that cannot be said.
    fn asked(&self, request: &RequestHead<'_>) -> Result<Vec<Asked<'_>>, String> {
        let attributes = request.attributes();
        let route = RouteOptions::read(|name| attributes.route_option(name));
        let unknown =
            route.policies.iter().find(|id| !self.policies.iter().any(|own| own.id == **id));
        if let Some(id) = unknown {
            return Err(format!(
                "the route names the policy {id:?}, which this agent does not have"
            ));
        }
        let all = self.policies.iter().enumerate();
        let holds =
            |policy: &Policy| route.policies.is_empty() || route.policies.contains(&policy.id);
        let asked = all.filter(|(_, policy)| holds(policy)).map(|(index, policy)| {
            let key = policy.rule.key(request)?;
            Ok(Asked { index, policy, key, ask: policy.ask(request, route.cost), place: None })
        });
        asked.collect::<Result<_, key::NoAddress>>().map_err(|_| "no client address".to_owned())
    }

    /// Decides at once or, if patience helps and there is room in the queues, for later.
    async fn decide(&self, asked: &mut [Asked<'_>]) -> Counted {
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
    async fn settle(&self, account: &mut Account, response: Option<&ResponseHead<'_>>) {
        let policy = &self.policies[account.index];
        if !policy.is_charged_later() {
            return;
        }
        let tokens = policy.charge(response);
        let charge = Charge { index: account.index, policy, key: &account.key, tokens };
        account.standing = match &self.shared {
            None => Some(self.local.charge(self.local.now(), &charge)),
            Some((shared, on_failure)) => match (shared.charge(&charge).await, on_failure) {
                (Ok(standing), _) => Some(standing),
                (Err(Unavailable), OnFailure::Local) => {
                    Some(self.local.charge(self.local.now(), &charge))
                }
                // Nobody counts, and the request is past refusing.
                (Err(Unavailable), OnFailure::Open | OnFailure::Closed) => None,
            },
        };
    }

    fn with_fields(&self, verdict: Verdict, accounts: &[Account]) -> Verdict {
        let counted =
            accounts.iter().filter_map(|account| Some((account.index, account.standing?)));
        let counted: Vec<_> = counted.collect();
        if !self.headers || counted.is_empty() {
            return verdict;
        }
        let policies = counted.iter().map(|(index, _)| &self.policies[*index]);
        let limits =
            counted.iter().map(|(index, standing)| limit_item(&self.policies[*index], standing));
        verdict
            .add_response_header("RateLimit-Policy", list(policies.map(|policy| &policy.item)))
            .add_response_header("RateLimit", list(limits))
    }

    fn refusal(&self, asked: &[Asked<'_>], ruling: &Ruling) -> Verdict {
        let all = asked.iter().zip(&ruling.standings);
        let refused: Vec<_> = all.filter(|(_, standing)| standing.wait.is_err()).collect();
        let ids: Vec<_> = refused.iter().map(|(asked, _)| asked.policy.id.as_str()).collect();
        let details: Vec<_> =
            refused.iter().map(|(asked, standing)| why(asked, standing)).collect();
        let public = match refused.as_slice() {
            [(one, _)] => format!("{:?} allows {}.", one.policy.id, one.policy.limit),
            _ => "Several limits are used up.".to_owned(),
        };
        let mut verdict = Verdict::block(429)
            .header("Content-Type", "application/problem+json")
            .body(Problem::quota_exceeded(&public, &ids).json())
            .reason(details.join("; "));
        // When the last of them admits it; no time helps where one never does.
        let waits = refused.iter().map(|(_, standing)| standing.wait.err().flatten());
        if let Some(longest) =
            waits.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max())
        {
            verdict = verdict.header("Retry-After", fields::seconds(longest).max(1).to_string());
        }
        if self.headers {
            // Of the other limits nothing is said: `t` must not be later than `Retry-After`.
            let limits = refused.iter().map(|(asked, standing)| limit_item(asked.policy, standing));
            verdict = verdict
                .header("RateLimit-Policy", list(asked.iter().map(|asked| &asked.policy.item)))
                .header("RateLimit", list(limits));
        }
        for ((asked, _), detail) in refused.iter().zip(details) {
            verdict = verdict.finding(finding(asked.policy, "refused").detail(detail));
        }
        verdict
    }
}

impl Open {
    fn new(limits: &Arc<Limits>, asked: Vec<Asked<'_>>, ruling: Option<Ruling>) -> Self {
        let standings = ruling.map_or_else(Vec::new, |ruling| ruling.standings);
        let standings = standings.into_iter().map(Some).chain(std::iter::repeat(None));
        let account = |(asked, standing): (Asked<'_>, _)| {
            let Asked { index, key, .. } = asked;
            Account { index, key, standing }
        };
        let accounts = asked.into_iter().zip(standings).map(account).collect();
        Self { limits: Arc::clone(limits), accounts }
    }

    fn is_charged_later(&self) -> bool {
        let mut policies = self.accounts.iter().map(|account| &self.limits.policies[account.index]);
        policies.any(Policy::is_charged_later)
    }
}

impl Drop for Exchange {
    /// An exchange that ends without a response costs what one costs that does not say; otherwise
    /// who leaves early would never pay.
    fn drop(&mut self) {
        let Some(Open { limits, accounts }) = self.0.take() else { return };
        let runtime = limits.runtime.clone();
        runtime.spawn(async move {
            for mut account in accounts {
                limits.settle(&mut account, None).await;
            }
        });
    }
}

/// Looks for a place in the queue of each policy that refused; if every one of them has one, the
/// request may ask again with patience.
fn queue(asked: &mut [Asked<'_>], ruling: &Ruling) -> bool {
    let refused =
        asked.iter_mut().zip(&ruling.standings).filter(|(_, standing)| standing.wait.is_err());
    let mut refused: Vec<_> = refused.collect();
    if !refused.iter().all(|(asked, standing)| could_wait(asked.policy, standing)) {
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

/// Whether a request that this policy refused would be admitted if it waited.
fn could_wait(policy: &Policy, standing: &Standing) -> bool {
    let needed = standing.wait.err().flatten();
    needed.is_some_and(|needed| needed <= policy.patience())
}

/// Says of each policy that made the request wait how long.
fn explained(verdict: Verdict, asked: &[Asked<'_>], ruling: Option<&Ruling>) -> Verdict {
    let standings = ruling.map_or(&[][..], |ruling| &ruling.standings);
    let waits = asked.iter().zip(standings).filter_map(|(asked, standing)| {
        let wait = standing.wait.ok().filter(|wait| !wait.is_zero())?;
        Some(finding(asked.policy, "delayed").detail(format!("waited {}", rounded(wait))))
    });
    waits.fold(verdict, Verdict::finding)
}

fn finding(policy: &Policy, what: &str) -> Finding {
    Finding::new(format!("rate-limit/{}", policy.id)).tag(what).tag(&policy.key_kind)
}

/// Why a policy refused, for the decision log: names of key parts, never what they hold.
fn why(asked: &Asked<'_>, standing: &Standing) -> String {
    let Policy { id, limit, key_kind, local, .. } = asked.policy;
    let shared = if standing.crowded { ", in a bucket shared for lack of room" } else { "" };
    let cause = match standing.wait.err().flatten() {
        None => format!("{} tokens are more than the burst of {}", asked.ask.need, local.burst()),
        Some(_) if could_wait(asked.policy, standing) => "the queue is full".to_owned(),
        Some(wait) => format!("used up, enough in {}", rounded(wait)),
    };
    format!("policy {id:?} ({limit} by {key_kind}{shared}): {cause}")
}

fn limit_item(policy: &Policy, standing: &Standing) -> String {
    fields::limit_item(&policy.id, standing.remaining, standing.next)
}

fn list(items: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut list = String::new();
    for item in items {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(item.as_ref());
    }
    list
}

/// A time for people: whole seconds, or milliseconds where there are no more than ten seconds.
fn rounded(time: Duration) -> String {
    if time > Duration::from_secs(10) {
        return format_duration(Duration::from_secs(fields::seconds(time)));
    }
    let millis = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    format_duration(Duration::from_millis(millis))
}

/// The edge and this agent do not agree on what there is: nothing can be counted, so nothing passes.
fn undecidable(flaw: &str) -> Verdict {
    Verdict::block(500).reason(flaw)
}

fn unavailable() -> Verdict {
    Verdict::block(503)
        .header("Content-Type", "application/problem+json")
        .header("Retry-After", UNAVAILABLE_RETRY)
        .body(Problem::reduced_capacity("Limits cannot be counted at present.").json())
        .reason("Redis does not answer, and `on-failure` is \"closed\"")
        .finding(Finding::new("rate-limit/store").tag("unavailable"))
}

/// Says something to the operator; the edge collects what its agents print.
#[expect(clippy::print_stderr, reason = "an agent's standard error is its log")]
fn note(text: &str) {
    eprintln!("rate-limit: {text}");
}
