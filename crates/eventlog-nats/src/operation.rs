//! What is done to the files of a log, as messages say it.
//!
//! The bytes are described in `docs/rfcs/0005-event-log.md`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use selvedge_eventlog::finished_name;

/// How a message begins: a name and a version.
const MAGIC: [u8; 4] = *b"SLJ1";
/// Magic, checksum, writer, ordinal.
pub(crate) const HEADER: usize = 24;
/// Bytes of a file's name.
const NAME_BYTES_MAX: usize = 128;
/// No file of a log is longer: what a message says beyond is damage, or a trap.
const FILE_BYTES_MAX: u64 = 1 << 33;
/// An operation without what is written.
const BARE_BYTES_MAX: usize = 2 + 2 * NAME_BYTES_MAX + 16;

/// Who wrote a message, and which of theirs it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Drawn anew by each writer.
    pub(crate) writer: u64,
    pub(crate) ordinal: u64,
}

/// Something that is done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// An empty file, in the place of one that has this name.
    Create {
        name: String,
    },
    Write {
        name: String,
        offset: u64,
        bytes: Bytes,
    },
    Reserve {
        name: String,
        length: u64,
    },
    Cut {
        name: String,
        length: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    /// Nothing: somebody says who they are, and writes from now on.
    Hold {
        holder: String,
    },
}

/// Where messages go under the subject of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// What was done to a file: of no use when it is removed.
    File(String),
    /// That files were removed.
    Removals,
    /// Who writes.
    Holders,
}

/// Operations for one place, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) place: Place,
    pub(crate) bytes: Bytes,
}

/// A message that is not one of ours, or not what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged(pub(crate) &'static str);

impl Operation {
    /// The files that it changes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let (one, other) = match self {
            Self::Create { name }
            | Self::Write { name, .. }
            | Self::Reserve { name, .. }
            | Self::Cut { name, .. }
            | Self::Remove { name } => (Some(name), None),
            Self::Rename { from, to } => (Some(from), Some(to)),
            Self::Hold { .. } => (None, None),
        };
        one.into_iter().chain(other).map(String::as_str)
    }

    /// Bytes that it holds in memory, about.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Write { bytes, .. } => BARE_BYTES_MAX + bytes.len(),
            _ => BARE_BYTES_MAX,
        }
    }

    fn place(&self) -> Place {
        match self {
            Self::Create { name }
            | Self::Write { name, .. }
            | Self::Reserve { name, .. }
            | Self::Cut { name, .. } => Place::File(finished_name(name).to_owned()),
            Self::Rename { to, .. } => Place::File(finished_name(to).to_owned()),
            Self::Remove { .. } => Place::Removals,
            Self::Hold { .. } => Place::Holders,
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Create { name } => put(out, 1, name),
            Self::Write { name, offset, bytes } => {
                put(out, 2, name);
                out.put_u64_le(*offset);
                out.put_u32_le(u32::try_from(bytes.len()).expect("a write is cut to a message"));
                out.put_slice(bytes);
            }
            Self::Reserve { name, length } => {
                put(out, 3, name);
                out.put_u64_le(*length);
            }
            Self::Cut { name, length } => {
                put(out, 4, name);
                out.put_u64_le(*length);
            }
            Self::Rename { from, to } => {
                put(out, 5, from);
                put_text(out, to);
            }
            Self::Remove { name } => put(out, 6, name),
            Self::Hold { holder } => put(out, 7, holder),
        }
    }

    fn decode(input: &mut Bytes) -> Result<Self, Damaged> {
        const SHORT: Damaged = Damaged("an operation is cut off");
        let kind = input.try_get_u8().map_err(|_| SHORT)?;
        let text = take_text(input).ok_or(SHORT)?;
        if kind == 7 {
            return Ok(Self::Hold { holder: text });
        }
        let name = file_name(text)?;
        let mut number = || input.try_get_u64_le().map_err(|_| SHORT);
        match kind {
            1 => Ok(Self::Create { name }),
            2 => {
                let offset = number()?;
                let length = input.try_get_u32_le().map_err(|_| SHORT)? as usize;
                let bytes =
                    if length <= input.len() { input.split_to(length) } else { return Err(SHORT) };
                within(offset.saturating_add(length as u64))?;
                Ok(Self::Write { name, offset, bytes })
            }
            3 => Ok(Self::Reserve { name, length: within(number()?)? }),
            4 => Ok(Self::Cut { name, length: within(number()?)? }),
            5 => Ok(Self::Rename { from: name, to: file_name(take_text(input).ok_or(SHORT)?)? }),
            6 => Ok(Self::Remove { name }),
            _ => Err(Damaged("an operation is of a kind that this version does not know")),
        }
    }
}

