//! The relay of documents: the door for devices, and the tokens that open documents.

mod keep;
mod problem;
mod tokens;

use std::{
    fmt::Display,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use hyper_util::rt::TokioIo;
use selvedge_base::ByteSize;
use selvedge_config::{CoreProcess, CoreSync, DocumentRule, Encryption};
use selvedge_crdt::session::relay::Demand;
use selvedge_eventlog::Log;
use selvedge_sync::{NoHandshake, Rule, Settings, Sync, Welcome};
use selvedge_telemetry::{Hub, Level};
use tokio::task::JoinHandle;

use self::{keep::Keep, problem::Problem};
use super::{Service, audit::Journal};
use crate::exit::{Exit, Failure};

/// How long connections may take to hear that the core ends.
const FAREWELL: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

/// The relay, and what looks after it.
pub(super) struct SyncService {
    desk: Arc<Desk>,
    look_after: JoinHandle<()>,
}

/// What its routes share.
struct Desk {
    sync: Sync,
    keep: Keep,
    journal: Arc<Journal>,
    hub: Hub,
}

impl SyncService {
    /// Opens the relay, with a key and an identity of its own, which are made at the first start. Inside of the runtime;
    /// blocks. `None` where the config has none.
    pub(super) fn open(
        (log, journal, hub): (Log, Arc<Journal>, Hub),
        process: &CoreProcess,
    ) -> Result<Option<Self>, Failure> {
        let Some(settings) = &process.sync else { return Ok(None) };
        let failed = |error: &dyn Display| {
            let text = format!("the relay of documents cannot be opened: {error}");
            Failure::new(Exit::Unavailable, text)
        };
        let keep = Keep::open(&process.data_dir, &log).map_err(|error| failed(&error))?;
        let issuers = keep.issuers(&settings.issuers).map_err(|error| {
            let text = format!("an issuer of tokens cannot be used: {error}");
            Failure::new(Exit::Config, text)
        })?;
        let parts = (keep.incarnation, issuers);
        let sync = Sync::open(log, bounds(settings), parts).map_err(|error| failed(&error))?;
        let working = sync.clone();
        let desk = Arc::new(Desk { sync, keep, journal, hub });
        let look_after = tokio::spawn(async move { working.look_after().await });
        Ok(Some(Self { desk, look_after }))
    }
}

impl Service for SyncService {
    fn name(&self) -> &'static str {
        "sync"
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/", get(connect))
            .route("/issuer", get(tokens::issuer))
            .route("/tokens", post(tokens::mint))
            .route("/tokens/{id}", delete(tokens::revoke))
            .with_state(self.desk.clone())
    }

    fn render_metrics(&self, out: &mut String) {
        self.desk.sync.render_metrics(out);
    }

    fn reconfigure(&self, config: &selvedge_config::Config) {
        let process = config.core.as_ref().and_then(selvedge_config::Core::process);
        let Some(settings) = process.and_then(|process| process.sync.as_ref()) else { return };
        match self.desk.keep.issuers(&settings.issuers) {
            Ok(issuers) => self.desk.sync.set_issuers(issuers),
            Err(error) => {
                let message = "core: issuers of tokens stay as they were";
                self.desk.hub.event(Level::Error, message, &[("error", &error)]);
            }
        }
    }

    fn drain(&self) {
        self.desk.sync.drain();
    }

    fn close(&self) {
        let end = Instant::now() + FAREWELL;
        while self.desk.sync.connections() > 0 && Instant::now() < end {
            std::thread::sleep(POLL);
        }
        self.look_after.abort();
        self.desk.sync.close();
    }
}

/// Makes a request a connection.
async fn connect(State(desk): State<Arc<Desk>>, mut request: Request) -> Response {
    let welcome = match desk.sync.welcome(&Method::GET, request.headers()) {
        Ok(welcome) => welcome,
        Err(why) => return refused(why).into_response(),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().extend(welcome.fields.iter().cloned());
    tokio::spawn(serve(hyper::upgrade::on(&mut request), welcome));
    response
}

async fn serve(upgrade: hyper::upgrade::OnUpgrade, welcome: Welcome) {
    // Who goes away before it is one gets none.
    if let Ok(upgraded) = upgrade.await {
        welcome.serve(TokioIo::new(upgraded)).await;
    }
}

fn refused(why: NoHandshake) -> Problem {
    match why {
        NoHandshake::NotAsked => Problem::NotAsked,
        NoHandshake::Subprotocol => Problem::Subprotocol,
        NoHandshake::Origin => Problem::Origin,
        NoHandshake::Full => Problem::Full,
    }
}

fn bounds(settings: &CoreSync) -> Settings {
    let CoreSync {
        connections,
        channels,
        tenant_channels,
        per_tenant,
        document: ByteSize(document),
        push_rate,
        tenant_push_rate,
        lease,
        grace,
        idle,
        issuers: _,
        origins,
        documents,
    } = settings.clone();
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Settings {
        connections_max: connections,
        channels_max: small(channels),
        tenant_channels_max: tenant_channels.unwrap_or(0),
        tenant_documents_max: per_tenant.unwrap_or(0),
        document_bytes_max: document,
        device_pushes_per_s: small(push_rate),
        tenant_pushes_per_s: small(tenant_push_rate.unwrap_or(0)),
        lease,
        grace,
        idle,
        origins,
        rules: documents.into_iter().map(rule).collect(),
        ..Settings::default()
    }
}

fn rule(rule: DocumentRule) -> Rule {
    let DocumentRule { names, tenant, encryption } = rule;
    let demand = match encryption {
        Encryption::Any => Demand::Any,
        Encryption::Required => Demand::Sealed,
        Encryption::Off => Demand::Plain,
    };
    let tenant = tenant.unwrap_or_else(|| "*".to_owned());
    Rule { tenant, documents: names, demand, schema: None }
}

#[cfg(test)]
mod tests {
    use super::problem::CODES;

    /// The page that people look codes up in has each of them, with its status and title.
    #[test]
    fn each_refusal_is_documented() {
        let page = include_str!("../../../../../docs/errors/sync.md");
        for (status, code, title) in CODES {
            let row = format!("| {status} | `{code}` | {title} |");
            assert!(page.contains(&row), "docs/errors/sync.md needs the row {row}");
        }
        let rows = page.lines().filter(|line| line.contains("| `sync/")).count();
        assert_eq!(rows, CODES.len());
    }
}
