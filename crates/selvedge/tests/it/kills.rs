//! `kill -9` of a core under load, again and again, judged by a reader of its files that shares no code with the log, and by
//! an auditor.
//!
//! `SELVEDGE_KILLS` says how often, and `SELVEDGE_KILLS_REPORT` where to write what happened: `cargo xtask sim kill`.

mod auditor;
mod churn;
mod client;
mod ledger;
#[path = "../../../eventlog/tests/it/reader.rs"]
#[expect(dead_code, reason = "the log's own tests read more of its files")]
mod reader;
mod writer;

use std::{fs, path::Path, sync::atomic::Ordering::SeqCst, thread};

use rustix::process::Signal;

use self::{auditor::Auditor, client::Target, ledger::Ledger};
use crate::{
    http::get,
    process::{Place, eventually, field, is_alive},
};

/// How often a core is killed by default: enough to see that everything here works.
const KILLS: u64 = 4;
/// Acknowledgements from one death to the next: at least, and how many more at most.
const LIFE: (u64, u64) = (150, 600);
/// Streams that many write to, and writers of either kind.
const STREAMS: usize = 4;
const WRITERS: usize = 6;
/// Who makes streams and deletes them.
const CHURNERS: usize = 2;

const CONFIG: &str = "workers 1\nadmin #false\ntelemetry { access-log #false }\ndrain-timeout \"5s\"\n\
    listener \"web\" { address \"127.0.0.1:0\" }\ncore { data-dir \"./data\" }\n\
    route \"all\" { respond 200 \"hello\" }\n";

#[test]
fn a_core_that_is_killed_under_load_loses_nothing_and_makes_nothing_up() {
    let kills = std::env::var("SELVEDGE_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let place = Place::new();
    let mut edge = place.write("selvedge.kdl", CONFIG).start("edge");
    let url = field(&edge.hear("listener=web"), "url");
    let made = place.run("token create load --scope streams:*");
    let token = made.lines().nth(2).unwrap_or_else(|| panic!("{made}"));
    let target = Target::new(&url, token);
    let ledger = Ledger::new(STREAMS, WRITERS, CHURNERS);
    let mut auditor = Auditor::default();
    thread::scope(|scope| {
        // A check that fails must not leave writers behind.
        let _stop = ledger.stop_at_the_end();
        for writer in ledger.writers() {
            let target = &target;
            scope.spawn(move || writer.run(target));
        }
        for churner in ledger.churners() {
            let target = &target;
            scope.spawn(move || churner.run(target));
        }
        for kill in 0..kills {
            live_and_die(&place, &url, &ledger, kill);
            let found = reader::read(&place.path("data/log"));
            ledger.check(&found);
            auditor.check(&place.path("data"), &found);
        }
    });
    if let Some(path) = std::env::var_os("SELVEDGE_KILLS_REPORT") {
        let report = ledger.report((kills, &auditor), &size(&place.path("data/log")));
        fs::write(path, report).unwrap();
    }
    edge.signal(Signal::TERM);
    assert_eq!(edge.end(), 0);
}

/// Runs a core until it has acknowledged so much, and kills it.
fn live_and_die(place: &Place, url: &str, ledger: &Ledger, kill: u64) {
    let mut core = place.start("core");
    core.hear("core serving");
    eventually("the core answers", || {
        (get(&format!("{url}_selvedge/health")).status == 200).then_some(())
    });
    // Lives of all lengths, so that every part of a commit is met.
    let enough = ledger.acknowledged.load(SeqCst) + LIFE.0 + kill * 7919 % LIFE.1;
    eventually("appends are acknowledged", || {
        (ledger.acknowledged.load(SeqCst) >= enough).then_some(())
    });
    core.signal(Signal::KILL);
    eventually("the core is gone", || (!is_alive(core.id())).then_some(()));
}

/// Segments and bytes of a log.
fn size(folder: &Path) -> (usize, u64) {
    let segments = reader::files(folder, "segment");
    let bytes = segments.keys().zip(segments.keys().skip(1)).map(|(one, next)| next - one).sum();
    (segments.len(), bytes)
}
