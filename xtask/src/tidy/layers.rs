//! Which crate may know which: arrows point to lower layers only.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Finding;
use crate::{Result, process};

/// The layer of each crate under `crates/`; ARCHITECTURE.md says what each is for.
const LAYERS: &[(&str, u8)] = &[
    ("selvedge-agent", 0),
    ("selvedge-base", 0),
    ("selvedge-crdt", 0),
    ("selvedge-config", 1),
    ("selvedge-crdt-text", 1),
    ("selvedge-crdt-wasm", 1),
    ("selvedge-eventlog", 1),
    ("selvedge-http1", 1),
    ("selvedge-seal", 1),
    ("selvedge-telemetry", 1),
    ("selvedge-waf", 1),
    ("selvedge-audit", 2),
    ("selvedge-client-wasm", 2),
    ("selvedge-eventlog-nats", 2),
    ("selvedge-routing", 2),
    ("selvedge-backup", 3),
    ("selvedge-identity", 3),
    ("selvedge-replica", 3),
    ("selvedge-webpush", 3),
    ("selvedge-edge", 4),
    ("selvedge-agents", 4),
    ("selvedge-jobs", 4),
    ("selvedge-streams", 4),
    ("selvedge-sync", 4),
    ("selvedge", 5),
];

/// Packages beside the product: they may see every layer, and only tests may see them.
const TOOLS: &[&str] = &[
    "deny-agent",
    "selvedge-bench",
    "selvedge-bench-waf",
    "selvedge-bindgen",
    "selvedge-fuzz",
    "xtask",
];

/// What a crate promises not to know, directly or through others.
const ABSENT: &[(&str, &[&str])] = &[
    ("selvedge-agent", &["hyper", "http", "rustls", "kdl", "selvedge-base"]),
    ("selvedge-audit", &["hyper", "http", "rustls", "kdl", "socket2"]),
    ("selvedge-backup", &["reqwest", "kdl", "axum"]),
    ("selvedge-base", &["tokio", "hyper", "rustls"]),
    ("selvedge-client-wasm", &["yrs", "tokio", "getrandom"]),
    ("selvedge-config", &["tokio", "hyper", "rustls", "http"]),
    ("selvedge-crdt", &["tokio", "serde", "getrandom", "rand", "selvedge-base"]),
    ("selvedge-crdt-wasm", &["yrs", "tokio", "serde", "getrandom"]),
    ("selvedge-eventlog", &["tokio", "hyper", "http", "serde"]),
    ("selvedge-http1", &["tokio", "hyper", "http", "selvedge-base"]),
    ("selvedge-identity", &["tokio", "hyper", "rustls"]),
    ("selvedge-seal", &["tokio", "getrandom", "rand", "aws-lc-rs", "selvedge-base"]),
    ("selvedge-streams", &["rustls", "hyper-util"]),
    ("selvedge-routing", &["tokio", "hyper", "rustls", "socket2"]),
    ("selvedge-telemetry", &["kdl", "selvedge-config"]),
    ("selvedge-waf", &["tokio", "hyper", "rustls", "http", "socket2", "selvedge-agent"]),
];

/// Dependencies that stay behind one door.
const DOORS: &[(&str, &[&str])] = &[
    ("async-nats", &["selvedge-eventlog-nats"]),
    ("chacha20poly1305", &["selvedge-seal"]),
    ("clap", &["selvedge"]),
    ("ed25519-dalek", &["selvedge-seal"]),
    ("h2", &["selvedge-edge"]),
    ("hkdf", &["selvedge-seal"]),
    ("hpke", &["selvedge-seal"]),
    ("hyper", &["selvedge", "selvedge-agents", "selvedge-edge", "selvedge-telemetry"]),
    ("kdl", &["selvedge-config", "selvedge-waf"]),
    ("mimalloc", &["selvedge"]),
    ("object_store", &["selvedge-backup"]),
    ("ppp", &["selvedge-edge"]),
    ("rcgen", &["selvedge-edge"]),
    ("redis", &["selvedge-agents"]),
    ("rusqlite", &["selvedge-jobs", "selvedge-replica"]),
    ("sqlparser", &["selvedge-jobs"]),
    ("wasm-bindgen", &["selvedge-client-wasm", "selvedge-crdt-wasm"]),
    ("yrs", &["selvedge-crdt-text"]),
];

