//! Devices that found, share and leave encrypted documents, with the log between them.

use selvedge_crdt::{
    Batch, BatchHash, Document, ReplicaId, Writer,
    session::{DocumentId, KeyPlace, Keys, Record, Sealing, Unreadable},
};
use selvedge_seal::{Device, Rights, Vault, VaultError};

/// A vault whose random bytes are counted from `seed`.
fn vault(seed: u8) -> Vault {
    let mut count = u64::from(seed) << 32;
    let chance = Box::new(move |bytes: &mut [u8]| {
        for chunk in bytes.chunks_mut(8) {
            count += 1;
            chunk.copy_from_slice(&count.to_le_bytes()[..chunk.len()]);
        }
    });
    Vault::new(Device::from_seed([seed; 32]), chance)
}

fn notes() -> DocumentId {
    DocumentId::new("acme", "notes").expect("a name")
}

fn place(document: &DocumentId, epoch: u32) -> KeyPlace<'_> {
    KeyPlace { document, epoch }
}

fn batch() -> Batch {
    let (mut document, mut writer) = (Document::new(), Writer::new(ReplicaId([1; 16])));
    writer.edit(&mut document, 1_000).set("n", "title", "Milk".into()).expect("within bounds");
    writer.take_batch().expect("it was written")
}

/// What is pending of `from` goes through the log to all.
#[track_caller]
fn publish(from: usize, vaults: &mut [&mut Vault]) {
    let record = vaults[from].pending(&notes()).expect("something is pending").to_vec();
    let read = Record::read(&record).expect("a record");
    for vault in vaults.iter_mut() {
        vault.take_keys(&notes(), &read);
    }
    assert!(vaults[from].is_newest(&notes(), &record), "it counts for who made it");
    assert_eq!(vaults[from].pending(&notes()).map(<[u8]>::len), None);
}

#[track_caller]
fn check_reads(vault: &Vault, epoch: u32, sealed: &[u8], expected: Result<(), Unreadable>) {
    let opened = vault.open_batch(place(&notes(), epoch), sealed);
    assert_eq!(opened.as_ref().map(drop).map_err(|error| *error), expected);
    assert!(opened.is_err() || opened == Ok(batch()));
}

#[test]
fn a_document_is_founded_shared_and_left() {
    let (mut ann, mut ben) = (vault(1), vault(2));
    assert_eq!(ann.sealing(&notes()), Sealing::Plain);
    ann.found(&notes(), "Ann's phone").expect("a name");
    assert_eq!(ann.sealing(&notes()), Sealing::Epoch(1));
    // Before any relay knows of it, it is written to.
    let sealed = ann.seal_batch(place(&notes(), 1), &batch(), BatchHash::NONE).expect("her key");
    publish(0, &mut [&mut ann, &mut ben]);

    let rights = Rights::READ | Rights::WRITE;
    let link = ann.invite(&notes(), (rights, true), "a link").expect("she may");
    publish(0, &mut [&mut ann, &mut ben]);
    let link = selvedge_seal::Link::parse(&link.text()).expect("what was written");

    ben.come_in(&link, "Ben's laptop");
    let newest = ann.save(&notes());
    let mut copy = vault(1);
    copy.restore(&notes(), &newest).expect("what was kept");
    assert_eq!(copy.members(&notes()).expect("hers"), ann.members(&notes()).expect("hers"));
    check_reads(&copy, 1, &sealed, Ok(()));
    check_reads(&ben, 1, &sealed, Err(Unreadable::NoKey));
}

#[test]
fn a_link_brings_a_device_in_and_what_was_written_before() {
    let (mut ann, mut ben) = (vault(1), vault(2));
    ann.found(&notes(), "Ann").expect("a name");
    let sealed = ann.seal_batch(place(&notes(), 1), &batch(), BatchHash::NONE).expect("her key");
    publish(0, &mut [&mut ann]);
    let link =
        ann.invite(&notes(), (Rights::READ | Rights::WRITE, true), "a link").expect("she may");
    ben.come_in(&link, "Ben");
    publish(0, &mut [&mut ann, &mut ben]);

    // He read the roster that the link names, and uses it.
    publish(1, &mut [&mut ann, &mut ben]);
    check_reads(&ben, 1, &sealed, Ok(()));
    let names = |vault: &Vault| -> Vec<String> {
        vault.members(&notes()).expect("a member").into_iter().map(|(_, _, name)| name).collect()
    };
    let mut both = names(&ann);
    both.sort();
    assert_eq!(both, ["Ann", "Ben"]);
    assert_eq!(names(&ann), names(&ben));

    let stranger = Device::from_seed([3; 32]).id();
    let removed = ann.remove(&notes(), &stranger);
    assert!(matches!(removed, Err(VaultError::Stranger(who)) if who == stranger));
    assert_eq!(ann.pending(&notes()), None, "nothing is to be pushed");

    // What is written after he was taken out is closed to him.
    ann.remove(&notes(), &Device::from_seed([2; 32]).id()).expect("she may");
    publish(0, &mut [&mut ann, &mut ben]);
    assert_eq!(ann.sealing(&notes()), Sealing::Epoch(2));
    let later = ann.seal_batch(place(&notes(), 2), &batch(), BatchHash::NONE).expect("her key");
    check_reads(&ann, 2, &later, Ok(()));
    check_reads(&ben, 2, &later, Err(Unreadable::NoKey));
    check_reads(&ben, 1, &sealed, Ok(()));
    assert!(ben.invite(&notes(), (Rights::READ, true), "mine").is_err(), "he is no member");
}

