//! What a relay is measured by: updates at saturation and at a pace, from a few to a few or from one to many, and
//! connections that do nothing.

use std::{
    collections::HashMap,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    runtime::Builder,
    select,
    sync::Semaphore,
    task::{self, LocalSet},
    time,
};

use crate::{
    Result,
    board::Board,
    client::{Heard, Mark, Opening, Update},
    connection::{Connection, Server},
    process,
};

/// What is to be measured, and of whom.
#[derive(Debug, Deserialize)]
pub struct Order {
    #[serde(flatten)]
    server: Server,
    /// The server's processes.
    processes: Vec<u32>,
    /// Begins the names of documents, so that they are new.
    run: String,
    scene: Scene,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Scene {
    Load(Load),
    Idle(Idle),
}

/// Writers that write, and readers that must get everything.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Load {
    documents: u32,
    /// All together; they take turns on the documents.
    writers: u32,
    /// Of each document.
    readers: u32,
    /// Fields that an update sets.
    fields: u32,
    seconds: f64,
    /// Updates of a writer that may be under way, where there is no rate.
    window: usize,
    /// Updates per second of all writers together.
    rate: Option<f64>,
}

/// Connections that have opened a document each, and written one update.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Idle {
    connections: u32,
    /// After they were opened, until they count as idle.
    seconds: f64,
}

/// Before anything is measured, and no longer than that takes.
const WARM_UP_SECONDS: f64 = 1.0;
/// How long the last update may take to be everywhere.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);
/// Connections that are opened at once.
const AT_ONCE: u32 = 50;
/// Updates that a writer sends before it looks at what has come.
const BURST: usize = 32;
/// The timer is no more precise than this; the rest is waited awake.
const TIMER: Duration = Duration::from_millis(2);
/// Idle connections whose documents are looked into.
const SAMPLES: u32 = 50;

/// Measures, and returns figures only of what arrived.
pub fn measure(order: &Order) -> Result<Value> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match order.scene {
            Scene::Load(load) => order.load(load).await,
            Scene::Idle(idle) => order.idle(idle).await,
        }
    })
}

impl Order {
    async fn load(&self, load: Load) -> Result<Value> {
        let memory_before = process::memory(&self.processes)?;
        let board = Rc::new(Board::new(load.writers, load.readers, load.window));
        self.connect(load, &board).await?;
        first(&board).await?;
        time::sleep(Duration::from_secs_f64(load.seconds.clamp(0.0, WARM_UP_SECONDS))).await;
        board.measure();
        let begin = Instant::now();
        let (delivered, own) = (board.delivered(), process::cpu_seconds(&[std::process::id()])?);
        let cpu = process::cpu_seconds(&self.processes)?;
        time::sleep(Duration::try_from_secs_f64(load.seconds)?).await;
        let delivered = (board.delivered() - delivered) as f64;
        let cpu = process::cpu_seconds(&self.processes)? - cpu;
        let own = process::cpu_seconds(&[std::process::id()])? - own;
        let seconds = begin.elapsed().as_secs_f64();
        board.stop();
        finish(&board).await?;
        let memory = process::memory(&self.processes)? - memory_before;
        if delivered == 0.0 {
            return Err("nothing arrived while it was measured".into());
        }
        let mut told = board.told();
        told["per_second"] = (delivered / seconds).into();
        told["per_core"] = (delivered / cpu).into();
        told["fields_per_core"] = (delivered * f64::from(load.fields) / cpu).into();
        told["busy"] = (cpu / seconds).into();
        told["load_busy"] = (own / seconds).into();
        told["memory_mib"] = (memory as f64 / f64::from(1 << 20)).into();
        Ok(told)
    }

