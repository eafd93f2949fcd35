//! Sockets to listen on: one for each worker at each place, bound before anything else begins.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
};

use selvedge_config::{Config, Listener};
use socket2::{Domain, Protocol, Socket, Type};

use super::StartError;
use crate::plan::Place;

/// Connections that the kernel holds for us before we accept them.
pub(super) const BACKLOG: i32 = 4096;

/// Places that are listened on, each with its address as the system chose it (port 0).
pub(super) type Bound = BTreeMap<Place, SocketAddr>;

/// One place with a socket for each worker.
pub(super) struct Sockets {
    pub(super) place: Place,
    pub(super) sockets: Vec<TcpListener>,
}

/// Binds the places of `config` that `bound` lacks, for so many workers. Returns what is bound then,
/// without the places that `config` has no more, and the new sockets.
pub(super) fn bind(
    config: &Config,
    bound: &Bound,
    workers: usize,
) -> Result<(Bound, Vec<Sockets>), StartError> {
    let missing = config.listeners.iter().filter(|it| !bound.contains_key(&Place::of(it)));
    let missing: Vec<&Listener> = missing.map(|listener| &**listener).collect();
    for &listener in &missing {
        check_free(listener.address, bound).map_err(|source| failure(listener, source))?;
    }
    let mut next = bound.clone();
    next.retain(|place, _| config.listeners.iter().any(|it| Place::of(it) == *place));
    let mut new = Vec::new();
    for listener in missing {
        let (address, sockets) = listen_for_each(listener.address, workers)
            .map_err(|source| failure(listener, source))?;
        next.insert(Place::of(listener), address);
        new.push(Sockets { place: Place::of(listener), sockets });
    }
    Ok((next, new))
}

fn failure(listener: &Listener, source: io::Error) -> StartError {
    StartError::Bind { listener: listener.id.clone(), address: listener.address, source }
}

/// Fails where somebody else listens. Our own sockets share their port (`SO_REUSEPORT`), and would
/// share it with another process of the same user as well: both would answer in turns.
fn check_free(address: SocketAddr, ours: &Bound) -> io::Result<()> {
    if address.port() == 0 || ours.values().any(|bound| overlap(*bound, address)) {
        return Ok(());
    }
    bind_socket(address, false).map(drop)
}

/// Whether a socket on the one address keeps the other from being bound alone.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same_family = one.is_ipv4() == other.is_ipv4();
    let same_host =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && same_family && same_host
}

/// A socket for each worker, all on the address that is returned too.
fn listen_for_each(
    mut address: SocketAddr,
    workers: usize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = bind_socket(address, true)?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from(socket);
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok((address, sockets))
}

fn bind_socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_overlap(one: &str, other: &str, expected: bool) {
        let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
        assert_eq!((overlap(one, other), overlap(other, one)), (expected, expected));
    }

    #[test]
    fn addresses_that_cannot_be_bound_alone() {
        check_overlap("127.0.0.1:80", "127.0.0.1:80", true);
        check_overlap("0.0.0.0:80", "127.0.0.1:80", true);
        check_overlap("[::]:80", "[::1]:80", true);
        check_overlap("127.0.0.1:80", "127.0.0.1:81", false);
        check_overlap("127.0.0.1:80", "127.0.0.2:80", false);
        check_overlap("0.0.0.0:80", "[::]:80", false);
    }
}
