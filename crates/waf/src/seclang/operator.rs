//! What is asked of a value: `!@within %{tx.allowed_methods}`.

use std::{net::IpAddr, ops::RangeInclusive, sync::Arc};

use super::{
    report::{Fault, Findings, NoteKind, fault, known_names},
    source::Word,
    target::shortened,
    text,
};
use crate::rule::{Network, Operator, Text};

/// Operators that are asked.
const SUPPORTED: &[&str] = &[
    "beginsWith",
    "contains",
    "containsWord",
    "detectSQLi",
    "detectXSS",
    "endsWith",
    "eq",
    "ge",
    "gt",
    "ipMatch",
    "ipMatchF",
    "ipMatchFromFile",
    "le",
    "lt",
    "noMatch",
    "pm",
    "pmf",
    "pmFromFile",
    "rx",
    "rxGlobal",
    "streq",
    "strmatch",
    "unconditionalMatch",
    "validateByteRange",
    "validateUrlEncoding",
    "validateUtf8Encoding",
    "verifyCC",
    "verifyCPF",
    "verifySSN",
    "within",
];

/// Operators of ModSecurity and Coraza that are not asked, and why.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("fuzzyHash", "fuzzy hashes are not computed"),
    ("geoLookup", "there is no database of places"),
    ("gsbLookup", "no list of dangerous addresses is asked"),
    ("inspectFile", "no program is run"),
    ("ipMatchFromDataset", "data sets of Coraza are not read; use @ipMatchFromFile"),
    ("pmFromDataset", "data sets of Coraza are not read; use @pmFromFile"),
    ("rbl", "no name server is asked while a request waits"),
    ("restpath", "paths are matched by routes"),
    ("rsub", "bodies are not rewritten"),
    ("validateDTD", "XML is not validated"),
    ("validateEncryption", "links are not signed"),
    ("validateHash", "links are not signed"),
    ("validateNid", "no national identity numbers are known"),
    ("validateSchema", "XML is not validated"),
    ("verifySVNR", "Austrian social security numbers are not known"),
];

/// A question, and whether its answer is turned around.
pub(super) struct Asked {
    pub operator: Operator,
    pub negated: bool,
}

/// Reads a data file by the name that a rule gives it.
pub(super) type ReadData<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<u8>, Fault>;

/// Reads an operator with its argument. Without a name it is `@rx`.
pub(super) fn parse(
    word: Word<'_>,
    read: ReadData<'_>,
    found: &mut Findings,
) -> Result<Asked, Fault> {
    let raw = word.raw.trim_start();
    let (negated, raw) = match raw.strip_prefix('!') {
        Some(raw) => (true, raw.trim_start()),
        None => (false, raw),
    };
    let Some(named) = raw.strip_prefix('@') else {
        return Ok(Asked { operator: pattern("rx", raw, found), negated });
    };
    let end = named.find(char::is_whitespace).unwrap_or(named.len());
    let (name, argument) = (&named[..end], named[end..].trim_start());
    let operator = named_operator(name, Word { raw: argument, ..word }, read, found)?;
    Ok(Asked { operator, negated })
}

fn named_operator(
    name: &str,
    argument: Word<'_>,
    read: ReadData<'_>,
    found: &mut Findings,
) -> Result<Operator, Fault> {
    let written = argument.text();
    let lower = name.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "rx" => pattern(name, argument.raw, found),
        "rxglobal" => {
            found.unsupported("@rxGlobal", "asked as @rx: captures are those of the first match");
            pattern(name, argument.raw, found)
        }
        "pm" => Operator::Pm(phrases(&written)?),
        "pmf" | "pmfromfile" => from_files(name, &written, read, found)?,
        "contains" => Operator::Contains(text::parse(&written, found)),
        "containsword" => Operator::ContainsWord(text::parse(&written, found)),
        "strmatch" => Operator::StrMatch(text::parse(&written, found)),
        "beginswith" => Operator::BeginsWith(text::parse(&written, found)),
        "endswith" => Operator::EndsWith(text::parse(&written, found)),
        "streq" => Operator::StrEq(text::parse(&written, found)),
        "within" => Operator::Within(text::parse(&written, found)),
        "eq" => Operator::Eq(number(&written, found)),
        "ge" => Operator::Ge(number(&written, found)),
        "gt" => Operator::Gt(number(&written, found)),
        "le" => Operator::Le(number(&written, found)),
        "lt" => Operator::Lt(number(&written, found)),
        "ipmatch" if text::has_macro(&written) => inert(name, "variables in it", found),
        "ipmatch" => Operator::IpMatch(networks(written.split(','))?),
        "ipmatchf" | "ipmatchfromfile" => from_files(name, &written, read, found)?,
        "detectsqli" => Operator::DetectSqli,
        "detectxss" => Operator::DetectXss,
        "validatebyterange" => Operator::ValidateByteRange(byte_ranges(&written)?),
        "validateurlencoding" => Operator::ValidateUrlEncoding,
        "validateutf8encoding" => Operator::ValidateUtf8Encoding,
        "verifycc" => Operator::VerifyCreditCard(argument.raw.into()),
        "verifycpf" => Operator::VerifyCpf(argument.raw.into()),
        "verifyssn" => Operator::VerifySsn(argument.raw.into()),
        "unconditionalmatch" => Operator::UnconditionalMatch,
        "nomatch" => Operator::NoMatch,
        _ => unasked(name, found)?,
    })
}

