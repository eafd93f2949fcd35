//! What a backup says about itself: the format, version 1 (`docs/reference/backup-format.md`).

use std::{collections::BTreeMap, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::{Date, Month, OffsetDateTime};

use crate::{Digest, Error};

/// The version that this program writes, and the only one that it reads.
pub(crate) const VERSION: u64 = 1;
/// The most bytes of one file in one object.
pub(crate) const PART_BYTES_MAX: u64 = 16 << 20;
/// A file of more slices than this is stored anew, as a whole.
pub(crate) const SLICES_MAX: usize = 64;
const PATH_BYTES_MAX: usize = 1024;

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of this form.
    pub version: u64,
    /// Which program made it.
    pub program: String,
    /// The machine that it was made on.
    pub host: String,
    /// When it was finished, in milliseconds since 1970; always later than the one before.
    pub time_ms: u64,
    /// The backup that it took over what had not changed from.
    pub parent: Option<String>,
    /// The event log.
    pub log: LogMark,
    /// The audit log, if there is one.
    pub audit: Option<AuditMark>,
    /// All files, folder by folder.
    pub folders: Vec<Folder>,
    /// Objects that were new.
    pub new_objects: u64,
    /// Their bytes.
    pub new_bytes: u64,
    /// Records that were damaged on the machine already.
    pub damaged: Vec<Damage>,
}

/// How far the event log had come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogMark {
    /// Its random name, in hexadecimal.
    pub id: String,
    /// Everything before this position is in the backup.
    pub durable: u64,
}

/// How far the audit log had come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditMark {
    /// Entries under the head.
    pub size: u64,
    /// The head: a signed note.
    pub head: String,
}

/// Files whose names begin alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// How they begin.
    pub name: String,
    /// The object that lists them.
    pub list: Digest,
    /// How many there are.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A damaged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damage {
    /// Its path below the data-dir.
    pub path: String,
    /// The first byte from which on it makes no sense.
    pub at: u64,
}

/// What an object says that lists files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listing {
    pub(crate) files: Vec<Entry>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Below the data-dir.
    pub(crate) path: String,
    /// Its length: that of its slices.
    pub(crate) bytes: u64,
    /// Where its bytes lie, in their order.
    pub(crate) slices: Vec<Slice>,
}

/// Bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slice {
    pub(crate) object: Digest,
    pub(crate) at: u64,
    pub(crate) bytes: u64,
}

/// All files of a backup by path.
pub(crate) type Files = BTreeMap<String, Entry>;

impl Manifest {
    /// Its bytes, and the name that they give it.
    pub(crate) fn encode(&self) -> (String, Vec<u8>) {
        let bytes = encode(self);
        (format!("{}-{}", stamp(self.time_ms), Digest::of(&bytes).short()), bytes)
    }

    /// Reads what lies under a name.
    pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let object = manifest_name(name);
        let sum = name.rsplit('-').next().unwrap_or_default();
        if Digest::of(bytes).short() != sum {
            return Err(Error::Damaged { object });
        }
        decode(&object, bytes)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.folders.iter().fold(0, |sum, folder| sum.saturating_add(folder.bytes))
    }

    /// How many files there are.
    pub fn files(&self) -> u64 {
        self.folders.iter().fold(0, |sum, folder| sum.saturating_add(folder.files))
    }
}

impl Listing {
    /// Reads a list, and takes nothing that leads out of a data-dir, or nowhere.
    pub(crate) fn decode(digest: Digest, bytes: &[u8]) -> Result<Self, Error> {
        let object = crate::store::content_name(digest);
        let listing: Self = decode_body(&object, bytes)?;
        for file in &listing.files {
            file.check().map_err(|reason| Error::malformed(&object, reason))?;
        }
        Ok(listing)
    }
}

