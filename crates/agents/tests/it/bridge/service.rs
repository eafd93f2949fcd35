//! A gRPC service that does as it is told, down to the frame.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

/// What a service does with a message.
pub enum Act {
    /// Answers.
    Say(Bytes),
    /// Ends the call with this status.
    End(u16),
    /// Says nothing more, for as long as somebody listens.
    Hang,
    /// Sends these bytes where a message belongs.
    Garbage(&'static [u8]),
    /// Breaks the stream off.
    Reset,
    /// Breaks the connection off.
    HangUp,
}

impl Act {
    pub fn say(message: &impl Message) -> Self {
        Self::Say(message.encode_to_vec().into())
    }
}

/// A service on loopback; it ends when this is dropped.
pub struct Service {
    pub address: String,
    pub calls: Arc<Calls>,
    hang_up: watch::Sender<()>,
    _tasks: JoinSet<()>,
}

/// What was seen of those who ask.
#[derive(Default)]
pub struct Calls {
    pub connections: AtomicUsize,
    pub streams: AtomicUsize,
    /// Streams of which the caller has said all, or is gone.
    pub ended: AtomicUsize,
    pub metadata: Mutex<HeaderMap>,
    pub path: Mutex<String>,
}

type Script = Arc<dyn Fn(usize, Bytes) -> Vec<Act> + Send + Sync>;

impl Service {
    /// A service whose acts depend on the number of the message in its stream, and on the message.
    pub async fn start(script: impl Fn(usize, Bytes) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, script)
    }

    pub fn on(
        listener: TcpListener,
        script: impl Fn(usize, Bytes) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        Self::behind(None, listener, script)
    }

    /// As [`on`](Self::on), behind TLS if there is somebody to accept it.
    pub fn behind(
        tls: Option<TlsAcceptor>,
        listener: TcpListener,
        script: impl Fn(usize, Bytes) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let address = match (&tls, listener.local_addr().unwrap()) {
            (Some(_), address) => format!("https://localhost:{}", address.port()),
            (None, address) => format!("http://{address}"),
        };
        let calls = Arc::<Calls>::default();
        let (hang_up, told) = watch::channel(());
        let mut tasks = JoinSet::new();
        let served = Server { script: Arc::new(script), calls: calls.clone(), hang_up: told };
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (served, tls) = (served.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        Some(tls) => served.serve(tls.accept(stream).await.unwrap()).await,
                        None => served.serve(stream).await,
                    }
                });
            }
        });
        Self { address, calls, hang_up, _tasks: tasks }
    }

    /// Answers one message of each call, of whatever kind, in the same way.
    pub async fn answering(answer: impl Message) -> Self {
        let answer: Bytes = answer.encode_to_vec().into();
        Self::start(move |_, _| vec![Act::Say(answer.clone()), Act::End(0)]).await
    }

    /// Breaks every connection off.
    pub fn hang_up(&self) {
        self.hang_up.send_replace(());
    }
}

#[derive(Clone)]
struct Server {
    script: Script,
    calls: Arc<Calls>,
    hang_up: watch::Receiver<()>,
}

impl Server {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        self.calls.connections.fetch_add(1, Ordering::SeqCst);
        let mut hang_up = self.hang_up.clone();
        hang_up.mark_unchanged();
        let (give_up, mut given_up) = mpsc::channel::<()>(1);
        let service = service_fn(move |request| {
            let (server, give_up) = (self.clone(), give_up.clone());
            async move { Ok::<_, Infallible>(server.answer(request, give_up)) }
        });
        let connection = http2::Builder::new(TokioExecutor::new());
        let connection = connection.serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => {}
            _ = hang_up.changed() => {}
            _ = given_up.recv() => {}
        }
    }

    fn answer(
        self,
        request: Request<Incoming>,
        give_up: mpsc::Sender<()>,
    ) -> Response<http_body_util::combinators::BoxBody<Bytes, std::io::Error>> {
        self.calls.streams.fetch_add(1, Ordering::SeqCst);
        let (head, body) = request.into_parts();
        *self.calls.path.lock().unwrap() = head.uri.path().to_owned();
        *self.calls.metadata.lock().unwrap() = head.headers;
        let (frames, answer) = mpsc::channel(16);
        tokio::spawn(async move {
            let calls = self.calls.clone();
            self.converse(body, frames, give_up).await;
            calls.ended.fetch_add(1, Ordering::SeqCst);
        });
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(StreamBody::new(ReceiverStream::new(answer)).boxed()).unwrap()
    }

    async fn converse(
        self,
        mut body: Incoming,
        frames: mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>,
        give_up: mpsc::Sender<()>,
    ) {
        let mut input = BytesMut::new();
        let mut number = 0;
        while let Some(Ok(frame)) = body.frame().await {
            input.extend_from_slice(&frame.into_data().unwrap_or_default());
            while let Some(message) = message(&mut input) {
                for act in (self.script)(number, message) {
                    match act {
                        Act::Say(message) => {
                            let _ = frames.send(Ok(Frame::data(framed(&message)))).await;
                        }
                        Act::Garbage(bytes) => {
                            let bytes = Bytes::from_static(bytes);
                            let _ = frames.send(Ok(Frame::data(bytes))).await;
                        }
                        Act::End(status) => {
                            let mut trailers = HeaderMap::new();
                            trailers.insert("grpc-status", status.into());
                            let _ = frames.send(Ok(Frame::trailers(trailers))).await;
                            return;
                        }
                        Act::Hang => return frames.closed().await,
                        Act::Reset => {
                            let _ = frames.send(Err(std::io::ErrorKind::Other.into())).await;
                            return;
                        }
                        Act::HangUp => {
                            let _ = give_up.send(()).await;
                            return;
                        }
                    }
                }
                number += 1;
            }
        }
    }
}

/// The next whole message, without its prefix.
fn message(input: &mut BytesMut) -> Option<Bytes> {
    let length = usize::try_from(input.get(1..5)?.get_u32()).unwrap();
    if input.len() < 5 + length {
        return None;
    }
    input.advance(5);
    Some(input.split_to(length).freeze())
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}
