//! A reader of the log's files that shares no code with the log: `docs/reference/event-log-format.md`,
//! read by somebody who has nothing else.

use std::{collections::BTreeMap, fs, path::Path};

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

/// Reads a log that begins at LSN 0 and is not open, and returns its streams by number.
pub fn read(folder: &Path) -> BTreeMap<u64, Stream> {
    let mut streams = BTreeMap::new();
    let mut chain = 0;
    let mut end = 0;
    for (base, bytes) in segments(folder) {
        assert_eq!(base, end, "segments follow each other");
        assert_eq!(&bytes[..12], b"SLVGLOG\n\x01\0\0\0");
        let id = bytes[16..32].to_vec();
        assert_eq!(
            u32_at(&bytes, 12),
            seeded(&id, &bytes[..64], 12),
            "a segment's header is whole"
        );
        assert_eq!((u64_at(&bytes, 32), u32_at(&bytes, 48)), (base, chain));
        let mut at = 64;
        while let Some(length) = frame(&bytes[at..], &id, base + at as u64, &mut chain) {
            let body = &bytes[at + 48..at + 48 + length];
            entries(body, usize::from(u16_at(&bytes, at + 44)), &mut streams);
            at = (at + 48 + length).next_multiple_of(8);
        }
        end = base + at as u64;
    }
    streams
}

fn segments(folder: &Path) -> BTreeMap<u64, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "segment"))
        .map(|file| {
            let stem = file.file_stem().unwrap().to_str().unwrap();
            (u64::from_str_radix(stem, 16).unwrap(), fs::read(&file).unwrap())
        })
        .collect()
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

fn append(stream: &mut Stream, flags: u8, first: u64, count: u32, mut payload: &[u8]) {
    let moved = flags & 2 != 0;
    if moved {
        payload = &payload[8..];
    }
    if flags & 4 != 0 {
        payload = &payload[16..];
        counted(&mut payload);
    }
    if flags & 8 != 0 {
        counted(&mut payload);
    }
    for sequence in first..first + u64::from(count) {
        stream.records.insert(sequence, counted(&mut payload).to_vec());
    }
    assert!(payload.is_empty());
    if !moved {
        assert_eq!(first, stream.tail, "an append continues its stream");
        stream.tail = first + u64::from(count);
        stream.closed |= flags & 1 != 0;
    }
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

/// CRC32C bit by bit, continued from `before`.
fn crc(before: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!before, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[test]
fn the_checksum_is_the_one_of_rfc_3720() {
    assert_eq!(crc(0, b"123456789"), 0xe306_9283);
    assert_eq!(crc(0, &[0; 32]), 0x8a91_36aa);
}
