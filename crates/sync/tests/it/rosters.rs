//! Keys of documents outlive their place in the log.

use std::{fs, path::Path, time::Duration};

use selvedge_crdt::{
    ReplicaId,
    session::{DocumentId, Event, Keys as _, Record, Refusal, Replica},
};
use selvedge_seal::{Device, Link, Rights, Vault};
use selvedge_sync::Settings;

use crate::relay::{Peer, Relay};

/// The log before a snapshot goes at once.
fn settings() -> Settings {
    Settings { grace: Duration::ZERO, ..Settings::default() }
}

fn diary() -> DocumentId {
    DocumentId::new("acme", "diary").unwrap()
}

/// Founds the diary, writes, makes a link, and has the log cut behind all of it.
async fn cut_behind_a_link(relay: &Relay) -> (Peer, Link) {
    let document = diary();
    let found = |vault: &mut Vault| vault.found(&document, "ann").unwrap();
    let mut ann = Peer::new(relay, (1, &document), Rights::ALL, found).await;
    ann.set("day/1", "title", "Milk");
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
    let wanted = (Rights::READ | Rights::WRITE, false);
    let link = ann.vault.invite(&document, wanted, "a link").unwrap();
    ann.set("day/2", "title", "Oats");
    ann.until("the link is there", |ann| ann.is_in_step()).await;
    ann.client.offer_snapshot(&document);
    let stream = relay.log.stream("sync/doc/acme/diary").unwrap();
    let log = relay.log.clone();
    ann.until("the log is cut", |_| log.info(stream).unwrap().start >= 4).await;
    (ann, link)
}

async fn joins(relay: &Relay, seed: u8, link: &Link) -> Peer {
    let come_in = |vault: &mut Vault| vault.come_in(link, "somebody");
    let rights = Rights::READ | Rights::WRITE | Rights::JOIN;
    let mut peer = Peer::new(relay, (seed, &link.document), rights, come_in).await;
    peer.until("the newcomer is a member", |it| {
        it.is_in_step() && it.vault.is_member(&it.document)
    })
    .await;
    peer
}

#[tokio::test]
async fn a_link_that_was_made_before_the_log_was_cut_lets_people_in() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), settings());
    let (mut ann, link) = cut_behind_a_link(&relay).await;
    let mut ben = joins(&relay, 2, &link).await;
    assert!(ben.has("day/1", "title", "Milk") && ben.has("day/2", "title", "Oats"));
    let needs_key = |event: &Event| matches!(event, Event::NeedsKey(_));
    assert!(!ben.events.iter().any(needs_key), "the keys come before the snapshot");
    ben.set("day/3", "title", "Rye");
    ben.until("ben is in step", |ben| ben.is_in_step()).await;
    ann.until("ann reads ben", |ann| ann.has("day/3", "title", "Rye")).await;
    assert_eq!(ann.content().snapshot(), ben.content().snapshot(), "byte for byte");
}

/// As a power cut would leave it: what was acknowledged is there, and nobody said goodbye.
pub fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copied(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[tokio::test]
async fn keys_outlive_a_crash_after_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(&folder.path().join("log"), settings());
    let (_ann, link) = cut_behind_a_link(&relay).await;
    let crashed = folder.path().join("crashed");
    copied(&folder.path().join("log"), &crashed);
    let again = Relay::open(&crashed, settings());
    let ben = joins(&again, 2, &link).await;
    assert!(ben.has("day/2", "title", "Oats"));
    let cy = joins(&again, 3, &link).await;
    assert!(cy.has("day/1", "title", "Milk"));
}

#[tokio::test]
async fn what_was_written_before_a_link_opens_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), Settings::default());
    let document = diary();
    let found = |vault: &mut Vault| vault.found(&document, "ann").unwrap();
    let mut ann = Peer::new(&relay, (1, &document), Rights::ALL, found).await;
    for day in 0..40 {
        ann.set(&format!("day/{day}"), "title", "Milk");
        ann.until("ann is in step", |ann| ann.is_in_step()).await;
    }
    let link = ann.vault.invite(&document, (Rights::READ, false), "a link").unwrap();
    ann.until("the link is there", |ann| ann.is_in_step()).await;
    let ben = joins(&relay, 2, &link).await;
    assert_eq!(ben.content().snapshot(), ann.content().snapshot(), "the log was read once");
}

