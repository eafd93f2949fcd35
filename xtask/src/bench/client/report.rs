//! Results as JSON, which is kept, and as Markdown, which is made from it.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{
    super::{
        figures::{grouped, median},
        goal::{self, Goal},
        machine,
        measured::Measured,
        report::machine_markdown,
        table::{table_json, table_markdown},
    },
    Settings,
    app::{FIGURES, Figure, Of},
    libraries,
    place::Place,
};
use crate::{Result, setup};

/// A report; everything it says is in the JSON.
#[derive(Clone, Debug)]
pub struct Report(Value);

/// Packages of npm whose versions are told.
const PACKAGES: &[&str] =
    &["playwright-core", "yjs", "y-indexeddb", "@hocuspocus/provider", "@hocuspocus/server"];

/// The report of one run.
pub fn assemble(
    mut machine: Value,
    settings: &Settings,
    (app, others, place): (&Measured, &Measured, &Place),
) -> Report {
    machine["versions"] = versions(place);
    let rounds = app.columns.first().map_or(&[][..], |column| column.rounds.as_slice());
    let goals = FIGURES.iter().filter_map(|figure| figure.goal(rounds));
    let notes = [app.notes.as_slice(), &others.notes].concat();
    let failures = [app.failures.as_slice(), &others.failures].concat();
    Report(json!({
        "machine": machine,
        "date": settings.date,
        "rounds": settings.rounds,
        "notes_of_the_vault": settings.notes,
        "operations": settings.operations,
        "keys": settings.keys,
        "smoke": settings.smoke,
        "goals": goals.map(|goal| goal.json()).collect::<Vec<_>>(),
        "app": {
            "rows": FIGURES.iter().map(|figure| figure.json(rounds)).collect::<Vec<_>>(),
            "rounds": rounds,
        },
        "libraries": table_json("Libraries", libraries::FIGURES, &others.columns),
        "notes": notes,
        "failures": failures,
    }))
}

fn versions(place: &Place) -> Value {
    let version = |package: &&str| {
        let version = place.version(package).unwrap_or_else(|| "unknown".into());
        ((*package).to_owned(), json!(version))
    };
    let mut versions: Map<String, Value> = PACKAGES.iter().map(version).collect();
    versions.insert("selvedge".into(), json!(machine::commit().unwrap_or_default()));
    versions.insert("rustc".into(), json!(machine::said("rustc", &["--version"])));
    let node = machine::said(&place.node().to_string_lossy(), &["--version"]);
    versions.insert("Node.js".into(), json!(node));
    let chromium = machine::said(setup::CHROMIUM.program, &["--version"]);
    versions.insert("Chromium".into(), json!(chromium));
    Value::Object(versions)
}

impl Figure {
    fn values(&self, rounds: &[Value]) -> Vec<f64> {
        let find =
            |round| self.path.split('.').try_fold(round, |value: &Value, name| value.get(name));
        rounds.iter().filter_map(|round| find(round)?.as_f64()).collect()
    }

    fn found(&self, rounds: &[Value]) -> Option<f64> {
        let values = self.values(rounds);
        match self.of {
            Of::Median => median(values),
            Of::Worst => values.into_iter().max_by(f64::total_cmp),
        }
    }

    fn goal(&self, rounds: &[Value]) -> Option<Goal> {
        Some(Goal::most(self.title, self.found(rounds), self.bound?, self.unit))
    }

    fn json(&self, rounds: &[Value]) -> Value {
        let values = || self.values(rounds).into_iter();
        json!({
            "what": self.title,
            "unit": self.unit,
            "found": self.found(rounds),
            "least": values().min_by(f64::total_cmp),
            "most": values().max_by(f64::total_cmp),
            "goal": self.bound,
        })
    }
}

