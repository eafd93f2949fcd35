//! An entry: what a batch does to one stream.

use bytes::BytesMut;

use super::{Bites, put_counted};

/// Length of an entry's header.
pub(crate) const HEADER: usize = 32;

/// Bits of an entry's flags, which say what stands before the records, in this order.
pub(crate) mod flag {
    /// The stream ends with this entry.
    pub(crate) const CLOSE: u8 = 1;
    /// Moved by compaction: the time of the original follows.
    pub(crate) const MOVED: u8 = 2;
    /// Sent by a producer: epoch, sequence and id follow.
    pub(crate) const PRODUCER: u8 = 4;
    /// Metadata of the batch follow.
    pub(crate) const METADATA: u8 = 8;
    /// All that are known.
    pub(crate) const ALL: u8 = CLOSE | MOVED | PRODUCER | METADATA;
}

/// What an entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Adds records to the end of a stream.
    Append = 1,
    /// Creates a stream.
    Create = 2,
    /// Deletes a stream with all its records.
    Delete = 3,
    /// Gives up the records before `first`.
    Trim = 4,
    /// Replaces the options of a stream.
    Configure = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Append, Self::Create, Self::Delete, Self::Trim, Self::Configure]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The fixed part of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub kind: Kind,
    pub flags: u8,
    pub stream: u64,
    /// Sequence of the first record; for a trim, of the first that stays.
    pub first: u64,
    pub count: u32,
}

/// An entry as it lies in a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub header: EntryHeader,
    pub payload: &'a [u8],
    /// Where the payload begins in the frame's body.
    pub payload_at: usize,
}

impl EntryHeader {
    /// Writes the entry, whose payload `fill` writes behind the header.
    pub(crate) fn encode(&self, out: &mut BytesMut, fill: impl FnOnce(&mut BytesMut)) {
        let Self { kind, flags, stream, first, count } = *self;
        let at = out.len();
        out.extend_from_slice(&[0; HEADER]);
        fill(out);
        let length = u32::try_from(out.len() - at - HEADER).expect("a batch is below 4 GiB");
        let header = &mut out[at..at + HEADER];
        header[0] = kind as u8;
        header[1] = flags;
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[8..16].copy_from_slice(&stream.to_le_bytes());
        header[16..24].copy_from_slice(&first.to_le_bytes());
        header[24..28].copy_from_slice(&count.to_le_bytes());
    }
}

/// The entries of a frame's body; `None` in between is an entry that no version of ours writes.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    rest: Bites<'a>,
    at: usize,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: Bites(body), at: 0 }
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let mut header = Bites(self.rest.take(HEADER)?);
        let [kind, flags, _, _] = header.array()?;
        let length = header.u32()? as usize;
        let fields = EntryHeader {
            kind: Kind::from_byte(kind)?,
            flags,
            stream: header.u64()?,
            first: header.u64()?,
            count: header.u32()?,
        };
        let payload = self.rest.take(length)?;
        let payload_at = self.at + HEADER;
        self.at += HEADER + length;
        (flags & !flag::ALL == 0).then_some(Entry { header: fields, payload, payload_at })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Option<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.0.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.rest.0 = &[];
        }
        Some(entry)
    }
}

/// Where a producer was when it sent a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement<'a> {
    pub epoch: u64,
    pub sequence: u64,
    pub id: &'a [u8],
}

/// The payload of an append.
#[derive(Debug, Clone)]
pub(crate) struct Appended<'a> {
    /// When the records were first written, where compaction moved them.
    pub moved_ms: Option<u64>,
    pub producer: Option<Placement<'a>>,
    pub metadata: &'a [u8],
    /// Where the records begin in the payload, each behind its length.
    pub records_at: usize,
}

impl<'a> Appended<'a> {
    /// Reads what the flags announce, and checks that the records are as many as the header says.
    pub(crate) fn decode(entry: &Entry<'a>) -> Option<Self> {
        let mut bites = Bites(entry.payload);
        let has = |bit| entry.header.flags & bit != 0;
        let moved_ms = if has(flag::MOVED) { Some(bites.u64()?) } else { None };
        let producer =
            if has(flag::PRODUCER) { Some(Placement::decode(&mut bites)?) } else { None };
        let metadata = if has(flag::METADATA) { bites.counted()? } else { &[] };
        let records = bites.0;
        let records_at = entry.payload.len() - records.len();
        counts(records, entry.header.count)?;
        Some(Self { moved_ms, producer, metadata, records_at })
    }
}

impl<'a> Placement<'a> {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        put_counted(out, self.id);
    }

    fn decode(bites: &mut Bites<'a>) -> Option<Self> {
        Some(Self { epoch: bites.u64()?, sequence: bites.u64()?, id: bites.counted()? })
    }
}

/// Whether `records` holds exactly `count` records.
fn counts(records: &[u8], count: u32) -> Option<()> {
    let mut bites = Bites(records);
    for _ in 0..count {
        bites.counted()?;
    }
    bites.0.is_empty().then_some(())
}
