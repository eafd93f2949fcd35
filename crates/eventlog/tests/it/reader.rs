//! A reader of the log's files that shares no code with the log: `docs/reference/event-log-format.md`,
//! read by somebody who has nothing else.

use std::{collections::BTreeMap, fs, io, path::Path};

/// What a log says of a stream.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stream {
    pub name: String,
    pub start: u64,
    pub tail: u64,
    pub closed: bool,
    /// Records by sequence, as far as their segments are still there.
    pub records: BTreeMap<u64, Vec<u8>>,
}

/// Reads a log that is not open, and returns its streams by number.
///
/// A log that has all of its segments needs no catalogue. Another is read as the document says: streams are those of the
/// newest catalogue, and of what lies before it only where records lie is heeded.
pub fn read(folder: &Path) -> BTreeMap<u64, Stream> {
    let segments = segments(folder);
    let newest = newest_catalogue(folder).filter(|newest| !newest.is_complete(&segments));
    let catalogue = newest.unwrap_or_default();
    let mut streams = catalogue.streams.clone();
    let mut before: Option<(u64, u32)> = None;
    for (base, bytes) in segments {
        assert_eq!(&bytes[..12], b"SLVGLOG\n\x01\0\0\0");
        let id = bytes[16..32].to_vec();
        assert_eq!(
            u32_at(&bytes, 12),
            seeded(&id, &bytes[..64], 12),
            "a segment's header is whole"
        );
        assert_eq!(u64_at(&bytes, 32), base);
        let mut chain = u32_at(&bytes, 48);
        match before {
            Some((end, last)) if end == base => {
                assert_eq!(chain, last, "segments follow each other")
            }
            None if base == 0 => assert_eq!(chain, 0, "nothing is before the first"),
            _ => assert!(base < catalogue.lsn, "nobody removed what was before {base:x}"),
        }
        let mut at = 64;
        while let Some(length) = frame(&bytes[at..], &id, base + at as u64, &mut chain) {
            let (lsn, body) = (base + at as u64, &bytes[at + 48..at + 48 + length]);
            let count = usize::from(u16_at(&bytes, at + 44));
            match lsn < catalogue.lsn {
                true => locate(body, &mut streams),
                false => entries(body, count, &mut streams),
            }
            at = (at + 48 + length).next_multiple_of(8);
        }
        before = Some((base + at as u64, chain));
    }
    for (number, stream) in &streams {
        let kept = stream.records.range(stream.start..).map(|(sequence, _)| *sequence);
        let all = kept.eq(stream.start..stream.tail);
        assert!(all, "stream {number} has a gap between {} and {}", stream.start, stream.tail);
    }
    streams
}

/// What a catalogue says.
#[derive(Debug, Default)]
pub struct Catalogue {
    pub lsn: u64,
    /// Where segments begin, and end.
    pub segments: Vec<(u64, u64)>,
    pub streams: BTreeMap<u64, Stream>,
}

impl Catalogue {
    /// Whether no segment was removed, before it was written or since.
    fn is_complete(&self, present: &BTreeMap<u64, Vec<u8>>) -> bool {
        self.segments.first().is_some_and(|(first, _)| *first == 0)
            && self.segments.windows(2).all(|pair| pair[0].1 == pair[1].0)
            && self.segments.iter().all(|(base, _)| present.contains_key(base))
    }
}

fn newest_catalogue(folder: &Path) -> Option<Catalogue> {
    let catalogues = files(folder, "catalogue").into_iter().rev();
    catalogues.filter_map(|(lsn, bytes)| catalogue(lsn, &bytes)).next()
}

/// Reads a catalogue, if it is whole.
pub fn catalogue(lsn: u64, bytes: &[u8]) -> Option<Catalogue> {
    let mut rest = sealed(bytes, b"SLVGCAT\n")?;
    let rest = &mut rest;
    let mut catalogue = Catalogue { lsn: u64_of(rest), ..Catalogue::default() };
    assert_eq!(catalogue.lsn, lsn, "a catalogue is called by its position");
    let _indexed = u64_of(rest);
    let (_time, next) = (u64_of(rest), u64_of(rest));
    for _ in 0..u64_of(rest) {
        catalogue.segments.push((u64_of(rest), u64_of(rest)));
    }
    for _ in 0..u64_of(rest) {
        let number = u64_of(rest);
        assert!(number < next, "numbers are given out before they are used");
        catalogue.streams.insert(number, listed(rest));
    }
    assert!(rest.is_empty());
    Some(catalogue)
}

