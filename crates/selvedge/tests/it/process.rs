//! Starts the executable, reads what it says, and leaves nothing running.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for a busy machine; only a failure ever takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of one test, in which the command runs.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> &Self {
        fs::write(self.path(name), text).unwrap();
        self
    }

    pub fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.command_of(env!("CARGO_BIN_EXE_selvedge"));
        command.args(args);
        command
    }

    /// As [`Place::command`], of another program.
    pub fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("TMPDIR", self.folder.path());
        command.env_remove("NOTIFY_SOCKET").env_remove("COLUMNS");
        command
    }

    /// Runs to the end and shows exit code, standard output and standard error.
    pub fn run(&self, args: &str) -> String {
        let output = self.command(args.split_whitespace()).output().unwrap();
        self.show(&output)
    }

    /// As [`Place::run`], for arguments with blanks in them.
    pub fn run_args(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        self.show(&output)
    }

    pub fn show(&self, output: &Output) -> String {
        let code = output.status.code().map_or("signal".to_owned(), |code| code.to_string());
        let mut shown = format!("exit {code}\n");
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let text = String::from_utf8_lossy(bytes);
            let text = text.replace(&self.folder.path().display().to_string(), "DIR");
            if !text.is_empty() {
                shown.push_str(&format!("--- {name}\n{text}"));
            }
        }
        shown
    }

    /// Starts the command and leaves it running.
    pub fn start(&self, args: &str) -> Running {
        Running::new(self.command(args.split_whitespace()))
    }
}

/// A process of ours; it is killed with this handle.
pub struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
    /// Lines seen so far, for the message of a failure.
    seen: Vec<String>,
}

impl Running {
    pub fn new(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        Self { child, out, err, seen: Vec::new() }
    }

    pub fn id(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    /// Waits for a line of standard error that holds `text`.
    #[track_caller]
    pub fn hear(&mut self, text: &str) -> String {
        wait_for_line(&self.err, &mut self.seen, text)
    }

    /// Waits for a line of standard output that holds `text`.
    #[track_caller]
    pub fn read(&mut self, text: &str) -> String {
        wait_for_line(&self.out, &mut self.seen, text)
    }

    pub fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// Waits for the end and returns the exit code.
    #[track_caller]
    pub fn end(&mut self) -> i32 {
        let status = eventually("the process ends", || self.child.try_wait().unwrap());
        self.seen.extend(self.err.iter());
        let seen = self.seen.join("\n");
        status.code().unwrap_or_else(|| panic!("signal {:?}\n{seen}", status.signal()))
    }

    /// What was said on standard error and not heard yet, once the process has ended.
    pub fn rest(&mut self) -> String {
        self.seen.join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[track_caller]
fn wait_for_line(lines: &Receiver<String>, seen: &mut Vec<String>, text: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else {
            panic!("no line with {text:?} after:\n{}", seen.join("\n"));
        };
        seen.push(line.clone());
        if line.contains(text) {
            return line;
        }
    }
}

pub fn send(process: i32, signal: Signal) {
    kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
}

/// Asks again and again until there is an answer.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes that `process` has started.
pub fn children(process: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    list.unwrap_or_default().split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// Whether a process exists and has not ended.
pub fn is_alive(process: i32) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

/// The value of `key=` in an event.
#[track_caller]
pub fn field(line: &str, key: &str) -> String {
    let start = line.find(&format!(" {key}=")).unwrap_or_else(|| panic!("no {key} in {line}"));
    let rest = &line[start + key.len() + 2..];
    rest.split(' ').next().unwrap().to_owned()
}