/// Makes bodies of operations, in their order, none larger than `room`.
pub(crate) fn pack(operations: &[Operation], room: usize) -> Vec<Body> {
    let mut bodies: Vec<(Place, BytesMut)> = Vec::new();
    for operation in operations.iter().flat_map(|operation| pieces(operation, room)) {
        let place = operation.place();
        let fits = |(last, bytes): &&mut (Place, BytesMut)| {
            *last == place && bytes.len() + operation.weight() <= room
        };
        match bodies.last_mut().filter(fits) {
            Some((_, bytes)) => operation.encode(bytes),
            None => {
                let mut bytes = BytesMut::new();
                operation.encode(&mut bytes);
                bodies.push((place, bytes));
            }
        }
    }
    bodies.into_iter().map(|(place, bytes)| Body { place, bytes: bytes.freeze() }).collect()
}

/// Cuts a write into pieces that fit into a message.
fn pieces(operation: &Operation, room: usize) -> Vec<Operation> {
    let Operation::Write { name, offset, bytes } = operation else {
        return vec![operation.clone()];
    };
    let most = room.saturating_sub(BARE_BYTES_MAX).max(1);
    let starts = (0..bytes.len()).step_by(most);
    let piece = |start: usize| Operation::Write {
        name: name.clone(),
        offset: offset + start as u64,
        bytes: bytes.slice(start..bytes.len().min(start + most)),
    };
    starts.map(piece).collect()
}

/// A message as it is sent.
pub(crate) fn seal(stamp: Stamp, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER + body.len());
    out.put_slice(&MAGIC);
    out.put_u32_le(0);
    out.put_u64_le(stamp.writer);
    out.put_u64_le(stamp.ordinal);
    out.put_slice(body);
    let checksum = crc32c::crc32c(&out[8..]);
    out[4..8].copy_from_slice(&checksum.to_le_bytes());
    out.freeze()
}

/// Reads a message that [`seal`] wrote.
pub(crate) fn open(mut message: Bytes) -> Result<(Stamp, Vec<Operation>), Damaged> {
    if message.len() < HEADER || message[..4] != MAGIC {
        return Err(Damaged(
            "it is none of a log, or of a version that this program does not know",
        ));
    }
    if message[4..8] != crc32c::crc32c(&message[8..]).to_le_bytes() {
        return Err(Damaged("its bytes are not those that were sent"));
    }
    message.advance(8);
    let stamp = Stamp { writer: message.get_u64_le(), ordinal: message.get_u64_le() };
    let mut operations = Vec::new();
    while !message.is_empty() {
        operations.push(Operation::decode(&mut message)?);
    }
    Ok((stamp, operations))
}

fn put(out: &mut BytesMut, kind: u8, text: &str) {
    out.put_u8(kind);
    put_text(out, text);
}

fn put_text(out: &mut BytesMut, text: &str) {
    let text = &text.as_bytes()[..text.len().min(NAME_BYTES_MAX)];
    out.put_u8(u8::try_from(text.len()).expect("a name is short"));
    out.put_slice(text);
}

fn take_text(input: &mut Bytes) -> Option<String> {
    let length = usize::from(input.try_get_u8().ok()?);
    let text = (length <= input.len()).then(|| input.split_to(length))?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// A message comes from elsewhere: what it names must lie in the folder of the log.
fn file_name(name: String) -> Result<String, Damaged> {
    if is_file_name(&name) { Ok(name) } else { Err(Damaged("a file has a name that no log gives")) }
}

/// Whether a name is one that a log may give a file: letters, digits and dots inside.
pub(crate) fn is_file_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.';
    let edges = [name.bytes().next(), name.bytes().last()];
    name.len() <= NAME_BYTES_MAX
        && name.contains('.')
        && !name.contains("..")
        && name.bytes().all(is_plain)
        && edges.iter().all(|edge| edge.is_some_and(|byte| byte != b'.'))
}