fn listed(rest: &mut &[u8]) -> Stream {
    let (start, tail, _time, closed) = (u64_of(rest), u64_of(rest), u64_of(rest), u64_of(rest));
    let name = String::from_utf8(counted(rest).to_vec()).unwrap();
    let (_age, _bytes, _metadata) = (u64_of(rest), u64_of(rest), counted(rest));
    for _run in 0..u64_of(rest) {
        *rest = &rest[5 * 8..];
    }
    for _producer in 0..u64_of(rest) {
        *rest = &rest[3 * 8..];
        counted(rest);
    }
    Stream { name, start, tail, closed: closed == 1, ..Stream::default() }
}

/// An extent of an index: the stream, its sequences, where its frames begin, and how long they are.
pub type Extent = (u64, std::ops::Range<u64>, u64, u64);

/// Reads an index, if it is whole.
pub fn index(bytes: &[u8]) -> Option<Vec<Extent>> {
    let mut rest = sealed(bytes, b"SLVGIDX\n")?;
    let (base, end) = (u64_of(&mut rest), u64_of(&mut rest));
    let (streams, extents) = (u32_at(rest, 0) as usize, u32_at(rest, 4) as usize);
    let (directory, list) = rest[8..].split_at(streams * 16);
    assert_eq!(list.len(), extents * 32);
    let mut found = Vec::new();
    for stream in directory.chunks_exact(16) {
        let (number, first) = (u64_at(stream, 0), u32_at(stream, 8) as usize);
        for extent in list.chunks_exact(32).skip(first).take(u32_at(stream, 12) as usize) {
            let lsn = base + u64::from(u32_at(extent, 24));
            let length = u64::from(u32_at(extent, 28));
            assert!(lsn + length <= end, "an extent is within its segment");
            found.push((number, u64_at(extent, 0)..u64_at(extent, 8), lsn, length));
        }
    }
    assert_eq!(found.len(), extents);
    Some(found)
}

/// The sequences that frames hold of a stream; the frames are known to be whole.
pub fn sequences(mut frames: &[u8], stream: u64) -> Vec<u64> {
    let mut found = Vec::new();
    while !frames.is_empty() {
        let length = u32_at(frames, 32) as usize;
        let mut streams = BTreeMap::from([(stream, Stream::default())]);
        locate(&frames[48..48 + length], &mut streams);
        found.extend(streams[&stream].records.keys());
        frames = &frames[(48 + length).next_multiple_of(8)..];
    }
    found
}

/// What follows the id in a file that is checked as a whole.
fn sealed<'a>(bytes: &'a [u8], magic: &[u8; 8]) -> Option<&'a [u8]> {
    assert_eq!((&bytes[..8], u32_at(bytes, 8)), (&magic[..], 1), "magic and version");
    let whole = seeded(&bytes[16..32], bytes, 12) == u32_at(bytes, 12);
    whole.then(|| &bytes[32..])
}

/// Files with an ending, by the position that they are called by; those that go meanwhile are left out.
pub fn files(folder: &Path, ending: &str) -> BTreeMap<u64, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == ending))
        .filter_map(|file| {
            let stem = file.file_stem().unwrap().to_str().unwrap();
            let bytes = match fs::read(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                bytes => bytes.unwrap(),
            };
            Some((u64::from_str_radix(stem, 16).unwrap(), bytes))
        })
        .collect()
}

fn segments(folder: &Path) -> BTreeMap<u64, Vec<u8>> {
    files(folder, "segment")
}

