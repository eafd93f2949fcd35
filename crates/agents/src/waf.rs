//! `selvedge agent waf`: no attack reaches an upstream.
//!
//! The engine is `selvedge-waf`. [`load`] reads rules from the disk and [`policy`] puts them under what the
//! operator wants; both happen when the agent starts and at each reload, and what cannot be done as it is
//! written keeps it from starting. [`desk`] is one exchange at work, with buffers from [`pool`]; [`answer`] is
//! what is told of it, to the client and to the log; [`mask`] hides what a response would give away,
//! [`tally`] counts for metrics. [`counters`] remember clients from one exchange to the next, and [`watch`] asks
//! and tells them. This file speaks the agent protocol.

mod answer;
mod counters;
mod desk;
mod load;
mod mask;
mod policy;
mod pool;
mod tally;
mod watch;

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use selvedge_agent::{
    Agent, Body, Metrics, Outcome, RequestHead, ResponseHead, Subscriptions, Verdict,
    WebsocketFrame,
};
use selvedge_config::waf::{RouteOptions, Settings};
use selvedge_waf::{
    engine::{Collections, Profile, Rules},
    policy::Policy,
    rule::Mode,
};

use self::{counters::Counters, desk::Desk, tally::Tally, watch::Watch};

/// The agent that finds attacks.
pub struct Waf(Arc<Firewall>);

/// What is kept of an exchange.
#[derive(Default)]
pub struct Exchange(Option<Desk>);

/// Everything that an agent goes by.
struct Firewall {
    policy: Arc<Ready>,
    profiles: BTreeMap<String, Arc<Ready>>,
    kept: Kept,
    /// Which set of buffers fits its rules.
    generation: pool::Generation,
}

/// What outlives the settings.
#[derive(Clone)]
struct Kept {
    metrics: Metrics,
    counters: Arc<Counters>,
    /// What rules remember, of all profiles.
    collections: Arc<Collections>,
}

/// A policy, ready to be asked.
struct Ready {
    profile: Arc<Profile>,
    tally: Tally,
    /// No rule is asked.
    is_off: bool,
    /// Refusals are carried out.
    is_enforced: bool,
    responses: bool,
    /// Rules that come last look at the answer, which is not judged.
    logs_response: bool,
    mask: bool,
    websocket: bool,
    log_at: u32,
    excerpts: bool,
    /// Bytes of a body that are looked at.
    body_max: u32,
    response_body_max: u32,
    watch: Watch,
}

/// What is wrong with a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file that the settings name.
    pub file: Option<PathBuf>,
    /// What is wrong, where, and what to do.
    pub message: String,
}

/// Reads the files of rules that settings name, as the agent does when it starts; nothing is compiled.
pub fn check(settings: &Settings) -> Result<(), Vec<Fault>> {
    let read = load::read(settings)?;
    policy::policies(settings, &read.rules).map(drop)
}

impl Agent for Waf {
    type Settings = Settings;
    type Exchange = Exchange;

    async fn start(settings: Settings, previous: Option<&Self>) -> Result<Self, String> {
        let previous = previous.map(|waf| &waf.0.kept);
        let counters = Counters::start(&settings, previous.map(|kept| &*kept.counters))?;
        let kept = Kept {
            metrics: previous.map(|kept| kept.metrics.clone()).unwrap_or_default(),
            counters: Arc::new(counters),
            collections: previous.map(|kept| kept.collections.clone()).unwrap_or_default(),
        };
        let read = tokio::task::spawn_blocking(move || Firewall::read(&settings, kept)).await;
        let (firewall, notes) = read.map_err(|error| error.to_string())??;
        notes.iter().for_each(|note| notice(format_args!("{note}")));
        Ok(Self(Arc::new(firewall)))
    }

    fn wants(&self) -> Subscriptions {
        let most = |of: fn(&Ready) -> u32| self.0.all().map(of).max().unwrap_or_default();
        let mut wants = Subscriptions::none()
            .request_headers()
            .inspect_request_body(most(|ready| ready.body_max));
        if self.0.all().any(Ready::wants_answers) {
            wants = wants.response_headers();
        }
        if self.0.all().any(|ready| ready.watch.wants_outcomes()) {
            wants = wants.log();
        }
        if self.0.all().any(|ready| ready.responses) {
            wants = wants.inspect_response_body(most(|ready| ready.response_body_max));
        }
        if self.0.all().any(|ready| ready.websocket) {
            wants = wants.websocket_frames(most(|ready| ready.body_max));
        }
        wants
    }

    fn metrics(&self) -> Option<&Metrics> {
        Some(&self.0.kept.metrics)
    }

    async fn request_headers(&self, request: &RequestHead<'_>, exchange: &mut Exchange) -> Verdict {
        let options = RouteOptions::read(|name| request.attributes().route_option(name));
        let Some(ready) = self.0.choose(&options) else {
            return Verdict::abandon("the route names a profile that this agent does not have");
        };
        if ready.is_off {
            return Verdict::allow().done();
        }
        let desk = Desk::new(Arc::clone(ready), self.0.generation, request);
        exchange.0.insert(desk).request_head(request)
    }

