//! Keys of devices and documents: who may open a document, who wrote what, and who can read it.
//!
//! A relay keeps documents that it must not read. Everything cryptographic about that is here, so that the browser,
//! the command line and the relay run the same code: [`Device`]s sign, capabilities (`token`) say who may what,
//! an [`EpochKey`] seals batches, snapshots and presence, a [`Roster`] says whose devices hold that key, a
//! [`Link`] shares a document, and a [`Recovery`] brings it back. `docs/rfcs/0011-document-keys.md` says why it is so,
//! and `docs/reference/document-keys.md` what the bytes are.
//!
//! It knows no network, no disk, no clock and no chance: random bytes and time come in, and random bytes must
//! never come in twice. It compiles for WASM.
//!
//! Ann founds a document, and gives Ben what was written before he came:
//!
//! ```
//! use selvedge_crdt::{BatchHash, Document, ReplicaId, Writer, session::{DocumentId, Record}};
//! use selvedge_seal::{Anchor, Device, Draft, History, Keyring, Newcomer, Rights, Roster};
//!
//! let (ann, ben) = (Device::from_seed([1; 32]), Device::from_seed([2; 32])); // random bytes, in real life
//! let notes = DocumentId::new("acme", "notes/ann").expect("a name");
//!
//! let mut anns_keys = Keyring::new(&notes);
//! let mut draft = Draft::founding(&notes);
//! draft.add(Newcomer::device(ann.public(), Rights::ALL, "Ann's phone"));
//! let record = draft.sign(&ann, &anns_keys, [3; 32])?;
//! let roster = Roster::first(&notes, &Record::read(&record)?, &Anchor::Founder(ann.id()))?;
//! roster.unlock(&ann, &mut anns_keys)?;
//!
//! let (mut document, mut writer) = (Document::new(), Writer::new(ReplicaId([1; 16])));
//! writer.edit(&mut document, 1_000).set("note/1", "title", "Milk".into())?;
//! let batch = writer.take_batch().expect("she wrote");
//! let sealed = anns_keys.newest().expect("hers").seal_batch(&batch, BatchHash::NONE, [4; 24]);
//!
//! let mut draft = Draft::after(&roster, &anns_keys)?;
//! let reads_and_writes = Rights::READ | Rights::WRITE;
//! draft.add(Newcomer::device(ben.public(), reads_and_writes, "Ben's laptop").with(History::All));
//! let record = draft.sign(&ann, &anns_keys, [5; 32])?;
//! let roster = roster.follow(&Record::read(&record)?)?;
//!
//! let mut bens_keys = Keyring::new(&notes);
//! roster.unlock(&ben, &mut bens_keys)?;
//! let (_, read) = bens_keys.newest().expect("he is in").open_batch(&sealed)?;
//! assert_eq!(read, batch);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod cipher;
mod device;
mod epoch;
mod keyring;
mod link;
mod padding;
mod presence;
mod recovery;
mod request;
mod rights;
mod roster;
mod snapshot;
#[cfg(feature = "token")]
pub mod token;
mod vault;
mod wrap;

pub use cipher::OpenError;
pub use device::{BadSignature, Device, PublicDevice, verify_proof, verify_record};
pub use epoch::{Commitment, Epoch, EpochKey};
pub use keyring::{Conflict, Keyring};
pub use link::{Link, LinkError};
pub use padding::padded_len;
pub use presence::{PRESENCE_STATE_BYTES_MAX, Presence};
pub use recovery::{CodeError, Recovery, RecoveryCode, RecoveryError};
pub use request::{Asked, NoProof, RequestProof};
pub use rights::Rights;
pub use roster::{
    Anchor, Draft, DraftError, History, MEMBERS_MAX, Member, MemberKind, NAME_BYTES_MAX, Newcomer,
    Roster, RosterError, RosterHash, Unlock,
};
pub use snapshot::{SealedSnapshot, SnapshotOpener, TooLarge};
pub use vault::{Chance, Vault, VaultError};
pub use wrap::EncryptionKey;

/// Bytes of every secret here: a device's, an epoch's, a link's, a recovery code's.
pub const SECRET_BYTES: usize = 32;

/// Bytes of the nonce of a sealed body.
pub const NONCE_BYTES: usize = 24;
