//! A service on a log in a folder, and requests to it.

use std::path::Path;

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use selvedge_eventlog::Log;
use selvedge_identity::{Caller, Principal};
use selvedge_streams::{Settings, Streams};
use tower::ServiceExt;

/// A running service.
pub struct World {
    folder: tempfile::TempDir,
    pub settings: Settings,
    pub streams: Streams,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub fields: HeaderMap,
    pub body: String,
}

impl Answer {
    /// A field's value, or nothing.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn next(&self) -> &str {
        self.field("stream-next-offset")
    }
}

/// A service that may do everything.
pub fn service(name: &str) -> Caller {
    let mut caller = Caller::anonymous();
    caller.principal = Principal::Service { name: name.to_owned() };
    caller.scopes = ["*".parse().unwrap()].into_iter().collect();
    caller
}

impl World {
    pub fn new(settings: Settings) -> World {
        World::on(settings, log)
    }

    /// A service on a log that `open` opens in a folder.
    pub fn on(settings: Settings, open: impl FnOnce(&Path) -> Log) -> World {
        World::with(settings, |folder, settings| Streams::new(open(folder), settings))
    }

    /// A service that `open` makes in a folder.
    pub fn with(settings: Settings, open: impl FnOnce(&Path, Settings) -> Streams) -> World {
        let folder = tempfile::tempdir().unwrap();
        let streams = open(folder.path(), settings.clone());
        World { folder, settings, streams }
    }

    /// Ends the service and starts it again on the same files.
    pub fn restart(self) -> World {
        let settings = self.settings.clone();
        self.restart_with(settings, |folder, settings| Streams::new(log(folder), settings))
    }

    /// Ends the service and starts another on the same files.
    pub fn restart_with(
        self,
        settings: Settings,
        open: impl FnOnce(&Path, Settings) -> Streams,
    ) -> World {
        let World { folder, settings: _, streams } = self;
        drop(streams);
        let streams = open(folder.path(), settings.clone());
        World { folder, settings, streams }
    }

    fn router(&self) -> Router {
        Router::new().nest("/streams", self.streams.router())
    }

    pub async fn ask(&self, caller: Caller, request: Request<Body>) -> Answer {
        let (parts, body) = self.begin(caller, request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            fields: parts.headers,
            body: String::from_utf8(body.into()).unwrap(),
        }
    }

    /// An answer whose body is not read.
    pub async fn begin(&self, caller: Caller, mut request: Request<Body>) -> http::Response<Body> {
        request.extensions_mut().insert(caller);
        self.router().oneshot(request).await.unwrap()
    }

    /// Asks as a service named `test`.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.ask(service("test"), request(method, path, fields, body)).await
    }

    pub async fn create(&self, path: &str, content_type: &str) -> Answer {
        self.send(Method::PUT, path, &[("content-type", content_type)], "").await
    }

    pub async fn append(&self, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let content_type = [(header::CONTENT_TYPE.as_str(), "text/plain")];
        self.send(Method::POST, path, &[&content_type[..], fields].concat(), body).await
    }

    pub async fn read(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }
}

pub fn request(method: Method, path: &str, fields: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(format!("/streams/{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

/// The log that a service has where a test says nothing else.
pub fn log(folder: &Path) -> Log {
    Log::open(folder, selvedge_eventlog::Settings::default()).unwrap()
}
