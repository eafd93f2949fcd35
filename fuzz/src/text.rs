use selvedge_crdt::{Document, ReplicaId, Writer};
use selvedge_crdt_text::{Position, Text};

const ENTITY: &str = "note/1";
const FIELD: &str = "body";

/// Updates of Yjs from others, whatever is in them, take nothing of what was written here: the text is read, changed and
/// squashed.
///
/// Each update stands behind its length, two bytes, little-endian.
pub fn text(mut bytes: &[u8]) {
    let (mut document, mut writer) = (Document::new(), Writer::new(ReplicaId([1; 16])));
    change(&mut document, &mut writer, "milk");
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (update, rest) = rest.split_at(len);
        let mut edit = writer.edit(&mut document, 2_000);
        edit.push_text(ENTITY, FIELD, update).expect("a short update has room");
        bytes = rest;
    }
    change(&mut document, &mut writer, "oat ");
    let read = Text::read(&document, ENTITY, FIELD);
    assert!(read.as_str().contains("oat ") && read.as_str().contains("milk"), "{read}");

    let mut edit = writer.edit(&mut document, 3_000);
    let squashed = Text::open(&edit, ENTITY, FIELD).squash(&mut edit);
    let again = Text::read(&document, ENTITY, FIELD);
    assert_eq!(again.as_str(), read.as_str(), "{squashed:?}");
}

/// Puts something at the beginning.
fn change(document: &mut Document, writer: &mut Writer, with: &str) {
    let mut edit = writer.edit(document, 1_000);
    let mut text = Text::open(&edit, ENTITY, FIELD);
    text.insert(Position::Chars(0), with).expect("every text has a beginning");
    let expected = text.to_string();
    text.commit(&mut edit).expect("there is room");
    assert_eq!(Text::read(document, ENTITY, FIELD).as_str(), expected);
}