/// Heeds only where records lie.
fn locate(mut body: &[u8], streams: &mut BTreeMap<u64, Stream>) {
    while !body.is_empty() {
        let (kind, flags, length) = (body[0], body[1], u32_at(body, 4) as usize);
        let (number, first, count) = (u64_at(body, 8), u64_at(body, 16), u32_at(body, 24));
        let payload = &body[32..32 + length];
        body = &body[32 + length..];
        if let (1, Some(stream)) = (kind, streams.get_mut(&number)) {
            let records = records(flags, payload, count);
            let known = (first..).zip(records).filter(|(sequence, _)| *sequence >= stream.start);
            stream.records.extend(known);
        }
    }
}

/// The length of a frame's entries, if the frame is whole and follows the one before.
fn frame(bytes: &[u8], id: &[u8], lsn: u64, chain: &mut u32) -> Option<usize> {
    let header = bytes.get(..48)?;
    let checksum = u32_at(header, 4);
    let length = u32_at(header, 32) as usize;
    let whole = header.starts_with(b"SLF1")
        && seeded(id, header, 4) == checksum
        && u64_at(header, 8) == lsn
        && u32_at(header, 40) == *chain
        && crc(0, bytes.get(48..48 + length)?) == u32_at(header, 36);
    whole.then(|| {
        *chain = checksum;
        length
    })
}

fn entries(mut body: &[u8], count: usize, streams: &mut BTreeMap<u64, Stream>) {
    for _ in 0..count {
        let (kind, flags, length) = (body[0], body[1], u32_at(body, 4) as usize);
        let (number, sequence, records) = (u64_at(body, 8), u64_at(body, 16), u32_at(body, 24));
        let payload = &body[32..32 + length];
        body = &body[32 + length..];
        match kind {
            1 => {
                let stream = streams.get_mut(&number).expect("it was created before");
                append(stream, flags, sequence, records, payload);
            }
            2 => {
                let name = String::from_utf8(counted(&mut &payload[..]).to_vec()).unwrap();
                streams.insert(number, Stream { name, ..Stream::default() });
            }
            3 => drop(streams.remove(&number)),
            4 => {
                let stream = streams.get_mut(&number).expect("it was created before");
                stream.start = sequence;
                stream.records.retain(|record, _| *record >= sequence);
            }
            5 => {}
            kind => panic!("no kind {kind}"),
        }
    }
    assert!(body.is_empty());
}

fn append(stream: &mut Stream, flags: u8, first: u64, count: u32, payload: &[u8]) {
    stream.records.extend((first..).zip(records(flags, payload, count)));
    if flags & 2 == 0 {
        assert_eq!(first, stream.tail, "an append continues its stream");
        stream.tail = first + u64::from(count);
        stream.closed |= flags & 1 != 0;
    }
}

/// The records of an append, behind what its flags announce.
fn records(flags: u8, mut payload: &[u8], count: u32) -> Vec<Vec<u8>> {
    if flags & 2 != 0 {
        payload = &payload[8..];
    }
    if flags & 4 != 0 {
        payload = &payload[16..];
        counted(&mut payload);
    }
    if flags & 8 != 0 {
        counted(&mut payload);
    }
    let records = (0..count).map(|_| counted(&mut payload).to_vec()).collect();
    assert!(payload.is_empty());
    records
}

fn u64_of(bytes: &mut &[u8]) -> u64 {
    let (taken, rest) = bytes.split_at(8);
    *bytes = rest;
    u64_at(taken, 0)
}

fn counted<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = u32_at(bytes, 0) as usize;
    let (taken, rest) = bytes[4..].split_at(length);
    *bytes = rest;
    taken
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// CRC32C of the id and a header, in which the checksum's place counts as zero.
fn seeded(id: &[u8], header: &[u8], place: usize) -> u32 {
    let mut header = header.to_vec();
    header[place..place + 4].fill(0);
    crc(crc(0, id), &header)
}

/// CRC32C byte by byte, continued from `before`.
fn crc(before: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    let step = |crc: u32, byte: &u8| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(!before, step)
}

/// What the reflected polynomial makes of each byte.
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[test]
fn the_checksum_is_the_one_of_rfc_3720() {
    assert_eq!(crc(0, b"123456789"), 0xe306_9283);
    assert_eq!(crc(0, &[0; 32]), 0x8a91_36aa);
}
