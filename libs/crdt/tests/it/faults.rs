//! What the nearest relatives get wrong, one test for each.

use selvedge_crdt::{
    Admission, Batch, BatchHash, Document, Heads, Hlc, Kind, Reissue, ReplicaId, Writer,
};

use crate::site::{Site, exchange, pair};

/// conflux: tags are drawn when an operation is applied, so that each replica has its own, applying
/// twice adds twice, and no removal finds another replica's tags.
#[test]
fn tags_of_sets_are_the_operations_own() {
    let (mut a, mut b) = (Site::new(1), Site::new(2));
    let add = a.write(|edit| edit.add("n", "tags", "red".into()));
    b.receive(&add);
    b.receive(&add);
    assert_eq!(a.document.snapshot(), b.document.snapshot());
    let remove = b.write(|edit| edit.remove("n", "tags", "red".into()));
    exchange(&mut a, &[], &mut b, &remove);
    assert!(a.document.entity("n").is_none());
}

/// conflux: a field cannot be set before its entity was inserted, and that cannot be done twice.
#[test]
fn operations_need_no_other_first() {
    let (mut a, mut b) = (Site::new(1), Site::new(2));
    let sent = [
        a.write(|edit| edit.create("n")),
        a.write(|edit| edit.set("n", "title", "milk".into())),
        a.write(|edit| edit.increment("n", "votes", 1)),
    ];
    for batches in sent.iter().rev().chain(&sent) {
        b.receive(batches);
    }
    assert_eq!(a.document.snapshot(), b.document.snapshot());
}

/// conflux: where both sides have something, the merge prefers its own.
#[test]
fn merges_prefer_nobody() {
    let (mut a, mut b) = pair(|edit| edit.set("n", "title", "old".into()));
    a.write(|edit| edit.set("n", "title", "from a".into()));
    b.write(|edit| edit.set("n", "title", "from b".into()));
    let (mut left, mut right) = (a.document.clone(), b.document.clone());
    left.merge(&b.document);
    right.merge(&a.document);
    assert_eq!(left.snapshot(), right.snapshot());
    assert_eq!(left.entity("n").unwrap().conflicts("title").len(), 1, "nothing is lost silently");
}

/// conflux: equal stamps of a cloned id keep whatever was there first.
#[test]
fn clones_that_write_at_once_agree_on_something() {
    let (mut a, mut b) = (Site::new(1), Site::new(1));
    let from_a = a.write(|edit| edit.set("n", "title", "from a".into()));
    let from_b = b.write(|edit| edit.set("n", "title", "from b".into()));
    exchange(&mut a, &from_a, &mut b, &from_b);
}

/// Evolu, Automerge: a cloned id diverges, or ends the document. Here the chain shows it, and what was
/// not confirmed is issued again.
#[test]
fn a_clone_is_noticed_and_goes_on_under_another_name() {
    let mut original = Site::new(1);
    let shared = original.write(|edit| edit.set("n", "title", "shared".into()));
    let (confirmed, mut relay, mut heads) =
        (original.document.clone(), Document::new(), Heads::default());
    let first = shared[0].encode(BatchHash::NONE);
    let (header, batch) = Batch::decode(&first).unwrap();
    assert_eq!(heads.admit(&header, BatchHash::of(&first)), Admission::Next);
    relay.apply(&batch);

    let id = original.writer.replica();
    let writer = Writer::resume(id, original.writer.next_seq(), original.writer.last_hlc());
    let mut clone = Site { document: original.document.clone(), writer, ..Site::new(1) };
    let kept = original.write(|edit| edit.set("n", "title", "original".into()));
    let cloned = clone.write(|edit| {
        edit.add("n", "tags", "red".into())?;
        edit.remove("n", "tags", "red".into())?;
        edit.add("n", "tags", "blue".into())
    });
    let prev = BatchHash::of(&first);
    let (kept, forked) = (kept[0].encode(prev), cloned[0].encode(prev));
    let (header, batch) = Batch::decode(&kept).unwrap();
    assert_eq!(heads.admit(&header, BatchHash::of(&kept)), Admission::Next);
    relay.apply(&batch);
    let (header, batch) = Batch::decode(&forked).unwrap();
    assert_eq!(heads.admit(&header, BatchHash::of(&forked)), Admission::Forked);

    let fresh = ReplicaId([7; 16]);
    let name = Reissue { replica: fresh, first: 1, since: header.first, not_before: Hlc::ZERO };
    let again = batch.reissued(&name).unwrap();
    let mut renamed = confirmed;
    renamed.apply(&again);
    relay.apply(&again);
    renamed.apply(&Batch::decode(&kept).unwrap().1);
    assert_eq!(renamed.snapshot(), relay.snapshot());
    let n = renamed.entity("n").unwrap();
    assert_eq!(n.get("title"), Some("original".into()));
    assert_eq!(n.values("tags", Kind::OR_SET), ["blue".into()]);
    assert!(batch.reissued(&Reissue { first: 0, ..name }).is_none());
    assert!(batch.reissued(&Reissue { since: header.first + 1, ..name }).is_none());
}

