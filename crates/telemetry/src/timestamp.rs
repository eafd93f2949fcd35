use std::time::SystemTime;

use time::OffsetDateTime;

/// Writes RFC 3339 times with microseconds, and remembers the last second it formatted.
#[derive(Debug, Default)]
pub(crate) struct Timestamps {
    second: Option<u64>,
    text: [u8; 19],
}

impl Timestamps {
    /// Appends `2026-01-31T23:59:59.000000Z`. A time before 1970 is written as 1970.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, at: SystemTime) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.format(since.as_secs());
        }
        out.extend_from_slice(&self.text);
        let mut micros = *b".000000Z";
        push_digits(&mut micros[1..7], since.subsec_micros());
        out.extend_from_slice(&micros);
    }

    fn format(&mut self, second: u64) {
        let known = i64::try_from(second).ok();
        let at = known.and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
        let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        self.text = *b"0000-00-00T00:00:00";
        push_digits(&mut self.text[..4], at.year().unsigned_abs());
        push_digits(&mut self.text[5..7], u32::from(u8::from(at.month())));
        push_digits(&mut self.text[8..10], u32::from(at.day()));
        push_digits(&mut self.text[11..13], u32::from(at.hour()));
        push_digits(&mut self.text[14..16], u32::from(at.minute()));
        push_digits(&mut self.text[17..], u32::from(at.second()));
        self.second = Some(second);
    }
}

fn push_digits(out: &mut [u8], mut number: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        let mut stamps = Timestamps::default();
        let mut text = |nanos: u64| {
            let mut out = Vec::new();
            stamps.push(&mut out, SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_782_399_000_001_999), "2000-02-28T23:59:59.000001Z");
        assert_eq!(text(951_782_399_999_999_999), "2000-02-28T23:59:59.999999Z");
        assert_eq!(text(951_782_400_000_000_000), "2000-02-29T00:00:00.000000Z");
    }
}
