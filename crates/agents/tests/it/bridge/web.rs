//! An HTTP service that answers as it is told.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

/// A server on loopback; it ends when this is dropped.
pub struct Web {
    /// `http://host:port/auth?x=1`
    pub address: String,
    pub connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Web {
    /// A server that answers by this function of a request and its body.
    pub async fn start(
        answer: impl Fn(Request<Bytes>) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/auth?x=1", listener.local_addr().unwrap());
        let connections = Arc::<AtomicUsize>::default();
        let mut task = JoinSet::new();
        let seen = connections.clone();
        task.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                seen.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        Ok::<_, Infallible>(answer(Request::from_parts(head, body)))
                    }
                });
                served.spawn(async move {
                    let _ = http1::Builder::new()
                        .auto_date_header(false)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, connections, _task: task }
    }

    /// Gives everybody this answer.
    pub async fn answering(
        status: u16,
        fields: &'static [(&'static str, &'static str)],
        body: impl Into<Bytes>,
    ) -> Self {
        let body = body.into();
        Self::start(move |_| {
            let mut response = Response::builder().status(status);
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            response.body(Full::new(body.clone())).unwrap()
        })
        .await
    }
}
