//! What a rule looks at: `ARGS|!ARGS:/^_/|&REQUEST_HEADERS:Host`.

use super::report::{Fault, Findings, fault, known_names};
use crate::rule::{Selector, Target, Variable};

/// The most targets of one list.
const TARGETS_MAX: usize = 1_024;

/// Variables of ModSecurity and Coraza that nothing here fills.
const UNSUPPORTED: &[&str] = &[
    "ARGS_PATH",
    "AUTH_TYPE",
    "DURATION",
    "FILES_TMPNAMES",
    "FILES_TMP_CONTENT_NAMES",
    "FULL_REQUEST",
    "GEO",
    "JSON",
    "MSC_PCRE_ERROR",
    "MSC_PCRE_LIMITS_EXCEEDED",
    "PERF_ALL",
    "PERF_COMBINED",
    "PERF_GC",
    "PERF_LOGGING",
    "PERF_PHASE1",
    "PERF_PHASE2",
    "PERF_PHASE3",
    "PERF_PHASE4",
    "PERF_PHASE5",
    "PERF_RULES",
    "PERF_SREAD",
    "PERF_SWRITE",
    "REMOTE_USER",
    "RESPONSE_ARGS",
    "RESPONSE_XML",
    "RES_BODY_ERROR",
    "RES_BODY_ERROR_MSG",
    "RES_BODY_PROCESSOR",
    "RES_BODY_PROCESSOR_ERROR",
    "RES_BODY_PROCESSOR_ERROR_MSG",
    "SCRIPT_BASENAME",
    "SCRIPT_FILENAME",
    "SCRIPT_GID",
    "SCRIPT_GROUPNAME",
    "SCRIPT_MODE",
    "SCRIPT_UID",
    "SCRIPT_USERNAME",
    "SDBM_DELETE_ERROR",
    "SESSIONID",
    "STATUS",
    "STREAM_INPUT_BODY",
    "STREAM_OUTPUT_BODY",
    "URLENCODED_ERROR",
    "USERAGENT_IP",
    "USERID",
    "WEBAPPID",
    "WEBSERVER_ERROR_LOG",
];

/// Other names of variables.
const ALIASES: &[(&str, Variable)] = &[
    ("MULTIPART_SEMICOLON_MISSING", Variable::MultipartMissingSemicolon),
    ("REQUEST_XML", Variable::Xml),
];

/// Returns the variable of this name, whatever its case.
pub(super) fn variable(name: &str) -> Option<Variable> {
    let named = |variable: &&Variable| variable.name().eq_ignore_ascii_case(name);
    let alias = || ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    Variable::ALL.iter().find(named).copied().or_else(|| alias().map(|(_, variable)| *variable))
}

/// Reads a list of targets. Variables that nothing fills are left out, and noted.
pub(super) fn parse(text: &str, found: &mut Findings) -> Result<Vec<Target>, Fault> {
    let mut list = List { rest: text, pipes_only: true, absent: Vec::new() };
    list.read(found)
}

/// Reads a list of targets in which a comma separates too, as in `SecRuleUpdateTargetById`.
pub(super) fn parse_update(text: &str, found: &mut Findings) -> Result<Vec<Target>, Fault> {
    let mut list = List { rest: text, pipes_only: false, absent: Vec::new() };
    list.read(found)
}

struct List<'a> {
    rest: &'a str,
    /// A comma belongs to the key.
    pipes_only: bool,
    /// What ends a pattern and is nowhere in the rest: looking again would take time in the square of the text.
    absent: Vec<&'static str>,
}

impl<'a> List<'a> {
    fn read(&mut self, found: &mut Findings) -> Result<Vec<Target>, Fault> {
        let mut targets = Vec::new();
        loop {
            targets.extend(self.target(found)?);
            if targets.len() > TARGETS_MAX {
                return fault("more than 1024 targets", "cut the rule into several");
            }
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() {
                return Ok(targets);
            }
            if !self.ends(self.rest) {
                return fault(
                    format!("`{}` behind a variable", shortened(self.rest)),
                    "separate variables by `|`",
                );
            }
            self.rest = &self.rest[1..];
        }
    }