    /// Opens all connections, writers first: some servers have no document before somebody has written.
    async fn connect(&self, load: Load, board: &Rc<Board>) -> Result {
        let name = |document: u32| format!("{}-{document}", self.run);
        let mut writers = Vec::new();
        for writer in 0..load.writers {
            let document = name(writer % load.documents);
            let opening = Opening { document: &document, client: writer, writes: true };
            writers.push((writer, Connection::open(&self.server, opening).await?));
        }
        for document in 0..load.documents {
            let document = name(document);
            for readers in at_once(load.readers) {
                let open = readers.map(|reader| {
                    let client = load.writers + reader;
                    let opening = Opening { document: &document, client, writes: false };
                    Connection::open(&self.server, opening)
                });
                for reader in try_join_all(open).await? {
                    run(board, read(reader, Rc::clone(board)));
                }
            }
        }
        for (writer, connection) in writers {
            let pace = Pace::new(load, writer, board);
            let fields = load.fields;
            run(board, write(connection, Rc::clone(board), Hand { writer, fields, pace }));
        }
        Ok(())
    }

    async fn idle(&self, idle: Idle) -> Result<Value> {
        let board = Rc::new(Board::new(0, 0, 0));
        // What the first connections cost is not what each costs.
        self.open_idle(0..AT_ONCE, &board).await?;
        let settle = Duration::try_from_secs_f64(idle.seconds)?;
        time::sleep(settle).await;
        let before = process::memory(&self.processes)?;
        self.open_idle(AT_ONCE..AT_ONCE + idle.connections, &board).await?;
        time::sleep(settle).await;
        let grown = process::memory(&self.processes)? - before;
        for sample in 0..SAMPLES {
            self.find(sample * (idle.connections + AT_ONCE - 1) / SAMPLES).await?;
        }
        board.fault().map_or(Ok(()), Err)?;
        let each = grown as f64 / f64::from(idle.connections) / 1024.0;
        Ok(json!({ "connections": idle.connections, "kib": each, "memory_mib": grown >> 20 }))
    }

    async fn open_idle(&self, connections: std::ops::Range<u32>, board: &Rc<Board>) -> Result {
        for chunk in at_once(connections.len() as u32) {
            let chunk = chunk.start + connections.start..chunk.end + connections.start;
            for connection in try_join_all(chunk.map(|number| self.open_one(number))).await? {
                run(board, hold(connection));
            }
        }
        Ok(())
    }

    async fn open_one(&self, number: u32) -> Result<Connection> {
        let document = format!("{}-{number}", self.run);
        let opening = Opening { document: &document, client: 0, writes: true };
        let mut connection = Connection::open(&self.server, opening).await?;
        connection.write(Update { mark: idle_mark(number), fields: 1 }).await?;
        connection.flush().await?;
        Ok(connection)
    }

    /// Makes sure that what an idle connection wrote is there.
    async fn find(&self, number: u32) -> Result {
        let document = format!("{}-{number}", self.run);
        let opening = Opening { document: &document, client: 1, writes: false };
        let (mut connection, heard) = Connection::greet(&self.server, opening).await?;
        let mut marks: Vec<Mark> = heard.into_iter().flat_map(|heard| heard.marks).collect();
        let end = Instant::now() + PATIENCE;
        while !marks.contains(&idle_mark(number)) {
            let left = end.saturating_duration_since(Instant::now());
            let next = time::timeout(left, connection.next()).await;
            let message = next.map_err(|_| format!("{document} has lost its update"))??;
            connection.take(message, |heard| marks.extend(heard.marks)).await?;
        }
        Ok(())
    }
}

fn idle_mark(number: u32) -> Mark {
    Mark { writer: number & 0xffff, number: 0 }
}

/// The numbers below `count`, in groups.
fn at_once(count: u32) -> impl Iterator<Item = std::ops::Range<u32>> {
    (0..count).step_by(AT_ONCE as usize).map(move |begin| begin..count.min(begin + AT_ONCE))
}

/// Runs one side of a connection; how it fails is written down.
fn run(board: &Rc<Board>, side: impl Future<Output = Result> + 'static) {
    let board = Rc::clone(board);
    task::spawn_local(async move {
        if let Err(error) = side.await {
            board.fail(&error);
        }
    });
}

/// Waits until something has arrived.
async fn first(board: &Board) -> Result {
    wait(board, || board.delivered() > 0).await
}

/// Waits until all that was sent is everywhere.
async fn finish(board: &Board) -> Result {
    wait(board, || board.delivered() == board.sent()).await
}

