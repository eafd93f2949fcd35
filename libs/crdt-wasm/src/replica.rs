//! A document with the replica that writes to it.

use js_sys::Uint8Array;
use selvedge_crdt::{Document, Edit, EditError, Field, Hlc, Paused, Schema as Rules, Writer};
use wasm_bindgen::prelude::*;

use crate::{batch::Batch, error, rows, schema::Schema};

/// A document, its writer, and what was said of the next value.
#[wasm_bindgen]
pub struct Replica {
    pub(crate) document: Document,
    pub(crate) writer: Writer,
    /// The change that is being made.
    pub(crate) open: Option<Paused>,
    pub(crate) schema: Option<Rules>,
    /// Fields by the numbers that JavaScript has for them.
    pub(crate) fields: Vec<Field>,
    /// What the next value is written to.
    pub(crate) entity: String,
    pub(crate) now_ms: u64,
}

/// What takes a change back.
#[wasm_bindgen]
pub struct Undo(selvedge_crdt::Undo);

#[wasm_bindgen]
impl Undo {
    /// Returns whether there is nothing to take back.
    #[wasm_bindgen(getter, js_name = isEmpty)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a later change, which is used up.
    pub fn join(&mut self, later: Undo) {
        self.0.join(later.0);
    }
}

#[wasm_bindgen]
impl Replica {
    /// A replica that goes on at a sequence, behind a stamp; an empty document.
    #[wasm_bindgen(constructor)]
    pub fn new(replica: &[u8], next_seq: u64, last: u64) -> Result<Replica, JsValue> {
        let writer = Writer::resume(error::replica_id(replica)?, next_seq, Hlc(last));
        Ok(Replica {
            document: Document::new(),
            writer,
            open: None,
            schema: None,
            fields: Vec::new(),
            entity: String::new(),
            now_ms: 0,
        })
    }

    /// Puts the document of a snapshot in place of this one.
    pub fn load(&mut self, snapshot: &[u8]) -> Result<(), JsValue> {
        self.settled()?;
        self.document = Document::load(snapshot).map_err(error::malformed)?;
        Ok(())
    }

    /// Joins with the document of a snapshot.
    pub fn merge(&mut self, snapshot: &[u8]) -> Result<(), JsValue> {
        self.settled()?;
        self.document.merge(&Document::load(snapshot).map_err(error::malformed)?);
        Ok(())
    }

    /// Joins with the document of another replica.
    #[wasm_bindgen(js_name = mergeWith)]
    pub fn merge_with(&mut self, other: &Replica) -> Result<(), JsValue> {
        self.settled()?;
        self.document.merge(&other.document);
        Ok(())
    }

    /// The one encoding of the document.
    pub fn snapshot(&self) -> Vec<u8> {
        self.document.snapshot()
    }

    /// Takes in the bytes of a batch.
    #[wasm_bindgen(js_name = applyBytes)]
    pub fn apply_bytes(&mut self, batch: &[u8]) -> Result<(), JsValue> {
        self.apply(&Batch::decode(batch)?)
    }

    /// Takes in a batch.
    pub fn apply(&mut self, batch: &Batch) -> Result<(), JsValue> {
        self.settled()?;
        self.document.apply(&batch.batch);
        Ok(())
    }

    /// The oldest operations that were not taken yet, as one batch.
    #[wasm_bindgen(js_name = takeBatch)]
    pub fn take_batch(&mut self) -> Option<Batch> {
        self.writer.take_batch().map(Batch::from)
    }

    /// Has what is written from now on follow a schema.
    #[wasm_bindgen(js_name = setSchema)]
    pub fn set_schema(&mut self, schema: &Schema) {
        self.schema = Some(schema.whole());
    }

    /// Begins a change.
    pub fn begin(&mut self, now_ms: f64) -> Result<(), JsValue> {
        self.settled()?;
        self.open = Some(self.writer.edit(&mut self.document, now_ms as u64).pause());
        Ok(())
    }

    /// Ends the change that was begun.
    pub fn end(&mut self) {
        self.open = None;
    }

    /// Ends the change that was begun, and returns what takes it back.
    #[wasm_bindgen(js_name = endForUndo)]
    pub fn end_for_undo(&mut self) -> Result<Undo, JsValue> {
        let open = self.open.take().ok_or_else(|| error::state("no change is open"))?;
        Ok(Undo(open.finish()))
    }

    /// Takes a change back; what takes this back does it again.
    pub fn undo(&mut self, undo: &Undo, now_ms: f64) -> Result<Undo, JsValue> {
        self.settled()?;
        let mut edit = self.writer.edit(&mut self.document, now_ms as u64);
        edit.undo(&undo.0);
        Ok(Undo(edit.finish()))
    }

    /// Raises the horizon, and forgets replicas, whose ids follow each other.
    pub fn compact(&mut self, horizon: u64, retired: &[u8]) -> Result<(), JsValue> {
        self.settled()?;
        let retired: Result<Vec<_>, _> = retired.chunks(16).map(error::replica_id).collect();
        self.document.compact(Hlc(horizon), &retired?);
        Ok(())
    }

    /// Takes out what is dead by deletions up to the horizon.
    pub fn sweep(&mut self, now_ms: f64) -> Result<(), JsValue> {
        self.settled()?;
        self.writer.edit(&mut self.document, now_ms as u64).sweep();
        Ok(())
    }

    /// The id of the replica that writes here.
    #[wasm_bindgen(getter)]
    pub fn id(&self) -> Uint8Array {
        Uint8Array::from(&self.writer.replica().0[..])
    }

    /// The sequence of its next operation.
    #[wasm_bindgen(getter, js_name = nextSeq)]
    pub fn next_seq(&self) -> f64 {
        self.writer.next_seq() as f64
    }

    /// The last stamp that it gave or saw.
    #[wasm_bindgen(getter, js_name = lastHlc)]
    pub fn last_hlc(&self) -> u64 {
        self.writer.last_hlc().0
    }

    /// The greatest stamp of the document.
    #[wasm_bindgen(getter)]
    pub fn latest(&self) -> u64 {
        self.document.latest().0
    }

    /// The stamp at which it was compacted last.
    #[wasm_bindgen(getter)]
    pub fn horizon(&self) -> u64 {
        self.document.horizon().0
    }

    /// The replicas of which something is known, each as: id, the greatest stamp received.
    pub fn replicas(&self) -> Vec<JsValue> {
        let replicas = self.document.replicas();
        replicas
            .flat_map(|(id, latest)| [JsValue::from_str(&id.to_string()), rows::clock(latest)])
            .collect()
    }
}

impl Replica {
    /// What is done to the document as a whole is not done inside of a change.
    fn settled(&self) -> Result<(), JsValue> {
        match self.open {
            None => Ok(()),
            Some(_) => Err(error::state("a change is open")),
        }
    }

    /// Writes, in the open change or in one of its own.
    pub(crate) fn edit(
        &mut self,
        write: impl FnOnce(&mut Edit<'_>, &str) -> Result<(), EditError>,
    ) -> Result<(), JsValue> {
        let Self { document, writer, open, entity, now_ms, .. } = self;
        let written = match open.take() {
            None => write(&mut writer.edit(document, *now_ms), entity),
            Some(paused) => {
                let mut edit = writer.resume_edit(document, paused);
                let written = write(&mut edit, entity);
                *open = Some(edit.pause());
                written
            }
        };
        written.map_err(error::edit)
    }
}
