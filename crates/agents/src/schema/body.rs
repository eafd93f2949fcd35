//! How bodies become values, whatever describes them.

use serde_json::Value;

use super::{checker::Finding, guard};

/// Within which bounds bodies are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) limits: guard::Limits,
    /// Violations that are listed.
    pub(super) most: usize,
}

/// Why a body is no value at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not JSON, or is beyond a bound.
    Json(guard::Refusal),
    /// It is not text.
    NotUtf8,
    /// It is no form; this is what it does.
    Form(String),
}

/// What is said of a body.
pub(super) type Judgement = Result<Finding, Fault>;

impl Look {
    pub(super) fn json(&self, body: &[u8]) -> Result<Value, Fault> {
        guard::read(body, self.limits).map_err(Fault::Json)
    }

    pub(super) fn text<'b>(&self, body: &'b [u8]) -> Result<&'b str, Fault> {
        std::str::from_utf8(body).map_err(|_| Fault::NotUtf8)
    }
}
