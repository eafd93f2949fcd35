//! What a route makes of its rules: levels, weights, exceptions and bounds.

use std::sync::Arc;

use crate::rule::{Category, Mode, Rules, Target};

/// What a route makes of its rules.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether refusals are carried out. `None`: as the rules say, and they are where rules say nothing.
    pub mode: Option<Mode>,
    /// Rules above this level are not asked, 1–4. `None`: as the rules say, and 1 for native ones.
    pub paranoia: Option<u8>,
    /// From how many points an exchange is logged.
    pub log_at: u32,
    /// From how many points a request is refused. `None`: as SecLang's rules say; native ones refuse from 25 on.
    pub block_at: Option<u32>,
    /// From how many points a response is refused. `None`: likewise.
    pub block_response_at: Option<u32>,
    /// The status of refusals by points.
    pub status: u16,
    /// Whether a request is refused as soon as its points suffice, or after all rules were asked.
    pub early: bool,
    /// Percent of their points that rules of a category count; 100 where none is named.
    pub weights: Vec<(Category, u16)>,
    /// Rules and targets that are not asked.
    pub exclusions: Vec<Exclusion>,
    /// Rules that are asked and reported, and count nothing.
    pub shadow: Vec<Rules>,
    /// The media types that a body may have, in lower case, `type/*` allowed. `None`: the rules decide.
    pub content_types: Option<Vec<String>>,
    /// Bounds of one exchange.
    pub limits: Limits,
    /// What happens to a body above its bound.
    pub oversize: Unreadable,
    /// What happens to a body that is not what it says it is.
    pub undecodable: Unreadable,
    /// What happens where the work budget is spent.
    pub exhausted: Exhausted,
    /// Whether values are looked at again as what they are Base64 of.
    pub inside_base64: bool,
}

/// An exception from rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Exclusion {
    /// Which rules.
    pub rules: Rules,
    /// Only these targets of them; `None`: the rules as a whole.
    pub target: Option<Target>,
    /// Only for this path and those below it.
    pub path: Option<Arc<str>>,
    /// Only for these methods; empty: all.
    pub methods: Vec<Arc<str>>,
}

/// What happens to a body that cannot be inspected as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The exchange is refused.
    Reject,
    /// What could be read is judged.
    Inspect,
    /// It goes on without judgement.
    Pass,
}

/// What happens where the work budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The exchange is refused.
    Reject,
    /// What was seen so far decides.
    Decide,
}

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body that are inspected.
    pub request_body_bytes: usize,
    /// Bytes of a response's body that are inspected.
    pub response_body_bytes: usize,
    /// Arguments of a request, cookies and parts included.
    pub arguments: usize,
    /// How deep JSON, XML and GraphQL may nest.
    pub depth: usize,
    /// Units of work; one is about a byte looked at by one automaton.
    pub work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body_bytes: 128 * 1024,
            response_body_bytes: 512 * 1024,
            arguments: 1000,
            depth: 64,
            work: 8 * 1024 * 1024,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: None,
            paranoia: None,
            log_at: 10,
            block_at: None,
            block_response_at: None,
            status: 403,
            early: false,
            weights: Vec::new(),
            exclusions: Vec::new(),
            shadow: Vec::new(),
            content_types: None,
            limits: Limits::default(),
            oversize: Unreadable::Reject,
            undecodable: Unreadable::Inspect,
            exhausted: Exhausted::Reject,
            inside_base64: false,
        }
    }
}
