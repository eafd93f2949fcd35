//! The audit log: what was done, by whom, provable to somebody who trusts nobody here.
//!
//! Entries are the leaves of a Merkle tree as RFC 6962 has it; the tree lies in static files
//! (C2SP tlog-tiles), and its head is a signed note. The crate opens no socket; only [`service`] has
//! threads and a clock. A core begins with [`home::Home::open`] and [`service::AuditLog`].
//!
//! ```
//! use selvedge_audit::{
//!     checkpoint::{Checkpoint, Trust},
//!     merkle::{Frontier, Hash},
//!     note::{Scheme, SigningKey},
//!     proof::TlogProof,
//! };
//!
//! let key = SigningKey::new("log.example/audit", Scheme::Ed25519, [7; 32])?;
//! let mut tree = Frontier::new();
//! let leaves = [&b"a door was opened"[..], b"a door was closed"].map(Hash::of_leaf);
//! leaves.into_iter().for_each(|leaf| tree.append(leaf));
//! let checkpoint = Checkpoint::new("log.example/audit", tree.size(), tree.root()).sign(&key);
//!
//! let proof = TlogProof { extra: None, index: 1, path: vec![leaves[0]], checkpoint };
//! let trust = Trust::in_key(key.verifier().clone());
//! assert!(proof.verify(b"a door was closed", &trust).is_ok());
//! assert!(proof.verify(b"a door was forced", &trust).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bundle;
pub mod checkpoint;
pub mod entry;
pub mod event;
pub mod files;
pub mod home;
pub mod integrate;
mod json;
pub mod keys;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod query;
pub mod service;
pub mod spool;
pub mod store;
pub mod tile;
pub mod time;
pub mod verify;
pub mod wire;
pub mod witness;
