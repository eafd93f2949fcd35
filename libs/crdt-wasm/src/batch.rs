//! Batches, and their hashes.

use selvedge_crdt::{Batch as Operations, BatchHash, Header, Hlc, Reissue};
use wasm_bindgen::prelude::*;

use crate::{error, rows};

/// Operations of one replica without a gap.
#[wasm_bindgen]
pub struct Batch {
    pub(crate) batch: Operations,
    prev: BatchHash,
}

#[wasm_bindgen]
impl Batch {
    /// Reads a batch from its bytes.
    pub fn decode(bytes: &[u8]) -> Result<Batch, JsValue> {
        let (header, batch) = Operations::decode(bytes).map_err(error::malformed)?;
        Ok(Batch { batch, prev: header.prev })
    }

    /// Its bytes behind a batch with this hash.
    pub fn encode(&self, prev: &[u8]) -> Result<Vec<u8>, JsValue> {
        Ok(self.batch.encode(hash(prev)?))
    }

    /// Whose operations these are.
    #[wasm_bindgen(getter)]
    pub fn replica(&self) -> String {
        self.batch.replica().to_string()
    }

    /// The sequence of the first.
    #[wasm_bindgen(getter)]
    pub fn first(&self) -> f64 {
        self.batch.first() as f64
    }

    /// How many there are.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> u32 {
        self.batch.len() as u32
    }

    /// The hash of the batch before, as it was read; zeros in one that was just written.
    #[wasm_bindgen(getter)]
    pub fn prev(&self) -> Vec<u8> {
        self.prev.0.to_vec()
    }

    /// The ids of the entities that it is about, some more than once.
    pub fn entities(&self) -> Vec<String> {
        let mut ids: Vec<&str> = self.batch.ops().map(|op| &**op.entity).collect();
        ids.dedup();
        ids.into_iter().map(str::to_owned).collect()
    }

    /// Its operations, as [`rows::ops`] writes them.
    pub fn ops(&self) -> Vec<JsValue> {
        rows::ops(self.batch.ops())
    }

    /// The same operations under another id.
    pub fn reissued(&self, name: &NewName) -> Option<Batch> {
        let batch = self.batch.reissued(&name.0)?;
        Some(Batch { batch, prev: BatchHash::NONE })
    }
}

impl From<Operations> for Batch {
    fn from(batch: Operations) -> Self {
        Batch { batch, prev: BatchHash::NONE }
    }
}

/// How operations are issued again.
#[wasm_bindgen]
pub struct NewName(Reissue);

#[wasm_bindgen]
impl NewName {
    /// Under this id from the sequence `first` on, what was from `since` on, with stamps of at least `not_before`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        replica: &[u8],
        first: u64,
        since: u64,
        not_before: u64,
    ) -> Result<NewName, JsValue> {
        let replica = error::replica_id(replica)?;
        Ok(NewName(Reissue { replica, first, since, not_before: Hlc(not_before) }))
    }
}

/// The hash of a batch, as it was pushed.
#[wasm_bindgen(js_name = batchHash)]
pub fn batch_hash(pushed: &[u8]) -> Vec<u8> {
    BatchHash::of(pushed).0.to_vec()
}

/// A batch's plain header as: replica, previous hash, first sequence, count, both stamps.
#[wasm_bindgen(js_name = readHeader)]
pub fn read_header(bytes: &[u8]) -> Result<Vec<JsValue>, JsValue> {
    let (header, _) = Header::read(bytes).map_err(error::malformed)?;
    Ok(vec![
        JsValue::from_str(&header.replica.to_string()),
        js_sys::Uint8Array::from(&header.prev.0[..]).into(),
        JsValue::from_f64(header.first as f64),
        JsValue::from_f64(header.count.into()),
        rows::clock(header.stamp_first),
        rows::clock(header.stamp_last),
    ])
}

/// A hash from its 16 bytes.
pub fn hash(bytes: &[u8]) -> Result<BatchHash, JsValue> {
    let hash = bytes.try_into().map_err(|_| error::invalid("a batch's hash has 16 bytes"))?;
    Ok(BatchHash(hash))
}
