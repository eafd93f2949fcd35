//! The suites: what each is, what it needs, how it is driven.

mod autobahn;
mod crdt_benchmarks;
mod crs;
mod crs_blocking;
mod crs_proxy;
mod crs_proxy_blocking;
mod durable_streams;
mod ext_proc;
mod grpc;
mod h2;
mod libinjection;
mod llhttp;
mod nats;
mod text;
mod tls;
mod tonic;
mod trace_context;
mod waf_modsecurity;
mod waf_traffic;

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

/// Suites whose results stand on one page.
pub struct Page {
    /// The page, relative to the root.
    pub file: &'static str,
    /// How it begins.
    pub preface: &'static str,
    /// The suites, in their order.
    pub suites: &'static [Suite],
}

/// All pages.
pub const PAGES: &[Page] = &[
    Page {
        file: "docs/reference/conformance.md",
        preface: "\
# Conformance

Other people's tests against a running Selvedge; `cargo xtask conformance` runs them all, and
`--write` writes this page. Before a suite's result is believed, it must find fault with a subject
that is wrong on purpose. A case that fails without an explanation below fails the command.
Those of the firewall are on [a page of their own](conformance-waf.md).",
        suites: &[
            llhttp::SUITE,
            h2::SUITE,
            tls::SUITE,
            trace_context::SUITE,
            grpc::SUITE,
            tonic::SUITE,
            ext_proc::SUITE,
            autobahn::SUITE,
            durable_streams::SUITE,
            nats::STREAMS,
            nats::SUITE,
            libinjection::SUITE,
            text::SUITE,
            crdt_benchmarks::SUITE,
        ],
    },
    Page {
        file: "docs/reference/conformance-waf.md",
        preface: "\
# Conformance of the firewall

Other people's rules, tests, requests and engines against `crates/waf`, without a proxy between, and where a name says `proxy`
against a running Selvedge; `cargo xtask conformance crs crs-blocking crs-proxy crs-proxy-blocking waf-traffic
waf-modsecurity --write` writes this page. The rules of [conformance](conformance.md) hold.",
        suites: &[
            crs::SUITE,
            crs_blocking::SUITE,
            crs_proxy::SUITE,
            crs_proxy_blocking::SUITE,
            waf_traffic::SUITE,
            waf_modsecurity::SUITE,
        ],
    },
];

/// All suites, in the order of the pages.
pub fn all() -> impl Iterator<Item = &'static Suite> {
    PAGES.iter().flat_map(|page| page.suites)
}
