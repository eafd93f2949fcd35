//! What the core of this machine counts, for the same page: one scrape of a machine is all of it.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use selvedge_config::{CORE, Config, Core, HeaderOp, LINK_FIELD, SCOPE_FIELD, USER_FIELD};
use tokio::{net::UnixStream, task::JoinSet, time::timeout};

/// How long the core may take; a scrape has some seconds, and has to show that the core hangs.
pub(crate) const WITHIN: Duration = Duration::from_secs(2);
/// Bytes of its page; a larger one is none.
pub(crate) const BYTES_MAX: usize = 4 << 20;
/// For whom the core takes us. No client can say so: the edge takes such fields off.
const NAME: HeaderValue = HeaderValue::from_static("selvedge-admin");
const SCOPE: HeaderValue = HeaderValue::from_static("metrics:read");

/// The core's page, after a line that tells whether it could be had. Nothing where no core runs here.
pub(super) async fn render(config: &Config) -> String {
    let here = config.core.as_ref().and_then(|core| Some((core, core.process()?)));
    let Some((core, process)) = here else { return String::new() };
    let page = match timeout(WITHIN, ask(&process.socket, request(config, core))).await {
        Ok(Ok(page)) => Some(page),
        // Why it does not answer is for its own log, and for the edge's where clients asked.
        Ok(Err(_)) | Err(_) => None,
    };
    let up = u8::from(page.is_some());
    format!(
        "# HELP selvedge_core_up Whether the core of this machine tells its metrics: 1 or 0.\n\
         # TYPE selvedge_core_up gauge\n\
         selvedge_core_up {up}\n{}",
        page.unwrap_or_default()
    )
}

/// With the proof of who we are that the mount's requests carry as well.
fn request(config: &Config, core: &Core) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    if let Ok(target) = format!("{}/metrics", core.path).parse() {
        *request.uri_mut() = target;
    }
    let fields = request.headers_mut();
    fields.insert(header::HOST, HeaderValue::from_static("core"));
    fields.insert(HeaderName::from_static(USER_FIELD), NAME);
    fields.insert(HeaderName::from_static(SCOPE_FIELD), SCOPE);
    let mount = config.routes.iter().find(|route| *route.id == *CORE);
    for op in mount.iter().flat_map(|mount| &mount.request_headers) {
        if let HeaderOp::Set(name, secret) = op
            && name == LINK_FIELD
            && let Ok(mut secret) = HeaderValue::from_str(secret.expose())
        {
            secret.set_sensitive(true);
            fields.insert(HeaderName::from_static(LINK_FIELD), secret);
        }
    }
    request
}

async fn ask(socket: &Path, request: Request<Empty<Bytes>>) -> io::Result<String> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    // Ends with this scope, however the answer went.
    let mut driver = JoinSet::new();
    driver.spawn_local(connection);
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::OK {
        return Err(io::Error::other(format!("status {}", answer.status())));
    }
    let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    String::from_utf8(body.into()).map_err(io::Error::other)
}
