//! Batches and presence: what opens, and that nothing else does.

use proptest::prelude::*;
use selvedge_crdt::{
    BATCH_BYTES_MAX, Batch, BatchHash, Change, Dot, Field, Header, Hlc, Kind, Op, ReplicaId,
    session::{DeviceId, RECORD_BYTES_MAX, Sealing},
};
use selvedge_seal::{Keyring, OpenError, PRESENCE_STATE_BYTES_MAX, Presence, padded_len};

use crate::scene::{batch, document, epoch, key};

const PREV: BatchHash = BatchHash([3; 16]);

#[test]
fn a_batch_comes_back() {
    let (key, batch) = (key("notes", 2, 7), batch(2));
    let sealed = key.seal_batch(&batch, PREV, [9; 24]);
    assert_eq!(key.open_batch(&sealed), Ok((batch.header(PREV), batch.clone())));
    let (header, body) = Header::read(&sealed).expect("the header is plain");
    assert_eq!(header, batch.header(PREV));
    assert_eq!(body.len(), 1 + 24 + padded_len(batch.encode_body().len() + 4) + 16);
    let shown = |text: &[u8]| sealed.windows(text.len()).any(|window| window == text);
    assert!(!shown(b"honey") && !shown(b"note/"));
}

#[test]
fn the_same_twice_looks_different() {
    let (key, batch) = (key("notes", 2, 7), batch(1));
    let (a, b) = (key.seal_batch(&batch, PREV, [1; 24]), key.seal_batch(&batch, PREV, [2; 24]));
    assert!(a.iter().zip(&b).filter(|(a, b)| a == b).count() < a.len() / 2 + 25);
}

#[test]
fn a_batch_opens_in_one_place_only() {
    let sealed = key("notes", 2, 7).seal_batch(&batch(2), PREV, [9; 24]);
    for other in [key("notes2", 2, 7), key("notes", 3, 7), key("notes", 2, 8)] {
        assert_eq!(other.open_batch(&sealed), Err(OpenError::Closed), "{other:?}");
    }
    let elsewhere = selvedge_crdt::session::DocumentId::new("acm", "notes").expect("a name");
    let elsewhere = selvedge_seal::EpochKey::new(&elsewhere, epoch(2), [7; 32]);
    assert_eq!(elsewhere.open_batch(&sealed), Err(OpenError::Closed));
}

/// Each field of the header is bound to the body.
#[test]
fn a_body_opens_behind_its_header_only() {
    let (key, batch) = (key("notes", 2, 7), batch(2));
    let sealed = key.seal_batch(&batch, PREV, [9; 24]);
    let (header, body) = Header::read(&sealed).expect("the header is plain");
    for other in [
        Header { replica: ReplicaId([0xb2; 16]), ..header },
        Header { prev: BatchHash([4; 16]), ..header },
        Header { first: header.first + 1, ..header },
        Header { count: header.count + 1, ..header },
        Header { stamp_first: Hlc(header.stamp_first.0 - 1), ..header },
        Header { stamp_last: Hlc(header.stamp_last.0 + 1), ..header },
    ] {
        let mut moved = Vec::new();
        other.write(&mut moved);
        moved.extend(body);
        assert_eq!(key.open_batch(&moved), Err(OpenError::Closed), "{other:?}");
    }
}

#[test]
fn purposes_do_not_mix() {
    let key = key("notes", 2, 7);
    let presence = Presence { device: DeviceId([1; 32]), at_ms: 5, state: b"here".to_vec() };
    let sealed = key.seal_presence(&presence, [9; 24]).expect("it is small");
    let mut batch_like = Vec::new();
    batch(1).header(PREV).write(&mut batch_like);
    batch_like.extend(&sealed);
    assert_eq!(key.open_batch(&batch_like), Err(OpenError::Closed));
}

