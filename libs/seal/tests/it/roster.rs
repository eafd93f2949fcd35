//! Members come, read, and go.

use selvedge_crdt::session::Record;
use selvedge_seal::{
    Anchor, Conflict, Draft, DraftError, EncryptionKey, History, Keyring, MEMBERS_MAX,
    NAME_BYTES_MAX, Newcomer, PublicDevice, Rights, Roster, RosterHash, Unlock,
};

use crate::scene::{MEMBER, Scene, device, document, epoch};

#[test]
fn a_newcomer_reads_what_it_is_given() {
    let mut scene = Scene::new();
    let (ben, cleo, dan) = (device(2), device(3), device(4));
    scene.change(|draft| draft.begin_epoch());
    scene.change(|draft| {
        draft.add(Newcomer::device(ben.public(), MEMBER, "ben").with(History::All));
        draft.add(Newcomer::device(cleo.public(), MEMBER, "cleo"));
    });
    assert_eq!(scene.keys_of(&ben), [1, 2]);
    assert_eq!(scene.keys_of(&cleo), [2]);
    assert!(scene.keys_of(&dan).is_empty());
    scene.change(|draft| draft.begin_epoch());
    assert_eq!(scene.keys_of(&ben), [1, 2, 3]);
    assert_eq!(scene.keys_of(&cleo), [2, 3]);
}

#[test]
fn whoever_is_removed_gets_no_further_key() {
    let mut scene = Scene::new();
    let (ben, cleo) = (device(2), device(3));
    scene.change(|draft| {
        draft.add(Newcomer::device(ben.public(), MEMBER, "ben"));
        draft.add(Newcomer::device(cleo.public(), MEMBER, "cleo"));
    });
    let before = scene.roster.commitment();
    scene.change(|draft| assert!(draft.remove(&ben.id())));
    assert_eq!(scene.roster.epoch(), epoch(2));
    assert_ne!(scene.roster.commitment(), before);
    let unlocked = scene.roster.unlock(&ben, &mut Keyring::new(&document("notes")));
    assert_eq!(unlocked, Err(Unlock::NotMember));
    assert_eq!(scene.keys_of(&cleo), [1, 2]);
    scene.change(|draft| assert!(!draft.remove(&ben.id()), "it is gone"));
    assert_eq!(scene.roster.epoch(), epoch(2));
}

#[test]
fn an_admin_passes_on_what_it_has() {
    let mut scene = Scene::new();
    let (ben, cleo) = (device(2), device(3));
    scene.change(|draft| draft.begin_epoch());
    scene.change(|draft| draft.add(Newcomer::device(ben.public(), Rights::ALL, "ben")));
    let mut bens = Keyring::new(&document("notes"));
    scene.roster.unlock(&ben, &mut bens).expect("he is in");
    let mut draft = Draft::after(&scene.roster, &bens).expect("he reads names");
    draft.add(Newcomer::device(cleo.public(), MEMBER, "cleo").with(History::All));
    let record = draft.sign(&ben, &bens, [9; 32]).expect("he is admin");
    scene.follow(&record).expect("he is admin");
    assert_eq!(scene.keys_of(&cleo), [2], "Ben cannot read the first epoch");
    assert_eq!(scene.keys_of(&scene.admin), [1, 2]);
}

#[test]
fn members_have_names_that_they_alone_read() {
    let mut scene = Scene::new();
    scene.change(|draft| draft.add(Newcomer::device(device(2).public(), MEMBER, "Ben's phone")));
    let key = scene.keyring.newest().expect("the admin's");
    let mut names = scene.roster.names(key);
    names.sort();
    assert_eq!(names, ["Ben's phone", "admin"]);
    let record = scene.draft(|_| {});
    assert!(!record.windows(5).any(|window| window == b"Ben's"));
    let other = crate::scene::key("notes", 1, 0);
    assert_eq!(scene.roster.names(&other), ["", ""]);
}

#[test]
fn rights_change_without_an_epoch() {
    let mut scene = Scene::new();
    let ben = device(2);
    scene.change(|draft| draft.add(Newcomer::device(ben.public(), MEMBER, "ben")));
    scene.change(|draft| assert!(draft.set_rights(&ben.id(), Rights::READ | Rights::WRITE)));
    let member = scene.roster.member(&ben.id()).expect("he is in");
    assert_eq!((member.rights, member.since), (Rights::READ | Rights::WRITE, epoch(1)));
    assert_eq!((scene.roster.epoch(), scene.roster.serial()), (epoch(1), 3));
    scene.change(|draft| assert!(!draft.set_rights(&device(9).id(), MEMBER)));
}

#[test]
fn a_member_with_a_new_encryption_key_begins_an_epoch() {
    let mut scene = Scene::new();
    let ben = device(2);
    scene.change(|draft| draft.add(Newcomer::device(ben.public(), MEMBER, "ben")));
    scene.change(|draft| draft.add(Newcomer::device(ben.public(), MEMBER, "Ben")));
    assert_eq!(scene.roster.epoch(), epoch(1), "only his name is new");
    let moved = PublicDevice { id: ben.id(), encryption: device(3).public().encryption };
    scene.change(|draft| draft.add(Newcomer::device(moved, MEMBER, "ben")));
    assert_eq!(scene.roster.epoch(), epoch(2));
}

