//! Packages of JavaScript in this repository, and what they need from npm.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, process, setup, workspace};

/// A folder with a lockfile. What that names lies in the build directory.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Where it is in the repository.
    pub place: &'static str,
    /// What its folder in the build directory is called.
    pub home: &'static str,
    /// Packages of this repository that it imports: their names, and where they are.
    pub siblings: &'static [(&'static str, &'static str)],
}

impl Package {
    /// Makes sure that what the lockfile names is there, where the package looks for it.
    pub fn install(&self) -> Result {
        setup::packages(&[setup::NODE, setup::NPM])?;
        let home = workspace::target().join(self.home);
        let lock = fs::read_to_string(self.folder().join("package-lock.json"))?;
        let marker = home.join("installed.json");
        if fs::read_to_string(&marker).is_ok_and(|installed| installed == lock) {
            return self.link(&home);
        }
        println!("setup: installing what {} needs from npm", self.place);
        fs::create_dir_all(&home)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(self.folder().join(file), home.join(file))?;
        }
        let mut npm = process::command("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        process::run(npm.current_dir(&home))?;
        fs::write(marker, lock)?;
        self.link(&home)
    }

    /// The folder in the repository.
    pub fn folder(&self) -> PathBuf {
        workspace::root().join(self.place)
    }

    /// A program that npm brought, to be run in the package's folder.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = process::command(self.folder().join("node_modules/.bin").join(name));
        command.current_dir(self.folder());
        command
    }

    /// Runs the package's tests, at most two files at a time: each has a browser.
    pub fn run_tests(&self, environment: &[(&str, PathBuf)]) -> Result {
        let mut node = process::command("node");
        node.args(["--test", "--test-concurrency=2", "--test-reporter=spec"]);
        node.args(self.test_files()?).current_dir(self.folder());
        node.envs(environment.iter().map(|(name, value)| (*name, value)));
        process::run(&mut node)
    }

    /// Whether these sources are laid out as the formatter would; not asked where npm has nothing to give.
    pub fn tidy(&self, sources: &[&str]) -> Result {
        if let Err(error) = self.install() {
            println!("tidy: skipped: the format of {} ({error})", self.place);
            return Ok(());
        }
        process::run(self.tool("prettier").args(["--check", "--log-level=warn"]).args(sources))
    }

    fn test_files(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.folder().join("test"))?;
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        let is_test = |path: &PathBuf| path.to_string_lossy().ends_with(".test.js");
        let mut files: Vec<PathBuf> = paths.into_iter().filter(is_test).collect();
        files.sort();
        Ok(files)
    }

    /// Node looks for packages in folders above a module; one that a person has installed there stays. Beside what npm
    /// brings are packages of this repository.
    fn link(&self, home: &Path) -> Result {
        let modules = home.join("node_modules");
        for (name, place) in self.siblings {
            let sibling = modules.join(name);
            fs::create_dir_all(sibling.parent().unwrap_or(&modules))?;
            link_to(&sibling, &workspace::root().join(place))?;
        }
        link_to(&self.folder().join("node_modules"), &modules)
    }
}

fn link_to(place: &Path, target: &Path) -> Result {
    match fs::read_link(place) {
        Ok(present) if present == target => return Ok(()),
        Ok(_) => fs::remove_file(place)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return Ok(()),
    }
    Ok(symlink(target, place)?)
}
