//! What counters say of one exchange, and what it adds to them.

mod user;

use std::{net::IpAddr, sync::Arc, time::Duration};

use selvedge_agent::{
    Attributes, Finding, Outcome, RequestHead, ResponseHead, Verdict, attributes,
};
use selvedge_base::format_duration;
use selvedge_config::waf::{Action, Bots, Crawler, Limit, Login, Policy, Which};

use super::{
    answer,
    counters::{
        Counters,
        key::Key,
        logins::{Attempt, Ending, Excess, Logins, Subject, Tried},
        reputation::Standing,
    },
};

/// What counters find: names that `shadow` knows, too.
pub(super) const FINDINGS: [&str; 7] = [
    "waf/credential-stuffing",
    "waf/password-guessing",
    "waf/account-guessing",
    "waf/distributed-guessing",
    "waf/login-wave",
    REPUTATION,
    CRAWLER,
];

const REPUTATION: &str = "waf/bad-reputation";
const CRAWLER: &str = "waf/false-crawler";

/// What a policy has counted.
pub(super) struct Watch {
    counters: Arc<Counters>,
    logins: Vec<Login>,
    bots: Option<Bots>,
    /// Findings that are reported and count nothing.
    shadow: Vec<String>,
}

/// What was found about the client of one exchange.
#[derive(Default)]
pub(super) struct Watched {
    client: Option<Key>,
    login: Option<Open>,
    notes: Vec<Note>,
    points: u32,
    stop: Option<Stop>,
}

/// An attempt whose answer is not there yet; dropped, it ends as nobody knows.
struct Open {
    counters: Arc<Counters>,
    logins: Arc<Logins>,
    attempt: Attempt,
    /// Which of the policy's.
    login: usize,
    is_over: bool,
}

/// A finding.
struct Note {
    name: &'static str,
    tag: &'static str,
    points: u32,
    /// It is told for itself, and not for its points.
    is_told: bool,
    is_shadow: bool,
    detail: String,
}

/// Why a request does not go on.
#[derive(Clone, Debug)]
struct Stop {
    /// Where the client is sent instead.
    location: Option<String>,
    wait: Duration,
    reason: String,
}

/// Whether a rule is none, but what counters find.
pub(super) fn is_finding(which: &Which) -> bool {
    matches!(which, Which::Name(name) if FINDINGS.contains(&name.as_str()))
}

impl Watch {
    pub(super) fn new(counters: &Arc<Counters>, policy: &Policy) -> Self {
        let shadow = policy.shadow.iter().filter(|which| is_finding(which));
        let shadow = shadow.filter_map(|which| match which {
            Which::Name(name) => Some(name.clone()),
            Which::Numbers(..) | Which::Tag(_) => None,
        });
        Self {
            counters: Arc::clone(counters),
            logins: policy.logins.clone(),
            bots: policy.bots.clone(),
            shadow: shadow.collect(),
        }
    }

    /// Whether the answers of exchanges are of interest, that is their statuses.
    pub(super) fn wants_answers(&self) -> bool {
        !self.logins.is_empty()
    }

    /// Whether the outcome of every exchange is of interest.
    pub(super) fn wants_outcomes(&self) -> bool {
        self.bots.is_some()
    }

    /// Looks at who comes, and where.
    pub(super) fn head(&self, request: &RequestHead<'_>) -> Watched {
        let mut watched = Watched::default();
        if self.logins.is_empty() && self.bots.is_none() {
            return watched;
        }
        let address = request.attributes().client_address();
        watched.client = address.map(|address| self.client(address));
        if let (Some(bots), Some(address)) = (&self.bots, address) {
            self.look_for_bots(bots, (address, request), &mut watched);
        }
        let is_here =
            |login: &Login| login.method == request.method() && is_at(&login.path, request.path());
        if let Some(login) = self.logins.iter().position(is_here) {
            self.open(login, request, &mut watched);
        }
        watched
    }

    fn client(&self, address: IpAddr) -> Key {
        self.counters.secret().address(address, self.counters.written().ipv6_prefix)
    }

