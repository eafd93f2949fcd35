//! Time that goes on while clocks jump.

/// The device's time without the steps back that its clock makes, and the relay's as far as it is known.
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

    /// The time for stamps: the relay's, where it was ever heard of.
    pub fn stamp_ms(&self) -> u64 {
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
}
