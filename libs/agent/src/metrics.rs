//! What an agent measures: counters, gauges and histograms, raised from any thread and read when the
//! edge asks.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::report::{
    BUCKETS_MAX, Family, LABELS_MAX, Measured, MetricKind, Report, SERIES_MAX, Series,
    VALUE_BYTES_MAX, is_label, is_name, series_cost,
};

/// The family that tells of series for which there was no room.
const DROPPED: &str = "measurements_dropped_total";

/// What an agent measures. Clones are one registry.
///
/// The edge shows each family as `selvedge_TYPE_NAME`, where `TYPE` is what the config calls the agent's type,
/// with the label `agent`. There is room for [`SERIES_MAX`] series, of which a histogram takes one for each bound
/// and three more; what finds none is measured for nobody, and counted as `measurements_dropped_total`.
///
/// A name that is asked for again is the same family if it is the same in all else; otherwise it
/// begins anew. So a registry can go from an agent to the one that takes over from it.
///
/// ```
/// use selvedge_agent::Metrics;
///
/// let metrics = Metrics::default();
/// let lookups = metrics.counters("lookups_total", "Names that were looked up.", ["result"]);
/// // Found once and kept: to raise it is one instruction.
/// let hits = lookups.with(["hit"]);
/// hits.add(1);
/// lookups.with(["miss"]).add(2);
/// let took = metrics.histogram("lookup_seconds", "What they took.", &[0.001, 0.01, 0.1]);
/// took.record(0.002);
/// assert_eq!(metrics.report().families.len(), 2);
/// ```
#[derive(Clone, Default)]
pub struct Metrics(Arc<Registry>);

#[derive(Default)]
struct Registry {
    families: Mutex<BTreeMap<&'static str, AnyFamily>>,
    room: Arc<Room>,
}

/// Room for series.
#[derive(Default)]
struct Room {
    taken: AtomicUsize,
    /// Series that were asked for when there was none, each time.
    dropped: AtomicU64,
}

impl Room {
    fn take(&self, cost: usize) -> bool {
        let take = |taken: usize| taken.checked_add(cost).filter(|sum| *sum <= SERIES_MAX);
        let taken = self.taken.fetch_update(Relaxed, Relaxed, take).is_ok();
        self.dropped.fetch_add(u64::from(!taken), Relaxed);
        taken
    }
}

impl Metrics {
    /// A number that only rises, such as `refused_total`.
    ///
    /// # Panics
    /// When a name is not one that Prometheus knows, or there are more labels or bounds than an edge takes; so do
    /// the other five.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.counters(name, help, []).with([])
    }

    /// A counter for each set of labels.
    pub fn counters<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Labelled<Counter, N> {
        self.family((name, help), labels, &[])
    }

    /// A number that rises and falls.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.gauges(name, help, []).with([])
    }

    /// A gauge for each set of labels.
    pub fn gauges<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Labelled<Gauge, N> {
        self.family((name, help), labels, &[])
    }

    /// How many measurements lay within each of these bounds, which rise; times are in seconds.
    pub fn histogram(&self, name: &'static str, help: &'static str, bounds: &[f64]) -> Histogram {
        self.histograms(name, help, [], bounds).with([])
    }

    /// A histogram for each set of labels.
    pub fn histograms<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        bounds: &[f64],
    ) -> Labelled<Histogram, N> {
        self.family((name, help), labels, bounds)
    }

    fn family<M: Instrument, const N: usize>(
        &self,
        (name, help): (&'static str, &'static str),
        labels: [&'static str; N],
        bounds: &[f64],
    ) -> Labelled<M, N> {
        assert!(is_name(name), "{name:?} is no name of a metric");
        assert!(N <= LABELS_MAX && labels.iter().all(|label| is_label(label)), "{labels:?}");
        let is_rising = bounds.is_sorted_by(|one, next| one < next);
        assert!(
            is_rising && bounds.len() <= BUCKETS_MAX,
            "{bounds:?} do not rise, or are too many"
        );
        let mut families = self.0.families();
        let known = families.get(name).and_then(M::of);
        let same = known.filter(|known| {
            known.help == help && *known.labels == labels && *known.bounds == *bounds
        });
        let family = same.cloned().unwrap_or_else(|| {
            let family = Arc::new(Cells {
                name,
                help,
                labels: labels.into(),
                cost: series_cost(M::KIND, bounds.len()),
                bounds: bounds.into(),
                series: RwLock::default(),
                room: self.0.room.clone(),
            });
            families.insert(name, M::any(family.clone()));
            family
        });
        Labelled(family)
    }

    /// Everything that was measured.
    pub fn report(&self) -> Report {
        let mut families: Vec<Family> = self.0.families().values().map(AnyFamily::read).collect();
        let dropped = self.0.room.dropped.load(Relaxed);
        if dropped > 0 {
            families.push(Family {
                name: DROPPED.to_owned(),
                kind: MetricKind::Counter,
                help: "Measurements of series for which there was no room.".to_owned(),
                labels: Vec::new(),
                bounds: Vec::new(),
                series: vec![Series { values: Vec::new(), value: Measured::Counter(dropped) }],
            });
        }
        Report { families, left_out: 0, why: None }
    }
}

impl Registry {
    fn families(&self) -> MutexGuard<'_, BTreeMap<&'static str, AnyFamily>> {
        // Families are entered whole.
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.families().keys()).finish()
    }
}

/// What can be measured in: [`Counter`], [`Gauge`] and [`Histogram`].
#[expect(private_interfaces, reason = "nobody else can implement it")]
pub trait Instrument: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    const KIND: MetricKind;
    #[doc(hidden)]
    fn new(bounds: &Arc<[f64]>) -> Self;
    #[doc(hidden)]
    fn measured(&self) -> Measured;
    #[doc(hidden)]
    fn any(family: Arc<Cells<Self>>) -> AnyFamily;
    #[doc(hidden)]
    fn of(family: &AnyFamily) -> Option<&Arc<Cells<Self>>>;
}

