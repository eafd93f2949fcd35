//! The order of measurements, and what is checked about each.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    Settings,
    contestant::{Contestant, Rules},
};
use crate::{
    Result, process,
    waf::{Engine, Judged, Place, UNBOUNDED},
};

/// Requests of each shape that a round replays.
const SHAPE_SLICE: usize = 40;
/// Requests that each engine replays before anything counts: what is compiled at first sight is then compiled.
const WARM_UP: usize = 100;
/// Requests that begin a slice and do not count: whose turn was before has emptied the caches of the core.
const LEAD_IN: usize = 10;
/// Rounds of hostile bodies.
const HOSTILE_ROUNDS: usize = 3;
/// Longer than this a body is not replayed again.
const HOSTILE_LONG_NS: u64 = 500_000_000;
/// An engine is stopped that is not done with all sizes of a hostile body by then.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Sizes of hostile bodies.
pub const SIZES: [usize; 6] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, (128 << 10) - 64, 1 << 20];
/// How many of them peers are asked about.
pub const PEER_SIZES: usize = 4;
/// How many of them are within the default bounds.
pub const BOUNDED_SIZES: usize = 5;

/// What requests of a kind must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// All pass.
    Clean,
    /// All are refused.
    Attacks,
    /// Most attacks are refused and most ordinary requests pass.
    Traffic,
}

/// A file of requests.
#[derive(Debug)]
pub struct Corpus {
    /// Its name.
    pub name: &'static str,
    /// What its table says.
    pub label: &'static str,
    guard: Guard,
}

/// All of them; the recorded requests come first.
pub const CORPORA: &[Corpus] = &[
    Corpus { name: "traffic", label: "recorded requests", guard: Guard::Traffic },
    Corpus { name: "tiny-get", label: "GET with 3 fields", guard: Guard::Clean },
    Corpus { name: "header-get", label: "GET with 10 fields, 3 arguments", guard: Guard::Clean },
    Corpus { name: "json-post", label: "POST of 1 KiB of JSON, 57 leaves", guard: Guard::Clean },
    Corpus { name: "form-post", label: "POST of a form of 1 KiB, 35 fields", guard: Guard::Clean },
    Corpus { name: "sqli-get", label: "GET with SQL injection", guard: Guard::Attacks },
];

/// Hostile bodies, as `waf_corpus` names their files.
pub const HOSTILE: &[&str] = &[
    "letters",
    "quotes",
    "angles",
    "tags",
    "comments",
    "open-comments",
    "words-of-SQL",
    "encoded-twice",
    "entities",
    "spaces",
    "path-steps",
    "shell",
    "arguments",
    "names",
    "nested-JSON",
    "JSON-leaves",
    "JSON-escapes",
    "nested-XML",
    "parts",
];

/// What one engine did.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub contestant: &'static Contestant,
    /// How long its rules took to load.
    pub load_us: u64,
    /// Its memory after all of [`CORPORA`].
    pub memory_kib: u64,
    /// For each corpus, for each round, nanoseconds of each request.
    pub times: Vec<Vec<Vec<u64>>>,
    /// Ordinary requests among the recorded ones that it refused, and attacks, of how many.
    pub quality: [(usize, usize); 2],
    /// For each kind of hostile body, for each size that was done in time, nanoseconds; the median of rounds.
    pub hostile: Vec<Vec<u64>>,
    /// The same without bounds.
    pub unbounded: Vec<Vec<u64>>,
}

/// All that was measured.
#[derive(Debug)]
pub struct Results {
    /// Engine by engine.
    pub rows: Vec<Row>,
    /// Answers that are wrong.
    pub failures: Vec<String>,
}

/// Measures everything.
pub fn run(settings: &Settings, place: &Place) -> Result<Results> {
    let mut course = Course::prepare(settings, place)?;
    for (file, corpus) in CORPORA.iter().enumerate() {
        course.replay(file, corpus)?;
    }
    let Course { mut rows, mut failures, .. } = course;
    failures.extend(rows.iter().filter_map(Row::fault));
    if settings.hostile {
        rows.iter_mut().try_for_each(|row| hostile(place, row))?;
    }
    Ok(Results { rows, failures })
}

