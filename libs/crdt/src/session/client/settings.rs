//! What an application says of how a client behaves.

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// After so many records behind the current snapshot a device whose token allows it saves another.
    pub snapshot_records: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { snapshot_records: 4_096 }
    }
}

/// A capability, as the application got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its text, of at most [`TOKEN_BYTES_MAX`](crate::session::TOKEN_BYTES_MAX) bytes.
    pub text: String,
    /// When it ends, in milliseconds since 1970, if that is known.
    pub ends_ms: Option<u64>,
}

/// Where to send a push message that wakes this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeUp {
    /// The `https` address to post to.
    pub endpoint: String,
    /// The P-256 public key of the browser, uncompressed.
    pub key: [u8; 65],
    /// The authentication secret.
    pub secret: [u8; 16],
}
