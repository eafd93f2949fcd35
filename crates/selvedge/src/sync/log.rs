//! A document's log, as its relay gives it to whoever may read it.

use std::time::Duration;

use clap::Args;
use selvedge_crdt::session::{
    CONNECTION, ClientFrame, DocumentId, LogId, OpenDocument, Record, RecordHash, RelayFrame,
    Resume, SnapshotInfo, VERSION,
};
use selvedge_replica::{Dial as _, Known, Socket, SocketError};
use selvedge_seal::Device;
use tokio::time::timeout;

use crate::{
    doc::{Desk, Place, Relay, block_on, document},
    exit::{Exit, Failure},
};

/// How long the relay may say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// The channel that the document is opened on.
const CHANNEL: u32 = 1;

/// Bytes that the relay may send before it gets more credit.
const CREDIT: u32 = 8 << 20;

/// Which document.
#[derive(Args, Debug)]
pub(super) struct LogArgs {
    #[command(flatten)]
    place: Place,
    /// NAME or TENANT:NAME, of a document that is kept here (`selvedge doc create`)
    document: String,
}

/// What a relay has of a document.
pub(super) struct DocumentLog {
    pub(super) document: DocumentId,
    pub(super) opened: OpenDocument,
    /// Records, each with its offset and as it was pushed.
    pub(super) records: Vec<(u64, Vec<u8>)>,
    /// The current snapshot, as it lies there.
    pub(super) snapshot: Option<(SnapshotInfo, Vec<u8>)>,
}

impl LogArgs {
    /// Reads everything that the relay has.
    pub(super) fn read(&self) -> Result<DocumentLog, Failure> {
        let desk = Desk::open(&self.place)?;
        let document = document(&self.document)?;
        let known = desk.known(&document)?;
        block_on(Reader::read(desk.device(), known))
    }
}

/// A connection that only reads.
struct Reader<'a> {
    socket: Socket,
    device: &'a Device,
    known: Known,
    challenge: [u8; 16],
    /// Bytes since credit was given.
    taken: u32,
}

impl<'a> Reader<'a> {
    async fn read(device: &'a Device, known: Known) -> Result<DocumentLog, Failure> {
        let relay = Relay::parse(&known.relay, None)?;
        let socket = relay.dial().await.map_err(away)?;
        let mut reader = Reader { socket, device, known, challenge: [0; 16], taken: 0 };
        reader.greet().await?;
        let first = reader.open(None).await?;
        // What lies before the snapshot is there for whoever asks for it, as long as it is kept.
        let opened = match &first.snapshot {
            Some(_) => {
                reader.close().await?;
                reader.open(Some(first.log)).await?
            }
            None => first,
        };
        let records = reader.records(&opened).await?;
        let snapshot = match opened.snapshot {
            Some((info, _)) => Some((info, reader.snapshot(&info).await?)),
            None => None,
        };
        Ok(DocumentLog { document: reader.known.document, opened, records, snapshot })
    }

    async fn greet(&mut self) -> Result<(), Failure> {
        let device = self.device.id();
        self.say(&ClientFrame::Hello { version: VERSION, device, credit: CREDIT }, CONNECTION);
        self.until(|frame| match frame {
            RelayFrame::Welcome { challenge, .. } => Some(*challenge),
            _ => None,
        })
        .await
        .map(|challenge| self.challenge = challenge)
    }

    async fn open(&mut self, from_the_beginning: Option<LogId>) -> Result<OpenDocument, Failure> {
        let (document, token) = (self.known.document.clone(), self.known.token.clone());
        let proof = self.device.prove(&self.challenge, &document, token.as_bytes());
        let resume = from_the_beginning.map(|log| Resume { log, next: 0, last: RecordHash::NONE });
        let open =
            ClientFrame::Open { document, token: &token, proof, resume, replicas: Vec::new() };
        self.say(&open, CHANNEL);
        self.until(|frame| match frame {
            RelayFrame::Opened(opened) => Some((**opened).clone()),
            _ => None,
        })
        .await
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.say(&ClientFrame::Close, CHANNEL);
        loop {
            let message = self.hear().await?;
            if let Ok((CHANNEL, RelayFrame::Closed { .. })) = RelayFrame::read(&message) {
                return Ok(());
            }
        }
    }

    async fn records(&mut self, opened: &OpenDocument) -> Result<Vec<(u64, Vec<u8>)>, Failure> {
        let mut records = Vec::new();
        let mut next = opened.next;
        while next < opened.tail {
            let record = self.until(|frame| match frame {
                RelayFrame::Record { offset, record } => Some((*offset, record.to_vec())),
                _ => None,
            });
            let (offset, record) = record.await?;
            next = offset + 1;
            records.push((offset, record));
        }
        Ok(records)
    }

    async fn snapshot(&mut self, info: &SnapshotInfo) -> Result<Vec<u8>, Failure> {
        self.say(&ClientFrame::Fetch { snapshot: info.hash, from: 0 }, CHANNEL);
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < info.bytes {
            let piece = self.until(|frame| match frame {
                RelayFrame::Piece { bytes, .. } => Some(bytes.to_vec()),
                _ => None,
            });
            bytes.extend(piece.await?);
        }
        Ok(bytes)
    }

    fn say(&mut self, frame: &ClientFrame<'_>, channel: u32) {
        self.socket.feed(frame.to_bytes(channel));
    }

    async fn hear(&mut self) -> Result<Vec<u8>, Failure> {
        let heard = timeout(SILENCE, self.socket.turn()).await;
        let heard = heard.map_err(|_| away(SocketError::Late))?.map_err(away)?;
        let message = heard.ok_or_else(|| Failure::new(Exit::Unavailable, "the relay hung up"))?;
        self.taken = self.taken.saturating_add(message.len() as u32);
        if self.taken > CREDIT / 2 {
            let bytes = std::mem::take(&mut self.taken);
            self.say(&ClientFrame::Credit { bytes }, CONNECTION);
        }
        Ok(message.to_vec())
    }

    /// Waits for something; who closes meanwhile says why.
    async fn until<T>(
        &mut self,
        wanted: impl Fn(&RelayFrame<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        loop {
            let message = self.hear().await?;
            let (_, frame) = RelayFrame::read(&message).map_err(|error| {
                Failure::new(Exit::Failure, format!("the relay says what is no message: {error}"))
            })?;
            if let RelayFrame::Closed { why, .. } = frame {
                let text = format!("the relay closed the document: {why:?}");
                return Err(Failure::new(Exit::Failure, text));
            }
            if let Some(found) = wanted(&frame) {
                return Ok(found);
            }
        }
    }
}

fn away(error: SocketError) -> Failure {
    Failure::new(Exit::Unavailable, format!("the relay cannot be reached: {error}"))
}

impl DocumentLog {
    /// Each record with its offset; what is none with why.
    pub(super) fn read_records(
        &self,
    ) -> impl Iterator<Item = (u64, Result<Record<'_>, selvedge_crdt::Malformed>)> {
        self.records.iter().map(|(offset, bytes)| (*offset, Record::read(bytes)))
    }
}
