//! What a proxy gains from hyper as it comes: the yardstick for our own HTTP/1 codec.
//!
//! `hyper_proxy LISTEN UPSTREAM`, both `127.0.0.1:9000`. One thread, keep-alive on both sides, an unbounded pool of idle
//! connections, streamed bodies, hop-by-hop fields removed, `X-Forwarded-For` and `-Proto` set as the peers set them.
//! No limits, no timeouts, no routing, no log: a product has to add all of that.

use std::{
    cell::RefCell,
    convert::Infallible,
    io,
    io::Write,
    net::SocketAddr,
    pin::Pin,
    process::ExitCode,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1::{SendRequest, handshake},
    header::{self, HeaderMap, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    task::{LocalSet, spawn_local},
};

/// RFC 9110, section 7.6.1: fields that concern one connection only.
static HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

fn main() -> ExitCode {
    let runtime = runtime::Builder::new_current_thread().enable_io().build();
    match runtime.and_then(|runtime| LocalSet::new().block_on(&runtime, serve())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "hyper_proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("give two addresses: LISTEN UPSTREAM"));
    };
    let listener = TcpListener::bind(&listen).await?;
    let pool = Rc::new(Pool {
        upstream: upstream.parse().map_err(io::Error::other)?,
        idle: RefCell::default(),
    });
    loop {
        let (client, address) = listener.accept().await?;
        client.set_nodelay(true)?;
        spawn_local(serve_client(client, address, Rc::clone(&pool)));
    }
}

async fn serve_client(client: TcpStream, address: SocketAddr, pool: Rc<Pool>) {
    let forwarded = HeaderValue::try_from(address.ip().to_string());
    let Ok(forwarded) = forwarded else { return };
    let service = service_fn(move |request| exchange(request, forwarded.clone(), Rc::clone(&pool)));
    // A client that leaves or breaks the protocol ends its own connection and nothing else.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(client), service).await;
}

type Failure = Box<dyn std::error::Error>;
type Answer = Response<Either<Pooled, Empty<Bytes>>>;

async fn exchange(
    mut request: Request<Incoming>,
    forwarded: HeaderValue,
    pool: Rc<Pool>,
) -> Result<Answer, Infallible> {
    remove_hop_by_hop(request.headers_mut());
    request.headers_mut().insert("x-forwarded-for", forwarded);
    request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("http"));
    Ok(forward(request, pool).await.unwrap_or_else(|_| bad_gateway()))
}

async fn forward(request: Request<Incoming>, pool: Rc<Pool>) -> Result<Answer, Failure> {
    let mut sender = pool.take().await?;
    let mut response = sender.send_request(request).await?;
    remove_hop_by_hop(response.headers_mut());
    Ok(response.map(|body| Either::Left(Pooled { body, sender: Some(sender), pool })))
}

fn bad_gateway() -> Answer {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP.iter() {
        headers.remove(name);
    }
}

/// Idle connections to the upstream.
struct Pool {
    upstream: SocketAddr,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

impl Pool {
    async fn take(&self) -> Result<SendRequest<Incoming>, Failure> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            let Some(mut sender) = idle else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>, Failure> {
        let socket = TcpStream::connect(self.upstream).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await?;
        spawn_local(connection);
        Ok(sender)
    }
}

/// A response body that takes its connection home to the pool when it has been read.
struct Pooled {
    body: Incoming,
    sender: Option<SendRequest<Incoming>>,
    pool: Rc<Pool>,
}

impl Body for Pooled {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.pool.idle.borrow_mut().extend(self.sender.take());
    }
}
