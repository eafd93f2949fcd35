//! Documents of one folder: JSON or YAML, read once, and nothing outside.
//!
//! What an operator names may refer to other files. They are found beside it or beneath, never above,
//! never behind a symlink that leads out, and never over a network.

mod yaml;

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{guard, pointer::Pointer};

/// What a document may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes of its text.
    pub(super) size: u64,
    /// Values in it.
    pub(super) nodes: usize,
    /// Nesting.
    pub(super) depth: usize,
}

/// Each file of a folder is within these.
const LIMITS: Limits = Limits { size: 32 << 20, nodes: 2_000_000, depth: guard::Limits::DEPTH_MAX };

/// Files that one document may refer to, all steps together.
const FILES: usize = 256;

/// Where in a folder's files something is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// The file's name, relative to the folder, with `/`.
    pub(super) file: String,
    /// Where in it.
    pub(super) pointer: Pointer,
}

impl Place {
    /// The member `name` of what is here.
    pub(super) fn join(&self, name: &str) -> Self {
        Self { file: self.file.clone(), pointer: self.pointer.join(name) }
    }

    /// The item at `index` of what is here.
    fn join_index(&self, index: usize) -> Self {
        Self { file: self.file.clone(), pointer: self.pointer.join_index(index) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.file, self.pointer.to_fragment())
    }
}

/// A folder and what was read of it.
#[derive(Debug)]
pub(super) struct Folder {
    /// Absolute and without symlinks. `None`: there are no files but those that are here.
    root: Option<PathBuf>,
    files: BTreeMap<String, File>,
}

#[derive(Debug)]
struct File {
    text: String,
    value: Arc<Value>,
}

/// A part of a document, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) place: Place,
    document: Arc<Value>,
}

impl Part {
    /// The part itself.
    pub(super) fn value(&self) -> &Value {
        self.document.pointer(self.place.pointer.as_str()).unwrap_or(&Value::Null)
    }

    /// The member of this name.
    pub(super) fn member(&self, name: &str) -> Option<Self> {
        self.value().get(name)?;
        Some(Self { place: self.place.join(name), document: Arc::clone(&self.document) })
    }

    /// Every member, if this is an object.
    pub(super) fn members(&self) -> Vec<(String, Self)> {
        let members = self.value().as_object().into_iter().flat_map(|members| members.keys());
        members.filter_map(|name| Some((name.clone(), self.member(name)?))).collect()
    }

    /// Every item, if this is an array.
    pub(super) fn items(&self) -> Vec<Self> {
        let count = self.value().as_array().map_or(0, Vec::len);
        let item =
            |at| Self { place: self.place.join_index(at), document: Arc::clone(&self.document) };
        (0..count).map(item).collect()
    }

    /// The text of the member of this name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value().get(name)?.as_str()
    }

    /// The boolean of the member of this name.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.value().get(name)?.as_bool()
    }
}

impl Folder {
    /// Opens the folder of a document and reads the document, whose name comes with it.
    pub(super) fn of(document: &Path) -> Result<(Self, String), String> {
        let unreadable = |error| format!("{}: {error}", document.display());
        let root = document.parent().filter(|parent| !parent.as_os_str().is_empty());
        let root = fs::canonicalize(root.unwrap_or(Path::new("."))).map_err(unreadable)?;
        let name = document.file_name().and_then(|name| name.to_str());
        let name =
            name.ok_or_else(|| format!("{}: is not the name of a file", document.display()))?;
        let mut folder = Self { root: Some(root), files: BTreeMap::new() };
        folder.load(name)?;
        Ok((folder, name.to_owned()))
    }

    /// A document that lies in no folder: what it refers to beside itself is not there.
    pub(super) fn of_text(name: &str, text: &str) -> Result<Self, String> {
        let file = File::read(name, text.to_owned()).map_err(|what| format!("{name}{what}"))?;
        Ok(Self { root: None, files: BTreeMap::from([(name.to_owned(), file)]) })
    }

    /// Reads a file, unless that has happened.
    pub(super) fn load(&mut self, name: &str) -> Result<&Value, String> {
        if !self.files.contains_key(name) {
            if self.files.len() == FILES {
                return Err(format!("{name}: there are more than {FILES} files"));
            }
            let file = self.read(name).map_err(|what| format!("{name}{what}"))?;
            self.files.insert(name.to_owned(), file);
        }
        Ok(&self.files[name].value)
    }

