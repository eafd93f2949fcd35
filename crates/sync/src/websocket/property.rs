//! What must hold for whatever a client sends.

use super::{CloseCode, Decoder, Event};

/// Bytes of a message here, so that some are too long.
const MAX: usize = 1 << 10;

/// Bytes are messages within their bound, or a reason to close, the same however they are cut; and no more comes out than went
/// in.
pub fn messages(bytes: &[u8]) {
    let whole = read(bytes, bytes.len());
    for piece in [1, 7] {
        assert_eq!(read(bytes, piece), whole, "in pieces of {piece}");
    }
}

type Heard = Vec<(Event, Vec<u8>)>;

fn read(bytes: &[u8], piece: usize) -> (Heard, Option<CloseCode>) {
    let mut decoder = Decoder::default();
    let mut heard = Heard::new();
    for mut piece in bytes.chunks(piece.max(1)) {
        while !piece.is_empty() {
            match decoder.feed(piece, MAX) {
                Ok((used, event)) => {
                    assert!(used > 0 || event.is_some(), "it goes on");
                    piece = &piece[used..];
                    heard.extend(event.map(|event| (event, take(&mut decoder, event))));
                }
                Err(code) => return (heard, Some(code)),
            }
        }
        decoder.rest();
    }
    let out: usize = heard.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(out <= bytes.len(), "{out} bytes of {}", bytes.len());
    (heard, None)
}

/// Takes what came as [`Socket`](crate::socket) does.
fn take(decoder: &mut Decoder, event: Event) -> Vec<u8> {
    if event == Event::Message {
        let message = decoder.message().to_vec();
        assert!(message.len() <= MAX);
        decoder.clear();
        return message;
    }
    let control = decoder.control().to_vec();
    assert!(control.len() <= 125);
    decoder.clear_control();
    control
}
