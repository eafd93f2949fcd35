//! The generic cell rate algorithm, exact: one timestamp per key and no rounding.
//!
//! A bucket of `burst` tokens that regains `limit` tokens each `period` is kept as its *theoretical
//! arrival time*: the moment at which it will be full again. Taking a token moves that moment later
//! by `period / limit`; a request conforms as long as it stays within `burst` such steps of now.
//! Steps are seldom whole nanoseconds (seven a second), so time is counted in fractions of a clock
//! tick that make every step a whole number. Nothing here reads a clock.

use std::{fmt, num::NonZeroU64, time::Duration};

use selvedge_config::rate_limit::FILL_MAX;

/// Most tokens that any number here may be: more is refused when a config is read.
pub const TOKENS_MAX: u64 = 1_000_000_000_000;

/// Longest period of a rate.
pub const PERIOD_MAX: Duration = Duration::from_secs(366 * DAY);

/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// What a clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Our own monotonic clock.
    Nanosecond,
    /// The clock of a Redis server.
    Microsecond,
}

impl Tick {
    fn nanos(self) -> u64 {
        match self {
            Self::Nanosecond => 1,
            Self::Microsecond => 1_000,
        }
    }
}

/// A rate that cannot be counted exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateError {
    /// More tokens than [`TOKENS_MAX`].
    Tokens,
    /// No time at all, or more than [`PERIOD_MAX`].
    Period,
    /// A bucket that takes longer than [`FILL_MAX`] to fill.
    Depth,
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tokens => write!(f, "tokens are counted up to {TOKENS_MAX}"),
            Self::Period => f.write_str("a period is longer than nothing and at most 366 days"),
            Self::Depth => f.write_str("an empty bucket is full again after 50 years at most"),
        }
    }
}

/// `limit` tokens each `period`, at most `burst` at once, over one kind of clock.
///
/// Times are [`Span`]s and moments are `u128`s, both in units of 1 / `per_tick` of a clock's tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units of one token.
    step: u128,
    /// Units of a tick of the clock.
    per_tick: u64,
    tick: Tick,
    burst: u64,
}

/// A stretch of time in the units of the [`Rate`] that it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u128);

impl Span {
    /// Both, one after the other.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// What a request asks of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Tokens that must be there.
    pub need: u64,
    /// Tokens that are taken when the request is admitted.
    pub take: u64,
    /// How long the request may wait for what is missing.
    pub patience: Duration,
}

impl Ask {
    /// Asks for `tokens` now or never.
    pub fn now(tokens: u64) -> Self {
        Self { need: tokens, take: tokens, patience: Duration::ZERO }
    }
}

impl Rate {
    /// A rate over a clock that counts `tick`s.
    pub fn new(
        limit: NonZeroU64,
        period: Duration,
        burst: NonZeroU64,
        tick: Tick,
    ) -> Result<Self, RateError> {
        if limit.get() > TOKENS_MAX || burst.get() > TOKENS_MAX {
            return Err(RateError::Tokens);
        }
        if period.is_zero() || period > PERIOD_MAX {
            return Err(RateError::Period);
        }
        // One token is period / (limit × tick) ticks; the fraction is kept, in lowest terms.
        let (numerator, denominator) =
            (period.as_nanos(), u128::from(limit.get()) * u128::from(tick.nanos()));
        let divisor = gcd(numerator, denominator);
        let per_tick = u64::try_from(denominator / divisor).expect("at most 10^12 × 1,000");
        let rate = Self { step: numerator / divisor, per_tick, tick, burst: burst.get() };
        if rate.duration(rate.depth()) > FILL_MAX {
            return Err(RateError::Depth);
        }
        Ok(rate)
    }

    /// Tokens of a full bucket.
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// Units of a tick of this rate's clock.
    pub fn per_tick(&self) -> u64 {
        self.per_tick
    }

    /// The moment that a clock shows, in this rate's units.
    pub fn moment(&self, ticks: u64) -> u128 {
        u128::from(ticks) * u128::from(self.per_tick)
    }

    /// How long `tokens` take to come back.
    pub fn tokens(&self, tokens: u64) -> Span {
        Span(self.step * u128::from(tokens.min(TOKENS_MAX)))
    }

    /// How long an empty bucket takes to be full.
    pub fn depth(&self) -> Span {
        self.tokens(self.burst)
    }

