//! The bytes of version 1, as they are for ever.

use std::{fmt::Write, fs, path::PathBuf};

use expect_test::expect_file;
use selvedge_crdt::{Batch, BatchHash, Document, Kind, Value};

use crate::site::{Site, exchange};

/// Bytes as people read them, in rows of sixteen.
fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for row in bytes.chunks(16) {
        let hex: String = row.iter().map(|byte| format!("{byte:02x} ")).collect();
        let shown = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
        let shown: String = row.iter().map(shown).collect();
        writeln!(text, "{hex:<48} |{shown}|").expect("a string takes everything");
    }
    text
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

/// Reads what [`text`] writes.
fn bytes(name: &str) -> Vec<u8> {
    let text = fs::read_to_string(path(name)).expect("it is committed");
    let hex = text.lines().flat_map(|line| line.split('|').next().unwrap_or_default().split(' '));
    let pairs = hex.filter(|pair| !pair.is_empty());
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}

/// Two replicas that write something of every kind.
fn story() -> (Site, Vec<Batch>, Vec<Batch>) {
    let (mut a, mut b) = (Site::new(0xa1), Site::at(0xb2, 2_000));
    let from_a = a.write(|edit| {
        edit.set("note/1", "title", "Milk".into())?;
        edit.set("note/1", "done", false.into())?;
        edit.set("note/2", "title", Value::Null)?;
        for tag in ["blue", "red"] {
            edit.add("note/1", "tags", tag.into())?;
        }
        edit.include("note/1", "seen", "ann".into())?;
        edit.raise("note/1", "high", 5.into())?;
        edit.lower("note/1", "low", (-0.5).into())?;
        edit.increment("note/1", "votes", 2)?;
        edit.push_text("note/1", "body", &[0, 0])?;
        edit.create("settings")
    });
    b.receive(&from_a);
    let from_b = b.write(|edit| {
        edit.set("note/1", "title", "Oat milk".into())?;
        edit.remove("note/1", "tags", "red".into())?;
        edit.assign("note/1", "names", "x".into())?;
        edit.delete("note/2")?;
        edit.bury("settings")
    });
    exchange(&mut a, &[], &mut b, &from_b);
    (a, from_a, from_b)
}

#[test]
fn batches_and_a_snapshot() {
    let (a, from_a, from_b) = story();
    let first = from_a[0].encode(BatchHash::NONE);
    expect_file![path("batch.hex")].assert_eq(&text(&first));
    expect_file![path("batch-covers.hex")]
        .assert_eq(&text(&from_b[0].encode(BatchHash::of(&first))));
    expect_file![path("snapshot.hex")].assert_eq(&text(&a.document.snapshot()));
}

#[test]
fn the_old_bytes_are_read() {
    let mut document = Document::new();
    for name in ["batch-covers.hex", "batch.hex"] {
        document.apply(&Batch::decode(&bytes(name)).unwrap().1);
    }
    assert_eq!(document.snapshot(), bytes("snapshot.hex"));
    let note = Document::load(&bytes("snapshot.hex")).unwrap();
    let note = note.entity("note/1").unwrap();
    assert_eq!(note.get("title"), Some("Oat milk".into()));
    assert_eq!(note.values("tags", Kind::OR_SET), ["blue".into()]);
    assert_eq!(note.text_updates("body")[0].value, Value::from(&[0u8, 0][..]));
}

/// Chosen bytes of chosen documents are no documents, and nothing panics.
#[test]
fn damaged_bytes_are_refused_or_mean_something_else() {
    for name in ["batch.hex", "batch-covers.hex", "snapshot.hex"] {
        let whole = bytes(name);
        for len in 0..whole.len() {
            assert!(
                Batch::decode(&whole[..len]).is_err() && Document::load(&whole[..len]).is_err()
            );
        }
        for at in 0..whole.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                if let Ok((header, batch)) = Batch::decode(&damaged) {
                    assert_eq!(batch.encode(header.prev), damaged);
                }
                if let Ok(document) = Document::load(&damaged) {
                    assert_eq!(document.snapshot(), damaged);
                }
            }
        }
    }
}
