//! Tokens that a device gets from a relay by showing who it is (docs/reference/sync-protocol.md).

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use selvedge_seal::{Asked, Device};
use serde_json::Value as Json;

use super::dial::MOUNT;
use crate::{
    exit::{Exit, Failure},
    site::{AskError, Question, Site},
};

/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A relay, asked by one of our keys: the device's, or a link's.
pub(super) struct Exchange<'a> {
    site: Site,
    device: &'a Device,
}

/// Why there is no token.
#[derive(Debug)]
pub(super) enum NotGiven {
    /// The relay says why not: a code, and what it means here.
    Refused(String, String),
    /// There is no answer.
    Away(AskError),
}

impl<'a> Exchange<'a> {
    pub(super) fn with(relay: &str, device: &'a Device) -> Result<Self, Failure> {
        let site = Site::parse(relay, MOUNT, None).map_err(|why| Failure::new(Exit::Usage, why))?;
        Ok(Self { site, device })
    }

    /// Asks for a token: `found`, `renew`, `share`, `join`. Where our clock is wrong, the relay's counts.
    pub(super) async fn token(&mut self, what: &str, wanted: &Json) -> Result<String, NotGiven> {
        let answer = self.ask(what, wanted, now_ms()).await?;
        let answer = match (answer["code"].as_str(), answer["now"].as_u64()) {
            (Some("sync/clock"), Some(now_ms)) => self.ask(what, wanted, now_ms).await?,
            _ => answer,
        };
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        text("token").ok_or_else(|| {
            let code = text("code").unwrap_or_else(|| "no token".to_owned());
            NotGiven::Refused(code, text("detail").unwrap_or_default())
        })
    }

    async fn ask(&mut self, what: &str, wanted: &Json, now_ms: u64) -> Result<Json, NotGiven> {
        let path = format!("/device/{what}");
        let question = Question::json(path.clone(), wanted, ANSWER_BYTES_MAX);
        let body = wanted.to_string().into_bytes();
        let asked = Asked { method: "POST", path: &path, body: &body };
        let proof = self.device.prove_request(&asked, now_ms).to_string();
        let reply = self.site.ask(&question.with_field("selvedge-proof", proof)).await;
        let reply = reply.map_err(NotGiven::Away)?;
        Ok(serde_json::from_slice(&reply.body).unwrap_or_default())
    }
}

impl fmt::Display for NotGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code, detail) => write!(f, "the relay gives no token: {code}: {detail}"),
            Self::Away(error) => write!(f, "the relay cannot be asked: {error}"),
        }
    }
}

impl From<NotGiven> for Failure {
    fn from(error: NotGiven) -> Self {
        let exit = match &error {
            NotGiven::Refused(..) => Exit::Failure,
            NotGiven::Away(_) => Exit::Unavailable,
        };
        Self::new(exit, error)
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
