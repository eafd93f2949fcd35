//! The JSON-Schema-Test-Suite through gate and checker.
//!
//! It is read from `JSON_SCHEMA_TEST_SUITE_DIR`, or `json-schema` under `SELVEDGE_VECTORS`, or beside the
//! workspace in `shared/data`; without it the test says so and passes.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use jsonschema::{Retrieve, Uri};
use serde_json::{Value, json};

use super::{
    checker::{Checker, Dialect, Finding, Patterns, Source},
    guard,
};

/// What does not do as the suite says: file, group, test or `*`, and why.
const DEVIATIONS: &[(&str, &str, &str, &str)] = &[
    (
        "draft2020-12/optional/format-assertion.json",
        "schema that uses custom metaschema with format-assertion: false",
        "*",
        DIALECT_OF_ITS_OWN,
    ),
    (
        "draft2020-12/optional/format-assertion.json",
        "schema that uses custom metaschema with format-assertion: true",
        "*",
        DIALECT_OF_ITS_OWN,
    ),
    (
        "draft2020-12/vocabulary.json",
        "schema that uses custom metaschema with with no validation vocabulary",
        "*",
        DIALECT_OF_ITS_OWN,
    ),
    (
        "draft2020-12/vocabulary.json",
        "ignore unrecognized optional vocabulary",
        "*",
        DIALECT_OF_ITS_OWN,
    ),
];

const DIALECT_OF_ITS_OWN: &str = "a schema whose `$schema` is none of the drafts is refused when it is read, never half understood";

/// Drafts by folder.
const DRAFTS: [(&str, &str); 5] = [
    ("draft4", "http://json-schema.org/draft-04/schema#"),
    ("draft6", "http://json-schema.org/draft-06/schema#"),
    ("draft7", "http://json-schema.org/draft-07/schema#"),
    ("draft2019-09", "https://json-schema.org/draft/2019-09/schema"),
    ("draft2020-12", "https://json-schema.org/draft/2020-12/schema"),
];

const LIMITS: guard::Limits = guard::Limits {
    size: 1 << 20,
    depth: 64,
    keys: 10_000,
    items: 10_000,
    number: 400,
    string: 1 << 16,
};

fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let vectors = env::var_os("SELVEDGE_VECTORS").map_or(beside, PathBuf::from);
    let own = env::var_os("JSON_SCHEMA_TEST_SUITE_DIR").map(PathBuf::from);
    Some(own.unwrap_or_else(|| vectors.join("json-schema")))
        .filter(|path| path.join("tests").is_dir())
}

/// The suite's own server, as files.
struct Remotes(PathBuf);

impl Retrieve for Remotes {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.as_str().strip_prefix("http://localhost:1234/").ok_or("not a remote")?;
        Ok(serde_json::from_slice(&fs::read(self.0.join(name))?)?)
    }
}

fn json_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            json_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

/// Runs one group and returns the tests that came out other than the suite says.
fn run(folder: &Path, draft: &str, group: &Value, formats: Option<bool>) -> Vec<String> {
    let mut schema = group["schema"].clone();
    if let Some(members) = schema.as_object_mut() {
        members.entry("$schema").or_insert_with(|| json!(draft));
    }
    let tests = group["tests"].as_array().unwrap();
    let dialect = Dialect { formats, patterns: Patterns::Linear };
    let source = Source::Uri { hidden: "folder:///" };
    let remotes = Remotes(folder.join("remotes"));
    let Ok(checker) = Checker::new(&schema, "folder:///schema.json", remotes, dialect, source)
    else {
        return vec!["*".to_owned()];
    };
    let fails = |test: &&Value| {
        let text = serde_json::to_vec(&test["data"]).unwrap();
        let fits = guard::check(&text, LIMITS).is_ok() && {
            let value = serde_json::from_slice(&text).unwrap();
            checker.check(&value, text.len(), 1) == Finding::Fits
        };
        fits != test["valid"]
    };
    let name = |test: &Value| test["description"].as_str().unwrap().to_owned();
    tests.iter().filter(fails).map(name).collect()
}

#[test]
fn json_schema_test_suite() {
    let Some(folder) = folder() else {
        println!("skipped: no JSON-Schema-Test-Suite; JSON_SCHEMA_TEST_SUITE_DIR names its folder");
        return;
    };
    let mut deviations = Vec::new();
    let mut counts = BTreeMap::new();
    for (name, uri) in DRAFTS {
        let tests = folder.join("tests").join(name);
        let mut files = Vec::new();
        if tests.is_dir() {
            json_files(&tests, &mut files);
        }
        files.sort();
        for file in files {
            let groups: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let short =
                file.strip_prefix(folder.join("tests")).unwrap().to_str().unwrap().to_owned();
            let formats = short.contains("optional/format/").then_some(true);
            for group in groups.as_array().unwrap() {
                *counts.entry(name).or_insert(0) += group["tests"].as_array().unwrap().len();
                let title = group["description"].as_str().unwrap();
                for test in run(&folder, uri, group, formats) {
                    deviations.push((short.clone(), title.to_owned(), test));
                }
            }
        }
    }
    println!("tests: {counts:?}; deviations: {}", deviations.len());
    let expected: Vec<_> = DEVIATIONS
        .iter()
        .filter(|(file, ..)| folder.join("tests").join(file).exists())
        .map(|(file, group, test, _)| ((*file).to_owned(), (*group).to_owned(), (*test).to_owned()))
        .collect();
    let unexpected: Vec<_> = deviations.iter().filter(|one| !expected.contains(one)).collect();
    let gone: Vec<_> = expected.iter().filter(|one| !deviations.contains(one)).collect();
    assert!(unexpected.is_empty() && gone.is_empty(), "new: {unexpected:#?}\ngone: {gone:#?}");
    assert!(!counts.is_empty(), "the folder has no tests");
}
