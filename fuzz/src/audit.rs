//! Everything of the audit log that comes from outside: notes, keys, heads, proofs, requests to
//! witnesses, entries, events on their way, names of tiles.

use selvedge_audit::{
    bundle,
    checkpoint::Checkpoint,
    entry::Entry,
    event::Event,
    note::{Note, VerifierKey},
    proof::TlogProof,
    tile::Tile,
    time::Timestamp,
    witness::AddCheckpoint,
};

/// What is taken is written again to the byte: nothing has two spellings. But for events on their way, which are said again.
pub fn audit_formats(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
        same_text(Checkpoint::parse(note.text()).ok(), note.text());
    }
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(entry.encode(), bytes);
    }
    if let Ok(proof) = TlogProof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
    }
    if let Ok(request) = AddCheckpoint::parse(bytes) {
        assert_eq!(request.to_string().as_bytes(), bytes);
    }
    if let Ok(text) = str::from_utf8(bytes) {
        same_text(text.parse::<VerifierKey>().ok(), text);
        same_text(text.parse::<Timestamp>().ok(), text);
        same_text(Tile::from_path(text), text);
    }
    if let Ok(event) = Event::from_wire(bytes) {
        assert_eq!(Event::from_wire(&event.to_wire()).as_ref(), Ok(&event));
    }
    same_bundle(bytes);
}

fn same_text<T: ToString>(read: Option<T>, text: &str) {
    if let Some(read) = read {
        assert_eq!(read.to_string(), text);
    }
}

fn same_bundle(bytes: &[u8]) {
    let counted = bytes.split_first().map(|(count, rest)| (usize::from(*count), rest));
    let Some((count, rest)) = counted else { return };
    if let Ok(entries) = bundle::entries(rest, count) {
        let mut again = Vec::new();
        entries.iter().for_each(|entry| bundle::push(&mut again, entry));
        assert_eq!(again, rest);
    }
}
