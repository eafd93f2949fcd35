//! Two cores, and one log.

use selvedge_eventlog::{Append, AppendError, StreamOptions, block_on};

use crate::server::{Server, eventually, records};

#[test]
fn the_core_that_comes_later_writes_and_the_other_is_told() {
    let Some(server) = Server::start() else { return };
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let first = server.open(folders[0].path());
    let stream = block_on(first.log().create("a", StreamOptions::default())).unwrap();
    first.log().append(Append::to(stream).record(b"0")).wait().unwrap();
    let second = server.open(folders[1].path());
    assert_eq!(records(second.log(), "a"), [b"0"]);
    eventually(|| first.trouble().is_some_and(|trouble| trouble.contains("another core")));
    let refused = first.log().append(Append::to(stream).record(b"lost")).wait().unwrap_err();
    assert!(
        matches!(&refused, AppendError::ReadOnly(why) if why.contains("another core")),
        "{refused}"
    );
    second.log().append(Append::to(stream).record(b"1")).wait().unwrap();
    assert_eq!(records(second.log(), "a"), [b"0", b"1"]);
    assert_eq!(second.trouble(), None);
    // Started again, the first has what the second wrote, and writes.
    drop(first);
    let first = server.open(folders[0].path());
    assert_eq!(records(first.log(), "a"), [b"0", b"1"]);
    first.log().append(Append::to(stream).record(b"2")).wait().unwrap();
}
