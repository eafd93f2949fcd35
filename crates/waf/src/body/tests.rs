use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;

mod base64;
mod charset;
mod graphql;
mod json;
mod media;
mod multipart;
mod pairs;
mod xml;

/// A field that owns its name and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// Keeps what is put, and proves that places lie within the input.
pub(super) struct Keep<'a> {
    pub(super) input: &'a [u8],
    pub(super) found: Vec<Found>,
    pub(super) decoded: usize,
    pub(super) stop_after: usize,
}

impl<'a> Keep<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, found: Vec::new(), decoded: 0, stop_after: usize::MAX }
    }

    fn owned(&mut self, text: &Text<'_>) -> Vec<u8> {
        match text {
            Text::At(range) => self.input[range.clone()].to_vec(),
            Text::Decoded(bytes) => {
                self.decoded += bytes.len();
                bytes.to_vec()
            }
        }
    }
}

impl Sink for Keep<'_> {
    fn put(&mut self, field: Field<'_>) -> ControlFlow<()> {
        let (name, value) = (self.owned(&field.name), self.owned(&field.value));
        self.found.push(Found { kind: field.kind, name, value });
        if self.found.len() >= self.stop_after {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Runs a parser and returns its outcome and what it put.
pub(super) fn run<T>(
    input: &[u8],
    limits: &Limits,
    parse: impl FnOnce(&[u8], Intake<'_>) -> T,
) -> (T, Vec<Found>) {
    let mut keep = Keep::new(input);
    let mut scratch = Scratch::default();
    let outcome = parse(input, Intake { limits, scratch: &mut scratch, sink: &mut keep });
    (outcome, keep.found)
}

/// Shows fields as `name=value`, one after the other; bytes that are no text are escaped.
pub(super) fn show(found: &[Found]) -> String {
    let pair = |field: &Found| {
        format!("{}={}", field.name.escape_ascii(), field.value.escape_ascii())
            .replace("\\\"", "\"")
    };
    found.iter().map(pair).collect::<Vec<_>>().join(" | ")
}

/// Texts that are made of a grammar's own pieces, in any order.
pub(super) fn made_of(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(pieces);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_sink_may_stop_any_parser() {
    let input = b"a=1&b=2&c=3";
    let mut keep = Keep { stop_after: 2, ..Keep::new(input) };
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let intake = Intake { limits: &limits, scratch: &mut scratch, sink: &mut keep };
    let outcome = urlencoded(input, b'&', intake);
    assert_eq!(outcome.problem.map(|problem| problem.kind), Some(Fault::Stopped));
    assert_eq!(show(&keep.found), "a=1 | b=2");
}

#[test]
fn a_problem_says_where() {
    let problem = Problem::new(7, Fault::Malformed, "a colon is missing");
    assert_eq!(problem.to_string(), "a colon is missing (byte 7)");
}
