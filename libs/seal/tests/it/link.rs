//! A vault is shared by a link: from the founder's phone to a friend who has nothing but the address.

use selvedge_crdt::{BatchHash, session::Record};
use selvedge_seal::{
    Anchor, Device, History, Keyring, Link, Newcomer, Recovery, RecoveryCode, Rights, Roster,
};

use crate::scene::{Scene, batch, device, document};

#[test]
fn a_friend_opens_a_link() {
    let vault = document("notes");
    let mut scene = Scene::new();
    let key = scene.keyring.newest().expect("the founder's");
    let sealed = key.seal_batch(&batch(3), BatchHash::NONE, [1; 24]);

    let secret = [50; 32];
    let rights = Rights::READ | Rights::WRITE | Rights::JOIN;
    let guest = Device::of_link(&vault, &secret).public();
    let record = scene.draft(|draft| {
        draft.add(Newcomer::link_once(guest, rights, "for Ben").with(History::All));
    });
    scene.follow(&record).expect("the admin may");
    let text = Link::new(&vault, secret, scene.roster.hash(), Some("token".into())).text();

    // The friend: a text, and what any relay says.
    let link = Link::parse(&text).expect("it was copied right");
    let record = Record::read(&record).expect("a record");
    let roster = Roster::first(&link.document, &record, &Anchor::Roster(link.anchor));
    let roster = roster.expect("the link vouches for it");
    let mut keyring = Keyring::new(&link.document);
    roster.unlock(&link.device(), &mut keyring).expect("the link is a member");
    let key = keyring.newest().expect("the vault's");
    assert_eq!(key.open_batch(&sealed).map(|(_, batch)| batch.len()), Ok(3));

    let own = device(2);
    let joined = roster.join((&link.device(), &keyring), (own.public(), "Ben"), [60; 32]);
    let joined = joined.expect("the link may");
    let roster = roster.follow(&Record::read(&joined).expect("a record")).expect("it may");
    scene.follow(&joined).expect("the founder sees it alike");
    assert_eq!(roster, scene.roster);
    assert_eq!(scene.keys_of(&own), [1]);
}

#[test]
fn a_lost_device_comes_back() {
    let mut scene = Scene::new();
    scene.change(|draft| draft.begin_epoch());
    let code = RecoveryCode::new([70; 32]);
    let mut kept = Keyring::new(&document("notes"));
    for (epoch, secret) in scene.keyring.secrets() {
        kept.insert(epoch, *secret).expect("each once");
    }
    let device = Some(zeroize::Zeroizing::new(*scene.admin.seed()));
    let recovery = Recovery { device, documents: vec![(kept, Some(scene.roster.hash()))] };
    let file = recovery.seal(&code, [2; 24]);

    let written_down = code.text();
    let code = RecoveryCode::parse(&written_down).expect("it was copied right");
    let back = Recovery::open(&code, &file).expect("it is that file's code");
    let device = Device::from_seed(*back.device.expect("it was kept"));
    assert_eq!(device.id(), scene.admin.id());
    let (keyring, anchor) = &back.documents[0];
    assert_eq!((keyring.secrets().count(), *anchor), (2, Some(scene.roster.hash())));
}
