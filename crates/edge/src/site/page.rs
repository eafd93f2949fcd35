//! A file ready to be sent: its codings, validators and content.

use std::{
    fs::{File, Metadata},
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::HeaderValue;
use selvedge_config::Encoding;

use super::{
    Slice,
    folder::{Folder, Opened},
    media,
};
use crate::compress;

/// Files up to this size are held in memory, larger ones by their descriptor.
const IN_MEMORY_MAX: u64 = 64 * 1024;

/// Codings looked for beside a file, best first, with their extensions.
const SIBLINGS: [(Encoding, &str); 3] =
    [(Encoding::Brotli, ".br"), (Encoding::Zstd, ".zst"), (Encoding::Gzip, ".gz")];

/// A file and what lies beside it in other codings.
pub(super) struct Page {
    pub(super) content_type: HeaderValue,
    pub(super) loaded: Instant,
    identity: Representation,
    /// Codings that lie beside the file, best first, and their content at the same index.
    offered: Vec<Encoding>,
    encoded: Vec<Representation>,
}

/// A file's bytes in one coding.
pub(super) struct Representation {
    encoding: Option<Encoding>,
    pub(super) len: u64,
    pub(super) length_value: HeaderValue,
    pub(super) etag: HeaderValue,
    pub(super) last_modified: HeaderValue,
    /// Seconds since 1970, never in the future.
    pub(super) modified: u64,
    /// The last change was long enough ago for its second to name one version (RFC 9110 §8.8.2.2).
    pub(super) is_settled: bool,
    content: Content,
}

enum Content {
    Memory(Bytes),
    File(Arc<File>),
}

impl Page {
    pub(super) fn load(name: &[u8], file: File, now: Instant) -> io::Result<Self> {
        Ok(Self {
            content_type: media::content_type(name),
            loaded: now,
            identity: Representation::load(file, None)?,
            offered: Vec::new(),
            encoded: Vec::new(),
        })
    }

    /// Adds the codings that lie beside the file. One that cannot be read is left out: the file
    /// itself is there.
    pub(super) fn with_encoded_siblings(mut self, folder: &Folder, name: &[u8]) -> Self {
        if SIBLINGS.iter().any(|(_, extension)| name.ends_with(extension.as_bytes())) {
            return self;
        }
        for (encoding, extension) in SIBLINGS {
            let sibling = folder.find(&[name, extension.as_bytes()].concat());
            let Ok(Some(Opened::File(file))) = sibling else { continue };
            let Ok(encoded) = Representation::load(file, Some(encoding)) else { continue };
            self.offered.push(encoding);
            self.encoded.push(encoded);
        }
        self
    }

    /// Whether `Accept-Encoding` changes what is sent.
    pub(super) fn varies(&self) -> bool {
        !self.encoded.is_empty()
    }

    /// The representation that suits the client best.
    pub(super) fn negotiate(&self, accept_encoding: Option<&[u8]>) -> &Representation {
        let chosen = match accept_encoding {
            Some(list) if self.varies() => compress::negotiate(list, &self.offered),
            _ => None,
        };
        self.encoded
            .iter()
            .find(|representation| chosen.is_some() && representation.encoding == chosen)
            .unwrap_or(&self.identity)
    }

    /// Bytes held in memory.
    pub(super) fn memory(&self) -> usize {
        self.representations().map(Representation::memory).sum()
    }

    /// Descriptors held open.
    pub(super) fn descriptors(&self) -> usize {
        self.representations().filter(|r| matches!(r.content, Content::File(_))).count()
    }

    fn representations(&self) -> impl Iterator<Item = &Representation> {
        std::iter::once(&self.identity).chain(&self.encoded)
    }
}

impl Representation {
    fn load(file: File, encoding: Option<Encoding>) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let now = unix_seconds(SystemTime::now());
        let modified = u64::try_from(metadata.mtime()).unwrap_or(0).min(now);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(modified));
        Ok(Self {
            encoding,
            len: metadata.len(),
            length_value: metadata.len().into(),
            etag: super::visible(etag(&metadata, encoding)),
            last_modified: super::visible(date),
            modified,
            is_settled: modified < now,
            content: Content::load(file, &metadata)?,
        })
    }

    /// `Content-Encoding`.
    pub(super) fn coding(&self) -> Option<HeaderValue> {
        self.encoding.map(|encoding| HeaderValue::from_static(compress::token(encoding)))
    }

    /// A part that lies within.
    pub(super) fn slice(&self, range: Range<u64>) -> Slice {
        match &self.content {
            Content::Memory(bytes) => {
                Slice::Bytes(bytes.slice(range.start as usize..range.end as usize))
            }
            Content::File(file) => Slice::File {
                file: file.clone(),
                offset: range.start,
                len: range.end - range.start,
            },
        }
    }

    fn memory(&self) -> usize {
        match &self.content {
            Content::Memory(bytes) => bytes.len(),
            Content::File(_) => 0,
        }
    }
}

impl Content {
    /// A small file that changes while it is read is left on disk, so that what memory holds is
    /// what the validators speak of.
    fn load(file: File, before: &Metadata) -> io::Result<Self> {
        if before.len() > IN_MEMORY_MAX {
            return Ok(Self::File(Arc::new(file)));
        }
        let mut bytes = vec![0; before.len() as usize];
        let is_whole = file.read_exact_at(&mut bytes, 0).is_ok();
        let after = file.metadata()?;
        Ok(match is_whole && version(before) == version(&after) {
            true => Self::Memory(bytes.into()),
            false => Self::File(Arc::new(file)),
        })
    }
}

fn version(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// A strong tag: another file, size, time of change or coding is another tag.
fn etag(metadata: &Metadata, encoding: Option<Encoding>) -> String {
    let (len, seconds, nanoseconds) = version(metadata);
    let mut etag = format!("\"{:x}-{len:x}-{seconds:x}.{nanoseconds:x}", metadata.ino());
    if let Some(encoding) = encoding {
        etag.push('-');
        etag.push_str(compress::token(encoding));
    }
    etag.push('"');
    etag
}

/// What HTTP-dates can say: from 1970 to the end of 9999.
fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(253_402_300_799)
}
