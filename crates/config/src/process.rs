//! What concerns the whole process: `limits`, `admin`, `workers`, `drain-timeout`.

use std::{net::SocketAddr, time::Duration};

use selvedge_base::ByteSize;

use crate::{
    Admin, Code, Limits,
    address::socket,
    bounds::PROCESS,
    cursor::{Cursor, Switch},
    reading::{Problem, Reading},
    source::Spanned,
};

/// `limits` as written.
#[derive(Default)]
pub(crate) struct LimitsPart {
    connections: Option<Spanned<usize>>,
    connections_per_address: Option<Spanned<usize>>,
    head: Option<Spanned<ByteSize>>,
    head_fields: Option<Spanned<usize>>,
    in_flight: Option<Spanned<usize>>,
    upstream_connections: Option<Spanned<usize>>,
    route_cache: Option<Spanned<usize>>,
    response_head: Option<Spanned<ByteSize>>,
}

/// `admin` as written.
pub(crate) struct AdminPart {
    address: Option<Spanned<SocketAddr>>,
}

/// Connections and requests: what a machine can hold at most.
const MANY: std::ops::RangeInclusive<u32> = 1..=10_000_000;

impl LimitsPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        let head = ByteSize::kib(1)..=ByteSize::mib(1);
        Self {
            connections: cursor.setting("connections", |value| value.count(MANY)),
            connections_per_address: cursor.setting("connections-per-address", |v| v.count(MANY)),
            head: cursor.setting("head", |value| value.size(head.clone())),
            head_fields: cursor.setting("head-fields", |value| value.count(1..=10_000)),
            in_flight: cursor.setting("in-flight", |value| value.count(MANY)),
            upstream_connections: cursor.setting("upstream-connections", |v| v.count(MANY)),
            route_cache: cursor.setting("route-cache", |value| value.count(1..=10_000_000)),
            response_head: cursor.setting("response-head", |value| value.size(head)),
        }
    }

    pub(crate) fn settle(self, reading: &Reading<'_>) -> Limits {
        let Self {
            connections,
            connections_per_address,
            head,
            head_fields,
            in_flight,
            upstream_connections,
            route_cache,
            response_head,
        } = self;
        let count = |name, written, default| reading.settle(PROCESS, name, written, default);
        let size = |name, written, default| reading.settle(PROCESS, name, written, default);
        let connections = count("limits connections", connections, 10_000);
        check_per_address(reading, connections_per_address.as_ref(), connections);
        let per_address_default = connections.min(256);
        Limits {
            connections,
            connections_per_address: count(
                "limits connections-per-address",
                connections_per_address,
                per_address_default,
            ),
            head: size("limits head", head, ByteSize::kib(32)),
            head_fields: count("limits head-fields", head_fields, 100),
            in_flight: count("limits in-flight", in_flight, 10_000),
            upstream_connections: count(
                "limits upstream-connections",
                upstream_connections,
                10_000,
            ),
            route_cache: count("limits route-cache", route_cache, 4_096),
            response_head: size("limits response-head", response_head, ByteSize::kib(64)),
        }
    }
}

fn check_per_address(reading: &Reading<'_>, written: Option<&Spanned<usize>>, connections: usize) {
    let Some(beyond) = written.filter(|written| written.value > connections) else { return };
    let message = format!("there are {connections} connections in all");
    let help = "lower this, or raise `connections`";
    reading.error(beyond.span, Problem::new(Code::Conflict, message).help(help));
}

impl AdminPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self { address: cursor.setting("address", |value| value.parse(socket)) }
    }

    pub(crate) fn address(&self) -> Option<&Spanned<SocketAddr>> {
        self.address.as_ref()
    }

    pub(crate) fn settle(part: Option<Switch<Self>>, reading: &Reading<'_>) -> Admin {
        let address = match part {
            Some(Switch::Off) => return Admin { address: None },
            Some(Switch::On(Self { address })) => address,
            None => None,
        };
        if let Some(open) = address.as_ref().filter(|address| !address.value.ip().is_loopback()) {
            let message = "everybody who reaches this address can read metrics and reload";
            let help = "use a loopback address, or let a firewall guard it";
            reading.warning(Some(open.span), Problem::new(Code::OpenAdmin, message).help(help));
        }
        let default = SocketAddr::from(([127, 0, 0, 1], 9900));
        Admin { address: Some(address.map_or(default, |address| address.value)) }
    }
}

pub(crate) fn read_workers(cursor: &mut Cursor<'_>) -> Option<Spanned<usize>> {
    cursor.argument("a number").and_then(|value| value.count(1..=1_024))
}

pub(crate) fn read_drain_timeout(cursor: &mut Cursor<'_>) -> Option<Spanned<Duration>> {
    let range = Duration::ZERO..=Duration::from_secs(86_400);
    cursor.argument("a duration").and_then(|value| value.duration(range))
}
