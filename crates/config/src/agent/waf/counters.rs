//! What is counted about clients, and what follows from it.

use std::time::Duration;

use selvedge_base::ByteSize;
use serde::{Deserialize, Serialize};

use crate::Cidr;

pub(super) mod part;

/// How clients are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// All that counters take, at the start and later. Default 8 MiB.
    #[serde(with = "crate::agent::wire::bytes")]
    pub memory: ByteSize,
    /// How long what happened counts. Default 10 minutes.
    pub window: Duration,
    /// So many bits of an IPv6 address are one client. Default 64.
    pub ipv6_prefix: u8,
}

/// Where people log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The path, and all below it.
    pub path: String,
    /// The method. Default POST.
    pub method: String,
    /// Fields of the form, the JSON body or the query that may hold the user's name.
    pub users: Vec<String>,
    /// Statuses that say that the login failed. Default 400, 401, 403 and 422.
    pub failed: Vec<u16>,
    /// A redirect there says so too.
    pub failed_location: Option<String>,
    /// Where clients are sent that are to prove something.
    pub challenge: Option<String>,
    /// What is too much.
    pub limits: Limits,
}

/// What is too much at a login, within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// User names that failed from one address. Default 10.
    pub address_users: Limit,
    /// Failures from one address. Default 20.
    pub address_failures: Limit,
    /// Failures for one user name. Default 20.
    pub user_failures: Limit,
    /// Addresses that failed for one user name. Default 8.
    pub user_addresses: Limit,
    /// Percent of attempts that failed. Default 80, for 10 points.
    pub failure_ratio: Limit,
    /// So many attempts are needed before their ratio says something. Default 100.
    pub ratio_attempts: u32,
}

/// A number that is too much, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// From how many on.
    pub at: u32,
    /// What follows.
    pub action: Action,
}

/// What follows from too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing.
    Off,
    /// A finding.
    Log,
    /// The request has so many points more.
    Points(u32),
    /// The client is sent to [`Login::challenge`].
    Challenge,
    /// The request is refused with 429.
    Block,
}

/// What makes a client a bot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bots {
    /// Answers 404 and 410 within a window. Default 40.
    pub missing: u32,
    /// Points that rules found in requests within a window. Default 50.
    pub findings: u32,
    /// So many percent of its requests must have been so. Default 50.
    pub share: u32,
    /// What each later request has at one of the limits; at twice the limit it is twice as much. Default 10.
    pub points: u32,
    /// And no more than this. Default 20: less than what refuses a request.
    pub points_max: u32,
    /// Addresses that have no reputation.
    pub allow: Vec<Cidr>,
    /// Who says that he is one of them, and is.
    pub crawlers: Vec<Crawler>,
}

/// A robot that says its name and has known addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crawler {
    /// Part of its `User-Agent`, in any case.
    pub name: String,
    /// Where it comes from.
    pub networks: Vec<Cidr>,
    /// What a request has that says so and comes from elsewhere. Default 10.
    pub points: u32,
}

impl Limits {
    /// Each, by the name of its node.
    pub fn named(&self) -> [(&'static str, Limit); 5] {
        let Self {
            address_users,
            address_failures,
            user_failures,
            user_addresses,
            failure_ratio,
            ratio_attempts: _,
        } = *self;
        [
            ("address-users", address_users),
            ("address-failures", address_failures),
            ("user-failures", user_failures),
            ("user-addresses", user_addresses),
            ("failure-ratio", failure_ratio),
        ]
    }
}

impl Default for Limits {
    fn default() -> Self {
        let block = |at| Limit { at, action: Action::Block };
        Self {
            address_users: block(10),
            address_failures: block(20),
            user_failures: block(20),
            user_addresses: block(8),
            failure_ratio: Limit { at: 80, action: Action::Points(10) },
            ratio_attempts: 100,
        }
    }
}
