//! Operators on values.

use std::{net::IpAddr, str, sync::Arc};

use super::compile::Test;
use crate::{detect, rule::Network, transform::ByteSet};

/// Where in a value something was found.
pub(super) type Found = Option<(usize, usize)>;

/// What an operator without variables in its argument, and without an expression, says.
pub(super) fn simple(test: &Test, value: &[u8]) -> Found {
    match test {
        Test::Phrases(phrases) => phrases.find(value).map(|found| (found.start(), found.end())),
        Test::Sqli => detect::sqli(value).map(|_| (0, value.len())),
        Test::Xss => whole(detect::xss(value), value),
        Test::SqliText => detect::sqli_text(value).map(|_| (0, value.len())),
        Test::XssText => whole(detect::xss_text(value), value),
        Test::Outside(allowed) => outside(value, allowed),
        Test::UrlEncoding => bad_url_encoding(value),
        Test::Utf8 => bad_utf8(value),
        Test::Address(networks) => whole(is_in(networks, value), value),
        Test::Always => Some((0, value.len())),
        _ => None,
    }
}

/// What an operator says that compares a value with a text.
pub(super) fn compare(test: &Test, value: &[u8], text: &[u8]) -> Found {
    match test {
        Test::Contains(_) => find(value, text),
        Test::ContainsWord(_) => find_word(value, text),
        Test::BeginsWith(_) => value.starts_with(text).then_some((0, text.len())),
        Test::EndsWith(_) => value.ends_with(text).then(|| (value.len() - text.len(), value.len())),
        Test::Equals(_) => whole(value == text, value),
        Test::Within(_) => whole(value.is_empty() || find(text, value).is_some(), value),
        Test::Number(comparison, _) => whole(comparison.holds(number(value), number(text)), value),
        _ => None,
    }
}

fn whole(holds: bool, value: &[u8]) -> Found {
    holds.then_some((0, value.len()))
}

fn find(value: &[u8], text: &[u8]) -> Found {
    memchr::memmem::find(value, text).map(|start| (start, start + text.len()))
}

fn find_word(value: &[u8], text: &[u8]) -> Found {
    let is_word = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphanumeric);
    let starts = memchr::memmem::find_iter(value, text);
    let alone = |start: &usize| {
        let before = start.checked_sub(1).and_then(|at| value.get(at));
        !is_word(before) && !is_word(value.get(start + text.len()))
    };
    let mut starts = starts;
    starts.find(alone).map(|start| (start, start + text.len()))
}

/// The number that a value begins with, as C's `atoi` reads it; 0 where there is none.
pub(super) fn number(value: &[u8]) -> i64 {
    let value = value.trim_ascii_start();
    let (negative, digits) = match value {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, value),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let sum = digits
        .fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if negative { -sum } else { sum }
}

fn outside(value: &[u8], allowed: &ByteSet) -> Found {
    value.iter().position(|&byte| !allowed.contains(byte)).map(|at| (at, at + 1))
}

/// The first percent sign without two hexadecimal digits behind it.
fn bad_url_encoding(value: &[u8]) -> Found {
    let is_hex = |at: usize| value.get(at).is_some_and(u8::is_ascii_hexdigit);
    let bad = memchr::memchr_iter(b'%', value).find(|&at| !(is_hex(at + 1) && is_hex(at + 2)));
    bad.map(|at| (at, (at + 3).min(value.len())))
}

fn bad_utf8(value: &[u8]) -> Found {
    let error = str::from_utf8(value).err()?;
    let start = error.valid_up_to();
    Some((start, start + error.error_len().unwrap_or(value.len() - start)))
}

fn is_in(networks: &Arc<[Network]>, value: &[u8]) -> bool {
    let Some(address) = str::from_utf8(value).ok().and_then(|text| text.parse::<IpAddr>().ok())
    else {
        return false;
    };
    networks.iter().any(|network| contains(network, address.to_canonical()))
}

