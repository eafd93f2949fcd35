//! What the firewall's engine is worth is told by other people's rules, requests and engines, so the programs here
//! replay recorded requests through it, one way for every engine.
//!
//! Of agents and of who stands behind a socket it knows nothing; `cargo xtask` starts the programs and judges what they say.
//!
//! ```
//! use selvedge_bench_waf::{raw, record::Kind};
//!
//! let request = raw::request(b"GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n", Kind::Ordinary);
//! assert_eq!((request.method.as_slice(), request.target.as_slice()), (&b"GET"[..], &b"/?a=1"[..]));
//! ```

pub mod clock;
pub mod corpus;
pub mod ftw;
pub mod raw;
pub mod record;
pub mod replay;
pub mod subject;
pub mod wire;
