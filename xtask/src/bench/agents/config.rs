//! The config of each contestant, tuned as its own documentation advises, one worker each.
//!
//! All fail closed, keep connections to origin and adviser open, set `X-Forwarded-For` and `-Proto`, and log nothing.

use std::{fmt::Write, net::SocketAddr, path::Path};

use super::{
    super::packaged,
    contestant::{Advice, BODY_BYTES, FIELDS},
    credentials::Credentials,
};
use crate::{Result, process};

/// What a config refers to.
#[derive(Clone, Copy, Debug)]
pub struct Wiring<'a> {
    /// Where the proxy listens.
    pub address: SocketAddr,
    /// Where it sends requests.
    pub origin: SocketAddr,
    /// Where its adviser is, if that is a process of its own.
    pub adviser: SocketAddr,
    /// Whom it asks.
    pub advice: Advice,
    /// Its own folder.
    pub folder: &'a Path,
    /// Where [`Credentials`] have their files.
    pub keys: &'a Path,
}

/// `selvedge.kdl`.
pub fn selvedge(wiring: &Wiring<'_>) -> String {
    let Wiring { address, origin, .. } = wiring;
    let (agents, names) = selvedge_agents(wiring);
    let asks = if names.is_empty() { String::new() } else { format!("agents {names}; ") };
    format!(
        r#"workers 1
admin #false
limits {{ connections 100000; connections-per-address 100000 }}
telemetry {{ access-log #false }}
listener "edge" {{
    address "{address}"
    timeouts {{ idle "10m" }}
}}
{agents}upstream "first" {{ target "{origin}"; pool {{ idle 512; idle-timeout "10m" }} }}
route "all" {{ matches {{ path-prefix "/" }}; {asks}upstream "first" }}
"#
    )
}

/// The blocks of the agents, and their ids as a route names them.
fn selvedge_agents(wiring: &Wiring<'_>) -> (String, String) {
    let keys = |name: &str| wiring.keys.join(name).display().to_string();
    let auth = |what: &str| {
        (format!("agent \"auth\" {{ type \"auth\"; {LATE}; {what} }}\n"), "\"auth\"".into())
    };
    match wiring.advice {
        Advice::None | Advice::Spoe => Default::default(),
        Advice::Agents(count) => FIELDS[..count].iter().fold(
            (String::new(), String::new()),
            |(mut blocks, mut names), field| {
                let settings = format!("header \"{field}\"; value \"yes\"");
                blocks += &bench_agent(field, &settings);
                let _ = write!(names, "\"{field}\" ");
                (blocks, names)
            },
        ),
        Advice::Inspect => {
            (bench_agent("reader", &format!("inspect {BODY_BYTES}")), "\"reader\"".into())
        }
        Advice::ApiKey => auth(&format!("api-keys {{ file \"{}\" }}", keys(Credentials::KEY_FILE))),
        Advice::Token => auth(&format!(
            "issuer \"{}\" {{ jwks file=\"{}\"; audience \"bench\" }}",
            Credentials::ISSUER,
            keys(Credentials::JWKS_FILE)
        )),
        Advice::Service => (
            format!(
                "agent \"service\" {{ type \"service\"; {LATE}; http address=\"http://{}/auth\" {{ \
                 response-headers \"X-Agent-1\" }} }}\n",
                wiring.adviser
            ),
            "\"service\"".into(),
        ),
    }
}

/// A machine that pauses for longer than the default must not void a run; it costs no request anything.
const LATE: &str = "timeout-ms 2000";

fn bench_agent(id: &str, settings: &str) -> String {
    let program = packaged("bench_agent");
    format!(
        "agent \"{id}\" {{ type \"bench\"; {LATE}; command \"{}\"; settings {{ {settings} }} }}\n",
        program.display()
    )
}

/// `nginx.conf` of a proxy that asks nobody or the service at the adviser's address.
pub fn nginx(wiring: &Wiring<'_>) -> Result<String> {
    let Wiring { address, origin, adviser, advice, .. } = wiring;
    let forwarded = "proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;";
    let (asking, service) = if *advice == Advice::Service {
        let asking = "auth_request /auth;
            auth_request_set $seen $upstream_http_x_agent_1;
            proxy_set_header X-Agent-1 $seen;";
        let service = format!(
            "location = /auth {{
            internal;
            {forwarded}
            proxy_set_header X-Forwarded-Uri $request_uri;
            proxy_set_header Content-Length \"\";
            proxy_pass_request_body off;
            proxy_pass http://service;
        }}"
        );
        (asking, service)
    } else {
        ("", String::new())
    };
    nginx_with(
        wiring.folder,
        &format!(
            "proxy_http_version 1.1;
    upstream first {{ server {origin}; {NGINX_POOL} }}
    upstream service {{ server {adviser}; {NGINX_POOL} }}
    server {{
        listen {address};
        location / {{
            {asking}
            {forwarded}
            proxy_pass http://first;
        }}
        {service}
    }}"
        ),
    )
}

const NGINX_POOL: &str = "keepalive 512; keepalive_requests 1000000000; keepalive_timeout 600s;";

/// `nginx.conf` of the quickest service there is: it allows everybody, and sets the field.
pub fn service(folder: &Path, address: SocketAddr) -> Result<String> {
    let server = format!(
        "server {{ listen {address}; location / {{ add_header X-Agent-1 yes; return 204; }} }}"
    );
    nginx_with(folder, &server)
}

/// `nginx.conf` with one worker, without a log, with these servers.
pub fn nginx_with(folder: &Path, servers: &str) -> Result<String> {
    let user = process::output("id", &["-un"])?;
    let (user, folder) = (user.trim(), folder.display());
    Ok(format!(
        "daemon off;
user {user};
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections 16384;
    multi_accept on;
    accept_mutex off;
}}
http {{
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"
    ))
}

/// `haproxy.cfg`; with SPOE it needs [`spoe`] beside it.
pub fn haproxy(wiring: &Wiring<'_>) -> String {
    let Wiring { address, origin, adviser, advice, folder, .. } = wiring;
    let (filter, backend) = if *advice == Advice::Spoe {
        let filter = format!(
            "filter spoe engine bench config {}/spoe.cfg
    http-request deny deny_status 503 unless {{ var(txn.bench.seen) -m found }}
    http-request set-header X-Agent-1 %[var(txn.bench.seen)]",
            folder.display()
        );
        let backend = format!("backend spoa\n    mode tcp\n    server one {adviser}\n");
        (filter, backend)
    } else {
        Default::default()
    };
    format!(
        "global
    nbthread 1
    maxconn 8000
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
frontend edge
    bind {address}
    option forwardfor
    {filter}
    http-request set-header X-Forwarded-Proto http
    default_backend first
backend first
    server one {origin} pool-max-conn 512 pool-purge-delay 600s
{backend}"
    )
}

/// `spoe.cfg`: the agent gets what ours get, the whole head and the client's address.
pub fn spoe() -> &'static str {
    "[bench]
spoe-agent bench
    messages head
    option var-prefix bench
    option pipelining
    timeout hello 2s
    timeout idle 600s
    timeout processing 2s
    use-backend spoa
spoe-message head
    args method=method path=path headers=req.hdrs_bin address=src
    event on-frontend-http-request
"
}
