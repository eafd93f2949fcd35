//! What time it is, from a clock that may be wrong.
//!
//! What is written is stamped with what the clock says. What cannot be undone (giving up records by their age, forgetting
//! producers) is judged by a time that the clock has to be believed for: a machine may start in another year, until
//! somebody puts it right.

/// A clock that moves further than this between two looks at it has leapt.
const LEAP_MS: u64 = 3_600_000;

/// Between two frames nobody may have looked for so long: that is no leap.
const SILENCE_MS: u64 = 24 * 3_600_000;

/// A clock that leapt ahead is believed when it has run on for so long.
const AHEAD_MS: u64 = 3_600_000;

/// A clock that leapt back is believed when it has run on for so long. By then what is written has no other time: records
/// that are stamped too early would be given up too early.
const BACK_MS: u64 = 24 * 3_600_000;

/// The time of a log, as far as it has been observed.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Clock {
    stamp_ms: u64,
    believed_ms: u64,
    /// What the clock said last.
    seen_ms: u64,
    /// From when on it has run without a leap.
    since_ms: u64,
}

impl Clock {
    /// A clock that said this, and was believed.
    pub(super) fn at(time_ms: u64) -> Self {
        Self { stamp_ms: time_ms, believed_ms: time_ms, seen_ms: time_ms, since_ms: time_ms }
    }

    /// Looks at the clock. The first look is believed: there is nothing that it could harm.
    pub(super) fn observe(&mut self, now_ms: u64) {
        self.look(now_ms, LEAP_MS);
    }

    /// Learns from a frame what the clock said once.
    pub(super) fn replay(&mut self, time_ms: u64) {
        self.look(time_ms, SILENCE_MS);
    }

    fn look(&mut self, now_ms: u64, leap_ms: u64) {
        if self.believed_ms == 0 {
            *self = Self::at(now_ms);
        }
        if now_ms.abs_diff(self.seen_ms) > leap_ms {
            self.since_ms = now_ms;
        }
        self.since_ms = self.since_ms.min(now_ms);
        self.seen_ms = now_ms;
        self.believe(leap_ms);
        self.stamp();
    }

    fn believe(&mut self, leap_ms: u64) {
        let ran_ms = self.seen_ms - self.since_ms;
        let is_back = self.seen_ms < self.believed_ms;
        let enough_ms = if is_back { BACK_MS } else { AHEAD_MS };
        if self.seen_ms.abs_diff(self.believed_ms) <= leap_ms {
            self.believed_ms = self.believed_ms.max(self.seen_ms);
        } else if ran_ms >= enough_ms {
            self.believed_ms = self.seen_ms;
        }
    }

    /// Stamps do not go back, unless they are those of a clock that was never believed and has been put right.
    fn stamp(&mut self) {
        let known_ms = self.believed_ms.max(self.seen_ms);
        self.stamp_ms = match self.stamp_ms > known_ms.saturating_add(LEAP_MS) {
            true => known_ms,
            false => self.stamp_ms.max(self.seen_ms),
        };
    }

    /// What is written now is stamped with this.
    pub(super) fn stamp_ms(&self) -> u64 {
        self.stamp_ms
    }

    /// The latest time that was believed.
    pub(super) fn believed_ms(&self) -> u64 {
        self.believed_ms
    }

    /// What the clock says, whether it is believed or not.
    pub(super) fn seen_ms(&self) -> u64 {
        self.seen_ms
    }

    /// The time by which something is old: never later than what was believed, nor than what the clock says.
    pub(super) fn surely_ms(&self) -> u64 {
        self.believed_ms.min(self.seen_ms)
    }

    /// How far the clock has leapt back behind what was believed; 0 if it has not.
    pub(super) fn behind_ms(&self) -> u64 {
        let behind_ms = self.believed_ms.saturating_sub(self.seen_ms);
        if behind_ms > LEAP_MS { behind_ms } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3_600_000;
    const NOW_MS: u64 = 20_000 * DAY_MS;
    const MINUTE_MS: u64 = 60_000;

    /// Lets a clock run from a time on.
    fn run(clock: &mut Clock, from_ms: u64, for_ms: u64) {
        (0..=for_ms / MINUTE_MS).for_each(|minute| clock.observe(from_ms + minute * MINUTE_MS));
    }

    /// Stamps, what is surely past, and how far behind the clock is, in relation to now.
    #[track_caller]
    fn check(clock: &Clock, stamp: i64, surely: i64, behind_ms: u64) {
        let from_now = |time_ms: u64| time_ms.cast_signed() - NOW_MS.cast_signed();
        let found = (from_now(clock.stamp_ms()), from_now(clock.surely_ms()), clock.behind_ms());
        assert_eq!(found, (stamp, surely, behind_ms));
    }

    #[test]
    fn a_clock_that_runs_is_believed() {
        let mut clock = Clock::default();
        clock.observe(NOW_MS);
        check(&clock, 0, 0, 0);
        clock.observe(NOW_MS + 5);
        check(&clock, 5, 5, 0);
        clock.observe(NOW_MS + 2);
        check(&clock, 5, 2, 0);
    }

    #[test]
    fn a_leap_ahead_stamps_at_once_and_is_believed_when_it_lasts() {
        let year = (365 * DAY_MS).cast_signed();
        let mut clock = Clock::at(NOW_MS);
        run(&mut clock, NOW_MS + 365 * DAY_MS, AHEAD_MS - MINUTE_MS);
        check(&clock, year + (AHEAD_MS - MINUTE_MS).cast_signed(), 0, 0);
        clock.observe(NOW_MS + 365 * DAY_MS + AHEAD_MS);
        check(&clock, year + AHEAD_MS.cast_signed(), year + AHEAD_MS.cast_signed(), 0);
    }

    #[test]
    fn a_leap_ahead_that_is_taken_back_leaves_nothing() {
        let mut clock = Clock::at(NOW_MS);
        run(&mut clock, NOW_MS + 3650 * DAY_MS, AHEAD_MS / 2);
        clock.observe(NOW_MS + 7);
        check(&clock, 7, 7, 0);
    }

    #[test]
    fn frames_of_a_log_that_is_written_to_once_a_day_are_no_leaps() {
        let mut clock = Clock::at(NOW_MS);
        (1..=100).for_each(|day| clock.replay(NOW_MS + day * DAY_MS));
        let passed = (100 * DAY_MS).cast_signed();
        check(&clock, passed, passed, 0);
        clock.observe(NOW_MS + 50 * DAY_MS);
        check(&clock, passed, passed / 2, 50 * DAY_MS);
    }

    #[test]
    fn a_leap_back_does_not_stamp_before_it_has_lasted_for_a_day() {
        let mut clock = Clock::at(NOW_MS);
        clock.observe(NOW_MS - 100 * DAY_MS);
        check(&clock, 0, -(100 * DAY_MS).cast_signed(), 100 * DAY_MS);
        run(&mut clock, NOW_MS - 100 * DAY_MS, DAY_MS - MINUTE_MS);
        check(&clock, 0, -(99 * DAY_MS + MINUTE_MS).cast_signed(), 99 * DAY_MS + MINUTE_MS);
        clock.observe(NOW_MS - 99 * DAY_MS);
        check(&clock, -(99 * DAY_MS).cast_signed(), -(99 * DAY_MS).cast_signed(), 0);
    }
}
