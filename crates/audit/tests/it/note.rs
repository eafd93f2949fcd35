//! Notes, keys and checkpoints: the examples of the specifications, another implementation, and what is
//! refused.

use expect_test::{Expect, expect};
use selvedge_audit::{
    checkpoint::{Checkpoint, Trust},
    merkle::Hash,
    note::{Note, Scheme, SignatureLine, SigningKey, VerifierKey},
};
use selvedge_base::Secret;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};

/// The examples of C2SP signed-note.
const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

pub(crate) fn key(name: &str, scheme: Scheme, seed: u8) -> SigningKey {
    SigningKey::new(name, scheme, [seed; 32]).expect("a good name")
}

#[test]
fn the_specification_s_note_verifies_by_its_key() {
    let key: VerifierKey = VKEY.parse().unwrap();
    assert_eq!(key.to_string(), VKEY);
    let note = Note::parse(NOTE.as_bytes()).unwrap();
    assert_eq!(note.to_string(), NOTE);
    let keys = [key];
    let signed = note.verify(&keys).unwrap();
    assert_eq!(signed[0].key.name(), "example.com/foo");
    assert_eq!(signed[0].time, None);
}

#[test]
fn each_side_reads_what_the_other_signed() {
    let ours = key("log.example/audit", Scheme::Ed25519, 7);
    let mut note = Checkpoint::new("log.example/audit", 7, Hash::of(b"root")).sign(&ours);
    let verifier = StandardVerifier::new(&ours.verifier().to_string()).unwrap();
    let known = VerifierList::new(vec![Box::new(verifier)]);
    let theirs = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
    assert_eq!(theirs.verify(&known).unwrap().0.len(), 1);
    assert_eq!(theirs.to_bytes(), note.to_string().as_bytes());
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(theirs.text()).unwrap();
    assert_eq!((checkpoint.size(), checkpoint.hash().0), (7, Hash::of(b"root").0));
    assert_eq!(checkpoint.to_bytes(), note.text().as_bytes());

    let signer = StandardSigner::new(ours.to_secret().expose()).unwrap();
    let mut theirs = signed_note::Note::new(note.text().as_bytes(), &[]).unwrap();
    theirs.add_sigs(&[&signer]).unwrap();
    let read = Note::parse(&theirs.to_bytes()).unwrap();
    assert_eq!(read, note);
    note.sign(&ours);
    assert_eq!(read, note, "a key signs once");
}

#[test]
fn a_cosignature_says_when() {
    let log = key("log.example/audit", Scheme::Ed25519, 1);
    let witness = key("witness.example/w1", Scheme::Cosignature, 2);
    let mut note = Checkpoint::new("log.example/audit", 1, Hash::of(b"root")).sign(&log);
    let line = witness.cosign(note.text(), 1_679_315_147).unwrap();
    note.add(line.clone());
    let trust = Trust {
        witnesses: vec![witness.verifier().clone()],
        quorum: 1,
        ..Trust::in_key(log.verifier().clone())
    };
    let opened = trust.open(note.to_string().as_bytes()).unwrap();
    assert_eq!(opened.witnesses, [("witness.example/w1".to_owned(), 1_679_315_147)]);

    let mut later = line;
    later.signature[7] += 1;
    note.add(later);
    let found = trust.open(note.to_string().as_bytes()).unwrap_err();
    assert_eq!(found.to_string(), "the signature of witness.example/w1 is wrong");
    assert_eq!(witness.cosign(note.text(), 0), None);
    assert_eq!(witness.cosign(note.text(), 1 << 63), None);
}

#[test]
fn only_trusted_keys_count() {
    let log = key("log.example/audit", Scheme::Ed25519, 1);
    let note = Checkpoint::new("log.example/audit", 1, Hash::of(b"root")).sign(&log).to_string();
    check_open(&note, &Trust::in_key(log.verifier().clone()), expect!["believed"]);
    let namesake = key("log.example/audit", Scheme::Ed25519, 2);
    check_open(
        &note,
        &Trust::in_key(namesake.verifier().clone()),
        expect!["no trusted key signed it"],
    );
    let other = key("log.example/other", Scheme::Ed25519, 1);
    check_open(
        &note,
        &Trust::in_key(other.verifier().clone()),
        expect!["the checkpoint is that of log.example/audit, and not of log.example/other"],
    );
    let witness = key("witness.example/w1", Scheme::Cosignature, 2).verifier().clone();
    let asked =
        Trust { witnesses: vec![witness], quorum: 1, ..Trust::in_key(log.verifier().clone()) };
    check_open(&note, &asked, expect!["no trusted key signed it"]);
    check_open(
        &note.replace("\n1\n", "\n2\n"),
        &Trust::in_key(log.verifier().clone()),
        expect!["the signature of log.example/audit is wrong"],
    );
}

