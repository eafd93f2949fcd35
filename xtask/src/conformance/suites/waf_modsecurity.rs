use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Report, Result, Stage, Subject, Suite, crs, waf_traffic::names};
use crate::{
    conformance::report::{Case, Outcome},
    process,
    waf::{self, Build, Engine, Judged, Place},
};

pub const SUITE: Suite = Suite {
    name: "waf-modsecurity",
    about: "libmodsecurity 3 (Debian) and our engine, under the same Core Rule Set at level 1, replay the same requests: the \
        development set, and those of the regression tests at level 1 and at level 4. Decisions must agree on 99.5 % of each; \
        of the set, each rule that matches in one engine only is a case that fails unless the reason stands below, and so is \
        each request of the tests. Wrong on purpose: our engine at level 2.",
    quick: false,
    python: &[crs::PYYAML],
    unavailable: || waf::missing(&[&waf::traffic_archive(), &crs::tests()]),
    run,
};

/// Decisions that must agree, percent.
const SAME_MIN: f64 = 99.5;

/// The rules of [`BODIES`], by what of a body they tell.
const FLAGS: [(u64, &str); 3] = [
    (200_002, "REQBODY_ERROR"),
    (200_003, "MULTIPART_STRICT_ERROR"),
    (200_004, "MULTIPART_UNMATCHED_BOUNDARY"),
];

/// Requests under rules.
struct Course {
    /// What its cases are called after.
    name: &'static str,
    /// Which of the files of records.
    file: usize,
    /// What a case is.
    by: By,
    /// Rules between the setup of the Core Rule Set and its rules.
    extra: &'static [&'static str],
}

/// What differences are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A rule: of requests there are too many.
    Rule,
    /// A request.
    Request,
}

/// Tells whether bodies could be read.
const BODIES: &str = "conformance/waf/bodies.conf";

const COURSES: &[Course] = &[
    Course { name: "traffic", file: 0, by: By::Rule, extra: &[BODIES] },
    Course { name: "tests", file: 1, by: By::Request, extra: &[BODIES] },
    Course {
        name: "tests at level 4",
        file: 1,
        by: By::Request,
        extra: &[BODIES, "conformance/crs/setup.conf"],
    },
];

fn run(stage: &Stage, subject: Subject) -> Result<Report> {
    let place = Place::prepare(Build::Release)?;
    let records = [place.traffic()?, suite_records(stage, &place)?];
    let modsecurity = place.modsecurity()?;
    let mut report = Report { version: VERSION.to_owned(), ..Report::default() };
    let courses = match subject {
        Subject::Selvedge => COURSES,
        Subject::Wrong => &COURSES[1..2],
    };
    for Course { name, file, by, extra } in courses {
        let own_extra = match subject {
            Subject::Selvedge => extra.to_vec(),
            Subject::Wrong => [extra, &["conformance/waf/level-2.conf"][..]].concat(),
        };
        let records = &records[*file];
        let names = names(records)?;
        let mut ours = place.program("waf_engine");
        // Both inspect the same bytes: bounds are a matter of policy, and libmodsecurity's are far away.
        let ours = replay(ours.args(waf::UNBOUNDED), &own_extra, records, names.len())?;
        let theirs = replay(&mut process::command(&modsecurity), extra, records, names.len())?;
        let difference = Difference::between(&ours, &theirs);
        difference.report(name, &mut report);
        difference.report_flags(name, &mut report);
        match by {
            By::Rule => difference.report_rules(name, &names, &mut report),
            By::Request => report_requests(name, &names, &ours, &theirs, &mut report),
        }
        let list = stage.file(&format!("waf-modsecurity-{}.txt", name.replace(' ', "-")));
        fs::write(list, listed(&names, &ours, &theirs))?;
    }
    Ok(report)
}

fn replay(
    command: &mut Command,
    extra: &[&str],
    records: &Path,
    count: usize,
) -> Result<Vec<Judged>> {
    let rules = waf::core_rule_set(extra)?;
    let mut engine = Engine::start(command, &rules, &[records.to_path_buf()])?;
    Ok(engine.replay(0, 0, count)?.judged)
}

const VERSION: &str = "libmodsecurity 3.0.9, CRS 4.28-dev";

/// The requests of the regression tests, as records.
fn suite_records(stage: &Stage, place: &Place) -> Result<PathBuf> {
    let records = place.file("tests.records");
    let mut runner = place.program("waf_ftw");
    process::run(runner.arg("records").arg(crs::stages(stage)?).arg(&records))?;
    Ok(records)
}

/// Where two engines are not of one mind.
#[derive(Debug, Default)]
struct Difference {
    requests: usize,
    /// Requests that one refuses and the other does not.
    decisions: Vec<usize>,
    /// By rule: requests that it matches in ours only, in theirs only, in both.
    rules: BTreeMap<u64, [Vec<usize>; 3]>,
}

impl Difference {
    fn between(ours: &[Judged], theirs: &[Judged]) -> Self {
        let mut difference = Self { requests: ours.len(), ..Self::default() };
        for (number, (one, other)) in ours.iter().zip(theirs).enumerate() {
            if (one.status == 0) != (other.status == 0) {
                difference.decisions.push(number);
            }
            for id in one.ids.iter().chain(&other.ids) {
                let side = match (one.ids.contains(id), other.ids.contains(id)) {
                    (true, false) => 0,
                    (false, true) => 1,
                    _ => 2,
                };
                let requests = &mut difference.rules.entry(*id).or_default()[side];
                if requests.last() != Some(&number) {
                    requests.push(number);
                }
            }
        }
        difference
    }

