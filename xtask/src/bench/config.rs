//! The config of each peer, tuned as its own documentation advises, one worker each.
//!
//! All do the same work: keep-alive on both sides, `Host` passed on, `X-Forwarded-For` and `-Proto` set, no log unless
//! the scenario is about logs. What differs from a default is here to take a limit out of the way, never to slow a peer.

use std::{fmt::Write, net::SocketAddr, path::Path};

use super::{
    peer::{Flavour, Origin, Place, routes},
    scenario::Setup,
};
use crate::{Result, process};

/// What a config refers to.
#[derive(Clone, Copy, Debug)]
pub struct Wiring<'a> {
    /// What the proxy has to do.
    pub setup: Setup,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it sends requests.
    pub origin: &'a Origin,
    /// Certificate and site.
    pub place: &'a Place,
    /// Its own folder.
    pub folder: &'a Path,
    /// Its access log, if the scenario has one.
    pub access_log: &'a Path,
}

impl Wiring<'_> {
    fn is_tls(&self) -> bool {
        matches!(self.setup, Setup::Tls | Setup::Http2)
    }

    fn path(&self, name: &str) -> String {
        self.place.file(name).display().to_string()
    }
}

/// `nginx.conf`.
pub fn nginx(wiring: &Wiring<'_>, flavour: Flavour) -> Result<String> {
    let Wiring { address, origin, folder, .. } = wiring;
    let user = process::output("id", &["-un"])?;
    let folder = folder.display();
    Ok(format!(
        r#"daemon off;
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
    proxy_buffer_size 32k;
    proxy_buffers 8 32k;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    {log}
    upstream first {{
        server {first};
        keepalive 512;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    upstream second {{
        server {second};
        keepalive 512;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen {address}{tls};
        {locations}
    }}
}}
"#,
        user = user.trim(),
        first = origin.first,
        second = origin.second,
        log = nginx_log(wiring, flavour),
        tls = nginx_tls(wiring),
        locations = nginx_locations(wiring, flavour),
    ))
}

fn nginx_log(wiring: &Wiring<'_>, flavour: Flavour) -> String {
    if wiring.setup != Setup::AccessLog {
        return "access_log off;".into();
    }
    let buffer = if flavour == Flavour::Buffered { " buffer=64k flush=1s" } else { "" };
    let format = [
        "time\":\"$time_iso8601",
        "client\":\"$remote_addr",
        "method\":\"$request_method",
        "host\":\"$host",
        "path\":\"$uri",
        "protocol\":\"$server_protocol",
        "status\":\"$status",
        "request_bytes\":\"$request_length",
        "response_bytes\":\"$bytes_sent",
        "duration\":\"$request_time",
        "upstream\":\"$upstream_addr",
        "upstream_connect\":\"$upstream_connect_time",
        "upstream_first_byte\":\"$upstream_header_time",
        "user_agent\":\"$http_user_agent",
        "request_id\":\"$request_id",
    ];
    format!(
        "log_format facts escape=json '{{\"{}\"}}';\n    access_log {} facts{buffer};",
        format.join("\",\""),
        wiring.access_log.display()
    )
}

fn nginx_tls(wiring: &Wiring<'_>) -> String {
    let protocol = match wiring.setup {
        Setup::Tls => " ssl",
        Setup::Http2 => " ssl http2",
        Setup::Plain | Setup::Routes | Setup::Static | Setup::AccessLog => return String::new(),
    };
    format!(
        "{protocol};\n        ssl_certificate {};\n        ssl_certificate_key {};\n        \
         ssl_protocols TLSv1.3;\n        http2_max_concurrent_streams 128",
        wiring.path("cert.pem"),
        wiring.path("key.pem")
    )
}

fn nginx_locations(wiring: &Wiring<'_>, flavour: Flavour) -> String {
    match wiring.setup {
        Setup::Routes => {
            let mut text = String::new();
            for (prefix, listener) in routes() {
                let upstream = ["first", "second"][listener];
                let _ = writeln!(text, "location {prefix} {{ proxy_pass http://{upstream}; }}");
            }
            text
        }
        Setup::Static => {
            let cache = if flavour == Flavour::FileCache {
                "open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;"
            } else {
                ""
            };
            format!("location / {{ root {}; {cache} }}", wiring.path("site"))
        }
        Setup::Plain | Setup::Tls | Setup::Http2 | Setup::AccessLog => {
            "location / { proxy_pass http://first; }".into()
        }
    }
}