    fn look_for_bots(
        &self,
        bots: &Bots,
        (address, request): (IpAddr, &RequestHead<'_>),
        watched: &mut Watched,
    ) {
        let claimed = crawler(bots, request);
        if is_exempt(bots, claimed, address) {
            watched.client = None;
            return;
        }
        if let Some(Crawler { name, points, .. }) = claimed {
            let detail = format!("it says that it is {name:?}, and comes from elsewhere");
            self.note((CRAWLER, "crawler", detail), Action::Points(*points), watched);
        }
        let known = self.counters.reputation().zip(watched.client);
        let standing =
            known.and_then(|(known, client)| known.standing(self.counters.now(), client, bots));
        if let Some(standing) = standing {
            let detail = self.conduct(standing);
            self.note((REPUTATION, "bot", detail), Action::Points(standing.points), watched);
        }
    }

    fn conduct(&self, standing: Standing) -> String {
        let Standing { points: _, requests, missing, findings, wait } = standing;
        format!(
            "this address asked {missing} times for what is not there, and rules found {findings} points \
             in what it asked, in {requests} requests within {}; it is forgotten in {}",
            format_duration(self.counters.written().window),
            rounded(wait),
        )
    }

    fn open(&self, login: usize, request: &RequestHead<'_>, watched: &mut Watched) {
        let Some(logins) = self.counters.logins() else { return };
        let Login { path, method, limits, .. } = &self.logins[login];
        let site = site(request.attributes());
        let endpoint = [site.as_bytes(), method.as_bytes(), path.as_bytes()];
        // Who has no reputation logs in as everybody does.
        let address = request.attributes().client_address();
        let attempt = Attempt {
            endpoint: self.counters.secret().key(&endpoint),
            address: address.map(|address| self.client(address)),
            users: Vec::new(),
        };
        let excess = logins.begin(self.counters.now(), &attempt, limits);
        watched.login = Some(Open {
            counters: Arc::clone(&self.counters),
            logins: Arc::clone(logins),
            attempt,
            login,
            is_over: false,
        });
        self.judge(login, excess, watched);
    }

    /// Looks at whom a client wants to be; the points that are added by it.
    pub(super) fn body(
        &self,
        request: &RequestHead<'_>,
        body: &[u8],
        watched: &mut Watched,
    ) -> u32 {
        let Some(mut open) = watched.login.take() else { return 0 };
        let Login { users, limits, .. } = &self.logins[open.login];
        let names = user::names(user::Source {
            fields: users,
            query: request.query().unwrap_or_default().as_bytes(),
            content_type: request.fields().get("content-type").unwrap_or_default(),
            body,
        });
        let (site, secret) = (site(request.attributes()), self.counters.secret());
        let client = open.attempt.address.map_or([0; 16], |client| client.bytes());
        let tried = names.iter().map(|name| Tried {
            user: secret.key(&[site.as_bytes(), name.as_bytes()]),
            pair: secret.key(&[site.as_bytes(), name.as_bytes(), &client]),
        });
        open.attempt.users = tried.collect();
        let excess = open.logins.name(self.counters.now(), &open.attempt, limits);
        let (login, before) = (open.login, watched.points);
        watched.login = Some(open);
        self.judge(login, excess, watched);
        watched.points - before
    }

    fn judge(&self, login: usize, excess: Vec<Excess>, watched: &mut Watched) {
        let Login { limits, challenge, .. } = &self.logins[login];
        for excess in excess {
            let place = excess.subject as usize;
            let ((name, tag), Limit { at, action }) = (SUBJECTS[place], limits.named()[place].1);
            let detail = self.explained(excess, at);
            let is_stop = self.note((name, tag, detail.clone()), action, watched);
            if is_stop {
                let location = challenge.clone().filter(|_| action == Action::Challenge);
                watched.stop_by(Stop { location, wait: excess.wait, reason: detail });
            }
        }
    }

    /// `12 user names failed from this address within 10m; the limit is 10`
    fn explained(&self, excess: Excess, written: u32) -> String {
        let Excess { subject, count, limit, pending, wait: _ } = excess;
        let what = match subject {
            Subject::AddressUsers => "user names failed from this address",
            Subject::AddressFailures => "logins failed from this address",
            Subject::UserFailures => "logins failed for this user name",
            Subject::UserAddresses => "addresses failed for this user name",
            Subject::FailureRatio => "% of the logins here failed",
        };
        let gap = if subject == Subject::FailureRatio { "" } else { " " };
        let window = format_duration(self.counters.written().window);
        let mut text = format!("{count}{gap}{what} within {window}");
        if pending > 0 {
            text.push_str(&format!(", and {pending} more are on their way"));
        }
        text.push_str(&format!("; the limit is {limit}"));
        if limit > written {
            let more = limit - written;
            text.push_str(&format!(" ({written}, and {more} for user names that succeeded)"));
        }
        text
    }

    /// Adds a finding, and returns whether the request stops at it.
    fn note(
        &self,
        (name, tag, detail): (&'static str, &'static str, String),
        action: Action,
        watched: &mut Watched,
    ) -> bool {
        let is_shadow = action == Action::Log || self.shadow.iter().any(|own| own == name);
        let (points, is_told) = match action {
            Action::Off => return false,
            Action::Points(points) => (points, is_shadow),
            Action::Log | Action::Challenge | Action::Block => (0, true),
        };
        watched.notes.push(Note { name, tag, points, is_told, is_shadow, detail });
        if !is_shadow {
            watched.points = watched.points.saturating_add(points);
        }
        !is_shadow && matches!(action, Action::Challenge | Action::Block)
    }

    /// Rules found so many points in the request.
    pub(super) fn found(&self, watched: &Watched, (points, refused): (u32, bool)) {
        let known = self.counters.reputation().zip(watched.client);
        if let Some((known, client)) = known.filter(|_| points > 0 && self.bots.is_some()) {
            known.found(self.counters.now(), client, (points, refused));
        }
    }

    /// The answer to a login is there.
    pub(super) fn answered(&self, response: &ResponseHead<'_>, watched: &mut Watched) {
        if let Some(open) = watched.login.take() {
            let ending = ending(&self.logins[open.login], response);
            open.end(ending);
        }
    }

    /// How an exchange ended.
    pub(super) fn outcome(&self, outcome: &Outcome<'_>) {
        let (Some(bots), Some(known)) = (&self.bots, self.counters.reputation()) else { return };
        let Some(address) = outcome.attributes().client_address() else { return };
        let totals = outcome.totals();
        // What agents refuse says nothing of what is there.
        let is_answered = totals.status > 0 && totals.blocked_by.is_empty();
        if is_answered && !bots.allow.iter().any(|network| network.contains(address)) {
            let is_missing = matches!(totals.status, 404 | 410);
            known.answered(self.counters.now(), self.client(address), is_missing);
        }
    }
}

/// Name and setting of each [`Subject`].
const SUBJECTS: [(&str, &str); 5] = [
    (FINDINGS[0], "address-users"),
    (FINDINGS[1], "address-failures"),
    (FINDINGS[2], "user-failures"),
    (FINDINGS[3], "user-addresses"),
    (FINDINGS[4], "failure-ratio"),
];

impl Watched {
    /// Points that counters gave.
    pub(super) fn points(&self) -> u32 {
        self.points
    }