#[track_caller]
fn check_open(note: &str, trust: &Trust, expected: Expect) {
    let found = trust.open(note.as_bytes());
    expected.assert_eq(&found.map_or_else(|error| error.to_string(), |_| "believed".to_owned()));
}

#[test]
fn what_is_no_note_is_refused() {
    let line = "\u{2014} a AAAAAAA=\n";
    let wrong = [
        "",
        "text\n",
        "text\n\n",
        "\n\n",
        &format!("text\n{line}"),
        &format!("te\tt\n\n{line}"),
        &format!("text\r\n\n{line}"),
        &format!("text\n\n{line}\n"),
        &format!("text\n\n{}", line.trim_end()),
        "text\n\n\u{2014} a AAAA\n",
        "text\n\n\u{2014} a AAAAAA==\n",
        "text\n\n\u{2014} a AAAAAAB=\n",
        "text\n\n\u{2014} a  AAAAAAA=\n",
        "text\n\n\u{2014}  AAAAAAA=\n",
        "text\n\n\u{2014} a+b AAAAAAA=\n",
        "text\n\n\u{2014} a\u{a0}b AAAAAAA=\n",
        "text\n\n- a AAAAAAA=\n",
        &format!("text\n\n{}", line.repeat(65)),
    ];
    for note in wrong {
        assert!(Note::parse(note.as_bytes()).is_err(), "{note:?}");
    }
    assert!(Note::parse(b"text\xff\n\n\xe2\x80\x94 a AAAAAAA=\n").is_err());
    assert!(Note::parse(format!("a\n\nb\n\n{}", line.repeat(64)).as_bytes()).is_ok());
    assert!(SignatureLine::parse(line.trim_end()).is_ok());
}

#[test]
fn what_is_no_key_is_refused() {
    check_key(VKEY, expect!["example.com/foo"]);
    check_key("", expect!["this is no key of the form NAME+ID+KEY"]);
    check_key(
        &VKEY.replace("530d903a", "530d903b"),
        expect!["the key's id is not that of its name and key: it may have been altered"],
    );
    check_key(
        &VKEY.replace("530d903a", "530D903A"),
        expect!["this is no key of the form NAME+ID+KEY"],
    );
    check_key(
        &VKEY.replace("foo", "fo o"),
        expect!["the key's name is empty, or has a space or a +"],
    );
    check_key(
        &VKEY.replace("foo", "fop"),
        expect!["the key's id is not that of its name and key: it may have been altered"],
    );
    check_key(
        &VKEY.replace("+Aek", "+Auk"),
        expect!["the key is neither for Ed25519 nor for version 1 cosignatures"],
    );
    check_key(&VKEY[..VKEY.len() - 4], expect!["this is no key of the form NAME+ID+KEY"]);
    let secret = key("a", Scheme::Ed25519, 3).to_secret();
    assert_eq!(SigningKey::parse(&secret).unwrap().to_secret(), secret);
    assert!(SigningKey::parse(&Secret::new(VKEY)).is_err());
    let debug = format!("{:?}", SigningKey::parse(&secret).unwrap());
    assert!(debug.starts_with("SigningKey(a+"), "no seed in {debug}");
}

#[track_caller]
fn check_key(text: &str, expected: Expect) {
    let found = text.parse::<VerifierKey>();
    expected.assert_eq(&found.map_or_else(|error| error.to_string(), |key| key.name().to_owned()));
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let root = Hash::of(b"root");
    let good = format!("log\n7\n{root}\nmore\n");
    assert_eq!(Checkpoint::parse(&good).unwrap().to_string(), good);
    let wrong = [
        "",
        "log",
        "log\n",
        "\n7\n",
        "log\n7",
        "log\n7\n",
        &format!("log\n07\n{root}\n"),
        &format!("log\n+7\n{root}\n"),
        &format!("log\n\n{root}\n"),
        &format!("log\n18446744073709551616\n{root}\n"),
        &format!("\n7\n{root}\n"),
        &format!("log\n7\n{root}"),
        &format!("log\n7\n{root}\n\n"),
        &format!("log\n7\n{root} \n"),
        "log\n7\nAAAA\n",
    ];
    for text in wrong {
        assert!(Checkpoint::parse(text).is_err(), "{text:?}");
    }
}