    /// A duration, cut to whole units.
    pub fn span(&self, duration: Duration) -> Span {
        let nanos = duration.as_nanos().min(PERIOD_MAX.as_nanos());
        Span(nanos * u128::from(self.per_tick) / u128::from(self.tick.nanos()))
    }

    /// How far off the fullness of a bucket is, `tat` being its timestamp.
    pub fn lag(&self, tat: u128, now: u128) -> Span {
        Span(tat.saturating_sub(now))
    }

    /// The furthest from full that a bucket may be for `ask`; `None` if a full one is too small.
    pub fn room(&self, ask: Ask) -> Option<Span> {
        let spare = self.burst.checked_sub(ask.need)?;
        Some(Span(self.tokens(spare).0 + self.span(ask.patience).0))
    }

    /// Whether a bucket that lags so far admits `ask`, and after what wait.
    ///
    /// `Err` is the time after which the same question is answered with yes; `None` if never.
    pub fn admit(&self, lag: Span, ask: Ask) -> Result<Duration, Option<Duration>> {
        let room = self.room(ask).ok_or(None)?;
        let spare = self.burst - ask.need;
        let wait = self.duration(Span(lag.0.saturating_sub(self.tokens(spare).0)));
        if lag <= room { Ok(wait) } else { Err(Some(wait)) }
    }

    /// The timestamp of a bucket after `tokens` more were taken.
    pub fn later(&self, tat: u128, now: u128, tokens: u64) -> u128 {
        tat.max(now).saturating_add(self.tokens(tokens).0)
    }

    /// Whole tokens in a bucket that lags so far; none in one that is in debt.
    pub fn remaining(&self, lag: Span) -> u64 {
        let left = self.depth().0.saturating_sub(lag.0) / self.step;
        u64::try_from(left).expect("at most `burst`")
    }

    /// When [`Rate::remaining`] will be one more; `None` for a full bucket.
    pub fn until_next(&self, lag: Span) -> Option<Duration> {
        let next = self.tokens(self.remaining(lag) + 1).0;
        let missing = (lag.0 + next).checked_sub(self.depth().0)?;
        (lag.0 > 0).then(|| self.duration(Span(missing)))
    }

    /// The moment `time` after `moment`, rounded up.
    pub fn after(&self, moment: u128, time: Duration) -> u128 {
        moment.saturating_add(self.span(time).0).saturating_add(1)
    }

    /// A moment of this rate in the units of another over the same clock, rounded up.
    pub fn convert(&self, moment: u128, other: &Self) -> u128 {
        let (own, other) = (u128::from(self.per_tick), u128::from(other.per_tick));
        let (ticks, left) = (moment / own, moment % own);
        ticks.saturating_mul(other).saturating_add((left * other).div_ceil(own))
    }

