//! Two logs that witness each other, and one that lies.

use selvedge_audit::{
    checkpoint::{Checkpoint, Trust},
    merkle::{Hash, prove_consistency},
    note::{Note, Scheme, SigningKey},
    witness::{SubmitError, Submitted, Submitter, Verdict, Witness},
};

use crate::{merkle::Leaves, note::key};

const NAME: &str = "log.example/audit";

struct Pair {
    log: SigningKey,
    leaves: Leaves,
    witness: Witness,
    submitter: Submitter,
}

impl Pair {
    fn new() -> Self {
        let log = key(NAME, Scheme::Ed25519, 1);
        let witness_key = key("witness.example/w1", Scheme::Cosignature, 2);
        let submitter = Submitter::new(witness_key.verifier().clone());
        let mut witness = Witness::new(witness_key);
        witness.watch(Trust::in_key(log.verifier().clone()), None).unwrap();
        Self { log, leaves: Leaves::new(100), witness, submitter }
    }

    fn head(&self, size: u64) -> Note {
        let root = self.leaves.root(selvedge_audit::merkle::Span::of_tree(size));
        Checkpoint::new(NAME, size, root).sign(&self.log)
    }

    fn request(&mut self, size: u64) -> String {
        let known = self.submitter.known();
        let proof = match known {
            0 => Vec::new(),
            _ if known > size => Vec::new(),
            _ => prove_consistency(&mut self.leaves, known, size).unwrap(),
        };
        self.submitter.request(&self.head(size), proof)
    }

    /// Status and body of the answer.
    fn ask(&mut self, request: &str) -> (u16, String) {
        match self.witness.add_checkpoint(request.as_bytes(), 1_700_000_000) {
            Verdict::Refused(answer) | Verdict::Cosigned { answer, .. } => {
                (answer.status, answer.body)
            }
        }
    }

    fn submit(&mut self, size: u64) -> Result<Submitted, SubmitError> {
        let request = self.request(size);
        let (status, body) = self.ask(&request);
        let head = self.head(size);
        self.submitter.answered(&head, status, body.as_bytes())
    }
}

#[test]
fn a_head_that_continues_is_cosigned() {
    let mut pair = Pair::new();
    for size in [3, 3, 64, 100] {
        let Ok(Submitted::Cosigned(line)) = pair.submit(size) else { panic!("{size}") };
        let mut head = pair.head(size);
        head.add(line);
        let witnesses = vec![pair.submitter.key().clone()];
        let trust = Trust { witnesses, quorum: 1, ..Trust::in_key(pair.log.verifier().clone()) };
        let opened = trust.open(head.to_string().as_bytes()).unwrap();
        assert_eq!(opened.witnesses, [("witness.example/w1".to_owned(), 1_700_000_000)]);
        let hash = Hash::of(NAME.as_bytes()).to_hex();
        assert_eq!(pair.witness.checkpoint(&hash).body, head.to_string());
    }
    assert_eq!(pair.witness.checkpoint("00").status, 404);
}

#[test]
fn a_log_that_forgot_what_the_witness_knows_asks_again() {
    let mut pair = Pair::new();
    pair.submit(64).unwrap();
    pair.submitter = Submitter::new(pair.submitter.key().clone());
    assert_eq!(pair.submit(100), Ok(Submitted::AskAgain));
    assert!(matches!(pair.submit(100), Ok(Submitted::Cosigned(_))));
}

#[test]
fn a_rollback_is_refused() {
    let mut pair = Pair::new();
    pair.submit(64).unwrap();
    pair.submitter = Submitter::new(pair.submitter.key().clone());
    assert_eq!(pair.submit(30), Err(SubmitError::Ahead { witness: 64, ours: 30 }));
}

#[test]
fn another_history_is_refused() {
    let mut pair = Pair::new();
    pair.submit(64).unwrap();
    let other = Checkpoint::new(NAME, 100, Hash::of(b"another")).sign(&pair.log);
    let proof = prove_consistency(&mut pair.leaves, 64, 100).unwrap();
    let request = pair.submitter.request(&other, proof);
    assert_eq!(pair.ask(&request).0, 422);
}

