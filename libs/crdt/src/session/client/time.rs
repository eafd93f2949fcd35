//! Time that goes on while clocks jump.

/// How much later than by the device's own clock it may be by the relay's: stamps go no further ahead, whatever a relay says.
const AHEAD_MS_MAX: u64 = 86_400_000;

/// The device's time without the steps back that its clock makes, and the relay's as far as it is known.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Time {
    wall_ms: u64,
    steady_ms: u64,
    /// The relay's time, and when it said so.
    relay: Option<(u64, u64)>,
}

impl Time {
    /// It is `now_ms` by the device's clock.
    pub fn pass(&mut self, now_ms: u64) -> u64 {
        if self.wall_ms != 0 {
            self.steady_ms = self.steady_ms.saturating_add(now_ms.saturating_sub(self.wall_ms));
        }
        self.wall_ms = now_ms;
        self.steady_ms
    }

    pub fn steady_ms(&self) -> u64 {
        self.steady_ms
    }

    pub fn wall_ms(&self) -> u64 {
        self.wall_ms
    }

    /// The relay said what time it is.
    pub fn heard(&mut self, relay_ms: u64) {
        self.relay = Some((relay_ms, self.steady_ms));
    }

    /// The time for stamps: the relay's, where it was ever heard of, as far as it is believed.
    pub fn stamp_ms(&self) -> u64 {
        self.relay_ms().min(self.wall_ms.saturating_add(AHEAD_MS_MAX))
    }

    /// When the relay lost records, which was not later than now; nothing where that cannot have been yet.
    pub fn loss_ms(&self, lost_ms: u64) -> Option<u64> {
        let lost_ms = lost_ms.min(self.relay_ms());
        (lost_ms <= self.stamp_ms()).then_some(lost_ms)
    }

    fn relay_ms(&self) -> u64 {
        self.relay.map_or(self.wall_ms, |(relay, at)| {
            relay.saturating_add(self.steady_ms.saturating_sub(at))
        })
    }

    /// When it will be `steady_ms`, by the device's clock as it is now.
    pub fn wall_at(&self, steady_ms: u64) -> u64 {
        self.wall_ms.saturating_add(steady_ms.saturating_sub(self.steady_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_back_do_not_count_and_the_relay_is_believed() {
        let mut time = Time::default();
        assert_eq!((time.pass(1_000), time.stamp_ms()), (0, 1_000));
        assert_eq!((time.pass(1_500), time.stamp_ms()), (500, 1_500));
        time.heard(90_000);
        assert_eq!((time.pass(100), time.stamp_ms()), (500, 90_000));
        assert_eq!((time.pass(300), time.stamp_ms()), (700, 90_200));
        assert_eq!(time.wall_at(900), 500);
    }

    #[track_caller]
    fn check(wall_ms: u64, relay_ms: u64, (stamp_ms, losses): (u64, [(u64, Option<u64>); 3])) {
        let mut time = Time::default();
        time.pass(wall_ms);
        time.heard(relay_ms);
        assert_eq!(time.stamp_ms(), stamp_ms);
        let believed = losses.map(|(lost_ms, _)| time.loss_ms(lost_ms));
        assert_eq!(believed, losses.map(|(_, believed)| believed));
    }

    #[test]
    fn a_relay_is_a_day_ahead_at_most() {
        const DAY: u64 = AHEAD_MS_MAX;
        check(5, 9, (9, [(0, Some(0)), (8, Some(8)), (u64::MAX, Some(9))]));
        check(9, 5, (5, [(0, Some(0)), (5, Some(5)), (7, Some(5))]));
        check(
            5,
            DAY + 5,
            (DAY + 5, [(9, Some(9)), (DAY + 5, Some(DAY + 5)), (DAY + 6, Some(DAY + 5))]),
        );
        check(5, DAY + 6, (DAY + 5, [(9, Some(9)), (DAY + 5, Some(DAY + 5)), (DAY + 6, None)]));
        check(0, u64::MAX, (DAY, [(0, Some(0)), (DAY, Some(DAY)), (u64::MAX, None)]));
        check(
            u64::MAX,
            u64::MAX,
            (u64::MAX, [(0, Some(0)), (9, Some(9)), (u64::MAX, Some(u64::MAX))]),
        );
    }
}
