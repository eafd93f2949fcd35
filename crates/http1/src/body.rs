use crate::{
    Fields, Known, Rejection,
    fields::{Block, is_field_value, is_token},
};

/// How a message's body is delimited (RFC 9112 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// So many bytes; not zero.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Everything until the connection closes; responses only.
    UntilClose,
}

/// Bytes a trailer section may take.
pub const TRAILER_BYTES_MAX: usize = 8 << 10;
/// Bytes the extensions of one chunk may take; they are read and dropped.
const EXTENSION_BYTES_MAX: usize = 256;
const TRAILER_FIELDS_MAX: usize = 64;

/// What the decoder found at the start of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// `input[from..to]` is body; everything before `to` is used up.
    Data {
        /// Start of the data.
        from: usize,
        /// End of the data, and of what is used up.
        to: usize,
    },
    /// So many bytes are used up, and more must come.
    More(usize),
    /// So many bytes are used up, and the body is over.
    End(usize),
}

/// Why a body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// A chunk size that is not 1 to 15 hexadecimal digits.
    ChunkSize,
    /// Extensions longer than the bound or with a control byte.
    ChunkExtension,
    /// A line that does not end in CRLF.
    LineEnd,
    /// A trailer section that is malformed or too long.
    Trailer(Rejection),
    /// The connection closed before the end of the body.
    Truncated,
}

impl BodyError {
    /// Stable token for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ChunkSize => "body/chunk-size",
            Self::ChunkExtension => "body/chunk-extension",
            Self::LineEnd => "body/line-end",
            Self::Trailer(_) => "body/trailer",
            Self::Truncated => "body/truncated",
        }
    }
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trailer(rejection) => write!(f, "body/trailer: {rejection}"),
            other => f.write_str(other.code()),
        }
    }
}

impl std::error::Error for BodyError {}

/// Finds the body in the bytes that follow a head.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
    trailers: Option<Box<Fields>>,
}

/// Where in the extensions of a chunk we are (RFC 9112 §7.1.1), without the white space that the
/// grammar calls bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    NameStart,
    Name,
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    QuotedEnd,
}

impl Extension {
    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::NameStart | Self::Name, _) if is_token(&[byte]) => Some(Self::Name),
            (Self::ValueStart | Self::Value, _) if is_token(&[byte]) => Some(Self::Value),
            (Self::Name, b'=') => Some(Self::ValueStart),
            (Self::ValueStart, b'"') => Some(Self::Quoted),
            (Self::Quoted, b'"') => Some(Self::QuotedEnd),
            (Self::Quoted, b'\\') => Some(Self::QuotedPair),
            (Self::Quoted | Self::QuotedPair, _) if is_field_value(&[byte]) => Some(Self::Quoted),
            (Self::Name | Self::Value | Self::QuotedEnd, b';') => Some(Self::NameStart),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::QuotedEnd)
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length(u64),
    UntilClose,
    Size { value: u64, digits: u8 },
    Extension { value: u64, length: usize, part: Extension },
    SizeLineFeed { value: u64 },
    Chunk { left: u64 },
    ChunkEnd,
    ChunkLineFeed,
    Trailer,
    Done,
}