impl Entry {
    fn check(&self) -> Result<(), &'static str> {
        if !is_inside(&self.path) {
            return Err("a path leads out of the data-dir");
        }
        let mut sum = 0_u64;
        for slice in &self.slices {
            slice.at.checked_add(slice.bytes).ok_or("a slice has no end")?;
            sum = sum.checked_add(slice.bytes).ok_or("a file has no end")?;
        }
        if sum == self.bytes { Ok(()) } else { Err("a file is not as long as its slices") }
    }
}

/// Whether a path names a file below a folder, in the only spelling.
fn is_inside(path: &str) -> bool {
    let odd = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    path.len() <= PATH_BYTES_MAX && !path.split('/').any(odd)
}

/// The folder in whose list a file stands. Of segments, 4 GiB stand in one, so that the list of those
/// behind which the log has long gone on never changes.
pub(crate) fn folder_of(path: &str) -> &str {
    let segment = path.strip_prefix("log/").and_then(|name| name.strip_suffix(".segment"));
    match segment.and_then(|stem| stem.get(..8)) {
        Some(stem) => &path[.."log/".len() + stem.len()],
        None => path.rsplit_once('/').map_or("", |(folder, _)| folder),
    }
}

/// Where a manifest lies.
pub(crate) fn manifest_name(name: &str) -> String {
    format!("{MANIFESTS}/{name}.json")
}

/// The folder of manifests.
pub(crate) const MANIFESTS: &str = "backups";

/// The name of a manifest that lies there, if it is one.
pub(crate) fn name_of(file: &str) -> Option<&str> {
    let name = file.strip_suffix(".json")?;
    let (stamp, sum) = name.split_once('-')?;
    let is_sum = sum.len() == 16 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_stamp = stamp.len() == 20 && stamp.ends_with('Z');
    (is_stamp && is_sum).then_some(name)
}

/// When a backup was finished, as its name says; 0 if that is no time.
pub(crate) fn time_of(name: &str) -> u64 {
    read_stamp(name).unwrap_or_default()
}

fn read_stamp(stamp: &str) -> Option<u64> {
    fn number<T: FromStr>(stamp: &str, at: Range<usize>) -> Option<T> {
        stamp.get(at)?.parse().ok()
    }
    let month = Month::try_from(number::<u8>(stamp, 4..6)?).ok()?;
    let date = Date::from_calendar_date(number(stamp, 0..4)?, month, number(stamp, 6..8)?).ok()?;
    let (hour, minute) = (number(stamp, 9..11)?, number(stamp, 11..13)?);
    let (second, milli) = (number(stamp, 13..15)?, number(stamp, 16..19)?);
    let time = date.with_hms_milli(hour, minute, second, milli).ok()?.assume_utc();
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

/// `20261122T001530.123Z`.
pub(crate) fn stamp(time_ms: u64) -> String {
    let time = i64::try_from(time_ms / 1000).ok();
    let time = time.and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok());
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let ((year, month, day), (hour, minute, second)) = (time.to_calendar_date(), time.to_hms());
    let (month, milli) = (u8::from(month), time_ms % 1000);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{milli:03}Z")
}

pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("our own types are JSON");
    bytes.push(b'\n');
    bytes
}

/// Reads what begins with its version: that of a later program is told as such, whatever else it says.
pub(crate) fn decode<T: DeserializeOwned>(object: &str, bytes: &[u8]) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    let Versioned { version } = decode_body(object, bytes)?;
    if version != VERSION {
        return Err(Error::Version { object: object.to_owned(), version });
    }
    decode_body(object, bytes)
}

