//! Every page is reachable from the README, and every link leads somewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use super::Finding;
use crate::{Result, workspace};

/// Documents that must exist.
const HOUSE: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "LICENSE"];

/// Returns pages that nobody reaches and links that lead nowhere.
pub fn findings() -> Result<Vec<Finding>> {
    let files: BTreeSet<PathBuf> = workspace::files()?.into_iter().collect();
    let mut pages = BTreeMap::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        pages.insert(path.clone(), fs::read_to_string(workspace::root().join(path))?);
    }
    Ok(judge(&pages, &files))
}

fn judge(pages: &BTreeMap<PathBuf, String>, files: &BTreeSet<PathBuf>) -> Vec<Finding> {
    let mut found: Vec<Finding> = HOUSE
        .iter()
        .filter(|name| !files.contains(Path::new(name)))
        .map(|name| Finding::new(*name, "is missing"))
        .collect();
    for (path, text) in pages {
        found.extend(targets(path, text).filter(|target| !exists(target, files)).map(|target| {
            Finding::new(name(path), format!("links to {}, which is not there", name(&target)))
        }));
    }
    let reached = reach(pages);
    found.extend(
        pages
            .keys()
            .filter(|path| path.starts_with("docs") && !reached.contains(*path))
            .map(|path| Finding::new(name(path), "no link leads here from README.md")),
    );
    found
}

fn reach(pages: &BTreeMap<PathBuf, String>) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open = vec![PathBuf::from("README.md")];
    while let Some(path) = open.pop() {
        if let Some(text) = pages.get(&path)
            && reached.insert(path.clone())
        {
            open.extend(targets(&path, text));
        }
    }
    reached
}

/// The places in the repository that a page links to, relative to the root.
fn targets(page: &Path, text: &str) -> impl Iterator<Item = PathBuf> {
    let folder = page.parent().unwrap_or(Path::new("")).to_owned();
    let text = without_code(text);
    let targets: Vec<_> =
        text.split("](").skip(1).filter_map(|rest| target(&folder, rest)).collect();
    targets.into_iter()
}

fn target(folder: &Path, rest: &str) -> Option<PathBuf> {
    let target = rest.split([')', '#', ' ']).next()?;
    let outside = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
    (!outside).then(|| flatten(&folder.join(target)))
}

/// A text without its code, which may look like links: what stands between two runs of equally many backticks (CommonMark 0.31,
/// section 6.1); fences are such runs too.
fn without_code(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('`') {
        left.push_str(&rest[..start]);
        let run = rest[start..].bytes().take_while(|&byte| byte == b'`').count();
        rest = &rest[start + run..];
        rest = closing(rest, run).map_or(rest, |end| &rest[end..]);
    }
    left + rest
}

/// Where the next run of exactly so many backticks ends.
fn closing(text: &str, run: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(start) = text[at..].find('`') {
        let len = text[at + start..].bytes().take_while(|&byte| byte == b'`').count();
        at += start + len;
        if len == run {
            return Some(at);
        }
    }
    None
}

fn flatten(path: &Path) -> PathBuf {
    let mut flat = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(flat.pop()),
            Component::CurDir => {}
            part => flat.push(part),
        }
    }
    flat
}

fn exists(target: &Path, files: &BTreeSet<PathBuf>) -> bool {
    files.contains(target) || files.iter().any(|file| file.starts_with(target))
}

fn name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pages: &[(&str, &str)], expected: &[&str]) {
        let house = HOUSE.iter().map(|name| (*name, ""));
        let pages: BTreeMap<PathBuf, String> =
            house.chain(pages.iter().copied()).map(|(p, t)| (p.into(), t.to_owned())).collect();
        let files = pages.keys().cloned().chain(["bench/results.json".into()]).collect();
        let found: Vec<String> = judge(&pages, &files).iter().map(Finding::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn pages_are_reached() {
        check(
            &[("README.md", "[a](docs/a.md)"), ("docs/a.md", "[b](b.md#top)"), ("docs/b.md", "")],
            &[],
        );
        check(&[("docs/a.md", "")], &["docs/a.md: no link leads here from README.md"]);
    }

    #[test]
    fn code_is_no_link() {
        check(&[("README.md", "`a[0](b)` and `` c[`0`](d) `` and\n```kdl\n[e](f)\n```\n")], &[]);
        check(
            &[("README.md", "```sh\n```\n[`a`](docs/gone.md)")],
            &["README.md: links to docs/gone.md, which is not there"],
        );
    }

    #[test]
    fn links_lead_somewhere() {
        check(
            &[("README.md", "[r](bench/results.json) [f](bench/) [w](https://example.com)")],
            &[],
        );
        check(
            &[("README.md", "[r](docs/gone.md)")],
            &["README.md: links to docs/gone.md, which is not there"],
        );
        check(&[("README.md", "[d](docs/a.md)"), ("docs/a.md", "[up](../ARCHITECTURE.md)")], &[]);
    }

    #[test]
    fn the_house_has_its_documents() {
        let found = judge(&BTreeMap::new(), &BTreeSet::new());
        assert_eq!(found.len(), HOUSE.len());
    }
}