enum AnyFamily {
    Counter(Arc<Cells<Counter>>),
    Gauge(Arc<Cells<Gauge>>),
    Histogram(Arc<Cells<Histogram>>),
}

impl AnyFamily {
    fn read(&self) -> Family {
        match self {
            Self::Counter(family) => family.read(),
            Self::Gauge(family) => family.read(),
            Self::Histogram(family) => family.read(),
        }
    }
}

/// A value for each label of a series.
type Values = Box<[Box<str>]>;

/// A family and its series, in the order of their labels' values.
struct Cells<M> {
    name: &'static str,
    help: &'static str,
    labels: Box<[&'static str]>,
    bounds: Arc<[f64]>,
    /// How much room each of its series takes.
    cost: usize,
    series: RwLock<Vec<(Values, M)>>,
    room: Arc<Room>,
}

impl<M: Instrument> Cells<M> {
    fn with(&self, values: &[&str]) -> M {
        let find = |series: &[(Values, M)]| {
            series.binary_search_by(|(own, _)| own.iter().map(|one| &**one).cmp(cut(values)))
        };
        {
            let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
            if let Ok(at) = find(&series) {
                return series[at].1.clone();
            }
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        match find(&series) {
            Ok(at) => series[at].1.clone(),
            Err(at) => {
                let one = M::new(&self.bounds);
                if self.room.take(self.cost) {
                    series.insert(at, (cut(values).map(Box::from).collect(), one.clone()));
                }
                one
            }
        }
    }

    fn read(&self) -> Family {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let read = |(values, one): &(Values, M)| Series {
            values: values.iter().map(|value| value.to_string()).collect(),
            value: one.measured(),
        };
        Family {
            name: self.name.to_owned(),
            kind: M::KIND,
            help: self.help.to_owned(),
            labels: self.labels.iter().map(|label| (*label).to_owned()).collect(),
            bounds: self.bounds.to_vec(),
            series: series.iter().map(read).collect(),
        }
    }
}

/// Values as an edge takes them.
fn cut<'v>(values: &'v [&'v str]) -> impl Iterator<Item = &'v str> {
    values.iter().map(|value| &value[..value.floor_char_boundary(VALUE_BYTES_MAX)])
}

impl<M> Drop for Cells<M> {
    fn drop(&mut self) {
        let series = self.series.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.room.taken.fetch_sub(series.len() * self.cost, Relaxed);
    }
}

/// A family whose series differ by `N` labels.
#[derive(Clone)]
pub struct Labelled<M, const N: usize>(Arc<Cells<M>>);

impl<M: Instrument, const N: usize> Labelled<M, N> {
    /// The one with these values of labels; values are cut at [`VALUE_BYTES_MAX`] bytes. It is searched for under
    /// a lock that readers share: who needs it often keeps it.
    pub fn with(&self, values: [&str; N]) -> M {
        self.0.with(&values)
    }
}

impl<M, const N: usize> fmt::Debug for Labelled<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.0.name, self.0.labels)
    }
}

/// A number that only rises.
#[derive(Clone, Debug)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Raises it.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How high it is.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Says what it is now. What is not finite is not shown.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// Moves it, down if `more` is negative.
    pub fn add(&self, more: f64) {
        add(&self.0, more);
    }

    /// What it is.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

/// How many measurements lay within which bound.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: Arc<[f64]>,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Counts a measurement; what is not finite is none.
    #[inline]
    pub fn record(&self, value: f64) {
        if value.is_finite() {
            let Buckets { bounds, counts, sum } = &*self.0;
            let bucket = bounds.partition_point(|bound| *bound < value);
            counts[bucket].fetch_add(1, Relaxed);
            add(sum, value);
        }
    }

    /// Counts a duration, in seconds.
    #[inline]
    pub fn record_duration(&self, took: Duration) {
        self.record(took.as_secs_f64());
    }

    /// Measurements so far.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Relaxed)).sum()
    }
}

fn add(cell: &AtomicU64, more: f64) {
    let sum = |bits| Some((f64::from_bits(bits) + more).to_bits());
    // It never says that there is nothing to store.
    let _ = cell.fetch_update(Relaxed, Relaxed, sum);
}

macro_rules! instrument {
    ($kind:ident, $new:expr, $measured:expr) => {
        #[expect(private_interfaces, reason = "nobody else can implement it")]
        impl Instrument for $kind {
            const KIND: MetricKind = MetricKind::$kind;

            fn new(bounds: &Arc<[f64]>) -> Self {
                $new(bounds)
            }

            fn measured(&self) -> Measured {
                $measured(self)
            }

            fn any(family: Arc<Cells<Self>>) -> AnyFamily {
                AnyFamily::$kind(family)
            }

            fn of(family: &AnyFamily) -> Option<&Arc<Cells<Self>>> {
                match family {
                    AnyFamily::$kind(family) => Some(family),
                    _ => None,
                }
            }
        }
    };
}

instrument!(Counter, |_| Counter(Arc::default()), |one: &Counter| Measured::Counter(one.get()));
instrument!(Gauge, |_| Gauge(Arc::default()), |one: &Gauge| Measured::Gauge(one.get()));
instrument!(
    Histogram,
    |bounds: &Arc<[f64]>| {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Buckets { bounds: bounds.clone(), counts, sum: AtomicU64::new(0) }))
    },
    |one: &Histogram| Measured::Histogram {
        buckets: one.0.counts.iter().map(|count| count.load(Relaxed)).collect(),
        sum: f64::from_bits(one.0.sum.load(Relaxed)),
    }
);
