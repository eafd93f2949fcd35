//! `envoy.service.auth.v3`: one question for each request.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use prost_types::Timestamp;
use selvedge_agent::{Attributes, RequestHead, Verdict, attributes as names};
use selvedge_config::bridge::{Grpc, Settings};
use tokio::time::timeout;

use super::{
    envoy::{
        Address, AttributeContext, CheckReply, CheckRequest, CheckResponse, DeniedHttpResponse,
        HeaderMutation, HttpRequest, OkHttpResponse, Peer, Request, SocketAddress, TlsSession,
    },
    failure::Failure,
    fields::{self, AnswerFields, Message},
    grpc::Service,
    metadata,
};

const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Tells services whether they see all of a body, which they always do.
const PARTIAL: &str = "x-envoy-auth-partial-body";

/// A service that says who may pass.
pub(super) struct ExtAuthz {
    service: Service,
    timeout: Duration,
}

impl ExtAuthz {
    pub(super) fn new(settings: &Settings, grpc: &Grpc) -> Result<Self, String> {
        Ok(Self { service: Service::new(settings, grpc)?, timeout: settings.timeout })
    }

    /// Asks about a request, with its body if that is told.
    pub(super) async fn check(
        &self,
        head: &RequestHead<'_>,
        body: Option<&[u8]>,
    ) -> Result<Verdict, Failure> {
        let question = (question(head, body), self.timeout);
        let answer =
            timeout(self.timeout + super::OVERTIME, self.service.unary(PATH, question)).await;
        verdict(answer.map_err(|_| Failure::Late)??, head)
    }
}

fn question(head: &RequestHead<'_>, body: Option<&[u8]>) -> CheckRequest {
    let attributes = head.attributes();
    let sni = attributes.get(names::TLS_SNI);
    let context = AttributeContext {
        source: Some(source(&attributes)),
        destination: Some(destination(&attributes)),
        request: Some(Request {
            time: Some(Timestamp::from(SystemTime::now())),
            http: Some(http(head, body)),
        }),
        context_extensions: metadata::route_options(head),
        metadata_context: metadata::context(head),
        tls_session: sni.map(|sni| TlsSession { sni: sni.to_owned() }),
    };
    CheckRequest { attributes: Some(context) }
}

fn source(attributes: &Attributes<'_>) -> Peer {
    let address = attributes.get(names::CLIENT_ADDRESS).unwrap_or_default().to_owned();
    let port = attributes.get(names::CLIENT_PORT).and_then(|port| port.parse().ok());
    let socket = SocketAddress { address, port_value: Some(port.unwrap_or_default()) };
    Peer {
        address: Some(Address { socket_address: Some(socket) }),
        labels: BTreeMap::new(),
        principal: principal(attributes).unwrap_or_default().to_owned(),
    }
}

/// As Envoy names a peer: by a URI of its certificate, else by a DNS name of it, else by its subject.
fn principal<'a>(attributes: &Attributes<'a>) -> Option<&'a str> {
    let all = attributes.get(names::TLS_CLIENT_SAN).unwrap_or_default();
    let kind = |kind| all.split(',').find_map(move |name: &str| name.strip_prefix(kind));
    kind("URI:").or_else(|| kind("DNS:")).or_else(|| attributes.get(names::TLS_CLIENT_SUBJECT))
}

fn destination(attributes: &Attributes<'_>) -> Peer {
    let label =
        |(label, name): (&str, &str)| Some((label.to_owned(), attributes.get(name)?.to_owned()));
    let labels = [("listener", names::LISTENER), ("route", names::ROUTE)];
    Peer { labels: labels.into_iter().filter_map(label).collect(), ..Peer::default() }
}

