//! The log on a real nats-server, which is stopped, killed, cut off and set back.
//!
//! `SELVEDGE_NATS_SERVER` names the program; Debian's by default. Where there is none, the tests say so and
//! pass.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests too")]

mod deaths;
mod doubt;
mod login;
mod proxy;
mod server;
mod takeover;

use selvedge_eventlog::{Append, StreamOptions, block_on, conformance};
use server::Server;

#[test]
fn it_does_what_every_engine_does() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let nats = server.open(folder.path());
    block_on(conformance::check(nats.log()));
}

/// A batch is cut into messages where the server takes no larger ones, and is one batch all the same.
#[test]
fn a_batch_may_be_larger_than_a_message() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let nats = server.open(folder.path());
    let stream = block_on(nats.log().create("large", StreamOptions::default())).unwrap();
    let records: Vec<Vec<u8>> = (0..7u8).map(|n| vec![n; 1 << 20]).collect();
    let append = records.iter().fold(Append::to(stream), |append, record| append.record(record));
    let committed = nats.log().append(append).wait().unwrap();
    assert_eq!(committed.placed.tail, 7);
    drop(nats);
    let elsewhere = tempfile::tempdir().unwrap();
    let nats = server.open(elsewhere.path());
    let found = server::records(nats.log(), "large");
    assert!(found == records, "{} records", found.len());
}
