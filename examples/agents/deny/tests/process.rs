//! The agent as a process, on each kind of socket, as the edge and as an operator start it.

use std::{
    io::{self, Read},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use selvedge_agent::{AttributesBuf, Measured, RequestHeadBuf, RequestLine, TestEdge};

const PROGRAM: &str = env!("CARGO_BIN_EXE_deny-agent");
const SETTINGS: &str = r#"{"prefixes":["/admin"]}"#;

struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.stderr(Stdio::piped()).spawn().expect("the program was built"))
    }

    /// Asks it to end, and returns what it said.
    fn end(mut self) -> String {
        let pid = Pid::from_raw(self.0.id().cast_signed()).expect("a process has a number");
        kill_process(pid, Signal::TERM).expect("it runs");
        let mut said = String::new();
        let mut errors = self.0.stderr.take().expect("it is a pipe");
        errors.read_to_string(&mut said).expect("lines of text");
        assert!(self.0.wait().expect("it ends").success(), "{said}");
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn check(edge: &mut TestEdge) {
    for (target, allowed) in [("/", true), ("/admin/users?all", false), ("/?/admin", true)] {
        let mut head = RequestHeadBuf::default();
        head.start(RequestLine { method: "GET", target, ..RequestLine::default() });
        let verdict = edge.ask(&AttributesBuf::default(), &head).expect("a verdict");
        assert_eq!(verdict.is_allow(), allowed, "{target}");
    }
}

fn socket(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("deny.sock")
}

#[test]
fn listens_where_it_is_told() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = socket(&folder);
    let process = Process::start(Command::new(PROGRAM).arg("--listen").arg(&path));
    let mut edge = TestEdge::connect(&path, SETTINGS).expect("an agent");
    check(&mut edge);
    let counted = &edge.measure().expect("what it counts").families[0];
    assert_eq!((&*counted.name, &*counted.series[0].values[0]), ("refused_total", "/admin"));
    assert_eq!(counted.series[0].value, Measured::Counter(1));
    drop(edge);
    assert_eq!(process.end(), "");
    assert!(!path.exists());
}

/// A listening socket, to be left to a child.
fn bound(path: &Path) -> io::Result<Stdio> {
    Ok(OwnedFd::from(UnixListener::bind(path)?).into())
}

#[test]
fn takes_the_socket_on_standard_input() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = socket(&folder);
    let input = bound(&path).expect("a socket");
    let process = Process::start(Command::new(PROGRAM).arg("--threads").arg("2").stdin(input));
    let mut edges: Vec<TestEdge> =
        (0..5).map(|_| TestEdge::connect(&path, SETTINGS).expect("an agent")).collect();
    edges.iter_mut().for_each(check);
    drop(edges);
    assert_eq!(process.end(), "");
}

#[test]
fn takes_the_socket_that_systemd_leaves() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = socket(&folder);
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\"";
    let input = bound(&path).expect("a socket");
    let process = Process::start(Command::new("sh").args(["-c", script, PROGRAM]).stdin(input));
    check(&mut TestEdge::connect(&path, SETTINGS).expect("an agent"));
    assert_eq!(process.end(), "");
}

#[test]
fn refuses_what_it_cannot_use() {
    #[track_caller]
    fn fails(command: &mut Command, code: i32, expected: &str) {
        let output = command.stdin(Stdio::null()).output().expect("the program was built");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.trim_end()), (Some(code), expected));
    }
    fails(
        &mut Command::new(PROGRAM),
        1,
        "no socket: neither --listen PATH nor a listening one as descriptor 3 (LISTEN_FDS) or as \
         standard input",
    );
    fails(
        Command::new(PROGRAM).arg("--help"),
        64,
        "--help: not understood; usage: [--listen PATH] [--threads N]",
    );
    let folder = tempfile::tempdir().expect("a folder for the test");
    let process = Process::start(Command::new(PROGRAM).arg("--listen").arg(socket(&folder)));
    let error = TestEdge::connect(&socket(&folder), "{}").expect_err("no prefixes");
    assert!(error.to_string().contains("missing field `prefixes`"), "{error}");
    assert!(process.end().contains("missing field `prefixes`"));
}
