//! `.tlog-proof` files.

use expect_test::{Expect, expect};
use selvedge_audit::{
    checkpoint::{Checkpoint, Trust},
    merkle::Hash,
    note::Scheme,
    proof::{TlogProof, Verifier},
};

use crate::note::key;

/// The second of two entries, proven.
fn example() -> (TlogProof, Trust) {
    let log = key("log.example/audit", Scheme::Ed25519, 1);
    let (first, second) = (Hash::of_leaf(b"first"), Hash::of_leaf(b"second"));
    let checkpoint = Checkpoint::new("log.example/audit", 2, Hash::of_node(first, second));
    let checkpoint = checkpoint.sign(&log);
    let proof = TlogProof { extra: None, index: 1, path: vec![first], checkpoint };
    (proof, Trust::in_key(log.verifier().clone()))
}

#[test]
fn a_proof_is_a_text_that_proves() {
    let (proof, trust) = example();
    let text = proof.to_string();
    expect![[r#"
        c2sp.org/tlog-proof@v1
        index 1
        oa8DAjHKL9IOzzDFKUuvj2kyHQm7FqxTiFzNF6OFKA0=

        log.example/audit
        2
        OuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=

        — log.example/audit XwL/bX2WVOnQVX/uKmTGbMUoswPCojAM73nN38a4QpMx2Ut+n5lw26M4IdmobMPylK4ugiaqVOGRRVhTo0rVQTVUVwI=
    "#]]
    .assert_eq(&text);
    let read = TlogProof::parse(text.as_bytes()).unwrap();
    assert_eq!(read, proof);
    assert_eq!(read.verify(b"second", &trust).unwrap().checkpoint.size, 2);

    let extra = TlogProof { extra: Some(b"second".to_vec()), ..proof };
    assert_eq!(TlogProof::parse(extra.to_string().as_bytes()), Ok(extra));
}

#[test]
fn what_is_not_proven_is_said() {
    let (proof, trust) = example();
    let refused = |proof: &TlogProof, entry: &[u8], expected: Expect| {
        let error = proof.verify(entry, &trust).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        expected.assert_eq(&cause.unwrap_or_default());
    };
    refused(&proof, b"first", expect!["the proof leads to another root of the tree"]);
    let moved = TlogProof { index: 0, ..proof.clone() };
    refused(&moved, b"second", expect!["the proof leads to another root of the tree"]);
    let beyond = TlogProof { index: 2, ..proof.clone() };
    refused(&beyond, b"second", expect!["the tree has no such leaf or subtree"]);
    let longer = TlogProof { path: [proof.path[0]; 2].to_vec(), ..proof.clone() };
    refused(&longer, b"second", expect!["the proof has 2 hashes, and for these sizes it has 1"]);
    let other = key("log.example/audit", Scheme::Ed25519, 2);
    let checkpoint = Checkpoint::parse(proof.checkpoint.text()).unwrap().sign(&other);
    refused(&TlogProof { checkpoint, ..proof }, b"second", expect!["no trusted key signed it"]);
}

#[test]
fn many_proofs_are_checked_as_each_by_itself() {
    let (proof, trust) = example();
    let mut verifier = Verifier::new(&trust);
    for _ in 0..2 {
        assert_eq!(verifier.verify(&proof, b"second").cloned(), proof.verify(b"second", &trust));
        assert_eq!(
            verifier.verify(&proof, b"first").unwrap_err(),
            proof.verify(b"first", &trust).unwrap_err()
        );
    }
    // The head of another tree under the signature of this one, and this head by somebody else.
    let forged = proof.to_string().replace("\n2\n", "\n3\n");
    let forged = TlogProof::parse(forged.as_bytes()).unwrap();
    let other = key("log.example/audit", Scheme::Ed25519, 2);
    let signed = Checkpoint::parse(proof.checkpoint.text()).unwrap().sign(&other);
    for wrong in [forged, TlogProof { checkpoint: signed, ..proof.clone() }] {
        let refused = verifier.verify(&wrong, b"second").unwrap_err();
        assert_eq!(refused, wrong.verify(b"second", &trust).unwrap_err());
        assert!(verifier.verify(&proof, b"second").is_ok(), "the next one is judged by itself");
    }
}

#[test]
fn what_is_no_proof_is_refused() {
    let text = example().0.to_string();
    let wrong = [
        text.replace("@v1", "@v2"),
        text.replace("index 1", "index 01"),
        text.replace("index 1", "index  1"),
        text.replace("index 1\n", ""),
        text.replace("index 1", "extra A\nindex 1"),
        text.replace("index 1", "index 1\nextra AAAA"),
        text.replace("\n\nlog", "\nlog"),
        text.replacen("=\n", "\n", 1),
        text.replace('\n', "\r\n"),
        text.trim_end().to_owned(),
        format!("{text}\n"),
        format!("\n{text}"),
        text.replace(
            "index 1\n",
            &format!("index 1\n{}", format!("{}\n", Hash::of(b"")).repeat(63)),
        ),
    ];
    for text in wrong {
        assert!(TlogProof::parse(text.as_bytes()).is_err(), "{text}");
    }
}
