//! Servers and streams that are not to be believed.

use std::{fs, path::Path, process::Command};

use async_nats::jetstream;
use selvedge_eventlog::{Append, StreamOptions, block_on};
use selvedge_eventlog_nats::{Durability, OpenError, Settings};

use crate::server::{Server, eventually, free_ports, open};

/// A server that is set back to what it was, as by a power cut before it synced.
#[test]
fn a_server_that_lost_what_it_acknowledged_is_noticed() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let nats = server.open(folder.path());
    let stream = block_on(nats.log().create("a", StreamOptions::default())).unwrap();
    nats.log().append(Append::to(stream).record(b"0")).wait().unwrap();
    server.kill();
    let earlier = tempfile::tempdir().unwrap();
    copy(&server.store(), &earlier.path().join("store"));
    server.run();
    for _ in 0..5 {
        nats.log().append(Append::to(stream).record(b"1")).wait().unwrap();
    }
    server.kill();
    fs::remove_dir_all(server.store()).unwrap();
    copy(&earlier.path().join("store"), &server.store());
    server.run();
    // The core that runs notices, and the one that is started again.
    let refused = nats.log().append(Append::to(stream).record(b"2")).wait().unwrap_err();
    assert!(refused.to_string().contains("lost what it acknowledged"), "{refused}");
    assert!(nats.trouble().is_some_and(|trouble| trouble.contains("lost")));
    drop(nats);
    let opened = server.try_open(folder.path()).err();
    assert!(matches!(opened, Some(OpenError::Lost { .. })), "{opened:?}");
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_stream_that_forgets_is_refused() {
    let Some(server) = Server::start() else { return };
    let config = jetstream::stream::Config {
        name: "SELVEDGE".to_owned(),
        subjects: vec!["selvedge.log.SELVEDGE.>".to_owned()],
        max_age: std::time::Duration::from_secs(3600),
        ..Default::default()
    };
    let url = server.url();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(&url).await.unwrap());
        while context.create_stream(config.clone()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let opened = server.try_open(folder.path()).err();
    assert!(matches!(&opened, Some(OpenError::Unfit(why)) if why.contains("by age")), "{opened:?}");
}

/// What is known of syncs: from the version, the monitoring, the operator, or not at all.
#[test]
fn a_server_that_does_not_sync_is_told_of() {
    let Some(version) = Server::version() else { return };
    let Some(server) = Server::start() else { return };
    let ask = |settings: Settings| {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), &settings).unwrap().durability().clone()
    };
    let monitored = |server: &Server| Settings {
        monitors: vec![format!("127.0.0.1:{}", server.monitor)],
        ..server.settings()
    };
    let stated = Settings { sync_always: true, ..server.settings() };
    if version < (2, 10) {
        for settings in [stated, monitored(&server), server.settings()] {
            check(&ask(settings), "cannot be told otherwise");
        }
        return;
    }
    assert_eq!(ask(monitored(&server)), Durability::Monitored);
    assert_eq!(ask(stated), Durability::Stated);
    check(&ask(server.settings()), "nobody says");
    let nobody = Settings {
        monitors: vec![format!("127.0.0.1:{}", free_ports::<1>()[0])],
        ..server.settings()
    };
    check(&ask(nobody), "cannot be asked");
    let lazy = Server::start_with("", "").unwrap();
    check(
        &ask(Settings { sync_always: true, ..monitored(&lazy) }),
        "does not say `sync_interval: always`",
    );
}

#[track_caller]
fn check(durability: &Durability, expected: &str) {
    assert!(
        matches!(durability, Durability::Doubtful(why) if why.contains(expected)),
        "{durability:?}"
    );
}

#[test]
fn a_port_where_nobody_is_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(vec![format!("nats://127.0.0.1:{}", free_ports::<1>()[0])]);
    let opened = open(folder.path(), &settings).err();
    eventually(|| matches!(opened, Some(OpenError::Unreachable(_))));
}