#[test]
fn a_plain_batch_is_not_taken_for_a_sealed_one() {
    assert!(key("notes", 2, 7).open_batch(&batch(2).encode(PREV)).is_err());
    let mut keyring = Keyring::new(&document("notes"));
    keyring.insert(epoch(2), [7; 32]).expect("the first");
    assert_eq!(keyring.of(Sealing::Plain).err(), Some(OpenError::Epoch(0)));
    assert_eq!(keyring.of(Sealing::Epoch(1)).err(), Some(OpenError::Epoch(1)));
    assert!(keyring.of(Sealing::Epoch(2)).is_ok());
}

#[test]
fn presence_comes_back_and_has_a_bound() {
    let key = key("notes", 2, 7);
    let presence =
        |len| Presence { device: DeviceId([1; 32]), at_ms: u64::MAX, state: vec![5; len] };
    for len in [0, 1, PRESENCE_STATE_BYTES_MAX] {
        let sealed = key.seal_presence(&presence(len), [9; 24]).expect("it is small enough");
        assert!(sealed.len() <= selvedge_crdt::session::PRESENCE_BYTES_MAX);
        assert_eq!(key.open_presence(&sealed), Ok(presence(len)));
    }
    assert_eq!(key.seal_presence(&presence(PRESENCE_STATE_BYTES_MAX + 1), [9; 24]), None);
}

/// The largest batch there is fits into a record once it is sealed.
#[test]
fn the_largest_batch_fits_into_a_record() {
    let field = Field::new("body", Kind::TEXT).expect("a name");
    let entity = selvedge_crdt::EntityId::new("note/1").expect("an id");
    let mut payload = vec![5];
    payload.resize(700 << 10, 1);
    let mut builder = selvedge_crdt::BatchBuilder::new(ReplicaId([1; 16]));
    for (seq, len) in [(1, 700 << 10), (2, (324 << 10) - 400)] {
        let change = Change::Put { field: &field, payload: &payload[..len], covers: &[] };
        let dot = Dot { replica: ReplicaId([1; 16]), seq };
        builder.push(Op { dot, hlc: Hlc(1), entity: &entity, change }).expect("it fits");
    }
    let batch = builder.finish().expect("something was written");
    assert!(batch.encode(PREV).len() > BATCH_BYTES_MAX - 512);
    let key = key("notes", 2, 7);
    let sealed = key.seal_batch(&batch, PREV, [9; 24]);
    let device = crate::scene::device(1);
    let record = device.sign_batch(&document("notes"), key.sealing(), &sealed).to_bytes();
    assert!(record.len() <= RECORD_BYTES_MAX);
    assert!(selvedge_crdt::session::Record::read(&record).is_ok());
    assert_eq!(key.open_batch(&sealed).map(|(_, batch)| batch.len()), Ok(2));
}

fn any_batch() -> impl Strategy<Value = Batch> {
    (1..40usize).prop_map(batch)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens(batch in any_batch(), nonce: [u8; 24], secret: [u8; 32]) {
        let key = selvedge_seal::EpochKey::new(&document("notes"), epoch(2), secret);
        let sealed = key.seal_batch(&batch, PREV, nonce);
        prop_assert_eq!(key.open_batch(&sealed), Ok((batch.header(PREV), batch)));
    }

    #[test]
    fn no_bit_can_be_changed(at: prop::sample::Index, bit in 0..8u8) {
        let key = key("notes", 2, 7);
        let mut sealed = key.seal_batch(&batch(2), PREV, [9; 24]);
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(key.open_batch(&sealed).is_err());
    }

    #[test]
    fn no_bit_of_a_presence_can_be_changed(at: prop::sample::Index, bit in 0..8u8) {
        let key = key("notes", 2, 7);
        let presence = Presence { device: DeviceId([1; 32]), at_ms: 5, state: b"here".to_vec() };
        let mut sealed = key.seal_presence(&presence, [9; 24]).expect("it is small");
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(key.open_presence(&sealed).is_err());
    }

    #[test]
    fn nothing_can_be_cut_off(keep: prop::sample::Index) {
        let key = key("notes", 2, 7);
        let sealed = key.seal_batch(&batch(2), PREV, [9; 24]);
        prop_assert!(key.open_batch(&sealed[..keep.index(sealed.len())]).is_err());
        prop_assert!(key.open_batch(&[&sealed[..], &[0]].concat()).is_err());
    }
}
