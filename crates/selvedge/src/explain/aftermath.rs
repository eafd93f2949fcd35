//! What happens to a request that has its route.

use std::fmt;

use selvedge_config::{
    Action, Balance, Compress, Config, Encoding, HashKey, HeaderOp, Id, Respond, Route, StaticSite,
    Target, TargetAddress, Upstream, UpstreamProtocol,
};
use selvedge_routing::{redirect_target, rewrite_path};
use serde_json::{Value, json};

use super::{advice::Advice, question::Request};

/// What happens to one request.
pub(super) struct Aftermath {
    advice: Advice,
    end: End,
    /// Changes on the way, in words and in order.
    steps: Vec<String>,
}

/// Who answers.
enum End {
    Upstream {
        id: Id,
        how: String,
        targets: Vec<String>,
        path: String,
    },
    Site {
        root: String,
        looks_for: String,
    },
    Redirect {
        status: u16,
        location: String,
    },
    Respond {
        status: u16,
        bytes: usize,
        content_type: String,
    },
    /// The rewrite makes no path of this one.
    Refused(String),
}

impl Aftermath {
    pub(super) fn of(request: &Request, config: &Config, route: usize) -> Self {
        let route = &config.routes[route];
        let advice = Advice::of(config, route);
        Self { advice, end: end(request, config, route), steps: steps(route) }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut value = match &self.end {
            End::Upstream { id, how, targets, path } => json!({
                "kind": "upstream", "upstream": &**id, "balance": how, "targets": targets, "path": path,
            }),
            End::Site { root, looks_for } => {
                json!({ "kind": "static", "root": root, "path": looks_for })
            }
            End::Redirect { status, location } => {
                json!({ "kind": "redirect", "status": status, "location": location })
            }
            End::Respond { status, bytes, content_type } => json!({
                "kind": "respond", "status": status, "bytes": bytes, "content_type": content_type,
            }),
            End::Refused(why) => json!({ "kind": "refused", "status": 400, "why": why }),
        };
        value["steps"] = json!(self.steps);
        value["advice"] = self.advice.to_json();
        value
    }
}

fn end(request: &Request, config: &Config, route: &Route) -> End {
    match &route.action {
        Action::Upstream(id) => match (config.upstreams.get(id), upstream_path(request, route)) {
            (Some(upstream), Ok(path)) => End::Upstream {
                id: id.clone(),
                how: manner(upstream),
                targets: upstream.targets.iter().map(target).collect(),
                path,
            },
            (_, Err(why)) => End::Refused(why),
            (None, _) => End::Refused(format!("upstream {id:?} is unknown")),
        },
        Action::Static(site) => End::Site {
            root: site.root.display().to_string(),
            looks_for: path_in_site(site, &request.path),
        },
        Action::Redirect(redirect) => End::Redirect {
            status: redirect.status,
            location: redirect_target(
                redirect,
                if request.is_tls { "https" } else { "http" },
                request.head.authority(),
                &request.path,
                request.head.query(),
            ),
        },
        Action::Respond(Respond { status, body, content_type }) => {
            End::Respond { status: *status, bytes: body.len(), content_type: content_type.clone() }
        }
    }
}

/// The path asked of the upstream, with its query.
fn upstream_path(request: &Request, route: &Route) -> Result<String, String> {
    let mut path = match &route.rewrite {
        Some(rewrite) => {
            rewrite_path(rewrite, &request.path).map_err(|error| error.to_string())?.into_owned()
        }
        None => request.path.clone(),
    };
    if request.head.has_query() {
        path.push('?');
        path.push_str(request.head.query());
    }
    Ok(path)
}

