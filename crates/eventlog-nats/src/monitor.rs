//! Whether the servers sync what they acknowledge.
//!
//! The client protocol does not say. Servers from 2.10 on say it where they are monitored; earlier ones
//! cannot be told to, and sync every two minutes.

use std::{fmt, io, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::settings::Settings;

const PATIENCE: Duration = Duration::from_secs(3);
/// What a server says of itself is shorter.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// The first version that can be told to sync always.
const SYNCS_SINCE: (u64, u64) = (2, 10);

/// What is known of the servers' syncs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Durability {
    /// Monitoring says of each server that it syncs before it acknowledges.
    Monitored,
    /// The operator says so.
    Stated,
    /// A power cut may take what was acknowledged, or nobody knows.
    Doubtful(String),
}

impl fmt::Display for Durability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Monitored => out.write_str("the servers sync always, as their monitoring says"),
            Self::Stated => out.write_str("the servers sync always, as the config says"),
            Self::Doubtful(reason) => out.write_str(reason),
        }
    }
}

/// Finds out what can be found out.
pub(crate) async fn durability(settings: &Settings, version: &str) -> Durability {
    if is_before(version, SYNCS_SINCE) {
        return Durability::Doubtful(format!(
            "nats-server {version} syncs every two minutes, and cannot be told otherwise before 2.10: a power cut takes \
             what was acknowledged in that time"
        ));
    }
    for monitor in &settings.monitors {
        match syncs_always(monitor).await {
            Ok(true) => {}
            Ok(false) => {
                return Durability::Doubtful(format!(
                    "the server that {monitor} monitors does not say `sync_interval: always` in its config: a power cut \
                     takes what it acknowledged since its last sync"
                ));
            }
            Err(error) => {
                return Durability::Doubtful(format!(
                    "the monitoring at {monitor} cannot be asked: {error}"
                ));
            }
        }
    }
    match (settings.monitors.is_empty(), settings.sync_always) {
        (false, _) => Durability::Monitored,
        (true, true) => Durability::Stated,
        (true, false) => Durability::Doubtful(
            "nobody says that the servers have `sync_interval: always`: without it, a power cut takes what was \
             acknowledged since the last sync"
                .to_owned(),
        ),
    }
}

async fn syncs_always(monitor: &str) -> io::Result<bool> {
    let answer = timeout(PATIENCE, get(monitor)).await??;
    let said: Value = serde_json::from_slice(&answer)?;
    Ok(said["jetstream"]["config"]["sync_always"] == Value::Bool(true))
}

/// Asks a server of its own protocol's neighbour: one request of HTTP/1.0, which ends with its connection.
async fn get(monitor: &str) -> io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect(monitor).await?;
    let request = format!("GET /varz HTTP/1.0\r\nHost: {monitor}\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let unfit =
        || io::Error::new(io::ErrorKind::InvalidData, "it does not answer as nats-server does");
    let status = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let begin = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(unfit)? + 4;
    if !status.windows(5).any(|five| five == b" 200 ") {
        return Err(unfit());
    }
    Ok(answer.split_off(begin))
}

/// Whether a version is known, and before another.
fn is_before(version: &str, other: (u64, u64)) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        for (version, before) in [
            ("2.9.10", true),
            ("1.99.0", true),
            ("2.10.0", false),
            ("2.15.1", false),
            ("3.0", false),
            ("", false),
        ] {
            assert_eq!(is_before(version, SYNCS_SINCE), before, "{version:?}");
        }
    }
}