fn contains(network: &Network, address: IpAddr) -> bool {
    let (left, right, width) = match (network.address, address) {
        (IpAddr::V4(left), IpAddr::V4(right)) => {
            (u128::from(u32::from(left)), u128::from(u32::from(right)), 32)
        }
        (IpAddr::V6(left), IpAddr::V6(right)) => (u128::from(left), u128::from(right), 128),
        _ => return false,
    };
    let free = width - u32::from(network.bits).min(width);
    (left ^ right).checked_shr(free).unwrap_or(0) == 0
}

/// Whether the digits of a candidate end in the right check digit (ISO/IEC 7812-1, Luhn).
pub(super) fn is_credit_card(candidate: &[u8]) -> bool {
    let digits: Vec<u32> = digits(candidate);
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, &digit)| if at % 2 == 1 { doubled(digit) } else { digit })
        .sum();
    digits.len() >= 12 && sum.is_multiple_of(10)
}

/// Whether a candidate has the check digits of a Brazilian tax number (CPF).
pub(super) fn is_cpf(candidate: &[u8]) -> bool {
    let digits = digits(candidate);
    let check = |len: usize| {
        let sum: u32 = digits[..len]
            .iter()
            .enumerate()
            .map(|(at, digit)| digit * (len as u32 + 1 - at as u32))
            .sum();
        (sum * 10 % 11) % 10
    };
    digits.len() == 11
        && digits.iter().any(|&digit| digit != digits[0])
        && check(9) == digits[9]
        && check(10) == digits[10]
}

/// Whether a candidate can be a US social security number: no group is zero, and the area was ever given out.
pub(super) fn is_ssn(candidate: &[u8]) -> bool {
    let digits = digits(candidate);
    let group = |digits: &[u32]| digits.iter().fold(0, |sum, digit| sum * 10 + digit);
    let sequential = digits.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let repeated = digits.windows(2).all(|pair| pair[1] == pair[0]);
    digits.len() == 9
        && !sequential
        && !repeated
        && !matches!(group(&digits[..3]), 0 | 666 | 740..)
        && group(&digits[3..5]) != 0
        && group(&digits[5..]) != 0
}

fn digits(candidate: &[u8]) -> Vec<u32> {
    candidate.iter().filter_map(|&byte| char::from(byte).to_digit(10)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, expected) in
            [("12abc", 12), (" -7", -7), ("x", 0), ("", 0), ("99999999999999999999", i64::MAX)]
        {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(find_word(b"cats and cat", b"cat"), Some((9, 12)));
        assert_eq!(find_word(b"cats", b"cat"), None);
    }

    #[test]
    fn addresses_are_in_networks_by_their_bits() {
        let network =
            |address: &str, bits| Network { address: address.parse().expect("an address"), bits };
        let networks: Arc<[Network]> =
            [network("10.0.0.0", 8), network("2001:db8::", 32), network("0.0.0.0", 32)].into();
        for (address, expected) in [
            ("10.9.8.7", true),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("::ffff:10.1.1.1", true),
            ("nobody", false),
        ] {
            assert_eq!(is_in(&networks, address.as_bytes()), expected, "{address}");
        }
        assert!(is_in(&[network("0.0.0.0", 0)].into(), b"1.2.3.4"));
    }

    #[test]
    fn numbers_of_cards_and_people_have_check_digits() {
        assert!(is_credit_card(b"4111-1111-1111-1111") && !is_credit_card(b"4111111111111112"));
        assert!(is_cpf(b"529.982.247-25") && !is_cpf(b"529.982.247-24") && !is_cpf(b"11111111111"));
        assert!(is_ssn(b"078-05-1120") && !is_ssn(b"000-12-3456") && !is_ssn(b"123456789"));
    }

    #[test]
    fn encodings_are_checked_where_they_are_broken() {
        assert_eq!(bad_url_encoding(b"a%20b%zz"), Some((5, 8)));
        assert_eq!(bad_url_encoding(b"a%20"), None);
        assert_eq!(bad_utf8(b"ab\xC0\xAF"), Some((2, 3)));
        assert_eq!(simple(&Test::Outside(ByteSet::from_bytes(b"abc")), b"abxc"), Some((2, 3)));
    }
}
