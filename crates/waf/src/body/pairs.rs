use std::ops::Range;

use memchr::{memchr, memchr2};

use super::{
    Field, Intake, Kind, Problem, Text, ascii,
    output::{Output, Step},
    percent::{self, Decoding},
};

/// How a query or a form was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrlEncoded {
    /// Why reading ended early.
    pub problem: Option<Problem>,
    /// Whether a percent sign was no escape; it was left as it is.
    pub invalid_escapes: bool,
}

/// Reads a query or a form, as libmodsecurity does: pairs lie between separators (`&`, where nothing
/// else was said), a name ends at the first equals sign, an empty pair is an argument without
/// name and value unless it is the last, and a percent sign that is no escape stays.
pub fn urlencoded(input: &[u8], separator: u8, intake: Intake<'_>) -> UrlEncoded {
    let mut outcome = UrlEncoded::default();
    outcome.problem = read_pairs(input, separator, intake, &mut outcome.invalid_escapes).err();
    outcome
}

fn read_pairs(input: &[u8], separator: u8, intake: Intake<'_>, invalid: &mut bool) -> Step {
    let Intake { limits, scratch, sink } = intake;
    let mut output = Output::new(sink, limits);
    let mut start = 0;
    while start < input.len() {
        let end = start + memchr(separator, &input[start..]).unwrap_or(input.len() - start);
        let (name, value) = halves(input, start..end);
        let (name, name_decoding) = decoded(input, name, &mut scratch.name);
        let (value, value_decoding) = decoded(input, value, &mut scratch.value);
        *invalid |= name_decoding.invalid || value_decoding.invalid;
        output.put(start, Field { kind: Kind::Argument, name, value })?;
        start = end + 1;
    }
    Ok(())
}

/// Returns where name and value of a pair are; without an equals sign it is all name.
fn halves(input: &[u8], pair: Range<usize>) -> (Range<usize>, Range<usize>) {
    match memchr(b'=', &input[pair.clone()]) {
        Some(length) => {
            let equals = pair.start + length;
            (pair.start..equals, equals + 1..pair.end)
        }
        None => (pair.clone(), pair.end..pair.end),
    }
}

fn decoded<'a>(input: &[u8], at: Range<usize>, out: &'a mut Vec<u8>) -> (Text<'a>, Decoding) {
    if memchr2(b'%', b'+', &input[at.clone()]).is_none() {
        return (Text::At(at), Decoding::default());
    }
    out.clear();
    let decoding = percent::decode_form(&input[at.clone()], out);
    let text = if decoding.changed { Text::Decoded(out) } else { Text::At(at) };
    (text, decoding)
}

/// Reads the value of a `Cookie` header, as libmodsecurity does: cookies lie between semicolons,
/// nothing is decoded, white space goes before a name and after the last value only, and a
/// cookie without a name is none. `$Version` and its like are names as any other.
pub fn cookies(input: &[u8], intake: Intake<'_>) -> Result<(), Problem> {
    let Intake { limits, scratch: _, sink } = intake;
    let mut output = Output::new(sink, limits);
    let length = ascii::trim_end(input.strip_suffix(b";").unwrap_or(input)).len();
    let mut start = 0;
    while start < length {
        let end = start + memchr(b';', &input[start..length]).unwrap_or(length - start);
        let (name, value) = halves(input, start..end);
        let blank = name.len() - ascii::trim_start(&input[name.clone()]).len();
        let name = name.start + blank..name.end;
        if !name.is_empty() {
            let field = Field { kind: Kind::Cookie, name: Text::At(name), value: Text::At(value) };
            output.put(start, field)?;
        }
        start = end + 1;
    }
    Ok(())
}