    fn same(&self) -> f64 {
        100.0 - 100.0 * self.decisions.len() as f64 / self.requests.max(1) as f64
    }

    fn report(&self, what: &str, report: &mut Report) {
        let (same, requests) = (self.same(), self.requests);
        report.notes.push(format!(
            "{what}: of {requests} requests, {} are decided differently ({same:.3} % alike).",
            self.decisions.len()
        ));
        let name = format!("{what}: decisions");
        report.cases.push(case(name, same >= SAME_MIN, format!("{same:.3} % alike")));
    }

    /// How often each flag of a body is set by whom; cases tell of each difference by itself.
    fn report_flags(&self, what: &str, report: &mut Report) {
        let flags = FLAGS.iter().map(|(id, flag)| {
            let [ours, theirs, both] = self.sides(*id).map(|requests| requests.len());
            format!("`{flag}` {both} times by both, {ours} by ours only, {theirs} by libmodsecurity only")
        });
        let flags = flags.collect::<Vec<_>>().join("; ");
        report.notes.push(format!("{what}, flags of bodies set: {flags}."));
    }

    /// Requests that a rule matches in ours only, in theirs only, in both.
    fn sides(&self, id: u64) -> [&[usize]; 3] {
        let of = self.rules.get(&id);
        std::array::from_fn(|side| of.map_or(&[][..], |sides| &sides[side]))
    }

    fn report_rules(&self, what: &str, names: &[String], report: &mut Report) {
        let example = |list: &[usize]| list.first().map_or("", |first| &names[*first]).to_owned();
        for (id, [ours, theirs, both]) in &self.rules {
            let detail = format!(
                "in ours only: {} {}, in libmodsecurity only: {} {}, in both: {}",
                ours.len(),
                example(ours),
                theirs.len(),
                example(theirs),
                both.len()
            );
            let name = format!("{what}: rule {id}");
            report.cases.push(case(name, ours.is_empty() && theirs.is_empty(), detail));
        }
    }
}

/// A case for each request; a request of two courses is one case.
fn report_requests(
    what: &str,
    names: &[String],
    ours: &[Judged],
    theirs: &[Judged],
    report: &mut Report,
) {
    for (name, (one, other)) in names.iter().zip(ours.iter().zip(theirs)) {
        let same = (one.status == 0) == (other.status == 0) && one.ids == other.ids;
        let detail =
            if same { String::new() } else { format!("{what}: {} ", difference(one, other)) };
        let name = format!("tests: {name}");
        match report.cases.iter_mut().find(|case| case.name == name) {
            Some(known) if same => known.detail += &detail,
            Some(known) => *known = case(name, false, [&*known.detail, &*detail].concat()),
            None => report.cases.push(case(name, same, detail)),
        }
    }
}

fn case(name: String, holds: bool, detail: String) -> Case {
    let outcome = if holds { Outcome::Pass } else { Outcome::Fail };
    Case { name, outcome, detail }
}

/// A line for each request about which the engines differ, for whoever looks for the reason.
fn listed(names: &[String], ours: &[Judged], theirs: &[Judged]) -> String {
    let pairs = names.iter().zip(ours.iter().zip(theirs));
    let differing =
        pairs.filter(|(_, (one, other))| (one.status, &one.ids) != (other.status, &other.ids));
    differing.map(|(name, (one, other))| format!("{name} {}\n", difference(one, other))).collect()
}

/// What each has that the other has not.
fn difference(ours: &Judged, theirs: &Judged) -> String {
    let without = |one: &Judged, other: &Judged| {
        let ids = one.ids.iter().filter(|id| !other.ids.contains(id)).map(u64::to_string);
        ids.collect::<Vec<_>>().join(",")
    };
    let (more, less) = (without(ours, theirs), without(theirs, ours));
    format!("ours {} [{more}] theirs {} [{less}]", ours.status, theirs.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_counted_on_its_side() {
        let judged = |status, ids: &[u64]| Judged { status, ns: 1, ids: ids.to_vec() };
        let ours = [judged(403, &[1, 2]), judged(0, &[3]), judged(0, &[])];
        let theirs = [judged(0, &[1]), judged(0, &[3, 4]), judged(0, &[])];
        let difference = Difference::between(&ours, &theirs);
        assert_eq!(difference.decisions, [0]);
        let sides = |id| difference.rules[&id].clone().map(|requests| requests.len());
        assert_eq!([1, 2, 3, 4].map(sides), [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]);
        let names = ["a", "b", "c"].map(str::to_owned);
        let mut report = Report::default();
        difference.report("x", &mut report);
        difference.report_rules("x", &names, &mut report);
        assert_eq!(report.failed(), 3);
        report_requests("x", &names, &ours, &theirs, &mut report);
        difference.report_flags("x", &mut report);
        assert!(report.notes[1].contains("`REQBODY_ERROR` 0 times by both, 0 by ours only, 0 by"));
        assert_eq!(difference.sides(2).map(<[usize]>::len), [1, 0, 0]);
        report_requests("y", &names, &theirs, &theirs, &mut report);
        assert_eq!((report.failed(), report.cases.len()), (5, 8));
    }
}
