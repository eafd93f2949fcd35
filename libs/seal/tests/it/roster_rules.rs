//! Rosters that may not follow: each rule, and somebody who breaks it.

use selvedge_crdt::session::Record;
use selvedge_seal::{
    Anchor, Device, Draft, History, Keyring, Newcomer, Rights, Roster, RosterError, RosterHash,
};

use crate::scene::{MEMBER, Scene, device, document, epoch};

/// A device that is a member of `scene` and holds what it was given.
fn keyring_of(scene: &Scene, device: &Device) -> Keyring {
    let mut keyring = Keyring::new(scene.roster.document());
    scene.roster.unlock(device, &mut keyring).expect("it is a member");
    keyring
}

/// A roster by somebody else than the admin.
fn by(scene: &Scene, device: &Device, change: impl FnOnce(&mut Draft<'_>)) -> Vec<u8> {
    let keyring = keyring_of(scene, device);
    let mut draft = Draft::after(&scene.roster, &keyring).expect("its names");
    change(&mut draft);
    draft.sign(device, &keyring, [77; 32]).expect("a roster")
}

#[track_caller]
fn check(scene: &Scene, record: &[u8], expected: RosterError) {
    let record = Record::read(record).expect("a record");
    assert_eq!(scene.roster.follow(&record), Err(expected));
}

/// Changes the members' bytes of a record, and signs it again.
fn forged(signer: &Device, record: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let Ok(Record::Keys { epoch, members, .. }) = Record::read(record) else {
        panic!("a record of keys");
    };
    let mut members = members.to_vec();
    change(&mut members);
    signed(signer, epoch, &members)
}

/// A record of keys as anybody can sign one: by what `sign_batch` signs, put together by hand.
fn signed(signer: &Device, epoch: u32, members: &[u8]) -> Vec<u8> {
    use ed25519_dalek::{Signer, SigningKey};
    use selvedge_crdt::session::Signature;
    let signing = SigningKey::from_bytes(&signing_seed(signer));
    let device = signer.id();
    let unsigned = Record::Keys { device, epoch, members, signature: Signature([0; 64]) };
    let signature = signing.sign(&unsigned.signed_bytes(&document("notes")));
    let signature = Signature(signature.to_bytes());
    Record::Keys { device, epoch, members, signature }.to_bytes()
}

/// What a device derives its signing key from, written down a second time.
fn signing_seed(device: &Device) -> [u8; 32] {
    let root = hkdf::Hkdf::<sha2::Sha256>::new(Some(b"selvedge-seal.1 device"), device.seed());
    let mut seed = [0; 32];
    root.expand(b"sign", &mut seed).expect("32 bytes");
    seed
}

/// Where things lie in the members' bytes while numbers are small.
const BEFORE: usize = 2;
const COMMITMENT: usize = BEFORE + 32;
const OWES: usize = COMMITMENT + 32;
const RIGHTS: usize = OWES + 2 + 64;
const KIND: usize = RIGHTS + 1;

#[test]
fn only_an_admin_says_who_is_a_member() {
    let mut scene = Scene::new();
    let (ben, cleo) = (device(2), device(3));
    scene.change(|draft| {
        draft.add(Newcomer::device(
            ben.public(),
            Rights::ALL.without(Rights::ADMIN | Rights::JOIN),
            "ben",
        ));
    });
    let add = |draft: &mut Draft<'_>| draft.add(Newcomer::device(cleo.public(), MEMBER, "cleo"));
    check(&scene, &by(&scene, &ben, add), RosterError::Signer);
    let promote = |draft: &mut Draft<'_>| assert!(draft.set_rights(&ben.id(), Rights::ALL));
    check(&scene, &by(&scene, &ben, promote), RosterError::Signer);
    let record = scene.draft(add);
    check(&scene, &forged(&cleo, &record, |_| {}), RosterError::Signer);
}

#[test]
fn rosters_come_in_order() {
    let mut scene = Scene::new();
    let (first, second) = (scene.draft(|_| {}), scene.draft(|draft| draft.begin_epoch()));
    scene.follow(&first).expect("the admin may");
    check(&scene, &first, RosterError::Past);
    check(&scene, &second, RosterError::Past);
    let mut ahead = Scene::new();
    ahead.change(|_| {});
    ahead.change(|_| {});
    let third = ahead.draft(|_| {});
    check(&scene, &third, RosterError::Gap(3));
    let next = scene.draft(|_| {});
    check(&scene, &forged(&scene.admin, &next, |it| it[BEFORE] ^= 1), RosterError::Forked);
}

#[test]
fn a_signature_is_for_this_document() {
    let mut scene = Scene::new();
    let mut record = scene.draft(|_| {});
    let last = record.len() - 1;
    record[last] ^= 1;
    check(&scene, &record, RosterError::Signature);
    let batch = scene.admin.sign_batch(&document("notes"), Default::default(), b"x").to_bytes();
    check(&scene, &batch, RosterError::Kind);
}

/// Somebody is removed, and the roster says that the epoch goes on.
#[test]
fn whoever_is_removed_must_not_keep_the_key() {
    let mut scene = Scene::new();
    let ben = device(2);
    scene.change(|_| {});
    let alone = scene.draft(|_| {});
    scene.change(|draft| draft.add(Newcomer::device(ben.public(), MEMBER, "ben")));
    let with_him = scene.draft(|_| {});
    let Ok(Record::Keys { members, .. }) = Record::read(&with_him) else { panic!("keys") };
    let front = members[..COMMITMENT].to_vec();
    let without = forged(&scene.admin, &alone, |it| it[..COMMITMENT].copy_from_slice(&front));
    check(&scene, &without, RosterError::Epoch);
    let kept = forged(&scene.admin, &with_him, |it| it[COMMITMENT] ^= 1);
    check(&scene, &kept, RosterError::Epoch);
}

#[test]
fn epochs_come_one_by_one_with_keys_of_their_own() {
    let mut scene = Scene::new();
    scene.change(|_| {});
    let next = scene.draft(|draft| draft.begin_epoch());
    let same_key = scene.roster.commitment().0;
    let same = forged(&scene.admin, &next, |it| it[COMMITMENT..OWES].copy_from_slice(&same_key));
    check(&scene, &same, RosterError::Epoch);
    let owing = forged(&scene.admin, &next, |it| it[OWES] = 1);
    check(&scene, &owing, RosterError::Epoch);
    let mut ahead = Scene::new();
    ahead.change(|draft| draft.begin_epoch());
    let skipped = ahead.draft(|draft| draft.begin_epoch());
    let hash = scene.roster.hash().0;
    let skipped = forged(&scene.admin, &skipped, |it| {
        it[BEFORE..COMMITMENT].copy_from_slice(&hash);
    });
    check(&scene, &skipped, RosterError::Epoch);
}

/// What holds of any roster is asked of the first one too.
#[test]
fn every_roster_can_have_a_successor() {
    let scene = Scene::new();
    let notes = document("notes");
    let mut draft = Draft::founding(&notes);
    draft.add(Newcomer::device(scene.admin.public(), Rights::ALL, "admin"));
    let record = draft.sign(&scene.admin, &Keyring::new(&notes), [1; 32]).expect("a roster");
    let check = |change: fn(&mut Vec<u8>), expected| {
        let record = forged(&scene.admin, &record, change);
        let anchor = Anchor::Founder(scene.admin.id());
        let first = Roster::first(&notes, &Record::read(&record).expect("a record"), &anchor);
        assert_eq!(first.map(|roster| roster.serial()), expected);
    };
    check(|_| {}, Ok(1));
    check(|it| it[RIGHTS] = Rights::READ.bits(), Err(RosterError::Signer));
    check(|it| it[KIND] = 2, Err(RosterError::Signer));
    check(|it| it[1] = 0, Err(RosterError::Epoch));
    check(|it| it[BEFORE] = 1, Err(RosterError::Epoch));
    check(|it| it[1] = 2, Err(RosterError::Anchor));
    for change in [
        (|it| it[0] = 2) as fn(&mut Vec<u8>),
        |it| it[OWES] = 2,
        |it| it[RIGHTS] = 32,
        |it| it[KIND] = 3,
        |it| it[KIND + 1] = 0,
        |it| it[KIND + 1] = 2,
        |it| it.push(0),
        |it| it.truncate(200),
    ] {
        let record = forged(&scene.admin, &record, change);
        let anchor = Anchor::Founder(scene.admin.id());
        let first = Roster::first(&notes, &Record::read(&record).expect("a record"), &anchor);
        assert!(matches!(first, Err(RosterError::Malformed(_))), "{first:?}");
    }
}

/// A scene with a link, which may bring in devices.
fn with_link(
    newcomer: fn(selvedge_seal::PublicDevice, Rights, &str) -> Newcomer,
) -> (Scene, Device) {
    let mut scene = Scene::new();
    let link = Device::of_link(&document("notes"), &[50; 32]);
    let rights = Rights::READ | Rights::WRITE | Rights::JOIN;
    scene.change(|draft| draft.begin_epoch());
    scene.change(|draft| draft.add(newcomer(link.public(), rights, "link").with(History::All)));
    (scene, link)
}

fn join(scene: &Scene, link: &Device, newcomer: &Device) -> Vec<u8> {
    let keyring = keyring_of(scene, link);
    let joined = scene.roster.join((link, &keyring), (newcomer.public(), "friend"), [88; 32]);
    joined.expect("the link may")
}

#[test]
fn a_link_brings_in_devices() {
    let (mut scene, link) = with_link(Newcomer::link);
    let (ben, cleo) = (device(2), device(3));
    for friend in [&ben, &cleo] {
        let record = join(&scene, &link, friend);
        scene.follow(&record).expect("the link may");
        assert_eq!(scene.keys_of(friend), [1, 2]);
        let member = scene.roster.member(&friend.id()).expect("it is in");
        assert_eq!(member.rights, Rights::READ | Rights::WRITE);
    }
    assert!(scene.roster.member(&link.id()).is_some() && !scene.roster.owes_epoch());
    assert_eq!(scene.roster.epoch(), epoch(2));
    assert_eq!(scene.roster.names(scene.keyring.newest().expect("one")).len(), 4);
}

/// Whoever comes in seals the names of all.
#[test]
fn names_that_are_none_stop_no_admin() {
    let (mut scene, link) = with_link(Newcomer::link);
    let ben = device(2);
    let junk = forged(&link, &join(&scene, &link, &ben), |it| {
        *it.last_mut().expect("a byte of the names") ^= 1;
    });
    scene.follow(&junk).expect("who is in is plain");
    let names = scene.roster.names(scene.keyring.newest().expect("one"));
    assert_eq!(names, ["", "", ""]);
    scene.change(|draft| assert!(draft.remove(&ben.id())));
    assert!(scene.roster.member(&ben.id()).is_none());
}

#[test]
fn a_link_for_once_is_used_up() {
    let (mut scene, link) = with_link(Newcomer::link_once);
    let record = join(&scene, &link, &device(2));
    scene.follow(&record).expect("the link may");
    assert_eq!(scene.keys_of(&device(2)), [1, 2]);
    assert!(scene.roster.member(&link.id()).is_none() && scene.roster.owes_epoch());
    let paid = scene.draft(|_| {});
    scene.follow(&paid).expect("the admin may");
    assert_eq!((scene.roster.epoch(), scene.roster.owes_epoch()), (epoch(3), false));
}

#[test]
fn a_link_does_nothing_else() {
    let (scene, link) = with_link(Newcomer::link_once);
    let record = join(&scene, &link, &device(2));
    let refused = |record: &[u8]| check(&scene, record, RosterError::Join);
    refused(&by(&scene, &link, |_| {}));
    refused(&by(&scene, &link, |draft| draft.begin_epoch()));
    refused(&by(&scene, &link, |draft| {
        draft.add(Newcomer::device(device(2).public(), MEMBER, "stays"));
    }));
    refused(&by(&scene, &link, |draft| {
        assert!(draft.remove(&link.id()));
        draft.add(Newcomer::device(device(2).public(), MEMBER, "a new epoch"));
    }));
    refused(&forged(&link, &record, |it| it[COMMITMENT] ^= 1));
    refused(&forged(&link, &record, |it| it[OWES] = 0));
    let rights = member_rights(&scene, &record, &device(2));
    refused(&forged(&link, &record, |it| it[rights] |= Rights::SNAPSHOT.bits()));
    refused(&forged(&link, &record, |it| it[rights] |= Rights::ADMIN.bits()));
    refused(&forged(&link, &record, |it| it[rights] |= Rights::JOIN.bits()));
    refused(&forged(&link, &record, |it| it[rights + 1] = 2));
    let admin = member_rights(&scene, &record, &scene.admin);
    refused(&forged(&link, &record, |it| it[admin + 5] ^= 1));
}

/// Where a member's rights lie in the members' bytes.
fn member_rights(scene: &Scene, record: &[u8], device: &Device) -> usize {
    let Ok(Record::Keys { members, .. }) = Record::read(record) else { panic!("keys") };
    assert_eq!(scene.roster.serial() + 1, u64::from(members[1]));
    let id = device.id().0;
    let at = members.windows(32).position(|window| window == id);
    at.expect("it is a member") + 64
}

#[test]
fn whoever_may_not_join_others_is_told_before() {
    let (scene, link) = with_link(Newcomer::link);
    let keyring = keyring_of(&scene, &link);
    let twice = scene.roster.join((&link, &keyring), (scene.admin.public(), ""), [1; 32]);
    assert!(twice.is_err(), "it is a member already");
    let stranger = scene.roster.join((&device(9), &keyring), (device(2).public(), ""), [1; 32]);
    assert!(stranger.is_err());
    assert_ne!(scene.roster.hash(), RosterHash::default());
}
