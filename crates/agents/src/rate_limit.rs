//! `selvedge agent rate-limit`: how often who may do what.
//!
//! [`gcra`] is the arithmetic of one bucket, [`table`] the buckets of one policy in fixed memory,
//! [`local`] decides on all policies of a request by them, [`shared`] by those in a Redis server.
//! [`limits`] asks one of the two, [`answer`] says what came of it, [`tally`] counts; this file waits where a policy
//! lets requests wait, and keeps what is charged when the response is there.
//!
//! A request is admitted if every policy of its route has enough tokens; then it takes them from
//! all. If one refuses, none loses any.

mod answer;
mod fields;
mod gcra;
mod key;
mod limits;
mod local;
mod policy;
mod ruling;
mod shared;
mod table;
mod tally;

use std::{mem, sync::Arc};

use selvedge_agent::{Agent, Metrics, RequestHead, ResponseHead, Subscriptions, Verdict};
use selvedge_config::rate_limit::Settings;
use tokio::time::sleep;

use self::{
    limits::{Account, Counted, Limits},
    policy::Policy,
    ruling::{Asked, Ruling},
    tally::Tally,
};

/// The agent that counts requests.
#[derive(Debug)]
pub struct RateLimit {
    limits: Arc<Limits>,
    tally: Tally,
}

/// What is kept of a request until its response tells the cost.
#[derive(Debug, Default)]
pub struct Exchange(Option<Open>);

#[derive(Debug)]
struct Open {
    limits: Arc<Limits>,
    accounts: Vec<Account>,
}

impl Agent for RateLimit {
    type Settings = Settings;
    type Exchange = Exchange;

    async fn start(settings: Settings, previous: Option<&Self>) -> Result<Self, String> {
        let limits = Limits::start(settings, previous.map(|agent| &*agent.limits)).await?;
        let ids = limits.policies().iter().map(|policy| policy.id.as_str());
        let tally = Tally::following(previous.map(|agent| &agent.tally), ids);
        Ok(Self { limits: Arc::new(limits), tally })
    }

    fn wants(&self) -> Subscriptions {
        let wants = Subscriptions::none().request_headers();
        if self.limits.policies().iter().any(Policy::is_charged_later) {
            return wants.response_headers();
        }
        wants
    }

    fn metrics(&self) -> Option<&Metrics> {
        Some(&self.tally.metrics)
    }

    async fn request_headers(&self, request: &RequestHead<'_>, exchange: &mut Exchange) -> Verdict {
        let limits = &self.limits;
        let mut asked = match limits.asked(request) {
            Ok(asked) => asked,
            Err(flaw) => return answer::undecidable(&flaw),
        };
        let counted = limits.decide(&mut asked).await;
        match &counted {
            Counted::Ruling(ruling) => self.tally.count(&asked, ruling),
            Counted::Uncounted => self.tally.count_uncounted(true),
            Counted::Unavailable => self.tally.count_uncounted(false),
        }
        let ruling = match counted {
            Counted::Ruling(ruling) if ruling.admitted => Some(ruling),
            Counted::Ruling(ruling) => return answer::refusal(&asked, &ruling, limits.headers()),
            Counted::Uncounted => None,
            Counted::Unavailable => return answer::unavailable(),
        };
        let wait = ruling.as_ref().map(Ruling::wait).unwrap_or_default();
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let verdict = answer::admission(&asked, ruling.as_ref());
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
        let Some(open) = &mut exchange.0 else { return Verdict::allow().done() };
        // From here on it is charged once, whatever becomes of this future.
        let (limits, mut accounts) = (Arc::clone(&open.limits), mem::take(&mut open.accounts));
        for account in &mut accounts {
            limits.settle(account, Some(response)).await;
        }
        limits.with_fields(Verdict::allow(), &accounts).done()
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
        let policies = self.limits.policies();
        self.accounts.iter().any(|account| policies[account.index].is_charged_later())
    }
}

impl Drop for Exchange {
    /// An exchange that ends without a response costs what one costs that does not say; otherwise
    /// who leaves early would never pay.
    fn drop(&mut self) {
        let Some(Open { limits, accounts }) = self.0.take() else { return };
        if !accounts.is_empty() {
            limits.settle_unanswered(accounts);
        }
    }
}

/// Says something to the operator; the edge collects what its agents print.
#[expect(clippy::print_stderr, reason = "an agent's standard error is its log")]
fn note(text: &str) {
    eprintln!("rate-limit: {text}");
}
