//! How often memory is asked for: what runs in a browser for every keystroke has a bound.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use selvedge_crdt::{Batch, BatchHash, Document, Edit, EditError, ReplicaId, Writer};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator cannot be told of otherwise")]
// SAFETY: every call goes to the system's allocator unchanged; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How often `work` asks for memory.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const ENTITIES: usize = 1_000;

/// A document with a thousand entities of two fields, and its writer.
fn filled() -> (Document, Writer) {
    let (mut document, mut writer) = (Document::new(), Writer::new(ReplicaId([1; 16])));
    for at in 0..ENTITIES {
        let (id, mut edit) = (id(at), writer.edit(&mut document, 1_000));
        edit.set(&id, "title", "Milk".into()).expect("within bounds");
        edit.add(&id, "tags", "shopping".into()).expect("within bounds");
    }
    while writer.take_batch().is_some() {}
    (document, writer)
}

fn id(at: usize) -> String {
    format!("note/{at:04}")
}

/// Checks how often an edit of each of many entities asks for memory, on the average.
#[track_caller]
fn check(edit: fn(&mut Edit<'_>, &str) -> Result<(), EditError>, max: u64) {
    let (mut document, mut writer) = filled();
    let ids: Vec<String> = (0..ENTITIES).map(id).collect();
    let made = allocations(|| {
        for id in &ids {
            edit(&mut writer.edit(&mut document, 2_000), id).expect("within bounds");
        }
    });
    let each = made.div_ceil(ENTITIES as u64);
    assert!(each <= max, "{each} each");
}

#[test]
fn an_edit() {
    check(|edit, id| edit.set(id, "title", "Bread".into()), 14);
    check(|edit, id| edit.add(id, "tags", "shopping".into()), 15);
    check(|edit, id| edit.increment(id, "votes", 1), 4);
    check(|edit, id| edit.remove(id, "tags", "nothing".into()), 2);
    check(|edit, id| edit.raise(id, "high", 5.into()), 4);
}

/// Batches that set one field of each entity, and the first also makes them.
fn batches() -> [Vec<u8>; 2] {
    let (mut document, mut writer) = (Document::new(), Writer::new(ReplicaId([2; 16])));
    ["Milk", "Bread"].map(|title| {
        for at in 0..ENTITIES {
            let mut edit = writer.edit(&mut document, 1_000);
            edit.set(&id(at), "title", title.into()).expect("within bounds");
        }
        writer.take_batch().expect("it was written").encode(BatchHash::NONE)
    })
}

#[test]
fn a_batch_is_read_and_applied() {
    let [first, second] = batches();
    let mut document = Document::new();
    let mut apply = |bytes: &[u8]| {
        let mut batch = None;
        let read = allocations(|| batch = Some(Batch::decode(bytes).expect("a batch").1));
        let batch = batch.expect("it was read");
        (read, allocations(|| document.apply(&batch)))
    };
    let operations = ENTITIES as u64;
    // An id for each name that is read; for each new entity the list of its cells, and room in trees.
    let (read, applied) = apply(&first);
    assert!(read <= operations + 100 && applied <= 2 * operations, "{read} and {applied}");
    // Lists of what is covered.
    let (read, applied) = apply(&second);
    assert!(read <= operations + 100 && applied <= 3 * operations, "{read} and {applied}");
    // What was seen before needs nothing.
    assert_eq!(apply(&second).1, 0);
}

#[test]
fn reading_one_value_asks_for_nothing() {
    let (document, _) = filled();
    let (first, last) = (id(0), id(ENTITIES - 1));
    let read = || {
        for id in [&first, &last] {
            let entity = document.entity(id).expect("it is there");
            assert_eq!(entity.get("title"), Some("Milk".into()));
        }
    };
    assert_eq!(allocations(read), 0);
}

#[test]
fn a_snapshot_is_written_and_read() {
    let (document, _) = filled();
    let mut bytes = Vec::new();
    let saved = allocations(|| bytes = document.snapshot());
    assert!(saved <= 100, "{saved}");
    let loaded = allocations(|| drop(Document::load(&bytes).expect("a document")));
    // An id and a list of cells for each entity.
    assert!(loaded <= 3 * ENTITIES as u64, "{loaded}");
}
