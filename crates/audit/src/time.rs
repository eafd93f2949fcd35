//! Times of entries: RFC 3339 in UTC with six digits behind the second, so that texts sort as times do.

use std::{fmt, str::FromStr};

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// A time in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// The end of the year 9999: later years have more digits.
const MICROS_MAX: u64 = 253_402_300_799_999_999;

/// A text that is no time of the form `2026-11-21T21:04:05.000000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeError;

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no time in UTC, such as 2026-11-21T21:04:05.000000Z")
    }
}

impl std::error::Error for TimeError {}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.min(MICROS_MAX);
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
            .expect("years up to 9999 are dates");
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second, micro) = at.to_hms_micro();
        let month = u8::from(month);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z")
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let time = parse(text).ok_or(TimeError)?;
        if time.to_string() == text { Ok(time) } else { Err(TimeError) }
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let month = Month::try_from(u8::try_from(number(5, 7)?).ok()?).ok()?;
    let date = Date::from_calendar_date(number(0, 4)? as i32, month, number(8, 10)? as u8).ok()?;
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let time =
        Time::from_hms_micro(hour as u8, minute as u8, second as u8, number(20, 26)?).ok()?;
    let nanos = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp_nanos();
    u64::try_from(nanos / 1_000).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_spelling() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_295_045_000_001, "2026-11-21T21:04:05.000001Z"),
            (MICROS_MAX, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Timestamp(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(micros)));
        }
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T21:04:05Z",
            "2026-11-21T21:04:05.000001",
            "2026-02-30T00:00:00.000000Z",
            "2026-11-21T24:00:00.000000Z",
            "2026-11-21T21:04:60.000000Z",
            "2026-11-21t21:04:05.000000Z",
            "+026-11-21T21:04:05.000000Z",
            "1969-12-31T23:59:59.999999Z",
            "2026-11-21T21:04:05.000000Z ",
            "2026-11-21T265:04:05.00000Z",
            "\u{e9}\u{e9}26-11-21T21:04:05.000000Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimeError), "{text}");
        }
        assert_eq!(Timestamp(u64::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
    }
}
