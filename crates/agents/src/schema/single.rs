//! JSON Schemas by themselves, each for some messages.

use std::{
    path::Path as FilePath,
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::{Retrieve, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use regex::Regex;
use selvedge_config::schema::{Path, Schema, Side};
use serde_json::Value;

use super::{
    body::{Judgement, Look},
    checker::{self, Checker, Dialect, Fault, Source},
    document::{Folder, Place, beside},
    media::{Kind, MediaRange, MediaType},
    pointer::Pointer,
};

/// A schema and the messages that it is for.
pub(super) struct Single {
    pub(super) id: String,
    pub(super) side: Side,
    paths: Vec<PathRule>,
    methods: Vec<String>,
    media: Vec<MediaRange>,
    checker: Checker,
}

enum PathRule {
    Exact(String),
    /// Without a slash at its end.
    Prefix(String),
    Regex(Regex),
}

/// In front of names of files, so that references between them are relative.
const BASE: &str = "folder:///";

/// Methods of requests that have no body as a rule (RFC 9110 §9.3).
const BODILESS: [&str; 6] = ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

impl Single {
    /// Reads a schema. Notes say what is not checked; the error has a line for each fault.
    pub(super) fn load(
        settings: &Schema,
        dialect: Dialect,
    ) -> Result<(Self, Vec<String>), Vec<String>> {
        let Schema { id, file, on, paths, methods, content_types } = settings;
        let range = |text: &String| {
            MediaRange::parse(text).ok_or_else(|| vec![format!("`{text}` is no media type")])
        };
        let (checker, notes) = compile(file, dialect)?;
        let single = Self {
            id: id.clone(),
            side: *on,
            paths: paths.iter().map(PathRule::new).collect::<Result<_, _>>()?,
            methods: methods.clone(),
            media: content_types.iter().map(range).collect::<Result<_, _>>()?,
            checker,
        };
        Ok((single, notes))
    }

    /// Whether it is for requests of this method to this path.
    pub(super) fn is_for(&self, method: &str, path: &str) -> bool {
        let method = self.methods.is_empty() || self.methods.iter().any(|own| own == method);
        method && (self.paths.is_empty() || self.paths.iter().any(|own| own.matches(path)))
    }

    /// Whether a message with this method has to have a body.
    pub(super) fn needs_body(&self, method: &str) -> bool {
        self.side == Side::Request && !BODILESS.contains(&method)
    }

    /// Whether it is for bodies of this type.
    pub(super) fn takes(&self, media: &MediaType) -> bool {
        self.media.iter().any(|range| range.matches(media).is_some())
    }

    /// The types that it is for.
    pub(super) fn accepted(&self) -> String {
        let ranges: Vec<&str> = self.media.iter().map(MediaRange::essence).collect();
        ranges.join(", ")
    }

    /// Looks at a body: as text if its type says so, else as JSON.
    pub(super) fn check(&self, media: &MediaType, body: &[u8], look: Look) -> Judgement {
        let value = match media.kind() {
            Kind::Text => Value::from(look.text(body)?),
            Kind::Json | Kind::Form | Kind::Opaque => look.json(body)?,
        };
        Ok(self.checker.check(&value, body.len(), look.most))
    }
}

impl PathRule {
    fn new(settings: &Path) -> Result<Self, Vec<String>> {
        Ok(match settings {
            Path::Exact(path) => Self::Exact(path.clone()),
            Path::Prefix(path) => Self::Prefix(path.trim_end_matches('/').to_owned()),
            Path::Regex(regex) => {
                Self::Regex(Regex::new(regex).map_err(|error| vec![error.to_string()])?)
            }
        })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(own) => own == path,
            Self::Prefix(own) => {
                let rest = path.strip_prefix(own.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Regex(own) => own.is_match(path),
        }
    }
}

fn compile(file: &FilePath, dialect: Dialect) -> Result<(Checker, Vec<String>), Vec<String>> {
    let (folder, name) = Folder::of(file).map_err(|error| vec![error])?;
    let place = Place { file: name.clone(), pointer: Pointer::root() };
    let part = folder.get(&place).expect("the document was just read");
    let base = format!("{BASE}{}", utf8_percent_encode(&name, NON_ALPHANUMERIC));
    let id = part.text("$id").map(str::to_owned);
    let folder = Arc::new(Mutex::new(folder));
    let files = Files { id, folder: Arc::clone(&folder) };
    let compiled = Checker::new(part.value(), &base, files, dialect, Source::Uri { hidden: BASE });
    let notes = checker::unknown_formats(part.value());
    let folder = folder.lock().unwrap_or_else(PoisonError::into_inner);
    match compiled {
        Ok(checker) => Ok((checker, lines(&name, &notes, &folder))),
        Err(faults) => Err(lines(&name, &faults, &folder)),
    }
}

/// What was found in the file `name`, with its lines.
fn lines(name: &str, found: &[Fault], folder: &Folder) -> Vec<String> {
    let place = |(path, _): &Fault| Place {
        file: name.to_owned(),
        pointer: Pointer::from_text(path.as_str()),
    };
    let places: Vec<Place> = found.iter().map(place).collect();
    let numbers = folder.lines(&places);
    let line = |((place, (_, what)), number): ((&Place, &Fault), Option<usize>)| {
        let number = number.map(|number| format!(":{number}")).unwrap_or_default();
        format!("{}{number}: {} {what}", place.file, place.pointer.to_fragment())
    };
    places.iter().zip(found).zip(numbers).map(line).collect()
}

/// The files that a schema may refer to: those beside it, by their names or by names beside its `$id`.
struct Files {
    id: Option<String>,
    folder: Arc<Mutex<Folder>>,
}

impl Retrieve for Files {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let uri = uri.as_str();
        let beside_id = || {
            let id = self.id.as_deref()?;
            uri.strip_prefix(&id[..=id.rfind('/')?])
        };
        let path = uri.strip_prefix(BASE).or_else(beside_id);
        let path =
            path.ok_or_else(|| format!("`{uri}` is not a file of its folder; nothing is fetched"))?;
        let name = beside("", path.split('#').next().unwrap_or_default())?;
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(folder.load(&name)?.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use expect_test::{Expect, expect};
    use tempfile::TempDir;

    use super::*;
    use crate::schema::{
        checker::{Finding, Patterns},
        guard::Limits,
    };

    const DIALECT: Dialect = Dialect { formats: Some(true), patterns: Patterns::Linear };
    const LOOK: Look = Look {
        limits: Limits { size: 1000, depth: 10, keys: 10, items: 10, number: 10, string: 100 },
        most: 9,
    };

    fn settings(folder: &TempDir, file: &str) -> Schema {
        Schema {
            id: "order".to_owned(),
            file: folder.path().join(file),
            on: Side::Request,
            paths: Vec::new(),
            methods: Vec::new(),
            content_types: vec!["application/json".to_owned(), "text/*".to_owned()],
        }
    }

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn load(files: &[(&str, &str)]) -> Result<Single, Vec<String>> {
        let folder = folder(files);
        Single::load(&settings(&folder, files[0].0), DIALECT).map(|(single, _)| single)
    }

    fn fits(single: &Single, body: &str) -> bool {
        let media = MediaType::parse("application/json").unwrap();
        single.check(&media, body.as_bytes(), LOOK) == Ok(Finding::Fits)
    }

    #[test]
    fn references_lead_to_files() {
        let parts = [
            ("order schema.yaml", "properties: {to: {$ref: parts/address.json}}"),
            ("parts/address.json", r#"{"required": ["city"], "$ref": "../base.yml#/$defs/o"}"#),
            ("base.yml", "$defs: {o: {type: object}}"),
        ];
        let single = load(&parts).unwrap();
        assert!(fits(&single, r#"{"to":{"city":1}}"#));
        assert!(!fits(&single, r#"{"to":{}}"#) && !fits(&single, r#"{"to":1}"#));
    }

    #[test]
    fn references_beside_the_id_lead_to_files() {
        let parts = [
            ("order.json", r#"{"$id": "https://example.com/s/order.json", "$ref": "n/item.json"}"#),
            (
                "n/item.json",
                r#"{"$id": "https://example.com/s/n/item.json", "$ref": "../end.json"}"#,
            ),
            ("end.json", r#"{"type": "integer"}"#),
        ];
        let single = load(&parts).unwrap();
        assert!(fits(&single, "1") && !fits(&single, "\"a\""));
    }

    #[test]
    fn older_drafts() {
        let draft = |draft: &str, keyword: &str| {
            format!(r#"{{"$schema": "http://json-schema.org/{draft}/schema#", {keyword}}}"#)
        };
        let old =
            load(&[("a.json", &draft("draft-04", r#""minimum": 1, "exclusiveMinimum": true"#))]);
        assert!(!fits(&old.unwrap(), "1"));
        let new = load(&[("a.json", &draft("draft-06", r#""exclusiveMinimum": 1"#))]);
        assert!(!fits(&new.unwrap(), "1"));
        let new = load(&[("a.json", &draft("draft-07", r#""if": {"const": 1}, "then": false"#))]);
        assert!(!fits(&new.unwrap(), "1"));
    }

    #[track_caller]
    fn refused(files: &[(&str, &str)], expected: Expect) {
        expected.assert_eq(&load(files).err().expect("the schema has faults").join("\n"));
    }

    #[test]
    fn faults_have_lines() {
        refused(
            &[("a.yaml", "type: object\nproperties:\n  a: {type: strin}\nminLength: -1")],
            expect![[r#"
            a.yaml:3: #/properties/a/type must be one of `array`, `boolean`, `integer`, `null`, `number`, `object`, `string`
            a.yaml:4: #/minLength must not be less than 0"#]],
        );
        refused(
            &[("a.json", "{\n\"properties\": {\n\"a\": {\"pattern\": \"(?!a)\"}}}")],
            expect![
                "a.json:3: #/properties/a/pattern `(?!a)` has look-around, a back-reference or too many repetitions, which take more than linear time"
            ],
        );
        refused(
            &[("a.json", r#"{"$ref": "https://example.com/b.json"}"#)],
            expect![
                "a.json:1: # Resource 'https://example.com/b.json' is not present in a registry and retrieving it failed: `https://example.com/b.json` is not a file of its folder; nothing is fetched"
            ],
        );
        refused(
            &[("a.json", r#"{"$ref": "../b.json"}"#)],
            expect![
                "a.json:1: # Resource 'folder:///b.json' is not present in a registry and retrieving it failed: b.json: No such file or directory (os error 2)"
            ],
        );
        refused(
            &[("a.json", r#"{"$ref": "b.json"}"#)],
            expect![
                "a.json:1: # Resource 'folder:///b.json' is not present in a registry and retrieving it failed: b.json: No such file or directory (os error 2)"
            ],
        );
        refused(
            &[("a.json", r#"{"$schema": "https://example.com/own"}"#)],
            expect![
                "a.json:1: #/$schema names a dialect that is not known: https://example.com/own"
            ],
        );
        refused(&[("a.json", "{")], expect!["a.json:1: # is not JSON: it ends too early"]);
    }

    #[test]
    fn formats_that_check_nothing_are_noted() {
        let folder =
            folder(&[("a.yaml", "properties:\n  a: {format: date}\n  b: {format: flavour}")]);
        let (_, notes) = Single::load(&settings(&folder, "a.yaml"), DIALECT).unwrap();
        let expected = "a.yaml:3: #/properties/b/format names the format `flavour`, which is not known; it checks nothing";
        assert_eq!(notes, [expected]);
    }

    #[test]
    fn messages_that_it_is_for() {
        let folder = folder(&[("a.json", "true")]);
        let mut settings = settings(&folder, "a.json");
        settings.methods = vec!["POST".to_owned()];
        settings.paths = vec![
            Path::Exact("/a".to_owned()),
            Path::Prefix("/b/".to_owned()),
            Path::Regex("^/c[0-9]+$".to_owned()),
        ];
        let (single, _) = Single::load(&settings, DIALECT).unwrap();
        for path in ["/a", "/b", "/b/x", "/c12"] {
            assert!(single.is_for("POST", path) && !single.is_for("PUT", path), "{path}");
        }
        for path in ["/", "/a/", "/bx", "/c", "/c1/"] {
            assert!(!single.is_for("POST", path), "{path}");
        }
        assert!(single.needs_body("POST") && !single.needs_body("GET"));
        let takes = |media: &str| single.takes(&MediaType::parse(media).unwrap());
        assert!(takes("application/json; charset=utf-8") && takes("text/csv"));
        assert!(!takes("application/xml"));
        assert_eq!(single.accepted(), "application/json, text/*");
    }
}
