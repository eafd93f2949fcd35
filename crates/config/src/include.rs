//! `include "other.kdl"`: the nodes of other files stand where the include stands.

use std::{io, path::PathBuf};

use crate::{
    Code,
    cursor::Cursor,
    environment::FILE_BYTES_MAX,
    reading::{Problem, Reading, normalized},
    source::{FileId, Source, Span, Spanned},
    syntax::{self, TopNode},
    value::Value,
};

/// How deep includes may nest.
const DEPTH_MAX: usize = 8;
/// How many files one config may have.
const FILES_MAX: usize = 1_000;

/// All top-level nodes of `main` and what it includes, in order.
pub(crate) fn gather(reading: &Reading<'_>, main: FileId) -> Vec<TopNode> {
    let mut nodes = Vec::new();
    let path = normalized(&reading.path(main));
    Gathering { reading, nodes: &mut nodes, stack: vec![path] }.file(main);
    nodes
}

struct Gathering<'g, 'r> {
    reading: &'r Reading<'r>,
    nodes: &'g mut Vec<TopNode>,
    /// The files that are being read, outermost first.
    stack: Vec<PathBuf>,
}

/// An include as written: the name to show and the file to read.
struct Included {
    name: String,
    path: PathBuf,
}

impl Gathering<'_, '_> {
    fn file(&mut self, file: FileId) {
        for top in syntax::parse(self.reading, file) {
            if top.node.name().value() != "include" {
                self.nodes.push(top);
                continue;
            }
            let read = |cursor: &mut Cursor<'_>| {
                cursor.argument("a file").and_then(|value| self.read_name(value, file))
            };
            if let Some(included) = Cursor::read_node(self.reading, &top, read) {
                self.include(included);
            }
        }
    }

    fn read_name(&self, value: Value<'_>, file: FileId) -> Option<Spanned<Included>> {
        value.literal(|text| {
            let folder = self.reading.name(file);
            let folder = folder.rsplit_once('/').map(|(folder, _)| folder);
            let name = match folder {
                Some(folder) if !text.starts_with('/') => format!("{folder}/{text}"),
                _ => text.to_owned(),
            };
            Ok(Included { name, path: self.reading.resolve(file, text) })
        })
    }

    fn include(&mut self, included: Spanned<Included>) {
        let Spanned { value: Included { name, path }, span } = included;
        let normal = normalized(&path);
        if let Err(problem) = self.check(&normal) {
            return self.reading.error(span, problem);
        }
        match self.reading.env.read(&path) {
            Ok(text) if text.len() as u64 <= FILE_BYTES_MAX => {
                let file = self.reading.add_source(Source::new(&name, path, &text));
                self.stack.push(normal);
                self.file(file);
                self.stack.pop();
            }
            Ok(_) => self.refuse_unreadable(span, &name, &io::ErrorKind::FileTooLarge.into()),
            Err(error) => self.refuse_unreadable(span, &name, &error),
        }
    }

    fn check(&self, path: &PathBuf) -> Result<(), Problem> {
        if self.stack.contains(path) {
            return Err(Problem::new(Code::Include, "this file is being read already: a circle")
                .help("remove one of the includes that lead back here"));
        }
        if self.stack.len() > DEPTH_MAX {
            let message = format!("includes nest deeper than {DEPTH_MAX}");
            return Err(Problem::new(Code::Include, message).help("include it from further up"));
        }
        let read = self.reading.files();
        if read.len() >= FILES_MAX {
            let message = format!("a config has at most {FILES_MAX} files");
            return Err(Problem::new(Code::Include, message).help("merge some of them"));
        }
        if read.iter().any(|read| normalized(read) == *path) {
            return Err(Problem::new(Code::Include, "this file is included already")
                .help("remove one of the two includes"));
        }
        Ok(())
    }

    fn refuse_unreadable(&self, span: Span, name: &str, error: &io::Error) {
        let problem = Problem::new(Code::Unreadable, format!("{name} cannot be read: {error}"));
        self.reading.error(span, problem.help("names start at the folder of the including file"));
    }
}
