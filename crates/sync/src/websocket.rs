//! WebSocket messages (RFC 6455), the server's side: binary in, binary out.
//!
//! It holds nothing while nothing comes, so that an idle connection costs no buffer: libraries keep one each. Extensions
//! are not negotiated.

#[cfg(feature = "fuzz")]
pub(crate) mod property;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use data_encoding::BASE64;

/// What a key is joined with before it is hashed (section 1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The longest payload of a control frame.
const CONTROL_MAX: u64 = 125;
/// The longest head of a frame that a client sends.
const HEAD_MAX: usize = 14;

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Why a connection ends, as its last frame says (section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCode {
    Normal = 1000,
    Protocol = 1002,
    Unsupported = 1003,
    TooBig = 1009,
}

/// Something whole that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// [`Decoder::message`] has it.
    Message,
    /// [`Decoder::control`] is to be sent back.
    Ping,
    Pong,
    Close,
}

/// Takes frames apart.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    head: [u8; HEAD_MAX],
    head_len: u8,
    opcode: u8,
    is_last: bool,
    is_within_message: bool,
    mask: [u8; 4],
    masked: u8,
    /// Of the frame's payload.
    left: u64,
    message: Vec<u8>,
    control: Vec<u8>,
}

impl Decoder {
    /// Takes bytes up to the end of something whole; says how many.
    ///
    /// # Errors
    /// With what the connection is to be closed.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        max: usize,
    ) -> Result<(usize, Option<Event>), CloseCode> {
        let mut used = 0;
        loop {
            let wanted = self.head_wanted();
            if usize::from(self.head_len) < wanted {
                let Some(byte) = bytes.get(used) else { return Ok((used, None)) };
                self.head[usize::from(self.head_len)] = *byte;
                self.head_len += 1;
                used += 1;
                if usize::from(self.head_len) == self.head_wanted() {
                    self.begin(max)?;
                }
                continue;
            }
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - used);
            self.take(&bytes[used..used + here]);
            used += here;
            if self.left > 0 {
                return Ok((used, None));
            }
            self.head_len = 0;
            if let Some(event) = self.end() {
                return Ok((used, Some(event)));
            }
        }
    }

    /// The message that is whole.
    pub(crate) fn message(&self) -> &[u8] {
        &self.message
    }

    /// The payload of the last control frame.
    pub(crate) fn control(&self) -> &[u8] {
        &self.control
    }

    /// Makes room for the next message.
    pub(crate) fn clear(&mut self) {
        self.message.clear();
        self.control.clear();
    }

    /// Makes room for the next control frame.
    pub(crate) fn clear_control(&mut self) {
        self.control.clear();
    }

    /// Gives back memory while nothing comes.
    pub(crate) fn rest(&mut self) {
        for buffer in [&mut self.message, &mut self.control] {
            if buffer.is_empty() && buffer.capacity() > 0 {
                *buffer = Vec::new();
            }
        }
    }

    fn head_wanted(&self) -> usize {
        match (self.head_len, self.head[1] & 0x7f) {
            (0..=1, _) => 2,
            (_, 126) => 8,
            (_, 127) => HEAD_MAX,
            _ => 6,
        }
    }

    /// Reads a head that is whole (section 5.2).
    fn begin(&mut self, max: usize) -> Result<(), CloseCode> {
        let [first, second, rest @ ..] = self.head;
        self.opcode = first & 0x0f;
        self.is_last = first & 0x80 != 0;
        let (left, mask) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..6]),
            127 => {
                let length = rest.first_chunk().expect("twelve bytes are more than eight");
                (u64::from_be_bytes(*length), &rest[8..12])
            }
            short => (short.into(), &rest[..4]),
        };
        self.mask = *mask.first_chunk().expect("four bytes were taken");
        self.masked = 0;
        self.left = left;
        let is_control = self.opcode >= CLOSE;
        let known = match self.opcode {
            CONTINUATION => self.is_within_message,
            BINARY => !self.is_within_message,
            CLOSE | PING | PONG => self.is_last && left <= CONTROL_MAX,
            1 => return Err(CloseCode::Unsupported),
            _ => false,
        };
        if first & 0x70 != 0 || second & 0x80 == 0 || !known {
            return Err(CloseCode::Protocol);
        }
        if !is_control && left > (max - self.message.len()) as u64 {
            return Err(CloseCode::TooBig);
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        let to = if self.opcode >= CLOSE { &mut self.control } else { &mut self.message };
        if to.is_empty() {
            // What is announced is within its bound, and comes in few pieces.
            to.reserve_exact(bytes.len());
        }
        let at = to.len();
        to.extend_from_slice(bytes);
        let mut mask = self.mask;
        mask.rotate_left(self.masked.into());
        unmask(mask, &mut to[at..]);
        self.masked = ((usize::from(self.masked) + bytes.len()) % 4) as u8;
        self.left -= bytes.len() as u64;
    }

    fn end(&mut self) -> Option<Event> {
        match self.opcode {
            CLOSE => Some(Event::Close),
            PING => Some(Event::Ping),
            PONG => Some(Event::Pong),
            _ => {
                self.is_within_message = !self.is_last;
                self.is_last.then_some(Event::Message)
            }
        }
    }
}

