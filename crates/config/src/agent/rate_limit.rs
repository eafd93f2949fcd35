//! The settings of `selvedge agent rate-limit`: how often who may do what.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use selvedge_base::Secret;
use serde::{Deserialize, Serialize};

use crate::AgentEvent;

pub(super) mod part;

/// Longest time in which an empty bucket may become full; beyond it no clock would count it.
pub const FILL_MAX: Duration = Duration::from_secs(50 * 366 * 24 * 60 * 60);

/// What the rate-limit agent is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// At least one; each has another id.
    pub policies: Vec<Policy>,
    /// Where the buckets are.
    pub store: Store,
    /// Whether responses carry `RateLimit` and `RateLimit-Policy`. Default yes.
    /// `Retry-After` of a refusal is sent in any case.
    pub headers: bool,
}

/// One limit: a token bucket for each key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The operator's name for it; in `RateLimit-Policy` too.
    pub id: String,
    /// What a bucket is kept for: the combination of these. In place of a part that a request
    /// does not have, its client's address counts. Never empty.
    pub key: Vec<KeyPart>,
    /// Tokens that come within `per`.
    pub limit: u32,
    /// The time in which `limit` tokens come.
    pub per: Duration,
    /// Tokens that a bucket holds. Default `limit`.
    pub burst: u32,
    /// What a request costs.
    pub cost: Cost,
    /// Requests that may wait for tokens. `None`: none, 429 at once.
    pub delay: Option<Delay>,
    /// Buckets kept. Default 100,000; then a full bucket goes, or a new key is refused.
    pub keys_max: usize,
    /// Bits of an IPv6 address that count. Default 64.
    pub ipv6_prefix: u8,
}

/// A part of a bucket's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    /// The client's address.
    Address,
    /// A request field, in lower case.
    Header(String),
    /// A value that an earlier agent set; `claim.NAME` is what `claim:NAME` reads, which config has
    /// the auth agents set.
    Value(String),
    /// The path, without query.
    Path,
    /// The method.
    Method,
    /// The host.
    Host,
    /// The id of the route.
    Route,
}

/// What a request costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// So many tokens, 0 or more. Default 1.
    Fixed(u32),
    /// What this request field says, from 1 to `most`; 1 where it says nothing, `most` where it
    /// says what is no number.
    Header {
        /// In lower case.
        name: String,
        /// Most tokens that a request can cost. Default: the burst.
        most: u32,
    },
    /// What this response field says, taken when the response is there; beforehand a bucket needs
    /// at least one token. It may go below zero by that response.
    ResponseHeader {
        /// In lower case.
        name: String,
        /// Tokens taken when the response does not say. Default 1.
        otherwise: u32,
    },
}

/// Requests that may wait for tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// Requests that wait at once. Default 1,000; then 429.
    pub queue: usize,
    /// Longest wait. Default 1 s; who would have to wait longer gets 429 at once.
    pub max: Duration,
}

/// Where the buckets are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// In the agent's memory: each machine counts for itself.
    Local,
    /// In Redis or Valkey: exact over all machines.
    Redis(Redis),
}

/// A Redis or Valkey server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://`, `rediss://` or `unix://` URL, which may hold a password.
    #[serde(with = "super::wire::secret")]
    pub address: Secret,
    /// What happens when it does not answer.
    pub on_failure: OnFailure,
    /// Time for one question. Default 20 ms; then `on_failure`.
    pub timeout: Duration,
    /// What its keys begin with. Default `selvedge:`.
    pub prefix: String,
    /// PEM file of roots trusted for `rediss://`. `None`: the Mozilla roots built in.
    pub ca: Option<PathBuf>,
}

/// What happens when the store does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Each machine counts for itself. The default.
    Local,
    /// Requests pass uncounted.
    Open,
    /// Requests are refused with 503.
    Closed,
}

/// What a route says of its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// Ids of the policies that hold here. Empty: all.
    pub policies: Vec<String>,
    /// What a request costs here, for policies whose cost is fixed. `None`: as the policy says.
    pub cost: Option<u32>,
}

/// What the name of a value begins with that a key part `claim:NAME` reads.
const CLAIM: &str = "claim.";

/// The value that a key part `claim:NAME` reads.
fn claim_value(claim: &str) -> String {
    format!("{CLAIM}{claim}")
}

/// The claim of such a value.
pub(super) fn claim_of(value: &str) -> Option<&str> {
    value.strip_prefix(CLAIM)
}

impl Settings {
    /// What it is asked about.
    pub fn events(&self) -> Vec<AgentEvent> {
        let by_response = |policy: &Policy| matches!(policy.cost, Cost::ResponseHeader { .. });
        let response = self.policies.iter().any(by_response).then_some(AgentEvent::ResponseHeaders);
        std::iter::once(AgentEvent::RequestHeaders).chain(response).collect()
    }

    /// Files that the agent reads.
    pub fn files(&self) -> Vec<PathBuf> {
        match &self.store {
            Store::Local => Vec::new(),
            Store::Redis(redis) => redis.ca.iter().cloned().collect(),
        }
    }
}

impl RouteOptions {
    /// Reads the options that an edge sent: `option` finds the text of the attribute `route.NAME`.
    pub fn read<'o>(option: impl Fn(&str) -> Option<&'o str>) -> Self {
        Self {
            policies: super::options::listed(option("policy"), ','),
            cost: option("cost").and_then(|cost| cost.parse().ok()),
        }
    }

    /// What [`Self::read`] reads.
    pub fn to_options(&self) -> BTreeMap<String, String> {
        let Self { policies, cost } = self;
        super::options::written([
            ("policy", (!policies.is_empty()).then(|| policies.join(","))),
            ("cost", cost.map(|cost| cost.to_string())),
        ])
    }
}
