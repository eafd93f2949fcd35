//! The suites: what each is, what it needs, how it is driven.

mod autobahn;
mod ext_proc;
mod grpc;
mod h2;
mod libinjection;
mod llhttp;
mod tls;
mod tonic;
mod trace_context;

use super::{report::Report, stage::Stage};
use crate::Result;

/// What a suite is pointed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// What we ship.
    Selvedge,
    /// Something that breaks the rules the suite checks.
    Wrong,
}

/// One suite.
pub struct Suite {
    /// Its name, and that of its folder under `conformance`.
    pub name: &'static str,
    /// For the page: whose it is, what it checks, what is wrong on purpose.
    pub about: &'static str,
    /// Whether CI runs it at every change.
    pub quick: bool,
    /// What it needs from PyPI.
    pub python: &'static [&'static str],
    /// Why it cannot run here, if so.
    pub unavailable: fn() -> Option<String>,
    /// Runs it.
    pub run: fn(&Stage, Subject) -> Result<Report>,
}

/// All of them, in the order of the page.
pub const SUITES: &[Suite] = &[
    llhttp::SUITE,
    h2::SUITE,
    tls::SUITE,
    trace_context::SUITE,
    grpc::SUITE,
    tonic::SUITE,
    ext_proc::SUITE,
    autobahn::SUITE,
    libinjection::SUITE,
];
