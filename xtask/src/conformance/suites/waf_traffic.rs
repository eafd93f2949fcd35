use std::{collections::BTreeMap, fs, path::Path};

use super::{Report, Result, Stage, Subject, Suite};
use crate::{
    conformance::report::{Case, Outcome},
    waf::{self, Build, Engine, Judged, Place},
    workspace,
};

pub const SUITE: Suite = Suite {
    name: "waf-traffic",
    about: "The development half of a set of real requests, replayed through the rules that come with Selvedge and, for \
        comparison, through the Core Rule Set at level 1. Quality is judged elsewhere, on sets of other origin; this one shows \
        where a change of the rules leads. Wrong on purpose: no rules.",
    quick: false,
    python: &[],
    unavailable: || waf::missing(&[&waf::traffic_archive(), &waf::core_rule_set_folder()]),
    run,
};

/// Ordinary requests that are refused, percent.
const FALSE_POSITIVES_MAX: f64 = 1.0;
/// Attacks that are refused, percent.
const DETECTION_MIN: f64 = 86.0;

fn run(_: &Stage, subject: Subject) -> Result<Report> {
    let place = Place::prepare(Build::Release)?;
    let records = place.traffic()?;
    let names = names(&records)?;
    let none = [workspace::root().join("conformance/waf/base.conf")];
    let mut ours = place.program("waf_engine");
    let ours = match subject {
        Subject::Selvedge => ours.arg("--native"),
        Subject::Wrong => &mut ours,
    };
    let replay = |command: &mut std::process::Command, rules: &[_]| {
        Engine::start(command, rules, std::slice::from_ref(&records))?.replay(0, 0, names.len())
    };
    let native = Quality::of(
        &names,
        &replay(ours, if subject == Subject::Wrong { &none } else { &[] })?.judged,
    );
    let mut notes = native.table("rules of Selvedge");
    if subject == Subject::Selvedge {
        let core = replay(&mut place.program("waf_engine"), &waf::core_rule_set(&[])?)?;
        notes += &Quality::of(&names, &core.judged).row("Core Rule Set, level 1");
        notes += &native.causes();
    }
    let cases = vec![
        case(
            "at most 1 % of ordinary requests are refused",
            native.false_positives() <= FALSE_POSITIVES_MAX,
            &native,
        ),
        case("at least 86 % of attacks are refused", native.detection() >= DETECTION_MIN, &native),
    ];
    Ok(Report { version: format!("{} requests", names.len()), cases, notes: vec![notes] })
}

/// The names of the recordings, in their order.
pub fn names(records: &Path) -> Result<Vec<String>> {
    let names = fs::read_to_string(records.with_extension("names"))?;
    Ok(names.lines().map(str::to_owned).collect())
}

fn case(name: &str, holds: bool, quality: &Quality) -> Case {
    let outcome = if holds { Outcome::Pass } else { Outcome::Fail };
    Case { name: name.to_owned(), outcome, detail: quality.row("this run").trim().to_owned() }
}

/// How well requests were told apart.
#[derive(Debug, Default)]
struct Quality {
    ordinary: usize,
    ordinary_refused: usize,
    attacks: usize,
    attacks_refused: usize,
    /// How many ordinary requests that were refused a rule had a part in.
    blamed: BTreeMap<u64, usize>,
}

impl Quality {
    fn of(names: &[String], judged: &[Judged]) -> Self {
        let mut quality = Self::default();
        for (name, Judged { status, ns: _, ids }) in names.iter().zip(judged) {
            let refused = usize::from(*status != 0);
            if name.starts_with("attack/") {
                quality.attacks += 1;
                quality.attacks_refused += refused;
                continue;
            }
            quality.ordinary += 1;
            quality.ordinary_refused += refused;
            for id in ids.iter().filter(|_| *status != 0) {
                *quality.blamed.entry(*id).or_default() += 1;
            }
        }
        quality
    }

    fn false_positives(&self) -> f64 {
        percent(self.ordinary_refused, self.ordinary)
    }

    fn detection(&self) -> f64 {
        percent(self.attacks_refused, self.attacks)
    }

    fn table(&self, name: &str) -> String {
        let head = "| | ordinary requests refused | of | attacks refused | of | balanced accuracy |\n\
                    |---|--:|--:|--:|--:|--:|\n";
        format!("{head}{}", self.row(name))
    }

    fn row(&self, name: &str) -> String {
        let (wrong, right) = (self.false_positives(), self.detection());
        format!(
            "| {name} | {} ({wrong:.2} %) | {} | {} ({right:.1} %) | {} | {:.1} % |\n",
            self.ordinary_refused,
            self.ordinary,
            self.attacks_refused,
            self.attacks,
            f64::midpoint(100.0 - wrong, right),
        )
    }

    /// The rules behind most refusals of ordinary requests.
    fn causes(&self) -> String {
        let mut blamed: Vec<_> = self.blamed.iter().collect();
        blamed.sort_by_key(|(id, count)| (std::cmp::Reverse(**count), **id));
        let blamed = blamed.iter().take(12).map(|(id, count)| format!("{id} ({count})"));
        let list = blamed.collect::<Vec<_>>().join(", ");
        if list.is_empty() {
            list
        } else {
            format!("\nRules with a part in refusing ordinary requests: {list}.\n")
        }
    }
}

fn percent(part: usize, all: usize) -> f64 {
    100.0 * part as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_what_they_are() {
        let names = ["legit/a", "legit/b", "attack/c", "attack/d"].map(str::to_owned);
        let judged = |status, ids: &[u64]| Judged { status, ns: 1, ids: ids.to_vec() };
        let all = [judged(0, &[1]), judged(403, &[1, 2]), judged(403, &[3]), judged(0, &[])];
        let quality = Quality::of(&names, &all);
        assert_eq!((quality.false_positives(), quality.detection()), (50.0, 50.0));
        assert_eq!(quality.blamed, BTreeMap::from([(1, 1), (2, 1)]));
    }
}
