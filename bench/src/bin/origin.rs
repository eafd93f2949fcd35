//! The upstream behind every measured proxy: one thread, keep-alive, next to no work.
//!
//! `origin LISTEN...` where LISTEN is `127.0.0.1:9000` or `unix:/run/origin.sock`. Prints `listening LISTEN` with the
//! real port for each, then serves until it is killed. Answers: see [`selvedge_bench::origin`].

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs, io,
    io::{Read, Write},
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileTypeExt,
    },
    path::Path,
    process::ExitCode,
    time::Instant,
};

use selvedge_bench::{
    epoll::{Epoll, Interest},
    origin::{Connection, Progress, Reply},
};
use socket2::{Domain, SockAddr, Socket, Type};

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

fn main() -> ExitCode {
    match serve(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "origin: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(addresses: &[String]) -> io::Result<()> {
    if addresses.is_empty() {
        return Err(io::Error::other(
            "give an address, such as 127.0.0.1:9000 or unix:/tmp/o.sock",
        ));
    }
    let listeners = addresses.iter().map(|text| listen(text)).collect::<io::Result<Vec<_>>>()?;
    let mut origin = Origin::new(listeners)?;
    loop {
        origin.turn()?;
    }
}

fn listen(address: &str) -> io::Result<Socket> {
    let named = |error| io::Error::other(format!("{address}: {error}"));
    let socket = match address.strip_prefix("unix:") {
        Some(path) => listen_unix(Path::new(path)),
        None => listen_tcp(address),
    };
    let socket = socket.map_err(named)?;
    let real = socket.local_addr()?.as_socket();
    let real = real.map_or_else(|| address.to_owned(), |real| real.to_string());
    writeln!(io::stdout(), "listening {real}")?;
    Ok(socket)
}

fn listen_tcp(address: &str) -> io::Result<Socket> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// A socket file that an earlier run left behind is replaced; any other file is not.
fn listen_unix(path: &Path) -> io::Result<Socket> {
    if fs::metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// The event loop.
struct Origin {
    epoll: Epoll,
    listeners: Vec<(Socket, Reply)>,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    /// When a delayed client is due: the time, its place, and which client was there then.
    delays: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    clients_seen: u64,
    input: Box<[u8]>,
    output: Vec<u8>,
}

/// One client: its socket, its protocol, and what could not be written yet.
struct Client {
    socket: Socket,
    connection: Connection,
    serial: u64,
    pending: Vec<u8>,
    interest: Interest,
    progress: Progress,
}

impl Origin {
    fn new(listeners: Vec<Socket>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        for (token, socket) in listeners.iter().enumerate() {
            epoll.add(socket, token as u64, Interest::Read)?;
        }
        let listeners = listeners.into_iter().enumerate();
        Ok(Self {
            epoll,
            listeners: listeners.map(|(number, socket)| (socket, Reply::new(number))).collect(),
            clients: Vec::new(),
            free: Vec::new(),
            delays: BinaryHeap::new(),
            clients_seen: 0,
            input: vec![0; READ_BYTES].into(),
            output: Vec::with_capacity(READ_BYTES),
        })
    }

    /// Waits once, then serves whoever is ready.
    fn turn(&mut self) -> io::Result<()> {
        let wait = self
            .delays
            .peek()
            .map(|Reverse((due, ..))| due.saturating_duration_since(Instant::now()));
        let ready: Vec<u64> = self.epoll.wait(wait)?.collect();
        for token in ready {
            match (token as usize).checked_sub(self.listeners.len()) {
                None => self.accept(token as usize),
                Some(place) => self.serve(place),
            }
        }
        self.resume_delayed();
        Ok(())
    }

    fn accept(&mut self, listener: usize) {
        loop {
            let (socket, reply) = &self.listeners[listener];
            match socket.accept() {
                Ok((client, _)) => {
                    let connection = Connection::new(reply.clone());
                    // One that has left already is no reason to stop.
                    let _ = self.admit(client, connection);
                }
                // Nobody is left, or no descriptor is: who waits stays in the backlog until one is free.
                Err(_) => return,
            }
        }
    }

    fn admit(&mut self, socket: Socket, connection: Connection) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        // A unix socket has no such option, and no need of it.
        let _ = socket.set_tcp_nodelay(true);
        let place = self.free.pop().unwrap_or(self.clients.len());
        let token = (place + self.listeners.len()) as u64;
        self.epoll.add(&socket, token, Interest::Read)?;
        self.clients_seen += 1;
        let client = Client {
            socket,
            connection,
            serial: self.clients_seen,
            pending: Vec::new(),
            interest: Interest::Read,
            progress: Progress::Open,
        };
        if place == self.clients.len() {
            self.clients.push(Some(client));
        } else {
            self.clients[place] = Some(client);
        }
        Ok(())
    }

    fn serve(&mut self, place: usize) {
        let Some(client) = &mut self.clients[place] else { return };
        let outcome = if client.pending.is_empty() {
            client.read(&mut self.input, &mut self.output)
        } else {
            client.flush()
        };
        self.settle(place, outcome);
    }

    /// Sets what a client waits for next, or lets it go.
    fn settle(&mut self, place: usize, outcome: io::Result<()>) {
        let Some(client) = &mut self.clients[place] else { return };
        let token = (place + self.listeners.len()) as u64;
        let watched = outcome.and_then(|()| client.watch(&self.epoll, token));
        let finished = client.pending.is_empty() && client.progress == Progress::Close;
        if watched.is_err() || finished {
            self.clients[place] = None;
            self.free.push(place);
        } else if let (Progress::Delayed(delay), Interest::Nothing) =
            (client.progress, client.interest)
        {
            self.delays.push(Reverse((Instant::now() + delay, place, client.serial)));
        }
    }

    fn resume_delayed(&mut self) {
        while let Some(Reverse((due, place, serial))) = self.delays.peek().copied() {
            if due > Instant::now() {
                return;
            }
            self.delays.pop();
            let Some(client) = &mut self.clients[place] else { continue };
            if client.serial == serial {
                let outcome = client.resume(&mut self.output);
                self.settle(place, outcome);
            }
        }
    }
}

impl Client {
    fn read(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> io::Result<()> {
        let length = match self.socket.read(input) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if is_not_ready(&error) => return Ok(()),
            length => length?,
        };
        output.clear();
        self.progress = self.connection.advance(&input[..length], output);
        self.write(output)
    }

    fn resume(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        output.clear();
        self.progress = self.connection.resume(output);
        self.write(output)
    }

    fn write(&mut self, output: &[u8]) -> io::Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        let written = match self.socket.write(output) {
            Err(error) if is_not_ready(&error) => 0,
            written => written?,
        };
        self.pending.extend_from_slice(&output[written..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.socket.write(&self.pending) {
            Err(error) if is_not_ready(&error) => {}
            written => drop(self.pending.drain(..written?)),
        }
        Ok(())
    }

    fn watch(&mut self, epoll: &Epoll, token: u64) -> io::Result<()> {
        let interest = match self.progress {
            _ if !self.pending.is_empty() => Interest::Write,
            Progress::Delayed(_) => Interest::Nothing,
            Progress::Open | Progress::Close => Interest::Read,
        };
        if interest != self.interest {
            epoll.modify(self, token, interest)?;
            self.interest = interest;
        }
        Ok(())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_not_ready(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