/// Engines that run, and what they did so far.
struct Course<'a> {
    settings: &'a Settings,
    /// Which of the recorded requests are attacks.
    attacks: Vec<bool>,
    engines: Vec<Engine>,
    rows: Vec<Row>,
    failures: Vec<String>,
}

impl<'a> Course<'a> {
    fn prepare(settings: &'a Settings, place: &Place) -> Result<Self> {
        let (records, attacks) = records(settings, place)?;
        let (mut engines, mut rows) = (Vec::new(), Vec::new());
        for contestant in &settings.contestants {
            println!("bench: loading {}", contestant.label);
            let engine = contestant.start_with(place, &records, &[], None)?;
            rows.push(Row::new(contestant, &engine));
            engines.push(engine);
        }
        Ok(Self { settings, attacks, engines, rows, failures: Vec::new() })
    }

    /// All rounds of a file of requests.
    fn replay(&mut self, file: usize, corpus: &Corpus) -> Result {
        let slice = slice(self.settings, corpus, self.attacks.len());
        println!("bench: {}, {} rounds of {slice}", corpus.label, self.settings.rounds);
        for engine in &mut self.engines {
            engine.replay(file, 0, WARM_UP)?;
        }
        for round in 0..self.settings.rounds {
            let from = WARM_UP + round * (LEAD_IN + slice) + LEAD_IN;
            for turn in 0..self.engines.len() {
                let at = (turn + round) % self.engines.len();
                self.take_turn(at, file, from..from + slice)?;
            }
        }
        Ok(())
    }

    fn take_turn(&mut self, at: usize, file: usize, slice: Range<usize>) -> Result {
        let (engine, row) = (&mut self.engines[at], &mut self.rows[at]);
        engine.replay(file, slice.start - LEAD_IN, slice.start)?;
        let replay = engine.replay(file, slice.start, slice.end)?;
        row.memory_kib = replay.memory_kib;
        row.take(file, &replay.judged, self.attacks.get(slice).unwrap_or_default());
        self.failures.extend(CORPORA[file].fault(row.contestant, &replay.judged));
        Ok(())
    }
}

/// The files of [`CORPORA`], and which of the recorded requests are attacks.
fn records(settings: &Settings, place: &Place) -> Result<(Vec<PathBuf>, Vec<bool>)> {
    let traffic = place.traffic()?;
    let names = std::fs::read_to_string(traffic.with_extension("names"))?;
    let attacks = names.lines().map(|name| name.starts_with("attack/")).take(settings.requests);
    let folder = place.file("shapes");
    std::fs::create_dir_all(&folder)?;
    let count = WARM_UP + settings.rounds * (LEAD_IN + SHAPE_SLICE);
    let mut corpus = place.program("waf_corpus");
    process::run(corpus.arg("shapes").arg(&folder).arg(count.to_string()))?;
    let shapes = CORPORA[1..].iter().map(|corpus| folder.join(corpus.name));
    Ok((std::iter::once(traffic).chain(shapes).collect(), attacks.collect()))
}

fn slice(settings: &Settings, corpus: &Corpus, traffic: usize) -> usize {
    match corpus.guard {
        Guard::Traffic => {
            (traffic.saturating_sub(WARM_UP) / settings.rounds).saturating_sub(LEAD_IN)
        }
        Guard::Clean | Guard::Attacks => SHAPE_SLICE,
    }
}

fn hostile(place: &Place, row: &mut Row) -> Result {
    println!("bench: hostile bodies, {}", row.contestant.label);
    let folder = place.file("hostile");
    std::fs::create_dir_all(&folder)?;
    let mut corpus = place.program("waf_corpus");
    corpus.arg("hostile").arg(&folder).args(SIZES.map(|size| size.to_string()));
    process::run(&mut corpus)?;
    let sizes = if row.contestant.is_peer { PEER_SIZES } else { SIZES.len() };
    for name in HOSTILE {
        let records = folder.join(name);
        row.hostile.push(bodies(row.contestant, place, &records, &[], sizes)?);
        if !row.contestant.is_peer {
            row.unbounded.push(bodies(row.contestant, place, &records, &UNBOUNDED, sizes)?);
        }
    }
    Ok(())
}

