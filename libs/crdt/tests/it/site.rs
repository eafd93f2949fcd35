//! A replica with its document, for stories.

use selvedge_crdt::{
    Batch, BatchHash, Document, Edit, EditError, EntityRef, Kind, ReplicaId, Undo, Value, Writer,
};

pub struct Site {
    pub document: Document,
    pub writer: Writer,
    pub now_ms: u64,
}

impl Site {
    pub fn new(replica: u8) -> Self {
        let writer = Writer::new(ReplicaId([replica; 16]));
        Site { document: Document::new(), writer, now_ms: 1_000 }
    }

    /// A site whose clock is somewhere else.
    pub fn at(replica: u8, now_ms: u64) -> Self {
        Site { now_ms, ..Site::new(replica) }
    }

    /// Writes, and returns what is to be sent, as it was read from its bytes.
    #[track_caller]
    pub fn write(
        &mut self,
        write: impl FnOnce(&mut Edit<'_>) -> Result<(), EditError>,
    ) -> Vec<Batch> {
        self.change(write).0
    }

    #[track_caller]
    pub fn change(
        &mut self,
        write: impl FnOnce(&mut Edit<'_>) -> Result<(), EditError>,
    ) -> (Vec<Batch>, Undo) {
        self.now_ms += 1;
        let mut edit = self.writer.edit(&mut self.document, self.now_ms);
        write(&mut edit).expect("stories write within bounds");
        let undo = edit.finish();
        (self.sent(), undo)
    }

    pub fn undo(&mut self, undo: &Undo) -> (Vec<Batch>, Undo) {
        self.change(|edit| {
            edit.undo(undo);
            Ok(())
        })
    }

    fn sent(&mut self) -> Vec<Batch> {
        let batches = std::iter::from_fn(|| self.writer.take_batch());
        batches
            .map(|batch| Batch::decode(&batch.encode(BatchHash::NONE)).expect("what was written").1)
            .collect()
    }

    pub fn receive(&mut self, batches: &[Batch]) {
        batches.iter().for_each(|batch| self.document.apply(batch));
    }

    #[track_caller]
    pub fn entity(&self, id: &str) -> EntityRef<'_> {
        self.document.entity(id).unwrap_or_else(|| panic!("there is no {id}"))
    }

    #[track_caller]
    pub fn tags(&self) -> Vec<Value<'_>> {
        self.entity("n").values("tags", Kind::OR_SET)
    }
}

/// Lets two sites exchange what they wrote, and checks that they hold the same then.
#[track_caller]
pub fn exchange(a: &mut Site, from_a: &[Batch], b: &mut Site, from_b: &[Batch]) {
    b.receive(from_a);
    a.receive(from_b);
    assert_eq!(a.document.snapshot(), b.document.snapshot());
}

/// Two sites that begin with the same.
#[track_caller]
pub fn pair(begin: impl FnOnce(&mut Edit<'_>) -> Result<(), EditError>) -> (Site, Site) {
    let (mut a, mut b) = (Site::new(1), Site::at(2, 2_000));
    let sent = a.write(begin);
    exchange(&mut a, &sent, &mut b, &[]);
    (a, b)
}
