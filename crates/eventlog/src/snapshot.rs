//! A moment of the log whose files stay where they are: what a copy of a running log is made from.

use std::{collections::BTreeMap, io, sync::Arc};

use crate::{
    Lsn, catalogue,
    format::{Frames, LogId, SEGMENT_HEADER, SegmentHeader, base_of, segment_name},
    locked, read_locked,
    shared::Shared,
};

/// Of catalogues, recovery asks the newest two.
const CATALOGUES: usize = 2;

/// A moment of the log. As long as it lives, no segment and no catalogue is deleted.
///
/// Whoever holds it reads the files of the folder by themselves: everything in them up to the length that is
/// said here is durable and never changes. The files, cut to these lengths, are a log that opens.
pub struct Snapshot {
    shared: Arc<Shared>,
    durable: u64,
    files: Vec<SnapshotFile>,
}

/// A file of a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its name in the log's folder.
    pub name: String,
    /// How many of its bytes belong to the moment; the file may be longer.
    pub length: u64,
}

impl Snapshot {
    /// Pins what there is, then looks at it: what is deleted is deleted before or after.
    pub(crate) fn take(shared: Arc<Shared>) -> io::Result<Self> {
        *locked(&shared.pins) += 1;
        let durable = shared.durable();
        let mut snapshot = Self { shared, durable, files: Vec::new() };
        snapshot.files = snapshot.segments();
        snapshot.files.extend(snapshot.catalogues()?);
        Ok(snapshot)
    }

    /// The random name of the log, which every file has in it.
    pub fn log(&self) -> LogId {
        self.shared.id
    }

    /// Everything before this position is in the moment.
    pub fn durable(&self) -> Lsn {
        Lsn(self.durable)
    }

    /// Segments in their order, then catalogues. Indexes are left out: they are made again.
    pub fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    fn segments(&self) -> Vec<SnapshotFile> {
        let segments: BTreeMap<u64, u64> = read_locked(&self.shared.segments).clone();
        let begun = segments.range(..self.durable);
        begun
            .map(|(base, end)| SnapshotFile {
                name: segment_name(*base),
                length: self.durable.min(*end) - base,
            })
            .collect()
    }

    fn catalogues(&self) -> io::Result<Vec<SnapshotFile>> {
        let disk = self.shared.disk.as_ref();
        let names = disk.list()?;
        let mut known: Vec<u64> =
            names.iter().filter_map(|name| base_of(name, catalogue::SUFFIX)).collect();
        known.retain(|lsn| *lsn <= self.durable);
        known.sort_unstable();
        let newest = known.split_off(known.len().saturating_sub(CATALOGUES));
        let file = |lsn: u64| {
            let name = catalogue::catalogue_name(lsn);
            let length = disk.open(&name)?.length()?;
            Ok(SnapshotFile { name, length })
        };
        newest.into_iter().map(file).collect()
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        *locked(&self.shared.pins) -= 1;
    }
}

/// Where the whole frames end in bytes of a segment that lie in it from `offset` on: at the end of the
/// bytes, unless something in them is damaged. `None` for a name that is no segment's.
pub fn whole_until(log: &LogId, segment: &str, offset: u64, bytes: &[u8]) -> Option<u64> {
    let base = base_of(segment, crate::format::SEGMENT_SUFFIX)?;
    let begin = match offset {
        0 => match SegmentHeader::decode(bytes) {
            Ok(header) if header.base == base && header.id == *log => SEGMENT_HEADER,
            _ => return Some(0),
        },
        offset => offset,
    };
    let at = usize::try_from(begin - offset).ok()?;
    let mut frames = Frames { id: log, bytes, lsn: base + begin, at };
    frames.by_ref().for_each(drop);
    Some(offset + frames.at as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Append, Batch, Log, Settings, StreamOptions, block_on};

    const SMALL: Settings = Settings { segment_bytes: 64 << 10, upkeep_ms: 1, ..Settings::DEFAULT };

    #[test]
    fn a_copy_of_a_moment_opens_as_it_was() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log = Log::open(from.path(), SMALL).unwrap();
        let stream = block_on(log.create("events", StreamOptions::default())).unwrap();
        let append = || log.append(Append::to(stream).record(&[7; 9_000])).wait().unwrap();
        (0..30).for_each(|_| drop(append()));
        let snapshot = log.snapshot().unwrap();
        (0..30).for_each(|_| drop(append()));
        for file in snapshot.files() {
            let mut bytes = fs::read(from.path().join(&file.name)).unwrap();
            bytes.truncate(file.length.try_into().unwrap());
            if file.name.ends_with(".segment") {
                let whole = whole_until(&snapshot.log(), &file.name, 0, &bytes);
                assert_eq!(whole, Some(file.length), "{}", file.name);
            }
            fs::write(to.path().join(&file.name), bytes).unwrap();
        }
        let copy = Log::open(to.path(), SMALL).unwrap();
        assert_eq!(copy.durable(), snapshot.durable());
        assert_eq!(copy.info(stream).unwrap().tail, 30);
        assert_eq!(copy.read(stream, 0, 1 << 20).unwrap().records().count(), 30);
    }

    #[test]
    fn what_is_pinned_stays_and_goes_when_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), SMALL).unwrap();
        let stream = block_on(log.create("events", StreamOptions::default())).unwrap();
        let fill = || {
            (0..40).for_each(|_| drop(log.append(Append::to(stream).record(&[7; 9_000])).wait()));
            let tail = log.info(stream).unwrap().tail;
            log.append(Batch::trim(stream, tail)).wait().unwrap();
        };
        fill();
        let snapshot = log.snapshot().unwrap();
        fill();
        // Upkeep comes round with each batch here: in these it could have deleted what is dead.
        fill();
        for file in snapshot.files() {
            assert!(folder.path().join(&file.name).is_file(), "{}", file.name);
        }
        let first = folder.path().join(&snapshot.files()[0].name);
        drop(snapshot);
        let gone = (0..200).any(|_| {
            fill();
            !first.is_file()
        });
        assert!(gone, "{} is dead and stays", first.display());
    }

    #[test]
    fn damage_is_found_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), SMALL).unwrap();
        let stream = block_on(log.create("events", StreamOptions::default())).unwrap();
        let at = log.append(Append::to(stream).record(&[7; 900])).wait().unwrap().lsn.0;
        let snapshot = log.snapshot().unwrap();
        let SnapshotFile { name, length } = &snapshot.files()[0];
        let mut bytes = fs::read(folder.path().join(name)).unwrap();
        bytes.truncate(usize::try_from(*length).unwrap());
        let check = |offset: u64, bytes: &[u8], whole: Option<u64>| {
            let offset_at = usize::try_from(offset).unwrap();
            assert_eq!(whole_until(&snapshot.log(), name, offset, &bytes[offset_at..]), whole);
        };
        check(0, &bytes, Some(*length));
        check(at, &bytes, Some(*length));
        bytes[usize::try_from(at).unwrap() + 100] ^= 1;
        check(0, &bytes, Some(at));
        bytes[3] ^= 1;
        check(0, &bytes, Some(0));
        assert_eq!(whole_until(&snapshot.log(), "no segment", 0, &bytes), None);
    }
}
