//! Rules made ready to be asked, and the exchanges they are asked about.
//!
//! [`Rules`] are compiled once for each rule set, a [`Profile`] once for each policy, and a
//! [`Transaction`] is used for one exchange after another: it keeps its buffers.
//!
//! ```
//! use std::{net::Ipv4Addr, sync::Arc, time::SystemTime};
//!
//! use selvedge_waf::{
//!     engine::{Connection, Decision, Profile, RequestHead, Rules, Transaction},
//!     native,
//!     policy::Policy,
//! };
//!
//! let profile = Arc::new(Profile::new(Arc::new(Rules::compile(&native::bundled())), Policy::default()));
//! let local = Ipv4Addr::LOCALHOST.into();
//! let connection = Connection { client: local, client_port: 0, server: local, server_port: 80 };
//! let mut transaction = Transaction::new();
//! transaction.begin(&profile, &connection, SystemTime::now());
//! transaction.request_head(&RequestHead {
//!     method: b"GET",
//!     target: b"/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20",
//!     version: "HTTP/1.1",
//!     fields: &[(b"host", b"example.com")],
//! });
//! assert!(matches!(transaction.request(), Decision::Refuse(_)));
//! assert!(!transaction.matches().is_empty());
//! ```

use std::{net::IpAddr, ops::Range, sync::Arc};

use crate::rule::{Category, Place, RuleSet, Settings, Severity, Variable};

mod arena;
mod bench;
mod bits;
mod clean;
mod collections;
mod compile;
mod data;
mod explain;
mod expression;
mod fold;
mod gate;
mod gather;
mod grams;
mod intake;
mod interest;
mod literals;
mod ordinary;
mod pattern;
mod profile;
mod scan;
mod state;
mod template;
mod test;
#[cfg(test)]
mod tests;
mod transaction;
mod trie;
mod walk;

pub use bench::Bench;
pub use collections::Collections;
pub use profile::Profile;
pub use transaction::Transaction;

/// A rule set, compiled: what all profiles share.
pub struct Rules {
    rules: Vec<compile::Compiled>,
    /// The rules of each phase in their order.
    phases: [Vec<u16>; 5],
    probes: Vec<compile::Probe>,
    literals: [literals::Literals; gate::ALPHABETS.len()],
    interests: interest::Interests,
    trie: trie::Trie,
    regexes: Vec<expression::Expression>,
    slots: template::Names,
    keys: template::Names,
    /// Which of the transaction's variables are scores.
    scores: Vec<bool>,
    settings: Settings,
    problems: Vec<Problem>,
}

/// Why a rule cannot be asked; it never matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The rule; 0: one without a number.
    pub id: u64,
    /// Where it is written.
    pub place: Place,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Rules {
    /// Compiles a rule set. A rule that cannot be compiled never matches, and is among the [`problems`](Self::problems).
    pub fn compile(set: &RuleSet) -> Self {
        compile::compile(set)
    }

    /// Returns what could not be compiled.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns how many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Returns whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns what is worth knowing about how rules were compiled.
    pub fn plan(&self) -> Plan {
        Plan {
            rules: self.rules.len(),
            gated: self.probes.len(),
            loose: self.literals[gate::ALPHABETS.len() - 1].loose_len(),
            chains: self.trie.len(),
            expressions: self.regexes.len(),
            literal_bytes: self.literals.iter().map(literals::Literals::memory_bytes).sum(),
        }
    }

    fn regex(&self, id: compile::RegexId) -> &expression::Expression {
        &self.regexes[usize::from(id.0)]
    }

    /// The number of a name of a value, if a rule names it.
    fn key(&self, class: Variable, name: &[u8]) -> template::Key {
        if !self.interests.is_keyed(class) {
            return template::Key::NONE;
        }
        let mut lower = [0; KEY_BYTES_MAX];
        let Some(lower) = lower.get_mut(..name.len()) else { return template::Key::NONE };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.keys.get(lower).map_or(template::Key::NONE, template::Key)
    }

    /// Whether a variable of the transaction is one that rules add their points to.
    fn is_score(&self, slot: template::Slot) -> bool {
        self.scores[usize::from(slot.0)]
    }
}

/// A value with a longer name is looked at by all rules that may choose it, whatever name they choose by.
const KEY_BYTES_MAX: usize = 64;

/// How rules were compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rules.
    pub rules: usize,
    /// Those that are looked for in every value beforehand.
    pub gated: usize,
    /// Those among them that no literal gates.
    pub loose: usize,
    /// Distinct chains of transformations, beginnings included.
    pub chains: usize,
    /// Distinct expressions.
    pub expressions: usize,
    /// Memory that looking for literals takes.
    pub literal_bytes: usize,
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
