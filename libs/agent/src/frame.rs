//! Frames: a header of 16 bytes and a payload.

use bytes::BufMut;

use crate::{
    event::Event,
    fault::{Fault, FaultCode},
    wire::TooLong,
};

/// Length of a header in bytes.
pub const HEADER_LENGTH: usize = 16;

/// The longest payload of the frames that carry settings, whatever else was agreed.
pub const SETTINGS_FRAME_MAX: u32 = 1 << 20;

/// The longest payload of `METRICS`, whatever else was agreed.
pub const METRICS_FRAME_MAX: u32 = 256 << 10;

macro_rules! types {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $flags:expr;)*) => {
        /// What a frame is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum FrameType {
            $($(#[$doc])* $variant = $number,)*
        }

        impl FrameType {
            /// Every type, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The type with this number on the wire.
            pub fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name in the reference: `REQUEST_HEADERS`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The flags that it may carry.
            pub fn flags(self) -> u8 {
                match self {
                    $(Self::$variant => $flags,)*
                }
            }
        }
    };
}

types! {
    /// The edge begins: versions, bounds, settings.
    Hello = 0x01, "HELLO", 0;
    /// The agent accepts: version, bounds, subscriptions.
    Ready = 0x02, "READY", 0;
    /// New settings.
    Configure = 0x03, "CONFIGURE", 0;
    /// The agent's answer to new settings.
    Configured = 0x04, "CONFIGURED", 0;
    /// Are you there?
    Ping = 0x05, "PING", 0;
    /// I am.
    Pong = 0x06, "PONG", 0;
    /// No new streams from here on.
    Drain = 0x07, "DRAIN", 0;
    /// A rule was broken; nothing follows.
    Fault = 0x08, "FAULT", 0;
    /// Streams from here on belong to the settings that the agent accepted last.
    Adopt = 0x09, "ADOPT", 0;
    /// What have you measured? From version 2 on.
    Measure = 0x0a, "MEASURE", 0;
    /// What the agent measured.
    Metrics = 0x0b, "METRICS", 0;
    /// Opens a stream.
    RequestHeaders = 0x10, "REQUEST_HEADERS", flag::END | flag::NO_REPLY;
    /// A piece of a request's body.
    RequestBody = 0x11, "REQUEST_BODY", flag::END | flag::TRUNCATED;
    /// The head of the response.
    ResponseHeaders = 0x12, "RESPONSE_HEADERS", flag::END | flag::NO_REPLY;
    /// A piece of the response's body.
    ResponseBody = 0x13, "RESPONSE_BODY", flag::END | flag::TRUNCATED;
    /// A frame of a WebSocket tunnel.
    WebsocketFrame = 0x14, "WEBSOCKET_FRAME", flag::END | flag::TRUNCATED | flag::FROM_UPSTREAM;
    /// How an exchange ended.
    Log = 0x15, "LOG", 0;
    /// The edge lost interest in a stream.
    Cancel = 0x16, "CANCEL", 0;
    /// What the agent says to an event.
    Verdict = 0x20, "VERDICT", flag::FINAL;
    /// Bytes of a body that go on.
    Release = 0x21, "RELEASE", flag::END | flag::FINAL;
    /// Bytes in place of others.
    Replace = 0x22, "REPLACE", flag::END | flag::FINAL;
    /// The agent cannot decide.
    Abandon = 0x23, "ABANDON", 0;
    /// Room for more bytes.
    Credit = 0x24, "CREDIT", 0;
}

impl FrameType {
    /// Whether it belongs to the connection, not to a stream.
    pub fn is_of_connection(self) -> bool {
        (self as u8) < Self::RequestHeaders as u8
    }
}

/// Flags of frames.
pub mod flag {
    /// The last of this body, or no body follows; of a WebSocket frame, the last of its message.
    pub const END: u8 = 1;
    /// What comes is a prefix: the rest goes on unseen.
    pub const TRUNCATED: u8 = 2;
    /// The stream is over.
    pub const FINAL: u8 = 4;
    /// For context; no verdict is wanted.
    pub const NO_REPLY: u8 = 8;
    /// A WebSocket frame from the upstream, not from the client.
    pub const FROM_UPSTREAM: u8 = 16;
}

