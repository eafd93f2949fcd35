//! The order of measurements.

use serde_json::Value;

use super::{
    super::{peer::free_address, pinned::Server},
    Settings,
    load::{Place, file_system},
    server::{self, Contestant, Kind, Programs, Running},
};
use crate::Result;

/// Writers of a table of appends; `None` is those that do not wait.
type Writers = Option<u32>;

/// Appends in this process: what the load calls it, its row, its writers.
const IN_PROCESS: &[(&str, &str, Writers)] = &[
    ("sqlite", "SQLite, WAL, synchronous FULL", Some(1)),
    ("ours", "event log", Some(1)),
    ("sqlite", "SQLite, WAL, synchronous FULL", Some(64)),
    ("ours", "event log", Some(64)),
    ("ours", "event log", Some(1024)),
    ("ours-pipelined", "event log, 2 threads with 8,192 under way each", None),
];
/// Writers over loopback.
const REMOTE: &[u32] = &[1, 64, 1024];
/// What is replayed, and its row.
const REPLAYED: &[(&str, &str)] = &[
    ("ours", "event log"),
    ("ours-in-turns", "event log, 64 streams in turns, one after the other"),
    ("sqlite", "SQLite, SELECT in order"),
    ("nats", "JetStream, ordered consumer"),
];
/// Records per second, and seconds of them, that followers get.
const FOLLOWED_PER_SECOND: u64 = 20;
const FOLLOWED_SECONDS: u64 = 5;
/// Audit entries per second at which it is measured how far heads are behind; 0 is as many as go.
pub const AUDIT_PACES: &[(u32, &str)] = &[(0, "as fast as they go"), (22_000, "22,000 per second")];

/// One row of a table: what each round came to.
#[derive(Debug)]
pub struct Row {
    /// The table.
    pub table: &'static str,
    /// What it is in JSON.
    pub slug: &'static str,
    /// What it is for people.
    pub label: &'static str,
    /// Writers that wait, or the pace of audit entries.
    pub number: Option<u32>,
    /// Round by round; null where it did not work.
    pub rounds: Vec<Value>,
}

/// All that was measured.
#[derive(Debug, Default)]
pub struct Results {
    /// In the order in which they are shown.
    pub rows: Vec<Row>,
    /// The file system of all of them.
    pub file_system: String,
    /// What others did not do.
    pub notes: Vec<String>,
    /// What we did not do.
    pub failures: Vec<String>,
}

/// Measures everything.
pub fn run(settings: &Settings) -> Result<Results> {
    let place = Place::prepare()?;
    let wanted: Vec<&Contestant> =
        settings.peers.iter().copied().filter(|peer| settings.wants(peer.kind)).collect();
    let (programs, missing) = Programs::prepare(&wanted);
    let results = Results { file_system: file_system(&place.file(""))?, ..Results::default() };
    let mut course = Course { settings, place: &place, programs: &programs, results, round: 0 };
    let present = |peer: &&Contestant| missing.iter().all(|(kind, _)| *kind != peer.kind);
    let peers: Vec<&Contestant> = wanted.iter().copied().filter(present).collect();
    for (kind, why) in missing {
        course.tell(kind == Kind::Selvedge, "before the first round", &why);
    }
    if settings.has("replay") {
        course.prepare_replay(&peers);
    }
    for round in 0..settings.rounds {
        println!("bench: round {} of {}", round + 1, settings.rounds);
        course.round = round;
        course.in_process();
        course.replay(&peers)?;
        course.servers(&peers);
        course.audit();
    }
    let results = course.results;
    for folder in ["work", "replay-ours", "replay-ours-in-turns", "replay-sqlite"] {
        place.fresh(folder)?;
    }
    server::clear(&place)?;
    Ok(results)
}

struct Course<'a> {
    settings: &'a Settings,
    place: &'a Place,
    programs: &'a Programs,
    results: Results,
    round: usize,
}

/// What a row is called.
#[derive(Clone, Copy)]
struct Name {
    table: &'static str,
    slug: &'static str,
    label: &'static str,
    number: Option<u32>,
}

