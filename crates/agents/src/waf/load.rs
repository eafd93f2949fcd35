//! Rules from the disk.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use selvedge_config::waf::Settings;
use selvedge_waf::{
    native,
    rule::{Item, RuleSet},
    seclang::{self, Files},
};

use super::Fault;

/// Bytes of one file.
const FILE_MAX: u64 = 16 << 20;
/// Files that one pattern stands for.
const NAMES_MAX: usize = 10_000;
/// Notes on one load; further ones are counted.
const NOTES_MAX: usize = 50;

/// Rules, and what the operator should know of them.
pub(super) struct Loaded {
    pub(super) rules: RuleSet,
    pub(super) notes: Vec<String>,
}

/// Reads all rules that settings name. The error tells every fault.
pub(super) fn read(settings: &Settings) -> Result<Loaded, Vec<Fault>> {
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    let mut rules = RuleSet::default();
    if settings.native {
        rules.items.extend(native::bundled().items);
    }
    for file in &settings.rules {
        match read_native(file) {
            Ok(own) => rules.items.extend(own.items),
            Err(more) => faults.extend(more),
        }
    }
    match read_seclang(&settings.seclang, &mut notes) {
        Ok(own) => {
            rules.items.extend(own.items);
            rules.settings = own.settings;
        }
        Err(more) => faults.extend(more),
    }
    faults.extend(repeated(&rules));
    if faults.is_empty() { Ok(Loaded { rules, notes }) } else { Err(faults) }
}

fn read_native(file: &Path) -> Result<RuleSet, Vec<Fault>> {
    let fault = |message: String| Fault { file: Some(file.to_owned()), message };
    let bytes = bytes(file)
        .map_err(|error| vec![fault(format!("{} cannot be read: {error}", file.display()))])?;
    let text = String::from_utf8(bytes)
        .map_err(|_| vec![fault(format!("{} is not UTF-8", file.display()))])?;
    match native::parse(&file.to_string_lossy(), &text) {
        Ok((rules, _)) => Ok(rules),
        Err(errors) => Err(errors.iter().map(|error| fault(error.to_string())).collect()),
    }
}

fn read_seclang(entries: &[PathBuf], notes: &mut Vec<String>) -> Result<RuleSet, Vec<Fault>> {
    if entries.is_empty() {
        return Ok(RuleSet::default());
    }
    let mut faults = Vec::new();
    for entry in entries {
        let pattern = entry.to_string_lossy();
        if Disk.list(&pattern).is_ok_and(|names| names.is_empty()) {
            let message =
                format!("no file fits {pattern}; write a pattern of names that are there");
            faults.push(Fault { file: Some(entry.clone()), message });
        }
    }
    let names: Vec<_> = entries.iter().map(|entry| entry.to_string_lossy()).collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    match seclang::load(&mut Disk, &names) {
        Ok(loaded) if faults.is_empty() => {
            notes.extend(told(&loaded.report));
            Ok(loaded.rules)
        }
        Ok(_) => Err(faults),
        Err(errors) => {
            faults.extend(errors.into_iter().map(|error| Fault {
                file: Some(PathBuf::from(&*error.place.file)),
                message: format!("{}: {}; {}", error.place, error.message, error.remedy),
            }));
            Err(faults)
        }
    }
}

/// What of files has no effect here, by its kind.
fn told(report: &seclang::Report) -> Vec<String> {
    let constructs = report.by_construct();
    let line = |(kind, construct, times): &(seclang::NoteKind, &str, usize)| {
        format!("{kind}: {construct} ({times} times); `selvedge waf check` says where")
    };
    let mut lines: Vec<String> = constructs.iter().take(NOTES_MAX).map(line).collect();
    if constructs.len() > NOTES_MAX {
        lines.push(format!("and {} more such constructs", constructs.len() - NOTES_MAX));
    }
    lines
}

/// A number stands for one rule.
fn repeated(rules: &RuleSet) -> Option<Fault> {
    let mut seen = BTreeSet::new();
    let again = rules.items.iter().find_map(|item| match item {
        Item::Rule(rule) if rule.id != 0 && !seen.insert(rule.id) => Some(rule),
        _ => None,
    })?;
    let message = format!(
        "{}: the number {} is another rule's already; give this one a number of its own",
        again.place, again.id
    );
    Some(Fault { file: Some(PathBuf::from(&*again.place.file)), message })
}

/// The files of this machine.
struct Disk;

impl Files for Disk {
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        bytes(Path::new(name))
    }

    fn list(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        let mut found = vec![String::new()];
        for segment in pattern.split('/') {
            let is_pattern = segment.contains(['*', '?', '[']);
            found = match is_pattern {
                true => within(&found, segment)?,
                false => found.iter().map(|folder| format!("{folder}{segment}/")).collect(),
            };
        }
        let mut names: Vec<String> =
            found.into_iter().map(|name| name.trim_end_matches('/').to_owned()).collect();
        names.retain(|name| Path::new(name).is_file());
        names.sort();
        Ok(names)
    }
}

/// The names in these folders that fit, each with a slash behind it.
fn within(folders: &[String], segment: &str) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in folders {
        let here = if folder.is_empty() { "." } else { folder };
        let entries = match fs::read_dir(here) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name();
            let Some(name) = name.to_str().filter(|name| seclang::glob(segment, name)) else {
                continue;
            };
            if found.len() == NAMES_MAX {
                return Err(io::Error::other(format!("more than {NAMES_MAX} files fit")));
            }
            found.push(format!("{folder}{name}/"));
        }
    }
    Ok(found)
}

fn bytes(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_MAX} bytes")));
    }
    Ok(bytes)
}