/// Kurumi: each device makes the document's root for itself, and one of them loses everything.
#[test]
fn documents_that_were_begun_apart_are_one() {
    let (mut phone, mut laptop) = (Site::new(1), Site::new(2));
    let from_phone = phone.write(|edit| {
        edit.set("settings", "theme", "dark".into())?;
        edit.set("note/1", "title", "milk".into())
    });
    let from_laptop = laptop.write(|edit| {
        edit.set("settings", "font", "serif".into())?;
        edit.set("note/2", "title", "bread".into())
    });
    exchange(&mut phone, &from_phone, &mut laptop, &from_laptop);
    let settings = phone.entity("settings");
    assert_eq!(
        (settings.get("theme"), settings.get("font")),
        (Some("dark".into()), Some("serif".into()))
    );
    assert_eq!(phone.document.entities_with("note/").count(), 2);
}

/// Kurumi: an upload overwrites what another device uploaded. A snapshot is a state, so that joining
/// the two loses nothing; and the store can compare, as equal states are equal bytes.
#[test]
fn snapshots_of_both_are_joined_and_can_be_compared() {
    let (mut a, mut b) = pair(|edit| edit.create("n"));
    a.write(|edit| edit.set("n", "title", "from a".into()));
    b.write(|edit| edit.set("n", "shop", "from b".into()));
    let uploaded = a.document.snapshot();
    b.document.merge(&Document::load(&uploaded).unwrap());
    a.document.merge(&Document::load(&b.document.snapshot()).unwrap());
    assert_eq!(a.document.snapshot(), b.document.snapshot());
    assert_eq!(a.entity("n").fields().len(), 2);
}

/// conflux: what lies between is skipped for ever when a peer's greatest stamp is taken over.
#[test]
fn a_gap_is_seen_and_named() {
    let mut a = Site::new(1);
    let mut heads = Heads::default();
    let mut prev = BatchHash::NONE;
    let mut pushed = Vec::new();
    for n in 0..3 {
        let batch = a.write(|edit| edit.increment("n", "votes", n + 1)).remove(0);
        pushed.push(batch.encode(prev));
        prev = BatchHash::of(&pushed[pushed.len() - 1]);
    }
    let mut admit = |at: usize| {
        let (header, _) = Batch::decode(&pushed[at]).unwrap();
        heads.admit(&header, BatchHash::of(&pushed[at]))
    };
    assert_eq!([admit(0), admit(2)], [Admission::Next, Admission::Gap(2)]);
    assert_eq!(
        [admit(1), admit(1), admit(0)],
        [Admission::Next, Admission::Duplicate, Admission::Past]
    );
    assert_eq!(admit(2), Admission::Next);
}
