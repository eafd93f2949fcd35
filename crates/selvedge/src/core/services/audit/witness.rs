//! The witness of this core: it cosigns heads of the logs that the config names, and remembers each on
//! disk before it says so.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use selvedge_audit::{
    checkpoint::Trust,
    home::Home,
    merkle::Hash,
    note::VerifierKey,
    store::{Folder, Storage},
    witness::{Answer, TEXT_TYPE, Verdict, Witness},
};
use serde_json::{Value, json};

use super::since_1970;
use crate::exit::{Exit, Failure, chain};

/// The witness, and where it remembers.
pub(super) struct Watch {
    key: VerifierKey,
    origins: Vec<String>,
    /// One request at a time: two that are right could together roll back.
    witness: Mutex<Witness>,
    store: Folder,
    pub(super) cosigned: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// What a request came to.
pub(super) struct Judged {
    pub(super) answer: Answer,
    /// Why the head could not be stored, for the core's log.
    pub(super) fault: Option<String>,
}

impl Watch {
    /// Takes up where it was. Blocks.
    pub(super) fn open(home: &Home, origin: &str, logs: &[String]) -> Result<Self, Failure> {
        let unavailable = |error| Failure::chain(Exit::Unavailable, &error);
        let key = home.witness_key(origin).map_err(unavailable)?;
        let verifier = key.verifier().clone();
        let store = home.witnessed().map_err(unavailable)?;
        let mut witness = Witness::new(key);
        let mut origins = Vec::new();
        for text in logs {
            let log: VerifierKey = text.parse().map_err(|error| {
                Failure::new(Exit::Config, format!("`watch` in `core {{ audit }}`: {error}"))
            })?;
            let stored = store.read(&name(log.name()))?;
            let origin = log.name().to_owned();
            witness.watch(Trust::in_key(log), stored.as_deref()).map_err(|error| {
                let text = format!(
                    "the head of {origin} that was cosigned last is not believed: {error}\n\
                     help: without it the witness could be rolled back; put the folder `audit-witness` \
                     back from a copy"
                );
                Failure::new(Exit::Data, text)
            })?;
            origins.push(origin);
        }
        let (cosigned, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let witness = Mutex::new(witness);
        Ok(Self { key: verifier, origins, witness, store, cosigned, refused })
    }

    /// The public key, for logs that want to be watched.
    pub(super) fn key(&self) -> String {
        self.key.to_string()
    }

    /// Whether no log is watched.
    pub(super) fn is_idle(&self) -> bool {
        self.origins.is_empty()
    }

    /// Cosigns a head, or says why not. Blocks: the head is durable when this returns.
    pub(super) fn add_checkpoint(&self, body: &[u8]) -> Judged {
        let mut witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        let (origin, head, answer) = match witness.add_checkpoint(body, since_1970().as_secs()) {
            Verdict::Refused(answer) => {
                self.refused.fetch_add(1, Relaxed);
                return Judged { answer, fault: None };
            }
            Verdict::Cosigned { origin, head, answer } => (origin, head, answer),
        };
        match self.store.replace(&name(&origin), head.to_string().as_bytes()) {
            Ok(()) => {
                self.cosigned.fetch_add(1, Relaxed);
                Judged { answer, fault: None }
            }
            Err(error) => self.take_back(&mut witness, &origin, error.to_string()),
        }
    }

    /// What is not stored was not cosigned: nobody gets the signature.
    fn take_back(&self, witness: &mut Witness, origin: &str, why: String) -> Judged {
        let stored = self.store.read(&name(origin)).map_err(|error| error.to_string());
        let forgotten = stored.and_then(|stored| {
            witness.forget(origin, stored.as_deref()).map_err(|error| chain(&error))
        });
        self.refused.fetch_add(1, Relaxed);
        let body = "the head cannot be stored\n".to_owned();
        let answer = Answer { status: 503, content_type: TEXT_TYPE, body };
        // Where not even that can be read, the newer head stays in mind: too new refuses, and lies to nobody.
        let fault = match forgotten {
            Ok(()) => why,
            Err(error) => format!("{why}; {error}"),
        };
        Judged { answer, fault: Some(fault) }
    }

    /// The last head of a log that was cosigned; `origin` is the digest of its name.
    pub(super) fn checkpoint(&self, origin: &str) -> Answer {
        self.witness.lock().unwrap_or_else(PoisonError::into_inner).checkpoint(origin)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "logs": self.origins,
            "cosigned": self.cosigned.load(Relaxed),
            "refused": self.refused.load(Relaxed),
        })
    }
}

/// The file of a log's head: names of logs have slashes.
fn name(origin: &str) -> String {
    Hash::of(origin.as_bytes()).to_hex()
}

#[cfg(test)]
mod tests {
    use selvedge_audit::{
        checkpoint::Checkpoint,
        merkle::Frontier,
        note::{Scheme, SigningKey},
        witness::Submitter,
    };

    use super::*;

    /// A data-dir whose witness watches the log of `key`.
    fn watch(folder: &tempfile::TempDir, key: &SigningKey) -> Watch {
        let home = Home::new(folder.path());
        std::fs::create_dir_all(home.keys()).unwrap();
        Watch::open(&home, "w.example/audit", &[key.verifier().to_string()]).unwrap()
    }

    fn request(key: &SigningKey, entries: &[&str]) -> String {
        let mut tree = Frontier::new();
        entries.iter().for_each(|entry| tree.append(Hash::of_leaf(entry.as_bytes())));
        let head = Checkpoint::new("log.example/audit", tree.size(), tree.root()).sign(key);
        Submitter::new(key.verifier().clone()).request(&head, Vec::new())
    }

    #[test]
    fn what_cannot_be_stored_is_not_cosigned() {
        let key = SigningKey::new("log.example/audit", Scheme::Ed25519, [7; 32]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let here = watch(&folder, &key);
        assert!(here.key().starts_with("w.example/audit/witness+"));
        let request = request(&key, &["a"]);
        let store = folder.path().join("audit-witness");
        std::fs::remove_dir_all(&store).unwrap();
        std::fs::write(&store, "").unwrap();
        let judged = here.add_checkpoint(request.as_bytes());
        assert_eq!(judged.answer.status, 503);
        assert!(judged.fault.is_some());
    }

    #[test]
    fn what_was_cosigned_is_remembered_by_the_next_life() {
        let key = SigningKey::new("log.example/audit", Scheme::Ed25519, [7; 32]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let request = request(&key, &["a", "b"]);
        assert_eq!(watch(&folder, &key).add_checkpoint(request.as_bytes()).answer.status, 200);
        let next = watch(&folder, &key);
        let judged = next.add_checkpoint(request.as_bytes());
        assert_eq!((judged.answer.status, &*judged.answer.body), (409, "2\n"));
        assert_eq!(next.to_json()["refused"], 1);

        let stored = folder.path().join("audit-witness").join(name("log.example/audit"));
        std::fs::write(stored, "another head").unwrap();
        let home = Home::new(folder.path());
        let refused = Watch::open(&home, "w.example/audit", &[key.verifier().to_string()]);
        assert_eq!(refused.err().map(|failure| failure.exit), Some(Exit::Data));
    }
}