impl Report {
    /// For other programs.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.0)? + "\n")
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# The browser client\n\n");
        text += "Written by `cargo xtask bench client --write`; the method is in [README](README.md#the-browser-client), ";
        text += "raw figures are in [client.json](client.json).\n";
        if self.0["smoke"] == json!(true) {
            text += "\n**A smoke test: figures of next to nothing.**\n";
        }
        text += &machine_markdown(&self.0["machine"]);
        text += &goal::markdown(&self.0["goals"]);
        text += &self.app();
        text += &self.libraries();
        text + &self.remarks()
    }

    fn app(&self) -> String {
        let (rounds, date) = (&self.0["rounds"], self.0["date"].as_str().unwrap_or("unknown"));
        let (notes, operations) =
            (count(&self.0["notes_of_the_vault"]), count(&self.0["operations"]));
        let mut text = format!(
            "\n## The notes app\n\nA vault of {notes} notes, {operations} operations that waited; medians of {rounds} rounds, {date}, \
             and of tasks the worst round. Times are until the frame is painted.\n\n\
             | | found | least | most |\n|---|--:|--:|--:|\n"
        );
        for row in list(&self.0["app"]["rows"]) {
            let unit = row["unit"].as_str().unwrap_or_default();
            let figure = |name: &str| {
                row[name].as_f64().map_or("–".into(), |it| format!("{}{unit}", grouped(it)))
            };
            let what = row["what"].as_str().unwrap_or_default();
            let (found, least, most) = (figure("found"), figure("least"), figure("most"));
            let _ = writeln!(text, "| {what} | {found} | {least} | {most} |");
        }
        text
    }

    fn libraries(&self) -> String {
        let (notes, operations) =
            (count(&self.0["notes_of_the_vault"]), count(&self.0["operations"]));
        format!(
            "\n## Libraries\n\n{notes} notes in the browser's store, {operations} changes that waited, without an app. *Ours is ahead* is of the same \
             round, and more than 1 where ours is better. What a change has survived when the library says so:\n\n{DURABILITY}\n{}",
            table_markdown(&self.0["libraries"])
        )
    }

    fn remarks(&self) -> String {
        let mut text = String::new();
        for (name, title) in [("notes", "What is not there"), ("failures", "What we did not do")] {
            let remarks = list(&self.0[name]);
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

fn count(value: &Value) -> String {
    value.as_f64().map(grouped).unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What both promise.
const DURABILITY: &str = "\
| | in the browser | at the server | tabs of one browser |
|---|---|---|---|
| Yjs, y-indexeddb, Hocuspocus | it does not say when | in memory | each has the document and a connection |
| Selvedge | on the disk (`durability: strict`) | signed by its device, on the disk | one leads |
";

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(of: Of) -> Figure {
        Figure { title: "time", path: "a.ms", unit: " ms", bound: Some(3.0), of }
    }

    #[track_caller]
    fn check(of: Of, rounds: &Value, expected: &Value) {
        assert_eq!(&figure(of).json(list(rounds)), expected);
    }

    #[test]
    fn a_figure_is_of_the_round_that_counts() {
        let rounds =
            json!([{ "a": { "ms": 2 } }, { "a": {} }, { "a": { "ms": 9 } }, { "a": { "ms": 1 } }]);
        let whole = |found: Option<f64>, least: Option<f64>, most: Option<f64>| json!({ "what": "time", "unit": " ms", "found": found, "least": least, "most": most, "goal": 3.0 });
        check(Of::Median, &rounds, &whole(Some(2.0), Some(1.0), Some(9.0)));
        check(Of::Worst, &rounds, &whole(Some(9.0), Some(1.0), Some(9.0)));
        check(Of::Median, &json!([{}]), &whole(None, None, None));
    }

    #[test]
    fn every_goal_is_told() {
        let report = json!({ "goals": [figure(Of::Worst).goal(&[json!({ "a": { "ms": 4 } })]).unwrap().json()] });
        assert!(Report(report).markdown().contains("| time | ≤ 3.00 ms | 4.00 ms | **missed** |"));
    }
}
