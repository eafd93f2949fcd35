//! One story from its beginning to where everybody must hold the same.

use super::{Chance, Report, relay::Relay, site::Site};

const SITES: usize = 4;
const STEPS: usize = 300;

/// Tells it.
pub(super) fn tell(mut chance: Chance) -> Report {
    let mut report = Report::default();
    let mut relay = Relay::new(SITES);
    let mut sites: Vec<Site> = (0..SITES).map(|number| Site::new(number, &mut chance)).collect();
    let mut now_ms = 1_000_000;
    for _ in 0..STEPS {
        now_ms += chance.next() % 50;
        let site = chance.below(SITES);
        step(&mut sites[site], &mut relay, now_ms, &mut chance, &mut report);
    }
    end(&mut sites, &mut relay, now_ms, &mut chance, &mut report);
    report
}

fn step(site: &mut Site, relay: &mut Relay, now_ms: u64, chance: &mut Chance, report: &mut Report) {
    match chance.below(40) {
        0..=15 => site.write(now_ms, chance, report),
        16..=20 => site.push(relay, report),
        21 => site.sweep(now_ms, report),
        22..=29 => site.pull(relay, 1 + chance.below(12), report),
        30..=34 => site.acknowledge(relay),
        35 | 36 => relay.compact(report),
        37 => site.restart(),
        38 => site.stay_away(relay),
        _ => report.late += u64::from(site.come_back(relay, now_ms, chance)),
    }
}

fn end(
    sites: &mut [Site],
    relay: &mut Relay,
    now_ms: u64,
    chance: &mut Chance,
    report: &mut Report,
) {
    for site in &mut *sites {
        report.late += u64::from(site.come_back(relay, now_ms, chance));
        site.push(relay, report);
    }
    let expected = relay.document.snapshot();
    for site in &mut *sites {
        site.pull(relay, usize::MAX, report);
        assert!(site.snapshot() == expected, "replicas differ in the end");
    }
    let mut joined = sites[0].document().clone();
    sites.iter().for_each(|site| joined.merge(site.document()));
    report.joins += sites.len() as u64;
    assert!(joined.snapshot() == expected, "what is equal differs when it is joined");
    relay.check();
}
