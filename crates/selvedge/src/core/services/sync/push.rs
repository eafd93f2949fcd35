//! Waking devices: who is asked, with which key, and what browsers are told of it.

use std::{fmt::Display, fs, path::Path, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use data_encoding::BASE64URL_NOPAD;
use selvedge_agents::roots;
use selvedge_config::{CorePush, CoreSync};
use selvedge_sync::Push;
use selvedge_webpush::{Sender, Service, Settings, VapidKey};
use serde_json::{Value, json};

use super::{
    Desk, keep,
    problem::{Problem, Why},
};
use crate::exit::{Exit, Failure};

/// How long a push service may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Makes ready to wake devices, with a key of the core's own unless the config names one; blocks. `None` where the config has
/// nobody woken.
pub(super) fn open(settings: &CoreSync, data_dir: &Path) -> Result<Option<Push>, Failure> {
    let Some(push) = &settings.push else { return Ok(None) };
    let CorePush { contact, key: _, services, private, ca, after, every, subscriptions } = push;
    let key = key(push, data_dir)?;
    let wrong = |error: &dyn Display| failed(Exit::Config, error);
    let trust = roots::trust(ca.as_deref()).map_err(|error| wrong(&error))?;
    let services: Result<Vec<Service>, _> = services.iter().map(|name| name.parse()).collect();
    let services = services.map_err(|error| wrong(&error))?;
    let services = if services.is_empty() { Service::of_browsers() } else { services };
    let of_sender = Settings {
        contact: contact.clone(),
        services,
        is_private_allowed: *private,
        timeout: TIMEOUT,
    };
    let sender = Sender::new(key, of_sender, Arc::unwrap_or_clone(trust));
    Ok(Some(Push {
        sender: Arc::new(sender),
        after: *after,
        every: *every,
        subscriptions_max: *subscriptions,
        renew: settings.renew,
    }))
}

fn key(push: &CorePush, data_dir: &Path) -> Result<VapidKey, Failure> {
    let text = match &push.key {
        Some(file) => fs::read_to_string(file)
            .map_err(|error| failed(Exit::Config, &format!("{}: {error}", file.display())))?,
        None => keep::push_key(data_dir).map_err(|error| failed(Exit::Unavailable, &error))?,
    };
    VapidKey::from_pem(&text).map_err(|error| match &push.key {
        Some(file) => failed(Exit::Config, &format!("{}: {error}", file.display())),
        None => failed(Exit::Unavailable, &format!("sync/push.pem in the data-dir: {error}")),
    })
}

fn failed(exit: Exit, error: &dyn Display) -> Failure {
    Failure::new(exit, format!("`push` in `core {{ sync }}` cannot be used: {error}"))
}

/// The key that browsers subscribe with.
pub(super) async fn public_key(
    State(desk): State<Arc<Desk>>,
) -> Result<([(HeaderName, &'static str); 1], Json<Value>), Problem> {
    let key = desk.sync.push_key().ok_or_else(|| {
        Why::Push.because("The config wakes devices with `core { sync { push { … } } }`.")
    })?;
    let fields = [(header::CACHE_CONTROL, "no-cache")];
    Ok((fields, Json(json!({ "key": BASE64URL_NOPAD.encode(&key) }))))
}
