//! Processes that stay on one core, and what they cost.

use std::{
    fs,
    fs::File,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::machine::TICKS_PER_SECOND;
use crate::{Result, process};

/// How long a server may take until it accepts connections, and to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(20);

/// A core of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Core 0: whoever is measured.
    Proxy,
    /// Core 1: load and origin.
    Load,
}

/// A command that runs on `core`.
pub fn command(core: Core, program: impl AsRef<Path>) -> Command {
    let number = match core {
        Core::Proxy => "0",
        Core::Load => "1",
    };
    let mut command = process::command("taskset");
    command.args(["--cpu-list", number]).arg(program.as_ref());
    command
}

/// A server in the background that ends when it is dropped, its children too.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

/// What a process and its children have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// Seconds in its own code.
    pub user: f64,
    /// Seconds in the kernel on its behalf.
    pub system: f64,
}

impl CpuTime {
    /// User and system together.
    pub fn all(self) -> f64 {
        self.user + self.system
    }

    /// What was used after `before`.
    pub fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }
}

impl Server {
    /// Starts `command`; what it says goes to the file `log`.
    pub fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let file = File::create(&log)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Self { child, log })
    }

    /// Waits until somebody accepts connections at `address`.
    pub fn wait_for(&mut self, address: SocketAddr) -> Result {
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if self.child.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                return Err(format!("nobody listens at {address}: {}", self.said()).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ids of the process and its children.
    pub fn processes(&self) -> Result<Vec<u32>> {
        Ok(family(self.child.id())?.iter().map(|stat| stat.id).collect())
    }

    /// What it has said, for errors.
    pub fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(10).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// CPU time of the process and its children since they began.
    pub fn cpu_time(&self) -> Result<CpuTime> {
        let mut sum = CpuTime::default();
        for stat in family(self.child.id())? {
            sum.user += stat.user_ticks as f64 / TICKS_PER_SECOND;
            sum.system += stat.system_ticks as f64 / TICKS_PER_SECOND;
        }
        Ok(sum)
    }

    /// The same in seconds and to the microsecond, user and system together; of threads that have not ended.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let mut sum = 0;
        for stat in family(self.child.id())? {
            for task in fs::read_dir(format!("/proc/{}/task", stat.id))? {
                // A thread may end while we look.
                let line = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
                sum += line.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        Ok(sum as f64 / 1e9)
    }

    /// Resident memory of the process and its children in bytes; pages that several map count once.
    pub fn memory(&self) -> Result<u64> {
        family(self.child.id())?.iter().map(|stat| proportional_set(stat.id)).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A master that is killed outright leaves its workers behind, so it is asked first.
        let id = self.child.id().to_string();
        if process::succeeds("kill", &["-TERM", &id]) {
            let start = Instant::now();
            while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < PATIENCE / 10 {
                thread::sleep(Duration::from_millis(10));
            }
        }
        // It may have ended by itself; then there is nobody to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The part of `/proc/ID/stat` that is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    id: u32,
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

/// A process and its children; grandchildren do not occur here.
fn family(id: u32) -> Result<Vec<Stat>> {
    let all = fs::read_dir("/proc")?.filter_map(|entry| {
        // A process may end while we look.
        parse_stat(&fs::read_to_string(entry.ok()?.path().join("stat")).ok()?)
    });
    let family: Vec<Stat> = all.filter(|stat| stat.id == id || stat.parent == id).collect();
    if family.is_empty() { Err(format!("process {id} has ended").into()) } else { Ok(family) }
}

/// proc_pid_stat(5); the name in parentheses may hold anything, so fields count from the last one.
fn parse_stat(line: &str) -> Option<Stat> {
    let (id, _) = line.split_once(' ')?;
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some(Stat {
        id: id.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        user_ticks: fields.get(11)?.parse().ok()?,
        system_ticks: fields.get(12)?.parse().ok()?,
    })
}

fn proportional_set(id: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| format!("process {id} shows no memory").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_any_name() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 0 0 0 150 850 0 0 20 0 1 0 5 6 7";
        let stat = Stat { id: 42, parent: 7, user_ticks: 150, system_ticks: 850 };
        assert_eq!(parse_stat(line), Some(stat));
        assert_eq!(parse_stat("42 (a"), None);
    }
}