fn within(length: u64) -> Result<u64, Damaged> {
    if length <= FILE_BYTES_MAX { Ok(length) } else { Err(Damaged("a file is longer than any")) }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    const ROOM: usize = 1024;
    const STAMP: Stamp = Stamp { writer: 0x0102_0304_0506_0708, ordinal: 9 };

    fn each() -> Vec<Operation> {
        let name = || "0000000000000000.segment".to_owned();
        vec![
            Operation::Create { name: name() },
            Operation::Reserve { name: name(), length: 1 << 26 },
            Operation::Write { name: name(), offset: 64, bytes: Bytes::from_static(b"frame") },
            Operation::Cut { name: name(), length: 3 },
            Operation::Rename { from: "a.catalogue.draft".into(), to: "a.catalogue".into() },
            Operation::Remove { name: name() },
            Operation::Hold { holder: "a core".into() },
        ]
    }

    /// Bytes of the first version, as they lie on servers.
    #[test]
    fn the_bytes_stay_as_they_are() {
        let bodies = pack(&each(), ROOM);
        let shown = bodies.iter().map(|body| {
            let sealed = seal(STAMP, &body.bytes);
            format!("{:?}\n{}\n", body.place, sealed.escape_ascii())
        });
        check(
            &shown.collect::<String>(),
            expect![[r#"
            File("0000000000000000.segment")
            SLJ1\x9dN\xb9\x9f\x08\x07\x06\x05\x04\x03\x02\x01\t\x00\x00\x00\x00\x00\x00\x00\x01\x180000000000000000.segment\x03\x180000000000000000.segment\x00\x00\x00\x04\x00\x00\x00\x00\x02\x180000000000000000.segment@\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00frame\x04\x180000000000000000.segment\x03\x00\x00\x00\x00\x00\x00\x00
            File("a.catalogue")
            SLJ1S\xe6=\x05\x08\x07\x06\x05\x04\x03\x02\x01\t\x00\x00\x00\x00\x00\x00\x00\x05\x11a.catalogue.draft\x0ba.catalogue
            Removals
            SLJ1I]\xe1\xb9\x08\x07\x06\x05\x04\x03\x02\x01\t\x00\x00\x00\x00\x00\x00\x00\x06\x180000000000000000.segment
            Holders
            SLJ1Pe\x10\x9d\x08\x07\x06\x05\x04\x03\x02\x01\t\x00\x00\x00\x00\x00\x00\x00\x07\x06a core
        "#]],
        );
    }

    #[track_caller]
    fn check(found: &str, expected: Expect) {
        expected.assert_eq(found);
    }

    #[test]
    fn what_is_sealed_is_opened() {
        let bodies = pack(&each(), ROOM);
        let opened = bodies.into_iter().flat_map(|body| {
            let (stamp, operations) = open(seal(STAMP, &body.bytes)).unwrap();
            assert_eq!(stamp, STAMP);
            operations
        });
        assert_eq!(opened.collect::<Vec<_>>(), each());
    }

    #[test]
    fn a_long_write_is_cut_and_its_pieces_follow_each_other() {
        let bytes: Bytes = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        let name = || "a.segment".to_owned();
        let bodies =
            pack(&[Operation::Write { name: name(), offset: 7, bytes: bytes.clone() }], ROOM);
        let mut end = 7;
        let mut found = BytesMut::new();
        for body in &bodies {
            assert!(body.bytes.len() <= ROOM, "{}", body.bytes.len());
            for operation in open(seal(STAMP, &body.bytes)).unwrap().1 {
                let Operation::Write { offset, bytes, .. } = operation else { panic!() };
                assert_eq!(offset, end);
                end += bytes.len() as u64;
                found.extend_from_slice(&bytes);
            }
        }
        assert_eq!(found, bytes);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "../x.segment",
            "/etc/passwd",
            "a/b.segment",
            "lock",
            "journal",
            "a..segment",
            ".segment",
            "a.",
            "a.Segment",
            "a b.segment",
            "a\0.segment",
            "ä.segment",
        ] {
            let mut body = BytesMut::new();
            put(&mut body, 1, name);
            assert!(open(seal(STAMP, &body)).is_err(), "{name:?}");
            let mut body = BytesMut::new();
            put(&mut body, 5, "a.segment");
            put_text(&mut body, name);
            assert!(open(seal(STAMP, &body)).is_err(), "{name:?}");
        }
    }

    #[test]
    fn lengths_that_fill_a_disk_are_refused() {
        for length in [FILE_BYTES_MAX + 1, u64::MAX] {
            let name = || "a.segment".to_owned();
            for operation in [
                Operation::Reserve { name: name(), length },
                Operation::Cut { name: name(), length },
                Operation::Write { name: name(), offset: length, bytes: Bytes::from_static(b"x") },
            ] {
                let mut body = BytesMut::new();
                operation.encode(&mut body);
                assert!(open(seal(STAMP, &body)).is_err(), "{operation:?}");
            }
        }
    }

    #[test]
    fn every_bit_that_is_another_is_noticed() {
        let body = &pack(&each(), ROOM)[0];
        let sealed = seal(STAMP, &body.bytes);
        for bit in 0..sealed.len() * 8 {
            let mut other = sealed.to_vec();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(open(other.into()).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_reader_down(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = open(seal(STAMP, &body));
            let _ = open(body.into());
        }
    }
}
