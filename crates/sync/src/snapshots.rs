//! Snapshots: their bytes lie in the log, each in a stream of its own, so that backups have them and servers of NATS keep
//! them like all else.

use std::{mem, sync::Arc};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use selvedge_crdt::session::{
    PIECE_BYTES_MAX, Refusal, RelayFrame, SnapshotHash, SnapshotInfo,
    relay::{Session, Vetted},
};
use selvedge_eventlog::{Append, Batch, ReadError, StreamId, StreamOptions};

use crate::{document::Document, hub::Hub, names};

/// Bytes of each record but the last, so that any byte is found at once.
const CHUNK: usize = PIECE_BYTES_MAX;
/// When to try again after the log did not take something, in milliseconds.
const AGAIN_MS: u64 = 2_000;
/// The type of OFFER.
const OFFER: u8 = 5;

/// A snapshot on its way here. Dropped before it is whole, what came of it is deleted.
pub(crate) struct Upload {
    hub: Arc<Hub>,
    document: Arc<Document>,
    pub(crate) channel: u32,
    session: Session,
    record: Vec<u8>,
    info: SnapshotInfo,
    replaces: Option<SnapshotHash>,
    stream: StreamId,
    is_created: bool,
    is_placed: bool,
    received: u64,
    hash: Context,
    chunk: Vec<u8>,
}

impl Upload {
    /// Nothing if as many of the document are on their way as may be.
    pub(crate) fn begin(
        hub: &Arc<Hub>,
        document: &Arc<Document>,
        (channel, session): (u32, Session),
        (record, info, replaces): (&Vetted<'_>, SnapshotInfo, Option<SnapshotHash>),
    ) -> Option<Self> {
        let stream = hub.log.new_stream();
        document.begin_upload(stream, hub.now_ms()).then(|| Self {
            hub: hub.clone(),
            document: document.clone(),
            channel,
            session,
            record: record.bytes().to_vec(),
            info,
            replaces,
            stream,
            is_created: false,
            is_placed: false,
            received: 0,
            hash: Context::new(&SHA256),
            chunk: Vec::new(),
        })
    }

    /// Whether these are the bytes that come next.
    pub(crate) fn fits(&self, from: u64, bytes: usize) -> bool {
        from == self.received && from + bytes as u64 <= self.info.bytes && bytes > 0
    }

    /// Takes bytes; says whether that were all.
    ///
    /// # Errors
    /// The frame that says why not.
    pub(crate) async fn take(&mut self, mut bytes: &[u8]) -> Result<bool, RelayFrame<'static>> {
        if !self.document.goes_on(self.stream, self.hub.now_ms()) {
            return Err(rejected(Refusal::Unavailable(AGAIN_MS)));
        }
        self.received += bytes.len() as u64;
        self.hash.update(bytes);
        while !bytes.is_empty() {
            let here = bytes.len().min(CHUNK - self.chunk.len());
            self.chunk.extend(&bytes[..here]);
            bytes = &bytes[here..];
            if self.chunk.len() == CHUNK {
                self.keep_chunk().await?;
            }
        }
        if self.received < self.info.bytes {
            return Ok(false);
        }
        if !self.chunk.is_empty() {
            self.keep_chunk().await?;
        }
        if self.document.know_gone(&self.hub).await.is_err() {
            return Err(rejected(Refusal::Unavailable(AGAIN_MS)));
        }
        self.place()?;
        Ok(true)
    }

    async fn keep_chunk(&mut self) -> Result<(), RelayFrame<'static>> {
        let append = Append::to(self.stream).record(&self.chunk);
        // Before it is: who drops this meanwhile leaves nothing behind.
        let batch = match mem::replace(&mut self.is_created, true) {
            true => Batch::from(append),
            false => {
                let name = names::snapshot(&self.document.id, &self.info.hash);
                Batch::create(self.stream, name, StreamOptions::default()).and(append)
            }
        };
        let kept = self.hub.log.append(batch).await;
        self.chunk.clear();
        kept.map(drop).map_err(|_| rejected(Refusal::Unavailable(AGAIN_MS)))
    }

    fn place(&mut self) -> Result<(), RelayFrame<'static>> {
        let hash = self.hash.clone().finish();
        if hash.as_ref() != self.info.hash.0 {
            let text = "the bytes are not those of the snapshot".to_owned();
            return Err(rejected(Refusal::Invalid(text)));
        }
        if self.document.is_gone(&self.session.device) {
            return Err(rejected(Refusal::Denied));
        }
        let warden = &*self.hub.warden;
        let record = Vetted::judge(&self.record, &self.document.id, warden, None)?;
        self.document.place(&self.hub, (&self.session, self.replaces), &record)?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.document.end_upload(self.stream);
        if self.is_created && !self.is_placed {
            // Whether it works: otherwise it is swept later.
            drop(self.hub.log.append(Batch::delete(self.stream)));
        }
    }
}

fn rejected(why: Refusal) -> RelayFrame<'static> {
    RelayFrame::Rejected { frame: OFFER, why }
}

/// Reads bytes of a snapshot, at most so many.
pub(crate) async fn read(
    hub: Arc<Hub>,
    stream: StreamId,
    (from, bytes): (u64, usize),
) -> Result<Bytes, ReadError> {
    let (index, skip) = (from / CHUNK as u64, (from % CHUNK as u64) as usize);
    let chunk = hub.read(stream, (index, 1)).await?;
    let found = chunk.records().find(|(sequence, _)| *sequence == index);
    let record = found.map(|(_, record)| record).unwrap_or_default();
    let end = (skip + bytes).min(record.len());
    Ok(record.slice(skip.min(end)..end))
}
