//! A line of JSON as it is written: fields one after the other, in the order in which they are told.

use std::{
    fmt,
    io::Write,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use crate::{
    json,
    timestamp::Timestamps,
    trace::{TraceContext, push_hex},
};

/// A JSON object that is being written.
pub(crate) struct Line<'a> {
    pub(crate) out: &'a mut Vec<u8>,
}

impl<'a> Line<'a> {
    /// Begins an object with the time of what it tells.
    pub(crate) fn begin(out: &'a mut Vec<u8>, stamps: &mut Timestamps, at: SystemTime) -> Self {
        out.extend_from_slice(b"{\"time\":\"");
        stamps.push(out, at);
        out.push(b'"');
        Self { out }
    }

    /// Ends the object and the line.
    pub(crate) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    pub(crate) fn trace(&mut self, trace: &TraceContext) {
        self.hex::<32>("trace_id", &trace.trace_id());
        // Without export there is no span of ours: the caller's goes on.
        if trace.parent_id() != Some(trace.span_id()) {
            self.hex::<16>("span_id", &trace.span_id());
        }
        if let Some(parent) = trace.parent_id() {
            self.hex::<16>("parent_id", &parent);
        }
        self.flag("sampled", trace.is_sampled());
    }

    fn key(&mut self, key: &str) {
        // No value ends with a brace that opens: this is an object's first field.
        let separator: &[u8] = if self.out.last() == Some(&b'{') { b"\"" } else { b",\"" };
        self.out.extend_from_slice(separator);
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(crate) fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        json::push_string(self.out, value);
    }

    /// A text of which at most `bytes_max` bytes are told; what is longer ends with `…`.
    pub(crate) fn cut(&mut self, key: &str, value: &[u8], bytes_max: usize) {
        self.key(key);
        json::push_cut(self.out, value, bytes_max);
    }

    /// Bytes in the buffer so far.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// A list of objects with the fields that `each` writes. It ends early once it is `bytes_max`
    /// long; returns how many objects are in it.
    pub(crate) fn objects<T>(
        &mut self,
        key: &str,
        all: &[T],
        bytes_max: usize,
        mut each: impl FnMut(&mut Line<'_>, &T),
    ) -> usize {
        self.key(key);
        let start = self.out.len();
        self.out.push(b'[');
        let mut written = 0;
        for one in all {
            if self.out.len() - start >= bytes_max {
                break;
            }
            self.out.extend_from_slice(if written == 0 { b"{".as_slice() } else { b",{" });
            each(&mut Line { out: self.out }, one);
            self.out.push(b'}');
            written += 1;
        }
        self.out.push(b']');
        written
    }

    /// A list of texts.
    pub(crate) fn texts<'t>(
        &mut self,
        key: &str,
        all: impl Iterator<Item = &'t str>,
        bytes_max: usize,
    ) {
        self.key(key);
        self.out.push(b'[');
        for (place, text) in all.enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            json::push_cut(self.out, text.as_bytes(), bytes_max);
        }
        self.out.push(b']');
    }

    pub(crate) fn maybe(&mut self, key: &str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(crate) fn display(&mut self, key: &str, value: &dyn fmt::Display) {
        self.key(key);
        json::push_display(self.out, value);
    }

    pub(crate) fn address(&mut self, key: &str, address: SocketAddr) {
        self.key(key);
        write!(self.out, "\"{address}\"").expect("writing to memory does not fail");
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Milliseconds with three decimals, so that no digit of a microsecond is lost or made up.
    pub(crate) fn millis(&mut self, key: &str, value: Option<Duration>) {
        let Some(value) = value else { return };
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.number(key, micros / 1_000);
        let rest = micros % 1_000;
        let digits = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
        self.out.push(b'.');
        self.out.extend_from_slice(&digits);
    }

    fn hex<const DIGITS: usize>(&mut self, key: &str, bytes: &[u8]) {
        self.key(key);
        let mut digits = [0; DIGITS];
        push_hex(&mut digits, bytes);
        self.out.push(b'"');
        self.out.extend_from_slice(&digits);
        self.out.push(b'"');
    }
}
