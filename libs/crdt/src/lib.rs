//! Documents that any number of replicas edit offline, and that merge to the same bytes.
//!
//! People work without a network and with each other; what they wrote must come together without a
//! server that decides. This crate is what is the same on every device: the [`Document`], the [`Writer`]
//! that changes it, [`Batch`]es of operations that travel, and the hash chains ([`Heads`]) that
//! notice a copied replica. `docs/rfcs/0008-crdt-documents.md` says why it is so, and
//! `docs/reference/crdt-format.md` what its bytes are.
//!
//! It knows no network, no disk, no clock and no chance: time and random ids come in. It compiles for
//! WASM, and the same calls make the same bytes everywhere.
//!
//! Two replicas that edit at the same time:
//!
//! ```
//! use selvedge_crdt::{Batch, BatchHash, Document, Kind, ReplicaId, Writer};
//!
//! let (mut ann, mut ben) = (Document::new(), Document::new());
//! let mut ann_writes = Writer::new(ReplicaId([1; 16])); // 16 random bytes
//! let mut ben_writes = Writer::new(ReplicaId([2; 16]));
//!
//! let mut edit = ann_writes.edit(&mut ann, 1_000);
//! edit.set("note/1", "title", "Milk".into())?;
//! edit.add("note/1", "tags", "shopping".into())?;
//! ben_writes.edit(&mut ben, 1_001).increment("note/1", "votes", 1)?;
//!
//! let from_ann = ann_writes.take_batch().expect("she wrote").encode(BatchHash::NONE);
//! let from_ben = ben_writes.take_batch().expect("he wrote").encode(BatchHash::NONE);
//! ann.apply(&Batch::decode(&from_ben)?.1);
//! ben.apply(&Batch::decode(&from_ann)?.1);
//!
//! assert_eq!(ann.snapshot(), ben.snapshot());
//! let note = ben.entity("note/1").expect("she wrote it");
//! assert_eq!(note.get("title"), Some("Milk".into()));
//! assert_eq!(note.values("tags", Kind::OR_SET), ["shopping".into()]);
//! assert_eq!(note.count("votes"), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod chain;
mod clock;
mod context;
mod document;
mod dot;
mod edit;
mod history;
mod name;
mod op;
mod schema;
pub mod session;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sorted;
mod value;
mod wire;
mod writer;

pub use batch::{
    BATCH_BYTES_MAX, BATCH_OPS_MAX, BATCH_RANGES_MAX, Batch, BatchBuilder, Header, NoRoom, Reissue,
};
pub use chain::{Admission, BatchHash, Head, Heads};
pub use clock::{Clock, Hlc};
pub use document::{Document, EntityRef, Written};
pub use dot::{Dot, DotRange, RANGES_MAX, ReplicaId, Stamp};
pub use edit::{Edit, EditError, Paused, Undo};
pub use history::History;
pub use name::{
    ENTITY_BYTES_MAX, EntityId, FIELD_BYTES_MAX, Field, Kind, PAYLOAD_BYTES_MAX, TEXT_BYTES_MAX,
    type_name,
};
pub use op::{Change, Op};
pub use schema::{Break, EntityType, FieldRule, Mismatch, OnDelete, Schema, ValueType};
pub use value::Value;
pub use wire::{Malformed, Reader, put_varint};
pub use writer::Writer;
