//! What becomes of exchanges: rules as text, one request, what matched and what was decided.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use selvedge_waf::{
    engine::{Connection, Decision, Profile, RequestHead, ResponseHead, Rules, Transaction},
    native,
    policy::Policy,
    rule::RuleSet,
    seclang::load,
};

mod bodies;
mod collections;
mod control;
mod evidence;
mod language;
mod policy;
mod work;

/// One request and its answer.
#[derive(Clone, Debug)]
struct Exchange<'a> {
    method: &'a str,
    target: &'a str,
    fields: Vec<(&'a str, &'a str)>,
    body: Vec<u8>,
    status: u16,
    answer_fields: Vec<(&'a str, &'a str)>,
    answer: &'a str,
    at: u64,
}

fn get(target: &str) -> Exchange<'_> {
    Exchange {
        method: "GET",
        target,
        fields: vec![("Host", "example.com")],
        body: Vec::new(),
        status: 200,
        answer_fields: vec![("Content-Type", "text/html")],
        answer: "",
        at: 0,
    }
}

fn post<'a>(kind: &'a str, body: impl AsRef<[u8]>) -> Exchange<'a> {
    let mut exchange = Exchange { method: "POST", body: body.as_ref().to_vec(), ..get("/") };
    exchange.fields.push(("Content-Type", kind));
    exchange
}

impl<'a> Exchange<'a> {
    fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.fields.push((name, value));
        self
    }

    fn answered(mut self, status: u16, answer: &'a str) -> Self {
        (self.status, self.answer) = (status, answer);
        self
    }

    /// Seconds after the first.
    fn at(mut self, seconds: u64) -> Self {
        self.at = seconds;
        self
    }
}

fn seclang(text: &str) -> RuleSet {
    let mut files = BTreeMap::from([("main.conf".to_owned(), text.as_bytes().to_vec())]);
    let loaded = load(&mut files, &["main.conf"]);
    let errors = |errors: Vec<_>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    loaded.unwrap_or_else(|all| panic!("{text}\n{}", errors(all).join("\n"))).rules
}

fn native(text: &str) -> RuleSet {
    native::parse("rules.kdl", text).expect("the rules are right").0
}

#[track_caller]
fn profile(set: &RuleSet, policy: Policy) -> Arc<Profile> {
    let rules = Rules::compile(set);
    assert_eq!(rules.problems(), []);
    Arc::new(Profile::new(Arc::new(rules), policy))
}

/// Begins an exchange and judges its request.
fn request(
    transaction: &mut Transaction,
    profile: &Arc<Profile>,
    exchange: &Exchange<'_>,
) -> Decision {
    let client = Ipv4Addr::new(192, 0, 2, 1).into();
    let connection = Connection { client, client_port: 4711, server: client, server_port: 80 };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + exchange.at);
    transaction.begin(profile, &connection, now);
    let decision = transaction.request_head(&RequestHead {
        method: exchange.method.as_bytes(),
        target: exchange.target.as_bytes(),
        version: "HTTP/1.1",
        fields: &bytes(&exchange.fields),
    });
    if decision != Decision::Pass {
        return decision;
    }
    transaction.request_body(&exchange.body);
    transaction.request()
}

/// Judges a whole exchange, and its end.
fn judge(
    transaction: &mut Transaction,
    profile: &Arc<Profile>,
    exchange: &Exchange<'_>,
) -> Decision {
    let mut decision = request(transaction, profile, exchange);
    if decision == Decision::Pass {
        decision = answer(transaction, exchange);
    }
    transaction.log();
    decision
}

fn answer(transaction: &mut Transaction, exchange: &Exchange<'_>) -> Decision {
    let decision = transaction.response_head(&ResponseHead {
        status: exchange.status,
        version: "HTTP/1.1",
        fields: &bytes(&exchange.answer_fields),
    });
    if decision != Decision::Pass {
        return decision;
    }
    transaction.response_body(exchange.answer.as_bytes());
    transaction.response()
}

fn bytes<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

/// `1 2 | pass`, `3 | 403 by 3`: numbers of the rules that matched, with their messages, and the decision.
fn told(transaction: &Transaction, decision: &Decision) -> String {
    let found = transaction.matches().iter().map(|found| match found.message.as_str() {
        "" => format!("{} ", found.id),
        message => format!("{}({message}) ", found.id),
    });
    let found: String = found.collect();
    let end = match decision {
        Decision::Pass => "pass".to_owned(),
        Decision::Refuse(refusal) => {
            let by = refusal.rule.map_or(String::new(), |rule| format!(" by {rule}"));
            let to = refusal.location.as_ref().map_or(String::new(), |to| format!(" to {to}"));
            format!("{}{by}{to}", refusal.status)
        }
    };
    format!("{found}| {end}")
}

/// Checks what rules say of an exchange.
#[track_caller]
fn check(rules: &str, exchange: &Exchange<'_>, expected: &str) {
    check_under(&profile(&seclang(rules), Policy::default()), exchange, expected);
}

#[track_caller]
fn check_under(profile: &Arc<Profile>, exchange: &Exchange<'_>, expected: &str) {
    let mut transaction = Transaction::new();
    let decision = judge(&mut transaction, profile, exchange);
    assert_eq!(told(&transaction, &decision), expected, "{exchange:?}");
}
