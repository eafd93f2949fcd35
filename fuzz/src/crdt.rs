use selvedge_crdt::{Batch, Document};

/// A batch or a snapshot is refused, or is written again as it was; taking in what was taken in changes
/// nothing.
///
/// The first byte says which it is.
pub fn crdt(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0, bytes)) => batch(bytes),
        Some((_, bytes)) => snapshot(bytes),
        None => {}
    }
}

fn batch(bytes: &[u8]) {
    let Ok((header, batch)) = Batch::decode(bytes) else { return };
    assert_eq!(batch.header(header.prev), header, "the header says what is in the body");
    assert_eq!(batch.encode(header.prev), bytes, "a batch has one encoding");
    let mut document = Document::new();
    document.apply(&batch);
    let once = document.snapshot();
    document.apply(&batch);
    assert_eq!(document.snapshot(), once, "nothing is taken in twice");
    snapshot(&once);
}

fn snapshot(bytes: &[u8]) {
    let Ok(mut document) = Document::load(bytes) else { return };
    assert_eq!(document.snapshot(), bytes, "a state has one encoding");
    for entity in document.entities() {
        for field in entity.fields() {
            entity.entries(field.name(), field.kind());
            entity.blame(field.name(), field.kind());
        }
        entity.count("votes");
    }
    document.merge(&document.clone());
    assert_eq!(document.snapshot(), bytes, "a state joined with itself is that state");
}