fn path_in_site(site: &StaticSite, path: &str) -> String {
    let rest = site.strip_prefix.as_deref().and_then(|prefix| {
        path.strip_prefix(prefix.trim_end_matches('/'))
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    match rest {
        Some("") => "/".to_owned(),
        Some(rest) => rest.to_owned(),
        None => path.to_owned(),
    }
}

/// How a target is chosen and spoken to.
fn manner(upstream: &Upstream) -> String {
    let balance = match &upstream.balance {
        Balance::RoundRobin => "round robin".to_owned(),
        Balance::LeastConnections => "least connections".to_owned(),
        Balance::PowerOfTwo => "power of two choices".to_owned(),
        Balance::PeakEwma => "peak EWMA".to_owned(),
        Balance::ConsistentHash(key) => format!("consistent hash of {}", hash_key(key)),
    };
    let protocol = match upstream.protocol {
        UpstreamProtocol::Http1 => "HTTP/1.1",
        UpstreamProtocol::Http2 => "HTTP/2",
    };
    let tls = if upstream.tls.is_some() { " over TLS" } else { "" };
    let sticky =
        upstream.sticky.as_ref().map(|sticky| format!(", sticky by cookie {}", sticky.cookie));
    format!("{balance}, {protocol}{tls}{}", sticky.unwrap_or_default())
}

fn hash_key(key: &HashKey) -> String {
    match key {
        HashKey::ClientIp => "the client's address".to_owned(),
        HashKey::Path => "the path".to_owned(),
        HashKey::Uri => "path and query".to_owned(),
        HashKey::Header(name) => format!("header {name}"),
        HashKey::Cookie(name) => format!("cookie {name}"),
    }
}

fn target(target: &Target) -> String {
    let address = match &target.address {
        TargetAddress::Socket(address) => address.to_string(),
        TargetAddress::Name { host, port } => format!("{host}:{port}"),
        TargetAddress::Unix(path) => format!("unix:{}", path.display()),
    };
    match target.weight {
        1 => address,
        weight => format!("{address} (weight {weight})"),
    }
}

/// Which value of an agent leads to which other upstream.
fn turns(route: &Route) -> Vec<String> {
    let turns = route.upstream_by.iter().flat_map(|by| {
        let turn = |(text, id): (&String, &Id)| {
            format!("instead of it, upstream {id:?} where an agent sets {} to {text:?}", by.value)
        };
        by.choices.iter().map(turn)
    });
    turns.collect()
}

/// Changes of the request and the response, in the order in which they happen.
fn steps(route: &Route) -> Vec<String> {
    let host = route.rewrite.as_ref().and_then(|rewrite| rewrite.host.as_ref());
    let host = host.map(|host| format!("request: host becomes {host}"));
    let request = route.request_headers.iter().map(|op| format!("request: {}", operation(op)));
    let response = route.response_headers.iter().map(|op| format!("response: {}", operation(op)));
    let compress = route.compress.as_ref().map(compression);
    let changes = host.into_iter().chain(request).chain(response).chain(compress);
    turns(route).into_iter().chain(changes).collect()
}

/// Values may be secrets and stay out.
fn operation(op: &HeaderOp) -> String {
    match op {
        HeaderOp::Set(name, _) => format!("set {name}"),
        HeaderOp::Add(name, _) => format!("add {name}"),
        HeaderOp::Remove(name) => format!("remove {name}"),
    }
}

fn compression(Compress { min, encodings }: &Compress) -> String {
    let names: Vec<&str> = encodings
        .iter()
        .map(|encoding| match encoding {
            Encoding::Zstd => "zstd",
            Encoding::Brotli => "br",
            Encoding::Gzip => "gzip",
        })
        .collect();
    format!("response: compressed by {} from {min}", names.join(", "))
}

impl fmt::Display for Aftermath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.advice.fmt(f)?;
        match &self.end {
            End::Upstream { id, how, targets, path } => {
                writeln!(f, "  upstream {id:?} is asked for {path} ({how})")?;
                targets.iter().try_for_each(|target| writeln!(f, "    {target}"))?;
            }
            End::Site { root, looks_for } => {
                writeln!(f, "  {looks_for} is looked for in {root}")?;
            }
            End::Redirect { status, location } => {
                writeln!(f, "  the answer is {status} with Location: {location}")?;
            }
            End::Respond { status, bytes, content_type } => {
                writeln!(f, "  the answer is {status} with {bytes} bytes of {content_type}")?;
            }
            End::Refused(why) => writeln!(f, "  refused with 400 after the rewrite: {why}")?,
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}
