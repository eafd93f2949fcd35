//! The bytes of version 1, as they are for ever.

use std::{fmt::Write, fs, path::PathBuf};

use expect_test::expect_file;
use selvedge_crdt::{
    BatchHash,
    session::{DeviceId, Record},
};
use selvedge_seal::{
    Anchor, Device, Draft, History, Keyring, Link, Newcomer, Presence, Recovery, RecoveryCode,
    Rights, Roster, RosterHash, SealedSnapshot, SnapshotOpener,
    token::{Capability, Holder},
};

use crate::{
    scene::{batch, device, document, key},
    token::{NOW, capability, issuer, issuers},
};

/// Bytes as people read them, in rows of 32.
fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for row in bytes.chunks(32) {
        writeln!(text, "{}", data_encoding::HEXLOWER.encode(row)).expect("a string takes all");
    }
    text
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

/// Compares with what is committed, and returns that.
#[track_caller]
fn check(name: &str, written: &[u8]) -> Vec<u8> {
    expect_file![path(name)].assert_eq(&text(written));
    let committed = fs::read_to_string(path(name)).expect("it is committed");
    let digits: String = committed.split_whitespace().collect();
    data_encoding::HEXLOWER.decode(digits.as_bytes()).expect("hexadecimal digits")
}

#[test]
fn a_device() {
    let public = device(1).public();
    check("device", &[public.id.0, public.encryption.0].concat());
    let proof = device(1).prove(&[7; 16], &document("notes"), b"token");
    check("proof", &proof.0);
}

#[test]
fn a_batch() {
    let (key, batch) = (key("notes", 2, 7), batch(2));
    let sealed = key.seal_batch(&batch, BatchHash([3; 16]), [9; 24]);
    let committed = check("batch", &sealed);
    assert_eq!(key.open_batch(&committed).map(|(_, batch)| batch), Ok(batch));
    check("commitment", &key.commitment().0);
}

#[test]
fn a_presence() {
    let key = key("notes", 2, 7);
    let presence = Presence { device: DeviceId([1; 32]), at_ms: 5, state: b"here".to_vec() };
    let sealed = key.seal_presence(&presence, [9; 24]).expect("it is small");
    assert_eq!(key.open_presence(&check("presence", &sealed)), Ok(presence));
}

#[test]
fn a_snapshot() {
    let key = key("notes", 2, 7);
    let sealed = SealedSnapshot::new(&key, b"a snapshot", [4; 19]).expect("it is small");
    let committed = check("snapshot", &sealed.iter().collect::<Vec<_>>().concat());
    let mut opener = SnapshotOpener::new(&key);
    opener.push(&committed).expect("it opens");
    assert_eq!(opener.finish().as_deref(), Ok(&b"a snapshot"[..]));
}

#[test]
fn rosters() {
    let (notes, ann, ben) = (document("notes"), device(1), device(2));
    let mut keyring = Keyring::new(&notes);
    let mut draft = Draft::founding(&notes);
    draft.add(Newcomer::device(ann.public(), Rights::ALL, "Ann's phone"));
    let first = check("roster-1", &draft.sign(&ann, &keyring, [3; 32]).expect("a roster"));
    let record = Record::read(&first).expect("a record");
    let roster = Roster::first(&notes, &record, &Anchor::Founder(ann.id())).expect("founded");
    roster.unlock(&ann, &mut keyring).expect("hers");

    let mut draft = Draft::after(&roster, &keyring).expect("her names");
    draft.add(Newcomer::device(ben.public(), Rights::READ, "Ben's laptop").with(History::All));
    draft.begin_epoch();
    let second = check("roster-2", &draft.sign(&ann, &keyring, [4; 32]).expect("a roster"));
    let roster = roster.follow(&Record::read(&second).expect("a record")).expect("she may");
    roster.unlock(&ben, &mut Keyring::new(&notes)).expect("he is in");
}

#[test]
fn a_link_and_a_recovery() {
    let notes = document("notes");
    let link = Link::new(&notes, [50; 32], RosterHash([8; 32]), Some("a.b.c".into()));
    let committed = check("link", link.text().as_bytes());
    assert_eq!(Link::parse(str::from_utf8(&committed).expect("letters")), Ok(link));
    check("link-device", &Device::of_link(&notes, &[50; 32]).id().0);

    let code = RecoveryCode::new([70; 32]);
    check("recovery-code", code.text().as_bytes());
    let mut keyring = Keyring::new(&notes);
    keyring.insert(crate::scene::epoch(1), [7; 32]).expect("the first");
    let device = Some(zeroize::Zeroizing::new([1; 32]));
    let recovery = Recovery { device, documents: vec![(keyring, Some(RosterHash([8; 32])))] };
    let committed = check("recovery", &recovery.seal(&code, [2; 24]));
    let back = Recovery::open(&code, &committed).expect("its own code");
    assert_eq!(back.device.as_deref(), Some(&[1; 32]));
}

/// The token that `tests/interop` has PyJWT and jose take.
#[test]
fn a_token() {
    let device = data_encoding::HEXLOWER
        .decode(b"2012cb90ca60e8e5d8daf66e2272d2233e0486d557e8c66141ed8920177d7eb7")
        .expect("hexadecimal digits");
    let holder = Holder::Key(DeviceId(device.try_into().expect("32 bytes")));
    let capability =
        Capability { holder, expires: 2_000_000_000, issued: Some(1_700_000_000), ..capability() };
    let capability = Capability { not_before: None, ..capability };
    let token = issuer().mint(&capability).expect("it is right");
    expect_file![path("token-ours.txt")].assert_eq(&format!("{token}\n"));
    assert_eq!(issuers().verify(&token, NOW), Ok(capability));
}