/// Arrows that one package's choice of features draws for all: `async-nats` has `bytes` speak `serde`, which
/// nobody below it asked for and which is not built where it is not.
const BY_FEATURES: &[(&str, &str)] = &[("bytes", "serde")];

/// An arrow from one package to another: members by their names, others with their versions, as two versions of one
/// package depend on different things.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
    /// Seen by tests only.
    dev: bool,
}

/// Returns every arrow that points where it must not.
pub fn findings() -> Result<Vec<Finding>> {
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let metadata: Value =
        serde_json::from_str(&process::capture(&mut process::cargo(&arguments))?)?;
    let (members, arrows) = graph(&metadata)?;
    let mut found: Vec<Finding> = members.iter().filter_map(|name| placed(name)).collect();
    let own = arrows.iter().filter(|arrow| members.contains(&arrow.from));
    for arrow in own {
        found.extend(points_down(arrow, &members));
        found.extend(through_its_door(arrow));
    }
    found.extend(ABSENT.iter().flat_map(|(name, absent)| knows(name, absent, &arrows)));
    Ok(found)
}

fn placed(name: &str) -> Option<Finding> {
    let known = layer(name).is_some() || TOOLS.contains(&name);
    (!known).then(|| Finding::new(name, "has no layer; give it one in xtask/src/tidy/layers.rs"))
}

fn points_down(arrow: &Arrow, members: &BTreeSet<String>) -> Option<Finding> {
    // A crate that tests itself with other features depends on itself.
    let on_itself = arrow.dev && arrow.from == arrow.to;
    if on_itself || !members.contains(&arrow.to) || TOOLS.contains(&arrow.from.as_str()) {
        return None;
    }
    if TOOLS.contains(&arrow.to.as_str()) {
        let what = format!("only tests may depend on {}", arrow.to);
        return (!arrow.dev).then(|| Finding::new(&arrow.from, what));
    }
    let (from, to) = (layer(&arrow.from)?, layer(&arrow.to)?);
    let what = format!("layer {from} does not see {} of layer {to}", arrow.to);
    (to >= from).then(|| Finding::new(&arrow.from, what))
}

fn through_its_door(arrow: &Arrow) -> Option<Finding> {
    let (name, owners) = DOORS.iter().find(|(name, _)| *name == bare(&arrow.to))?;
    let allowed =
        arrow.dev || owners.contains(&arrow.from.as_str()) || layer(&arrow.from).is_none();
    (!allowed).then(|| Finding::new(&arrow.from, format!("only {} uses {name}", owners.join(", "))))
}

fn knows(name: &str, absent: &[&str], arrows: &[Arrow]) -> Vec<Finding> {
    let mut seen = BTreeSet::from([name]);
    let mut open = vec![name];
    while let Some(from) = open.pop() {
        let asked = |arrow: &&Arrow| !BY_FEATURES.contains(&(bare(&arrow.from), bare(&arrow.to)));
        let next = arrows.iter().filter(|arrow| arrow.from == from && !arrow.dev).filter(asked);
        open.extend(next.map(|arrow| arrow.to.as_str()).filter(|to| seen.insert(to)));
    }
    let seen: BTreeSet<&str> = seen.into_iter().map(bare).collect();
    let known = absent.iter().filter(|absent| seen.contains(**absent));
    known.map(|known| Finding::new(name, format!("must not know {known}"))).collect()
}