    fn read(&self, name: &str) -> Result<File, String> {
        let root = self.root.as_ref().ok_or(": is not there")?;
        let path = fs::canonicalize(root.join(name)).map_err(|error| format!(": {error}"))?;
        if !path.starts_with(root) {
            return Err(": leads out of the document's folder".to_owned());
        }
        let metadata = fs::metadata(&path).map_err(|error| format!(": {error}"))?;
        if !metadata.is_file() {
            return Err(": is not a file".to_owned());
        }
        if metadata.len() > LIMITS.size {
            return Err(format!(": has more than {} bytes", LIMITS.size));
        }
        let text = fs::read_to_string(&path).map_err(|error| format!(": {error}"))?;
        File::read(name, text)
    }

    /// What is at `place`, in a file that was read.
    pub(super) fn get(&self, place: &Place) -> Option<Part> {
        let document = &self.files.get(&place.file)?.value;
        document.pointer(place.pointer.as_str())?;
        Some(Part { place: place.clone(), document: Arc::clone(document) })
    }

    /// Where `reference`, written in `base`'s file, leads; the file is read.
    pub(super) fn resolve(&mut self, base: &Place, reference: &str) -> Result<Part, String> {
        let (path, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let file = if path.is_empty() { base.file.clone() } else { beside(&base.file, path)? };
        let pointer = Pointer::from_fragment(fragment)
            .ok_or_else(|| format!("`{reference}` is an anchor, which is not supported here"))?;
        self.load(&file)?;
        let part = self.get(&Place { file, pointer });
        part.ok_or_else(|| format!("there is nothing at `{reference}`"))
    }

    /// The lines of `places`, where they can be told.
    pub(super) fn lines(&self, places: &[Place]) -> Vec<Option<usize>> {
        let mut lines = vec![None; places.len()];
        for (name, file) in &self.files {
            let own: Vec<usize> =
                (0..places.len()).filter(|at| places[*at].file == *name).collect();
            let pointers: Vec<Pointer> = own.iter().map(|at| places[*at].pointer.clone()).collect();
            if !own.is_empty() {
                let found = yaml::lines(&file.text, &pointers);
                own.into_iter().zip(found).for_each(|(at, line)| lines[at] = line);
            }
        }
        lines
    }
}

impl File {
    fn read(name: &str, text: String) -> Result<Self, String> {
        let value = parse(name, text.strip_prefix('\u{feff}').unwrap_or(&text))?;
        Ok(Self { text, value: Arc::new(value) })
    }
}

/// Reads a text by its file's name; an error begins with the line, if there is one.
fn parse(name: &str, text: &str) -> Result<Value, String> {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    let is_yaml = extension
        .is_some_and(|own| own.eq_ignore_ascii_case("yaml") || own.eq_ignore_ascii_case("yml"));
    if is_yaml {
        let parsed = yaml::parse(text, LIMITS);
        return parsed.map_err(|yaml::YamlError { line, what }| format!(":{line}: {what}"));
    }
    let limits = guard::Limits {
        size: LIMITS.size,
        depth: LIMITS.depth,
        keys: LIMITS.nodes,
        items: LIMITS.nodes,
        number: 1000,
        string: text.len(),
    };
    guard::check(text.as_bytes(), limits).map_err(|refusal| {
        let guard::Refusal { flaw, at, pointer } = refusal;
        let before = text.as_bytes().iter().take(usize::try_from(at).unwrap_or(usize::MAX));
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        format!(":{line}: {} {flaw}", pointer.to_fragment())
    })?;
    serde_json::from_str(text).map_err(|error| format!(":{}: {error}", error.line()))
}

/// The name of the file that `path`, a reference in the file `base`, means.
pub(super) fn beside(base: &str, path: &str) -> Result<String, String> {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
    let decoded = decoded.map_err(|_| format!("`{path}` is not UTF-8"))?;
    let first = decoded.split('/').next().unwrap_or_default();
    if first.contains(':') {
        return Err(format!("`{path}` is not a file of the document's folder; nothing is fetched"));
    }
    if decoded.starts_with('/') || decoded.contains(['\\', '\0', '?']) {
        return Err(format!("`{path}` is not a relative path"));
    }
    let mut steps: Vec<&str> = base.split('/').collect();
    steps.pop();
    for step in decoded.split('/') {
        match step {
            "" | "." => {}
            ".." if steps.pop().is_none() => {
                return Err(format!("`{path}` leads out of the document's folder"));
            }
            ".." => {}
            step => steps.push(step),
        }
    }
    Ok(steps.join("/"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use expect_test::{Expect, expect};
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join("api").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn open(folder: &TempDir, name: &str) -> Result<(Folder, String), String> {
        Folder::of(&folder.path().join("api").join(name))
    }

    #[track_caller]
    fn check_beside(base: &str, path: &str, expected: Expect) {
        expected.assert_eq(&beside(base, path).unwrap_or_else(|error| format!("error: {error}")));
    }

    #[test]
    fn references_stay_beneath() {
        check_beside("a.yaml", "b.yaml", expect!["b.yaml"]);
        check_beside("x/a.yaml", "./b%20c.yaml", expect!["x/b c.yaml"]);
        check_beside("x/y/a.yaml", "../../b.yaml", expect!["b.yaml"]);
        check_beside("a.yaml", "x//y/../b.yaml", expect!["x/b.yaml"]);
        check_beside(
            "x/a.yaml",
            "../../b.yaml",
            expect!["error: `../../b.yaml` leads out of the document's folder"],
        );
        check_beside(
            "a.yaml",
            "%2e%2e/b.yaml",
            expect!["error: `%2e%2e/b.yaml` leads out of the document's folder"],
        );
        check_beside(
            "a.yaml",
            "/etc/passwd",
            expect!["error: `/etc/passwd` is not a relative path"],
        );
        check_beside(
            "a.yaml",
            "x\\b.yaml",
            expect![[r#"error: `x\b.yaml` is not a relative path"#]],
        );
        check_beside(
            "a.yaml",
            "https://h/b.yaml",
            expect![[
                r##"error: `https://h/b.yaml` is not a file of the document's folder; nothing is fetched"##
            ]],
        );
        check_beside(
            "a.yaml",
            "file:///b.yaml",
            expect![[
                r##"error: `file:///b.yaml` is not a file of the document's folder; nothing is fetched"##
            ]],
        );
    }

    #[test]
    fn files_are_read_by_their_name() {
        let files = [("a.yaml", "x: {$ref: 'sub/b.json#/y'}"), ("sub/b.json", "{\"y\": [1,\n 2]}")];
        let folder = folder(&files);
        let (mut folder, name) = open(&folder, "a.yaml").unwrap();
        let base = Place { file: name, pointer: Pointer::root() };
        let part = folder.resolve(&base, "sub/b.json#/y/1").unwrap();
        assert_eq!(
            (part.value(), part.place.to_string()),
            (&json!(2), "sub/b.json#/y/1".to_owned())
        );
        assert_eq!(folder.lines(&[part.place.clone(), base.clone()]), [Some(2), Some(1)]);
        assert_eq!(folder.resolve(&part.place, "../a.yaml").unwrap().place, base);
        assert_eq!(folder.resolve(&base, "#/x").unwrap().place, base.join("x"));
    }

    #[track_caller]
    fn refused(files: &[(&str, &str)], expected: Expect) {
        let folder = folder(files);
        expected.assert_eq(&open(&folder, files[0].0).unwrap_err());
    }

    #[test]
    fn what_is_no_document() {
        refused(
            &[("a.json", "{\"a\":1,\n\"a\":2}")],
            expect!["a.json:2: #/a occurs twice in its object"],
        );
        refused(&[("a.json", "{\n]")], expect!["a.json:2: # is not JSON: expected a key or `}`"]);
        refused(&[("a.yml", "a: 1\na: 2")], expect!["a.yml:2: the key `a` occurs twice"]);
        refused(&[("a.json", "")], expect!["a.json:1: # is not JSON: there is nothing in it"]);
    }

    #[track_caller]
    fn unresolved(reference: &str, expected: Expect) {
        let folder = folder(&[("a.yaml", "x: 1"), ("sub/b.yaml", "y: 1"), ("bad.yaml", "[")]);
        fs::write(folder.path().join("secret.yaml"), "s: 1").unwrap();
        symlink(folder.path().join("secret.yaml"), folder.path().join("api/out.yaml")).unwrap();
        symlink("sub/b.yaml", folder.path().join("api/in.yaml")).unwrap();
        let (mut folder, file) = open(&folder, "a.yaml").unwrap();
        let base = Place { file, pointer: Pointer::root() };
        let found = folder.resolve(&base, reference);
        expected.assert_eq(&found.map_or_else(|error| error, |part| part.place.to_string()));
    }

    #[test]
    fn what_leads_nowhere() {
        unresolved("in.yaml#/y", expect!["in.yaml#/y"]);
        unresolved("out.yaml", expect!["out.yaml: leads out of the document's folder"]);
        unresolved(
            "../secret.yaml",
            expect!["`../secret.yaml` leads out of the document's folder"],
        );
        unresolved("none.yaml", expect!["none.yaml: No such file or directory (os error 2)"]);
        unresolved(
            "bad.yaml",
            expect![[
                r##"bad.yaml:2: is not YAML: while parsing a node, did not find expected node content"##
            ]],
        );
        unresolved("sub", expect!["sub: is not a file"]);
        unresolved("#/y", expect!["there is nothing at `#/y`"]);
        unresolved("#anchor", expect!["`#anchor` is an anchor, which is not supported here"]);
    }
}
