//! The bytes: what this version writes is what the document says, and what old versions wrote is read.

use std::{
    fmt::Write,
    fs,
    path::Path,
    time::{Duration, Instant},
};

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
    let folder = copy(&fixture);
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

/// A log of which the first segments are gone, others are sealed and have an index, and catalogues know what all were about.
fn write_larger(folder: &Path) {
    let log = Log::open(folder, Settings { upkeep_ms: 1, ..SETTINGS }).unwrap();
    let create = |name: &str| block_on(log.create(name, StreamOptions::default())).unwrap();
    let commit = |batch: Batch| log.append(batch).wait().unwrap();
    let (orders, users, more) = (create("orders"), create("users"), create("more"));
    let options = StreamOptions { metadata: "kept".into(), ..StreamOptions::default() };
    commit(Batch::configure(users, options));
    for number in 0..6_u64 {
        let stream = [orders, users][usize::from(number % 2 == 1)];
        let producer = Producer { id: "p".into(), epoch: 1, sequence: number / 2 };
        commit(Append::to(stream).record(number.to_string().as_bytes()).producer(producer).into());
    }
    commit(Batch::trim(orders, 1));
    // What is trimmed is given back by turns of upkeep, which move what is left of a segment.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !has_all_kinds(folder) {
        assert!(Instant::now() < deadline, "segments are indexed, listed, emptied and deleted");
        let tail = commit(Append::to(more).record(&[0; 15_000]).into()).placed.tail;
        commit(Batch::trim(more, tail - 1));
    }
    commit(Append::to(orders).record(b"last").close().into());
}

/// Whether there are two catalogues, no first segment, and an index that knows of the streams and that the newest catalogue
/// relies on.
fn has_all_kinds(folder: &Path) -> bool {
    let segments = reader::files(folder, "segment");
    let catalogues = reader::files(folder, "catalogue");
    let Some((newest, _)) = catalogues.last_key_value() else { return false };
    let relied_on = |(base, bytes): (u64, Vec<u8>)| {
        let sealed = segments.range(base + 1..).next().is_some_and(|(end, _)| end <= newest);
        let found = reader::index(&bytes).unwrap();
        segments.contains_key(&base) && sealed && found.iter().any(|(stream, ..)| *stream <= 2)
    };
    segments.keys().next() > Some(&0)
        && catalogues.len() == 2
        && reader::files(folder, "index").into_iter().any(relied_on)
}

/// Every extent of every index is where it says.
#[track_caller]
fn check_indexes(folder: &Path) {
    let segments = reader::files(folder, "segment");
    for (base, bytes) in reader::files(folder, "index") {
        let Some(segment) = segments.get(&base) else { continue };
        for (stream, sequences, lsn, length) in reader::index(&bytes).unwrap() {
            let begin = usize::try_from(lsn - base).unwrap();
            let frames = &segment[begin..begin + usize::try_from(length).unwrap()];
            let found = reader::sequences(frames, stream);
            assert_eq!(found, sequences.collect::<Vec<_>>(), "stream {stream} at {lsn:x}");
        }
    }
}

/// The records that are kept of the first two streams.
fn kept(folder: &Path) -> [Vec<String>; 2] {
    let streams = reader::read(folder);
    [1, 2].map(|number| {
        let records = streams[&number].records.range(streams[&number].start..);
        records.map(|(_, record)| String::from_utf8_lossy(record).into_owned()).collect()
    })
}

/// Keeps a log for all versions that come, without what is reserved behind its last frame.
fn keep_fixture(folder: &Path, fixture: &Path) {
    for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if file.file_name() != "lock" {
            fs::copy(file.path(), fixture.join(file.file_name())).unwrap();
        }
    }
    let (base, bytes) = reader::files(fixture, "segment").pop_last().unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let end = end.next_multiple_of(8) + 8;
    fs::write(fixture.join(format!("{base:016x}.segment")), &bytes[..end]).unwrap();
}

fn copy(from: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

#[test]
fn an_independent_reader_understands_indexes_and_catalogues() {
    let folder = tempfile::tempdir().unwrap();
    write_larger(folder.path());
    check_indexes(folder.path());
    assert_eq!(kept(folder.path()), [&["2", "4", "last"][..], &["1", "3", "5"]]);
    if let Some(fixture) = std::env::var_os("SELVEDGE_WRITE_FIXTURE") {
        keep_fixture(folder.path(), Path::new(&fixture));
    }
}

#[test]
fn indexes_and_catalogues_of_version_1_are_understood() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1-catalogue");
    check_indexes(&fixture);
    assert_eq!(kept(&fixture), [&["2", "4", "last"][..], &["1", "3", "5"]]);
    let folder = copy(&fixture);
    {
        let log = Log::open(folder.path(), Settings { upkeep_ms: 3_600_000, ..SETTINGS }).unwrap();
        let [orders, users] = ["orders", "users"].map(|name| log.stream(name).unwrap());
        let texts = |stream, from| -> Vec<_> {
            let chunk = log.read(stream, from, usize::MAX).unwrap();
            chunk
                .records()
                .map(|(_, record)| String::from_utf8_lossy(&record).into_owned())
                .collect()
        };
        assert_eq!(texts(orders, 1), ["2", "4", "last"]);
        assert_eq!(texts(users, 0), ["1", "3", "5"]);
        assert_eq!(log.info(users).unwrap().options.metadata, "kept");
        let again = |sequence| {
            let producer = Producer { id: "p".into(), epoch: 1, sequence };
            log.append(Append::to(users).record(b"again").producer(producer)).wait()
        };
        assert!(again(2).unwrap().placed.duplicate, "the catalogue names producers");
        assert!(again(4).is_err());
    }
    // An index that is not understood is made again, in the version of who does it.
    for (base, bytes) in reader::files(&fixture, "index") {
        let now = fs::read(folder.path().join(format!("{base:016x}.index"))).unwrap();
        assert!(now == bytes, "the index at {base:x} was not understood");
    }
}
