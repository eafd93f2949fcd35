//! What the client calls.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use tokio::sync::{Notify, mpsc};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Response, Status, Streaming, body::Body, server::NamedService};
use tower::{Service, service_fn};

use crate::raw::Raw;

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// The service; `gone` is told when a client of `Endless` has left.
#[derive(Clone)]
pub struct Conformance {
    /// Told when a client of `Endless` has left.
    pub gone: Arc<Notify>,
}

impl NamedService for Conformance {
    const NAME: &'static str = "selvedge.Tonic";
}

impl Service<Request<Body>> for Conformance {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gone = self.gone.clone();
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Raw);
            Ok(match method.as_str() {
                "Echo" => grpc.unary(service_fn(echo), request).await,
                "Fail" => grpc.unary(service_fn(fail), request).await,
                "Sleep" => grpc.unary(service_fn(sleep), request).await,
                "Count" => grpc.client_streaming(service_fn(count), request).await,
                "Repeat" => grpc.server_streaming(service_fn(repeat), request).await,
                "Endless" => {
                    let endless = service_fn(move |_| ready(endless(gone.clone())));
                    grpc.server_streaming(endless, request).await
                }
                "Converse" => grpc.streaming(service_fn(converse), request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

async fn echo(request: tonic::Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let token = request.metadata().get_bin("token-bin").cloned();
    let mut response = Response::new(request.into_inner());
    if let Some(token) = token {
        response.metadata_mut().insert_bin("token-bin", token);
    }
    Ok(response)
}

async fn fail(_: tonic::Request<Bytes>) -> Result<Response<Bytes>, Status> {
    Err(Status::with_details(
        tonic::Code::FailedPrecondition,
        "100 % wrong, grün",
        Bytes::from_static(b"\x00\xff"),
    ))
}

async fn sleep(request: tonic::Request<Bytes>) -> Result<Response<Bytes>, Status> {
    tokio::time::sleep(Duration::from_secs(20)).await;
    Ok(Response::new(request.into_inner()))
}

async fn count(request: tonic::Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let mut messages = request.into_inner();
    let mut length = 0;
    while let Some(message) = messages.next().await {
        length += message?.len();
    }
    Ok(Response::new(length.to_string().into()))
}

/// As many messages as asked for, then a status other than OK.
async fn repeat(request: tonic::Request<Bytes>) -> Result<Response<Messages>, Status> {
    let count = std::str::from_utf8(request.get_ref()).ok().and_then(|text| text.parse().ok());
    let count = count.ok_or_else(|| Status::invalid_argument("not a number"))?;
    let messages = tokio_stream::iter(0..count).map(|_: usize| Ok(Bytes::from(vec![b'x'; 1000])));
    let end = tokio_stream::once(Err(Status::data_loss("after the messages")));
    Ok(Response::new(Box::pin(messages.chain(end))))
}

fn endless(gone: Arc<Notify>) -> Result<Response<Messages>, Status> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while sender.send(Ok(Bytes::from(vec![b'x'; 1000]))).await.is_ok() {}
        gone.notify_one();
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
}

async fn converse(request: tonic::Request<Streaming<Bytes>>) -> Result<Response<Messages>, Status> {
    let answers = request.into_inner().map(|message| {
        message.map(|bytes| bytes.iter().rev().copied().collect::<Vec<u8>>().into())
    });
    Ok(Response::new(Box::pin(answers)))
}