    async fn request_body(
        &self,
        request: &RequestHead<'_>,
        body: Body<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        match exchange.0.take() {
            Some(desk) => {
                exchange.0.insert(desk.take_request(request, body).await).request(request)
            }
            None => Verdict::abandon(NO_HEAD),
        }
    }

    async fn response_headers(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        match &mut exchange.0 {
            Some(desk) => desk.response_head(request, response),
            None => Verdict::abandon(NO_HEAD),
        }
    }

    async fn response_body(
        &self,
        request: &RequestHead<'_>,
        response: &ResponseHead<'_>,
        body: Body<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        let Some(desk) = exchange.0.take() else { return Verdict::abandon(NO_HEAD) };
        let message = desk::Message { request, response, body };
        let (desk, verdict) = desk.response_body(message).await;
        exchange.0 = Some(desk);
        verdict
    }

    async fn websocket_frame(
        &self,
        request: &RequestHead<'_>,
        frame: WebsocketFrame<'_>,
        exchange: &mut Exchange,
    ) -> Verdict {
        match &mut exchange.0 {
            Some(desk) => desk.frame(request, frame),
            None => Verdict::abandon(NO_HEAD),
        }
    }

    async fn log(&self, outcome: &Outcome<'_>) {
        let options = RouteOptions::read(|name| outcome.attributes().route_option(name));
        if let Some(ready) = self.0.choose(&options).filter(|ready| !ready.is_off) {
            ready.watch.outcome(outcome);
        }
    }
}

/// Why there is no verdict on an event that comes after none.
const NO_HEAD: &str = "the event belongs to a request whose head was not seen";

impl Firewall {
    /// Reads and compiles; beside it come notes for the operator.
    fn read(settings: &Settings, kept: Kept) -> Result<(Self, Vec<String>), String> {
        let told = |faults: Vec<Fault>| {
            faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>().join("\n")
        };
        let load::Loaded { rules: set, mut notes } = load::read(settings).map_err(told)?;
        let policies = policy::policies(settings, &set).map_err(told)?;
        let rules = Arc::new(Rules::compile(&set));
        notes.extend(rules.problems().iter().map(|problem| {
            format!("{}: rule {} never matches: {}", problem.place, problem.id, problem.message)
        }));
        let mut policies = policies.into_iter();
        let policy = policies.next().ok_or("there is no policy")?;
        let mode = set.settings.mode.unwrap_or_default();
        notes.extend(kept.counters.note());
        let ready = |name: Option<&str>, (written, policy): (_, Policy)| {
            let policy = Policy { mode: policy.mode.or(Some(mode)), ..policy };
            let profile = Profile::new(Arc::clone(&rules), policy).remembering(&kept.collections);
            let tally = Tally::new(&kept.metrics, name);
            let watch = Watch::new(&kept.counters, written);
            Arc::new(Ready::new((settings, written), profile, (tally, watch)))
        };
        let names = settings.profiles.iter().zip(policies);
        let firewall = Self {
            policy: ready(None, (&settings.policy, policy)),
            profiles: names
                .map(|(profile, policy)| {
                    let ready = ready(Some(&profile.id), (&profile.policy, policy));
                    (profile.id.clone(), ready)
                })
                .collect(),
            generation: pool::Generation::next(),
            kept: kept.clone(),
        };
        notes.push(format!(
            "{} rules, of which {} are asked where a route names no profile",
            rules.len(),
            firewall.policy.profile.live_len()
        ));
        Ok((firewall, notes))
    }

    fn all(&self) -> impl Iterator<Item = &Ready> {
        std::iter::once(&*self.policy).chain(self.profiles.values().map(|ready| &**ready))
    }

    /// `None`: there is no such profile.
    fn choose(&self, options: &RouteOptions) -> Option<&Arc<Ready>> {
        match &options.profile {
            Some(profile) => self.profiles.get(profile),
            None => Some(&self.policy),
        }
    }
}

impl Ready {
    fn new(
        (settings, written): (&Settings, &selvedge_config::waf::Policy),
        profile: Profile,
        (tally, watch): (Tally, Watch),
    ) -> Self {
        let mode = profile.policy().mode;
        let bytes = |size: selvedge_base::ByteSize| u32::try_from(size.0).unwrap_or(u32::MAX);
        Self {
            is_off: mode == Some(Mode::Off),
            is_enforced: mode == Some(Mode::On),
            responses: written.responses,
            logs_response: !written.responses && profile.logs_response(),
            mask: written.mask,
            websocket: written.websocket,
            log_at: written.log_at,
            excerpts: settings.excerpts,
            body_max: bytes(written.bounds.body),
            response_body_max: bytes(written.bounds.response_body),
            profile: Arc::new(profile),
            tally,
            watch,
        }
    }

    fn wants_answers(&self) -> bool {
        self.responses || self.logs_response || self.watch.wants_answers()
    }
}

impl fmt::Debug for Waf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waf").finish_non_exhaustive()
    }
}

/// Tells the operator; the supervisor makes it a line of the log.
#[expect(clippy::print_stderr, reason = "the standard error of an agent is its log")]
fn notice(text: fmt::Arguments<'_>) {
    eprintln!("waf: {text}");
}