#[test]
fn two_heads_of_one_size_are_two_histories() {
    let mut pair = Pair::new();
    pair.submit(64).unwrap();
    let split = Checkpoint::new(NAME, 64, Hash::of(b"another")).sign(&pair.log);
    let request = pair.submitter.request(&split, Vec::new());
    let (status, body) = pair.ask(&request);
    assert_eq!(status, 422, "{body}");
    let other = Err(SubmitError::OtherRoot { size: 64 });
    assert_eq!(pair.submitter.answered(&split, status, body.as_bytes()), other);
    // As version 1.0.0 of the protocol has it: with the size, or with any text.
    for body in ["64\n", "conflict\n", ""] {
        assert_eq!(pair.submitter.answered(&split, 409, body.as_bytes()), other, "{body:?}");
    }
    // Who thought of another size is told the witness's, and comes back with it.
    pair.submitter = Submitter::new(pair.submitter.key().clone());
    let request = pair.submitter.request(&split, Vec::new());
    let (status, body) = pair.ask(&request);
    assert_eq!((status, body.as_str()), (409, "64\n"));
    let answered = pair.submitter.answered(&split, status, body.as_bytes());
    assert_eq!(answered, Ok(Submitted::AskAgain));
    let proven = pair.submitter.request(&split, vec![Hash::of(b"a proof")]);
    assert_eq!(pair.ask(&proven).0, 422, "nothing is to be proven between equal sizes");
}

#[test]
fn each_fault_has_its_status() {
    let mut pair = Pair::new();
    let good = pair.request(3);
    let unsigned = Checkpoint::new(NAME, 3, Hash::of(b"")).sign(&key("x", Scheme::Ed25519, 9));
    let unknown = Checkpoint::new("x", 3, Hash::of(b"")).sign(&key("x", Scheme::Ed25519, 9));
    let empty = Checkpoint::new(NAME, 0, Hash::of(b"a")).sign(&pair.log);
    let hash = Hash::of(b"");
    for (request, status) in [
        (String::new(), 400),
        (good.replace("old 0", "old 00"), 400),
        (good.replace("old 0", "new 0"), 400),
        (good.replace("old 0", "old 4"), 400),
        (good.replace("old 0\n", &format!("old 0\n{}", format!("{hash}\n").repeat(64))), 400),
        (good.replace("old 0", "old 1"), 409),
        (good.replace("old 0\n", &format!("old 0\n{hash}\n")), 422),
        (good.replace("\n3\n", "\n4\n"), 403),
        (good.replace("\n3\n", "\n03\n"), 400),
        (good.replace("\n\n", "\n"), 400),
        (pair.submitter.request(&unsigned, Vec::new()), 403),
        (pair.submitter.request(&unknown, Vec::new()), 404),
        (pair.submitter.request(&empty, Vec::new()), 422),
        (good.clone(), 200),
    ] {
        assert_eq!(pair.ask(&request).0, status, "{request}");
    }
}

#[test]
fn a_witness_comes_back_with_what_it_stored() {
    let mut pair = Pair::new();
    let request = pair.request(64);
    let verdict = pair.witness.add_checkpoint(request.as_bytes(), 7);
    let Verdict::Cosigned { origin, head, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(origin, NAME);

    let trust = Trust::in_key(pair.log.verifier().clone());
    pair.witness = Witness::new(key("witness.example/w1", Scheme::Cosignature, 2));
    pair.witness.watch(trust.clone(), Some(head.to_string().as_bytes())).unwrap();
    assert_eq!(pair.ask(&request).0, 409, "it remembers");

    pair.witness.forget(NAME, None).unwrap();
    assert_eq!(pair.ask(&request).0, 200, "it could not be stored");
    let stranger = pair.head(64).to_string();
    assert!(pair.witness.watch(trust, Some(stranger.as_bytes())).is_err(), "never cosigned");
}

#[test]
fn an_answer_is_not_believed_without_the_witness_s_signature() {
    let mut pair = Pair::new();
    let (head, stranger) = (pair.head(3), key("witness.example/w1", Scheme::Cosignature, 9));
    let line = format!("{}\n", stranger.cosign(head.text(), 1).unwrap());
    for body in [line.as_str(), "", "\n", "hello\n"] {
        let found = pair.submitter.answered(&head, 200, body.as_bytes());
        assert!(matches!(found, Err(SubmitError::BadAnswer(_))), "{body}");
    }
}
