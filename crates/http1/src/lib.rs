//! HTTP messages on flat bytes, and HTTP/1 itself: head gate, parser and framing in one pass.
//!
//! The gate that refuses what servers disagree on *is* the parser, so nothing lies between the bytes
//! that were checked and the bytes that are understood. The crate does no I/O, keeps no time and
//! knows no route: callers bring bytes and get a head, a refusal, or the wish for more.
//!
//! ```
//! use selvedge_http1::{HeadLimits, Parsed, RequestHead};
//!
//! let mut head = RequestHead::default();
//! let bytes = b"GET /a?b=c HTTP/1.1\r\nHost: example.com\r\n\r\n";
//! let parsed = head.parse(bytes, &HeadLimits::default()).expect("a plain request");
//! assert_eq!(parsed, Parsed::Complete(bytes.len()));
//! assert_eq!((head.method(), head.host(), head.raw_path()), ("GET", "example.com", "/a"));
//! ```

mod authority;
mod body;
mod encode;
mod fields;
mod request;
mod response;
mod rule;

pub use authority::{Authority, AuthorityError, parse_authority};
pub use body::{BodyDecoder, BodyError, Framing, Piece, TRAILER_BYTES_MAX, may_trail};
pub use encode::{push_chunk_size, push_crlf, push_field, push_last_chunk, push_number};
pub use fields::{Field, Fields, Known, Span, is_field_value, is_token};
pub use request::{HeadLimits, Parsed, Rejection, RequestHead, Version, head_may_be_whole};
pub use response::{ResponseError, ResponseHead};
pub use rule::{Kind, RULES, Rule};
