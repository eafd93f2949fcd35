//! Rule files as they lie on the disk, in either language.

use std::{
    collections::HashMap,
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
};

use selvedge_waf::{
    engine::{Problem, Rules},
    native::{self, Case},
    rule::{Item, Rule, RuleSet},
    seclang::{self, Files, Report, glob},
};

use crate::{
    exit::{Exit, Failure},
    findings::counted,
    terminal::complain,
};

/// What stands for the rules that come with Selvedge.
const BUNDLED: &str = "native";
/// The most files that a pattern or a folder stands for.
const LISTED_MAX: usize = 10_000;
/// The largest native rule file.
const NATIVE_BYTES_MAX: u64 = 16 << 20;

/// All that was named, read.
#[derive(Default)]
pub(super) struct Ruleset {
    /// Rules in KDL, and what they must find and must not.
    pub(super) native: RuleSet,
    pub(super) cases: Vec<Case>,
    /// How many files they come from; 0: from none, or compiled in.
    pub(super) native_files: usize,
    /// Rules in ModSecurity's language, and what of their files is not in them.
    pub(super) seclang: RuleSet,
    pub(super) report: Report,
}

impl Ruleset {
    /// Both together, those in KDL first.
    pub(super) fn all(&self) -> RuleSet {
        let items = self.native.items.iter().chain(&self.seclang.items).cloned().collect();
        RuleSet { items, settings: self.seclang.settings.clone() }
    }

    /// Compiles them. Of a rule that cannot be, standard error tells that it never matches.
    pub(super) fn compile(&self) -> Rules {
        let rules = Rules::compile(&self.all());
        problems(&rules).for_each(|problem| complain(&format!("warning: {problem}\n")));
        rules
    }
}

/// What could not be compiled, and where.
pub(super) fn problems(rules: &Rules) -> impl Iterator<Item = String> {
    let told = |problem: &Problem| {
        let Problem { id, place, message } = problem;
        format!("{place}: rule {id} never matches: {message}")
    };
    rules.problems().iter().map(told)
}

/// The rules of a set, without its markers.
pub(super) fn rules(set: &RuleSet) -> impl Iterator<Item = &Rule> {
    set.items.iter().filter_map(|item| match item {
        Item::Rule(rule) => Some(&**rule),
        Item::Marker(_) => None,
    })
}

/// Reads what the command line names; nothing means the rules that come with Selvedge.
pub(super) fn read(named: &[PathBuf]) -> Result<Ruleset, Failure> {
    let mut sources = Sources::default();
    let bundled = [PathBuf::from(BUNDLED)];
    let named = if named.is_empty() { &bundled } else { named };
    let errors: Vec<String> = named.iter().filter_map(|path| sources.add(path).err()).collect();
    if let Some(failure) = failure(&errors) {
        return Err(failure);
    }
    let mut errors = Vec::new();
    let mut set = sources.native(&mut errors);
    sources.seclang(&mut set, &mut errors);
    errors.extend(repeated(&set));
    failure(&errors).map_or(Ok(set), Err)
}

/// All mistakes, one a line; `None`: there is none.
fn failure(errors: &[impl Display]) -> Option<Failure> {
    let mut text: String = errors.iter().map(|error| format!("error: {error}\n")).collect();
    if errors.len() > 1 {
        text.push_str(&format!("{}\n", counted(errors.len(), "error")));
    }
    (!errors.is_empty()).then_some(Failure { exit: Exit::Config, text })
}

/// Where rules come from.
#[derive(Default)]
struct Sources {
    bundled: bool,
    native: Vec<PathBuf>,
    /// As the loader takes them.
    seclang: Vec<String>,
}

impl Sources {
    fn add(&mut self, path: &Path) -> Result<(), String> {
        let Some(name) = path.to_str() else {
            return Err(format!("{}: the name is not UTF-8", path.display()));
        };
        if name == BUNDLED {
            self.bundled = true;
            return Ok(());
        }
        if name.contains(['*', '?', '[']) && !path.exists() {
            return self.add_all(name, &Disk.list(name).map_err(told(name))?);
        }
        match fs::metadata(path).map_err(told(name))?.is_dir() {
            true => self.add_folder(name),
            false => self.add_file(name),
        }
    }

