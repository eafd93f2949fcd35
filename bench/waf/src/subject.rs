//! The engine that all this is about, under rules and a policy.

use std::{
    error::Error,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

use selvedge_waf::{
    engine::{Connection, Decision, Match, Profile, RequestHead, ResponseHead, Rules, Transaction},
    policy::Policy,
    rule::RuleSet,
    seclang::{self, Files, LoadError},
};

use crate::{ftw::Response, record::Request, replay::Engine};

/// The engine, ready for one exchange after another.
pub struct Subject {
    profile: Arc<Profile>,
    transaction: Transaction,
}

/// Who asks whom in every recorded exchange: the same for all engines.
const CONNECTION: Connection = Connection {
    client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
    client_port: 40_000,
    server: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    server_port: 443,
};

impl Subject {
    /// Under a rule set.
    pub fn new(set: &RuleSet, policy: Policy) -> Result<Self, Box<dyn Error>> {
        let rules = Arc::new(Rules::compile(set));
        if !rules.problems().is_empty() {
            return Err(format!("rules that do not compile: {:#?}", rules.problems()).into());
        }
        let profile = Arc::new(Profile::new(rules, policy));
        Ok(Self { profile, transaction: Transaction::new() })
    }

    /// Both phases of a request.
    pub fn request(&mut self, request: &Request) -> Decision {
        let fields: Vec<(&[u8], &[u8])> = request
            .fields
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .collect();
        let version = str::from_utf8(&request.version).unwrap_or_default();
        let (method, target) = (&request.method, &request.target);
        let head = RequestHead { method, target, version, fields: &fields };
        self.transaction.begin(&self.profile, &CONNECTION, SystemTime::now());
        let decision = self.transaction.request_head(&head);
        if decision != Decision::Pass {
            return decision;
        }
        if !request.body.is_empty() {
            self.transaction.request_body(&request.body);
        }
        self.transaction.request()
    }

    /// Both phases of the response that follows, and the log's.
    pub fn response(&mut self, response: &Response) -> Decision {
        let fields: Vec<(&[u8], &[u8])> = response
            .fields
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .collect();
        let head = ResponseHead { status: response.status, version: "HTTP/1.1", fields: &fields };
        let mut decision = self.transaction.response_head(&head);
        if decision == Decision::Pass {
            if self.transaction.wants_response_body() {
                self.transaction.response_body(&response.body);
            }
            decision = self.transaction.response();
        }
        self.transaction.log();
        decision
    }

    /// What the last exchange matched.
    pub fn matches(&self) -> &[Match] {
        self.transaction.matches()
    }
}

impl Engine for Subject {
    fn judge(&mut self, request: &Request) -> u16 {
        status(&self.request(request))
    }

    fn matched(&self, ids: &mut Vec<u64>) {
        ids.extend(self.matches().iter().map(|matched| matched.id));
    }
}

/// 0, or the status that a decision refuses with.
pub fn status(decision: &Decision) -> u16 {
    match decision {
        Decision::Pass => 0,
        Decision::Refuse(refusal) => refusal.status,
    }
}

/// Reads SecLang rules.
pub fn load(files: &[PathBuf]) -> Result<RuleSet, Box<dyn Error>> {
    let names: Vec<&str> = files.iter().filter_map(|path| path.to_str()).collect();
    let told = |errors: Vec<LoadError>| {
        errors.iter().map(LoadError::to_string).collect::<Vec<_>>().join("\n")
    };
    Ok(seclang::load(&mut Disk, &names).map_err(told)?.rules)
}

/// Rule files as they lie on the disk, named one by one.
struct Disk;

impl Files for Disk {
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(name)
    }

    fn list(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        Ok(vec![pattern.to_owned()])
    }
}
