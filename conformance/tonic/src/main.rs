//! Calls a tonic service through a proxy with a tonic client.
//!
//! Usage: selvedge-conformance-tonic PROXY_PORT ORIGIN_PORT; this program is the service as well.

mod raw;
mod service;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::uri::PathAndQuery;
use raw::Raw;
use service::Conformance;
use tokio::sync::{Notify, mpsc};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    metadata::MetadataValue,
    transport::{Channel, Endpoint, Server},
};

type Error = Box<dyn std::error::Error + Send + Sync>;
/// What is wrong; empty if nothing is.
type Fault = Result<String, Error>;

const PATIENCE: Duration = Duration::from_secs(20);
const MESSAGES: usize = 5000;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut ports = std::env::args().skip(1).map(|port| port.parse::<u16>());
    let (Some(proxy), Some(origin)) = (ports.next(), ports.next()) else {
        return Err("usage: PROXY_PORT ORIGIN_PORT".into());
    };
    let gone = Arc::new(Notify::new());
    let service = Conformance { gone: gone.clone() };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", origin?)).await?;
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", proxy?))?;
    let channel = endpoint.timeout(PATIENCE).connect().await?;
    println!("{}", serde_json::json!({ "version": "tonic 0.14" }));
    run(&channel, &gone).await;
    Ok(())
}

async fn run(channel: &Channel, gone: &Notify) {
    say("unary, with metadata", unary(channel).await);
    say("a message of 3 MiB both ways", large(channel).await);
    say("client streaming, 5,000 messages", client_streaming(channel).await);
    say("server streaming, 5,000 messages, then a status", server_streaming(channel).await);
    say("bidirectional streaming: each message waits for an answer", converse(channel).await);
    say("a status in trailers alone, with details", status(channel).await);
    say("a method that is not there", unimplemented(channel).await);
    say("a deadline", deadline(channel).await);
    say("a client that leaves a stream stops the server", cancel(channel, gone).await);
    say("200 calls at once", concurrent(channel).await);
}

fn say(case: &str, fault: Fault) {
    let fault = fault.unwrap_or_else(|error| error.to_string());
    let outcome = if fault.is_empty() { "pass" } else { "fail" };
    let line = serde_json::json!({ "case": case, "outcome": outcome, "detail": fault });
    println!("{line}");
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Fault {
    Ok(if found == expected { String::new() } else { format!("{found:?} is not {expected:?}") })
}

fn path(method: &str) -> PathAndQuery {
    let path = format!("/selvedge.Tonic/{method}");
    path.parse().expect("the names of methods are plain words")
}

async fn client(channel: &Channel) -> Result<Grpc<Channel>, Error> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await?;
    Ok(client)
}

async fn call(channel: &Channel, method: &str, message: Bytes) -> Result<Bytes, Error> {
    let mut client = client(channel).await?;
    Ok(client.unary(Request::new(message), path(method), Raw).await?.into_inner())
}

async fn unary(channel: &Channel) -> Fault {
    let token = MetadataValue::from_bytes(&[0, 1, 254, 255]);
    let mut request = Request::new(Bytes::from_static(b"hello"));
    request.metadata_mut().insert_bin("token-bin", token.clone());
    let response = client(channel).await?.unary(request, path("Echo"), Raw).await?;
    let echoed = response.metadata().get_bin("token-bin").cloned();
    same((response.into_inner(), echoed), (Bytes::from_static(b"hello"), Some(token)))
}

async fn large(channel: &Channel) -> Fault {
    let message = Bytes::from(vec![7; 3 << 20]);
    let echoed = call(channel, "Echo", message.clone()).await?;
    same(echoed == message, true)
}

async fn client_streaming(channel: &Channel) -> Fault {
    let messages = tokio_stream::iter(0..MESSAGES).map(|_| Bytes::from(vec![b'x'; 1000]));
    let request = Request::new(messages);
    let response = client(channel).await?.client_streaming(request, path("Count"), Raw).await?;
    same(response.into_inner(), (MESSAGES * 1000).to_string().into())
}

async fn server_streaming(channel: &Channel) -> Fault {
    let request = Request::new(Bytes::from(MESSAGES.to_string()));
    let response = client(channel).await?.server_streaming(request, path("Repeat"), Raw).await?;
    let mut stream = response.into_inner();
    let mut count = 0;
    loop {
        match stream.message().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => return Ok("the status was lost".to_owned()),
            Err(status) => return same((count, status.code()), (MESSAGES, Code::DataLoss)),
        }
    }
}

async fn converse(channel: &Channel) -> Fault {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    sender.send("first".into()).await?;
    let request = Request::new(ReceiverStream::new(receiver));
    let response = client(channel).await?.streaming(request, path("Converse"), Raw).await?;
    let mut answers = response.into_inner();
    if answers.message().await? != Some("tsrif".into()) {
        return Ok("the first message came back wrong".to_owned());
    }
    for number in 0..300 {
        let message = format!("message {number}");
        let reversed: String = message.chars().rev().collect();
        sender.send(message.into()).await?;
        if answers.message().await? != Some(reversed.into()) {
            return Ok(format!("message {number} came back wrong"));
        }
    }
    drop(sender);
    same(answers.message().await?, None)
}

async fn status(channel: &Channel) -> Fault {
    let status = failure(channel, "Fail").await?;
    let found = (status.code(), status.message(), status.details());
    same(found, (Code::FailedPrecondition, "100 % wrong, grün", b"\x00\xff".as_slice()))
}

async fn unimplemented(channel: &Channel) -> Fault {
    same(failure(channel, "Nothing").await?.code(), Code::Unimplemented)
}

async fn failure(channel: &Channel, method: &str) -> Result<Status, Error> {
    let request = Request::new(Bytes::new());
    match client(channel).await?.unary::<_, Bytes, _>(request, path(method), Raw).await {
        Ok(_) => Err("it did not fail".into()),
        Err(status) => Ok(status),
    }
}

async fn deadline(channel: &Channel) -> Fault {
    let mut request = Request::new(Bytes::new());
    request.set_timeout(Duration::from_millis(500));
    match client(channel).await?.unary(request, path("Sleep"), Raw).await {
        Ok(_) => Ok("it did not fail".to_owned()),
        Err(status) => {
            same(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), true)
        }
    }
}

async fn cancel(channel: &Channel, gone: &Notify) -> Fault {
    let request = Request::new(Bytes::new());
    let response = client(channel).await?.server_streaming(request, path("Endless"), Raw).await?;
    let mut stream = response.into_inner();
    let first: Option<Bytes> = stream.message().await?;
    drop(stream);
    let stopped = tokio::time::timeout(PATIENCE, gone.notified()).await.is_ok();
    same((first.map(|bytes| bytes.len()), stopped), (Some(1000), true))
}

async fn concurrent(channel: &Channel) -> Fault {
    let calls: Vec<_> = (0..200)
        .map(|number: usize| {
            let channel = channel.clone();
            tokio::spawn(async move { call(&channel, "Echo", number.to_string().into()).await })
        })
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        if call.await?? != number.to_string() {
            return Ok(format!("call {number} came back wrong"));
        }
    }
    Ok(String::new())
}