/// The name of a package without its version.
fn bare(package: &str) -> &str {
    package.split(' ').next().unwrap_or(package)
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

/// The workspace's packages and every arrow of the resolved graph.
fn graph(metadata: &Value) -> Result<(BTreeSet<String>, Vec<Arrow>)> {
    let members = list(&metadata["workspace_members"])?;
    let names: BTreeMap<&str, String> = list(&metadata["packages"])?
        .iter()
        .filter_map(|package| {
            let (id, name) = (&package["id"], package["name"].as_str()?);
            let version = if members.contains(id) { None } else { package["version"].as_str() };
            let name = version.map_or(name.to_owned(), |version| format!("{name} {version}"));
            Some((id.as_str()?, name))
        })
        .collect();
    let name = |id: &Value| names.get(id.as_str()?).cloned();
    let members = members.iter().filter_map(name).collect();
    let mut arrows = Vec::new();
    for node in list(&metadata["resolve"]["nodes"])? {
        for dep in list(&node["deps"])? {
            let dev = list(&dep["dep_kinds"])?.iter().all(|kind| kind["kind"] == "dev");
            if let (Some(from), Some(to)) = (name(&node["id"]), name(&dep["pkg"])) {
                arrows.push(Arrow { from, to, dev });
            }
        }
    }
    Ok((members, arrows))
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().ok_or_else(|| "cargo metadata lacks a list that it always had".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(text: &str) -> Arrow {
        let (text, dev) = text.strip_prefix("dev ").map_or((text, false), |rest| (rest, true));
        let (from, to) = text.split_once(" > ").expect("an arrow");
        Arrow { from: from.to_owned(), to: to.to_owned(), dev }
    }

    #[track_caller]
    fn check(arrows: &[&str], expected: &[&str]) {
        let members: BTreeSet<String> = LAYERS
            .iter()
            .map(|(name, _)| *name)
            .chain(TOOLS.iter().copied())
            .map(str::to_owned)
            .collect();
        let arrows: Vec<Arrow> = arrows.iter().map(|text| arrow(text)).collect();
        let mut found = Vec::new();
        for arrow in &arrows {
            found.extend(points_down(arrow, &members));
            found.extend(through_its_door(arrow));
        }
        found.extend(ABSENT.iter().flat_map(|(name, absent)| knows(name, absent, &arrows)));
        let found: Vec<String> = found.iter().map(Finding::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn arrows_point_down() {
        check(&["selvedge-edge > selvedge-config", "selvedge > selvedge-edge"], &[]);
        check(
            &["selvedge-config > selvedge-telemetry"],
            &["selvedge-config: layer 1 does not see selvedge-telemetry of layer 1"],
        );
        check(
            &["selvedge-routing > selvedge-edge"],
            &["selvedge-routing: layer 2 does not see selvedge-edge of layer 4"],
        );
    }

    #[test]
    fn tools_are_for_tests() {
        check(&["dev selvedge > selvedge-bench", "selvedge-bench > selvedge-edge"], &[]);
        check(
            &["selvedge > selvedge-bench"],
            &["selvedge: only tests may depend on selvedge-bench"],
        );
    }

    #[test]
    fn heavy_dependencies_stay_behind_their_door() {
        check(&["selvedge-config > kdl"], &[]);
        check(&["selvedge-base > clap 4.6.0"], &["selvedge-base: only selvedge uses clap"]);
        check(
            &["selvedge-edge > kdl"],
            &["selvedge-edge: only selvedge-config, selvedge-waf uses kdl"],
        );
    }

    #[test]
    fn what_is_absent_is_absent_through_others_too() {
        check(&["selvedge-routing > a", "dev a > tokio"], &[]);
        check(&["selvedge-routing > a", "a > tokio"], &["selvedge-routing: must not know tokio"]);
        check(&["selvedge-routing > a 1.0", "a 0.9 > tokio 1.2"], &[]);
        check(
            &["selvedge-routing > a 1.0", "a 1.0 > tokio 1.2"],
            &["selvedge-routing: must not know tokio"],
        );
    }

    #[test]
    fn a_crate_without_a_layer_is_seen() {
        assert!(placed("selvedge-edge").is_none());
        assert!(placed("selvedge-attic").is_some());
    }
}
