//! Results as JSON, which is kept, and as Markdown, which is made from it.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{
    super::{
        goal::{self, Goal},
        machine,
        measured::Measured,
        report::machine_markdown,
        table::{Column, Figure, Whose, table_json, table_markdown},
    },
    Settings, documents,
    place::Place,
    relays,
};
use crate::Result;

/// A report; everything it says is in the JSON.
#[derive(Clone, Debug)]
pub struct Report(Value);

/// Packages of npm whose versions are told.
const PACKAGES: &[&str] = &[
    "yjs",
    "loro-crdt",
    "@automerge/automerge",
    "@automerge/automerge-repo",
    "@automerge/automerge-repo-sync-server",
    "@hocuspocus/server",
    "@y/websocket-server",
];

/// The report of one run.
pub fn assemble(
    mut machine: Value,
    settings: &Settings,
    (documents, relays, place): (&Measured, &Measured, &Place),
) -> Report {
    machine["versions"] = versions(place);
    let goals = goals(&documents.columns, &relays.columns);
    let notes = [documents.notes.as_slice(), &relays.notes].concat();
    let failures = [documents.failures.as_slice(), &relays.failures].concat();
    Report(json!({
        "machine": machine,
        "date": settings.date,
        "rounds": settings.rounds,
        "seconds": settings.seconds,
        "connections": settings.connections,
        "subscribers": settings.subscribers,
        "smoke": settings.smoke,
        "goals": goals.iter().map(Goal::json).collect::<Vec<_>>(),
        "documents": table_json("Documents", documents::FIGURES, &documents.columns),
        "relays": table_json("Relays", relays::FIGURES, &relays.columns),
        "notes": notes,
        "failures": failures,
    }))
}

fn versions(place: &Place) -> Value {
    let version = |package: &&str| {
        let manifest = place.peer(&format!("node_modules/{package}/package.json"));
        let manifest: Option<Value> =
            std::fs::read(manifest).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let version = manifest.and_then(|it| Some(it["version"].as_str()?.to_owned()));
        ((*package).to_owned(), json!(version.unwrap_or_else(|| "unknown".into())))
    };
    let mut versions: Map<String, Value> = PACKAGES.iter().map(version).collect();
    versions.insert("selvedge".into(), json!(machine::commit().unwrap_or_default()));
    versions.insert("rustc".into(), json!(machine::said("rustc", &["--version"])));
    let node = machine::said(&place.node().to_string_lossy(), &["--version"]);
    versions.insert("Node.js".into(), json!(node));
    Value::Object(versions)
}

/// Issue and research name these; besides, nobody is to be ahead of us in any row.
fn goals(documents: &[Column], relays: &[Column]) -> Vec<Goal> {
    let ours = |columns: &[Column], table: &[Figure], path: &str| {
        let column = columns.iter().find(|it| it.contestant.whose == Whose::Ours)?;
        find(table, path)?.median(column)
    };
    let document = |path| ours(documents, documents::FIGURES, path);
    let relay = |path| ours(relays, relays::FIGURES, path);
    let ahead = |path| find(relays::FIGURES, path)?.ahead(relays);
    let rows = |columns: &[Column], table: &'static [Figure]| {
        let ahead: Vec<f64> = table.iter().filter_map(|figure| figure.ahead(columns)).collect();
        let behind = ahead.iter().filter(|ahead| **ahead < 1.0).count();
        (!ahead.is_empty()).then_some(behind as f64)
    };
    vec![
        Goal::most("set a field, WASM", document("work.set_us"), 15.0, " µs"),
        Goal::most("load and read 10,000 entities, WASM", document("work.load_ms"), 60.0, " ms"),
        Goal::least(
            "durable fields per second of its processor, in updates of 100",
            relay("batch.fields_per_core"),
            50_000.0,
            "",
        ),
        Goal::most("an idle connection", relay("idle.kib"), 10.0, " KiB"),
        Goal::least(
            "updates per second of its processor, of the best peer's",
            ahead("single.per_core"),
            5.0,
            "×",
        ),
        Goal::most(
            "an idle connection, of the best peer's",
            ahead("idle.kib").map(f64::recip),
            0.2,
            "×",
        ),
        Goal::most(
            "rows of documents in which a peer is ahead",
            rows(documents, documents::FIGURES),
            0.0,
            "",
        ),
        Goal::most(
            "rows of relays in which a peer is ahead",
            rows(relays, relays::FIGURES),
            0.0,
            "",
        ),
    ]
}

fn find<'a>(table: &'a [Figure], path: &str) -> Option<&'a Figure> {
    table.iter().find(|figure| figure.path == path)
}

impl Report {
    /// For other programs.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.0)? + "\n")
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# Documents and relays\n\n");
        text += "Written by `cargo xtask bench sync --write`; the method is in [README](README.md#documents-and-relays), ";
        text += "raw figures are in [sync.json](sync.json).\n";
        if self.0["smoke"] == json!(true) {
            text += "\n**A smoke test: figures of next to nothing.**\n";
        }
        text += &machine_markdown(&self.0["machine"]);
        text += &goal::markdown(&self.0["goals"]);
        let (rounds, date) = (&self.0["rounds"], self.0["date"].as_str().unwrap_or("unknown"));
        let _ = write!(
            text,
            "\n## Documents\n\n10,000 entities of five fields; medians of {rounds} rounds, {date}. *Ours is ahead* is of the best \
             peer in the same round, and more than 1 where ours is better.\n\n{}",
            table_markdown(&self.0["documents"])
        );
        let _ = write!(
            text,
            "\n## Relays\n\nMedians of {rounds} rounds of {} s, {date}; {} subscribers in the fan-out. What an update survives when it is delivered:\n\n\
             {DURABILITY}\n{}",
            self.0["seconds"],
            self.0["subscribers"],
            table_markdown(&self.0["relays"])
        );
        text + &self.remarks()
    }

    fn remarks(&self) -> String {
        let mut text = String::new();
        for (name, title) in [("notes", "What is not there"), ("failures", "What we did not do")] {
            let remarks = self.0[name].as_array().map_or(&[][..], Vec::as_slice);
            if !remarks.is_empty() {
                let _ = write!(text, "\n## {title}\n\n");
                remarks.iter().for_each(|remark| {
                    let _ = writeln!(text, "- {}", remark.as_str().unwrap_or_default());
                });
            }
        }
        text
    }
}

/// What everybody promises.
const DURABILITY: &str = "\
| | when it is acknowledged | on disk |
|---|---|---|
| Hocuspocus | when it is in memory | never |
| Hocuspocus, SQLite | when it is in memory | the whole document, 2 to 10 s later |
| y-websocket | never | never |
| automerge-repo | when it is in memory | by and by, 100 ms apart, not synced |
| Selvedge | when it is synced | before anybody sees it |
";