#[tokio::test]
async fn who_comes_in_behind_another_is_told_so_and_comes_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), Settings::default());
    let document = diary();
    let found = |vault: &mut Vault| vault.found(&document, "ann").unwrap();
    let mut ann = Peer::new(&relay, (1, &document), Rights::ALL, found).await;
    ann.set("day/1", "title", "Milk");
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
    let wanted = (Rights::READ | Rights::WRITE, false);
    let link = ann.vault.invite(&document, wanted, "a link").unwrap();
    ann.until("the link is there", |ann| ann.is_in_step()).await;
    // What cy pushes follows what was in force before ben came.
    let kept = relay.log.stream("sync/keys/acme/diary").unwrap();
    let kept = relay.log.read(kept, 0, 1 << 20).unwrap();
    let mut vault = Vault::new(Device::from_seed([3; 32]), Box::new(|bytes| bytes.fill(3)));
    vault.come_in(&link, "cy");
    for (_, kept) in kept.records() {
        let record = Record::read(&kept[8..]).unwrap();
        // A link knows those from its own on.
        let _ = vault.take_keys(&document, &record);
    }
    assert!(vault.pending(&document).is_some());
    let _ben = joins(&relay, 2, &link).await;
    let replica = Replica::new(document.clone(), ReplicaId([3; 16]), vault.sealing(&document));
    let rights = Rights::READ | Rights::WRITE | Rights::JOIN;
    let mut cy = Peer::with(&relay, (vault, replica), rights).await;
    let is_late =
        |event: &Event| matches!(event, Event::Rejected { why: Refusal::Superseded(None), .. });
    cy.until("cy hears that ben was first", |cy| cy.events.iter().any(is_late)).await;
    cy.until("cy is in", |cy| cy.is_in_step() && cy.vault.is_member(&document)).await;
    assert!(cy.has("day/1", "title", "Milk"));
}

#[tokio::test]
async fn who_was_taken_out_writes_nothing_and_may_come_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), Settings::default());
    let document = diary();
    let found = |vault: &mut Vault| vault.found(&document, "ann").unwrap();
    let mut ann = Peer::new(&relay, (1, &document), Rights::ALL, found).await;
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
    let wanted = (Rights::READ | Rights::WRITE, false);
    let link = ann.vault.invite(&document, wanted, "a link").unwrap();
    ann.until("the link is there", |ann| ann.is_in_step()).await;
    let come_in = |vault: &mut Vault| vault.come_in(&link, "ben");
    let rights = Rights::READ | Rights::WRITE | Rights::SNAPSHOT | Rights::JOIN;
    let mut ben = Peer::new(&relay, (2, &document), rights, come_in).await;
    ben.until("ben is in", |ben| ben.is_in_step() && ben.vault.is_member(&document)).await;
    let device = ben.vault.own_device().id();
    ann.until("ann has read ben's roster", |ann| {
        ann.vault.members(&document).is_ok_and(|members| members.len() == 3)
    })
    .await;
    ann.vault.remove(&document, &device).unwrap();
    ann.until("ben is out", |ann| ann.is_in_step()).await;
    ann.set("day/1", "title", "Milk");
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
    // Ben has not read that yet.
    ben.client.offer_snapshot(&document);
    ben.set("day/2", "title", "Rye");
    let is_refused = |event: &Event| matches!(event, Event::Refused { why: Refusal::Denied, .. });
    let is_not_saved = |event: &Event| matches!(event, Event::SnapshotRefused(Refusal::Denied));
    ben.until("ben is refused", |ben| {
        ben.events.iter().any(is_refused) && ben.events.iter().any(is_not_saved)
    })
    .await;
    ben.until("ben reads why", |ben| !ben.vault.is_member(&document)).await;
    drop(ben);
    let link = ann.vault.invite(&document, wanted, "another link").unwrap();
    ann.until("the other link is there", |ann| ann.is_in_step()).await;
    let mut ben = joins(&relay, 2, &link).await;
    ben.set("day/3", "title", "Oats");
    ben.until("ben is in step", |ben| ben.is_in_step()).await;
    ann.until("ann reads ben", |ann| ann.has("day/3", "title", "Oats")).await;
    assert!(!ann.has("day/2", "title", "Rye"));
}

#[tokio::test]
async fn keys_of_logs_from_before_are_gathered() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::open(folder.path(), Settings::default());
    let document = diary();
    let found = |vault: &mut Vault| vault.found(&document, "ann").unwrap();
    let mut ann = Peer::new(&relay, (1, &document), Rights::ALL, found).await;
    ann.set("day/1", "title", "Milk");
    let link = {
        ann.until("ann is in step", |ann| ann.is_in_step()).await;
        let link = ann.vault.invite(&document, (Rights::READ, false), "a link").unwrap();
        ann.until("the link is there", |ann| ann.is_in_step()).await;
        link
    };
    let kept = relay.log.stream("sync/keys/acme/diary").unwrap();
    relay.log.append(selvedge_eventlog::Batch::delete(kept)).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    copied(folder.path(), &copy.path().join("log"));
    let again = Relay::open(&copy.path().join("log"), Settings::default());
    let ben = joins(&again, 2, &link).await;
    assert!(ben.has("day/1", "title", "Milk"));
    let kept = again.log.stream("sync/keys/acme/diary").unwrap();
    assert_eq!(again.log.info(kept).unwrap().tail, 3, "founding, the link, and ben");
}