impl Course<'_> {
    /// The disk, appends in process and SQLite's.
    fn in_process(&mut self) {
        let seconds = self.settings.seconds.to_string();
        let folder = self.place.file("work").display().to_string();
        let options = [("folder", folder.as_str()), ("seconds", &seconds)];
        let name = Name {
            table: "disk",
            slug: "disk",
            label: "write of 256 B and fdatasync",
            number: None,
        };
        self.take(name, self.place.measure("disk", &options));
        if !self.settings.has("appends") {
            return;
        }
        for (slug, label, writers) in self.in_turn(IN_PROCESS) {
            let count = writers.unwrap_or_default().to_string();
            let options = [options.as_slice(), &[("writers", count.as_str())]].concat();
            let found = self.place.measure(slug, &options);
            self.take(Name { table: "appends", slug, label, number: writers }, found);
        }
    }

    /// Appends over loopback, and followers: one server at a time, so that nobody else writes.
    fn servers(&mut self, peers: &[&'static Contestant]) {
        for peer in self.in_turn(peers) {
            for (part, measure) in [
                ("servers", Self::remote_appends as fn(&mut Self, &'static Contestant, &Running)),
                ("fan-out", Self::fan_out),
            ] {
                if !self.settings.has(part) || (part == "fan-out" && !peer.kind.has_followers()) {
                    continue;
                }
                match self.programs.start(peer.kind, self.place) {
                    Ok(running) => measure(self, peer, &running),
                    Err(error) => self.tell(peer.kind == Kind::Selvedge, peer.label, &error),
                }
            }
        }
    }

    fn remote_appends(&mut self, peer: &'static Contestant, running: &Running) {
        for writers in REMOTE {
            let own = [
                ("writers", writers.to_string()),
                ("seconds", self.settings.seconds.to_string()),
                ("run", format!("w{writers}")),
            ];
            let found = self.beside(running, running.protocol, &own);
            let Contestant { slug, label, .. } = peer;
            self.take(Name { table: "servers", slug, label, number: Some(*writers) }, found);
        }
    }

    fn fan_out(&mut self, peer: &'static Contestant, running: &Running) {
        let processes = running.server.processes().unwrap_or_default();
        let own = [
            ("followers", self.settings.followers.to_string()),
            ("per_second", FOLLOWED_PER_SECOND.to_string()),
            ("records", (FOLLOWED_PER_SECOND * FOLLOWED_SECONDS).to_string()),
            ("run", "fan".to_owned()),
            ("processes", processes.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        ];
        let found = self.beside(running, "fan-out", &own);
        let Contestant { slug, label, .. } = peer;
        self.take(Name { table: "fan-out", slug, label, number: None }, found);
    }

    fn beside(&self, running: &Running, what: &str, own: &[(&str, String)]) -> Result<Value> {
        let all = running.options.iter().chain(own);
        let options: Vec<(&str, &str)> = all.map(|(name, value)| (*name, value.as_str())).collect();
        self.place.measure_beside(what, &options)
    }

    fn prepare_replay(&mut self, peers: &[&Contestant]) {
        println!("bench: {} records to be replayed", self.settings.records);
        for (slug, label) in REPLAYED.iter().filter(|(slug, _)| *slug != "nats") {
            let prepared = self.replay_step("replay-prepare", slug, None);
            if let Err(error) = prepared {
                self.tell(is_ours(slug), label, &error);
            }
        }
        if peers.iter().all(|peer| peer.kind != Kind::Nats) {
            self.results.notes.push("JetStream's replay: its server is not there".into());
        }
    }

    fn replay(&mut self, peers: &[&Contestant]) -> Result {
        if !self.settings.has("replay") {
            return Ok(());
        }
        let jetstream = peers.iter().any(|peer| peer.kind == Kind::Nats);
        for (slug, label) in self.in_turn(REPLAYED) {
            let found = match slug {
                "nats" if jetstream => self.replay_nats(),
                "nats" => continue,
                _ => self.replay_step("replay", slug, None),
            };
            self.take(Name { table: "replay", slug, label, number: None }, found);
        }
        Ok(())
    }

    /// What is replayed is filled beforehand by a server that syncs seldom: with a sync for each record it would take hours.
    fn replay_nats(&self) -> Result<Value> {
        let address = free_address()?;
        let mut command = self.programs.nats(self.place, address, "")?;
        let mut server = Server::start(&mut command, self.place.file("server.log"))?;
        server.wait_for(address)?;
        let address = address.to_string();
        self.replay_step("replay-prepare", "nats", Some(&address))?;
        self.replay_step("replay", "nats", Some(&address))
    }

    fn replay_step(&self, what: &str, engine: &str, address: Option<&str>) -> Result<Value> {
        let records = self.settings.records.to_string();
        let folder = self.place.file(&format!("replay-{engine}")).display().to_string();
        let options = [("engine", engine), ("records", &records), ("folder", &folder)];
        match address {
            Some(address) => {
                let options = [options.as_slice(), &[("address", address)]].concat();
                self.place.measure_beside(what, &options)
            }
            None => self.place.measure(what, &options),
        }
    }

    fn audit(&mut self) {
        if !self.settings.has("audit") {
            return;
        }
        let seconds = self.settings.seconds.to_string();
        let folder = self.place.file("work").display().to_string();
        for (pace, label) in self.in_turn(AUDIT_PACES) {
            let per_second = pace.to_string();
            let options =
                [("folder", folder.as_str()), ("seconds", &seconds), ("per_second", &per_second)];
            let found = self.place.measure("audit", &options);
            self.take(Name { table: "audit", slug: "audit", label, number: Some(pace) }, found);
        }
    }

    /// All of `list`; who begins changes with the round.
    fn in_turn<T: Copy>(&self, list: &[T]) -> Vec<T> {
        let mut list = list.to_vec();
        let first = self.round % list.len().max(1);
        list.rotate_left(first);
        list
    }

    /// Puts a figure into its row, or says why there is none.
    fn take(&mut self, name: Name, found: Result<Value>) {
        let value = found.unwrap_or_else(|error| {
            let number = name.number.map(|number| format!(" {number}")).unwrap_or_default();
            let round = self.round + 1;
            let who = format!("{}, {}{number}, round {round}", name.table, name.label);
            self.tell(is_ours(name.slug), &who, &error);
            Value::Null
        });
        println!("bench:   {}", line(name, &value));
        let row = self.results.row(name);
        row.rounds.push(value);
    }

    fn tell(&mut self, ours: bool, who: &str, error: &dyn std::fmt::Display) {
        println!("bench:   {who}: {error}");
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let list = if ours { &mut self.results.failures } else { &mut self.results.notes };
        list.push(format!("{who}: {text}"));
    }
}

impl Results {
    /// The row of this name, which is made where it is new.
    fn row(&mut self, name: Name) -> &mut Row {
        let Name { table, slug, label, number } = name;
        let same = |row: &Row| row.table == table && row.slug == slug && row.number == number;
        let at = self.rows.iter().position(same).unwrap_or(self.rows.len());
        if at == self.rows.len() {
            self.rows.push(Row { table, slug, label, number, rounds: Vec::new() });
        }
        &mut self.rows[at]
    }
}

/// Whether a row is of what we promise, or of the disk, and not of somebody beside us.
pub fn is_ours(slug: &str) -> bool {
    slug.starts_with("ours") || matches!(slug, "disk" | "selvedge" | "audit")
}

/// A figure while the run goes on.
fn line(name: Name, value: &Value) -> String {
    let number = name.number.map(|number| format!(" {number}")).unwrap_or_default();
    let figure = |field: &str, unit: &str| {
        value[field].as_f64().map(|figure| format!(" {figure:.2} {unit}")).unwrap_or_default()
    };
    format!(
        "{} {}{number}:{}{}{}",
        name.table,
        name.label,
        figure("per_second", "/s"),
        figure("p50_ms", "ms"),
        figure("p99_ms", "ms")
    )
}