impl BodyDecoder {
    /// A decoder for one body.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, trailers: None }
    }

    /// Whether the whole body was seen.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// The trailer fields that may be passed on; after [`Piece::End`].
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_deref().filter(|fields| !fields.is_empty())
    }

    /// Reads the next piece. Calls with the rest of the input until it says [`Piece::More`] or [`Piece::End`].
    pub fn decode(&mut self, input: &[u8]) -> Result<Piece, BodyError> {
        match self.state {
            State::Done => Ok(Piece::End(0)),
            State::UntilClose if input.is_empty() => Ok(Piece::More(0)),
            State::UntilClose => Ok(Piece::Data { from: 0, to: input.len() }),
            State::Length(left) => Ok(self.take_length(left, input)),
            _ => self.decode_chunked(input),
        }
    }

    /// The connection ended: fine only where that is the end of the body.
    pub fn finish(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }

    fn take_length(&mut self, left: u64, input: &[u8]) -> Piece {
        if input.is_empty() {
            return Piece::More(0);
        }
        let take = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let left = left - take as u64;
        self.state = if left == 0 { State::Done } else { State::Length(left) };
        Piece::Data { from: 0, to: take }
    }

    fn decode_chunked(&mut self, input: &[u8]) -> Result<Piece, BodyError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Chunk { left } => {
                    let rest = input.len() - at;
                    let take = usize::try_from(left).map_or(rest, |left| left.min(rest));
                    let left = left - take as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk { left } };
                    return Ok(Piece::Data { from: at, to: at + take });
                }
                State::Trailer => return self.decode_trailer(input, at),
                _ => self.step(byte)?,
            }
            at += 1;
        }
        Ok(Piece::More(at))
    }

    /// One byte of a chunk's framing.
    fn step(&mut self, byte: u8) -> Result<(), BodyError> {
        self.state = match (self.state, byte) {
            (State::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < 15 =>
            {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                State::Size { value: value << 4 | digit, digits: digits + 1 }
            }
            (State::Size { value, digits: 1.. }, b'\r') => State::SizeLineFeed { value },
            (State::Size { value, digits: 1.. }, b';') => {
                State::Extension { value, length: 1, part: Extension::NameStart }
            }
            (State::Size { .. }, _) => return Err(BodyError::ChunkSize),
            (State::Extension { value, part, .. }, b'\r') if part.may_end() => {
                State::SizeLineFeed { value }
            }
            (State::Extension { value, length, part }, _) if length < EXTENSION_BYTES_MAX => {
                let part = part.next(byte).ok_or(BodyError::ChunkExtension)?;
                State::Extension { value, length: length + 1, part }
            }
            (State::Extension { .. }, _) => return Err(BodyError::ChunkExtension),
            (State::SizeLineFeed { value: 0 }, b'\n') => State::Trailer,
            (State::SizeLineFeed { value }, b'\n') => State::Chunk { left: value },
            (State::ChunkEnd, b'\r') => State::ChunkLineFeed,
            (State::ChunkLineFeed, b'\n') => State::Size { value: 0, digits: 0 },
            _ => return Err(BodyError::LineEnd),
        };
        Ok(())
    }

    fn decode_trailer(&mut self, input: &[u8], at: usize) -> Result<Piece, BodyError> {
        let block = &input[at..];
        if let [b'\r', b'\n', ..] = block {
            self.state = State::Done;
            return Ok(Piece::End(at + 2));
        }
        let mut fields = Fields::default();
        let parsed = fields.take_block(block, 0, TRAILER_FIELDS_MAX).map_err(BodyError::Trailer)?;
        match parsed {
            Block::End(end) if end <= TRAILER_BYTES_MAX => {
                fields.retain(|_, _, known| may_trail(known));
                self.trailers = Some(Box::new(fields));
                self.state = State::Done;
                Ok(Piece::End(at + end))
            }
            Block::Partial if block.len() < TRAILER_BYTES_MAX => Ok(Piece::More(at)),
            _ => Err(BodyError::Trailer(crate::request::reject(431, "limit/trailer", at))),
        }
    }
}

