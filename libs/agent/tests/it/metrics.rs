//! What agents measure: what an edge takes of it, and what an agent keeps.

use std::{
    num::NonZero,
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

use bytes::BufMut;
use expect_test::{Expect, expect};
use proptest::{collection::vec, prelude::*};
use selvedge_agent::{
    Agent, AttributesBuf, Counter, Family, Fault, FaultCode, FromAgent, Labelled, Measured,
    MetricKind, Metrics, Options, Report, RequestHead, RequestHeadBuf, RequestLine, SERIES_MAX,
    Series, Subscriptions, TestEdge, VALUE_BYTES_MAX, Verdict,
    frame::{FrameType, METRICS_FRAME_MAX},
    serve_until,
};
use tokio::sync::oneshot;

use crate::{adversary::frame, conversation::Conversation};

/// What an edge takes of this payload.
fn taken(payload: &[u8]) -> Result<Report, Fault> {
    let mut both = Conversation::ready(&Subscriptions::none());
    assert!(both.edge.measure() && !both.edge.measure());
    match both.edge.receive(&mut &frame(FrameType::Metrics, 0, 0, payload)[..])? {
        Some(FromAgent::Metrics(report)) => Ok(report),
        said => panic!("{said:?}"),
    }
}

/// Families that an agent says it has.
#[derive(Default)]
struct Said(Vec<u8>, u16);

impl Said {
    fn family(&mut self, name: &str, kind: u8, labels: &[&str]) -> &mut Self {
        self.1 += 1;
        self.text8(name).0.extend([kind, 0, 0, labels.len() as u8]);
        labels.iter().fold(self, |said, label| said.text8(label))
    }

    /// Bounds, and how many series follow.
    fn of(&mut self, bounds: &[f64], series: u16) -> &mut Self {
        self.0.push(bounds.len() as u8);
        bounds.iter().for_each(|bound| self.0.put_f64(*bound));
        self.0.put_u16(series);
        self
    }

    fn values(&mut self, values: &[&str]) -> &mut Self {
        for value in values {
            self.0.put_u16(value.len() as u16);
            self.0.put_slice(value.as_bytes());
        }
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.put_u64(number);
        self
    }

    fn float(&mut self, number: f64) -> &mut Self {
        self.0.put_f64(number);
        self
    }

    fn text8(&mut self, text: &str) -> &mut Self {
        self.0.push(text.len() as u8);
        self.0.put_slice(text.as_bytes());
        self
    }

    fn payload(&self) -> Vec<u8> {
        let families = u32::from(self.1).to_be_bytes();
        [&[0; 4][..], &families[2..], &self.0].concat()
    }
}

/// Writes a payload, and what is taken of it.
#[track_caller]
fn check(say: impl Fn(&mut Said) -> &mut Said, expected: Expect) {
    let mut said = Said::default();
    say(&mut said);
    let Report { families, left_out, why } = taken(&said.payload()).expect("it has the form");
    let mut text = format!("{left_out} left out: {}\n", why.unwrap_or("-"));
    for Family { name, series, .. } in families {
        text += &format!("{name}\n");
        series.iter().for_each(|one| text += &format!("  {:?} {:?}\n", one.values, one.value));
    }
    expected.assert_eq(&text);
}

#[test]
fn what_cannot_be_shown_is_left_out() {
    for name in ["", "a b", "a:b", "1a", "ä", "a\n", &"a".repeat(101)] {
        let left_out = expect!["1 left out: a name is not one of Prometheus\n"];
        check(|said| said.family(name, 0, &[]).of(&[], 1).number(1), left_out);
    }
    for label in ["", "agent", "le", "__name__", "a-b", "a\"} 1\nb{c=\""] {
        let left_out =
            expect!["1 left out: a label's name is not one of Prometheus, or is taken\n"];
        check(|said| said.family("a", 0, &[label]).of(&[], 1).values(&["x"]).number(1), left_out);
    }
    check(
        |said| said.family("a", 0, &["x", "x"]).of(&[], 1).values(&["1", "2"]).number(1),
        expect!["1 left out: a label comes twice\n"],
    );
    check(
        |said| said.family("a", 0, &["x"; 9]).of(&[], 1).values(&["1"; 9]).number(1),
        expect!["1 left out: a family has too many labels\n"],
    );
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        check(
            |said| {
                let gauge = said.family("a", 1, &["x"]).of(&[], 2);
                gauge.values(&["bad"]).float(number).values(&["good"]).float(1.5)
            },
            expect![[r#"
                1 left out: a value is no number
                a
                  ["good"] Gauge(1.5)
            "#]],
        );
        check(
            |said| said.family("a", 2, &[]).of(&[], 1).number(1).float(number),
            expect!["1 left out: a value is no number\n"],
        );
        check(
            |said| said.family("a", 2, &[]).of(&[number], 1).number(1).number(1).float(1.0),
            expect!["1 left out: bounds do not rise\n"],
        );
    }
    check(
        |said| said.family("a", 2, &[]).of(&[2.0, 1.0], 1).number(1).number(1).number(1).float(1.0),
        expect!["1 left out: bounds do not rise\n"],
    );
    check(
        |said| {
            let counter = said.family("a", 0, &["x"]).of(&[], 3);
            counter.values(&["b"]).number(1).values(&["a"]).number(2).values(&["b"]).number(3)
        },
        expect![[r#"
            1 left out: a series comes twice
            a
              ["a"] Counter(2)
              ["b"] Counter(1)
        "#]],
    );
    check(
        |said| {
            said.family("a", 0, &[]).of(&[], 1).number(1);
            said.family("a", 1, &[]).of(&[], 1).float(2.0)
        },
        expect![[r#"
            1 left out: a name comes twice
            a
              [] Counter(1)
        "#]],
    );
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    check(
        |said| said.family("a", 0, &["x"]).of(&[], 1).values(&[&long]).number(1),
        expect!["1 left out: a label's value is too long\n"],
    );
}

#[test]
fn what_is_too_much_is_left_out() {
    let mut said = Said::default();
    said.family("a", 0, &["x"]).of(&[], 5_000);
    (0..5_000).for_each(|n| {
        said.values(&[&n.to_string()]).number(n);
    });
    let report = taken(&said.payload()).expect("it has the form");
    assert_eq!((report.series_len(), report.left_out), (SERIES_MAX, 904));
    assert_eq!(report.why, Some("there are too many series"));

    // Of histograms each bound is a series, and so are the last bucket, the sum and the count.
    let mut said = Said::default();
    said.family("a", 2, &["x"]).of(&[1.0], 2_000);
    (0..2_000).for_each(|n| {
        said.values(&[&n.to_string()]).number(n).number(0).float(0.0);
    });
    assert_eq!(taken(&said.payload()).expect("it has the form").series_len(), SERIES_MAX / 4);

    let mut said = Said::default();
    (0..1_000).for_each(|n| {
        said.family(&format!("a{n}"), 0, &[]).of(&[], 1).number(n);
    });
    let report = taken(&said.payload()).expect("it has the form");
    assert_eq!((report.families.len(), report.left_out), (256, 744));
    assert_eq!(report.why, Some("there are too many families"));
}

#[test]
fn what_has_not_the_form_is_a_fault() {
    #[track_caller]
    fn check(say: impl Fn(&mut Said) -> &mut Said) {
        let mut said = Said::default();
        say(&mut said);
        assert_eq!(taken(&said.payload()).expect_err("a fault").code, FaultCode::Malformed);
    }
    check(|said| said.family("a", 3, &[]).of(&[], 0));
    check(|said| said.family("a", 0, &[]).of(&[1.0], 0));
    check(|said| said.family("a", 0, &["x"]).of(&[], 1).number(1));
    check(|said| said.family("a", 0, &[]).of(&[], 1).values(&["x"]).number(1));
    check(|said| said.family("a", 2, &[]).of(&[1.0], 1).number(1).float(1.0));
    check(|said| said.family("a", 0, &[]).of(&[], u16::MAX).number(1));
    check(|said| {
        said.1 = u16::MAX;
        said
    });
    let long = frame(FrameType::Metrics, 0, 0, &vec![0; METRICS_FRAME_MAX as usize + 1]);
    let mut both = Conversation::ready(&Subscriptions::none());
    assert!(both.edge.measure());
    let fault = both.edge.receive(&mut &long[..16]).expect_err("the header suffices");
    assert_eq!(fault.code, FaultCode::TooLarge);
}

/// An agent that has more than fits a frame says so.
#[test]
fn what_fits_no_frame_is_counted() {
    let series = (0..3_000)
        .map(|n| Series { values: vec![format!("{n:0200}")], value: Measured::Counter(n) });
    let family = Family {
        name: "a".to_owned(),
        kind: MetricKind::Counter,
        help: String::new(),
        labels: vec!["x".to_owned()],
        bounds: Vec::new(),
        series: series.collect(),
    };
    let report = Report { families: vec![family], ..Report::default() };
    let mut both = Conversation::ready(&Subscriptions::none());
    both.edge.measure();
    let told = both.tell_agent(usize::MAX, |agent, _| agent.metrics(&report).expect("it asks"));
    told.expect("the protocol is kept");
    let told = both.tell_edge(usize::MAX, |_, said| match said {
        FromAgent::Metrics(heard) => {
            assert_eq!(heard.series_len() + heard.left_out as usize, 3_000);
            assert!(heard.left_out > 0 && heard.series_len() > 1_000);
            assert_eq!(heard.why, Some("there are more than fit a frame"));
        }
        said => panic!("{said:?}"),
    });
    told.expect("the protocol is kept");
}

fn names() -> impl Strategy<Value = String> {
    "[a-z_][a-z0-9_]{0,8}"
}

fn families() -> impl Strategy<Value = Family> {
    let bounds = vec(-1e9..1e9_f64, 0..5).prop_map(|mut bounds| {
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        bounds
    });
    (names(), 0..3_u8, vec(any::<(String, u64, f64)>(), 0..6), bounds).prop_map(
        |(name, kind, series, bounds)| {
            let kind =
                [MetricKind::Counter, MetricKind::Gauge, MetricKind::Histogram][usize::from(kind)];
            let bounds = if kind == MetricKind::Histogram { bounds } else { Vec::new() };
            let value = |number: u64, float: f64| match kind {
                MetricKind::Counter => Measured::Counter(number),
                MetricKind::Gauge => Measured::Gauge(float),
                MetricKind::Histogram => {
                    Measured::Histogram { buckets: vec![number; bounds.len() + 1], sum: float }
                }
            };
            let series = series.into_iter().map(|(label, number, float)| Series {
                values: vec![label],
                value: value(number, if float.is_finite() { float } else { 0.0 }),
            });
            let mut series: Vec<Series> = series.collect();
            series.sort_by(|one, other| one.values.cmp(&other.values));
            series.dedup_by(|one, other| one.values == other.values);
            let labels = vec!["label".to_owned()];
            Family { name, kind, help: "What it is.".to_owned(), labels, bounds, series }
        },
    )
}

proptest! {
    /// What an agent may say is heard as it was said.
    #[test]
    fn what_is_fit_arrives_whole(families in vec(families(), 0..8)) {
        let mut families = families;
        families.sort_by(|one, other| one.name.cmp(&other.name));
        families.dedup_by(|one, other| one.name == other.name);
        families.retain(|family| !family.series.is_empty());
        let said = Report { families, ..Report::default() };
        let mut both = Conversation::ready(&Subscriptions::none());
        both.edge.measure();
        both.tell_agent(usize::MAX, |agent, _| agent.metrics(&said).expect("it asks")).unwrap();
        let mut heard = None;
        both.tell_edge(usize::MAX, |_, said| heard = Some(format!("{said:?}"))).unwrap();
        prop_assert_eq!(heard, Some(format!("{:?}", FromAgent::Metrics(said))));
    }

    /// Garbage is a fault or nothing that could not be shown.
    #[test]
    fn garbage_is_harmless(
        start in prop_oneof![Just(Vec::new()), Just(vec![0, 0, 0, 0, 0, 2, 1, b'a'])],
        rest in vec(prop_oneof![3 => Just(0_u8), 1 => 0..4_u8, 1 => any::<u8>()], 0..200),
    ) {
        if let Ok(report) = taken(&[start, rest].concat()) {
            prop_assert!(report.series_len() <= SERIES_MAX);
        }
    }
}

/// An agent that counts what it is asked about.
struct Meter {
    metrics: Metrics,
    heads: Labelled<Counter, 1>,
}

#[derive(serde::Deserialize)]
struct Nothing {}

impl Agent for Meter {
    type Settings = Nothing;
    type Exchange = ();

    async fn start(_: Nothing, previous: Option<&Self>) -> Result<Self, String> {
        let metrics = previous.map(|previous| previous.metrics.clone()).unwrap_or_default();
        let heads = metrics.counters("heads_total", "Heads that were seen.", ["path"]);
        Ok(Self { metrics, heads })
    }

    fn wants(&self) -> Subscriptions {
        Subscriptions::none().request_headers()
    }

    fn metrics(&self) -> Option<&Metrics> {
        Some(&self.metrics)
    }

    async fn request_headers(&self, request: &RequestHead<'_>, _: &mut ()) -> Verdict {
        self.heads.with([request.path()]).add(1);
        Verdict::allow()
    }
}

/// The counts that an edge is told.
fn counts(edge: &mut TestEdge) -> Vec<(String, Measured)> {
    let report = edge.measure().expect("an agent");
    let series = report.families.into_iter().flat_map(|family| family.series);
    series.map(|one| (one.values.concat(), one.value)).collect()
}

#[test]
fn an_agent_tells_what_it_counted_on_any_connection() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("meter.sock");
    let listener = UnixListener::bind(&path).expect("a path that nobody has");
    let (end, told) = oneshot::channel::<()>();
    let options = Options::new("meter", "1").threads_max(NonZero::new(2).expect("it is not 0"));
    let serving =
        thread::spawn(|| serve_until::<Meter>(options, listener, async { drop(told.await) }));
    let connect = || {
        let stream = UnixStream::connect(&path).expect("it listens");
        TestEdge::over(stream, "{}").expect("an agent")
    };
    let (mut one, mut other) = (connect(), connect());
    assert_eq!(counts(&mut one), []);
    for (is_other, path) in [(false, "/a"), (true, "/a"), (true, "/b")] {
        let edge = if is_other { &mut other } else { &mut one };
        let mut head = RequestHeadBuf::default();
        head.start(RequestLine { method: "GET", target: path, ..RequestLine::default() });
        assert!(edge.ask(&AttributesBuf::default(), &head).expect("a verdict").is_allow());
    }
    let expected =
        [("/a", 2), ("/b", 1)].map(|(path, count)| (path.to_owned(), Measured::Counter(count)));
    assert_eq!(counts(&mut one), expected);
    assert_eq!(one.configure(2, "{ }").expect("an answer"), Ok(()));
    assert_eq!(counts(&mut one), expected, "over a reload");
    assert_eq!(counts(&mut other), expected);
    drop((one, other));
    end.send(()).expect("it runs");
    serving.join().expect("it does not panic").expect("it ends in order");
}

#[test]
fn a_registry_has_a_bound() {
    let metrics = Metrics::default();
    let many = metrics.counters("many_total", "Too many.", ["n"]);
    (0..SERIES_MAX + 10).for_each(|n| many.with([&n.to_string()]).add(1));
    let families = metrics.report().families;
    let [many_read, dropped] = &families[..] else { panic!("{}", families.len()) };
    assert_eq!(many_read.series.len(), SERIES_MAX);
    assert_eq!(
        (&*dropped.name, &dropped.series[0].value),
        ("measurements_dropped_total", &Measured::Counter(10))
    );
    let long = "ä".repeat(VALUE_BYTES_MAX);
    many.with([&long]).add(1);
    assert_eq!(metrics.report().families[0].series.len(), SERIES_MAX);
    // What takes its name and is something else takes its room too.
    drop(many);
    metrics.gauge("many_total", "Something else.").set(2.5);
    let families = metrics.report().families;
    assert_eq!((families[0].kind, families[0].series.len()), (MetricKind::Gauge, 1));
    let again = metrics.counters("more_total", "As many.", ["n"]);
    (0..SERIES_MAX - 1).for_each(|n| again.with([&n.to_string()]).add(1));
    assert_eq!(metrics.report().series_len(), SERIES_MAX + 1, "with the one that counts the rest");
}

#[test]
fn measurements_lie_within_their_bounds() {
    let metrics = Metrics::default();
    let took = metrics.histogram("took_seconds", "How long.", &[0.25, 1.0]);
    [0.0, 0.25, 0.5, 1.0, 4.0, f64::NAN, f64::INFINITY]
        .into_iter()
        .for_each(|one| took.record(one));
    assert_eq!(took.count(), 5);
    let value = &metrics.report().families[0].series[0].value;
    assert_eq!(value, &Measured::Histogram { buckets: vec![2, 2, 1], sum: 5.75 });
    let keys = metrics.gauge("keys", "How many.");
    keys.set(2.0);
    keys.add(-3.5);
    assert_eq!(keys.get(), -1.5);
    let same = metrics.gauge("keys", "How many.");
    assert_eq!(same.get(), -1.5, "the same definition is the same family");
    assert_eq!(metrics.gauge("keys", "How many more.").get(), 0.0);
}
