//! Keeps the processes of started agents alive: one task per agent, on the control thread.

use std::{
    collections::HashMap,
    io,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use selvedge_config::Id;
use selvedge_telemetry::{Hub, Level};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    sync::watch,
    task::{JoinHandle, spawn_local},
    time::{interval, sleep, timeout},
};

use super::process::{Condition, Door, Started};
use crate::{
    audit::events,
    control::{Agents, Shared},
};

/// A process that lived this long has earned a quick restart.
const LONG_LIFE: Duration = Duration::from_secs(10);
/// A running process that no core has heard of for this long is killed.
pub(crate) const HUNG: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Time from the request to end to being killed.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// Time that exchanges which began before a reload have to ask an agent that is gone after it.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes of a line that an agent says; the rest of it is dropped.
const LINE_MAX: u64 = 4 << 10;
/// Lines of an agent that are logged per second; more are counted and dropped.
pub(crate) const LINES_PER_SECOND: u32 = 100;

/// The task that keeps one agent alive, and how it is told to stop.
struct Keeper {
    door: Arc<Door>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Starts and stops agents as they are wanted; ends when the edge does, and all of them with it.
pub(crate) async fn run(shared: Arc<Shared>, mut wanted: watch::Receiver<Agents>) {
    let mut keepers: HashMap<usize, Keeper> = HashMap::new();
    loop {
        let agents = wanted.borrow_and_update().clone();
        let doors: HashMap<usize, _> =
            agents.iter().map(|agent| (Arc::as_ptr(&agent.door) as usize, agent)).collect();
        let over: Vec<_> = keepers.extract_if(|key, _| !doors.contains_key(key)).collect();
        // They drain while the others go on.
        over.into_iter().for_each(|(_, keeper)| drop(spawn_local(keeper.retire())));
        for (key, agent) in doors {
            if agent.door.started().is_some() && !keepers.contains_key(&key) {
                let (stop, stopped) = watch::channel(false);
                let door = agent.door.clone();
                let keep = keep(shared.clone(), agent.config.id.clone(), door.clone(), stopped);
                keepers.insert(key, Keeper { door, stop, task: spawn_local(keep) });
            }
        }
        drop(agents);
        if wanted.changed().await.is_err() {
            break;
        }
    }
    for keeper in keepers.values() {
        // One that has ended by itself needs no word.
        let _ = keeper.stop.send(true);
    }
    for (_, keeper) in keepers {
        // Only then may its socket go.
        let Keeper { door: _door, task, .. } = keeper;
        let _ = task.await;
    }
}

impl Keeper {
    /// Stops an agent that a reload has left without work, once the exchanges are over that began before.
    async fn retire(self) {
        sleep(LINGER).await;
        // One that has ended by itself needs no word.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

/// How one run of a process ended.
enum Ended {
    /// We told it to.
    Stopped,
    /// By itself, or it could not be started.
    Lost(String),
}

/// Starts the process of `door` over and over until `stopped` says so.
async fn keep(shared: Arc<Shared>, id: Id, door: Arc<Door>, mut stopped: watch::Receiver<bool>) {
    let Some(started) = door.started() else { return };
    let Shared { hub, trail, .. } = &*shared;
    let (first, longest) = started.launch.backoff;
    let mut pause = first;
    loop {
        let since = Instant::now();
        let ended = match run_once(&shared, &id, started, &mut stopped).await {
            Ok(Ended::Stopped) => break,
            Ok(Ended::Lost(ended)) => ended,
            Err(error) => format!("cannot be started: {error}"),
        };
        if since.elapsed() >= LONG_LIFE {
            pause = first;
        }
        trail.tell(events::agent_ended(&id, &ended, pause));
        let again = format_args!("{pause:?}").to_string();
        hub.event(
            Level::Warn,
            "an agent's process ended; it is started again",
            &[("agent", &id), ("ended", &ended), ("after", &again)],
        );
        started.set_condition(Condition::Resting { ended, until: Instant::now() + pause });
        if timeout(pause, stopped.wait_for(|stop| *stop)).await.is_ok() {
            break;
        }
        pause = (pause * 2).min(longest);
    }
    started.set_condition(Condition::Gone);
}

async fn run_once(
    Shared { hub, trail, .. }: &Shared,
    id: &Id,
    started: &Started,
    stopped: &mut watch::Receiver<bool>,
) -> io::Result<Ended> {
    let mut child = spawn(started)?;
    let pid = child.id().unwrap_or_default();
    started.set_condition(Condition::Running { pid, since: Instant::now() });
    trail.tell(events::agent_started(id, pid));
    hub.event(Level::Info, "an agent's process runs", &[("agent", id), ("pid", &pid)]);
    let said =
        child.stderr.take().map(|stderr| spawn_local(listen(hub.clone(), id.clone(), stderr)));
    let mut look = interval(LOOK);
    let began = Instant::now();
    let ended = loop {
        tokio::select! {
            status = child.wait() => break Ended::Lost(match status {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            }),
            // A sender that has gone means the same as a stop.
            _ = stopped.wait_for(|stop| *stop) => {
                end(&mut child).await;
                break Ended::Stopped;
            }
            _ = look.tick() => {
                if began.elapsed() >= HUNG && started.silence() >= HUNG {
                    let seconds = started.silence().as_secs();
                    child.kill().await?;
                    break Ended::Lost(format!("killed: silent for {seconds} s"));
                }
            }
        }
    };
    if let Some(said) = said {
        // What it said last belongs to its end; somebody it started may hold the pipe open.
        let abort = said.abort_handle();
        if timeout(Duration::from_millis(100), said).await.is_err() {
            abort.abort();
        }
    }
    Ok(ended)
}

fn spawn(started: &Started) -> io::Result<Child> {
    let mut confinement = started.launch.confinement.clone();
    confinement.parent = rustix::process::getpid().as_raw_nonzero().get();
    let policy = serde_json::to_string(&confinement).map_err(io::Error::other)?;
    Command::new(OWN_PROGRAM)
        .args(["confine", &policy, "--"])
        .arg(&started.launch.program)
        .args(&started.launch.arguments)
        .env("SELVEDGE_THREADS", started.launch.threads.to_string())
        .stdin(Stdio::from(started.socket()?))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// This very program, even if its file has been replaced since.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// Asks a process to end, and insists after a while.
async fn end(child: &mut Child) {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        // It may just have ended.
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Passes on what an agent writes to standard error, line by line and not without bound.
async fn listen(hub: Hub, id: Id, stderr: ChildStderr) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut second = Instant::now();
    let (mut told, mut dropped) = (0, 0_u32);
    loop {
        line.clear();
        let Ok(read) = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line).await else {
            return;
        };
        if read == 0 {
            return;
        }
        if second.elapsed() >= Duration::from_secs(1) {
            if dropped > 0 {
                let message = "an agent says too much; lines were dropped";
                hub.event(Level::Warn, message, &[("agent", &id), ("lines", &dropped)]);
            }
            (second, told, dropped) = (Instant::now(), 0, 0);
        }
        if told >= LINES_PER_SECOND {
            dropped += 1;
            // A flood must not keep this thread from its other work.
            sleep(Duration::from_micros(100)).await;
            continue;
        }
        told += 1;
        let text = String::from_utf8_lossy(&line);
        hub.event(Level::Info, "agent", &[("agent", &id), ("says", &text.trim_end())]);
    }
}
