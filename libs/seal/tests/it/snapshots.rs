//! Snapshots in chunks.

use proptest::prelude::*;
use selvedge_crdt::session::SnapshotHash;
use selvedge_seal::{EpochKey, OpenError, SealedSnapshot, SnapshotOpener, TooLarge, padded_len};

use crate::scene::key;

/// A sealed chunk.
const CHUNK: usize = (64 << 10) + 16;

/// What stands in front of the first.
const HEAD: usize = 20;

fn plain(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8 + 1).collect()
}

fn seal(key: &EpochKey, plain: &[u8]) -> Vec<u8> {
    let sealed = SealedSnapshot::new(key, plain, [4; 19]).expect("it is small enough");
    let all = sealed.iter().collect::<Vec<_>>().concat();
    assert_eq!(all.len(), sealed.sealed_len());
    assert_eq!(SnapshotHash::of(&all), sealed.hash());
    all
}

fn open(key: &EpochKey, sealed: &[u8], piece: usize) -> Result<Vec<u8>, OpenError> {
    let mut opener = SnapshotOpener::new(key);
    sealed.chunks(piece).try_for_each(|piece| opener.push(piece))?;
    opener.finish()
}

#[test]
fn snapshots_come_back_in_any_pieces() {
    let key = key("notes", 2, 7);
    for len in [0, 1, 56, 57, 65_527, 65_528, 65_529, 131_064, 300_000] {
        let plain = plain(len);
        let sealed = seal(&key, &plain);
        let padded = padded_len(len + 8);
        assert_eq!(sealed.len(), HEAD + padded + padded.div_ceil(64 << 10) * 16);
        for piece in [7, 4096, CHUNK, CHUNK + HEAD, 1 << 20] {
            assert_eq!(open(&key, &sealed, piece).as_ref(), Ok(&plain), "{len} by {piece}");
        }
    }
}

/// Chunks of one snapshot, and of another under the same key.
fn chunks(sealed: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (head, rest) = sealed.split_at(HEAD);
    (head.to_vec(), rest.chunks(CHUNK).map(<[u8]>::to_vec).collect())
}

#[track_caller]
fn check_refused(head: &[u8], chunks: &[Vec<u8>]) {
    let sealed = [head, &chunks.concat()].concat();
    assert!(open(&key("notes", 2, 7), &sealed, 10_000).is_err());
}

#[test]
fn chunks_stay_where_they_are() {
    let key = key("notes", 2, 7);
    let (head, all) = chunks(&seal(&key, &plain(300_000)));
    let other = SealedSnapshot::new(&key, &[9; 300_000], [5; 19]).expect("it is small enough");
    let (_, others) = chunks(&other.iter().collect::<Vec<_>>().concat());
    assert_eq!(all.len(), 5);
    for cut in 0..all.len() {
        check_refused(&head, &all[..cut]);
        check_refused(&head, &all[cut + 1..]);
        let mut without = all.clone();
        without.remove(cut);
        check_refused(&head, &without);
        let mut twice = all.clone();
        twice.insert(cut, all[cut].clone());
        check_refused(&head, &twice);
        let mut mixed = all.clone();
        mixed[cut] = others[cut].clone();
        check_refused(&head, &mixed);
        let mut swapped = all.clone();
        swapped.swap(cut, (cut + 1) % all.len());
        check_refused(&head, &swapped);
    }
    assert_eq!(open(&key, &[head, all.concat()].concat(), 999).as_ref(), Ok(&plain(300_000)));
}

#[test]
fn a_snapshot_opens_in_one_place_only() {
    let sealed = seal(&key("notes", 2, 7), &plain(100));
    for other in [key("notes2", 2, 7), key("notes", 3, 7), key("notes", 2, 8)] {
        assert_eq!(open(&other, &sealed, 100), Err(OpenError::Closed));
    }
}

#[test]
fn what_is_no_snapshot_is_told() {
    let key = key("notes", 2, 7);
    assert_eq!(open(&key, b"", 1), Err(OpenError::Length));
    assert_eq!(open(&key, &[1; 20], 1), Err(OpenError::Length));
    assert_eq!(open(&key, &[9; 200], 10), Err(OpenError::Version(9)));
    assert_eq!(open(&key, &[1; 200], 10), Err(OpenError::Closed));
}

#[test]
fn a_snapshot_has_a_bound() {
    let key = key("notes", 2, 7);
    let large = vec![0; (256 << 20) - 100];
    assert_eq!(SealedSnapshot::new(&key, &large, [4; 19]).err(), Some(TooLarge));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_bit_can_be_changed(at: prop::sample::Index, bit in 0..8u8) {
        let key = key("notes", 2, 7);
        let mut sealed = seal(&key, &plain(70_000));
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(open(&key, &sealed, 5_000).is_err());
    }

    #[test]
    fn nothing_can_be_cut_off(keep: prop::sample::Index) {
        let key = key("notes", 2, 7);
        let sealed = seal(&key, &plain(140_000));
        prop_assert!(open(&key, &sealed[..keep.index(sealed.len())], 5_000).is_err());
        prop_assert!(open(&key, &[&sealed[..], &[0]].concat(), 5_000).is_err());
    }
}
