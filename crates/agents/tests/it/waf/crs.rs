//! The Core Rule Set from a folder.

use std::path::PathBuf;

use super::*;

/// The folder of the rules, where they are.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let vectors = std::env::var_os("SELVEDGE_VECTORS");
    let folder = vectors.map_or_else(|| root.join("../shared/data"), PathBuf::from).join("crs");
    if !folder.join("rules").is_dir() {
        println!("skipped: no Core Rule Set in {}", folder.display());
        return None;
    }
    Some(folder.canonicalize().unwrap())
}

#[test]
fn it_is_loaded_as_it_comes() {
    let Some(folder) = folder() else { return };
    let nodes = "seclang \"crs-setup.conf.example\" \"rules/*.conf\"\nresponses #true\n\
                 profile \"strict\" { paranoia 4 }";
    let agent = start_in(&folder, nodes).unwrap();
    let attack = said(&agent, &get(INJECTION), None);
    assert!(attack.starts_with("request head: block 403\n"), "{attack}");
    assert!(attack.contains("\n  finding 942100: "), "{attack}");
    let clean = get("/search?q=hello");
    let passes = said(&agent, &clean, None);
    assert!(passes.starts_with("request head: allow\n"), "{passes}");
    let strict = said(&agent, &clean.option("profile", "strict"), None);
    assert!(strict.starts_with("request head: allow\n"), "{strict}");
}

#[test]
fn exceptions_name_its_rules() {
    let Some(folder) = folder() else { return };
    let nodes = "seclang \"crs-setup.conf.example\" \"rules/*.conf\"\nexclude tag=\"attack-sqli\"";
    let said = said(&start_in(&folder, nodes).unwrap(), &get(INJECTION), None);
    assert!(!said.contains("finding 942"), "{said}");
}