/// Whether a trailer field may be passed on: none that changes framing, routing, authentication or
/// how the content is read (RFC 9110 §6.5.1).
pub fn may_trail(known: Known) -> bool {
    matches!(known, Known::Other | Known::Etag | Known::Date | Known::Server | Known::Via)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `input` in parts of `step` bytes; returns the body, what was left over, and the decoder.
    fn drive(
        framing: Framing,
        input: &[u8],
        step: usize,
    ) -> Result<(Vec<u8>, usize, BodyDecoder), BodyError> {
        let mut decoder = BodyDecoder::new(framing);
        let mut body = Vec::new();
        let (mut used, mut seen) = (0, 0);
        loop {
            match decoder.decode(&input[used..seen])? {
                Piece::Data { from, to } => {
                    body.extend_from_slice(&input[used + from..used + to]);
                    used += to;
                }
                Piece::End(n) => return Ok((body, input.len() - used - n, decoder)),
                Piece::More(n) => {
                    used += n;
                    if seen == input.len() {
                        return Err(BodyError::Truncated);
                    }
                    seen = (seen + step).min(input.len());
                }
            }
        }
    }

    #[track_caller]
    fn check(input: &str, expected: Result<&str, BodyError>) {
        for step in [1, 2, 3, 7, 1000] {
            let got = drive(Framing::Chunked, input.as_bytes(), step)
                .map(|(body, _, _)| String::from_utf8(body).unwrap());
            assert_eq!(got, expected.map(str::to_owned), "{input:?} by {step}");
        }
    }

    #[test]
    fn chunked_bodies() {
        check("0\r\n\r\n", Ok(""));
        check("5\r\nhello\r\n0\r\n\r\n", Ok("hello"));
        check("5;a=b;c=\"d\"\r\nhello\r\n3\r\nabc\r\n000\r\n\r\n", Ok("helloabc"));
        check("5 \r\nhello\r\n0\r\n\r\n", Err(BodyError::ChunkSize));
        check("0x5\r\nhello\r\n0\r\n\r\n", Err(BodyError::ChunkSize));
        check("-5\r\n", Err(BodyError::ChunkSize));
        check("\r\n", Err(BodyError::ChunkSize));
        check("5\nhello\r\n0\r\n\r\n", Err(BodyError::ChunkSize));
        check("5\rhello", Err(BodyError::LineEnd));
        check("5\r\nhello\n0\r\n\r\n", Err(BodyError::LineEnd));
        check("5\r\nhelloX\r\n", Err(BodyError::LineEnd));
        check("5;\r\nhello\r\n", Err(BodyError::ChunkExtension));
        check("5;/a\tb\r\nhello\r\n", Err(BodyError::ChunkExtension));
        check("5;a=\"x\\\"y\";b\r\nhello\r\n0\r\n\r\n", Ok("hello"));
        check("5;a\nb\r\nhello\r\n", Err(BodyError::ChunkExtension));
        check("1000000000000000\r\n", Err(BodyError::ChunkSize));
        check("5\r\nhel", Err(BodyError::Truncated));
    }

    #[test]
    fn trailers_keep_only_what_may_trail() {
        let input = b"0\r\nX-Sum: 1\r\nContent-Length: 5\r\nHost: evil\r\n\r\nGET";
        let (_, rest, decoder) = drive(Framing::Chunked, input, 1000).unwrap();
        let trailers: Vec<_> = decoder.trailers().unwrap().iter().map(|(n, v, _)| (n, v)).collect();
        assert_eq!(trailers, [(b"X-Sum".as_slice(), b"1".as_slice())]);
        assert_eq!(rest, 3);
    }

    #[test]
    fn an_endless_trailer_is_refused() {
        let input = format!("0\r\na: {}", "b".repeat(TRAILER_BYTES_MAX));
        assert!(matches!(
            drive(Framing::Chunked, input.as_bytes(), 100),
            Err(BodyError::Trailer(_))
        ));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8), step in 1usize..40) {
            let mut wire = Vec::new();
            for part in &parts {
                crate::push_chunk_size(&mut wire, part.len());
                wire.extend_from_slice(part);
                crate::push_crlf(&mut wire);
            }
            crate::push_last_chunk(&mut wire, []);
            let (body, rest, _) = drive(Framing::Chunked, &wire, step).unwrap();
            prop_assert_eq!(body, parts.concat());
            prop_assert_eq!(rest, 0);
        }

        #[test]
        fn no_input_panics(input in proptest::collection::vec(any::<u8>(), 0..200), step in 1usize..40) {
            let _ = drive(Framing::Chunked, &input, step);
        }
    }
}
