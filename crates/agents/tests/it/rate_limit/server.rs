//! A Redis server for one test.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::{Client, Cmd, Connection, FromRedisValue, RedisResult};
use tempfile::TempDir;
use tokio::time::sleep;

/// A server on a port of its own, gone when it is dropped. What it knows dies with its process.
pub struct Server {
    process: Process,
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
}

/// A process that ends with its owner.
struct Process(Child);

impl Server {
    /// Starts one; `None`, with a line that says so, where `redis-server` is not installed.
    pub async fn start(arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, arguments).await
    }

    /// Starts one that speaks TLS on a second port, with `cert.pem` and `key.pem` of `folder`.
    pub async fn start_tls(folder: TempDir) -> Option<Self> {
        let port = free_port().to_string();
        let files = ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"];
        let more = ["--tls-auth-clients", "no", "--tls-port", &port];
        Self::start_in(folder, &[files, more].concat()).await
    }

    /// Starts one whose arguments name files of `folder`.
    #[expect(clippy::print_stderr, reason = "a test that did not run says so")]
    async fn start_in(mut folder: TempDir, arguments: &[&str]) -> Option<Self> {
        let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
        for _ in 0..10 {
            let port = free_port();
            let Ok(process) = spawn(&folder, port, &arguments) else {
                eprintln!("skipped: redis-server is not installed (cargo xtask setup)");
                return None;
            };
            let mut server = Self { process, folder, port, arguments: arguments.clone() };
            if server.is_up().await {
                return Some(server);
            }
            // Somebody else took the port in between.
            folder = server.folder;
        }
        panic!("redis-server does not start");
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Of one that [`Server::start_tls`] started.
    pub fn tls_address(&self) -> String {
        format!("rediss://127.0.0.1:{}/", self.arguments.last().unwrap())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Ends it without a word, and its memory with it.
    pub fn kill(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) {
        self.process = spawn(&self.folder, self.port, &self.arguments).unwrap();
        assert!(self.is_up().await, "redis-server does not start again");
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let id = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Says something to it, as an operator does.
    pub fn say<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query(&mut self.connection().unwrap()).unwrap()
    }

    fn connection(&self) -> RedisResult<Connection> {
        Client::open(format!("unix://{}", self.socket().display()))?.get_connection()
    }

    async fn is_up(&mut self) -> bool {
        loop {
            let said = self.connection().and_then(|mut own| Cmd::ping().exec(&mut own));
            match said {
                Ok(()) => return true,
                // It wants a password, or no longer to be asked: it is there.
                Err(error) if !error.is_io_error() => return true,
                Err(_) if self.process.0.try_wait().unwrap().is_some() => return false,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn spawn(folder: &TempDir, port: u16, arguments: &[String]) -> io::Result<Process> {
    let socket = folder.path().join("socket");
    // One that was killed leaves it behind.
    let _ = fs::remove_file(&socket);
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--unixsocket"])
        .arg(socket)
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Process)
}
