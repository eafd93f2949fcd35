//! The relay of documents: the door for devices, and the tokens that open documents.

mod devices;
mod keep;
mod origins;
mod problem;
mod proof;
mod push;
mod schema;
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
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use hyper_util::rt::TokioIo;
use selvedge_base::ByteSize;
use selvedge_config::{CoreProcess, CoreSync, DocumentRule, Encryption, GuestRule};
use selvedge_crdt::session::relay::Demand;
use selvedge_eventlog::Log;
use selvedge_seal::token::Issuers;
use selvedge_sync::{NoHandshake, Rule, Seat, Settings, Sync, Welcome};
use selvedge_telemetry::{Hub, Level};
use tokio::task::JoinHandle;

use self::{
    devices::Guests,
    keep::Keep,
    problem::{Problem, Why},
    proof::Paces,
};
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
    /// Those whose tokens are exchanged: the relay itself.
    own: Issuers,
    /// How long after its end a token is exchanged.
    renew: Duration,
    guests: Vec<Guests>,
    paces: Paces,
    journal: Arc<Journal>,
    hub: Hub,
    opened: Instant,
}

impl Desk {
    /// Nanoseconds since it was opened.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
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
        let bounds = bounds(settings).map_err(|error| {
            let text = format!("a schema of documents cannot be used: {error}");
            Failure::new(Exit::Config, text)
        })?;
        let bounds = Settings { push: push::open(settings, &process.data_dir)?, ..bounds };
        let sync = Sync::open(log, bounds, parts).map_err(|error| failed(&error))?;
        let working = sync.clone();
        let own = keep.issuers(&[]).map_err(|error| failed(&error))?;
        let desk = Arc::new(Desk {
            sync,
            keep,
            own,
            renew: settings.renew,
            guests: settings.guests.iter().map(Guests::new).collect(),
            paces: Paces::default(),
            journal,
            hub,
            opened: Instant::now(),
        });
        let look_after = tokio::spawn(async move { working.look_after().await });
        Ok(Some(Self { desk, look_after }))
    }
}

impl Service for SyncService {
    fn name(&self) -> &'static str {
        "sync"
    }

    fn router(&self) -> Router {
        let of_devices = Router::new()
            .route("/device/found", post(devices::found).options(origins::preflight))
            .route("/device/renew", post(devices::renew).options(origins::preflight))
            .route("/device/share", post(devices::share).options(origins::preflight))
            .route("/device/join", post(devices::join).options(origins::preflight))
            .route("/push", get(push::public_key).options(origins::preflight))
            .layer(from_fn_with_state(self.desk.clone(), origins::admit));
        Router::new()
            .merge(of_devices)
            .route("/", get(connect))
            .route("/issuer", get(tokens::issuer))
            .route("/tokens", post(tokens::mint))
            .route("/tokens/{id}", delete(tokens::revoke))
            .with_state(self.desk.clone())
    }

    fn health(&self) -> Result<(), String> {
        match self.look_after.is_finished() || self.desk.sync.is_stuck() {
            true => Err("nobody looks after documents".to_owned()),
            false => Ok(()),
        }
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
    let Welcome { fields, seat } = match desk.sync.welcome(&Method::GET, request.headers()) {
        Ok(welcome) => welcome,
        Err(why) => return refused(why).into_response(),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().extend(fields);
    tokio::spawn(serve(hyper::upgrade::on(&mut request), seat));
    response
}

async fn serve(upgrade: hyper::upgrade::OnUpgrade, seat: Seat) {
    // Who goes away before it is one gets none.
    if let Ok(upgraded) = upgrade.await {
        seat.serve(TokioIo::new(upgraded)).await;
    }
}

fn refused(why: NoHandshake) -> Problem {
    match why {
        NoHandshake::NotAsked => {
            Why::Websocket.because("Devices connect with `Upgrade: websocket`, version 13.")
        }
        NoHandshake::Subprotocol => {
            Why::Subprotocol.because("Send `Sec-WebSocket-Protocol: selvedge-sync.1`.")
        }
        NoHandshake::Origin => origins::foreign(),
        NoHandshake::Full => Why::Full.until(Duration::from_secs(2), "Come again shortly."),
    }
}

fn bounds(settings: &CoreSync) -> Result<Settings, String> {
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
        renew: _,
        issuers: _,
        origins,
        documents,
        guests,
        push: _,
    } = settings.clone();
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Settings {
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
        rules: documents.into_iter().map(rule).collect::<Result<_, _>>()?,
        guests: guests.into_iter().map(opened).collect(),
        ..Settings::default()
    })
}

fn rule(rule: DocumentRule) -> Result<Rule, String> {
    let DocumentRule { names, tenant, encryption, schema } = rule;
    let demand = match encryption {
        Encryption::Any => Demand::Any,
        Encryption::Required => Demand::Sealed,
        Encryption::Off => Demand::Plain,
    };
    let tenant = tenant.unwrap_or_else(|| "*".to_owned());
    let schema = schema.map(|path| schema::read(&path)).transpose()?;
    Ok(Rule { tenant, documents: names, demand, schema })
}

fn opened(rule: GuestRule) -> selvedge_sync::Guests {
    let GuestRule { prefix, tenant, documents, document: ByteSize(document), address_rate: _ } =
        rule;
    selvedge_sync::Guests { tenant, prefix, documents_max: documents, document_bytes_max: document }
}
