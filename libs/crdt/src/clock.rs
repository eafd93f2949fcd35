//! Hybrid logical clocks: time that people know, and that never goes back.

use std::fmt;

/// Bits of the counter below the milliseconds.
const COUNTER_BITS: u32 = 16;

/// A stamp: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

impl Hlc {
    /// Before every stamp that a clock gives.
    pub const ZERO: Hlc = Hlc(0);

    /// The first stamp of a millisecond; later ones than the year 10,000 are all the last.
    pub fn from_ms(ms: u64) -> Hlc {
        Hlc(ms.min(u64::MAX >> COUNTER_BITS) << COUNTER_BITS)
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// Which of the stamps of its millisecond this is.
    pub fn counter(self) -> u16 {
        self.0 as u16
    }

    /// Returns whether this is more than `drift_ms` later than `now_ms`: what is admitted somewhere,
    /// all clocks follow, so that who admits asks this first.
    pub fn is_ahead(self, now_ms: u64, drift_ms: u64) -> bool {
        self.ms() > now_ms.saturating_add(drift_ms)
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.ms(), self.counter())
    }
}

/// Gives stamps, each later than all that it gave or saw.
///
/// At the end of its range, in the year 10,889 or when somebody admitted such a stamp, it stays where it
/// is; sequences then order what one replica writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    last: Hlc,
}

impl Clock {
    /// A clock whose stamps come after `last`, as far as that was kept.
    pub fn after(last: Hlc) -> Self {
        Clock { last }
    }

    /// The last stamp that was given or seen.
    pub fn last(&self) -> Hlc {
        self.last
    }

    /// Takes notice of somebody else's stamp.
    pub fn observe(&mut self, seen: Hlc) {
        self.last = self.last.max(seen);
    }

    /// The next stamp. A full counter runs over into the milliseconds.
    pub fn tick(&mut self, now_ms: u64) -> Hlc {
        self.last = Hlc::from_ms(now_ms).max(Hlc(self.last.0.saturating_add(1)));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(last: u64, now_ms: u64, expected: u64) {
        assert_eq!(Clock::after(Hlc(last)).tick(now_ms), Hlc(expected));
    }

    #[test]
    fn stamps_only_grow() {
        check(0, 5, 5 << 16);
        check(5 << 16, 5, 5 << 16 | 1);
        check(9 << 16 | 3, 5, 9 << 16 | 4);
        check(5 << 16 | 0xffff, 5, 6 << 16);
        check(u64::MAX, 5, u64::MAX);
        check(0, u64::MAX, u64::MAX - 0xffff);
    }

    #[test]
    fn a_clock_follows_what_it_sees() {
        let mut clock = Clock::default();
        clock.observe(Hlc::from_ms(70));
        clock.observe(Hlc::from_ms(60));
        assert_eq!(clock.tick(65), Hlc(70 << 16 | 1));
    }

    #[test]
    fn the_future_is_refused_where_it_is_admitted() {
        assert!(!Hlc::from_ms(120).is_ahead(100, 20));
        assert!(Hlc::from_ms(121).is_ahead(100, 20));
        assert!(!Hlc(u64::MAX).is_ahead(u64::MAX, 1));
    }
}