    fn add_file(&mut self, name: &str) -> Result<(), String> {
        match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("kdl") => self.native.push(name.into()),
            Some("conf" | "load" | "example") => self.seclang.push(name.to_owned()),
            _ => {
                return Err(format!(
                    "{name}: rules are in .kdl files (native) or .conf files (SecLang)"
                ));
            }
        }
        Ok(())
    }

    /// A folder as the Core Rule Set is laid out, or one of rule files.
    fn add_folder(&mut self, name: &str) -> Result<(), String> {
        let folder = name.trim_end_matches('/');
        let setups = ["crs-setup.conf", "crs-setup.conf.example"];
        let setup = setups
            .iter()
            .map(|file| format!("{folder}/{file}"))
            .find(|file| Path::new(file).is_file());
        let Some(setup) = setup else {
            let mut files = Vec::new();
            for pattern in ["*.conf", "*.kdl"] {
                files.extend(Disk.list(&format!("{folder}/{pattern}")).map_err(told(name))?);
            }
            return self.add_all(name, &files);
        };
        self.seclang.push(setup);
        let before = ["plugins/*-config.conf", "plugins/*-before.conf"];
        for pattern in before.into_iter().chain(["rules/*.conf", "plugins/*-after.conf"]) {
            let files = Disk.list(&format!("{folder}/{pattern}")).map_err(told(name))?;
            if files.is_empty() && pattern == "rules/*.conf" {
                return Err(format!("{folder}/{pattern}: there is no such file"));
            }
            self.seclang.extend(files);
        }
        Ok(())
    }

    fn add_all(&mut self, name: &str, files: &[String]) -> Result<(), String> {
        if files.is_empty() {
            return Err(format!("{name}: no .kdl or .conf file is there"));
        }
        files.iter().try_for_each(|file| self.add_file(file))
    }

    fn native(&self, errors: &mut Vec<String>) -> Ruleset {
        let mut set = Ruleset::default();
        if self.bundled {
            (set.native, set.cases) = (native::bundled(), native::cases());
        }
        for path in &self.native {
            match read_native(path) {
                Ok((rules, cases)) => {
                    set.native.items.extend(rules.items);
                    set.cases.extend(cases);
                    set.native_files += 1;
                }
                Err(more) => errors.extend(more),
            }
        }
        set
    }

    fn seclang(&self, set: &mut Ruleset, errors: &mut Vec<String>) {
        if self.seclang.is_empty() {
            return;
        }
        let names: Vec<&str> = self.seclang.iter().map(String::as_str).collect();
        match seclang::load(&mut Disk, &names) {
            Ok(loaded) => (set.seclang, set.report) = (loaded.rules, loaded.report),
            Err(more) => errors.extend(more.iter().map(|error| error.to_string())),
        }
    }
}

fn told(name: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("{name} cannot be read: {error}")
}

fn read_native(path: &Path) -> Result<(RuleSet, Vec<Case>), Vec<String>> {
    let name = path.to_string_lossy();
    let size = fs::metadata(path).map_err(|error| vec![told(&name)(error)])?.len();
    if size > NATIVE_BYTES_MAX {
        return Err(vec![format!("{name}: {size} bytes; {NATIVE_BYTES_MAX} are allowed")]);
    }
    let text = fs::read_to_string(path).map_err(|error| vec![told(&name)(error)])?;
    let complain =
        |errors: Vec<native::NativeError>| errors.iter().map(|error| error.to_string()).collect();
    native::parse(&name, &text).map_err(complain)
}

/// Numbers that two rules of different files have; within a file, its own reader complains.
fn repeated(set: &Ruleset) -> Vec<String> {
    let mut seen = HashMap::new();
    let mut complaints = Vec::new();
    for rule in rules(&set.native).chain(rules(&set.seclang)).filter(|rule| rule.id != 0) {
        if let Some(first) = seen.insert(rule.id, &rule.place) {
            complaints.push(format!("{}: rule {} is at {first} already", rule.place, rule.id));
        }
    }
    complaints
}

/// Files by their paths.
struct Disk;

impl Disk {
    /// Makes each of `found` longer by what fits one part of a pattern.
    fn deeper(found: Vec<String>, part: &str) -> io::Result<Vec<String>> {
        if !part.contains(['*', '?', '[']) {
            return Ok(found.into_iter().map(|path| path + part).collect());
        }
        let mut longer = Vec::new();
        for path in found {
            let folder = if path.is_empty() { "." } else { &path };
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries {
                let name = entry?.file_name();
                let Some(name) = name.to_str().filter(|name| glob(part, name)) else { continue };
                longer.push(format!("{path}{name}"));
                if longer.len() > LISTED_MAX {
                    return Err(io::Error::other(format!("more than {LISTED_MAX} files fit")));
                }
            }
        }
        longer.sort_unstable();
        Ok(longer)
    }
}

impl Files for Disk {
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(name)
    }

    fn list(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        let mut found = vec![String::new()];
        for (at, part) in pattern.split('/').enumerate() {
            if at > 0 {
                found.iter_mut().for_each(|path| path.push('/'));
            }
            found = Self::deeper(found, part)?;
        }
        found.retain(|path| Path::new(path).is_file());
        Ok(found)
    }
}
