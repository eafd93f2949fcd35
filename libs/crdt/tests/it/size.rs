//! How large things are, and what few bytes may claim.

use selvedge_crdt::{Batch, BatchHash, Document, Field, Kind, Malformed, Value};

use crate::site::{Site, pair};

#[test]
fn ten_thousand_entities() {
    let mut site = Site::new(1);
    let mut written = 0;
    for n in 0..10_000i64 {
        let id = format!("note/{n:05}");
        let batches = site.write(|edit| {
            edit.set(&id, "title", format!("Title of note {n}").into())?;
            edit.set(&id, "done", (n % 3 == 0).into())?;
            edit.set(&id, "count", n.into())?;
            edit.set(&id, "owner", format!("user{}", n % 50).into())?;
            edit.set(&id, "due", (1_700_000_000 + n * 3_600).into())
        });
        written += batches.iter().map(Batch::len).sum::<usize>();
    }
    assert_eq!(written, 50_000);
    let snapshot = site.document.snapshot();
    assert!(snapshot.len() < 450_000, "{} bytes", snapshot.len());
    let loaded = Document::load(&snapshot).unwrap();
    assert_eq!(loaded.entity("note/04999").unwrap().get("count"), Some(4_999.into()));
    assert_eq!(loaded.entries_len(), 50_000);
}

#[test]
fn one_operation() {
    let (mut site, _) = pair(|edit| edit.set("note/1", "title", "milk".into()));
    let batch = site.write(|edit| edit.set("note/1", "title", "bread".into()));
    let bytes = batch[0].encode(BatchHash::NONE);
    assert!(bytes.len() <= 80, "{} bytes", bytes.len());
}

#[test]
fn overwriting_leaves_nothing() {
    let mut site = Site::new(1);
    let text = "x".repeat(1_000);
    for n in 0..2_000 {
        site.write(|edit| edit.set("n", "title", format!("{n}{text}").into()));
    }
    assert!(site.document.snapshot().len() < 1_200);
}

/// Numbers that few bytes can claim are compared with what is there before anything is made of them.
#[test]
fn few_bytes_claim_much() {
    let mut snapshot = Document::new().snapshot();
    snapshot.truncate(25);
    for claim in [&b"\xff\xff\xff\xff\x0f"[..], b"\x00\xff\xff\xff\xff\x0f"] {
        let bytes = [&snapshot[..], claim].concat();
        assert!(matches!(Document::load(&bytes), Err(Malformed::TooMuch(_))));
    }
}

#[test]
fn a_thousand_ranges_in_one_operation_and_more() {
    let (mut a, mut b) = pair(|edit| {
        (0..20_000).try_for_each(|n| {
            edit.set(if n % 2 == 0 { "a" } else { "b" }, &format!("f{n}"), n.into())
        })
    });
    let erased = a.write(|edit| edit.erase("a"));
    assert!(
        erased.iter().map(Batch::len).sum::<usize>() > 1,
        "one operation does not cover it all"
    );
    b.receive(&erased);
    assert_eq!(b.document.entries_len(), 10_000);
    assert_eq!(a.document.snapshot(), b.document.snapshot());
}

/// A kind, and a type of values, of a version that is not there yet.
#[test]
fn what_is_not_known_passes_through() {
    use selvedge_crdt::{BatchBuilder, Change, Dot, EntityId, Hlc, Op, ReplicaId};
    let (entity, field) = (EntityId::new("n").unwrap(), Field::new("plot", Kind(200)).unwrap());
    let put = Change::Put { field: &field, payload: &[99, 1, 2, 3], covers: &[] };
    let dot = Dot { replica: ReplicaId([5; 16]), seq: 1 };
    let mut builder = BatchBuilder::new(dot.replica);
    builder.push(Op { dot, hlc: Hlc(9), entity: &entity, change: put }).unwrap();
    let newer = builder.finish().unwrap().encode(BatchHash::NONE);

    let mut old = Site::new(1);
    old.receive(&[Batch::decode(&newer).unwrap().1]);
    old.write(|edit| edit.set("n", "title", "milk".into()));
    let again = Document::load(&old.document.snapshot()).unwrap();
    let entries = again.entity("n").unwrap().entries("plot", Kind(200));
    assert_eq!(entries[0].value, Value::Other((&[99, 1, 2, 3][..]).into()));
    old.write(|edit| edit.unset("n", "plot", Kind(200)));
    assert!(old.entity("n").entries("plot", Kind(200)).is_empty());
}