/// A whole frame, as a view of the bytes that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: FrameType,
    /// See [`flag`].
    pub flags: u8,
    /// The stream, or 0.
    pub stream: u64,
    /// What it carries.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes a frame from the front of `input`, or nothing if it is not whole yet.
    ///
    /// The header alone decides whether the frame may be: one that is longer than `max` allows for
    /// its type is refused before its payload has come.
    pub fn take(
        input: &mut &'a [u8],
        max: impl FnOnce(FrameType) -> u32,
    ) -> Result<Option<Self>, Fault> {
        let Some((header, rest)) = input.split_first_chunk::<HEADER_LENGTH>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, kind, flags, z0, z1, stream @ ..] = *header;
        let kind = FrameType::from_number(kind)
            .ok_or_else(|| Fault::new(FaultCode::UnknownType, format!("type {kind:#04x}")))?;
        if (z0, z1) != (0, 0) {
            return Err(Fault::new(
                FaultCode::Malformed,
                "reserved bytes of a header are not zero",
            ));
        }
        if flags & !kind.flags() != 0 {
            let text = format!("{} with flags {flags:#04x}", kind.name());
            return Err(Fault::new(FaultCode::Malformed, text));
        }
        let stream = u64::from_be_bytes(stream);
        if kind.is_of_connection() != (stream == 0) {
            let text = format!("{} on stream {stream}", kind.name());
            return Err(Fault::new(FaultCode::Malformed, text));
        }
        let (length, max) = (u32::from_be_bytes([l0, l1, l2, l3]), max(kind));
        if length > max {
            let text = format!("{} of {length} bytes, where {max} are allowed", kind.name());
            return Err(Fault::new(FaultCode::TooLarge, text));
        }
        let Some((payload, rest)) = rest.split_at_checked(length as usize) else {
            return Ok(None);
        };
        *input = rest;
        Ok(Some(Self { kind, flags, stream, payload }))
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Frames on their way out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How much of the front was written.
    written: usize,
}

/// What was written is moved out of the way once there is so much of it, and more than there is left.
const WRITTEN_MAX: usize = 64 << 10;

/// What a frame says beside its payload.
#[derive(Clone, Copy)]
pub(crate) struct Label {
    pub(crate) kind: FrameType,
    pub(crate) flags: u8,
    pub(crate) stream: u64,
}

impl Label {
    pub(crate) fn of_connection(kind: FrameType) -> Self {
        Self { kind, flags: 0, stream: 0 }
    }

    pub(crate) fn new(kind: FrameType, stream: u64) -> Self {
        Self { kind, flags: 0, stream }
    }

    pub(crate) fn flag(mut self, flag: u8, set: bool) -> Self {
        if set {
            self.flags |= flag;
        }
        self
    }
}

impl Output {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(crate) fn advance(&mut self, length: usize) {
        assert!(length <= self.len(), "more was written than there was to write");
        self.written += length;
        if self.len() == 0 {
            self.bytes.clear();
            self.bytes.shrink_to(WRITTEN_MAX);
            self.written = 0;
        } else if self.written > WRITTEN_MAX && self.written > self.len() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    /// Appends a frame whose payload is short and known to fit.
    pub(crate) fn small(&mut self, label: Label, payload: &[u8]) {
        self.header(label, payload.len() as u32);
        self.bytes.put_slice(payload);
    }

    /// Appends a frame whose payload is known to fit.
    pub(crate) fn pieces(&mut self, label: Label, payload: [&[u8]; 2]) {
        let [first, second] = payload;
        self.header(label, (first.len() + second.len()) as u32);
        self.bytes.put_slice(first);
        self.bytes.put_slice(second);
    }

    /// Appends the frame that gives room for `length` bytes.
    pub(crate) fn credit(&mut self, stream: u64, event: Event, length: u32) {
        let label = Label::new(FrameType::Credit, stream);
        self.pieces(label, [&[event.number()], &length.to_be_bytes()]);
    }