async fn wait(board: &Board, is_so: impl Fn() -> bool) -> Result {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        if let Some(fault) = board.fault() {
            return Err(fault.into());
        }
        if Instant::now() > end {
            let (delivered, sent) = (board.delivered(), board.sent());
            let missing = board.missing().join("; ");
            return Err(format!("{delivered} of {sent} updates arrived; missing: {missing}").into());
        }
        time::sleep(POLL).await;
    }
    board.fault().map_or(Ok(()), |fault| Err(fault.into()))
}

async fn read(mut connection: Connection, board: Rc<Board>) -> Result {
    let mut had = Had::default();
    loop {
        let message = connection.next().await?;
        let deliver = |heard: Heard| {
            heard
                .marks
                .into_iter()
                .filter(|mark| had.is_new(*mark))
                .for_each(|mark| board.deliver(mark));
        };
        connection.take(message, deliver).await?;
    }
}

/// Answers what must be answered.
async fn hold(mut connection: Connection) -> Result {
    loop {
        let message = connection.next().await?;
        connection.take(message, drop).await?;
    }
}

/// Updates that a reader has had: servers may send some twice.
#[derive(Default)]
struct Had(HashMap<u32, Vec<bool>>);

impl Had {
    fn is_new(&mut self, Mark { writer, number }: Mark) -> bool {
        let numbers = self.0.entry(writer).or_default();
        let place = number as usize;
        if numbers.len() <= place {
            numbers.resize(place + 1, false);
        }
        !std::mem::replace(&mut numbers[place], true)
    }
}

/// A writer, and how it writes.
struct Hand {
    writer: u32,
    fields: u32,
    pace: Pace,
}

async fn write(mut connection: Connection, board: Rc<Board>, mut hand: Hand) -> Result {
    loop {
        select! {
            message = connection.next() => {
                let acknowledge = |heard: Heard| board.acknowledge(hand.writer, heard.acknowledged);
                connection.take(message?, acknowledge).await?;
            }
            due = hand.pace.turn(), if !board.is_stopped() => {
                for due in due.into_iter().take_while(|_| !board.is_stopped()) {
                    let mark = board.send(hand.writer, due);
                    connection.write(Update { mark, fields: hand.fields }).await?;
                }
                connection.flush().await?;
            }
        }
    }
}

/// When a writer writes.
enum Pace {
    /// When so much of what it wrote has arrived.
    Window(Rc<Semaphore>),
    /// Again and again after the same time.
    Rate { next: Instant, step: Duration },
}

impl Pace {
    fn new(load: Load, writer: u32, board: &Board) -> Self {
        let Some(rate) = load.rate else { return Self::Window(board.room(writer)) };
        let step = Duration::from_secs_f64(f64::from(load.writers) / rate);
        let offset = step.mul_f64(f64::from(writer) / f64::from(load.writers));
        Self::Rate { next: Instant::now() + offset, step }
    }

    /// Waits until something is due; returns since when. Nothing is lost where this is given up.
    async fn turn(&mut self) -> Vec<Instant> {
        match self {
            Self::Window(room) => {
                let _ = room.acquire().await.map(tokio::sync::SemaphorePermit::forget);
                let more =
                    (1..BURST).take_while(|_| room.try_acquire().map(|it| it.forget()).is_ok());
                vec![Instant::now(); 1 + more.count()]
            }
            Self::Rate { next, step } => {
                time::sleep_until(next.checked_sub(TIMER).unwrap_or(*next).into()).await;
                while Instant::now() < *next {
                    task::yield_now().await;
                }
                let mut due = Vec::new();
                while *next <= Instant::now() && due.len() < BURST {
                    due.push(*next);
                    *next += *step;
                }
                due
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_has_had_is_not_new() {
        let mut had = Had::default();
        let mark = |writer, number| Mark { writer, number };
        let marks = [mark(0, 3), mark(1, 3), mark(0, 3), mark(0, 2)];
        assert_eq!(marks.map(|mark| had.is_new(mark)), [true, true, false, true]);
    }

    #[test]
    fn groups_have_everybody_once() {
        let all: Vec<u32> = at_once(120).flatten().collect();
        assert_eq!(all, (0..120).collect::<Vec<_>>());
    }
}
