//! Rules made ready to be asked, and the exchanges they are asked about.

use std::{net::IpAddr, ops::Range, sync::Arc};

use crate::{
    policy::Policy,
    rule::{Category, Place, RuleSet, Severity, Variable},
};

/// A rule set, compiled: what all profiles share.
pub struct Rules {}

/// Why a rule set cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// The rule; 0: one without a number.
    pub id: u64,
    /// Where it is written.
    pub place: Place,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Rules {
    /// Compiles a rule set. Every error is found in one go.
    pub fn compile(set: &RuleSet) -> Result<Self, Vec<CompileError>> {
        let _ = set;
        Ok(Self {})
    }
}

/// Rules under a policy: what a route's exchanges are judged by.
pub struct Profile {
    rules: Arc<Rules>,
    policy: Policy,
}

impl Profile {
    /// Puts rules under a policy.
    pub fn new(rules: Arc<Rules>, policy: Policy) -> Self {
        Self { rules, policy }
    }

    /// Returns the rules.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Returns the policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The client, as far as the edge trusts what it was told.
    pub client: IpAddr,
    /// Its port; 0: unknown.
    pub client_port: u16,
    /// The address that was connected to.
    pub server: IpAddr,
    /// Its port.
    pub server_port: u16,
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The target as it was received: path and query, or an absolute URI.
    pub target: &'a [u8],
    /// `HTTP/1.1` and the like.
    pub version: &'a str,
    /// Names and values, in their order.
    pub fields: &'a [(&'a [u8], &'a [u8])],
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The status.
    pub status: u16,
    /// `HTTP/1.1` and the like.
    pub version: &'a str,
    /// Names and values, in their order.
    pub fields: &'a [(&'a [u8], &'a [u8])],
}

/// What is to become of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on.
    Pass,
    /// It ends here.
    Refuse(Refusal),
}

/// How an exchange ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer with.
    pub status: u16,
    /// Where a `redirect` leads.
    pub location: Option<String>,
    /// The rule that said so; `None`: the sum of points did, or a bound.
    pub rule: Option<u64>,
    /// Why, for the log.
    pub reason: String,
}

/// A rule that matched, and on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Its number.
    pub id: u64,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// What it says, with its variables filled in.
    pub message: String,
    /// Its log data, with its variables filled in.
    pub log_data: String,
    /// How bad.
    pub severity: Option<Severity>,
    /// What kind, if known.
    pub category: Option<Category>,
    /// Its tags.
    pub tags: Arc<[Arc<str>]>,
    /// What it added to the score, in points.
    pub points: u32,
    /// Whether it is only watched: its points do not count.
    pub shadow: bool,
    /// What it fired on: one for each link of its chain.
    pub evidence: Vec<Evidence>,
}

/// The bytes that a link fired on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What was looked at.
    pub variable: Variable,
    /// Which entry, e.g. an argument's name; empty where there is none.
    pub key: Vec<u8>,
    /// The value as the operator saw it, at most [`EXCERPT_BYTES_MAX`] around the match.
    pub excerpt: Vec<u8>,
    /// What matched, within the excerpt.
    pub span: Range<usize>,
    /// Where the excerpt begins in the value as the operator saw it, in bytes.
    pub offset: usize,
    /// Whether the operator saw the value as it was received.
    pub received: bool,
}

/// How much of a value is kept to explain a match.
pub const EXCERPT_BYTES_MAX: usize = 160;

/// The points of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Score {
    /// Of the request.
    pub inbound: u32,
    /// Of the response.
    pub outbound: u32,
}
