//! What both rule languages become: rules in the order in which they are asked.

use std::{fmt, net::IpAddr, ops::RangeInclusive, sync::Arc};

use crate::transform::Transformation;

mod variable;

pub use variable::Variable;

/// Rules in the order in which they are asked, and what else a rule file can say.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// Rules and the places that `skipAfter` jumps to.
    pub items: Vec<Item>,
    /// What directives other than rules say.
    pub settings: Settings,
}

/// One step of a rule set.
#[derive(Clone, Debug)]
pub enum Item {
    /// Something that may match.
    Rule(Box<Rule>),
    /// `SecMarker`: where `skipAfter` ends.
    Marker(Arc<str>),
}

/// What directives other than rules say. `None`: nothing was said.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `SecRuleEngine`.
    pub mode: Option<Mode>,
    /// `SecRequestBodyAccess`.
    pub request_body: Option<bool>,
    /// `SecResponseBodyAccess`.
    pub response_body: Option<bool>,
    /// `SecResponseBodyMimeType`, in lower case.
    pub response_types: Option<Vec<String>>,
    /// `SecRequestBodyLimit`, in bytes.
    pub request_body_max: Option<u64>,
    /// `SecResponseBodyLimit`, in bytes.
    pub response_body_max: Option<u64>,
    /// `SecArgumentsLimit`.
    pub arguments_max: Option<usize>,
    /// `SecRequestBodyJsonDepthLimit`.
    pub json_depth_max: Option<usize>,
    /// `SecArgumentSeparator`.
    pub argument_separator: Option<u8>,
    /// `SecComponentSignature`, in the order of the files.
    pub signatures: Vec<String>,
}

/// Whether what rules say is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Rules match and act.
    #[default]
    On,
    /// Rules match and are reported; nothing is refused.
    DetectionOnly,
    /// No rule is asked.
    Off,
}

/// A rule with the links of its chain: it matches when each of them does.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The number by which everything refers to it; unique in a set. 0: an action without one.
    pub id: u64,
    /// A name for people, such as `sql/union-select`; native rules have one.
    pub name: Option<Arc<str>>,
    /// When it is asked.
    pub phase: Phase,
    /// Where it is written.
    pub place: Place,
    /// The first link and those that `chain` adds; never empty.
    pub links: Vec<Link>,
    /// What becomes of the exchange once all links match.
    pub disruptive: Disruptive,
    /// The status of a refusal, where the rule names one.
    pub status: Option<u16>,
    /// Where to go on once all links match.
    pub skip: Option<Skip>,
    /// What happened, for people.
    pub message: Option<Text>,
    /// On what it happened, for the log.
    pub log_data: Option<Text>,
    /// Labels; `paranoia-level/2` among them says a level.
    pub tags: Vec<Arc<str>>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Whether a match is reported: `nolog` unsets it.
    pub log: bool,
    /// The level from which a native rule is asked, 1–4. SecLang says the same by jumps.
    pub paranoia: u8,
    /// The points of a native rule's match. SecLang adds up scores in variables.
    pub points: u32,
    /// The kind of attack, where the rule's language says it.
    pub category: Option<Category>,
    /// Its version, where the rule says one.
    pub version: Option<Arc<str>>,
}

impl Rule {
    /// Returns whether it asks about the response, or tells of it.
    pub fn looks_at_response(&self) -> bool {
        let texts = [&self.message, &self.log_data].into_iter().flatten();
        texts.chain(self.links.iter().flat_map(Link::texts)).any(Text::tells_of_response)
            || self
                .links
                .iter()
                .flat_map(|link| &link.targets)
                .any(|one| one.variable.is_of_response())
    }
}

/// One condition and what happens as soon as it holds.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where it is written.
    pub place: Place,
    /// What is looked at. Empty: `SecAction`, which always holds.
    pub targets: Vec<Target>,
    /// How a value is changed before the operator sees it.
    pub transformations: Vec<Transformation>,
    /// `multiMatch`: the operator sees the value after each transformation.
    pub multi_match: bool,
    /// What is asked of a value.
    pub operator: Operator,
    /// `!@…`: the operator's answer is turned around.
    pub negated: bool,
    /// `capture`: groups of a match are kept as `TX:0` … `TX:9`.
    pub capture: bool,
    /// What is done as soon as this link holds (also where a later link does not), in order.
    pub effects: Vec<Effect>,
}

