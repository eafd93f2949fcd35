//! A collector that answers as it is told and keeps what it received.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span,
};
use prost::Message;

/// One request: its head in lower case, and what its body says.
pub struct Received {
    pub head: String,
    pub request: ExportTraceServiceRequest,
}

impl Received {
    pub fn spans(&self) -> Vec<&Span> {
        let resources = self.request.resource_spans.iter();
        resources.flat_map(|one| &one.scope_spans).flat_map(|one| &one.spans).collect()
    }
}

pub struct Collector {
    pub endpoint: String,
    received: Receiver<Received>,
}

impl Collector {
    /// Gives `answers` in turn, then 200.
    pub fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, received) = channel();
        thread::spawn(move || {
            let mut answers = answers.iter();
            for stream in listener.incoming() {
                serve(stream.unwrap(), &mut answers, &sender);
            }
        });
        Self { endpoint, received }
    }

    pub fn next(&self) -> Received {
        self.received.recv_timeout(Duration::from_secs(30)).expect("a request within 30 s")
    }

    pub fn is_silent(&self) -> bool {
        self.received.try_recv().is_err()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Until the client closes or an answer says that the connection ends.
fn serve<'a>(
    mut stream: TcpStream,
    answers: &mut impl Iterator<Item = &'a &'static str>,
    sender: &Sender<Received>,
) {
    while let Some(received) = read(&mut stream) {
        let answer = answers.next().copied().unwrap_or(OK);
        if sender.send(received).is_err() || stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
        if answer.is_empty() || answer.contains("Connection: close") {
            return;
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    let request = ExportTraceServiceRequest::decode(&*body).expect("a valid export request");
    Some(Received { head, request })
}