/// `haproxy.cfg`.
pub fn haproxy(wiring: &Wiring<'_>) -> String {
    let Wiring { address, origin, folder, .. } = wiring;
    let (backend, tls) = (haproxy_choice(wiring, folder), haproxy_tls(wiring));
    let scheme = if wiring.is_tls() { "https" } else { "http" };
    format!(
        "global
    nbthread 1
    maxconn 8000
    tune.h2.max-concurrent-streams 128
    tune.bufsize 32768
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 600s
    timeout server 60s
    timeout http-keep-alive 600s
frontend edge
    bind {address}{tls}
    option forwardfor
    http-request set-header X-Forwarded-Proto {scheme}
    {backend}
backend first
    server one {first} pool-max-conn 512 pool-purge-delay 600s
backend second
    server one {second} pool-max-conn 512 pool-purge-delay 600s
",
        first = origin.first,
        second = origin.second,
    )
}

fn haproxy_choice(wiring: &Wiring<'_>, folder: &Path) -> String {
    if wiring.setup == Setup::Routes {
        format!("use_backend %[path,map_beg({}/routes.map)]", folder.display())
    } else {
        "default_backend first".into()
    }
}

fn haproxy_tls(wiring: &Wiring<'_>) -> String {
    let alpn = match wiring.setup {
        Setup::Http2 => "h2,http/1.1",
        Setup::Tls => "http/1.1",
        Setup::Plain | Setup::Routes | Setup::Static | Setup::AccessLog => return String::new(),
    };
    format!(" ssl crt {} alpn {alpn}", wiring.path("both.pem"))
}

/// The map file of the scenario with many routes: one prefix and its backend a line.
pub fn haproxy_map() -> String {
    routes().fold(String::new(), |mut text, (prefix, listener)| {
        let _ = writeln!(text, "{prefix} {}", ["first", "second"][listener]);
        text
    })
}

/// `selvedge.kdl`.
pub fn selvedge(wiring: &Wiring<'_>) -> String {
    format!(
        r#"workers 1
admin #false
limits {{ connections 100000; connections-per-address 100000 }}
telemetry {{ access-log {log} }}
listener "edge" {{
    address "{address}"
    timeouts {{ idle "10m" }}
    {tls}
}}
{upstreams}{routes}"#,
        address = wiring.address,
        log = selvedge_log(wiring),
        tls = selvedge_tls(wiring),
        upstreams = selvedge_upstreams(wiring),
        routes = selvedge_routes(wiring),
    )
}

fn selvedge_log(wiring: &Wiring<'_>) -> String {
    if wiring.setup == Setup::AccessLog {
        format!("\"file\" \"{}\"", wiring.access_log.display())
    } else {
        "#false".into()
    }
}

fn selvedge_tls(wiring: &Wiring<'_>) -> String {
    let protocols = match wiring.setup {
        Setup::Http2 => r#""h2" "http/1.1""#,
        Setup::Tls => r#""http/1.1""#,
        Setup::Plain | Setup::Routes | Setup::Static | Setup::AccessLog => return String::new(),
    };
    format!(
        "protocols {protocols}\n    tls {{ cert \"{}\"; key \"{}\"; min-version \"1.3\" }}",
        wiring.path("cert.pem"),
        wiring.path("key.pem")
    )
}

fn selvedge_upstreams(wiring: &Wiring<'_>) -> String {
    let Origin { first, second, .. } = wiring.origin;
    let upstreams: &[_] = match wiring.setup {
        Setup::Routes => &[("first", first), ("second", second)],
        Setup::Static => &[],
        Setup::Plain | Setup::Tls | Setup::Http2 | Setup::AccessLog => &[("first", first)],
    };
    upstreams.iter().fold(String::new(), |mut text, (name, address)| {
        let pool = r#"pool { idle 512; idle-timeout "10m" }"#;
        let _ = writeln!(text, "upstream \"{name}\" {{ target \"{address}\"; {pool} }}");
        text
    })
}

fn selvedge_routes(wiring: &Wiring<'_>) -> String {
    match wiring.setup {
        Setup::Routes => routes().fold(String::new(), |mut text, (prefix, listener)| {
            let (path, upstream) = (prefix.trim_end_matches('/'), ["first", "second"][listener]);
            let _ = writeln!(
                text,
                r#"route "{id}" {{ matches {{ path-prefix "{path}" }}; upstream "{upstream}" }}"#,
                id = path.trim_start_matches('/'),
            );
            text
        }),
        Setup::Static => format!(
            "route \"site\" {{ matches {{ path-prefix \"/\" }}; static \"{}\" }}\n",
            wiring.path("site")
        ),
        Setup::Plain | Setup::Tls | Setup::Http2 | Setup::AccessLog => {
            "route \"all\" { matches { path-prefix \"/\" }; upstream \"first\" }\n".into()
        }
    }
}
