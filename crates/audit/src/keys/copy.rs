//! The store as bytes, for who copies it and has no master key.

use std::collections::BTreeSet;

use super::slot::{CHECKED, SLOT_BYTES, checksum};
use crate::entry::KeyId;

/// Where a slot has the id of its key.
const ID: std::ops::Range<usize> = 12..28;

/// Whether no part of a store was being written when it was read.
pub fn is_whole(store: &[u8]) -> bool {
    let mut slots = store.chunks(SLOT_BYTES);
    store.len().is_multiple_of(SLOT_BYTES)
        && slots.all(|slot| slot.iter().all(|byte| *byte == 0) || is_sound(slot))
}

/// Takes the keys with these ids out of a store; returns how many there were.
pub fn destroy_in(store: &mut [u8], erased: &BTreeSet<KeyId>) -> usize {
    let slots = store.chunks_exact_mut(SLOT_BYTES).skip(1);
    let erased = slots.filter(|slot| {
        let id = slot[ID].try_into().expect("an id has 16 bytes");
        slot[0] != 0 && erased.contains(&KeyId(id))
    });
    erased.map(|slot| slot.fill(0)).count()
}

fn is_sound(slot: &[u8]) -> bool {
    checksum(slot) == slot[CHECKED..]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use selvedge_eventlog::Folder;

    use super::*;
    use crate::keys::{KEYS_MAX, KeyStore, MasterKey, Subject};

    fn person(id: &str) -> Subject {
        Subject::Person { tenant: String::new(), id: id.to_owned() }
    }

    #[test]
    fn a_key_is_taken_out_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Folder::open(folder.path()).unwrap();
        let open = || KeyStore::open(&disk, MasterKey::new([7; 32]), KEYS_MAX).unwrap();
        let store = open();
        let [anna, ben] = ["anna", "ben"].map(|id| store.key_of(&person(id), 1).unwrap().id());
        drop(store);
        let path = folder.path().join("keys");
        let mut bytes = fs::read(&path).unwrap();
        assert!(is_whole(&bytes));
        assert_eq!(destroy_in(&mut bytes, &BTreeSet::from([anna, KeyId([0; 16])])), 1);
        assert!(is_whole(&bytes));
        fs::write(&path, &bytes).unwrap();
        let store = open();
        assert_eq!((store.id_of(&person("anna")), store.id_of(&person("ben"))), (None, Some(ben)));
        assert_eq!((store.damaged(), store.unrecorded().len()), (0, 0));
        bytes[2 * SLOT_BYTES + 70] ^= 1;
        assert!(!is_whole(&bytes));
        bytes.truncate(SLOT_BYTES + 5);
        assert!(!is_whole(&bytes));
    }
}
