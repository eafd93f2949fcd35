//! Devices that are not connected hear that a document changed, and nobody else does.

use std::{path::Path, time::Duration};

use selvedge_crdt::session::{DocumentId, Event, Refusal};
use selvedge_seal::{Rights, Vault};
use selvedge_sync::{Push, Settings};

use crate::{
    push::{Browser, PushService},
    relay::{Peer, Relay},
};

fn notes() -> DocumentId {
    DocumentId::new("acme", "notes").unwrap()
}

fn open(folder: &Path, push: Push) -> Relay {
    Relay::open(folder, Settings { push: Some(push), ..Settings::default() })
}

/// A device that writes, and is in step.
async fn ann(relay: &Relay, document: &DocumentId) -> Peer {
    writer(relay, (1, document)).await
}

async fn writer(relay: &Relay, who: (u8, &DocumentId)) -> Peer {
    let mut writer = Peer::new(relay, who, Rights::ALL, |_| ()).await;
    writer.until("the writer is in step", |it| it.is_in_step()).await;
    writer
}

/// The same device as every time; it wants to be woken, which the relay knows.
async fn ben(relay: &Relay, document: &DocumentId, browser: &Browser) -> Peer {
    let before = subscriptions(relay);
    let mut ben = Peer::new(relay, (2, document), Rights::ALL, |_| ()).await;
    ben.client.set_wake_up(document, Some(browser.wake_up.clone()));
    ben.until("the relay knows", |_| subscriptions(relay) > before).await;
    ben.until("ben is in step", |ben| ben.is_in_step()).await;
    ben
}

/// Ann writes, and Ben sleeps, who wants to be woken.
struct Asleep {
    relay: Relay,
    service: PushService,
    ann: Peer,
    browser: Browser,
    folder: tempfile::TempDir,
}

/// With a push service that answers so, and a relay that wakes as it is `set`.
async fn asleep(status: u16, set: impl FnOnce(Push) -> Push) -> Asleep {
    let folder = tempfile::tempdir().unwrap();
    let service = PushService::start(&[status]).await;
    let relay = open(folder.path(), set(service.push()));
    let browser = Browser::new(&service, "ben");
    let ann = ann(&relay, &notes()).await;
    drop(ben(&relay, &notes(), &browser).await);
    until_connected(&relay, 1).await;
    Asleep { relay, service, ann, browser, folder }
}

fn metric(relay: &Relay, name: &str) -> usize {
    let mut text = String::new();
    relay.sync.render_metrics(&mut text);
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().parse().unwrap()
}

fn subscriptions(relay: &Relay) -> usize {
    metric(relay, "selvedge_sync_subscriptions ")
}

