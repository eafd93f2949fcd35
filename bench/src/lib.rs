//! A measured proxy is no faster than what feeds it, so the servers and loads here cost next to nothing.
//!
//! Of Selvedge it knows the protocol of agents, to break it; every proxy is a peer behind a socket.
//!
//! ```
//! use selvedge_bench::origin::{Connection, Progress, Reply};
//!
//! let mut connection = Connection::new(Reply::new(0));
//! let mut output = Vec::new();
//! let progress = connection.advance(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n", &mut output);
//! assert_eq!(progress, Progress::Open);
//! assert!(output.ends_with(b"hello from 0"));
//! ```

pub mod epoll;
pub mod hostile;
pub mod origin;
