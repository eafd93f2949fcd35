//! ModSecurity's language: text in, rules and a report out.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use selvedge_waf::seclang::{Files, glob};

mod core_rule_set;

/// Files below a folder, by their names relative to it; a name with a slash in front stands for itself.
pub struct Disk(pub PathBuf);

impl Files for Disk {
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }

    fn list(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        let folder = Path::new(pattern).parent().unwrap_or(Path::new(""));
        let mut names = Vec::new();
        for entry in fs::read_dir(self.0.join(folder))? {
            let name = folder.join(entry?.file_name()).to_string_lossy().into_owned();
            names.extend(glob(pattern, &name).then_some(name));
        }
        names.sort();
        Ok(names)
    }
}

/// Where third-party test data is.
#[expect(clippy::print_stdout, reason = "a test that checks nothing says so")]
pub fn vectors(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = env::var_os("SELVEDGE_VECTORS").map_or("../shared/data".into(), PathBuf::from);
    let found = root.join(data).join(name);
    if !found.exists() {
        println!("skipped: {} is missing", found.display());
        return None;
    }
    Some(found)
}
