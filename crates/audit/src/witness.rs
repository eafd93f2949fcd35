//! Witnesses (C2SP tlog-witness): who cosigns a head only if it continues what they cosigned before.
//!
//! Statuses are those of the specification's text since 2026-07-06 (95978ca): another root over as many entries is 422, as any
//! proof that proves nothing, and 409 always says a size to begin from. Version 1.0.0 had 409 there as well, which the half that
//! asks understands.
//!
//! Both halves take bytes and give bytes; whoever calls them owns the sockets. A witness says what
//! is to be durable before its answer may leave.

mod request;
mod submit;

use std::collections::HashMap;

use crate::{
    checkpoint::{Checkpoint, CheckpointError, Trust},
    merkle::{self, Hash},
    note::{Note, NoteError, Scheme, SigningKey},
};

pub use request::AddCheckpoint;
pub use submit::{SubmitError, Submitted, Submitter};

/// The most bytes of a request.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024 + 8 * 1024;

/// The type of an answer with status 409.
pub const SIZE_TYPE: &str = "text/x.tlog.size";

/// The type of every other answer.
pub const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// An answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The content type.
    pub content_type: &'static str,
    /// The content.
    pub body: String,
}

/// What a witness decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer can be sent.
    Refused(Answer),
    /// The head is to be stored for its log, durably, before the answer is sent. Whoever cannot
    /// store it sends no answer, and calls [`Witness::forget`].
    Cosigned {
        /// The log's name.
        origin: String,
        /// The head with the log's signatures and our own.
        head: Note,
        /// The answer.
        answer: Answer,
    },
}

/// Cosigns the heads of logs that it knows.
///
/// Requests are handled one after another: two at once could each be right and together roll back.
#[derive(Debug)]
pub struct Witness {
    key: SigningKey,
    logs: HashMap<String, Watched>,
}

#[derive(Debug)]
struct Watched {
    trust: Trust,
    /// The last head that was cosigned.
    head: Option<(Checkpoint, Note)>,
}

impl Witness {
    /// A witness that signs with `key` and knows no log.
    ///
    /// # Panics
    /// If the key is not for cosignatures.
    pub fn new(key: SigningKey) -> Self {
        assert_eq!(key.verifier().scheme(), Scheme::Cosignature, "witnesses sign with a time");
        Self { key, logs: HashMap::new() }
    }

    /// Watches a log from the head that was stored for it, or from its beginning if there is none.
    pub fn watch(&mut self, trust: Trust, stored: Option<&[u8]>) -> Result<(), CheckpointError> {
        let opened = stored.map(|bytes| self.own(&trust, bytes)).transpose()?;
        self.logs.insert(trust.origin.clone(), Watched { trust, head: opened });
        Ok(())
    }

    /// A stored head must have both signatures, or it is not what was stored.
    fn own(&self, trust: &Trust, bytes: &[u8]) -> Result<(Checkpoint, Note), CheckpointError> {
        let ours = vec![self.key.verifier().clone()];
        let trust = Trust { witnesses: ours, quorum: 1, ..trust.clone() };
        trust.open(bytes).map(|opened| (opened.checkpoint, opened.note))
    }

    /// Answers `POST add-checkpoint`; `now` is in seconds since 1970.
    pub fn add_checkpoint(&mut self, body: &[u8], now: u64) -> Verdict {
        match self.judge(body, now) {
            Ok((origin, head, answer)) => Verdict::Cosigned { origin, head, answer },
            Err(answer) => Verdict::Refused(answer),
        }
    }

    fn judge(&mut self, body: &[u8], now: u64) -> Result<(String, Note, Answer), Answer> {
        let request = AddCheckpoint::parse(body).map_err(|what| plain(400, what))?;
        let new = Checkpoint::parse(request.checkpoint.text());
        let new = new.map_err(|error| plain(400, &error.to_string()))?;
        let watched = self.logs.get_mut(&new.origin).ok_or_else(|| plain(404, "unknown log"))?;
        signed_by_log(&request.checkpoint, &watched.trust)?;
        if request.old > new.size {
            return Err(plain(400, "the old size is larger than the new one"));
        }
        let known = watched.head.as_ref().map_or((0, Hash::of_nothing()), |(head, _)| head.tree());
        if request.old != known.0 {
            return Err(conflict(known.0));
        }
        continues(&request, known, new.tree())?;
        let text = request.checkpoint.text();
        let line = self.key.cosign(text, now).ok_or_else(|| plain(500, "there is no time"))?;
        let mut head = only_by_log(&request.checkpoint, &watched.trust);
        head.add(line.clone());
        let origin = new.origin.clone();
        watched.head = Some((new, head.clone()));
        let body = format!("{line}\n");
        Ok((origin, head, Answer { status: 200, content_type: TEXT_TYPE, body }))
    }

    /// Goes back to the head that was stored last, because a later one could not be.
    pub fn forget(&mut self, origin: &str, stored: Option<&[u8]>) -> Result<(), CheckpointError> {
        let Some(watched) = self.logs.get(origin) else { return Ok(()) };
        self.watch(watched.trust.clone(), stored)
    }

    /// Answers `GET ORIGIN-HASH/checkpoint`: the last head that was cosigned.
    pub fn checkpoint(&self, origin_hash: &str) -> Answer {
        let asked = |origin: &&String| Hash::of(origin.as_bytes()).to_hex() == origin_hash;
        let watched = self.logs.keys().find(asked).and_then(|origin| self.logs.get(origin));
        match watched.and_then(|watched| watched.head.as_ref()) {
            Some((_, note)) => {
                Answer { status: 200, content_type: TEXT_TYPE, body: note.to_string() }
            }
            None => plain(404, "no head of this log was cosigned"),
        }
    }
}

fn signed_by_log(note: &Note, trust: &Trust) -> Result<(), Answer> {
    match note.verify(&trust.log) {
        Ok(_) => Ok(()),
        Err(NoteError::NotSigned) => Err(plain(403, "no signature by a known key of the log")),
        Err(_) => Err(plain(403, "a signature by the log is wrong")),
    }
}

/// The head without signatures that nobody here can judge.
fn only_by_log(note: &Note, trust: &Trust) -> Note {
    let mut head = Note::new(note.text()).expect("it is the text of a note");
    let known = |line: &&crate::note::SignatureLine| {
        trust.log.iter().any(|key| key.name() == line.name && key.id() == line.key_id)
    };
    note.signatures().iter().filter(known).for_each(|line| head.add(line.clone()));
    head
}

/// Whether the new head continues the old one.
fn continues(request: &AddCheckpoint, old: (u64, Hash), new: (u64, Hash)) -> Result<(), Answer> {
    if new.0 == 0 && new.1 != Hash::of_nothing() {
        return Err(plain(422, "the root of no entries is the digest of nothing"));
    }
    if old.0 == 0 {
        let empty = request.proof.is_empty();
        return if empty { Ok(()) } else { Err(plain(422, "nothing is to be proven from size 0")) };
    }
    merkle::verify_consistency(&request.proof, old, new)
        .map_err(|error| plain(422, &error.to_string()))
}

fn plain(status: u16, what: &str) -> Answer {
    Answer { status, content_type: TEXT_TYPE, body: format!("{what}\n") }
}

fn conflict(size: u64) -> Answer {
    Answer { status: 409, content_type: SIZE_TYPE, body: format!("{size}\n") }
}