    /// A span as time, rounded up: who waits that long has waited long enough.
    pub fn duration(&self, span: Span) -> Duration {
        let nanos = (span.0.saturating_mul(u128::from(self.tick.nanos())))
            .div_ceil(u128::from(self.per_tick));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// A span as whole ticks and the units left over.
    pub fn ticks(&self, span: Span) -> (u64, u64) {
        let per_tick = u128::from(self.per_tick);
        let left = u64::try_from(span.0 % per_tick).expect("less than `per_tick`");
        (u64::try_from(span.0 / per_tick).unwrap_or(u64::MAX), left)
    }

    /// The span of whole ticks and units left over.
    pub fn span_of(&self, ticks: u64, left: u64) -> Span {
        Span(self.moment(ticks).saturating_add(u128::from(left)))
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(limit: u64, period: Duration, burst: u64) -> Rate {
        let [limit, burst] = [limit, burst].map(|n| NonZeroU64::new(n).unwrap());
        Rate::new(limit, period, burst, Tick::Nanosecond).unwrap()
    }

    /// A token bucket as the textbook says: a level that rises, in fractions of a token.
    ///
    /// One token is `period` nanoseconds' worth of level; each nanosecond brings `limit`.
    struct Textbook {
        level: u128,
        then: u64,
        limit: u128,
        period: u128,
        burst: u128,
    }

    impl Textbook {
        fn new(limit: u64, period: Duration, burst: u64) -> Self {
            let period = period.as_nanos();
            let (limit, burst) = (u128::from(limit), u128::from(burst));
            Self { level: burst * period, then: 0, limit, period, burst }
        }

        fn take(&mut self, now: u64, tokens: u64) -> bool {
            let gained = u128::from(now - self.then) * self.limit;
            self.level = (self.level + gained).min(self.burst * self.period);
            self.then = now;
            let price = u128::from(tokens) * self.period;
            let enough = self.level >= price;
            self.level -= if enough { price } else { 0 };
            enough
        }

        fn whole(&self) -> u64 {
            u64::try_from(self.level / self.period).unwrap()
        }
    }

    /// A clock step that often falls on, just before or just after a multiple of a token's time.
    fn steps(period: u64, limit: u64) -> impl Strategy<Value = u64> {
        let token = period / limit;
        prop_oneof![
            Just(0),
            0..=period.saturating_mul(3),
            (0..=20_u64, -2..=2_i64)
                .prop_map(move |(n, off)| (n * token).saturating_add_signed(off)),
        ]
    }

    fn days() -> impl Strategy<Value = (u64, u64, u64)> {
        (1..=2_000_u64, 1..=3_000_000_000_u64, 1..=500_u64)
    }

    proptest! {
        #[test]
        fn decides_as_a_textbook_bucket(
            ((limit, period, burst), asked) in days().prop_flat_map(|numbers| {
                let (limit, period, burst) = numbers;
                let ask = (steps(period, limit), 0..=burst + 1);
                (Just(numbers), prop::collection::vec(ask, 1..200))
            })
        ) {
            let period = Duration::from_nanos(period);
            let rate = rate(limit, period, burst);
            let mut textbook = Textbook::new(limit, period, burst);
            let (mut ticks, mut tat) = (0, 0);
            for (step, tokens) in asked {
                ticks += step;
                let now = rate.moment(ticks);
                let admitted = rate.admit(rate.lag(tat, now), Ask::now(tokens));
                if admitted.is_ok() {
                    tat = rate.later(tat, now, tokens);
                }
                prop_assert_eq!(admitted.is_ok(), textbook.take(ticks, tokens));
                prop_assert_eq!(rate.remaining(rate.lag(tat, now)), textbook.whole());
            }
        }

        #[test]
        fn a_refusal_says_when(
            (limit, period, burst) in days(), used in 0..=1_000_u64, need in 1..=600_u64,
        ) {
            let rate = rate(limit, Duration::from_nanos(period), burst);
            let tat = rate.later(0, 0, used);
            let ask = Ask::now(need);
            match rate.admit(rate.lag(tat, 0), ask) {
                Ok(wait) => prop_assert_eq!(wait, Duration::ZERO),
                Err(None) => prop_assert!(need > burst),
                Err(Some(after)) => {
                    let ticks = u64::try_from(after.as_nanos()).unwrap();
                    let lag_at = |ticks| rate.lag(tat, rate.moment(ticks));
                    prop_assert!(rate.admit(lag_at(ticks), ask).is_ok(), "the wait is enough");
                    prop_assert!(rate.admit(lag_at(ticks - 1), ask).is_err(), "and no longer than that");
                }
            }
        }

        #[test]
        fn the_next_token_comes_when_said((limit, period, burst) in days(), used in 0..=1_000_u64, ago in 0..=1_000_000_u64) {
            let rate = rate(limit, Duration::from_nanos(period), burst);
            let tat = rate.later(0, 0, used);
            let lag_at = |ticks| rate.lag(tat, rate.moment(ticks));
            let remaining = rate.remaining(lag_at(ago));
            match rate.until_next(lag_at(ago)) {
                None => prop_assert_eq!(remaining, burst),
                Some(after) => {
                    let then = ago + u64::try_from(after.as_nanos()).unwrap();
                    prop_assert_eq!(rate.remaining(lag_at(then)), remaining + 1);
                    prop_assert_eq!(rate.remaining(lag_at(then - 1)), remaining);
                }
            }
        }

        #[test]
        fn waiting_is_admission_later(
            (limit, period, burst) in days(), used in 0..=1_000_u64, need in 0..=600_u64, patience in 0..=3_000_000_000_u64,
        ) {
            let rate = rate(limit, Duration::from_nanos(period), burst);
            let tat = rate.later(0, 0, used);
            let patience = Duration::from_nanos(patience);
            let patient = rate.admit(rate.lag(tat, 0), Ask { patience, ..Ask::now(need) });
            let hasty = rate.admit(rate.lag(tat, 0), Ask::now(need));
            match (patient, hasty) {
                (Ok(wait), Err(Some(after))) => {
                    prop_assert_eq!(wait, after);
                    prop_assert!(wait <= patience);
                }
                (Err(Some(a)), Err(Some(b))) => {
                    prop_assert_eq!(a, b);
                    prop_assert!(a > patience);
                }
                (Ok(wait), Ok(_)) => prop_assert_eq!(wait, Duration::ZERO),
                (patient, hasty) => {
                    prop_assert_eq!(patient, hasty);
                    prop_assert!(need > burst, "more than a bucket holds cannot be waited for");
                }
            }
        }

        #[test]
        fn ticks_and_back(limit in 1..=TOKENS_MAX, period in 1..=PERIOD_MAX.as_nanos(), burst in 1..=TOKENS_MAX, tokens in 0..=TOKENS_MAX) {
            let [limit, burst] = [limit, burst].map(|n| NonZeroU64::new(n).unwrap());
            let period = Duration::from_nanos(u64::try_from(period).unwrap());
            for tick in [Tick::Nanosecond, Tick::Microsecond] {
                let Ok(rate) = Rate::new(limit, period, burst, tick) else { continue };
                let span = rate.tokens(tokens);
                let (ticks, left) = rate.ticks(span);
                prop_assert!(left < rate.per_tick());
                if ticks < u64::MAX {
                    prop_assert_eq!(rate.span_of(ticks, left), span);
                }
                // No arithmetic overflows at the end of the clock.
                let end = rate.moment(u64::MAX);
                let tat = rate.later(end, end, TOKENS_MAX);
                let _ = (rate.admit(rate.lag(tat, end), Ask::now(tokens)), rate.until_next(rate.lag(tat, 0)));
            }
        }
    }

    #[test]
    fn seven_a_second_are_seven_a_second() {
        let rate = rate(7, SECOND, 1);
        let mut tat = 0;
        let mut admitted = 0;
        for ticks in 0..=21_000 {
            let now = rate.moment(ticks * 1_000_000);
            if rate.admit(rate.lag(tat, now), Ask::now(1)).is_ok() {
                tat = rate.later(tat, now, 1);
                admitted += 1;
            }
        }
        // One at once, then each 143 whole milliseconds, as this clock shows no less.
        assert_eq!(admitted, 1 + 21_000 / 143);
        // A debt of a thousand weeks' worth is paid to the nanosecond.
        let tokens = 7 * 604_800 * 1_000;
        assert_eq!(rate.duration(rate.tokens(tokens)), SECOND * 604_800 * 1_000);
    }

    #[test]
    fn debt_is_paid_before_anything_else() {
        let rate = rate(10, SECOND, 10);
        let tat = rate.later(0, 0, 35);
        let lag = rate.lag(tat, 0);
        assert_eq!(rate.remaining(lag), 0);
        assert_eq!(rate.until_next(lag), Some(Duration::from_millis(2_600)));
        assert_eq!(rate.admit(lag, Ask::now(0)), Err(Some(Duration::from_millis(2_500))));
        assert_eq!(rate.admit(lag, Ask::now(1)), Err(Some(Duration::from_millis(2_600))));
        assert_eq!(rate.admit(lag, Ask::now(11)), Err(None), "more than the bucket holds");
    }

    #[test]
    fn numbers_have_bounds() {
        let one = NonZeroU64::MIN;
        let many = NonZeroU64::new(TOKENS_MAX + 1).unwrap();
        let new = |limit, period, burst| Rate::new(limit, period, burst, Tick::Nanosecond);
        assert_eq!(new(many, SECOND, one), Err(RateError::Tokens));
        assert_eq!(new(one, SECOND, many), Err(RateError::Tokens));
        assert_eq!(new(one, Duration::ZERO, one), Err(RateError::Period));
        assert_eq!(new(one, PERIOD_MAX + SECOND, one), Err(RateError::Period));
        let fifty = NonZeroU64::new(50).unwrap();
        assert!(new(one, PERIOD_MAX, fifty).is_ok());
        assert_eq!(new(one, PERIOD_MAX, fifty.saturating_add(1)), Err(RateError::Depth));
    }
}
