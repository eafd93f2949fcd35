//! What agents measure, and the page that says so.

use selvedge_agent::{Agent, Measured, Metrics};

const PAGE: &str = include_str!("../../../../docs/reference/metrics.md");

/// Counters and histograms that counted something.
pub fn counted(agent: &impl Agent) -> String {
    let families = agent.metrics().map(Metrics::report).unwrap_or_default().families;
    let lines = families.iter().flat_map(|family| {
        family.series.iter().filter_map(|series| {
            let count = match &series.value {
                Measured::Counter(count) => *count,
                Measured::Histogram { buckets, .. } => buckets.iter().sum(),
                Measured::Gauge(_) => return None,
            };
            let labels = series.values.join(" ");
            (count > 0).then(|| format!("{} [{labels}] {count}\n", family.name))
        })
    });
    lines.collect()
}

/// The page lists every family of this agent, and no other under its type, with its kind and its labels.
#[track_caller]
pub fn check_page(agent: &impl Agent, kind: &str) {
    let families = agent.metrics().map(Metrics::report).unwrap_or_default().families;
    let mut own: Vec<String> = families
        .iter()
        .map(|family| {
            let labels: Vec<String> =
                family.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, labels) = (&family.name, labels.join(", "));
            format!("| `selvedge_{kind}_{name}` | {} | {labels} |", family.kind.name())
        })
        .collect();
    own.sort();
    let rows = PAGE.lines().filter(|line| line.starts_with(&format!("| `selvedge_{kind}_")));
    let mut listed: Vec<String> =
        rows.map(|row| row.splitn(5, '|').take(4).collect::<Vec<_>>().join("|") + "|").collect();
    listed.sort();
    assert_eq!(own, listed);
}