#[test]
fn a_wrong_key_is_noticed() {
    let scene = Scene::new();
    let mut keyring = Keyring::new(&document("notes"));
    keyring.insert(epoch(1), [0; 32]).expect("the first");
    let unlocked = scene.roster.unlock(&scene.admin, &mut keyring);
    assert_eq!(unlocked, Err(Unlock::Conflict(Conflict(epoch(1)))));
    assert_eq!(keyring.insert(epoch(1), [1; 32]), Err(Conflict(epoch(1))));
    assert_eq!(keyring.insert(epoch(1), [0; 32]), Ok(()));
}

/// An admin that wraps nonsense, or another key than it commits to, is caught by the member it fools.
#[test]
fn nonsense_in_a_wrap_is_noticed() {
    let mut scene = Scene::new();
    let ben = device(2);
    let fooled = PublicDevice { id: ben.id(), encryption: device(3).public().encryption };
    scene.change(|draft| draft.add(Newcomer::device(fooled, MEMBER, "ben")));
    let unlocked = scene.roster.unlock(&ben, &mut Keyring::new(&document("notes")));
    assert_eq!(unlocked, Err(Unlock::Wrapped));
}

#[test]
fn an_anchor_is_a_founder_or_a_roster() {
    let notes = document("notes");
    let mut scene = Scene::new();
    let record = scene.draft(|_| {});
    scene.follow(&record).expect("the admin may");
    let record = Record::read(&record).expect("a record");
    let anchored = |anchor| Roster::first(&notes, &record, &anchor).is_ok();
    assert!(anchored(Anchor::Roster(scene.roster.hash())));
    assert!(!anchored(Anchor::Roster(RosterHash([0; 32]))));
    assert!(!anchored(Anchor::Founder(scene.admin.id())), "it is not the first");
    assert!(!anchored(Anchor::Founder(device(2).id())));
    let elsewhere = Roster::first(&document("x"), &record, &Anchor::Roster(scene.roster.hash()));
    assert!(elsewhere.is_err());
}

/// Random bytes that come in twice do not wrap two things alike.
#[test]
fn random_bytes_that_repeat_make_other_keys() {
    let scene = Scene::new();
    let begun = |name: &str| {
        let mut draft = Draft::after(&scene.roster, &scene.keyring).expect("its names");
        draft.add(Newcomer::device(device(2).public(), MEMBER, name));
        draft.begin_epoch();
        let record = draft.sign(&scene.admin, &scene.keyring, [9; 32]).expect("a roster");
        scene.roster.follow(&Record::read(&record).expect("a record")).expect("the admin may")
    };
    let (one, again) = (begun("ben"), begun("ben"));
    assert_eq!(one, again, "the same is the same");
    let mut later = Scene::new();
    later.change(|_| {});
    let mut draft = Draft::after(&later.roster, &later.keyring).expect("its names");
    draft.begin_epoch();
    let record = draft.sign(&later.admin, &later.keyring, [9; 32]).expect("a roster");
    let next = later.roster.follow(&Record::read(&record).expect("a record")).expect("may");
    assert_ne!(next.commitment(), one.commitment());
}

#[track_caller]
fn check_draft(change: impl FnOnce(&mut Draft<'_>), expected: DraftError) {
    let scene = Scene::new();
    let mut draft = Draft::after(&scene.roster, &scene.keyring).expect("its names");
    change(&mut draft);
    assert_eq!(draft.sign(&scene.admin, &scene.keyring, [9; 32]).err(), Some(expected));
}

#[test]
fn what_is_no_roster_is_not_signed() {
    let admin = device(1);
    check_draft(|draft| assert!(draft.remove(&admin.id())), DraftError::NoAdmin);
    let link = device(2).public();
    check_draft(|draft| draft.add(Newcomer::link(link, Rights::ALL, "")), DraftError::NoAdmin);
    let name = "n".repeat(NAME_BYTES_MAX + 1);
    check_draft(
        |draft| draft.add(Newcomer::device(link, MEMBER, &name)),
        DraftError::TooMuch("bytes of a name"),
    );
    let nobody = PublicDevice { encryption: EncryptionKey([0; 32]), ..link };
    check_draft(
        |draft| draft.add(Newcomer::device(nobody, MEMBER, "")),
        DraftError::BadKey(nobody.id),
    );
    check_draft(
        |draft| {
            for at in 0..MEMBERS_MAX as u16 {
                let mut id = link.id;
                id.0[..2].copy_from_slice(&at.to_le_bytes());
                draft.add(Newcomer::device(PublicDevice { id, ..link }, MEMBER, ""));
            }
        },
        DraftError::TooMuch("members"),
    );
    let scene = Scene::new();
    let none = Keyring::new(&document("notes"));
    assert_eq!(Draft::after(&scene.roster, &none).err(), Some(DraftError::NoKey));
}
