//! How long a stream lives (Durable Streams, section 5.1).

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// When a stream ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lifetime {
    /// When somebody deletes it.
    #[default]
    Unlimited,
    /// When nobody has read or written for so many seconds.
    Idle(u64),
    /// At a time.
    Until(Deadline),
}

/// A time, and how its author wrote it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Deadline {
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// RFC 3339, as it came.
    pub(crate) text: String,
}

impl PartialEq for Deadline {
    /// Two spellings of one time are one deadline.
    fn eq(&self, other: &Deadline) -> bool {
        self.at_ms == other.at_ms
    }
}

impl Eq for Deadline {}

/// Why a lifetime was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LifetimeError {
    /// Both headers came.
    Both,
    /// `Stream-TTL` is not a number of seconds.
    Ttl,
    /// `Stream-Expires-At` is not a time.
    ExpiresAt,
}

impl Lifetime {
    /// Reads the two headers.
    ///
    /// # Errors
    /// If both are there, or one does not say what it should.
    pub(crate) fn parse(
        ttl: Option<&str>,
        expires_at: Option<&str>,
    ) -> Result<Lifetime, LifetimeError> {
        match (ttl, expires_at) {
            (None, None) => Ok(Lifetime::Unlimited),
            (Some(_), Some(_)) => Err(LifetimeError::Both),
            (Some(ttl), None) => seconds(ttl).map(Lifetime::Idle).ok_or(LifetimeError::Ttl),
            (None, Some(text)) => {
                deadline(text).map(Lifetime::Until).ok_or(LifetimeError::ExpiresAt)
            }
        }
    }

    /// Returns the time at which a stream that was last used at `used_ms` ends, in milliseconds since 1970.
    pub(crate) fn end_ms(&self, used_ms: u64) -> Option<u64> {
        match self {
            Lifetime::Unlimited => None,
            Lifetime::Idle(seconds) => Some(used_ms.saturating_add(seconds.saturating_mul(1000))),
            Lifetime::Until(deadline) => Some(deadline.at_ms),
        }
    }
}

/// Whole seconds without sign, fraction, exponent or leading zeros.
fn seconds(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits { text.parse().ok() } else { None }
}

fn deadline(text: &str) -> Option<Deadline> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let at_ms = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()?;
    Some(Deadline { at_ms, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_one_spelling() {
        for (text, expected) in [("0", Some(0)), ("3600", Some(3600))] {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
        for text in
            ["", "+3600", "03600", "3600.0", "3.6e3", "-1", " 1", "00", "99999999999999999999"]
        {
            assert_eq!(Lifetime::parse(Some(text), None), Err(LifetimeError::Ttl), "{text:?}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        let zulu = Lifetime::parse(None, Some("2026-01-01T12:00:00Z")).unwrap();
        assert_eq!(zulu, Lifetime::parse(None, Some("2026-01-01T13:00:00+01:00")).unwrap());
        assert_eq!(zulu.end_ms(7), Some(1_767_268_800_000));
        for text in ["", "tomorrow", "2026-01-01", "1960-01-01T00:00:00Z"] {
            assert_eq!(
                Lifetime::parse(None, Some(text)),
                Err(LifetimeError::ExpiresAt),
                "{text:?}"
            );
        }
    }

    #[test]
    fn an_idle_stream_ends_after_its_last_use() {
        assert_eq!(Lifetime::Idle(2).end_ms(5_000), Some(7_000));
        assert_eq!(Lifetime::Idle(u64::MAX).end_ms(5_000), Some(u64::MAX));
        assert_eq!(Lifetime::Unlimited.end_ms(5_000), None);
        assert_eq!(
            Lifetime::parse(Some("1"), Some("2026-01-01T12:00:00Z")),
            Err(LifetimeError::Both)
        );
    }
}