/// For each size, how long a body takes; fewer where an engine was not done in time.
fn bodies(
    contestant: &Contestant,
    place: &Place,
    records: &Path,
    options: &[&str],
    sizes: usize,
) -> Result<Vec<u64>> {
    let start = Instant::now();
    let mut engine = contestant.start_with(place, &[records.into()], options, Some(PATIENCE))?;
    let mut times = Vec::new();
    for size in 0..sizes {
        match body(&mut engine, size) {
            Ok(time) => times.push(time),
            Err(_) if start.elapsed() >= PATIENCE => break,
            Err(error) => return Err(error),
        }
    }
    Ok(times)
}

/// The median of rounds, after one that does not count; where that one took long, it will do.
fn body(engine: &mut Engine, size: usize) -> Result<u64> {
    let mut once = || Ok(engine.replay(0, size, size + 1)?.judged[0].ns);
    let first = once()?;
    if first > HOSTILE_LONG_NS {
        return Ok(first);
    }
    let mut times = (0..HOSTILE_ROUNDS).map(|_| once()).collect::<Result<Vec<u64>>>()?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

impl Corpus {
    fn fault(&self, contestant: &Contestant, judged: &[Judged]) -> Option<String> {
        let refused = judged.iter().filter(|judged| judged.status != 0).count();
        let wrong = match self.guard {
            Guard::Clean => refused,
            Guard::Attacks => judged.len() - refused,
            Guard::Traffic => 0,
        };
        let (label, all) = (contestant.label, judged.len());
        (wrong > 0).then(|| format!("{label}: {}: {wrong} of {all} are judged wrong", self.label))
    }
}

impl Row {
    fn new(contestant: &'static Contestant, engine: &Engine) -> Self {
        Self {
            contestant,
            load_us: engine.load_us,
            memory_kib: 0,
            times: CORPORA.iter().map(|_| Vec::new()).collect(),
            quality: [(0, 0); 2],
            hostile: Vec::new(),
            unbounded: Vec::new(),
        }
    }

    fn take(&mut self, file: usize, judged: &[Judged], attacks: &[bool]) {
        self.times[file].push(judged.iter().map(|judged| judged.ns).collect());
        if CORPORA[file].guard != Guard::Traffic {
            return;
        }
        for (judged, attack) in judged.iter().zip(attacks) {
            let (refused, all) = &mut self.quality[usize::from(*attack)];
            *refused += usize::from(judged.status != 0);
            *all += 1;
        }
    }

    /// What its quality on the recorded requests would have to be: speed without it says nothing.
    fn fault(&self) -> Option<String> {
        let (wrong_max, right_min) = match self.contestant.rules {
            Rules::Core => (20.0, 50.0),
            Rules::Native => (1.0, 86.0),
        };
        let [wrong, right] = self.shares();
        let label = self.contestant.label;
        (wrong > wrong_max || right < right_min).then(|| {
            format!(
                "{label}: refuses {wrong:.2} % of ordinary requests and {right:.1} % of attacks"
            )
        })
    }

    /// Percent of ordinary requests that it refused, and of attacks.
    pub fn shares(&self) -> [f64; 2] {
        self.quality.map(|(refused, all)| 100.0 * refused as f64 / all.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::contestant::ALL, *};

    fn judged(statuses: &[u16]) -> Vec<Judged> {
        statuses.iter().map(|status| Judged { status: *status, ns: 1, ids: Vec::new() }).collect()
    }

    #[test]
    fn what_is_judged_wrong_is_a_fault() {
        let fault = |corpus: usize, statuses: &[u16]| {
            CORPORA[corpus].fault(&ALL[0], &judged(statuses)).is_some()
        };
        assert!(!fault(1, &[0, 0]) && fault(1, &[0, 403]));
        assert!(!fault(5, &[403, 403]) && fault(5, &[0, 403]));
        assert!(!fault(0, &[0, 403]));
    }
}
