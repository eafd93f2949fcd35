//! The bytes: what this version writes is what the document says, and what old versions wrote is read.

use std::{fmt::Write, fs, path::Path};

use expect_test::{Expect, expect};
use selvedge_eventlog::{
    Append, Batch, Log, Producer, Retention, Settings, StreamOptions, block_on,
};

use crate::reader;

const SETTINGS: Settings = Settings { segment_bytes: 64 << 10, ..Settings::DEFAULT };

/// Something of every kind.
fn write(folder: &Path) {
    let log = Log::open(folder, SETTINGS).unwrap();
    let retention = Retention { age_ms_max: None, bytes_max: Some(1 << 40) };
    let options = StreamOptions { retention, metadata: "text/plain".into() };
    let orders = block_on(log.create("orders", options)).unwrap();
    let gone = block_on(log.create("gone", StreamOptions::default())).unwrap();
    let commit = |batch: Batch| log.append(batch).wait().unwrap();
    commit(Append::to(orders).record(b"one").record(b"").record(b"three").into());
    let producer = Producer { id: "p".into(), epoch: 2, sequence: 0 };
    commit(Append::to(orders).record(b"four").metadata("m").producer(producer).into());
    let audit = log.new_stream();
    commit(
        Batch::create(audit, "audit", StreamOptions::default())
            .and(Append::to(audit).record(b"deleted gone"))
            .and(Batch::delete(gone)),
    );
    commit(Batch::trim(orders, 1));
    commit(Batch::configure(audit, StreamOptions::default()));
    commit(Append::to(orders).record(b"five").close().into());
}

#[track_caller]
fn check_reader(folder: &Path, expected: &Expect) {
    let mut text = String::new();
    for (number, stream) in reader::read(folder) {
        let reader::Stream { name, start, tail, closed, records } = stream;
        writeln!(text, "{number} {name} {start}..{tail} closed={closed}").unwrap();
        for (sequence, record) in records {
            let line = format!("  {sequence} {}", String::from_utf8_lossy(&record));
            writeln!(text, "{}", line.trim_end()).unwrap();
        }
    }
    expected.assert_eq(&text);
}

#[track_caller]
fn check_log(folder: &Path, expected: &Expect) {
    let log = Log::open(folder, SETTINGS).unwrap();
    let mut text = String::new();
    for stream in log.list("", "", 100) {
        writeln!(text, "{stream:?}").unwrap();
        for slice in log.read(stream.id, stream.start, usize::MAX).unwrap().slices {
            let records: Vec<_> = slice.records().collect();
            writeln!(text, "  {} {:?} {records:?}", slice.lsn, slice.metadata).unwrap();
        }
    }
    expected.assert_eq(&text);
}

fn contents() -> Expect {
    expect![[r#"
        1 orders 1..5 closed=true
          1
          2 three
          3 four
          4 five
        3 audit 0..1 closed=false
          0 deleted gone
    "#]]
}

#[test]
fn an_independent_reader_understands_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    check_reader(folder.path(), &contents());
}

#[test]
fn version_1_is_understood() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1");
    check_reader(&fixture, &contents());
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(fixture).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    check_log(
        folder.path(),
        &expect![[r#"
            StreamInfo { id: StreamId(3), name: "audit", start: 0, tail: 1, closed: false, time_ms: 1795299005889, options: StreamOptions { retention: Retention { age_ms_max: None, bytes_max: None }, metadata: b"" } }
              0000000000000238 b"" [(0, b"deleted gone")]
            StreamInfo { id: StreamId(1), name: "orders", start: 1, tail: 5, closed: true, time_ms: 1795299005900, options: StreamOptions { retention: Retention { age_ms_max: None, bytes_max: Some(1099511627776) }, metadata: b"text/plain" } }
              0000000000000158 b"" [(1, b""), (2, b"three")]
              00000000000001c0 b"m" [(3, b"four")]
              00000000000003b0 b"" [(4, b"five")]
        "#]],
    );
}