    /// Whether the request does not go on, where refusals are carried out.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether the answer is waited for.
    pub(super) fn is_open(&self) -> bool {
        self.login.is_some()
    }

    /// Nothing more comes of it.
    pub(super) fn close(&mut self) {
        self.login = None;
    }

    /// A challenge gives way to a refusal, and a short wait to a long one.
    fn stop_by(&mut self, stop: Stop) {
        let replaces = self.stop.as_ref().is_none_or(|first| {
            let rank = |stop: &Stop| (stop.location.is_none(), stop.wait);
            rank(&stop) > rank(first)
        });
        if replaces {
            self.stop = Some(stop);
        }
    }

    /// Refuses the request, if counters do.
    pub(super) fn refusal(&self, request: &RequestHead<'_>) -> Option<Verdict> {
        let Stop { location, wait, reason } = self.stop.as_ref()?;
        let verdict = match location {
            Some(location) => Verdict::redirect(303, location.clone()),
            None => answer::too_many_logins(*wait, request),
        };
        Some(self.findings(verdict, true).reason(reason.clone()))
    }

    /// Adds what was found to the verdict on a request with so many points.
    pub(super) fn tell(&self, verdict: Verdict, is_reported: bool) -> Verdict {
        if self.notes.is_empty() {
            return verdict;
        }
        let verdict = self.findings(verdict, is_reported);
        match &self.stop {
            Some(stop) if verdict.reason_text().is_empty() => {
                verdict.reason(format!("not refused: {}", stop.reason))
            }
            None if is_reported && verdict.reason_text().is_empty() => {
                verdict.reason(format!("{} points", self.points))
            }
            _ => verdict,
        }
    }

