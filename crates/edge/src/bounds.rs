//! What is counted over all cores: connections, requests, upstream connections.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// A number with a bound, shared by all cores.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    value: AtomicUsize,
    /// Who has waited for long to be counted.
    starving: AtomicUsize,
}

impl Gauge {
    /// Counts one more unless that would pass `bound`.
    pub(crate) fn try_enter(self: &Arc<Self>, bound: usize) -> Option<Entered> {
        if self.value.fetch_add(1, Relaxed) >= bound {
            self.value.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Entered(self.clone()))
    }

    /// As [`Self::try_enter`], and leaves room for all who starve.
    pub(crate) fn try_enter_politely(self: &Arc<Self>, bound: usize) -> Option<Entered> {
        self.try_enter(bound.saturating_sub(self.starving()))
    }

    pub(crate) fn value(&self) -> usize {
        self.value.load(Relaxed)
    }

    /// Counts one who has waited for long, until the answer is dropped.
    pub(crate) fn starve(self: &Arc<Self>) -> Starving {
        self.starving.fetch_add(1, Relaxed);
        Starving(self.clone())
    }

    /// How many have waited for long.
    pub(crate) fn starving(&self) -> usize {
        self.starving.load(Relaxed)
    }
}

/// One who has waited for long.
#[derive(Debug)]
pub(crate) struct Starving(Arc<Gauge>);

impl Drop for Starving {
    fn drop(&mut self) {
        self.0.starving.fetch_sub(1, Relaxed);
    }
}

/// One counted thing; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct Entered(Arc<Gauge>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.value.fetch_sub(1, Relaxed);
    }
}

/// The counters of one edge.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) connections: Arc<Gauge>,
    pub(crate) in_flight: Arc<Gauge>,
    pub(crate) upstream_connections: Arc<Gauge>,
    pub(crate) addresses: Arc<Addresses>,
    /// Connections that could not be accepted.
    pub(crate) accept_faults: Throttle,
}

/// Keeps what happens a thousand times a second from being told so often.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Option<Instant>>);

/// Time between two tellings.
const TELL_AGAIN: Duration = Duration::from_secs(1);

impl Throttle {
    /// Whether it was long enough ago; if so, it is told now.
    pub(crate) fn may_be_told(&self) -> bool {
        self.may_be_told_at(Instant::now())
    }

    fn may_be_told_at(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= TELL_AGAIN);
        if due {
            *last = Some(now);
        }
        due
    }
}

/// Client connections of each IPv4 address and each IPv6 /64: who has one IPv6 address has all of
/// its /64 (RFC 6177). Locked at accept and close only.
#[derive(Debug, Default)]
pub(crate) struct Addresses([Mutex<HashMap<IpAddr, usize>>; SHARDS]);

const SHARDS: usize = 16;

/// One connection of an address.
#[derive(Debug)]
pub(crate) struct AddressEntered {
    addresses: Arc<Addresses>,
    holder: IpAddr,
}

impl Addresses {
    /// Counts one more connection of `address` unless that would pass `bound`.
    pub(crate) fn try_enter(
        self: &Arc<Self>,
        address: IpAddr,
        bound: usize,
    ) -> Option<AddressEntered> {
        let holder = holder(address);
        let mut shard = self.shard(holder);
        let count = shard.get(&holder).copied().unwrap_or_default();
        if count >= bound {
            return None;
        }
        shard.insert(holder, count + 1);
        Some(AddressEntered { addresses: self.clone(), holder })
    }

    fn shard(&self, holder: IpAddr) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        let last = match holder {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(v6) => v6.octets().into_iter().fold(0, |a, b| a ^ b),
        };
        self.0[usize::from(last) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an address is counted as.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

impl Drop for AddressEntered {
    fn drop(&mut self) {
        let mut shard = self.addresses.shard(self.holder);
        if let Some(count) = shard.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_stops_at_its_bound_and_counts_out() {
        let gauge = Arc::new(Gauge::default());
        let first = gauge.try_enter(2).unwrap();
        let second = gauge.try_enter(2).unwrap();
        assert!(gauge.try_enter(2).is_none());
        drop(first);
        assert_eq!(gauge.value(), 1);
        assert!(gauge.try_enter(2).is_some());
        drop(second);
        assert_eq!(gauge.value(), 0);
    }

    #[test]
    fn room_is_left_for_who_starves() {
        let gauge = Arc::new(Gauge::default());
        let starving = gauge.starve();
        assert!(gauge.try_enter_politely(1).is_none());
        let _second = gauge.try_enter_politely(2).unwrap();
        assert!(gauge.try_enter_politely(2).is_none());
        let first = gauge.try_enter(2).unwrap();
        drop((starving, first));
        assert!(gauge.try_enter_politely(2).is_some());
    }

    #[test]
    fn addresses_are_counted_apart_and_forgotten() {
        let addresses = Arc::new(Addresses::default());
        let a = IpAddr::from([10, 0, 0, 1]);
        let held = addresses.try_enter(a, 1).unwrap();
        assert!(addresses.try_enter(a, 1).is_none());
        assert!(addresses.try_enter(IpAddr::from([10, 0, 0, 17]), 1).is_some());
        drop(held);
        assert!(addresses.0.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
    #[track_caller]
    fn check_holder(address: &str, expected: &str) {
        assert_eq!(holder(address.parse().unwrap()).to_string(), expected);
    }

    #[test]
    fn an_ipv6_address_is_counted_as_its_network() {
        check_holder("192.0.2.7", "192.0.2.7");
        check_holder("::ffff:192.0.2.7", "192.0.2.7");
        check_holder("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check_holder("::1", "::");
    }

    #[test]
    fn a_refused_address_leaves_no_trace() {
        let addresses = Arc::new(Addresses::default());
        assert!(addresses.try_enter(IpAddr::from([10, 0, 0, 1]), 0).is_none());
        assert!(addresses.0.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn a_fault_is_told_once_a_second() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let told = |millis| throttle.may_be_told_at(start + Duration::from_millis(millis));
        assert_eq!(
            [0, 1, 999, 1000, 1500, 2000].map(told),
            [true, false, false, true, false, true]
        );
    }
}
