//! What goes with an exchange beside its messages: attributes to the service, values from it.

use std::collections::BTreeMap;

use prost_types::{Struct, Value, value::Kind};
use selvedge_agent::{HttpVersion, RequestHead, Verdict, attributes as names};

use super::envoy::Metadata;

/// Namespace of what the route says to this agent.
const ROUTE: &str = "selvedge.route";
/// Namespace of values that earlier agents gave.
const VALUES: &str = "selvedge.values";

/// Values that one answer may give; more are left out.
const VALUES_MAX: usize = 64;
/// Bytes of a value's name.
const NAME_BYTES_MAX: usize = 200;
/// Bytes of a value.
const VALUE_BYTES_MAX: usize = 8 << 10;
/// Structures within structures; what is deeper is left out.
const DEPTH_MAX: usize = 8;

/// What the edge knows of the exchange, under the names of Envoy's attributes.
pub(super) fn attributes(head: &RequestHead<'_>) -> Struct {
    let known = head.attributes();
    let get = |name| known.get(name).map(str::to_owned);
    let source = get(names::CLIENT_ADDRESS).map(|address| match get(names::CLIENT_PORT) {
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address,
    });
    let texts = [
        ("request.id", get(names::REQUEST_ID)),
        ("request.method", Some(head.method().to_owned())),
        ("request.scheme", Some(head.scheme().to_owned())),
        ("request.host", Some(head.authority().to_owned())),
        ("request.path", Some(head.target().to_owned())),
        ("request.url_path", Some(head.path().to_owned())),
        ("request.query", head.query().map(str::to_owned)),
        ("request.protocol", Some(protocol(head.version()).to_owned())),
        ("source.address", source),
        ("connection.requested_server_name", get(names::TLS_SNI)),
        ("connection.tls_version", get(names::TLS_VERSION)),
        ("connection.subject_peer_certificate", get(names::TLS_CLIENT_SUBJECT)),
        ("connection.sha256_peer_certificate_digest", get(names::TLS_CLIENT_SHA256)),
        ("xds.route_name", get(names::ROUTE)),
        ("selvedge.listener", get(names::LISTENER)),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text?)));
    let mut fields: BTreeMap<String, Value> =
        texts.map(|(name, value)| (name.to_owned(), text(value))).collect();
    let is_mutual = known.get(names::TLS_CLIENT_SHA256).is_some();
    fields.insert("connection.mtls".to_owned(), kind(Kind::BoolValue(is_mutual)));
    Struct { fields }
}

/// A version as Envoy writes it.
pub(super) fn protocol(version: HttpVersion) -> &'static str {
    match version {
        HttpVersion::Http10 => "HTTP/1.0",
        HttpVersion::Http11 => "HTTP/1.1",
        HttpVersion::Http2 => "HTTP/2",
        HttpVersion::Http3 => "HTTP/3",
    }
}

/// What the route says to this agent, and what earlier agents found out.
pub(super) fn context(head: &RequestHead<'_>) -> Option<Metadata> {
    let spaces = [(ROUTE, names::ROUTE_PREFIX), (VALUES, names::VALUE_PREFIX)];
    let spaces = spaces.into_iter().filter_map(|(space, prefix)| {
        let fields = prefixed(head, prefix).map(|(name, value)| (name, text(value)));
        let fields: BTreeMap<String, Value> = fields.collect();
        (!fields.is_empty()).then(|| (space.to_owned(), Struct { fields }))
    });
    let filter_metadata: BTreeMap<String, Struct> = spaces.collect();
    (!filter_metadata.is_empty()).then_some(Metadata { filter_metadata })
}

/// What the route says to this agent.
pub(super) fn route_options(head: &RequestHead<'_>) -> BTreeMap<String, String> {
    prefixed(head, names::ROUTE_PREFIX).collect()
}

fn prefixed<'h>(
    head: &'h RequestHead<'_>,
    prefix: &'static str,
) -> impl Iterator<Item = (String, String)> + 'h {
    let all = head.attributes();
    all.iter().filter_map(move |(name, value)| {
        Some((name.strip_prefix(prefix)?.to_owned(), value.to_owned()))
    })
}

fn text(value: String) -> Value {
    kind(Kind::StringValue(value))
}

fn kind(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

/// Adds what a service found out as values for later agents and for routing: names within names are
/// joined by dots, lists are left out.
pub(super) fn add_values(verdict: Verdict, found: Option<&Struct>) -> Verdict {
    let mut values = Vec::new();
    if let Some(found) = found {
        collect(found, "", DEPTH_MAX, &mut values);
    }
    values.into_iter().fold(verdict, |verdict, (name, value)| verdict.value(name, value))
}

fn collect(found: &Struct, path: &str, depth: usize, values: &mut Vec<(String, String)>) {
    for (name, value) in &found.fields {
        let name = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let text = match &value.kind {
            Some(Kind::StringValue(text)) => text.clone(),
            Some(Kind::NumberValue(number)) => number.to_string(),
            Some(Kind::BoolValue(is_true)) => is_true.to_string(),
            Some(Kind::StructValue(inner)) if depth > 0 => {
                collect(inner, &name, depth - 1, values);
                continue;
            }
            _ => continue,
        };
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && text.len() <= VALUE_BYTES_MAX;
        if fits && values.len() < VALUES_MAX {
            values.push((name, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(fields: &[(&str, Value)]) -> Struct {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Struct { fields: fields.collect() }
    }

    #[track_caller]
    fn check(found: &Struct, expected: &[(&str, &str)]) {
        let verdict = add_values(Verdict::allow(), Some(found));
        let values = verdict.values().iter();
        let values: Vec<_> = values.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!((values.as_slice(), verdict.flaw()), (expected, None));
    }

    #[test]
    fn what_a_service_found_out_becomes_values() {
        let inner = structure(&[
            ("user", text("ada".to_owned())),
            ("score", kind(Kind::NumberValue(0.5))),
            ("count", kind(Kind::NumberValue(7.0))),
            ("list", kind(Kind::ListValue(prost_types::ListValue { values: Vec::new() }))),
            ("null", kind(Kind::NullValue(0))),
        ]);
        let found = structure(&[
            ("envoy.lb", kind(Kind::StructValue(inner))),
            ("bot", kind(Kind::BoolValue(true))),
        ]);
        check(
            &found,
            &[
                ("bot", "true"),
                ("envoy.lb.count", "7"),
                ("envoy.lb.score", "0.5"),
                ("envoy.lb.user", "ada"),
            ],
        );
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        check(&structure(&[(&long, text(String::new())), ("", text(String::new()))]), &[]);
        check(&structure(&[("x", text("x".repeat(VALUE_BYTES_MAX + 1)))]), &[]);
        let mut deep = structure(&[("end", text(String::new()))]);
        for _ in 0..=DEPTH_MAX {
            deep = structure(&[("in", kind(Kind::StructValue(deep)))]);
        }
        check(&deep, &[]);
        let names: Vec<String> = (0..=VALUES_MAX).map(|number| format!("{number:04}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), text(String::new()))).collect();
        let verdict = add_values(Verdict::allow(), Some(&structure(&many)));
        assert_eq!(verdict.values().len(), VALUES_MAX);
    }
}