fn http(head: &RequestHead<'_>, body: Option<&[u8]>) -> HttpRequest {
    let mut headers = joined(head);
    let length = head.header("content-length").and_then(|length| length.parse().ok());
    let told = body.map(|body| i64::try_from(body.len()).unwrap_or(i64::MAX));
    if body.is_some() {
        headers.insert(PARTIAL.to_owned(), "false".to_owned());
    }
    let bytes = body.unwrap_or_default();
    // `body` is text on the wire.
    let (text, raw) = match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), Bytes::new()),
        Err(_) => (String::new(), Bytes::copy_from_slice(bytes)),
    };
    HttpRequest {
        id: head.attributes().get(names::REQUEST_ID).unwrap_or_default().to_owned(),
        method: head.method().to_owned(),
        headers,
        path: head.target().to_owned(),
        host: head.authority().to_owned(),
        scheme: head.scheme().to_owned(),
        size: told.or(length).unwrap_or(if head.has_body() { -1 } else { 0 }),
        protocol: metadata::protocol(head.version()).to_owned(),
        body: text,
        raw_body: raw,
    }
}

/// Fields by name; those of one name are one, as RFC 9110, section 5.3, joins them.
fn joined(head: &RequestHead<'_>) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::<String, String>::new();
    for header in fields::of_request(head).headers {
        let value = String::from_utf8_lossy(&header.raw_value);
        let separator = if header.key == "cookie" { "; " } else { "," };
        match joined.get_mut(&header.key) {
            Some(known) => known.extend([separator, &*value]),
            None => drop(joined.insert(header.key, value.into_owned())),
        }
    }
    joined
}

fn verdict(answer: CheckResponse, head: &RequestHead<'_>) -> Result<Verdict, Failure> {
    let CheckResponse { status, http_response, dynamic_metadata } = answer;
    let is_silent = status.is_none() && http_response.is_none();
    let is_allowed = status.as_ref().is_none_or(|status| status.code == 0);
    let reason = status.map(|status| status.message).unwrap_or_default();
    let verdict = match (is_allowed, http_response) {
        _ if is_silent => return Err(Failure::Answer("an answer that says nothing")),
        (_, Some(CheckReply::Error(_))) => {
            return Err(Failure::Refused(format!("an error response: {reason}")));
        }
        (true, None) => Verdict::allow(),
        (true, Some(CheckReply::Ok(ok))) => {
            return allow(&ok, head).map(|verdict| {
                let old = ok.dynamic_metadata.as_ref();
                metadata::add_values(verdict, old.or(dynamic_metadata.as_ref())).done()
            });
        }
        // Where the status and the response disagree, nobody passes.
        (_, Some(CheckReply::Denied(denied))) => deny(denied)?,
        (false, _) => Verdict::block(403),
    };
    let verdict = metadata::add_values(verdict, dynamic_metadata.as_ref()).done();
    Ok(if reason.is_empty() { verdict } else { verdict.reason(reason) })
}

fn allow(ok: &OkHttpResponse, head: &RequestHead<'_>) -> Result<Verdict, Failure> {
    if !ok.query_parameters_to_set.is_empty() || !ok.query_parameters_to_remove.is_empty() {
        return Err(Failure::Answer("a change of the query, which agents cannot make"));
    }
    let request = Message::Request(*head);
    let verdict = request.remove(Verdict::allow(), &ok.headers_to_remove);
    let verdict = request.set(verdict, &ok.headers)?;
    Message::LaterResponse.set(verdict, &ok.response_headers_to_add)
}

fn deny(denied: DeniedHttpResponse) -> Result<Verdict, Failure> {
    let DeniedHttpResponse { status, headers, body } = denied;
    let code = status.map_or(0, |status| status.code);
    let status = if code == 0 { Ok(403) } else { u16::try_from(code) };
    let mut fields = AnswerFields::default();
    if !body.is_empty() {
        fields.add("content-type", b"text/plain");
    }
    let fields =
        fields.change(&HeaderMutation { set_headers: headers, remove_headers: Vec::new() })?;
    Ok(fields.refuse(status.unwrap_or(0))?.body(body))
}
