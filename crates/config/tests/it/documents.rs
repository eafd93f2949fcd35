//! Every KDL block in the documentation does what its page says.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use selvedge_config::{Code, Entry, Environment, parse_str};

/// A world where all that a page mentions is there, but for what it calls `nowhere` or `UNSET`.
struct Pages;

impl Environment for Pages {
    fn var(&self, name: &str) -> Option<String> {
        let value = match name {
            _ if name.ends_with("_ADDRESS") => "127.0.0.1:9000",
            _ if name.ends_with("_TOKEN") => "0123456789abcdef0123456789abcdef",
            _ if name.ends_with("_URL") => "redis://127.0.0.1:6379",
            _ => "value",
        };
        (!name.contains("UNSET")).then(|| value.to_owned())
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        match self.entry(path) {
            Some(_) if path.extension().is_some_and(|extension| extension == "kdl") => {
                Ok(String::new())
            }
            // As long as every algorithm asks for.
            Some(_) if path.extension().is_some_and(|extension| extension == "secret") => {
                Ok("value".repeat(13) + "\n")
            }
            Some(_) => Ok("value\n".to_owned()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        if path.to_string_lossy().contains("nowhere") {
            return None;
        }
        Some(if path.extension().is_some() { Entry::File } else { Entry::Folder })
    }

    fn current_dir(&self) -> PathBuf {
        PathBuf::from("/etc/selvedge")
    }

    fn cores(&self) -> usize {
        2
    }
}

struct Block {
    page: String,
    line: usize,
    must_fail: bool,
    text: String,
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
}

fn blocks(page: &Path) -> Vec<Block> {
    let name = page.strip_prefix(docs()).unwrap().display().to_string();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in fs::read_to_string(page).unwrap().lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some("kdl" | "kdl must-fail")) => {
                let must_fail = line.ends_with("must-fail");
                open = Some(Block {
                    page: name.clone(),
                    line: index + 1,
                    must_fail,
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, _) => {
                assert!(
                    !line.starts_with("```kdl"),
                    "{name}: {line} is neither kdl nor kdl must-fail"
                );
            }
        }
    }
    blocks
}

#[test]
fn every_block_is_read_or_refused_as_its_page_says() {
    let mut found = Vec::new();
    pages(&docs(), &mut found);
    let blocks: Vec<Block> = found.iter().flat_map(|page| blocks(page)).collect();
    assert!(blocks.len() > 50, "only {} blocks found", blocks.len());
    for Block { page, line, must_fail, text } in blocks {
        match (parse_str("selvedge.kdl", &text, &Pages), must_fail) {
            (Err(report), false) => panic!("docs/{page}:{line} is refused:\n{report}"),
            (Ok(_), true) => panic!("docs/{page}:{line} is read although it must fail"),
            (Ok(_), false) | (Err(_), true) => {}
        }
    }
}

#[test]
fn the_example_of_each_code_gets_this_code_alone() {
    for code in Code::ALL {
        for block in blocks(&docs().join(format!("errors/{code}.md"))) {
            let parsed = parse_str("selvedge.kdl", &block.text, &Pages);
            let found = match (&parsed, block.must_fail) {
                (Err(report), true) => report.diagnostics(),
                (Ok(loaded), false) => &loaded.warnings,
                _ => panic!("{code}: {parsed:?}"),
            };
            let severity = if block.must_fail { 'E' } else { 'W' };
            let of_kind = found.iter().filter(|one| one.code.as_str().starts_with(severity));
            let codes: Vec<Code> = of_kind.map(|one| one.code).collect();
            assert!(codes.contains(code), "{code}: {found:?}");
            assert!(!block.must_fail || codes == [*code], "{code}: {found:?}");
        }
    }
}

#[test]
fn the_example_config_is_read_without_a_warning() {
    let text = fs::read_to_string(docs().join("reference/selvedge.kdl")).unwrap();
    let loaded = parse_str("selvedge.kdl", &text, &Pages).unwrap();
    assert_eq!(loaded.warnings, []);
}
