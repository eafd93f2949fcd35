//! A server of keys that does as it is told, well or badly.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::Semaphore,
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

/// What a request gets.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status 200 and this document.
    Document(String),
    /// These very bytes, then the end of the connection.
    Raw(String),
    /// The head of an answer, and then these bytes over and over.
    Endless(&'static str),
    /// Nothing, for ever.
    Silence,
    /// The document, once somebody opens the gate.
    Gated(String, Arc<Semaphore>),
}

/// A running server; it ends with this handle.
pub struct Server {
    /// `http://127.0.0.1:PORT` or `https://localhost:PORT`.
    pub url: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<HashMap<String, Reply>>,
    hits: Mutex<HashMap<String, usize>>,
}

impl Server {
    pub async fn start() -> Self {
        Self::run(None).await
    }

    /// With TLS; its roots go into the file.
    pub async fn start_with_tls(roots: &Path) -> Self {
        Self::run(Some(acceptor(roots))).await
    }

    async fn run(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = match tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&shared))).abort_handle();
        Self { url, shared, task }
    }

    /// From now on `path` gets this reply; others get 404.
    pub fn reply(&self, path: &str, reply: Reply) {
        lock(&self.shared.replies).insert(path.to_owned(), reply);
    }

    /// Requests for `path` so far.
    pub fn hits(&self, path: &str) -> usize {
        lock(&self.shared.hits).get(path).copied().unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, &shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, &shared).await;
                    }
                }
            }
        });
    }
}

/// One request; whoever asks may go away at any time.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    *lock(&shared.hits).entry(path.clone()).or_default() += 1;
    let reply = lock(&shared.replies).get(&path).cloned();
    let not_found = || Reply::Raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned());
    let _ = send(&mut stream, reply.unwrap_or_else(not_found)).await;
    let _ = stream.shutdown().await;
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Document(text) => stream.write_all(document(&text).as_bytes()).await,
        Reply::Raw(text) => stream.write_all(text.as_bytes()).await,
        Reply::Gated(text, gate) => {
            gate.acquire().await.unwrap().forget();
            stream.write_all(document(&text).as_bytes()).await
        }
        Reply::Silence => std::future::pending().await,
        Reply::Endless(head) => {
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(b"10\r\n                \r\n").await?;
            }
        }
    }
}

fn document(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

fn acceptor(roots: &Path) -> TlsAcceptor {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().unwrap();
    std::fs::write(roots, root.self_signed(&root_key).unwrap().pem()).unwrap();
    let root = Issuer::new(root, root_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &root).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
