//! The order of measurements, and what is checked about each.

use std::{
    fs,
    net::SocketAddr,
    ops::Range,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        peer::{self, Origin, free_address, installed},
        pinned::{self, Core, Server},
        waf::contestant::{self as engines, Rules},
    },
    Settings,
    config::{self, Wiring},
    contestant::{Contestant, Proxy},
};
use crate::{
    Result, process,
    waf::{Engine, Place},
};

/// Connections of the load that asks for all that can be had.
const CONNECTIONS: usize = 16;
/// Requests that begin each slice and do not count, at least.
const LEAD_IN: usize = 20;
/// How long a proxy may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// What requests of a kind must come to where there are rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
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
    /// What is checked.
    pub guard: Guard,
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

/// One round of one corpus.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Requests per second over [`CONNECTIONS`].
    pub rate: f64,
    /// Microseconds of processor for each of these requests, of all processes of the proxy.
    pub cpu_us: f64,
    /// Share of the core that they used.
    pub busy: f64,
    /// Over one connection, each request by itself: status, and nanoseconds until its answer was there.
    pub alone: Vec<(u16, u64)>,
    /// What the engine takes for the same requests without a proxy, in nanoseconds; nothing without rules.
    pub engine: Vec<u64>,
    /// What the engine takes for those that `cpu_us` is about, in microseconds for each.
    pub engine_us: f64,
}

/// What one contestant did.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub contestant: &'static Contestant,
    /// For each corpus, for each round.
    pub samples: Vec<Vec<Sample>>,
    /// Memory of its processes after all of it, in bytes.
    pub memory: u64,
    /// Ordinary requests among the recorded ones that it refused, and attacks, of how many.
    pub quality: [(usize, usize); 2],
}

/// All that was measured.
#[derive(Debug)]
pub struct Results {
    /// Contestant by contestant.
    pub rows: Vec<Row>,
    /// Answers that are wrong.
    pub failures: Vec<String>,
    /// Recorded requests that were replayed.
    pub recorded: usize,
}

/// Measures everything.
pub fn run(settings: &Settings, place: &Place, files: &peer::Place) -> Result<Results> {
    let origin = Origin::start(files)?;
    let mut course = Course::prepare(settings, place, (files, &origin))?;
    for corpus in 0..CORPORA.len() {
        course.replay(corpus)?;
    }
    let Course { runners, mut rows, mut failures, attacks, .. } = course;
    for (row, runner) in rows.iter_mut().zip(&runners) {
        row.memory = runner.server.memory()?;
    }
    failures.extend(rows.iter().filter_map(Row::fault));
    Ok(Results { rows, failures, recorded: attacks.len() })
}

/// A contestant that runs, and the engine that it has.
struct Runner {
    contestant: &'static Contestant,
    address: SocketAddr,
    server: Server,
    engine: Option<Engine>,
}

struct Course<'a> {
    settings: &'a Settings,
    place: &'a Place,
    /// A file for each of [`CORPORA`].
    records: Vec<PathBuf>,
    /// Which of the recorded requests are attacks.
    attacks: Vec<bool>,
    runners: Vec<Runner>,
    rows: Vec<Row>,
    failures: Vec<String>,
}

impl<'a> Course<'a> {
    fn prepare(
        settings: &'a Settings,
        place: &'a Place,
        ground: (&peer::Place, &Origin),
    ) -> Result<Self> {
        let (records, attacks) = records(settings, place, ground)?;
        let mut runners = Vec::new();
        for contestant in &settings.contestants {
            println!("bench: starting {}", contestant.label);
            let mut runner = Runner::start(contestant, ground)?;
            runner.engine = engine(contestant, place, &records)?;
            runners.push(runner);
        }
        let rows = runners.iter().map(|runner| Row {
            contestant: runner.contestant,
            samples: CORPORA.iter().map(|_| Vec::new()).collect(),
            memory: 0,
            quality: [(0, 0); 2],
        });
        let rows = rows.collect();
        Ok(Self { settings, place, records, attacks, runners, rows, failures: Vec::new() })
    }

