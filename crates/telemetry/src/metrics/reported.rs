//! What agents measured themselves, under names that the edge's own cannot have.

use std::collections::BTreeMap;

use selvedge_agent::{Family, Measured, Series};

use super::{
    AgentLabel,
    agent::Reported,
    render::{Page, Pairs},
};

const SERIES: &str = "selvedge_agent_series";
const LEFT_OUT: &str = "selvedge_agent_series_left_out";

/// What one agent told.
struct Told {
    id: String,
    reported: Reported,
}

/// The families of one name, and which of those who told has each.
type Same<'a> = Vec<(usize, &'a Family)>;

/// Writes what agents measured; to be called last, as every name before it is taken.
pub(crate) fn render(page: &mut Page, agents: &[AgentLabel]) {
    // One look at each, so that its numbers belong together.
    let told = |agent: &AgentLabel| {
        let reported = agent.facts().reported.clone()?;
        Some(Told { id: agent.id().to_owned(), reported })
    };
    let told: Vec<Told> = agents.iter().filter_map(told).collect();
    page.claim(SERIES, "gauge");
    page.claim(LEFT_OUT, "gauge");
    let families = shown(page, &told);
    let counts: Vec<usize> = (0..told.len()).map(|who| series_len(&families, who)).collect();
    page.family(SERIES, "gauge", "Series that an agent measures itself and that are shown.");
    for (Told { id, .. }, count) in told.iter().zip(&counts) {
        page.sample(SERIES, &[("agent", id)], count);
    }
    page.family(LEFT_OUT, "gauge", "Series that an agent measures itself and that are not shown.");
    for (Told { id, reported }, count) in told.iter().zip(&counts) {
        let missing = reported.report.left_out as usize + reported.report.series_len() - count;
        page.sample(LEFT_OUT, &[("agent", id)], missing);
    }
    families.iter().for_each(|(name, same)| render_family(page, name, (same, &told)));
}

/// The families whose names are free; of each name those that are like the first.
fn shown<'a>(page: &Page, told: &'a [Told]) -> BTreeMap<String, Same<'a>> {
    let mut families: BTreeMap<String, Same<'a>> = BTreeMap::new();
    for (who, Told { id: _, reported: Reported { kind, report } }) in told.iter().enumerate() {
        for family in &report.families {
            let name = format!("selvedge_{kind}_{}", family.name);
            families.entry(name).or_default().push((who, family));
        }
    }
    let mut taken = Page::default();
    families.retain(|name, same| {
        let (kind, bounds) = (same[0].1.kind, &same[0].1.bounds);
        let is_free = page.has_room_for(name, kind.name()) && taken.has_room_for(name, kind.name());
        if is_free {
            taken.claim(name, kind.name());
            same.retain(|(_, family)| family.kind == kind && family.bounds == *bounds);
        }
        is_free
    });
    families
}

fn series_len(families: &BTreeMap<String, Same<'_>>, who: usize) -> usize {
    let own = families.values().flatten().filter(|(own, _)| *own == who);
    own.map(|(_, family)| family.series.len()).sum()
}

fn render_family(page: &mut Page, name: &str, (same, told): (&Same<'_>, &[Told])) {
    let Some((_, first)) = same.first() else { return };
    page.family(name, first.kind.name(), &first.help);
    for (who, family) in same {
        let id = told[*who].id.as_str();
        for Series { values, value } in &family.series {
            let own =
                family.labels.iter().map(String::as_str).zip(values.iter().map(String::as_str));
            let pairs: Vec<(&str, &str)> = [("agent", id)].into_iter().chain(own).collect();
            render_value(page, (name, &pairs), (value, &family.bounds));
        }
    }
}

fn render_value(page: &mut Page, (name, pairs): (&str, Pairs<'_>), value: (&Measured, &[f64])) {
    match value {
        (Measured::Counter(value), _) => page.sample(name, pairs, value),
        (Measured::Gauge(value), _) => page.sample(name, pairs, value),
        (Measured::Histogram { buckets, sum }, bounds) => {
            let mut below = 0_u64;
            for (bound, count) in bounds.iter().zip(buckets) {
                below = below.saturating_add(*count);
                page.bucket(name, pairs, &bound.to_string(), below);
            }
            let beyond = buckets.get(bounds.len()).copied().unwrap_or_default();
            page.histogram_end(name, pairs, below.saturating_add(beyond), *sum);
        }
    }
}