/// An operator that is known and not asked, or one that nobody knows.
fn unasked(name: &str, found: &mut Findings) -> Result<Operator, Fault> {
    match UNSUPPORTED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((known, why)) => Ok(inert(known, why, found)),
        None => {
            let names = SUPPORTED.iter().chain(UNSUPPORTED.iter().map(|(name, _)| name)).copied();
            fault(format!("no operator `@{}`", shortened(name)), known_names(name, "@", names))
        }
    }
}

fn inert(name: &str, why: &str, found: &mut Findings) -> Operator {
    let name = format!("@{name}");
    found.unsupported(&name, format!("{why}; it never matches"));
    Operator::Inert(name.into())
}

fn pattern(name: &str, raw: &str, found: &mut Findings) -> Operator {
    if text::has_macro(raw) {
        return inert(name, "patterns are compiled before there are variables", found);
    }
    Operator::Rx(raw.into())
}

fn number(written: &str, found: &mut Findings) -> Text {
    text::parse(written.trim(), found)
}

/// Phrases between spaces; `|41 42|` are bytes, a backslash stands before `\`, `:`, `;` or `"`.
fn phrases(written: &str) -> Result<Arc<[Box<[u8]>]>, Fault> {
    let bytes = phrase_bytes(written.trim().as_bytes());
    let bytes = bytes.unwrap_or_else(|| written.trim().as_bytes().to_vec());
    let phrases =
        bytes.split(|byte| byte.is_ascii_whitespace()).filter(|phrase| !phrase.is_empty());
    not_empty(phrases.map(Box::from).collect(), "no phrase to look for")
}

/// The bytes that are meant, or nothing where an escape is not one of `@pm`: then all stands as written.
fn phrase_bytes(written: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(written.len());
    let mut rest = written;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'|', after) => {
                let end = after.iter().position(|&byte| byte == b'|')?;
                out.extend(hex_bytes(&after[..end])?);
                &after[end + 1..]
            }
            (b'\\', [escaped @ (b'\\' | b':' | b';' | b'"'), after @ ..]) => {
                out.push(*escaped);
                after
            }
            (b'\\', _) => return None,
            (byte, after) => {
                out.push(*byte);
                after
            }
        };
    }
    Some(out)
}

fn hex_bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits.iter().copied().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    is_hex.then(|| digits.chunks_exact(2).filter_map(byte).collect())
}

/// `@pmFromFile` and `@ipMatchFromFile`: the lines of one or more files.
fn from_files(
    name: &str,
    written: &str,
    read: ReadData<'_>,
    found: &mut Findings,
) -> Result<Operator, Fault> {
    if written.contains("://") {
        return Ok(inert(name, "nothing is fetched from elsewhere", found));
    }
    let mut bytes = Vec::new();
    for file in written.split_whitespace() {
        bytes.extend(read(file)?);
        bytes.push(b'\n');
    }
    let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !line.is_empty() && line[0] != b'#');
    let lines: Vec<&[u8]> = lines.collect();
    if lines.is_empty() {
        found.note(NoteKind::Unmatched, format!("@{name}"), "the file is empty; nothing is in it");
        return Ok(Operator::NoMatch);
    }
    if name.to_ascii_lowercase().starts_with("pm") {
        return Ok(Operator::Pm(lines.into_iter().map(Box::from).collect()));
    }
    let lines: Vec<_> = lines.into_iter().map(String::from_utf8_lossy).collect();
    Ok(Operator::IpMatch(networks(lines.iter().map(AsRef::as_ref))?))
}

fn networks<'a>(written: impl Iterator<Item = &'a str>) -> Result<Arc<[Network]>, Fault> {
    let networks = written.map(str::trim).filter(|one| !one.is_empty()).map(network);
    not_empty(networks.collect::<Result<_, _>>()?, "no address to compare with")
}

fn network(written: &str) -> Result<Network, Fault> {
    let (address, bits) = match written.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (written, None),
    };
    let address = address.parse::<IpAddr>().ok();
    let network = address.and_then(|address| {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(width), |bits| bits.parse().ok());
        bits.filter(|bits| *bits <= width).map(|bits| Network { address, bits })
    });
    network.ok_or_else(|| Fault {
        message: format!("`{}` is no address and no network", shortened(written)),
        remedy: "write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32".to_owned(),
    })
}

/// Sorts the ranges and joins those that touch, so that equal sets are written in one way.
fn byte_ranges(written: &str) -> Result<Arc<[RangeInclusive<u8>]>, Fault> {
    let mut allowed = [false; 256];
    for range in written.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let range = byte_range(range)?;
        allowed[usize::from(*range.start())..=usize::from(*range.end())].fill(true);
    }
    let mut ranges: Vec<RangeInclusive<u8>> = Vec::new();
    for byte in (0..=u8::MAX).filter(|byte| allowed[usize::from(*byte)]) {
        match ranges.last_mut() {
            Some(last) if *last.end() == byte.wrapping_sub(1) => *last = *last.start()..=byte,
            _ => ranges.push(byte..=byte),
        }
    }
    not_empty(ranges, "no byte is allowed")
}

fn byte_range(written: &str) -> Result<RangeInclusive<u8>, Fault> {
    let (first, last) = written.split_once('-').unwrap_or((written, written));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => fault(
            format!("`{}` is no range of bytes", shortened(written)),
            "write numbers up to 255, such as 32-126",
        ),
    }
}

fn not_empty<T>(items: Vec<T>, message: &str) -> Result<Arc<[T]>, Fault> {
    match items.is_empty() {
        true => fault(message, "the operator needs at least one"),
        false => Ok(items.into()),
    }
}
