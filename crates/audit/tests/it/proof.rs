//! `.tlog-proof` files.

use expect_test::{Expect, expect};
use selvedge_audit::{
    checkpoint::{Checkpoint, Trust},
    merkle::Hash,
    note::Scheme,
    proof::TlogProof,
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