/// Ends when the relay has noticed that only so many are connected.
async fn until_connected(relay: &Relay, count: usize) {
    while relay.sync.connections() != count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn write(ann: &mut Peer, title: &str) {
    ann.set("note/1", "title", title);
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
}

#[tokio::test]
async fn a_device_that_sleeps_is_told_which_document_changed_and_nothing_else() {
    let Asleep { relay, mut service, mut ann, browser, folder: _folder } =
        asleep(201, |push| push).await;
    assert_eq!(relay.sync.push_key(), Some(service.push().sender.public_key()));
    write(&mut ann, "Milk").await;
    let first = service.next().await;
    assert_eq!(first.path, "/ben");
    assert_eq!(browser.open(&first.body), r#"{"documents":["acme/notes"]}"#);
    let header = |name: &str| first.headers[name].to_str().unwrap();
    assert_eq!((header("ttl"), header("urgency")), ("86400", "normal"));
    assert_eq!(header("content-encoding"), "aes128gcm");
    assert!(header("authorization").starts_with("vapid t="));
    assert!(!String::from_utf8_lossy(&first.body).contains("Milk"));
}

#[tokio::test]
async fn changes_while_a_device_sleeps_are_one_message_until_it_was_here() {
    let (after, every) = (Duration::from_millis(300), Duration::from_secs(3600));
    let asleep = asleep(201, |push| Push { after, every, ..push }).await;
    let Asleep { relay, mut service, mut ann, folder: _folder, .. } = asleep;
    for number in 0..5 {
        write(&mut ann, &format!("Milk {number}")).await;
    }
    service.next().await;
    write(&mut ann, "Oats").await;
    ann.until("the first was sent", |_| metric(&relay, SENT) == 1).await;
    assert!(service.is_idle(), "he is left alone for an hour");
}

const SENT: &str = "selvedge_sync_wakes_total{outcome=\"sent\"} ";

#[tokio::test]
async fn who_is_connected_or_wrote_it_himself_is_not_woken() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = PushService::start(&[201]).await;
    let relay = open(folder.path(), service.push());
    let (bens, cys) = (Browser::new(&service, "ben"), Browser::new(&service, "cy"));
    let mut ann = ann(&relay, &notes()).await;
    let mut ben = ben(&relay, &notes(), &bens).await;
    // Cy sleeps, so that it is known when the relay has looked at the change.
    let mut cy = Peer::new(&relay, (3, &notes()), Rights::ALL, |_| ()).await;
    cy.client.set_wake_up(&notes(), Some(cys.wake_up.clone()));
    cy.until("the relay knows", |_| subscriptions(&relay) == 2).await;
    drop(cy);
    until_connected(&relay, 2).await;
    write(&mut ann, "Milk").await;
    assert_eq!(service.next().await.path, "/cy");
    ben.until("ben reads it", |ben| ben.has("note/1", "title", "Milk")).await;
    ben.set("note/2", "title", "Oats");
    ben.until("ben is in step", |ben| ben.is_in_step()).await;
    drop(ben);
    until_connected(&relay, 1).await;
    assert_eq!(service.next().await.path, "/cy");
    write(&mut ann, "Rye").await;
    let paths = [service.next().await.path, service.next().await.path];
    assert!(paths.contains(&"/ben".to_owned()), "now he sleeps: {paths:?}");
}

#[tokio::test]
async fn a_subscription_that_the_service_does_not_know_any_more_is_forgotten() {
    let Asleep { relay, mut service, mut ann, folder, .. } = asleep(410, |push| push).await;
    write(&mut ann, "Milk").await;
    service.next().await;
    ann.until("it is forgotten", |_| subscriptions(&relay) == 0).await;
    write(&mut ann, "Oats").await;
    assert!(service.is_idle());
    let (_folder, again) = copy(folder.path(), service.push());
    assert_eq!(subscriptions(&again), 0, "for good");
}

#[tokio::test]
async fn what_a_service_does_not_take_is_put_off() {
    let Asleep { relay, mut service, mut ann, folder: _folder, .. } =
        asleep(503, |push| push).await;
    write(&mut ann, "Milk").await;
    service.next().await;
    let later = "selvedge_sync_wakes_total{outcome=\"later\"} ";
    ann.until("that is counted", |_| metric(&relay, later) == 1).await;
    write(&mut ann, "Oats").await;
    assert!(service.is_idle(), "not at once: pauses are a test of the roll");
    assert_eq!(subscriptions(&relay), 1);
}

/// A relay on a copy of what lies on the disk, as after a power cut.
fn copy(folder: &Path, push: Push) -> (tempfile::TempDir, Relay) {
    let copy = tempfile::tempdir().unwrap();
    crate::rosters::copied(folder, &copy.path().join("log"));
    let relay = open(&copy.path().join("log"), push);
    (copy, relay)
}

#[tokio::test]
async fn subscriptions_outlive_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = PushService::start(&[201]).await;
    let relay = open(folder.path(), service.push());
    let browser = Browser::new(&service, "ben");
    drop(ben(&relay, &notes(), &browser).await);
    let mut anns = ann(&relay, &notes()).await;
    // Behind the subscription in the log, so that it is durable as well.
    write(&mut anns, "Milk").await;
    service.next().await;
    drop(anns);
    let (_folder, again) = copy(folder.path(), service.push());
    assert_eq!(subscriptions(&again), 1);
    let mut cy = writer(&again, (3, &notes())).await;
    write(&mut cy, "Oats").await;
    let told = service.next().await;
    assert_eq!(browser.open(&told.body), r#"{"documents":["acme/notes"]}"#);
}

#[tokio::test]
async fn whose_token_was_revoked_is_not_woken() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = PushService::start(&[201]).await;
    let relay = open(folder.path(), service.push());
    let browser = Browser::new(&service, "ben");
    let mut ann = ann(&relay, &notes()).await;
    let ben = ben(&relay, &notes(), &browser).await;
    let id = ben.vault.own_device().id().to_string();
    drop(ben);
    until_connected(&relay, 1).await;
    let deed = relay.sync.revoke(&id, u64::MAX / 2_000).unwrap();
    relay.log.append(deed.record()).await.unwrap();
    deed.done();
    write(&mut ann, "Milk").await;
    ann.until("he is forgotten", |_| subscriptions(&relay) == 0).await;
    assert!(service.is_idle());
}

