//! A record that was pushed, as far as it can be judged without its document's state.

use crate::{
    Batch, BatchHash, Header, ReplicaId, Schema,
    session::{DocumentId, Record, RecordHash, Refusal, RelayFrame, Sealing},
};

use super::Trust;

/// A record that is what it says it is: whole, signed by the device that it names, and in line with the schema
/// where the relay can read it.
#[derive(Clone, Debug)]
pub struct Vetted<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) record: Record<'a>,
    pub(super) hash: RecordHash,
    /// Of a batch: its header and its own hash.
    pub(super) batch: Option<(Header, BatchHash)>,
}

/// What a refusal is about: a batch by its replica and first sequence, or else a message of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Batch(ReplicaId, u64),
    Frame(u8),
}

/// The type of PUSH.
const PUSH: u8 = 3;

impl<'a> Vetted<'a> {
    /// Judges a record by itself. Signatures are the dear part: who is too fast is refused before.
    ///
    /// # Errors
    /// The frame that says what is wrong.
    pub fn judge(
        bytes: &'a [u8],
        document: &DocumentId,
        trust: &(impl Trust + ?Sized),
        schema: Option<&Schema>,
    ) -> Result<Self, RelayFrame<'static>> {
        let invalid = |text: String| About::Frame(PUSH).refused(Refusal::Invalid(text));
        let record = Record::read(bytes).map_err(|error| invalid(error.to_string()))?;
        let batch = match &record {
            Record::Batch { batch, .. } => {
                let (header, _) =
                    Header::read(batch).map_err(|error| invalid(error.to_string()))?;
                Some((header, BatchHash::of(batch)))
            }
            Record::Keys { .. } | Record::Snapshot { .. } => None,
            Record::Compact { .. } => return Err(invalid("only a relay compacts".to_owned())),
        };
        let vetted = Vetted { bytes, hash: RecordHash::of(bytes), record, batch };
        if !trust.is_signed(document, &vetted.record) {
            return Err(vetted.about().refused(Refusal::Signature));
        }
        match schema.map_or(Ok(()), |schema| vetted.follows(schema)) {
            Ok(()) => Ok(vetted),
            Err(refusal) => Err(vetted.about().refused(refusal)),
        }
    }

    /// Its bytes, as they were pushed.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it says.
    pub fn record(&self) -> &Record<'a> {
        &self.record
    }

    /// The frame that refuses this.
    pub fn refused(&self, why: Refusal) -> RelayFrame<'static> {
        self.about().refused(why)
    }

    fn about(&self) -> About {
        match &self.batch {
            Some((header, _)) => About::Batch(header.replica, header.first),
            None => About::Frame(PUSH),
        }
    }

    fn follows(&self, schema: &Schema) -> Result<(), Refusal> {
        let Record::Batch { sealing: Sealing::Plain, batch, .. } = &self.record else {
            return Ok(());
        };
        let (_, batch) =
            Batch::decode(batch).map_err(|error| Refusal::Invalid(error.to_string()))?;
        for op in batch.ops() {
            schema.check_op(&op).map_err(|mismatch| {
                Refusal::Schema(format!("{} at sequence {}: {mismatch}", op.entity, op.dot.seq))
            })?;
        }
        Ok(())
    }
}

impl About {
    pub(super) fn refused(self, why: Refusal) -> RelayFrame<'static> {
        match self {
            About::Batch(replica, first) => RelayFrame::Refused { replica, first, why },
            About::Frame(frame) => RelayFrame::Rejected { frame, why },
        }
    }
}