/// Masking is its own inverse (section 5.3).
fn unmask(mask: [u8; 4], bytes: &mut [u8]) {
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends the head of a binary message of so many bytes.
pub(crate) fn put_binary_head(length: usize, out: &mut Vec<u8>) {
    put_head(BINARY, length, out);
}

/// Appends a pong for what a ping said.
pub(crate) fn put_pong(said: &[u8], out: &mut Vec<u8>) {
    put_head(PONG, said.len(), out);
    out.extend_from_slice(said);
}

/// Appends a ping.
pub(crate) fn put_ping(out: &mut Vec<u8>) {
    put_head(PING, 0, out);
}

/// Appends the last frame.
pub(crate) fn put_close(code: CloseCode, out: &mut Vec<u8>) {
    put_head(CLOSE, 2, out);
    out.extend((code as u16).to_be_bytes());
}

fn put_head(opcode: u8, length: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match length {
        0..=125 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend((length as u64).to_be_bytes());
        }
    }
}

/// What a server answers to `Sec-WebSocket-Key` (section 4.2.2).
pub(crate) fn accept(key: &[u8]) -> String {
    let joined = [key, MAGIC].concat();
    BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined).as_ref())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1 << 20;

    fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut out = Vec::new();
        put_head(first & 0x0f, payload.len(), &mut out);
        out[0] = first;
        out[1] |= 0x80;
        out.extend(mask);
        let at = out.len();
        out.extend(payload);
        unmask(mask, &mut out[at..]);
        out
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<(Event, Vec<u8>)>, CloseCode> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for mut piece in bytes.chunks(piece.max(1)) {
            while !piece.is_empty() {
                let (used, event) = decoder.feed(piece, MAX)?;
                piece = &piece[used..];
                let Some(event) = event else { continue };
                if event == Event::Message {
                    events.push((event, decoder.message().to_vec()));
                    decoder.clear();
                } else {
                    events.push((event, decoder.control().to_vec()));
                    decoder.control.clear();
                }
            }
        }
        Ok(events)
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..70_000), 1..4),
            mask in any::<[u8; 4]>(),
            piece in 1_usize..9000,
        ) {
            let mut bytes = Vec::new();
            for (at, part) in parts.iter().enumerate() {
                let first = if at == 0 { BINARY } else { CONTINUATION };
                let last = if at + 1 == parts.len() { 0x80 } else { 0 };
                bytes.extend(frame(first | last, part, mask));
                bytes.extend(frame(0x80 | PING, b"there?", mask));
            }
            let events = read(&bytes, piece).unwrap();
            let messages: Vec<_> = events.iter().filter(|(event, _)| *event == Event::Message).collect();
            prop_assert_eq!(messages.len(), 1);
            prop_assert_eq!(&messages[0].1, &parts.concat());
            let pings = events.iter().filter(|it| **it == (Event::Ping, b"there?".to_vec()));
            prop_assert_eq!(pings.count(), parts.len());
        }

        #[test]
        fn anything_else_is_refused_or_waited_for(bytes in any::<Vec<u8>>(), piece in 1_usize..9) {
            let _ = read(&bytes, piece);
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: CloseCode) {
        assert_eq!(read(bytes, bytes.len()), Err(expected));
    }

    #[test]
    fn what_breaks_the_rules_ends_the_connection() {
        let masked = [0; 4];
        check(&frame(0x81, b"text", masked), CloseCode::Unsupported);
        check(&frame(0xc2, b"", masked), CloseCode::Protocol);
        check(&frame(0x83, b"", masked), CloseCode::Protocol);
        check(&frame(0x80, b"", masked), CloseCode::Protocol);
        check(&frame(0x09, b"", masked), CloseCode::Protocol);
        check(&frame(0x89, &[0; 126], masked), CloseCode::Protocol);
        check(&[0x82, 0x00, 0, 0, 0, 0], CloseCode::Protocol);
        check(&frame(0x82, &vec![0; MAX + 1], masked), CloseCode::TooBig);
        let mut halves = frame(0x02, &vec![0; MAX], masked);
        halves.extend(frame(0x80, b"!", masked));
        check(&halves, CloseCode::TooBig);
    }

    #[test]
    fn the_key_of_the_standard_is_accepted() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
