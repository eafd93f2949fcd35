use std::{fmt, str::FromStr, time::Duration};

/// A number of bytes, written `64KiB`, `10MiB`, `1GiB`, `512B`, or with decimal `KB`, `MB`, `GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Why a size or duration was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// No digits in front.
    NoNumber,
    /// Digits without a unit; the remedy names examples.
    NoUnit,
    /// A unit that is none of ours.
    UnknownUnit(String),
    /// Does not fit into 64 bits.
    TooLarge,
}

impl ByteSize {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

const DURATIONS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_scaled(text, &SIZES).map(Self)
    }
}

impl fmt::Display for ByteSize {
    /// The largest binary unit that divides the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SIZES[..4]
            .iter()
            .copied()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// Reads `250ms`, `5s`, `10m`, `1h`, `7d`, `50us`. Whole numbers only.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse_scaled(text, &DURATIONS).map(Duration::from_micros)
}

/// Writes a duration so that [`parse_duration`] reads it back (to the microsecond).
pub fn format_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let (unit, factor) = DURATIONS
        .into_iter()
        .find(|(_, factor)| micros > 0 && micros.is_multiple_of(*factor))
        .unwrap_or(("s", 1_000_000));
    format!("{}{unit}", micros / factor)
}

fn parse_scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::NoNumber);
    }
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err(UnitError::NoUnit);
    }
    let factor = units
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
        .ok_or_else(|| UnitError::UnknownUnit(unit.to_owned()))?;
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    number.checked_mul(factor).ok_or(UnitError::TooLarge)
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber => f.write_str("a whole number must come first"),
            Self::NoUnit => f.write_str("the unit is missing"),
            Self::UnknownUnit(unit) => write!(f, "unknown unit {unit:?}"),
            Self::TooLarge => f.write_str("the number is too large"),
        }
    }
}

impl std::error::Error for UnitError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back_as_written() {
        for text in ["512B", "64KiB", "10MiB", "3GiB", "1TiB", "0B"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        assert_eq!("1MB".parse::<ByteSize>().unwrap(), ByteSize(1_000_000));
        assert_eq!("5".parse::<ByteSize>(), Err(UnitError::NoUnit));
        assert_eq!("MiB".parse::<ByteSize>(), Err(UnitError::NoNumber));
        assert_eq!("5mib".parse::<ByteSize>(), Err(UnitError::UnknownUnit("mib".into())));
        assert_eq!("99999999999TiB".parse::<ByteSize>(), Err(UnitError::TooLarge));
    }

    #[test]
    fn durations_read_back_as_written() {
        for text in ["250ms", "5s", "90s", "2m", "1h", "7d", "50us"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::ZERO), "0s");
        assert_eq!(parse_duration("5 minutes"), Err(UnitError::UnknownUnit("minutes".into())));
    }
}
