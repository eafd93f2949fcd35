//! An upstream that sees whether a request was inspected, whatever the client is told.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use selvedge_bench::hostile::{DENIED, MARK};
use tokio::net::TcpListener;

use super::load::Route;

/// One that runs; its thread ends with the program.
pub struct Upstream {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
}

/// Requests that came.
#[derive(Default)]
pub struct Seen {
    uninspected: [AtomicU64; Route::ALL.len()],
    denied: [AtomicU64; Route::ALL.len()],
}

impl Seen {
    /// Requests of this route without the agent's mark for them.
    pub fn uninspected(&self, route: Route) -> u64 {
        self.uninspected[route as usize].load(Relaxed)
    }

    /// Requests of this route that the agent blocks, with its mark or without.
    pub fn denied(&self, route: Route) -> u64 {
        self.denied[route as usize].load(Relaxed)
    }

    fn answer(&self, request: &Request<Incoming>) -> String {
        let target = request.uri().path();
        let Some(route) = Route::of(target) else { return "no such route".to_owned() };
        if target.contains(DENIED) {
            self.denied[route as usize].fetch_add(1, Relaxed);
        }
        let marks: Vec<&[u8]> =
            request.headers().get_all(MARK).iter().map(|value| value.as_bytes()).collect();
        let inspected = marks == [target.as_bytes()];
        if !inspected {
            self.uninspected[route as usize].fetch_add(1, Relaxed);
        }
        let word = if inspected { INSPECTED } else { UNINSPECTED };
        format!("{target} {word}")
    }
}

/// How an answer to an inspected request ends.
pub const INSPECTED: &str = "inspected";
/// How an answer to any other request ends.
pub const UNINSPECTED: &str = "uninspected";

impl Upstream {
    pub fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = seen.clone();
        thread::spawn(move || runtime.block_on(serve(listener, shared)));
        Ok(Self { address, seen })
    }
}

async fn serve(listener: std::net::TcpListener, seen: Arc<Seen>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let seen = seen.clone();
        let service = service_fn(move |request| {
            let answer = seen.answer(&request);
            async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer)))) }
        });
        // The edge closes its connections as it likes.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
