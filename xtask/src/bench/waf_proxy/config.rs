//! The config of each contestant: one worker, no log, connections kept on both sides, and the same rules.

use std::{fmt::Write, net::SocketAddr, path::Path};

use super::{
    super::{agents::nginx_with, waf::contestant::Rules},
    contestant::{Contestant, Proxy},
};
use crate::{Result, setup, waf};

/// What a config refers to.
#[derive(Clone, Copy, Debug)]
pub struct Wiring<'a> {
    /// Where the proxy listens.
    pub address: SocketAddr,
    /// Where it sends requests.
    pub origin: SocketAddr,
    /// Its own folder.
    pub folder: &'a Path,
}

/// The rules about requests; nobody is asked about responses.
pub fn rules() -> Result<Vec<String>> {
    let files = waf::core_rule_set(&[])?;
    let is_of_responses = |path: &Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("RESPONSE-"))
    };
    let files = files.iter().filter(|path| !is_of_responses(path));
    Ok(files.map(|path| path.display().to_string()).collect())
}

/// `selvedge.kdl`.
pub fn selvedge(contestant: &Contestant, wiring: &Wiring<'_>) -> Result<String> {
    let Wiring { address, origin, folder: _ } = wiring;
    let rules = match contestant.rules {
        None => None,
        Some(Rules::Native) => Some(String::new()),
        Some(Rules::Core) => {
            let files = rules()?.iter().map(|file| format!(" {file:?}")).collect::<String>();
            Some(format!("; seclang{files}"))
        }
    };
    let agent = rules.map(|rules| {
        // A pause of the machine must not void a run; a late answer costs no request anything.
        format!("agent \"waf\" {{ type \"waf\"; timeout-ms 5000{rules} }}\n")
    });
    let asks = if agent.is_some() { "agents \"waf\"; " } else { "" };
    Ok(format!(
        r#"workers 1
admin #false
limits {{ connections 100000; connections-per-address 100000 }}
telemetry {{ access-log #false; decision-log #false }}
listener "edge" {{
    address "{address}"
    timeouts {{ idle "10m" }}
}}
{}upstream "first" {{ target "{origin}"; pool {{ idle 512; idle-timeout "10m" }} }}
route "all" {{ matches {{ path-prefix "/" }}; {asks}upstream "first" }}
"#,
        agent.unwrap_or_default()
    ))
}

/// `nginx.conf`, and the file of rules that it names. What rules say goes to a log of level `info`, which is not kept.
pub fn nginx(contestant: &Contestant, wiring: &Wiring<'_>) -> Result<(String, String)> {
    debug_assert_eq!(contestant.proxy, Proxy::Nginx);
    let Wiring { address, origin, folder } = wiring;
    let (module, firewall) = match contestant.rules {
        None => Default::default(),
        Some(_) => {
            let file = folder.join("rules.conf");
            let firewall = format!("modsecurity on; modsecurity_rules_file {};", file.display());
            (format!("load_module {};\n", setup::NGINX_MODSECURITY.program), firewall)
        }
    };
    let mut includes = String::new();
    for file in rules()? {
        writeln!(includes, "Include {file}")?;
    }
    let servers = format!(
        "proxy_http_version 1.1;
    proxy_buffer_size 32k;
    proxy_buffers 8 32k;
    client_body_buffer_size 1m;
    client_max_body_size 20m;
    upstream first {{ server {origin}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 600s; }}
    server {{
        listen {address};
        {firewall}
        location / {{
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_pass http://first;
        }}
    }}"
    );
    Ok((format!("{module}{}", nginx_with(folder, &servers)?), includes))
}
