//! The Merkle vectors of `transparency-dev/merkle`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use selvedge_audit::merkle::{self, Hash, Span};
use serde_json::Value;

/// Whether the proof of a case proves; `None` if a part of it cannot even be read.
type Judge = fn(&Value) -> Option<bool>;

#[test]
fn every_vector_is_judged_as_it_asks() {
    let Some(folder) = folder() else {
        println!("skipped: no merkle vectors (SELVEDGE_VECTORS)");
        return;
    };
    let judges: [(&str, Judge); 4] = [
        ("inclusion", inclusion),
        ("consistency", consistency),
        ("subtreeinclusion", subtree_inclusion),
        ("subtreeconsistency", subtree_consistency),
    ];
    let mut judged = 0;
    for (name, judge) in judges {
        for file in files_under(&folder.join(name)) {
            let case: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let refused = case["wantErr"].as_bool().expect("a verdict");
            assert_eq!(judge(&case) == Some(true), !refused, "{}", file.display());
            judged += 1;
        }
    }
    assert_eq!(judged, 518);
}

fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = env::var_os("SELVEDGE_VECTORS").map_or(beside, PathBuf::from);
    let folder = data.join("merkle/testdata");
    folder.is_dir().then_some(folder)
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

fn inclusion(case: &Value) -> Option<bool> {
    let leaf = (number(&case["leafIdx"]), hash(&case["leafHash"])?);
    let tree = (number(&case["treeSize"]), hash(&case["root"])?);
    Some(merkle::verify_inclusion(&proof(case)?, leaf, tree).is_ok())
}

fn consistency(case: &Value) -> Option<bool> {
    let old = (number(&case["size1"]), hash(&case["root1"])?);
    let new = (number(&case["size2"]), hash(&case["root2"])?);
    Some(merkle::verify_consistency(&proof(case)?, old, new).is_ok())
}

fn subtree_inclusion(case: &Value) -> Option<bool> {
    let leaf = (number(&case["leafIdx"]), hash(&case["leafHash"])?);
    let tree = (span(case), hash(&case["root"])?);
    Some(merkle::verify_subtree_inclusion(&proof(case)?, leaf, tree).is_ok())
}

fn subtree_consistency(case: &Value) -> Option<bool> {
    let part = (span(case), hash(&case["root1"])?);
    let tree = (number(&case["size"]), hash(&case["root2"])?);
    Some(merkle::verify_subtree_consistency(&proof(case)?, part, tree).is_ok())
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn span(case: &Value) -> Span {
    Span { start: number(&case["start"]), end: number(&case["end"]) }
}

/// Some cases compare texts in the place of hashes: filled up with zeros, equal ones stay equal. No
/// text at all is no hash.
fn hash(value: &Value) -> Option<Hash> {
    let mut bytes = decoded(value);
    assert!(bytes.len() <= 32, "{value}");
    if bytes.is_empty() {
        return None;
    }
    bytes.resize(32, 0);
    bytes.try_into().ok().map(Hash)
}

/// A hash of another length cannot be part of a proof.
fn proof(case: &Value) -> Option<Vec<Hash>> {
    let hashes = case["proof"].as_array().into_iter().flatten();
    hashes.map(|hash| decoded(hash).try_into().ok().map(Hash)).collect()
}

fn decoded(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    BASE64.decode(text.as_bytes()).expect("base64")
}
