//! Views on a log in a folder, and requests to them.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use selvedge_config::{View, ViewAggregate, ViewColumn, ViewGroup, ViewShape};
use selvedge_eventlog::{
    Append, Batch, Log, Retention, Settings, StreamId, StreamOptions, block_on,
};
use selvedge_identity::{Caller, Principal};
use selvedge_jobs::Views;
use serde_json::Value;
use tower::ServiceExt;

/// Running views.
pub struct World {
    pub folder: tempfile::TempDir,
    pub log: Log,
    pub views: Views,
    declared: Vec<View>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub fields: HeaderMap,
    pub json: Value,
}

impl Answer {
    /// A field's value, or nothing.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn rows(&self) -> String {
        assert_eq!(self.status, StatusCode::OK, "{}", self.json);
        self.json["rows"].to_string()
    }

    #[track_caller]
    pub fn is(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.json["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.json
        );
    }
}

/// Somebody who may do this, for a tenant.
pub fn caller(scopes: &[&str], tenant: Option<&str>) -> Caller {
    let mut caller = Caller::anonymous();
    caller.principal = Principal::Service { name: "test".to_owned() };
    caller.scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    caller.tenant = tenant.map(str::to_owned);
    caller
}

impl World {
    pub fn new(declared: &[View]) -> World {
        let folder = tempfile::tempdir().unwrap();
        let log = open_log(&folder);
        let views = Views::open(folder.path(), log.clone(), declared).unwrap();
        World { folder, log, views, declared: declared.to_vec() }
    }

    /// Ends the views and takes them up again on the same files, perhaps declared in another way.
    pub fn restart(self, declared: Option<&[View]>) -> World {
        let World { folder, log, views, declared: before } = self;
        views.close();
        drop((views, log));
        let declared = declared.map_or(before, <[View]>::to_vec);
        let log = open_log(&folder);
        let views = Views::open(folder.path(), log.clone(), &declared).unwrap();
        World { folder, log, views, declared }
    }

    pub fn create(&self, name: &str) -> StreamId {
        block_on(self.log.create(name, StreamOptions::default())).unwrap()
    }

    pub fn create_kept(&self, name: &str, bytes_max: u64) -> StreamId {
        let retention = Retention { bytes_max: Some(bytes_max), ..Retention::default() };
        let options = StreamOptions { retention, ..StreamOptions::default() };
        block_on(self.log.create(name, options)).unwrap()
    }

    pub fn delete(&self, stream: StreamId) {
        self.log.append(Batch::delete(stream)).wait().unwrap();
    }

    /// Appends, and returns the offset that a client would be told.
    pub fn append(&self, stream: StreamId, events: &[&str]) -> String {
        let append =
            events.iter().fold(Append::to(stream), |append, event| append.record(event.as_bytes()));
        let tail = self.log.append(append).wait().unwrap().placed.tail;
        format!("{tail:016x}_0000000000000000")
    }

    pub async fn ask(
        &self,
        caller: Caller,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        // As a client writes them in a query.
        let path = path
            .replace('<', "%3C")
            .replace('>', "%3E")
            .replace('"', "%22")
            .replace('[', "%5B")
            .replace(']', "%5D");
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(caller);
        let router = axum::Router::new().nest("/views", self.views.router());
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer { status: parts.status, fields: parts.headers, json }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(caller(&["views:*"], None), Method::GET, path, &[]).await
    }

    /// What the list says of the only view.
    pub async fn listed(&self) -> Value {
        self.get("/views").await.json["views"][0].clone()
    }

    /// Waits until the list says something of the only view.
    pub async fn until(&self, what: impl Fn(&Value) -> bool) -> Value {
        loop {
            let listed = self.listed().await;
            if what(&listed) {
                return listed;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Rows that include an offset.
    pub async fn rows_at(&self, view: &str, offset: &str) -> Answer {
        self.get(&format!("/views/{view}?wait_ms=30000&min_offset={offset}")).await
    }
}

fn open_log(folder: &tempfile::TempDir) -> Log {
    Log::open(&folder.path().join("log"), Settings::default()).unwrap()
}

pub fn view(name: &str, shape: ViewShape) -> View {
    View {
        name: name.to_owned(),
        tenant: None,
        stream: "orders".to_owned(),
        rows_max: 1_000,
        shape,
    }
}

pub fn sql(name: &str, text: &str) -> View {
    view(name, ViewShape::Sql(text.to_owned()))
}

/// Orders and revenue by country.
pub fn by_country() -> View {
    let column = |name: &str, aggregate| ViewColumn { name: name.to_owned(), aggregate };
    view(
        "by-country",
        ViewShape::Fold {
            conditions: Vec::new(),
            groups: vec![ViewGroup {
                name: "country".into(),
                field: "country".into(),
                bucket: None,
            }],
            columns: vec![
                column("orders", ViewAggregate::Count(None)),
                column("revenue", ViewAggregate::Sum("amount".into())),
            ],
        },
    )
}
