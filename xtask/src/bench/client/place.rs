//! Where everything lies: the program, the app that it serves, the scenes (`bench/client`), and the Node.js that plays them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    super::{build_selvedge, node, packaged},
    Settings,
};
use crate::{Result, client, notes, npm::Package, process, setup, workspace};

/// What npm installs, and the scenes that need it.
const SCENES: Package = Package { place: "bench/client", home: "npm-bench-client", siblings: &[] };

/// What the benchmark needs, for a machine that will be used offline.
pub fn setup() -> Result {
    setup::packages(&[setup::CHROMIUM])?;
    SCENES.install()
}

/// Builds and folders.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    program: PathBuf,
    site: PathBuf,
    node: PathBuf,
}

impl Place {
    /// Builds the program as it is packaged, for a smoke test as developers have it; and the app.
    pub fn prepare(settings: &Settings) -> Result<Self> {
        setup()?;
        let folder = workspace::target().join("bench-client");
        if folder.is_dir() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let site = notes::build()?;
        let program = if settings.smoke {
            client::selvedge()?
        } else {
            build_selvedge()?;
            packaged("selvedge")
        };
        let node = node::find(&workspace::target().join(SCENES.home).join("node_modules"))?;
        Ok(Self { folder, program, site, node })
    }

    /// The Node.js that plays scenes.
    pub fn node(&self) -> &Path {
        &self.node
    }

    /// The version of a package that npm installed.
    pub fn version(&self, package: &str) -> Option<String> {
        let manifest = format!("node_modules/{package}/package.json");
        let manifest = fs::read(workspace::target().join(SCENES.home).join(manifest)).ok()?;
        let manifest: Value = serde_json::from_slice(&manifest).ok()?;
        Some(manifest["version"].as_str()?.to_owned())
    }

    /// Has a scene played, and returns what was found.
    pub fn play(&self, scene: &str, mut order: Value) -> Result<Value> {
        order["program"] = json!(self.program);
        order["site"] = json!(self.site);
        order["folder"] = json!(self.folder);
        let mut node = process::command(&self.node);
        node.arg(SCENES.folder().join("main.mjs")).args([scene, &order.to_string()]);
        Ok(serde_json::from_str(&process::capture(&mut node)?)?)
    }

    /// Throws profiles and what the relay kept away.
    pub fn clear(&self) -> Result {
        Ok(fs::remove_dir_all(&self.folder)?)
    }
}