#[test]
fn of_two_changes_at_once_one_counts() {
    let mut ann = vault(1);
    ann.found(&notes(), "Ann").expect("a name");
    publish(0, &mut [&mut ann]);
    let mut other = vault(1);
    other.restore(&notes(), &ann.save(&notes())).expect("what was kept");
    ann.invite(&notes(), (Rights::READ, true), "a link").expect("she may");
    other.invite(&notes(), (Rights::READ, false), "another").expect("she may");
    let second = ann.pending(&notes()).expect("hers").to_vec();
    publish(1, &mut [&mut ann, &mut other]);
    assert_eq!(ann.pending(&notes()), None, "it continues nothing any more");
    assert!(!ann.is_newest(&notes(), &second));
    assert!(!other.take_keys(&notes(), &Record::read(&second).expect("a record")));
}

#[test]
fn snapshots_are_sealed_for_members() {
    let mut ann = vault(1);
    ann.found(&notes(), "Ann").expect("a name");
    let plain = vec![7; 300_000];
    let sealed = ann.seal_snapshot(place(&notes(), 1), &plain).expect("her key");
    assert!(!sealed.windows(32).any(|window| window == &plain[..32]));
    assert_eq!(ann.open_snapshot(place(&notes(), 1), &sealed), Ok(plain));
    let cut = ann.open_snapshot(place(&notes(), 1), &sealed[..sealed.len() - 1]);
    assert_eq!(cut, Err(Unreadable::Broken));
    assert_eq!(ann.open_snapshot(place(&notes(), 2), &sealed), Err(Unreadable::NoKey));
}

#[test]
fn what_was_not_kept_is_not_taken_up() {
    let mut ann = vault(1);
    ann.found(&notes(), "Ann").expect("a name");
    let kept = ann.save(&notes());
    for len in 1..kept.len() {
        assert!(vault(1).restore(&notes(), &kept[..len]).is_err(), "{len}");
    }
    assert!(vault(1).restore(&notes(), &[&kept[..], &[0]].concat()).is_err());
    vault(1).restore(&notes(), &[]).expect("nothing is known");
}

#[test]
fn what_is_shown_is_read_by_members_alone() {
    let (mut ann, ben) = (vault(1), vault(2));
    assert_eq!(ann.seal_presence(&notes(), b"here", 1), None, "it has no key");
    ann.found(&notes(), "Ann's phone").expect("a name");
    let shown = ann.seal_presence(&notes(), b"here", 7).expect("it has the key");
    assert!(ben.open_presence(&notes(), &shown).is_none(), "who is no member reads nothing");
    let opened = ann.open_presence(&notes(), &shown).expect("she is a member");
    assert_eq!((&*opened.state, opened.at_ms), (&b"here"[..], 7));
    assert_eq!(opened.device, ann.own_device().id());
}

#[test]
fn a_list_that_a_relay_never_takes_is_forgotten_but_for_the_first() {
    let mut ann = vault(1);
    ann.found(&notes(), "Ann's phone").expect("a name");
    let first = ann.pending(&notes()).expect("it is to be pushed").to_vec();
    ann.drop_keys(&notes(), &first);
    assert_eq!(ann.pending(&notes()), Some(&first[..]), "without it the document is nobody's");
    publish(0, &mut [&mut ann]);

    ann.invite(&notes(), (Rights::READ, true), "a link").expect("she may");
    let list = ann.pending(&notes()).expect("it is to be pushed").to_vec();
    ann.take_changed(&notes());
    ann.drop_keys(&notes(), &first);
    assert_eq!(ann.pending(&notes()), Some(&list[..]), "it was another");
    ann.drop_keys(&notes(), &list);
    assert_eq!(ann.pending(&notes()), None);
    assert!(ann.take_changed(&notes()), "that is to be kept");
    assert_eq!(ann.members(&notes()).expect("hers").len(), 1);
}

#[test]
fn who_is_about_to_come_in_knows_by_which_link() {
    let (mut ann, mut ben) = (vault(1), vault(2));
    ann.found(&notes(), "Ann's phone").expect("a name");
    publish(0, &mut [&mut ann, &mut ben]);
    let mut links = Vec::new();
    for name in ["one", "another"] {
        links.push(ann.invite(&notes(), (Rights::READ, false), name).expect("she may"));
        publish(0, &mut [&mut ann, &mut ben]);
    }
    ben.come_in(&links[0], "Ben's laptop");
    let mut again = vault(2);
    again.restore(&notes(), &ben.save(&notes())).expect("what was kept");
    assert!(again.comes_in_by(&links[0]) && !again.comes_in_by(&links[1]));
    assert!(!ann.comes_in_by(&links[0]));
}
