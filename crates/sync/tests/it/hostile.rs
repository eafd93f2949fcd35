//! Guests and members who mean harm.

use selvedge_crdt::session::{DocumentId, Event, Record, Refusal, Sealing, Signature};
use selvedge_seal::{Device, Link, Rights};
use selvedge_sync::Settings;

use crate::relay::{Peer, Relay};

fn diary() -> DocumentId {
    DocumentId::new("acme", "diary").unwrap()
}

/// Ann founds the diary, and makes a link for as many as open it, who may read.
async fn founded(relay: &Relay) -> (Peer, Link) {
    let found = |vault: &mut selvedge_seal::Vault| vault.found(&diary(), "ann").unwrap();
    let mut ann = Peer::new(relay, (1, &diary()), Rights::ALL, found).await;
    ann.set("day/1", "title", "Milk");
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
    let link = ann.vault.invite(&diary(), (Rights::READ, false), "a link").unwrap();
    ann.until("the link is there", |ann| ann.is_in_step()).await;
    (ann, link)
}

async fn joins(relay: &Relay, seed: u8, link: &Link) -> Peer {
    let come_in = |vault: &mut selvedge_seal::Vault| vault.come_in(link, "somebody");
    let rights = Rights::READ | Rights::JOIN;
    let mut peer = Peer::new(relay, (seed, &link.document), rights, come_in).await;
    peer.until("the newcomer is in", |it| it.is_in_step() && it.vault.is_member(&it.document))
        .await;
    peer
}

/// Rosters that are kept, as they were pushed.
fn rosters(relay: &Relay) -> Vec<Vec<u8>> {
    let stream = relay.log.stream("sync/keys/acme/diary").unwrap();
    let chunk = relay.log.read(stream, 0, 1 << 20).unwrap();
    chunk.records().map(|(_, kept)| kept[8..].to_vec()).collect()
}

fn signed(device: &Device, members: &[u8]) -> Vec<u8> {
    let record = |signature| Record::Keys { device: device.id(), epoch: 1, members, signature };
    let signature = device.sign(&record(Signature([0; 64])).signed_bytes(&diary()));
    record(signature).to_bytes()
}

/// What is kept of keys is kept for ever, read first by everybody who comes, and counts to the document.
#[tokio::test]
async fn who_came_by_a_link_pushes_no_keys_but_those_that_bring_somebody_in() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), Settings::default());
    let (mut ann, link) = founded(&relay).await;
    let mut eve = joins(&relay, 2, &link).await;
    let kept = rosters(&relay);
    assert_eq!(kept.len(), 3, "founding, the link, and eve");

    let junk = signed(eve.vault.own_device(), &[7; 100_000]);
    eve.client.push_keys(&diary(), &junk).unwrap();
    let denied = Event::Rejected { frame: 3, why: Refusal::Denied };
    eve.until("junk is not taken", |eve| eve.events.contains(&denied)).await;
    // One that was in force once comes too late.
    eve.client.push_keys(&diary(), &kept[0]).unwrap();
    eve.client.push_keys(&diary(), &kept[1]).unwrap();
    let ben = joins(&relay, 3, &link).await;
    eve.until("eve hears of ben", |eve| {
        eve.vault.members(&diary()).is_ok_and(|members| members.len() == 4)
    })
    .await;
    assert_eq!(rosters(&relay).len(), 4, "and ben");
    assert!(ben.has("day/1", "title", "Milk"));
    ann.until("ann hears of ben", |ann| ann.vault.members(&diary()).is_ok_and(|it| it.len() == 4))
        .await;
}

#[tokio::test]
async fn two_who_come_in_at_once_are_both_in() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), Settings::default());
    let (mut ann, link) = founded(&relay).await;
    let (ben, cy) = tokio::join!(joins(&relay, 2, &link), joins(&relay, 3, &link));
    assert!(ben.has("day/1", "title", "Milk") && cy.has("day/1", "title", "Milk"));
    ann.until("ann hears of both", |ann| ann.vault.members(&diary()).is_ok_and(|it| it.len() == 4))
        .await;
}

#[tokio::test]
async fn who_was_taken_out_is_known_whatever_is_pushed_beside() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), Settings::default());
    let (mut ann, link) = founded(&relay).await;
    let ben = joins(&relay, 2, &link).await.vault.own_device().id();
    let cy = joins(&relay, 3, &link).await.vault.own_device().id();
    let knows_both = |ann: &mut Peer| ann.vault.members(&diary()).is_ok_and(|it| it.len() == 4);
    ann.until("ann hears of both", knows_both).await;
    assert_eq!(relay.sync.was_removed(&diary(), &ben).await, Some(false));
    // An admin's token has it taken; nobody believes it, and so it takes nobody out.
    let first = rosters(&relay).swap_remove(0);
    ann.client.push_keys(&diary(), &first).unwrap();
    ann.vault.remove(&diary(), &ben).unwrap();
    ann.until("ben is out", |ann| ann.is_in_step()).await;
    assert_eq!(relay.sync.was_removed(&diary(), &ben).await, Some(true));
    assert_eq!(relay.sync.was_removed(&diary(), &cy).await, Some(false));
    let nobodys = DocumentId::new("acme", "notes").unwrap();
    assert_eq!(relay.sync.was_removed(&nobodys, &ben).await, Some(false), "it is not encrypted");
}

/// Three are kept, and three more for who is still reading one: not as many as somebody makes within an hour.
#[tokio::test]
async fn snapshots_take_so_much_of_the_disk_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), Settings::default());
    let notes = DocumentId::new("acme", "notes").unwrap();
    let mut ann = Peer::new(&relay, (1, &notes), Rights::ALL, |_| ()).await;
    for round in 1..=12 {
        ann.set("note/1", "title", &format!("Milk {round}"));
        ann.until("ann is in step", |ann| ann.is_in_step()).await;
        ann.client.offer_snapshot(&notes);
        let placed = |event: &&Event| matches!(event, Event::Snapshot(_));
        ann.until("it is placed", |ann| ann.events.iter().filter(placed).count() == round).await;
    }
    let there = relay.log.list("sync/snap/acme/notes#", "", 100).len();
    assert!((3..=7).contains(&there), "{there} snapshots");
    let mut ben = Peer::new(&relay, (2, &notes), Rights::READ, |_| ()).await;
    ben.until("ben begins with the last", |ben| ben.has("note/1", "title", "Milk 12")).await;
    assert_eq!(ben.vault.sealing(&notes), Sealing::Plain);
}
