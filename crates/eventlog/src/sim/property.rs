//! What must hold for whatever lies in a segment file.

use std::sync::Arc;

use super::{Death, SimDisk, model::Model};
use crate::{
    Settings,
    core::Core,
    disk::{Disk, put_file_durably},
    format::{
        Bites, FRAME_HEADER, FrameHeader, LogId, SEGMENT_HEADER, SegmentHeader, padded,
        segment_name,
    },
};

const ID: LogId = *b"a log for tests!";

/// Opens a log on these bytes. It opens or is an error; what opened can be read, and is the same when it
/// is opened again.
///
/// Behind a first byte that is even, the bytes are the segment. Behind an odd one, they are bodies of
/// frames, each behind its length in two bytes, and get headers that are right.
pub fn recovers(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let segment = if first % 2 == 0 { bytes.to_vec() } else { framed(bytes) };
    let disk = SimDisk::new(1);
    put_file_durably(&disk, &segment_name(0), &segment).expect("the disk has no faults");
    let Some(core) = open(&disk) else { return };
    let found = Model::observe(&core.shared);
    drop(core);
    disk.restart(Death::PowerCut);
    let core = open(&disk).expect("what opened opens again");
    assert_eq!(Model::observe(&core.shared), found, "a second look sees the same");
    assert!(disk.list().is_ok_and(|names| !names.is_empty()));
}

fn open(disk: &SimDisk) -> Option<Core> {
    let settings = Settings { segment_bytes: 64 << 10, ..Settings::DEFAULT };
    Core::open(Arc::new(disk.clone()), settings, 1).ok()
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut segment = SegmentHeader { id: ID, base: 0, created_ms: 0, chain: 0 }.encode().to_vec();
    let (mut bites, mut chain) = (Bites(bytes), 0);
    while let Some(length) = bites.u16() {
        let body = bites.take(usize::from(length).min(bites.0.len())).unwrap_or_default();
        let at = segment.len();
        segment.resize(at + padded(FRAME_HEADER + body.len()), 0);
        segment[at + FRAME_HEADER..][..body.len()].copy_from_slice(body);
        let frame = FrameHeader {
            lsn: at as u64,
            durable: SEGMENT_HEADER,
            time_ms: 1,
            length: u32::try_from(body.len()).expect("two bytes are less than four"),
            body_checksum: crc32c::crc32c(body),
            chain,
            entries: 1,
        };
        chain = frame.encode(&ID, &mut segment[at..]);
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies of frames in real logs, behind their lengths.
    fn bodies(seed: u64) -> Vec<u8> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![1];
        for step in 0..rng.u64(1..12) {
            let kind = if step == 0 { 2 } else { rng.u8(1..6) };
            let stream = rng.u64(1..3);
            let payload: Vec<u8> = match kind {
                2 | 5 => [&4_u32.to_le_bytes()[..], b"name", &[255; 16], &[0; 4]].concat(),
                1 => [&3_u32.to_le_bytes()[..], b"abc"].concat(),
                _ => Vec::new(),
            };
            let mut body = vec![kind, 0, 0, 0];
            body.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
            body.extend(stream.to_le_bytes());
            body.extend(rng.u64(0..4).to_le_bytes());
            body.extend(u64::from(kind == 1).to_le_bytes());
            body.extend(payload);
            if rng.u8(..) < 64 {
                let at = rng.usize(..body.len());
                body[at] = rng.u8(..);
            }
            bytes.extend(u16::try_from(body.len()).unwrap().to_le_bytes());
            bytes.extend(body);
        }
        bytes
    }

    #[test]
    fn anything_recovers_or_is_refused() {
        for seed in 0..3000 {
            recovers(&bodies(seed));
        }
    }
}
