use selvedge_http1::{BodyDecoder, Framing, HeadLimits, Known, Parsed, Piece, RequestHead};

/// A head means one thing: however its bytes arrive, and however often it is passed on.
pub fn head_gate(bytes: &[u8]) {
    let mut head = RequestHead::default();
    let whole = head.parse(bytes, &HeadLimits::default());
    if let Ok(Parsed::Complete(length)) = whole {
        needs_every_byte(bytes, length);
        is_clean(&head);
        survives_rewriting(&head);
        body_is_the_same_in_pieces(head.framing(), &bytes[length..]);
    }
    crate::framing::requests(bytes);
    crate::framing::responses(bytes);
}

fn needs_every_byte(bytes: &[u8], length: usize) {
    let mut head = RequestHead::default();
    let limits = HeadLimits::default();
    assert_eq!(head.parse(&bytes[..length], &limits), Ok(Parsed::Complete(length)));
    for cut in [length - 1, length / 2, 1, 0] {
        assert_eq!(head.parse(&bytes[..cut], &limits), Ok(Parsed::Partial), "cut at {cut}");
    }
}

fn is_clean(head: &RequestHead) {
    for (name, value, _) in head.fields().iter() {
        assert!(selvedge_http1::is_token(name), "{name:?}");
        assert!(selvedge_http1::is_field_value(value), "{value:?}");
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{value:?}");
    }
    let count = |known| head.fields().all(known).count();
    assert!(count(Known::Host) <= 1 && count(Known::ContentLength) <= 1);
    assert!(count(Known::ContentLength) == 0 || count(Known::TransferEncoding) == 0);
    let target = [head.method(), head.raw_path(), head.query(), head.host()];
    assert!(target.iter().all(|text| text.bytes().all(|byte| byte > b' ' && byte != 0x7f)));
}

/// The head, written anew from what was understood, is understood in the same way.
fn survives_rewriting(head: &RequestHead) {
    if head.method() == "CONNECT" {
        return;
    }
    let mut wire = format!("{} {}", head.method(), head.raw_path()).into_bytes();
    if head.has_query() {
        wire.extend_from_slice(format!("?{}", head.query()).as_bytes());
    }
    wire.extend_from_slice(b" HTTP/1.1\r\n");
    if head.fields().all(Known::Host).count() == 0 {
        selvedge_http1::push_field(&mut wire, b"host", b"example.com");
    }
    for (name, value, _) in head.fields().iter() {
        selvedge_http1::push_field(&mut wire, name, value);
    }
    wire.extend_from_slice(b"\r\n");
    let mut again = RequestHead::default();
    let limits = HeadLimits { bytes: wire.len() + 1, fields: head.fields().len() + 1 };
    assert_eq!(again.parse(&wire, &limits), Ok(Parsed::Complete(wire.len())), "{wire:?}");
    assert_eq!(again.method(), head.method());
    assert_eq!((again.raw_path(), again.query()), (head.raw_path(), head.query()));
    assert_eq!(again.framing(), head.framing());
}

fn body_is_the_same_in_pieces(framing: Framing, bytes: &[u8]) {
    let whole = decode(framing, bytes, usize::MAX);
    for step in [1, 7] {
        assert_eq!(decode(framing, bytes, step), whole, "in steps of {step}");
    }
}

/// The body, and the number of bytes it took, or why it was refused; `None` if it is not whole.
fn decode(
    framing: Framing,
    bytes: &[u8],
    step: usize,
) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let mut decoder = BodyDecoder::new(framing);
    let (mut body, mut used, mut seen) = (Vec::new(), 0, 0_usize);
    loop {
        match decoder.decode(&bytes[used..seen]).map_err(|error| error.code())? {
            Piece::Data { from, to } => {
                body.extend_from_slice(&bytes[used + from..used + to]);
                used += to;
            }
            Piece::End(length) => return Ok(Some((body, used + length))),
            Piece::More(length) => {
                used += length;
                if seen == bytes.len() {
                    return Ok(None);
                }
                seen = seen.saturating_add(step).min(bytes.len());
            }
        }
    }
}
