//! How far a document and its relay are apart.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::exit::{Exit, Failure};

/// What the relay does not have of a document, and why not.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Operations that it does not have.
    pub(super) waiting: u64,
    /// It does not have the list of members that this device made.
    pub(super) list_waits: bool,
    /// Why not.
    pub(super) trouble: Option<String>,
    /// Everything is there, and everything that was there is here.
    pub(super) is_in_step: bool,
    /// There is no connection.
    pub(super) is_away: bool,
    /// Why something that was written is undone.
    pub(super) dropped: Option<String>,
    /// Why what is here is not all that others wrote.
    pub(super) unread: Option<String>,
}

impl Standing {
    /// What people read of this.
    pub(super) fn shown(&self) -> Json {
        json!({ "waiting": self.waiting, "trouble": self.trouble.as_ref().or(self.unread.as_ref()) })
    }

    /// That they are not in step, where they must be.
    pub(super) fn failure(&self) -> Failure {
        let kept = match (self.waiting, self.list_waits) {
            (0, true) => "help: the list of members is kept here until then".to_owned(),
            (waiting, _) => format!("help: {waiting} changes are kept here until then"),
        };
        match &self.trouble {
            Some(why) if !self.is_away => {
                Failure::new(Exit::Failure, format!("the relay does not take it: {why}\n{kept}"))
            }
            trouble => {
                let why = trouble.as_deref().unwrap_or("it does not answer");
                let text = format!("the relay cannot be reached: {why}\n{kept}");
                Failure::new(Exit::Unavailable, text)
            }
        }
    }
}

/// What is wrong where a relay tells of a loss that, by this device's clock, is to come.
pub(super) const CLOCK: &str =
    "it is more than a day ahead of this device's clock, which may be wrong";

/// That something was written, and is not there any more.
pub(super) fn undone(why: &str) -> Failure {
    Failure::new(
        Exit::Failure,
        format!("the relay refuses what was written, and it is undone here: {why}"),
    )
}