impl Link {
    /// What it compares with, and what it sets variables to.
    fn texts(&self) -> impl Iterator<Item = &Text> {
        let set = self.effects.iter().filter_map(|effect| match effect {
            Effect::SetVar { change, .. } => change.text(),
            _ => None,
        });
        set.chain(self.operator.text())
    }
}

/// A file and a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was named to the loader.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file, self.line)
    }
}

/// When a rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// 1: the request's head.
    RequestHead,
    /// 2: the request with its body, if it has one; always asked.
    Request,
    /// 3: the response's head.
    ResponseHead,
    /// 4: the response with its body.
    Response,
    /// 5: after all is said and done.
    Log,
}

/// What becomes of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disruptive {
    /// Nothing.
    Pass,
    /// `deny`, `drop` and `block` where it comes to that.
    Deny,
    /// `redirect:`.
    Redirect(Text),
    /// `allow`: no more rules are asked …
    Allow(Allow),
}

/// Up to where `allow` reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// All phases but the last.
    Exchange,
    /// `allow:phase`.
    Phase,
    /// `allow:request`: phases 1 and 2.
    Request,
}

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// `skip:n`: over this many rules of the same phase.
    Rules(u32),
    /// `skipAfter:name`: behind the marker of this name, or the rule of this number.
    After(Arc<str>),
}

/// What a link looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Of what kind.
    pub variable: Variable,
    /// Which of a collection's entries.
    pub selector: Selector,
    /// `&`: their number, not they themselves.
    pub count: bool,
    /// `!`: these not.
    pub exclude: bool,
}

/// Which entries of a collection.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    /// All.
    All,
    /// That of this name, whatever its case.
    Key(Arc<str>),
    /// Those whose name this regular expression finds something in, whatever its case.
    Pattern(Arc<str>),
}

/// Text with variables in it: `%{tx.score}`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Text(pub Vec<Piece>);

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Itself.
    Literal(Arc<str>),
    /// `%{variable}` or `%{collection.key}`.
    Variable(Variable, Option<Arc<str>>),
}

impl Text {
    /// Returns the text if no variable is in it.
    pub fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    fn tells_of_response(&self) -> bool {
        let is_it =
            |piece: &Piece| matches!(piece, Piece::Variable(one, _) if one.is_of_response());
        self.0.iter().any(is_it)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(vec![Piece::Literal(text.into())])
    }
}

/// What is asked of a value. Names are SecLang's.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are the language's; its reference says what they mean")]
pub enum Operator {
    /// `@rx`: the pattern, as written; it is compiled later, for bytes, with `s` and without Unicode.
    Rx(Arc<str>),
    /// `@pm`, `@pmFromFile`: phrases, whatever their case.
    Pm(Arc<[Box<[u8]>]>),
    Contains(Text),
    ContainsWord(Text),
    StrMatch(Text),
    BeginsWith(Text),
    EndsWith(Text),
    StrEq(Text),
    Within(Text),
    Eq(Text),
    Ge(Text),
    Gt(Text),
    Le(Text),
    Lt(Text),
    IpMatch(Arc<[Network]>),
    DetectSqli,
    DetectXss,
    /// As `@detectSQLi`, but prose and code are no attacks: [`crate::detect::sqli_text`].
    DetectSqliText,
    /// As `@detectXSS`, likewise: [`crate::detect::xss_text`].
    DetectXssText,
    /// The bytes that are allowed.
    ValidateByteRange(Arc<[RangeInclusive<u8>]>),
    ValidateUrlEncoding,
    ValidateUtf8Encoding,
    /// A regular expression that finds candidates; each is then checked by its digits.
    VerifyCreditCard(Arc<str>),
    VerifyCpf(Arc<str>),
    VerifySsn(Arc<str>),
    UnconditionalMatch,
    NoMatch,
    /// One that the engine cannot ask (the load report says so): never matches, negated or not.
    Inert(Arc<str>),
}