    fn target(&mut self, found: &mut Findings) -> Result<Option<Target>, Fault> {
        let text = self.rest.trim_start();
        let name_at = text.find(|first| !matches!(first, '!' | '&')).unwrap_or(text.len());
        let (signs, text) = text.split_at(name_at);
        let end = text.find(|part: char| !part.is_ascii_alphanumeric() && part != '_');
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        self.rest = rest;
        let is_xml = name.eq_ignore_ascii_case("XML");
        let selector = match rest.strip_prefix(':') {
            Some(rest) => self.selector(rest, is_xml)?,
            None => Selector::All,
        };
        let (count, exclude) = (signs.contains('&'), signs.contains('!'));
        let Some(variable) = variable(name) else { return unfilled(name, found) };
        if selector != Selector::All && !variable.is_collection() {
            return fault(
                format!("`{}` has one value, and an entry of it is asked for", variable.name()),
                "leave out what follows the colon",
            );
        }
        Ok(Some(Target { variable, selector, count, exclude }))
    }

    fn selector(&mut self, text: &'a str, is_xml: bool) -> Result<Selector, Fault> {
        if let Some(quoted) = text.strip_prefix('\'') {
            return self.quoted(quoted);
        }
        if let Some(pattern) = text.strip_prefix('/').filter(|_| !is_xml)
            && let Some(end) = self.pattern_end(pattern, "/")
        {
            self.rest = &pattern[end + 1..];
            return Ok(Selector::Pattern(pattern[..end].into()));
        }
        let end = self.key_end(text);
        self.rest = &text[end..];
        match text[..end].trim() {
            "" => fault("a colon without a key", "name the entry, or leave out the colon"),
            key => Ok(Selector::Key(key.into())),
        }
    }

    /// `'/pattern/'`, in which a `|` may stand, or `'key'`.
    fn quoted(&mut self, text: &'a str) -> Result<Selector, Fault> {
        if let Some(pattern) = text.strip_prefix('/')
            && let Some(end) = self.pattern_end(pattern, "/'")
        {
            self.rest = &pattern[end + 2..];
            return Ok(Selector::Pattern(pattern[..end].into()));
        }
        let Some(end) = text.find('\'') else {
            return fault("a quote ' that is not closed", "close it behind the key");
        };
        self.rest = &text[end + 1..];
        Ok(Selector::Key(text[..end].into()))
    }

    /// The first `mark` without a backslash before it, behind which the target ends.
    fn pattern_end(&mut self, text: &str, mark: &'static str) -> Option<usize> {
        if self.absent.contains(&mark) {
            return None;
        }
        let mut escaped = false;
        for (at, byte) in text.bytes().enumerate() {
            let here = !escaped && byte == b'/';
            escaped = !escaped && byte == b'\\';
            if here && text[at..].starts_with(mark) && self.ends(&text[at + mark.len()..]) {
                return Some(at);
            }
        }
        self.absent.push(mark);
        None
    }

    fn key_end(&self, text: &str) -> usize {
        let mut bars = text.match_indices(['|', ',']);
        bars.find(|(at, _)| self.ends(&text[*at..])).map_or(text.len(), |(at, _)| at)
    }

    /// Whether a target ends before this text. A comma ends one only if a variable follows.
    fn ends(&self, text: &str) -> bool {
        match text.as_bytes().first() {
            None | Some(b'|') => true,
            Some(b',') if !self.pipes_only => begins_with_variable(&text[1..]),
            _ => false,
        }
    }
}

fn begins_with_variable(text: &str) -> bool {
    let text = text.trim_start().trim_start_matches(['!', '&']);
    let end = text.find(|part: char| !part.is_ascii_alphanumeric() && part != '_');
    let name = &text[..end.unwrap_or(text.len())];
    (1..64).contains(&name.len()) && (variable(name).is_some() || is_unsupported(name))
}

fn is_unsupported(name: &str) -> bool {
    UNSUPPORTED.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn unfilled(name: &str, found: &mut Findings) -> Result<Option<Target>, Fault> {
    if is_unsupported(name) {
        found.unsupported(name, "nothing fills this variable; it is left out");
        return Ok(None);
    }
    if name.is_empty() {
        return fault("no variable where one is expected", "write `ARGS`, for instance");
    }
    let names = Variable::ALL.iter().map(|variable| variable.name());
    fault(format!("no variable `{}`", shortened(name)), known_names(name, "", names))
}

/// The beginning of a text, for a message.
pub(super) fn shortened(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end])
}
