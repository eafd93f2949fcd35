/// As much of a body as an agent asked for, in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    bytes: &'a [u8],
    truncated: bool,
}

impl<'a> Body<'a> {
    /// A body, or the beginning of one if it is `truncated`.
    pub fn new(bytes: &'a [u8], truncated: bool) -> Self {
        Self { bytes, truncated }
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the body goes on unseen after these bytes.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }
}

/// A piece of a body that streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    bytes: &'a [u8],
    last: bool,
    truncated: bool,
}

impl<'a> Chunk<'a> {
    /// A piece of a body; the `last` one may be empty.
    pub fn new(bytes: &'a [u8], last: bool, truncated: bool) -> Self {
        Self { bytes, last, truncated }
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether no further piece follows.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Whether the body goes on unseen after this last piece.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }
}

/// A frame of a WebSocket tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebsocketFrame<'a> {
    /// The opcode of RFC 6455, section 5.2.
    pub opcode: u8,
    /// The payload, unmasked.
    pub payload: &'a [u8],
    /// Whether the upstream sent it; otherwise the client did.
    pub from_upstream: bool,
    /// Whether the message goes on in further frames.
    pub continues: bool,
    /// Whether `payload` is only the beginning of the frame's.
    pub truncated: bool,
}
