//! What clients are told: `RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers-10
//! has them, and what a refused request's problem names.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

/// The policy as a client is told it: `"burst";q=100;w=60`.
///
/// `q` is what comes back within `w` whole seconds; a bucket of another size says so.
pub fn policy_item(name: &str, limit: u32, per: Duration, burst: u32) -> String {
    let window = per.as_nanos().div_ceil(NANOS).max(1);
    let quota = u128::from(limit) * window * NANOS / per.as_nanos().max(1);
    let quota = quota.min(INTEGER_MAX);
    let mut item = format!("{name};q={quota};w={window}");
    if u128::from(burst) != quota {
        item.push_str(&format!(";selvedge-burst={burst}"));
    }
    item
}

/// Adds to a list what is left to a client: `"burst";r=12;t=3`.
pub fn push_limit(list: &mut String, name: &str, remaining: u64, next: Option<Duration>) {
    // Writing to a string cannot fail.
    let _ = write!(list, "{}{name};r={remaining}", separator(list));
    if let Some(next) = next {
        let _ = write!(list, ";t={}", seconds(next));
    }
}

/// Adds a policy to a list.
pub fn push_policy(list: &mut String, item: &str) {
    list.push_str(separator(list));
    list.push_str(item);
}

/// What stands before the next item of a List of RFC 9651, section 3.1.
fn separator(list: &str) -> &'static str {
    if list.is_empty() { "" } else { ", " }
}

/// Whole seconds that are long enough.
pub fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// The name of a policy in these fields: a String of RFC 9651, section 3.3.3, of text that is
/// printable ASCII.
pub fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

const NANOS: u128 = 1_000_000_000;
/// The largest Integer of RFC 9651, section 3.3.1.
const INTEGER_MAX: u128 = 999_999_999_999_999;

/// What the body of a refusal has beside what each problem has.
#[derive(Serialize)]
pub struct Violated<'a> {
    /// Ids of the policies that have nothing left.
    #[serde(rename = "violated-policies")]
    pub policies: &'a [&'a str],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_policy(limit: u32, per_ms: u64, burst: u32, expected: &str) {
        let per = Duration::from_millis(per_ms);
        assert_eq!(policy_item(&name("p"), limit, per, burst), expected);
    }

    #[test]
    fn a_policy_in_whole_seconds() {
        check_policy(100, 60_000, 100, r#""p";q=100;w=60"#);
        check_policy(100, 60_000, 20, r#""p";q=100;w=60;selvedge-burst=20"#);
        check_policy(10, 500, 10, r#""p";q=20;w=1;selvedge-burst=10"#);
        check_policy(10, 1_500, 10, r#""p";q=13;w=2;selvedge-burst=10"#);
        check_policy(u32::MAX, 1, 1, r#""p";q=4294967295000;w=1;selvedge-burst=1"#);
        let fast = policy_item(&name("p"), u32::MAX, Duration::from_nanos(1), 1);
        assert_eq!(fast, r#""p";q=999999999999999;w=1;selvedge-burst=1"#);
    }

    #[test]
    fn what_is_left_and_when_there_is_more() {
        let mut list = String::new();
        push_limit(&mut list, &name("p"), 5, Some(Duration::from_millis(2_001)));
        assert_eq!(list, r#""p";r=5;t=3"#);
        push_limit(&mut list, &name("p"), 0, Some(Duration::ZERO));
        push_limit(&mut list, &name(r#"a"\"#), 9, None);
        assert_eq!(list, r#""p";r=5;t=3, "p";r=0;t=0, "a\"\\";r=9"#);
        let mut list = String::new();
        ["a", "b"].into_iter().for_each(|item| push_policy(&mut list, item));
        assert_eq!(list, "a, b");
    }
}
