//! Goals: figures, and what they must not exceed or fall short of.

use std::fmt::Write;

use serde_json::{Value, json};

use super::figures::grouped;

/// A goal, and what was found.
#[derive(Clone, Debug)]
pub struct Goal {
    what: String,
    found: Option<f64>,
    bound: f64,
    at_most: bool,
    unit: &'static str,
}

impl Goal {
    /// What must not fall short of `bound`.
    pub fn least(
        what: impl Into<String>,
        found: Option<f64>,
        bound: f64,
        unit: &'static str,
    ) -> Self {
        Self { what: what.into(), found, bound, at_most: false, unit }
    }

    /// What must not exceed `bound`.
    pub fn most(
        what: impl Into<String>,
        found: Option<f64>,
        bound: f64,
        unit: &'static str,
    ) -> Self {
        Self { at_most: true, ..Self::least(what, found, bound, unit) }
    }

    /// For the report.
    pub fn json(&self) -> Value {
        let Self { what, found, bound, at_most, unit } = self;
        let met = found.map(|found| if *at_most { found <= *bound } else { found >= *bound });
        json!({
            "what": what, "found": found, "bound": bound, "at_most": at_most, "unit": unit, "met": met,
        })
    }
}

/// The chapter of a report.
pub fn markdown(goals: &Value) -> String {
    let mut text = String::from("\n## Goals\n\n| | goal | found | |\n|---|--:|--:|---|\n");
    for goal in goals.as_array().into_iter().flatten() {
        let word = |name: &str| goal[name].as_str().unwrap_or_default();
        let figure = |name: &str| {
            goal[name]
                .as_f64()
                .map_or("–".into(), |it| format!("{}{}", grouped(it), word("unit")))
        };
        let sign = if goal["at_most"] == json!(true) { "≤" } else { "≥" };
        let met = match goal["met"].as_bool() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let (what, bound, found) = (word("what"), figure("bound"), figure("found"));
        let _ = writeln!(text, "| {what} | {sign} {bound} | {found} | {met} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(goal: &Goal, line: &str) {
        assert_eq!(markdown(&json!([goal.json()])).lines().last(), Some(line));
    }

    #[test]
    fn a_goal_is_met_missed_or_not_measured() {
        check(&Goal::least("rate", Some(2.0), 2.0, "×"), "| rate | ≥ 2.00× | 2.00× | met |");
        check(
            &Goal::most("p99", Some(2.5), 2.0, " ms"),
            "| p99 | ≤ 2.00 ms | 2.50 ms | **missed** |",
        );
        check(&Goal::most("p99", None, 2.0, " ms"), "| p99 | ≤ 2.00 ms | – | not measured |");
    }
}