    /// All rounds of a file of requests.
    fn replay(&mut self, corpus: usize) -> Result {
        let Settings { rounds, shaped, .. } = *self.settings;
        let slice = match CORPORA[corpus].guard {
            Guard::Traffic => self.attacks.len() / rounds,
            Guard::Clean | Guard::Attacks => shaped,
        };
        println!("bench: {}, {rounds} rounds of {slice}", CORPORA[corpus].label);
        for round in 0..rounds {
            for turn in 0..self.runners.len() {
                let at = (turn + round) % self.runners.len();
                self.take_turn(at, corpus, round * slice..(round + 1) * slice)?;
            }
        }
        Ok(())
    }

    /// A tenth of a slice to get warm, two thirds of the rest over many connections, and what is left over one.
    fn take_turn(&mut self, at: usize, corpus: usize, slice: Range<usize>) -> Result {
        let (runner, records) = (&mut self.runners[at], &self.records[corpus]);
        let warm = slice.start + (slice.len() / 10).max(LEAD_IN).min(slice.len());
        let split = warm + (slice.end - warm) * 2 / 3;
        load(self.place, runner.address, records, (slice.start..warm, CONNECTIONS))?;
        let before = runner.server.cpu_seconds()?;
        let many = load(self.place, runner.address, records, (warm..split, CONNECTIONS))?;
        let cpu = runner.server.cpu_seconds()? - before;
        let one = load(self.place, runner.address, records, (split..slice.end, 1))?;
        let count = many.answers.len().max(1) as f64;
        let judged = match &mut runner.engine {
            Some(engine) => {
                engine.replay(corpus, slice.start, warm)?;
                engine.replay(corpus, warm, slice.end)?.judged.iter().map(|it| it.ns).collect()
            }
            None => Vec::new(),
        };
        let (of_many, of_one) = judged.split_at(if judged.is_empty() { 0 } else { split - warm });
        let sample = Sample {
            rate: count / many.seconds,
            cpu_us: cpu * 1e6 / count,
            busy: cpu / many.seconds,
            engine: of_one.to_vec(),
            engine_us: of_many.iter().sum::<u64>() as f64 / 1000.0 / count,
            alone: one.answers.clone(),
        };
        println!(
            "  {:<40} {:>8.0}/s  cpu {:>8.1} µs  busy {:>3.0} %",
            runner.contestant.label,
            sample.rate,
            sample.cpu_us,
            sample.busy * 100.0,
        );
        let statuses: Vec<u16> =
            many.answers.iter().chain(&one.answers).map(|(status, _)| *status).collect();
        let row = &mut self.rows[at];
        row.samples[corpus].push(sample);
        let attacks = match CORPORA[corpus].guard {
            Guard::Traffic => &self.attacks[warm..slice.end],
            Guard::Clean | Guard::Attacks => &[],
        };
        self.failures.extend(row.take(corpus, &statuses, attacks));
        Ok(())
    }
}

impl Runner {
    fn start(
        contestant: &'static Contestant,
        (files, origin): (&peer::Place, &Origin),
    ) -> Result<Self> {
        let folder = files.file(&format!("waf-{}", contestant.slug));
        fs::create_dir_all(&folder)?;
        let address = free_address()?;
        let wiring = Wiring { address, origin: origin.first, folder: &folder };
        let mut command = match contestant.proxy {
            Proxy::Nginx => {
                let (file, rules) = (folder.join("nginx.conf"), folder.join("rules.conf"));
                let (text, includes) = config::nginx(contestant, &wiring)?;
                fs::write(&file, text)?;
                fs::write(rules, includes)?;
                let mut command = pinned::command(Core::Proxy, installed("nginx")?);
                command.arg("-p").arg(&folder).arg("-c").arg(file);
                command
            }
            Proxy::Selvedge => {
                let file = folder.join("selvedge.kdl");
                fs::write(&file, config::selvedge(contestant, &wiring)?)?;
                let mut command = pinned::command(Core::Proxy, super::super::packaged("selvedge"));
                command.args(["edge", "--config"]).arg(file);
                command
            }
        };
        let mut server = Server::start(&mut command, folder.join("said.log"))?;
        server.wait_for(address)?;
        let runner = Self { contestant, address, server, engine: None };
        runner.wait()?;
        Ok(runner)
    }

