//! What agents measure themselves, on the edge's page.

use std::sync::Arc;

use expect_test::{Expect, expect};
use selvedge_agent::{Metrics, Report};
use selvedge_telemetry::{AgentFacts, Hub, Labels, Reported, Settings};

/// What the page says of such agents, beside their up and down.
#[track_caller]
fn check(agents: &[(&str, &str, Report)], expected: Expect) {
    let hub = Hub::start(&Settings::quiet(1)).unwrap();
    let names = agents.iter().map(|(id, ..)| *id).collect();
    let labels = hub.register(&Labels { agents: names, ..Labels::default() });
    for (index, (_, kind, report)) in agents.iter().enumerate() {
        let reported = Reported { kind: (*kind).into(), report: Arc::new(report.clone()) };
        labels.agent(index).tell(AgentFacts { reported: Some(reported), ..AgentFacts::default() });
    }
    let page = hub.render_prometheus();
    let from = page.find("# HELP selvedge_agent_series ").unwrap();
    expected.assert_eq(&page[from..]);
}

#[test]
fn families_of_agents_have_their_type_in_the_name_and_their_id_as_a_label() {
    let metrics = Metrics::default();
    metrics.counters("hits_total", "Hits.\nOr \\ \"misses\".", ["by"]).with(["a\"b"]).add(7);
    metrics.gauge("keys", "Keys held.").set(-2.5);
    let took = metrics.histogram("seconds", "What it took.", &[0.00001, 1.0]);
    [0.5, 0.25, 3.0].into_iter().for_each(|one| took.record(one));
    let other = Metrics::default();
    other.gauge("keys", "Not told twice.").set(1.0);
    check(
        &[("one", "cache", metrics.report()), ("two", "cache", other.report())],
        expect![[r##"
            # HELP selvedge_agent_series Series that an agent measures itself and that are shown.
            # TYPE selvedge_agent_series gauge
            selvedge_agent_series{agent="one"} 3
            selvedge_agent_series{agent="two"} 1
            # HELP selvedge_agent_series_left_out Series that an agent measures itself and that are not shown.
            # TYPE selvedge_agent_series_left_out gauge
            selvedge_agent_series_left_out{agent="one"} 0
            selvedge_agent_series_left_out{agent="two"} 0
            # HELP selvedge_cache_hits_total Hits.\nOr \\ "misses".
            # TYPE selvedge_cache_hits_total counter
            selvedge_cache_hits_total{agent="one",by="a\"b"} 7
            # HELP selvedge_cache_keys Keys held.
            # TYPE selvedge_cache_keys gauge
            selvedge_cache_keys{agent="one"} -2.5
            selvedge_cache_keys{agent="two"} 1
            # HELP selvedge_cache_seconds What it took.
            # TYPE selvedge_cache_seconds histogram
            selvedge_cache_seconds_bucket{agent="one",le="0.00001"} 0
            selvedge_cache_seconds_bucket{agent="one",le="1"} 2
            selvedge_cache_seconds_bucket{agent="one",le="+Inf"} 3
            selvedge_cache_seconds_sum{agent="one"} 3.75
            selvedge_cache_seconds_count{agent="one"} 3
        "##]],
    );
}

#[test]
fn names_that_are_taken_are_left_out() {
    let metrics = Metrics::default();
    metrics.counter("calls_total", "Of the edge itself.").add(1);
    metrics.counter("call_duration_seconds_count", "A sample of the edge itself.").add(1);
    metrics.counter("series", "Of this very page.").add(1);
    metrics.counter("fine_total", "Of nobody else.").add(1);
    let other = Metrics::default();
    other.gauge("fine_total", "Another kind.").set(1.0);
    let third = Metrics::default();
    third.histogram("x", "A histogram.", &[1.0]).record(1.0);
    third.counter("x_count", "One of its samples.").add(1);
    let fourth = Metrics::default();
    fourth.histogram("x", "With other bounds.", &[2.0]).record(1.0);
    check(
        &[
            ("one", "agent", metrics.report()),
            ("two", "agent", other.report()),
            ("three", "b", third.report()),
            ("four", "b", fourth.report()),
            ("five", "b", Report { left_out: 3, ..Report::default() }),
        ],
        expect![[r##"
            # HELP selvedge_agent_series Series that an agent measures itself and that are shown.
            # TYPE selvedge_agent_series gauge
            selvedge_agent_series{agent="one"} 1
            selvedge_agent_series{agent="two"} 0
            selvedge_agent_series{agent="three"} 1
            selvedge_agent_series{agent="four"} 0
            selvedge_agent_series{agent="five"} 0
            # HELP selvedge_agent_series_left_out Series that an agent measures itself and that are not shown.
            # TYPE selvedge_agent_series_left_out gauge
            selvedge_agent_series_left_out{agent="one"} 3
            selvedge_agent_series_left_out{agent="two"} 1
            selvedge_agent_series_left_out{agent="three"} 1
            selvedge_agent_series_left_out{agent="four"} 1
            selvedge_agent_series_left_out{agent="five"} 3
            # HELP selvedge_agent_fine_total Of nobody else.
            # TYPE selvedge_agent_fine_total counter
            selvedge_agent_fine_total{agent="one"} 1
            # HELP selvedge_b_x A histogram.
            # TYPE selvedge_b_x histogram
            selvedge_b_x_bucket{agent="three",le="1"} 1
            selvedge_b_x_bucket{agent="three",le="+Inf"} 1
            selvedge_b_x_sum{agent="three"} 1
            selvedge_b_x_count{agent="three"} 1
        "##]],
    );
}
