//! The committed corpora, replayed: what fuzzing once found stays mended.

use std::{fs, path::Path};

use selvedge_fuzz::{PROPERTIES, Property};

/// Runs `property` on every file of its corpus.
fn replay(name: &str, property: Property) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let files = fs::read_dir(&folder).expect("every property has a corpus");
    let mut count = 0;
    for file in files {
        let file = file.expect("the folder can be listed").path();
        eprintln!("{}", file.display());
        property(&fs::read(file).expect("a corpus holds files"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn corpora_hold() {
    for (name, property) in PROPERTIES {
        replay(name, *property);
    }
}

#[test]
fn every_corpus_has_its_property() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(folder).expect("the corpora lie beside the crate") {
        let name = entry.expect("the folder can be listed").file_name();
        assert!(PROPERTIES.iter().any(|(known, _)| name == **known), "{name:?}");
    }
}
