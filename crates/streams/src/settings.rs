//! Every bound of the service, with its default.

use std::time::Duration;

use selvedge_eventlog::Retention;

/// The bounds of the service, and what happens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What one append may carry, in bytes; 413 beyond.
    pub append_bytes_max: usize,
    /// About how much one answer carries, in bytes; the reader asks again for the rest.
    pub page_bytes: usize,
    /// How long a long-poll waits; 204 then.
    pub long_poll: Duration,
    /// How long one connection of server-sent events lives; the reader comes back for more.
    pub sse: Duration,
    /// Readers that wait or follow at once; 503 with `Retry-After` beyond. One tenant has at most half of them, and so has a
    /// caller of no tenant; 429 with `Retry-After` beyond.
    pub followers_max: usize,
    /// Reads of records that memory does not have, which are at the disk at once; others wait for their turn.
    pub disk_reads_max: usize,
    /// Reads that wait for their turn at the disk; 503 with `Retry-After` beyond.
    pub disk_reads_waiting_max: usize,
    /// The longest path of a stream, in bytes; 400 beyond.
    pub path_bytes_max: usize,
    /// How many forks may lie between a stream and what it was forked from; 400 beyond.
    pub fork_depth_max: usize,
    /// Streams that one tenant may have; 429 beyond. 0 is no bound.
    pub streams_per_tenant_max: usize,
    /// Bytes per second that one caller may append, with one second's worth at once; 429 with `Retry-After` beyond. 0 is no bound.
    pub append_bytes_per_s: u64,
    /// Records older than this are given up, whatever their stream says.
    pub age_max: Option<Duration>,
    /// The oldest records are given up while a stream takes more room than this.
    pub stream_bytes_max: Option<u64>,
    /// Origins of web pages that may read and write; `*` for all. None by default: same origin only.
    pub origins: Vec<String>,
}

impl Settings {
    /// How much of each stream is kept.
    pub(crate) fn retention(&self) -> Retention {
        let ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Retention { age_ms_max: self.age_max.map(ms), bytes_max: self.stream_bytes_max }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            append_bytes_max: 7 << 20,
            page_bytes: 1 << 20,
            long_poll: Duration::from_secs(20),
            sse: Duration::from_secs(60),
            followers_max: 10_000,
            disk_reads_max: 8,
            disk_reads_waiting_max: 4096,
            path_bytes_max: 512,
            fork_depth_max: 32,
            streams_per_tenant_max: 0,
            append_bytes_per_s: 0,
            age_max: None,
            stream_bytes_max: None,
            origins: Vec::new(),
        }
    }
}
