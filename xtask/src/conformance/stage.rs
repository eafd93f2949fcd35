//! What the suites have in common: a selvedge, a configuration, free ports.

use std::{
    cell::OnceCell,
    fs,
    io::ErrorKind,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Result,
    process::{self, Server},
    setup, workspace,
};

/// Attempts to reach a server that is starting, [`PAUSE`] apart.
const ATTEMPTS_MAX: usize = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// A folder for what the suites write, and selvedge, built once a suite asks for it.
pub struct Stage {
    folder: PathBuf,
    programs: OnceCell<PathBuf>,
}

impl Stage {
    /// A stage without a program on it.
    pub fn prepare() -> Result<Self> {
        let folder = workspace::target().join("conformance");
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, programs: OnceCell::new() })
    }

    /// The program that prints how we frame the messages on its standard input.
    pub fn frame(&self) -> Result<PathBuf> {
        Ok(self.programs()?.join("frame"))
    }

    fn programs(&self) -> Result<&PathBuf> {
        if self.programs.get().is_none() {
            let packages = ["-p", "selvedge", "-p", "selvedge-fuzz"];
            process::run(process::cargo(&["build", "--quiet"]).args(packages))?;
        }
        Ok(self.programs.get_or_init(|| workspace::target().join("debug")))
    }

    /// The program that prints what we detect in the texts on its standard input.
    pub fn detect(&self) -> Result<PathBuf> {
        Ok(self.programs()?.join("detect"))
    }

    /// A file of a suite's own in the build directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A certificate for `localhost`, signed by itself, and its key: PEM files, made anew.
    pub fn certificate(&self) -> Result<(PathBuf, PathBuf)> {
        setup::packages(&[setup::OPENSSL])?;
        let (cert, key) = (self.file("cert.pem"), self.file("key.pem"));
        let mut openssl = process::command("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-nodes", "-days", "30", "-subj", "/CN=localhost"]);
        openssl.args(["-addext", "subjectAltName=DNS:localhost"]);
        openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert);
        process::capture(&mut openssl)?;
        Ok((cert, key))
    }

    /// Starts an edge with this configuration and waits until it listens on `ports`.
    pub fn selvedge(&self, name: &str, config: &str, ports: &[u16]) -> Result<Server> {
        self.started(&self.programs()?.join("selvedge"), (name, config), ports)
    }

    /// As [`Self::selvedge`], with every role that the configuration asks for.
    pub fn selvedge_up(&self, name: &str, config: &str, ports: &[u16]) -> Result<Server> {
        self.role((&self.programs()?.join("selvedge"), "up"), (name, config), ports)
    }

    /// As [`Self::selvedge_up`], by a program that was built with a feature.
    pub fn selvedge_up_with(
        &self,
        feature: &str,
        named: (&str, &str),
        ports: &[u16],
    ) -> Result<Server> {
        let arguments = ["build", "--quiet", "-p", "selvedge", "--features", feature];
        process::run(&mut process::cargo(&arguments))?;
        // Of its own, so that the next build of the program without the feature does not take its place.
        let program = self.file(&format!("selvedge-{feature}"));
        // The one before may still be ending, and a program that runs cannot be written to.
        if program.exists() {
            fs::remove_file(&program)?;
        }
        fs::copy(workspace::target().join("debug/selvedge"), &program)?;
        self.role((&program, "up"), named, ports)
    }

    /// Starts an edge of this build of selvedge likewise.
    pub fn started(&self, program: &Path, named: (&str, &str), ports: &[u16]) -> Result<Server> {
        self.role((program, "edge"), named, ports)
    }

    fn role(
        &self,
        (program, role): (&Path, &str),
        (name, config): (&str, &str),
        ports: &[u16],
    ) -> Result<Server> {
        let file = self.file(&format!("{name}.kdl"));
        fs::write(&file, config)?;
        let log = fs::File::create(self.file(&format!("{name}.log")))?;
        let mut command = process::command(program);
        command.arg(role).arg("--config").arg(&file);
        command.stdout(log.try_clone()?).stderr(log);
        start(&mut command, ports).map_err(|error| {
            format!("{error}; see {}", self.file(&format!("{name}.log")).display()).into()
        })
    }

    /// Starts an upstream that reads whole requests and answers with some text.
    pub fn origin(&self, port: u16) -> Result<Server> {
        setup::packages(&[setup::NODE])?;
        let mut origin = process::command("node");
        start(origin.args(["conformance/origin.js", &port.to_string()]), &[port])
    }
}

/// Starts a server and waits until it listens on `ports`.
pub fn start(command: &mut Command, ports: &[u16]) -> Result<Server> {
    let mut server = Server::start(command)?;
    for port in ports {
        await_port(&mut server, *port)?;
    }
    Ok(server)
}

/// Runs a driver and returns what it printed; it shows its own errors.
pub fn drive(command: &mut Command) -> Result<String> {
    process::capture(command.stdin(Stdio::null()).stderr(Stdio::inherit()))
}

/// Ports on loopback that nobody listens on just now.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn await_port(server: &mut Server, port: u16) -> Result {
    for _ in 0..ATTEMPTS_MAX {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => return Err(error.into()),
            Err(_) if !server.is_running() => return Err("the server ended at its start".into()),
            Err(_) => thread::sleep(PAUSE),
        }
    }
    Err(format!("nobody listens on port {port}").into())
}