#[tokio::test]
async fn a_member_that_was_removed_is_not_woken() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = PushService::start(&[201]).await;
    let relay = open(folder.path(), service.push());
    let diary = DocumentId::new("acme", "diary").unwrap();
    let found = |vault: &mut Vault| vault.found(&diary, "ann").unwrap();
    let mut ann = Peer::new(&relay, (1, &diary), Rights::ALL, found).await;
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
    let wanted = (Rights::READ | Rights::WRITE, false);
    let link = ann.vault.invite(&diary, wanted, "a link").unwrap();
    ann.until("the link is there", |ann| ann.is_in_step()).await;
    let browser = Browser::new(&service, "ben");
    let come_in = |vault: &mut Vault| vault.come_in(&link, "ben");
    let rights = Rights::READ | Rights::WRITE | Rights::JOIN;
    let mut ben = Peer::new(&relay, (2, &diary), rights, come_in).await;
    ben.client.set_wake_up(&diary, Some(browser.wake_up.clone()));
    let is_in = |ben: &mut Peer| ben.is_in_step() && ben.vault.is_member(&ben.document);
    ben.until("ben is in", is_in).await;
    ben.until("the relay knows", |_| subscriptions(&relay) == 1).await;
    let id = ben.vault.own_device().id();
    drop(ben);
    until_connected(&relay, 1).await;
    ann.until("ann knows him", |ann| ann.vault.members(&diary).is_ok_and(|all| all.len() == 3))
        .await;
    ann.set("day/1", "title", "Milk");
    ann.until("ann is in step", |ann| ann.is_in_step()).await;
    let told = service.next().await;
    assert_eq!(browser.open(&told.body), r#"{"documents":["acme/diary"]}"#);
    ann.vault.remove(&diary, &id).unwrap();
    ann.until("ben is out", |ann| ann.is_in_step()).await;
    ann.set("day/1", "title", "Oats");
    ann.until("he is forgotten", |ann| ann.is_in_step() && subscriptions(&relay) == 0).await;
    assert!(service.is_idle());
}

#[tokio::test]
async fn who_wants_to_sleep_is_let() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = PushService::start(&[201]).await;
    let relay = open(folder.path(), service.push());
    let browser = Browser::new(&service, "ben");
    let mut ann = ann(&relay, &notes()).await;
    let mut ben = ben(&relay, &notes(), &browser).await;
    ben.client.set_wake_up(&notes(), None);
    ben.until("the relay knows", |_| subscriptions(&relay) == 0).await;
    drop(ben);
    until_connected(&relay, 1).await;
    write(&mut ann, "Milk").await;
    assert!(service.is_idle());
}

/// A device that asks for this is told that.
async fn check(push: Option<Push>, rights: Rights, endpoint: &str, expected: &Refusal) {
    let folder = tempfile::tempdir().unwrap();
    let service = PushService::start(&[201]).await;
    let relay = Relay::open(folder.path(), Settings { push, ..Settings::default() });
    let mut wake_up = Browser::new(&service, "ben").wake_up;
    wake_up.endpoint = endpoint.to_owned();
    let mut ben = Peer::new(&relay, (2, &notes()), rights, |_| ()).await;
    ben.client.set_wake_up(&notes(), Some(wake_up));
    ben.until("it is refused", |ben| {
        ben.events
            .iter()
            .any(|event| matches!(event, Event::Rejected { why, .. } if why == expected))
    })
    .await;
    assert_eq!(subscriptions(&relay), 0);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let push = PushService::start(&[201]).await.push();
    let invalid = |text: &str| Refusal::Invalid(text.to_owned());
    let elsewhere = "https://169.254.169.254/latest";
    check(None, Rights::ALL, elsewhere, &invalid("this relay sends no push messages")).await;
    let not_asked = invalid("this relay asks no such push service");
    check(Some(push.clone()), Rights::ALL, elsewhere, &not_asked).await;
    check(Some(push.clone()), Rights::ALL, "https://127.0.0.1/", &not_asked).await;
    check(Some(push), Rights::WRITE, elsewhere, &Refusal::Denied).await;
}
