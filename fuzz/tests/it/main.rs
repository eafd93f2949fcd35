//! The committed corpora, replayed: what fuzzing once found stays mended.

use std::{fs, path::Path};

use selvedge_fuzz::PROPERTIES;

/// The inputs in the corpus of `name`, with their names.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let files = fs::read_dir(&folder).expect("every property has a corpus");
    let paths = files.map(|file| file.expect("the folder can be listed").path());
    paths
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a corpus holds files")))
        .collect()
}

#[test]
fn corpora_hold() {
    for (name, property) in PROPERTIES {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for (file, bytes) in corpus {
            println!("{file}");
            property(&bytes);
        }
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