impl Operator {
    /// Returns the text that a value is compared with, if variables may be in it.
    fn text(&self) -> Option<&Text> {
        match self {
            Self::Contains(text)
            | Self::ContainsWord(text)
            | Self::StrMatch(text)
            | Self::BeginsWith(text)
            | Self::EndsWith(text)
            | Self::StrEq(text)
            | Self::Within(text)
            | Self::Eq(text)
            | Self::Ge(text)
            | Self::Gt(text)
            | Self::Le(text)
            | Self::Lt(text) => Some(text),
            _ => None,
        }
    }
}

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Any address of it.
    pub address: IpAddr,
    /// How many bits they share.
    pub bits: u8,
}

/// What a matching link does beside matching.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// `setvar:name=value`, `=+value`, `=-value`, `!name`.
    SetVar {
        /// `TX`, `IP`, `GLOBAL`, `SESSION`, `USER`, `RESOURCE` or `ENV`.
        collection: Variable,
        /// The entry.
        key: Text,
        /// What becomes of it.
        change: Change,
    },
    /// `expirevar`: this many seconds from now.
    ExpireVar {
        /// As above.
        collection: Variable,
        /// The entry.
        key: Text,
        /// Seconds.
        seconds: Text,
    },
    /// `deprecatevar`: it shrinks as time passes, but not below zero.
    DeprecateVar {
        /// `IP`, `GLOBAL`, `SESSION`, `USER` or `RESOURCE`.
        collection: Variable,
        /// The entry.
        key: Text,
        /// `60/300`: 60 less each 300 seconds.
        decay: Text,
    },
    /// `initcol:ip=…`, `setsid`, `setuid`, `setrsc`: which entry of a store the collection is.
    InitCollection {
        /// `IP`, `GLOBAL`, `SESSION`, `USER` or `RESOURCE`.
        collection: Variable,
        /// Whose.
        key: Text,
    },
    /// `ctl:`.
    Control(Control),
}

/// What becomes of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is this.
    Set(Text),
    /// It is a number, and grows by this.
    Add(Text),
    /// It is a number, and shrinks by this.
    Subtract(Text),
    /// It is no more.
    Remove,
}

impl Change {
    fn text(&self) -> Option<&Text> {
        match self {
            Self::Set(text) | Self::Add(text) | Self::Subtract(text) => Some(text),
            Self::Remove => None,
        }
    }
}

/// What a rule changes for the rest of one exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// `ruleEngine`.
    Mode(Mode),
    /// `requestBodyAccess`.
    RequestBody(bool),
    /// `responseBodyAccess`.
    ResponseBody(bool),
    /// `requestBodyProcessor`.
    Processor(Processor),
    /// `forceRequestBodyVariable`.
    ForceRequestBody(bool),
    /// `ruleRemoveById`, `…ByTag`, `…ByMsg`.
    RemoveRules(Rules),
    /// `ruleRemoveTargetById`, `…ByTag`, `…ByMsg`.
    RemoveTarget(Rules, Target),
}

/// Which rules an exclusion names.
#[derive(Clone, Debug, PartialEq)]
pub enum Rules {
    /// Those with numbers in one of these.
    Ids(Vec<RangeInclusive<u64>>),
    /// Those with a tag in which this pattern finds something.
    Tag(Arc<str>),
    /// Those whose message, as written, this pattern finds something in.
    Message(Arc<str>),
}

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Processor {
    UrlEncoded,
    Multipart,
    Json,
    Xml,
    GraphQl,
}

/// How bad a match is, from 0, as syslog counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Severity {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

/// A kind of attack; weights are per category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Category {
    Sql,
    NoSql,
    Xss,
    Traversal,
    Command,
    Code,
    Template,
    Ldap,
    XPath,
    Xxe,
    Ssrf,
    Deserialization,
    Protocol,
    Scanner,
    /// Log4Shell and its relatives: lookups that a logger or an expression language resolves.
    Lookup,
    Upload,
    Smuggling,
    SensitiveFile,
    Api,
    SessionFixation,
    /// What a response gives away.
    Leak,
    WebShell,
}
