//! The edge under test, its config and its processes.

use std::{
    collections::VecDeque,
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// An edge that runs; it is killed with this handle, and its agents end with it.
pub struct Edge {
    child: Child,
    pub address: SocketAddr,
    said: Arc<Mutex<VecDeque<String>>>,
}

/// Lines that are kept of what the edge says.
const LINES_MAX: usize = 60;
const START_MAX: Duration = Duration::from_secs(30);

impl Edge {
    /// Starts `program` with the config in this file.
    pub fn start(program: &Path, config: &Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(["edge", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = Arc::<Mutex<VecDeque<String>>>::default();
        let stderr = child.stderr.take().expect("it is piped");
        let (sender, addresses) = channel();
        let kept = said.clone();
        thread::spawn(move || listen(stderr, &kept, &sender));
        let mut edge = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), said };
        edge.address = edge.hear_address(&addresses)?;
        Ok(edge)
    }

    fn hear_address(&self, addresses: &Receiver<SocketAddr>) -> io::Result<SocketAddr> {
        addresses.recv_timeout(START_MAX).map_err(|_| {
            io::Error::other(format!("the edge does not listen:\n{}", self.said().join("\n")))
        })
    }

    /// What it said last.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
    }

    /// The process of the agent that has `argument` on its command line.
    pub fn agent(&self, argument: &str) -> Option<Pid> {
        let id = self.child.id();
        let tasks = fs::read_dir(format!("/proc/{id}/task")).ok()?;
        let children = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")));
        let children: Vec<String> = children.map(Result::unwrap_or_default).collect();
        let ids = children.iter().flat_map(|line| line.split_whitespace());
        let runs = |id: &&str| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            // The launcher has it too, before it becomes the agent.
            words.nth(1) == Some(argument.as_bytes())
        };
        ids.into_iter().find(runs).and_then(|id| Pid::from_raw(id.parse().ok()?))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stderr: ChildStderr, said: &Mutex<VecDeque<String>>, addresses: &Sender<SocketAddr>) {
    let mut listening = None;
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if line.contains("msg=listening") {
            listening = line
                .split("url=http://")
                .nth(1)
                .and_then(|rest| rest.split(['/', ' ']).next()?.parse().ok());
        }
        if line.contains("msg=serving")
            && let Some(address) = listening.take()
        {
            // Whoever asked may have given up.
            let _ = addresses.send(address);
        }
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == LINES_MAX {
            said.pop_front();
        }
        said.push_back(line);
    }
}

/// Sends a signal to an agent, if it is still there.
pub fn signal(agent: Pid, signal: Signal) {
    let _ = kill_process(agent, signal);
}

/// Waits until a process has ended; a zombie has.
pub fn wait_for_end(agent: Pid, longest: Duration) -> bool {
    let file = format!("/proc/{}/status", agent.as_raw_nonzero());
    let began = Instant::now();
    while began.elapsed() < longest {
        let ended = fs::read_to_string(&file).map_or(true, |status| status.contains("State:\tZ"));
        if ended {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}
