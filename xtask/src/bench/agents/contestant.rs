//! Who is measured, and what each is asked.

use super::credentials::Credentials;

/// What a proxy asks, and whom, before it passes a request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nobody.
    None,
    /// So many of our agents side by side, each about heads; each sets a field.
    Agents(usize),
    /// Our agent of type `auth`, about an API key.
    ApiKey,
    /// Our agent of type `auth`, about a token that it has verified before.
    Token,
    /// One of our agents, about bodies.
    Inspect,
    /// A service over HTTP: nginx's `auth_request`, our `http address=`.
    Service,
    /// An agent over HAProxy's own protocol.
    Spoe,
}

/// Whose proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// This repository's.
    Selvedge,
    /// As Debian ships it.
    Nginx,
    /// As Debian ships it.
    Haproxy,
}

/// What is asked of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// GET of 12 bytes.
    Head,
    /// POST of [`BODY_BYTES`].
    Body,
}

/// One row of a table.
#[derive(Debug)]
pub struct Contestant {
    /// Its name in files.
    pub slug: &'static str,
    /// Its name in tables.
    pub label: &'static str,
    /// Who passes requests on.
    pub proxy: Proxy,
    /// Whom it asks.
    pub advice: Advice,
    /// What is asked of it.
    pub work: Work,
}

/// Rows whose latencies are taken at one rate: half of what the slowest can do. The others are compared with `base`.
#[derive(Debug)]
pub struct Panel {
    /// Its name in the results.
    pub name: &'static str,
    /// Pairs of a row and the one without agents that it is compared with.
    pub pairs: &'static [(&'static str, &'static str)],
}

/// A request, as load and checks send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Path and query: the origin answers 200 if it gets the fields of the query, and 400 otherwise.
    pub path: String,
    /// A path that the origin must refuse, for it names a value that nobody sets.
    pub wrong_path: String,
    /// Fields that the client sends.
    pub fields: Vec<(&'static str, String)>,
}

/// Bytes of the body that is inspected.
pub const BODY_BYTES: usize = 64 << 10;

/// Everybody, in the order in which they take turns.
pub const ALL: &[Contestant] = &[
    Contestant::new("none", "Selvedge, no agent", Proxy::Selvedge, Advice::None),
    Contestant::new("one", "Selvedge, one agent", Proxy::Selvedge, Advice::Agents(1)),
    Contestant::new("three", "Selvedge, three agents", Proxy::Selvedge, Advice::Agents(3)),
    Contestant::new("api-key", "Selvedge, auth: API key", Proxy::Selvedge, Advice::ApiKey),
    Contestant::new("token", "Selvedge, auth: known token", Proxy::Selvedge, Advice::Token),
    Contestant::new("service", "Selvedge, forward auth", Proxy::Selvedge, Advice::Service),
    Contestant::new("nginx", "nginx", Proxy::Nginx, Advice::None),
    Contestant::new("auth-request", "nginx, auth_request", Proxy::Nginx, Advice::Service),
    Contestant::new("haproxy", "HAProxy", Proxy::Haproxy, Advice::None),
    Contestant::new("spoe", "HAProxy, SPOE", Proxy::Haproxy, Advice::Spoe),
    Contestant::new("body-none", "Selvedge, no agent", Proxy::Selvedge, Advice::None).with_body(),
    Contestant::new("body", "Selvedge, one agent that reads", Proxy::Selvedge, Advice::Inspect)
        .with_body(),
];

/// What is paced together.
pub const PANELS: &[Panel] = &[
    Panel { name: "one", pairs: &[("one", "none")] },
    Panel { name: "three", pairs: &[("one", "none"), ("three", "none")] },
    Panel { name: "auth", pairs: &[("api-key", "none"), ("token", "none")] },
    Panel {
        name: "services",
        pairs: &[
            ("one", "none"),
            ("service", "none"),
            ("auth-request", "nginx"),
            ("spoe", "haproxy"),
        ],
    },
];

impl Contestant {
    const fn new(slug: &'static str, label: &'static str, proxy: Proxy, advice: Advice) -> Self {
        Self { slug, label, proxy, advice, work: Work::Head }
    }

    const fn with_body(self) -> Self {
        Self { work: Work::Body, ..self }
    }

    /// What it is asked: whatever the adviser sets must have reached the origin. Without one the client sends the
    /// field itself, so that the origin does the same work for all.
    pub fn ask(&self, credentials: &Credentials, body_digest: &str) -> Ask {
        let seen = ("x-agent-1", "yes".to_owned());
        let body = ("x-body", body_digest.to_owned());
        let user = ("x-user-id", Credentials::USER.to_owned());
        let (needed, sent) = match (self.advice, self.work) {
            (Advice::None, Work::Head) => (vec![seen.clone()], vec![seen]),
            (Advice::None, Work::Body) => (vec![body.clone()], vec![body]),
            (Advice::Agents(count), _) => {
                (FIELDS[..count].iter().map(|name| (*name, "yes".to_owned())).collect(), vec![])
            }
            (Advice::ApiKey, _) => (vec![user], vec![("x-api-key", credentials.api_key.clone())]),
            (Advice::Token, _) => {
                (vec![user], vec![("authorization", format!("Bearer {}", credentials.token))])
            }
            (Advice::Inspect, _) => (vec![body], vec![]),
            (Advice::Service | Advice::Spoe, _) => (vec![seen], vec![]),
        };
        let query: Vec<String> =
            needed.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let path = format!("/needs?{}", query.join("&"));
        Ask { wrong_path: format!("{path}-not"), path, fields: sent }
    }
}

impl Panel {
    /// Everybody in it, once.
    pub fn members(&self) -> Vec<&'static str> {
        let mut members: Vec<&str> = Vec::new();
        for slug in self.pairs.iter().flat_map(|(row, base)| [*base, *row]) {
            if !members.contains(&slug) {
                members.push(slug);
            }
        }
        members
    }
}

/// What our agents set, each its own.
pub const FIELDS: [&str; 3] = ["x-agent-1", "x-agent-2", "x-agent-3"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_name_contestants_whose_work_is_the_same() {
        let find = |slug: &str| ALL.iter().find(|contestant| contestant.slug == slug);
        for panel in PANELS {
            for slug in panel.members() {
                assert_eq!(find(slug).map(|found| found.work), Some(Work::Head), "{slug}");
            }
        }
    }

    #[test]
    fn everybody_with_an_adviser_needs_what_the_client_does_not_send() {
        let credentials = Credentials { api_key: "k".into(), token: "t".into() };
        for contestant in ALL {
            let ask = contestant.ask(&credentials, "1-00");
            let sent = |(name, value): &(_, String)| ask.path.contains(&format!("{name}={value}"));
            assert_eq!(ask.fields.iter().any(sent), contestant.advice == Advice::None);
            assert!(ask.path.starts_with("/needs?") && ask.wrong_path != ask.path);
        }
    }
}
