//! Why an exchange did not end as it should.

use std::fmt::Display;

use http::HeaderValue;

use super::agents::AgentRefusal;
use crate::problem::Problem;

/// An exchange that failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client is to be told.
    Refused(Box<Refusal>),
    /// An agent has an answer for the client.
    Agent(Box<AgentRefusal>),
    /// Nobody is there to be told.
    ClientGone(String),
}

/// What the client is told, and what the log says besides.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    pub(crate) cause: Option<String>,
    /// Seconds for `Retry-After`, where more is known than the problem's own.
    pub(crate) retry_after: Option<u64>,
    /// Fields the status asks for, such as `Allow`.
    pub(crate) fields: Vec<(&'static str, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(problem: Problem) -> Self {
        Self { problem, cause: None, retry_after: None, fields: Vec::new() }
    }

    /// Adds what the log shall say.
    pub(crate) fn because(self, cause: impl Display) -> Self {
        Self { cause: Some(cause.to_string()), ..self }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
