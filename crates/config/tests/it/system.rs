//! Real files and variables.

use std::{fs, path::Path};

use selvedge_config::{SystemEnvironment, load};

#[test]
fn a_config_is_loaded_from_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("public")).unwrap();
    fs::write(path("routes.kdl"), "route \"site\" { static \"public\" }").unwrap();
    fs::write(path("selvedge.kdl"), "include \"routes.kdl\"").unwrap();
    let config = load(&path("selvedge.kdl"), &SystemEnvironment).unwrap().config;
    assert_eq!(config.files, [path("selvedge.kdl"), path("routes.kdl")]);
    assert!(config.workers >= 1);
}

#[test]
fn a_config_that_is_not_there_is_named() {
    let report = load(Path::new("/nowhere/selvedge.kdl"), &SystemEnvironment).unwrap_err();
    let text = report.to_string();
    assert!(text.starts_with("error[E0122]: /nowhere/selvedge.kdl cannot be read: "), "{text}");
}

#[test]
fn a_config_that_is_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.kdl");
    fs::write(&path, " ".repeat(9 << 20)).unwrap();
    let report = load(&path, &SystemEnvironment).unwrap_err();
    assert!(report.to_string().contains("larger than 8MiB"), "{report}");
}
