//! All streams at one position of the log, so that opening does not read the log from its beginning.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    StreamOptions,
    format::{Bites, LogId, put_counted, put_options, seal, take_options, unsealed},
    producers::Last,
    stream::Run,
};

const MAGIC: &[u8; 8] = b"SLVGCAT\n";
const VERSION: u32 = 1;

/// Ending of a catalogue's name.
pub(crate) const SUFFIX: &str = ".catalogue";

/// What a catalogue says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Catalogue {
    /// Everything before this position is in it.
    pub lsn: u64,
    /// Where the first segment begins that has no index yet.
    pub indexed: u64,
    /// The latest time that was believed.
    pub time_ms: u64,
    pub next_stream: u64,
    /// Where segments begin and end; those between may be gone. The active one has no end.
    pub segments: Vec<(u64, u64)>,
    pub streams: Vec<Listed>,
}

/// A stream in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub id: u64,
    pub name: String,
    pub options: StreamOptions,
    pub start: u64,
    pub tail: u64,
    pub time_ms: u64,
    pub closed: bool,
    pub runs: Vec<Run>,
    pub producers: Vec<(Bytes, Last)>,
}

/// The name of the catalogue of a position.
pub(crate) fn catalogue_name(lsn: u64) -> String {
    format!("{lsn:016x}{SUFFIX}")
}

impl Catalogue {
    pub(crate) fn encode(&self, id: &LogId) -> BytesMut {
        let Self { lsn, indexed, time_ms, next_stream, segments, streams } = self;
        let mut out = BytesMut::new();
        out.put_slice(MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(0);
        out.put_slice(id);
        for number in [lsn, indexed, time_ms, next_stream] {
            out.put_u64_le(*number);
        }
        out.put_u64_le(segments.len() as u64);
        for (base, end) in segments {
            out.put_u64_le(*base);
            out.put_u64_le(*end);
        }
        out.put_u64_le(streams.len() as u64);
        streams.iter().for_each(|stream| stream.encode(&mut out));
        seal(id, &mut out);
        out
    }

    /// Reads a catalogue, if it is whole and of this log.
    pub(crate) fn decode(id: &LogId, bytes: &[u8]) -> Option<Self> {
        let mut bites = Bites(unsealed(id, MAGIC, VERSION, bytes)?);
        let mut catalogue = Self {
            lsn: bites.u64()?,
            indexed: bites.u64()?,
            time_ms: bites.u64()?,
            next_stream: bites.u64()?,
            ..Self::default()
        };
        for _ in 0..bites.u64()? {
            catalogue.segments.push((bites.u64()?, bites.u64()?));
        }
        for _ in 0..bites.u64()? {
            catalogue.streams.push(Listed::decode(&mut bites)?);
        }
        bites.0.is_empty().then_some(catalogue)
    }
}

impl Listed {
    fn encode(&self, out: &mut BytesMut) {
        let Self { id, name, options, start, tail, time_ms, closed, runs, producers } = self;
        for number in [id, start, tail, time_ms, &u64::from(*closed)] {
            out.put_u64_le(*number);
        }
        put_counted(out, name.as_bytes());
        put_options(out, options);
        out.put_u64_le(runs.len() as u64);
        for Run { first, end, base, bytes, time_ms } in runs {
            for number in [first, end, base, bytes, time_ms] {
                out.put_u64_le(*number);
            }
        }
        out.put_u64_le(producers.len() as u64);
        for (id, Last { epoch, sequence, time_ms }) in producers {
            for number in [epoch, sequence, time_ms] {
                out.put_u64_le(*number);
            }
            put_counted(out, id);
        }
    }

    fn decode(bites: &mut Bites) -> Option<Self> {
        let [id, start, tail, time_ms, closed] =
            [bites.u64()?, bites.u64()?, bites.u64()?, bites.u64()?, bites.u64()?];
        let name = std::str::from_utf8(bites.counted()?).ok()?.to_owned();
        let options = take_options(bites)?;
        let mut runs = Vec::new();
        for _ in 0..bites.u64()? {
            runs.push(Run {
                first: bites.u64()?,
                end: bites.u64()?,
                base: bites.u64()?,
                bytes: bites.u64()?,
                time_ms: bites.u64()?,
            });
        }
        let mut producers = Vec::new();
        for _ in 0..bites.u64()? {
            let last = Last { epoch: bites.u64()?, sequence: bites.u64()?, time_ms: bites.u64()? };
            producers.push((Bytes::copy_from_slice(bites.counted()?), last));
        }
        let closed = closed != 0;
        Some(Self { id, name, options, start, tail, time_ms, closed, runs, producers })
    }
}
