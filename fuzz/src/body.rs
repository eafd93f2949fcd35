use std::ops::ControlFlow;

use selvedge_waf::body::{
    Base64Runs, Fault, Field, Intake, Limits, Problem, Scratch, Sink, Text, cookies,
    decode_charset, graphql, json, multipart, urlencoded, xml,
};

/// A body is read the same way twice, stays within its bounds, and nothing is put that is not in it.
///
/// The first line says how the rest is read; of a multipart body, the second one is its content type.
pub fn body(bytes: &[u8]) {
    let (parser, text) = split_line(bytes);
    match parser {
        b"form" => check(text, 2, |intake| urlencoded(text, b'&', intake).problem),
        b"cookies" => check(text, 2, |intake| cookies(text, intake).err()),
        b"json" => {
            check(text, 2, |intake| json(text, intake).err());
            agrees_on_json(text);
        }
        b"xml" => check(text, 2, |intake| xml(text, intake).problem),
        b"graphql" => check(text, 2, |intake| graphql(text, intake).problem),
        b"multipart" => {
            let (content_type, text) = split_line(text);
            // Two names of a part, each with its content, that without its coding, and that in two charsets.
            check(text, 2 * (1 + 1 + 2 * 3) + 2, |intake| {
                multipart(text, content_type, intake).problem
            });
        }
        b"base64" => base64(text),
        label => charset(text, label),
    }
}

fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

/// Reads twice; values are no more than so many `times` as long as the text.
fn check(text: &[u8], times: usize, read: impl Fn(Intake<'_>) -> Option<Problem>) {
    let limits = Limits { fields_max: 256, names_bytes_max: 16_384, ..Limits::default() };
    let mut scratch = Scratch::default();
    let mut run = || {
        let mut keep = Keep { text, found: Vec::new() };
        let intake = Intake { limits: &limits, scratch: &mut scratch, sink: &mut keep };
        (read(intake), keep.found)
    };
    let first = run();
    assert_eq!(first, run());
    let (problem, found) = first;
    assert!(problem.is_none_or(|problem| problem.offset <= text.len()), "{problem:?}");
    assert!(found.len() <= limits.fields_max);
    let values: usize = found.iter().map(|(_, value)| value.len()).sum();
    assert!(values <= times * text.len(), "{values} bytes of {}", text.len());
}

/// Copies what is put; a place outside of the text ends it here.
struct Keep<'a> {
    text: &'a [u8],
    found: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Sink for Keep<'_> {
    fn put(&mut self, field: Field<'_>) -> ControlFlow<()> {
        let copy = |text: &Text<'_>| text.bytes(self.text).to_vec();
        self.found.push((copy(&field.name), copy(&field.value)));
        ControlFlow::Continue(())
    }
}

/// Another reader takes what ours takes, but for half surrogate pairs and numbers without end.
fn agrees_on_json(text: &[u8]) {
    struct Nobody;
    impl Sink for Nobody {
        fn put(&mut self, _: Field<'_>) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
    }
    let limits = Limits::default();
    let intake = Intake { limits: &limits, scratch: &mut Scratch::default(), sink: &mut Nobody };
    let ours = json(text, intake);
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    match (ours, serde_json::from_slice::<serde_json::Value>(text)) {
        (Err(problem), Ok(_)) => {
            let is_bound = matches!(problem.kind, Fault::TooDeep | Fault::TooMany | Fault::TooLong);
            assert!(is_bound, "{problem}");
        }
        (Ok(()), Err(error)) => {
            let reasons = ["surrogate", "end of hex escape", "out of range", "recursion"];
            let text = error.to_string();
            assert!(reasons.iter().any(|reason| text.contains(reason)), "{text}");
        }
        (Ok(()), Ok(_)) | (Err(_), Err(_)) => {}
    }
}

fn base64(value: &[u8]) {
    let mut runs = Base64Runs::new(value);
    let (mut decoded, mut last) = (Vec::new(), 0);
    while let Some(range) = runs.next(&mut decoded) {
        assert!(last <= range.start && range.end <= value.len() && decoded.len() < range.len());
        last = range.end;
    }
}

fn charset(text: &[u8], label: &[u8]) {
    let (mut once, mut twice) = (Vec::new(), b"something else".to_vec());
    let charset = decode_charset(text, Some(label), &mut once);
    assert_eq!(charset, decode_charset(text, Some(label), &mut twice));
    assert_eq!(once, twice);
    assert!(once.len() <= 3 * text.len(), "{} bytes of {}", once.len(), text.len());
}
