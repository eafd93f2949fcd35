//! Signatures of records and proofs.

use selvedge_crdt::session::{Record, Sealing, Signature, SnapshotHash, SnapshotInfo};
use selvedge_seal::{BadSignature, verify_proof, verify_record};

use crate::scene::{Scene, device, document};

fn info() -> SnapshotInfo {
    let (hash, sealing, device) = (SnapshotHash([5; 32]), Sealing::Epoch(2), device(9).id());
    SnapshotInfo { hash, bytes: 9, offset: 4, heals: false, sealing, device }
}

#[test]
fn records_are_signed_for_a_document() {
    let (ann, notes) = (device(1), document("notes"));
    for record in [
        ann.sign_batch(&notes, Sealing::Epoch(2), b"a batch"),
        ann.sign_batch(&notes, Sealing::Plain, b""),
        ann.sign_snapshot(&notes, info()),
    ] {
        assert_eq!(record.signature().map(|(device, _)| device), Some(ann.id()));
        assert_eq!(verify_record(&notes, &record), Ok(()));
        assert_eq!(verify_record(&document("note"), &record), Err(BadSignature));
    }
}

/// Each bit of a record is signed.
#[test]
fn no_bit_of_a_record_can_be_changed() {
    let (ann, notes) = (device(1), document("notes"));
    let sealed = ann.sign_batch(&notes, Sealing::Epoch(2), b"a batch").to_bytes();
    let snapshot = ann.sign_snapshot(&notes, info()).to_bytes();
    let keys = Scene::new().draft(|draft| draft.begin_epoch());
    for record in [sealed, snapshot, keys] {
        assert_eq!(verify_record(&notes, &Record::read(&record).expect("a record")), Ok(()));
        for at in 0..record.len() * 8 {
            let mut changed = record.clone();
            changed[at / 8] ^= 1 << (at % 8);
            if let Ok(changed) = Record::read(&changed) {
                assert_eq!(verify_record(&notes, &changed), Err(BadSignature), "bit {at}");
            }
        }
    }
}

#[test]
fn what_a_relay_says_has_no_signature() {
    let compact = Record::Compact { horizon: selvedge_crdt::Hlc(5), retired: Vec::new() };
    assert_eq!(verify_record(&document("notes"), &compact), Ok(()));
}

#[test]
fn a_proof_is_for_one_opening() {
    let (ann, notes) = (device(1), document("notes"));
    let proof = ann.prove(&[7; 16], &notes, b"token");
    let verify = |device, challenge: u8, document: &str, token: &[u8]| {
        let document = crate::scene::document(document);
        verify_proof(&device, (&[challenge; 16], &document, token), &proof)
    };
    assert_eq!(verify(ann.id(), 7, "notes", b"token"), Ok(()));
    assert_eq!(verify(device(2).id(), 7, "notes", b"token"), Err(BadSignature));
    assert_eq!(verify(ann.id(), 8, "notes", b"token"), Err(BadSignature));
    assert_eq!(verify(ann.id(), 7, "note", b"token"), Err(BadSignature));
    assert_eq!(verify(ann.id(), 7, "notes", b"tokens"), Err(BadSignature));
}

/// A signature has one form: adding the order of the group to its second half makes no other.
#[test]
fn a_signature_has_one_form() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let (ann, notes) = (device(1), document("notes"));
    let Signature(mut bytes) = ann.prove(&[7; 16], &notes, b"token");
    let mut carry = 0;
    for (byte, more) in bytes[32..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(more);
        *byte = carry as u8;
        carry >>= 8;
    }
    let other = verify_proof(&ann.id(), (&[7; 16], &notes, b"token"), &Signature(bytes));
    assert_eq!(other, Err(BadSignature));
}
