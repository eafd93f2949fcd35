//! The audit log after a death, as an auditor sees it who has the files and the public key; and beside the event log, whether
//! entries and streams belong together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use selvedge_audit::{
    checkpoint::{Checkpoint, Trust},
    files::LogFiles,
    store::Folder,
    tile::Tile,
    verify::{Scope, verify},
};
use serde_json::Value;

use super::{ledger::ROOT, reader::Stream};

/// The stream of the event log that entries come from.
const STREAM: &str = "audit";

/// Somebody who comes after each death, and keeps the head that was believed the last time.
#[derive(Default)]
pub struct Auditor {
    since: Option<Checkpoint>,
    /// Entries, at the last look.
    pub entries: u64,
    /// Streams that entries say were made.
    pub made: u64,
    /// Streams that entries say were deleted, or whose time was over.
    pub ended: u64,
}

impl Auditor {
    /// Looks at a data-dir without a core, and at what its event log was found to hold.
    pub fn check(&mut self, data: &Path, streams: &BTreeMap<u64, Stream>) {
        let mut entries = self.verified(data);
        let stream = streams.values().find(|stream| stream.name == STREAM);
        for (number, record) in &stream.expect("a core has an audit log").records {
            let number = usize::try_from(*number).unwrap();
            match entries.get(number) {
                Some(entry) => assert!(entry == record, "entry {number} is not what was logged"),
                None => {
                    assert_eq!(entries.len(), number, "neither the files nor the log have it");
                    entries.push(record.clone());
                }
            }
        }
        self.entries = entries.len() as u64;
        self.compare(&entries, streams);
    }

    /// All entries under the head, once everything is as it was signed and goes on from the last time.
    fn verified(&mut self, data: &Path) -> Vec<Vec<u8>> {
        let files = data.join("audit");
        if !files.join("checkpoint").exists() {
            assert_eq!(self.since, None, "there was a head");
            return Vec::new();
        }
        let key = fs::read_to_string(data.join("audit.vkey")).unwrap();
        let trust = Trust::in_key(key.trim().parse().unwrap());
        let files = LogFiles(Folder::open(&files));
        let report = verify(&files, &trust, Scope::Everything { since: self.since.as_ref() });
        let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
        assert!(faults.is_empty(), "{faults:#?}");
        let head = report.head.expect("a log without faults has a head").checkpoint;
        assert_eq!(report.entries, head.size);
        let bundles = (0..head.size.div_ceil(256)).map(|bundle| {
            let width = (head.size - bundle * 256).min(256);
            Tile::of_entries(bundle, u16::try_from(width).unwrap()).unwrap()
        });
        let entries = bundles.flat_map(|bundle| files.bundle(bundle).unwrap()).collect();
        self.since = Some(head);
        entries
    }

    /// No stream is there that was not told, none that was told to have ended, and no other is missing.
    fn compare(&mut self, entries: &[Vec<u8>], streams: &BTreeMap<u64, Stream>) {
        let (mut made, mut ended) = (BTreeMap::new(), BTreeSet::new());
        for entry in entries {
            let entry: Value = serde_json::from_slice(entry).unwrap();
            let is_done = entry["outcome"] == "done";
            let number = || entry["details"]["number"].as_u64().expect("a stream has a number");
            match entry["action"].as_str().unwrap() {
                "stream.create" if is_done => {
                    let path = entry["resource"]["id"].as_str().unwrap().to_owned();
                    assert_eq!(made.insert(number(), path), None, "made twice: {entry}");
                }
                "stream.delete" | "stream.expire" if is_done => {
                    assert!(made.contains_key(&number()), "nobody made it: {entry}");
                    assert!(ended.insert(number()), "ended twice: {entry}");
                }
                _ => {}
            }
        }
        (self.made, self.ended) = (made.len() as u64, ended.len() as u64);
        made.retain(|number, _| !ended.contains(number));
        let there = streams.iter().filter_map(|(number, stream)| {
            Some((*number, stream.name.strip_prefix(ROOT)?.to_owned()))
        });
        let there: BTreeMap<u64, String> = there.collect();
        assert_eq!(made, there, "what entries say there is, and what there is");
    }
}