    /// Appends a frame, or nothing if its payload does not fit `max`.
    pub(crate) fn frame(
        &mut self,
        label: Label,
        max: u32,
        payload: impl FnOnce(&mut Vec<u8>) -> Result<(), TooLong>,
    ) -> Result<(), TooLong> {
        let start = self.bytes.len();
        self.header(label, 0);
        let written = payload(&mut self.bytes).and_then(|()| {
            let length = self.bytes.len() - start - HEADER_LENGTH;
            u32::try_from(length).ok().filter(|length| *length <= max).ok_or(TooLong)
        });
        match written {
            Ok(length) => self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes()),
            Err(TooLong) => self.bytes.truncate(start),
        }
        written.map(drop)
    }

    fn header(&mut self, label: Label, length: u32) {
        self.bytes.put_u32(length);
        self.bytes.put_u8(label.kind as u8);
        self.bytes.put_u8(label.flags);
        self.bytes.put_u16(0);
        self.bytes.put_u64(label.stream);
    }

    /// The last frame of a connection.
    pub(crate) fn fault(&mut self, fault: &Fault) {
        let cut = fault.text.floor_char_boundary(FAULT_TEXT_MAX);
        let text = &fault.text.as_bytes()[..cut];
        let mut payload = Vec::with_capacity(4 + text.len());
        payload.put_u16(fault.code.number());
        payload.put_u16(text.len() as u16);
        payload.put_slice(text);
        self.small(Label::of_connection(FrameType::Fault), &payload);
    }
}

/// A fault's text is cut here.
const FAULT_TEXT_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: [u8; HEADER_LENGTH], expected: Result<(), FaultCode>) {
        let taken = Frame::take(&mut &header[..], |_| 100).map(|frame| assert!(frame.is_some()));
        assert_eq!(taken.map_err(|fault| fault.code), expected);
    }

    #[test]
    fn headers_are_strict() {
        let ping =
            |flags, zero, stream| [0, 0, 0, 0, 5, flags, 0, zero, 0, 0, 0, 0, 0, 0, 0, stream];
        check(ping(0, 0, 0), Ok(()));
        check(ping(1, 0, 0), Err(FaultCode::Malformed));
        check(ping(0, 1, 0), Err(FaultCode::Malformed));
        check(ping(0, 0, 1), Err(FaultCode::Malformed));
        check([0, 0, 0, 0, 0x20, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Err(FaultCode::Malformed));
        check([0, 0, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], Err(FaultCode::UnknownType));
        check([0, 0, 0, 101, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Err(FaultCode::TooLarge));
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        let mut output = Output::default();
        output.small(Label::new(FrameType::Cancel, 7), &[1]);
        let bytes = output.bytes().to_vec();
        for cut in 0..bytes.len() {
            let mut input = &bytes[..cut];
            assert_eq!(Frame::take(&mut input, |_| 100), Ok(None));
            assert_eq!(input.len(), cut);
        }
        let mut input = &bytes[..];
        let frame = Frame { kind: FrameType::Cancel, flags: 0, stream: 7, payload: &[1] };
        assert_eq!(Frame::take(&mut input, |_| 100), Ok(Some(frame)));
        assert!(input.is_empty());
    }

    #[test]
    fn what_is_written_is_forgotten() {
        let mut output = Output::default();
        let label = Label::new(FrameType::RequestBody, 1);
        let mut expected = Vec::new();
        for i in 0..100_u8 {
            output.small(label, &[i; 4 << 10]);
            expected.extend_from_slice(&output.bytes()[output.len() - (4 << 10)..]);
        }
        let mut written = Vec::new();
        while output.len() > 0 {
            let length = output.len().min(1_000);
            written.extend_from_slice(&output.bytes()[..length]);
            output.advance(length);
            assert!(output.bytes.len() <= 2 * output.len().max(WRITTEN_MAX) + 1_000);
        }
        let payloads =
            written.chunks(HEADER_LENGTH + (4 << 10)).map(|frame| &frame[HEADER_LENGTH..]);
        assert_eq!(payloads.collect::<Vec<_>>().concat(), expected);
        assert!(output.bytes.capacity() <= WRITTEN_MAX);
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace() {
        let mut output = Output::default();
        let label = Label::new(FrameType::RequestHeaders, 1);
        let result = output.frame(label, 3, |out| {
            out.put_slice(b"four");
            Ok(())
        });
        assert_eq!((result, output.len()), (Err(TooLong), 0));
    }
}
