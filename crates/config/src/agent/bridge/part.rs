//! `grpc address="…" { … }` and `http address="…" { … }`.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use selvedge_base::{ByteSize, Secret};

use super::{BodyMode, Grpc, GrpcProtocol, Http, Service, Settings};
use crate::{
    AgentEvent, Code,
    cursor::Cursor,
    http::{base_url, header_name, header_value, is_exposed, operable_header_name, url},
    reading::{Problem, Reading},
    source::{Span, Spanned, sound},
    value::Value,
};

/// A service as written.
pub(in crate::agent) struct ServicePart {
    span: Span,
    service: Service,
    ca: Option<PathBuf>,
}

/// What is known of the agent as a whole.
pub(in crate::agent) struct Frame {
    pub(in crate::agent) events: Vec<AgentEvent>,
    pub(in crate::agent) timeout: Duration,
    pub(in crate::agent) body_max: ByteSize,
}

impl ServicePart {
    pub(in crate::agent) fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let is_grpc = cursor.name() == "grpc";
        let service = match is_grpc {
            true => read_grpc(cursor).map(Service::Grpc),
            false => read_http(cursor).map(Service::Http),
        };
        let ca = cursor.setting("ca", |value| Some(value.file()));
        let (service, ca) = (service?, sound(ca)?);
        Some(Self { span: cursor.span(), service, ca: ca.map(|ca| ca.value) })
    }

    /// Events that the protocol knows.
    pub(in crate::agent) fn events(&self) -> &'static [AgentEvent] {
        match &self.service {
            Service::Grpc(Grpc { protocol: GrpcProtocol::ExtProc, .. }) => &AgentEvent::ALL[..4],
            Service::Grpc(Grpc { protocol: GrpcProtocol::ExtAuthz, .. }) | Service::Http(_) => {
                &AgentEvent::ALL[..2]
            }
        }
    }

    /// Request fields that only this service may set.
    pub(in crate::agent) fn identity_headers(&self) -> BTreeSet<String> {
        // Credentials of the client's own: it must be able to send them.
        let is_own = |name: &&String| !matches!(name.as_str(), "authorization" | "cookie");
        match &self.service {
            Service::Grpc(_) => BTreeSet::new(),
            Service::Http(http) => http.response_headers.iter().filter(is_own).cloned().collect(),
        }
    }

    pub(in crate::agent) fn settle(self, reading: &Reading<'_>, frame: Frame) -> Settings {
        let Self { span, service, ca } = self;
        let address = match &service {
            Service::Grpc(grpc) => &grpc.address,
            Service::Http(http) => &http.address,
        };
        if is_exposed(address) {
            let message = "whoever is on the way can read these questions and answer them";
            let help = "use `https://`, or a service on this machine";
            reading.warning(Some(span), Problem::new(Code::PlainKeys, message).help(help));
        }
        let Frame { events, timeout, body_max } = frame;
        Settings { service, events, timeout, body_max, ca }
    }
}

fn read_grpc(cursor: &mut Cursor<'_>) -> Option<Grpc> {
    let address = read_address(cursor, "http://localhost:50051");
    let address = address.and_then(|value| value.parse(base_url));
    let protocols = [("ext_proc", GrpcProtocol::ExtProc), ("ext_authz", GrpcProtocol::ExtAuthz)];
    let protocol = cursor.setting("protocol", |value| value.word(&protocols));
    let protocol = protocol.map_or(GrpcProtocol::ExtProc, |protocol| protocol.value);
    let modes = [("inspect", BodyMode::Inspect), ("stream", BodyMode::Stream)];
    let body_mode = cursor.setting("body-mode", |value| value.word(&modes));
    if let Some(mode) = body_mode.as_ref().filter(|_| protocol == GrpcProtocol::ExtAuthz) {
        let problem = Problem::new(Code::Conflict, "ext_authz gets a body as a whole");
        cursor.reading().error(mode.span, problem.help("remove `body-mode`"));
    }
    let metadata = cursor.children(&["metadata"], read_metadata);
    Some(Grpc {
        address: address?.value,
        protocol,
        body_mode: body_mode.map_or(BodyMode::Inspect, |mode| mode.value),
        metadata: metadata.into_iter().collect::<Option<_>>()?,
    })
}

fn read_metadata(cursor: &mut Cursor<'_>) -> Option<(String, Secret)> {
    let name = cursor.argument("a name").and_then(|value| value.parse(header_name));
    let value = cursor.argument("a name and a value");
    let value = value.and_then(|value| value.parse(header_value));
    Some((name?.value, Secret::new(value?.value)))
}

fn read_http(cursor: &mut Cursor<'_>) -> Option<Http> {
    let address = read_address(cursor, "http://127.0.0.1:9091/api/authz/forward-auth");
    let address = address.and_then(|value| value.parse(url));
    let request_headers = cursor.child("request-headers", |c| read_headers(c, true));
    let response_headers = cursor.child("response-headers", |c| read_headers(c, true));
    let client_headers = cursor.child("client-headers", |c| read_headers(c, false));
    Some(Http {
        address: address?.value,
        request_headers,
        response_headers: response_headers.unwrap_or_default(),
        client_headers: client_headers.unwrap_or_default(),
    })
}

fn read_address<'r>(cursor: &mut Cursor<'r>, example: &str) -> Option<Value<'r>> {
    let address = cursor.property("address");
    if address.is_none() {
        let name = cursor.name();
        let problem = Problem::new(Code::Missing, format!("`{name}` needs an address"));
        cursor.error(problem.help(format!("write `{name} address={example:?}`")));
    }
    address
}

fn read_headers(cursor: &mut Cursor<'_>, is_request: bool) -> Vec<String> {
    let name = |text: &str| operable_header_name(text, is_request);
    let mut names: Vec<String> = Vec::new();
    for value in cursor.arguments("names of headers") {
        let Some(Spanned { value: name, span }) = value.parse(name) else { continue };
        match names.contains(&name) {
            true => {
                let problem = Problem::new(Code::Repeated, format!("`{name}` is there already"));
                cursor.reading().error(span, problem.help("remove it"));
            }
            false => names.push(name),
        }
    }
    names
}
