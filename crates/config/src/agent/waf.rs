//! The settings of `selvedge agent waf`: by which rules attacks are found, and what becomes of them.

use std::{collections::BTreeMap, path::PathBuf};

use selvedge_base::ByteSize;
use serde::{Deserialize, Serialize};

use crate::AgentEvent;

mod counters;
pub(super) mod part;
mod policy;

pub use self::counters::{Action, Bots, Counters, Crawler, Limit, Limits, Login};

/// What the firewall is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Whether the rules that come with Selvedge are asked. Default: where no other rules are named.
    pub native: bool,
    /// Files of rules in the language of Selvedge's own.
    pub rules: Vec<PathBuf>,
    /// Files of rules in ModSecurity's language, in their order; the last part of a path may be a pattern.
    pub seclang: Vec<PathBuf>,
    /// What holds where a route names no profile.
    pub policy: Policy,
    /// Other policies, chosen by routes; each has another id.
    pub profiles: Vec<Profile>,
    /// Whether findings show the bytes that a rule matched. Default yes.
    pub excerpts: bool,
    /// How clients are counted, if a policy has logins or looks for bots.
    pub counters: Counters,
}

/// A policy that routes choose by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The operator's name for it.
    pub id: String,
    /// The policy, whole: what its block leaves out is as the agent says.
    pub policy: Policy,
}

/// What is made of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whether refusals are carried out. `None`: as the rules say, and they are where rules say nothing.
    pub mode: Option<Mode>,
    /// Rules above this level are not asked, 1–4. `None`: as the rules say, otherwise 1.
    pub paranoia: Option<u8>,
    /// From how many points an exchange is reported. Default 10.
    pub log_at: u32,
    /// From how many points a request is refused. `None`: as the rules say, otherwise 25.
    pub block_at: Option<u32>,
    /// From how many points a response is refused. `None`: as the rules say, otherwise 25.
    pub block_response_at: Option<u32>,
    /// The status of requests refused by their points. Default 403.
    pub status: u16,
    /// Whether a request is refused as soon as its points suffice. Default no: all rules are asked.
    pub early: bool,
    /// Percent of their points that rules of a category count, by a word of [`CATEGORIES`].
    pub weights: Vec<(String, u16)>,
    /// Exceptions.
    pub exclusions: Vec<Exclusion>,
    /// Rules that are asked and reported, and count nothing.
    pub shadow: Vec<Which>,
    /// The media types that request bodies may have. `None`: the rules decide.
    pub content_types: Option<Vec<String>>,
    /// Bounds of one exchange.
    pub bounds: Bounds,
    /// What happens to a body above its bound. Default reject.
    pub oversize: Unreadable,
    /// What happens to a body that is not what it says it is. Default inspect.
    pub undecodable: Unreadable,
    /// What happens where the bound of work is reached. Default reject.
    pub exhausted: Exhausted,
    /// Whether values are looked at again as what they are Base64 of. Default no.
    pub inside_base64: bool,
    /// Whether responses are looked at. Default no.
    pub responses: bool,
    /// Whether what a response's body leaks is replaced by asterisks, instead of the response refused. Default no.
    pub mask: bool,
    /// Whether messages of WebSockets are looked at. Default no.
    pub websocket: bool,
    /// Where people log in.
    pub logins: Vec<Login>,
    /// What makes a client a bot. `None`: nothing does.
    pub bots: Option<Bots>,
}

/// Whether refusals are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They are.
    Block,
    /// They are reported only.
    Detect,
    /// No rule is asked.
    Off,
}

/// Rules and targets that are not asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// Which rules. `None`: all.
    pub rules: Option<Which>,
    /// Only this of what they look at.
    pub target: Option<Target>,
    /// Only for paths that begin with this.
    pub path: Option<String>,
    /// Only for this method.
    pub method: Option<String>,
}

/// Which rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Those with numbers between these.
    Numbers(u64, u64),
    /// That of this name: `sql/union`.
    Name(String),
    /// Those with a tag that this is part of.
    Tag(String),
}