    /// Agents may start after the door opens; until then nothing passes.
    fn wait(&self) -> Result {
        let start = Instant::now();
        let url = format!("http://{}/small", self.address);
        let ask = ["-s", "-o", "/dev/null", "-w", "%{response_code}", "-m5", &url, "-A", "bench"];
        loop {
            let status = process::output("curl", &ask).unwrap_or_default();
            if status == "200" {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let (label, said) = (self.contestant.label, self.server.said());
                return Err(format!("{label}: it never answered 200, last {status}: {said}").into());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The engine of a contestant of ours, without the proxy.
fn engine(contestant: &Contestant, place: &Place, records: &[PathBuf]) -> Result<Option<Engine>> {
    let slug = match (contestant.proxy, contestant.rules) {
        (Proxy::Selvedge, Some(Rules::Core)) => "core",
        (Proxy::Selvedge, Some(Rules::Native)) => "native",
        (Proxy::Selvedge, None) | (Proxy::Nginx, _) => return Ok(None),
    };
    let own = engines::ALL.iter().find(|engine| engine.slug == slug);
    let own = own.expect("both of our engines are measured by themselves");
    own.start_with(place, records, &[], None).map(Some)
}

/// The files of [`CORPORA`], and which of the recorded requests are attacks: those that both proxies let pass while
/// they have no rules.
fn records(
    settings: &Settings,
    place: &Place,
    ground: (&peer::Place, &Origin),
) -> Result<(Vec<PathBuf>, Vec<bool>)> {
    let (folder, shapes) = (place.file("proxy"), place.file("shapes"));
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(&shapes)?;
    let traffic = place.traffic()?;
    let mut corpus = place.program("waf_corpus");
    let count = settings.rounds * settings.shaped;
    process::run(corpus.arg("shapes").arg(&shapes).arg(count.to_string()))?;
    let bare: Vec<Runner> = [0, 2]
        .map(|at| Runner::start(&super::contestant::ALL[at], ground))
        .into_iter()
        .collect::<Result<_>>()?;
    let addresses = bare.iter().map(|runner| runner.address.to_string());
    let addresses: Vec<String> = addresses.collect();
    let mut records = Vec::new();
    for corpus in CORPORA {
        let from = match corpus.guard {
            Guard::Traffic => traffic.clone(),
            Guard::Clean | Guard::Attacks => shapes.join(corpus.name),
        };
        let to = folder.join(corpus.name);
        let mut filter = pinned::command(Core::Load, place.path("waf_load"));
        process::run(filter.arg("filter").arg(from).arg(&to).args(&addresses))?;
        records.push(to);
    }
    let mut kinds = place.program("waf_load");
    let kinds = process::capture(kinds.arg("kinds").arg(&records[0]))?;
    let attacks = kinds.lines().map(|kind| kind == "attack").take(settings.requests);
    Ok((records, attacks.collect()))
}

/// What came of a slice.
struct Loaded {
    seconds: f64,
    /// Status, and nanoseconds until the answer was there.
    answers: Vec<(u16, u64)>,
}

fn load(
    place: &Place,
    address: SocketAddr,
    records: &PathBuf,
    (slice, connections): (Range<usize>, usize),
) -> Result<Loaded> {
    let mut load = pinned::command(Core::Load, place.path("waf_load"));
    load.arg("run").arg(records).arg(address.to_string());
    load.args([slice.start, slice.end, connections].map(|number| number.to_string()));
    let said = process::capture(&mut load)?;
    let loaded = read(&said).ok_or("the load does not say what came of it")?;
    match loaded.answers.len() == slice.len() {
        true => Ok(loaded),
        false => {
            Err(format!("{} answers to {} requests", loaded.answers.len(), slice.len()).into())
        }
    }
}

fn read(said: &str) -> Option<Loaded> {
    let (lines, done) = said.trim_end().rsplit_once('\n').unwrap_or(("", said.trim_end()));
    let seconds = done.strip_prefix("done ")?.split(' ').next()?.parse::<f64>().ok()? / 1e9;
    let answer = |line: &str| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    Some(Loaded { seconds, answers: lines.lines().map(answer).collect::<Option<_>>()? })
}

/// The origin's own answer: it knows some of the paths.
pub fn passes(status: u16) -> bool {
    matches!(status, 200 | 404)
}

impl Row {
    /// Counts what was refused; what is wrong about it.
    fn take(&mut self, corpus: usize, statuses: &[u16], attacks: &[bool]) -> Option<String> {
        for (status, attack) in statuses.iter().zip(attacks) {
            let (refused, all) = &mut self.quality[usize::from(*attack)];
            *refused += usize::from(!passes(*status));
            *all += 1;
        }
        let guard = match self.contestant.rules {
            Some(_) => CORPORA[corpus].guard,
            None => Guard::Clean,
        };
        let wrong = statuses.iter().filter(|status| match guard {
            Guard::Clean => !passes(**status),
            Guard::Attacks => **status != 403,
            // Bodies that are broken, of a wrong type or too large have statuses of their own.
            Guard::Traffic => !passes(**status) && !matches!(**status, 400 | 403 | 413 | 415),
        });
        let (wrong, all) = (wrong.count(), statuses.len());
        let (label, corpus) = (self.contestant.label, CORPORA[corpus].label);
        (wrong > 0).then(|| format!("{label}: {corpus}: {wrong} of {all} are answered wrong"))
    }

    /// What its quality on the recorded requests would have to be: speed without it says nothing.
    fn fault(&self) -> Option<String> {
        let (wrong_max, right_min) = match self.contestant.rules? {
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

    fn row(at: usize) -> Row {
        Row { contestant: &ALL[at], samples: Vec::new(), memory: 0, quality: [(0, 0); 2] }
    }

    #[test]
    fn what_is_answered_wrong_is_a_fault() {
        let wrong = |at: usize, corpus: usize, statuses: &[u16]| {
            row(at).take(corpus, statuses, &[]).is_some()
        };
        assert!(!wrong(3, 1, &[200, 404]) && wrong(3, 1, &[200, 403]));
        assert!(!wrong(3, 5, &[403, 403]) && wrong(3, 5, &[403, 404]) && wrong(3, 5, &[503]));
        assert!(!wrong(3, 0, &[403, 200]) && wrong(3, 0, &[502]) && wrong(3, 0, &[0]));
        assert!(!wrong(0, 5, &[404]) && wrong(0, 5, &[403]));
    }

    #[test]
    fn quality_is_of_what_was_refused() {
        let mut row = row(1);
        row.take(0, &[200, 403, 403, 404], &[false, false, true, true]);
        assert_eq!(row.shares(), [50.0, 50.0]);
        assert!(row.fault().is_some());
    }

    #[test]
    fn the_load_is_read() {
        let loaded = read("7 200 1500\n8 0 9\ndone 2000000000 1\n").unwrap();
        assert_eq!((loaded.seconds, loaded.answers), (2.0, vec![(200, 1500), (0, 9)]));
        assert!(read("7 200\ndone 1 1\n").is_none() && read("").is_none());
    }
}