    fn findings(&self, verdict: Verdict, is_reported: bool) -> Verdict {
        let told = self.notes.iter().filter(|note| is_reported || note.is_told);
        told.map(Note::finding).fold(verdict, Verdict::finding)
    }
}

impl Note {
    fn finding(&self) -> Finding {
        let Self { name, tag, points, is_told: _, is_shadow, detail } = self;
        let score = u16::try_from(*points).unwrap_or(u16::MAX);
        let finding = Finding::new(*name).score(score).tag(*tag).detail(&**detail);
        if *is_shadow { finding.tag("shadow") } else { finding }
    }
}

impl Open {
    fn end(mut self, ending: Ending) {
        self.is_over = true;
        self.logins.end(self.counters.now(), &self.attempt, ending);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_over {
            self.logins.end(self.counters.now(), &self.attempt, Ending::Unknown);
        }
    }
}

/// User names of two sites are two users; a site is a route, for clients do not choose that.
fn site<'a>(known: Attributes<'a>) -> &'a str {
    known.get(attributes::ROUTE).unwrap_or_default()
}

/// Whether a path is that of a login, or below it: servers disagree on what case, a slash or a parameter at
/// its end means.
fn is_at(login: &str, path: &str) -> bool {
    let begins = path.get(..login.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(login));
    begins && matches!(path.as_bytes().get(login.len()), None | Some(b'/' | b';' | b'%'))
}

fn ending(login: &Login, response: &ResponseHead<'_>) -> Ending {
    let status = response.status();
    let is_sent_back = || {
        let location = response.header("location").unwrap_or_default();
        login.failed_location.as_deref().is_some_and(|back| is_back(back, location))
    };
    match status {
        status if login.failed.contains(&status) => Ending::Failed,
        300..=399 if is_sent_back() => Ending::Failed,
        200..=399 => Ending::Succeeded,
        _ => Ending::Unknown,
    }
}

/// Whether a `Location`, whole or without its host, leads to this path.
fn is_back(back: &str, location: &str) -> bool {
    let path = match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => location,
    };
    let rest = path.strip_prefix(back).map(|rest| rest.as_bytes().first());
    matches!(rest, Some(None | Some(b'/' | b'?' | b'#' | b';' | b'&')))
}

/// Which crawler a request says to come from.
fn crawler<'b>(bots: &'b Bots, request: &RequestHead<'_>) -> Option<&'b Crawler> {
    if bots.crawlers.is_empty() {
        return None;
    }
    let agent = request.fields().get("user-agent").unwrap_or_default();
    let agent = String::from_utf8_lossy(agent).to_lowercase();
    bots.crawlers.iter().find(|crawler| agent.contains(&crawler.name))
}

fn is_exempt(bots: &Bots, claimed: Option<&Crawler>, address: IpAddr) -> bool {
    let networks = claimed.map_or(&[][..], |crawler| &crawler.networks);
    bots.allow.iter().chain(networks).any(|network| network.contains(address))
}

fn rounded(time: Duration) -> String {
    format_duration(Duration::from_secs(time.as_secs() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_documented() {
        const PAGE: &str = include_str!("../../../../docs/errors/agents.md");
        let findings = PAGE.split("\n## ").nth(1).unwrap();
        for (name, setting) in
            SUBJECTS.into_iter().chain([(REPUTATION, "bots"), (CRAWLER, "crawler")])
        {
            assert!(findings.contains(&format!("| `{name}` | `{setting}` | ")), "{name}");
        }
        assert_eq!(findings.matches("| `waf/").count(), FINDINGS.len());
    }

    #[test]
    fn a_login_has_many_spellings() {
        for path in ["/login", "/LOGIN", "/login/", "/login;jsessionid=1", "/Login%20"] {
            assert!(is_at("/login", path), "{path}");
        }
        for path in ["/", "/logins", "/login.js", "/a/login", "/logi"] {
            assert!(!is_at("/login", path), "{path}");
        }
    }

    #[test]
    fn a_redirect_leads_back_or_elsewhere() {
        for location in ["/login", "/login?error", "https://example.com/login", "/login#x"] {
            assert!(is_back("/login", location), "{location}");
        }
        for location in ["/", "", "/logins", "https://login", "/welcome?from=/login"] {
            assert!(!is_back("/login", location), "{location}");
        }
        assert!(is_back("/login?error", "/login?error&x=1"));
        assert!(!is_back("/login?error", "/login?ok"));
    }

    #[test]
    fn subjects_are_in_the_order_of_limits() {
        let limits = selvedge_config::waf::Limits::default();
        let settings = limits.named().map(|(name, _)| name);
        assert_eq!(settings, SUBJECTS.map(|(_, setting)| setting));
        assert_eq!(Subject::FailureRatio as usize, 4);
    }
}