/// A part of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// A word of [`TARGETS`].
    pub part: String,
    /// Only the entry of this name, in any case.
    pub name: Option<String>,
}

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Bytes of a request's body. Default: the agent's `body-max`, which it cannot exceed.
    #[serde(with = "super::wire::bytes")]
    pub body: ByteSize,
    /// Bytes of a response's body. Default: the agent's `body-max`, which it cannot exceed.
    #[serde(with = "super::wire::bytes")]
    pub response_body: ByteSize,
    /// Arguments of a request, cookies and parts included. Default 1000.
    pub arguments: usize,
    /// How deep JSON, XML and GraphQL may nest. Default 64.
    pub depth: usize,
    /// Units of work; one is about a byte looked at by one automaton. Default 8388608.
    pub work: u64,
}

/// What happens to a body that cannot be inspected as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// The exchange is refused.
    Reject,
    /// What could be read is judged.
    Inspect,
    /// It goes on without judgement.
    Pass,
}

/// What happens where the bound of work is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exhausted {
    /// The exchange is refused.
    Reject,
    /// What was seen so far decides.
    Decide,
}

/// The value that later agents and `upstream-by` read: the points of a request.
pub const SCORE: &str = "waf-score";

/// The kinds of attacks.
pub const CATEGORIES: [&str; 22] = [
    "sql",
    "nosql",
    "xss",
    "traversal",
    "command",
    "code",
    "template",
    "ldap",
    "xpath",
    "xxe",
    "ssrf",
    "deserialization",
    "protocol",
    "scanner",
    "lookup",
    "upload",
    "smuggling",
    "sensitive-file",
    "api",
    "session-fixation",
    "leak",
    "web-shell",
];

/// What exceptions can leave out, and whether it has entries with names.
pub const TARGETS: [(&str, bool); 18] = [
    ("args", true),
    ("args-names", true),
    ("query-args", true),
    ("body-args", true),
    ("cookies", true),
    ("cookies-names", true),
    ("headers", true),
    ("headers-names", true),
    ("path", false),
    ("query", false),
    ("uri", false),
    ("body", false),
    ("files", true),
    ("files-names", true),
    ("xml", true),
    ("websocket", false),
    ("response-headers", true),
    ("response-body", false),
];

/// What a route says of its firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// The id of the profile that holds here. `None`: as the agent says.
    pub profile: Option<String>,
}

impl Settings {
    /// Every policy: the agent's own and those of its profiles.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        std::iter::once(&self.policy).chain(self.profiles.iter().map(|profile| &profile.policy))
    }

    /// What it is asked about.
    pub fn events(&self) -> Vec<AgentEvent> {
        let responses = self.policies().any(|policy| policy.responses);
        let logins = self.policies().any(|policy| !policy.logins.is_empty());
        let bots = self.policies().any(|policy| policy.bots.is_some());
        let websocket = self.policies().any(|policy| policy.websocket);
        let is_needed = |event: &AgentEvent| match event {
            AgentEvent::RequestHeaders | AgentEvent::RequestBody => true,
            AgentEvent::ResponseHeaders => responses || logins,
            AgentEvent::ResponseBody => responses,
            AgentEvent::WebsocketFrame => websocket,
            AgentEvent::Log => bots,
        };
        AgentEvent::ALL.into_iter().filter(is_needed).collect()
    }

    /// Files and patterns that the agent reads; what they include lies beside them.
    pub fn files(&self) -> Vec<PathBuf> {
        self.rules.iter().chain(&self.seclang).cloned().collect()
    }
}

impl RouteOptions {
    /// Reads the options that an edge sent: `option` finds the text of the attribute `route.NAME`.
    pub fn read<'o>(option: impl Fn(&str) -> Option<&'o str>) -> Self {
        Self { profile: option("profile").map(str::to_owned) }
    }

    /// What [`Self::read`] reads.
    pub fn to_options(&self) -> BTreeMap<String, String> {
        super::options::written([("profile", self.profile.clone())])
    }
}