fn decode_body<T: DeserializeOwned>(object: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::malformed(object, error))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            version: VERSION,
            program: "selvedge 0.1.0".to_owned(),
            host: "box".to_owned(),
            time_ms: 1_795_306_530_123,
            parent: None,
            log: LogMark { id: "00ff".to_owned(), durable: 4096 },
            audit: Some(AuditMark { size: 3, head: "log\n3\n".to_owned() }),
            folders: vec![Folder {
                name: "log/00000000".to_owned(),
                list: Digest::of(b"list"),
                files: 1,
                bytes: 4096,
            }],
            new_objects: 2,
            new_bytes: 5000,
            damaged: vec![Damage { path: "log/a.segment".to_owned(), at: 64 }],
        }
    }

    /// Version 1 as it was: what this writes, every later program reads.
    #[test]
    fn the_bytes_stay_as_they_are() {
        let (name, bytes) = manifest().encode();
        expect!["20261122T001530.123Z-ac05a067e3107f1f"].assert_eq(&name);
        expect![[r#"
            {"version":1,"program":"selvedge 0.1.0","host":"box","time_ms":1795306530123,"parent":null,"log":{"id":"00ff","durable":4096},"audit":{"size":3,"head":"log\n3\n"},"folders":[{"name":"log/00000000","list":"a330395cc0a53ad1207736546afff4735940937564bbf75ce1edad40780d9139","files":1,"bytes":4096}],"new_objects":2,"new_bytes":5000,"damaged":[{"path":"log/a.segment","at":64}]}
        "#]]
        .assert_eq(&String::from_utf8_lossy(&bytes));
        assert_eq!(Manifest::decode(&name, &bytes).unwrap(), manifest());
    }

    #[test]
    fn what_is_damaged_or_of_another_version_is_told() {
        let (name, bytes) = manifest().encode();
        let (_, cut) = bytes.split_last().unwrap();
        assert!(matches!(Manifest::decode(&name, cut), Err(Error::Damaged { .. })));
        let text = String::from_utf8(bytes).unwrap();
        let check = |from: &str, to: &str, expected: &str| {
            let bytes = text.replace(from, to).into_bytes();
            let name = format!("{}-{}", stamp(0), Digest::of(&bytes).short());
            let told = Manifest::decode(&name, &bytes).unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        };
        check("\"version\":1", "\"version\":2,\"new\":1", "has version 2; this program knows");
        check("\"host\"", "\"hosts\"", "unknown field `hosts`");
        check(&text, "", "is malformed: EOF");
    }

    #[test]
    fn lists_lead_nowhere_else() {
        #[track_caller]
        fn check(path: &str, bytes: u64, is_fine: bool) {
            let slice = Slice { object: Digest::of(b""), at: 1, bytes: 5 };
            let entry = Entry { path: path.to_owned(), bytes, slices: vec![slice] };
            let listing = encode(&Listing { files: vec![entry] });
            assert_eq!(Listing::decode(Digest::of(&listing), &listing).is_ok(), is_fine, "{path}");
        }
        check("log/0.segment", 5, true);
        check("tokens", 5, true);
        check("tokens", 6, false);
        for path in ["", "/etc/passwd", "../x", "log/../../x", "log//x", "log/.", "a\0"] {
            check(path, 5, false);
        }
    }

    #[test]
    fn folders_gather_what_stays_alike() {
        #[track_caller]
        fn check(path: &str, folder: &str) {
            assert_eq!(folder_of(path), folder);
        }
        check("log/0000000104000000.segment", "log/00000001");
        check("log/0000000104000000.catalogue", "log");
        check("audit/tile/0/x001/234", "audit/tile/0/x001");
        check("tokens", "");
    }

    proptest! {
        #[test]
        fn names_are_known_again(time in 0_u64..253_402_300_800_000, seed: Vec<u8>) {
            let name = format!("{}-{}", stamp(time), Digest::of(&seed).short());
            let file = format!("{name}.json");
            prop_assert_eq!(name_of(&file), Some(&*name));
            prop_assert_eq!(time_of(&name), time);
        }

        #[test]
        fn no_bytes_are_a_panic(bytes: Vec<u8>) {
            let _ = Listing::decode(Digest::of(&bytes), &bytes);
            let _ = Manifest::decode("x", &bytes);
            let _ = time_of(&String::from_utf8_lossy(&bytes));
        }
    }
}
