//! Cursors of live reads: they keep shared caches from answering one reader for ever (Durable Streams, section 10.1).

/// Length of an interval, in seconds.
const INTERVAL_S: u64 = 20;
/// Intervals are counted from 2024-10-09T00:00:00Z, in seconds since 1970.
const EPOCH_S: u64 = 1_728_432_000;
/// How far a cursor that would repeat is moved on, in seconds.
const JITTER_S: std::ops::RangeInclusive<u64> = 1..=3600;

/// Returns the cursor of an answer given at `now_s` (seconds since 1970) to a reader who came with `theirs`.
///
/// It is the number of the interval, or if the reader has that one already, a later one: `chance` moves it on by up to an hour.
pub(crate) fn next(now_s: u64, theirs: Option<u64>, chance: u64) -> u64 {
    let current = now_s.saturating_sub(EPOCH_S) / INTERVAL_S;
    match theirs {
        Some(theirs) if theirs >= current => theirs.saturating_add(jitter(chance)),
        _ => current,
    }
}

fn jitter(chance: u64) -> u64 {
    let seconds = JITTER_S.start() + chance % (JITTER_S.end() - JITTER_S.start() + 1);
    seconds.div_ceil(INTERVAL_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_the_interval() {
        assert_eq!(next(EPOCH_S, None, 0), 0);
        assert_eq!(next(EPOCH_S + 45, None, 0), 2);
        assert_eq!(next(EPOCH_S + 45, Some(1), 0), 2);
        assert_eq!(next(0, None, 0), 0);
    }

    #[test]
    fn a_cursor_never_stays_nor_goes_back() {
        for chance in [0, 1, 3599, 3600, u64::MAX] {
            for theirs in [2, 3, 1_000_000] {
                let given = next(EPOCH_S + 45, Some(theirs), chance);
                assert!((theirs + 1..=theirs + 180).contains(&given), "{theirs} {chance}: {given}");
            }
        }
    }
}
