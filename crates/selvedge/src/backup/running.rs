//! A running core, asked over its socket to keep the log's files while they are copied.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use selvedge_backup::{Backup, Error, Hold, Moment};
use serde_json::{Value, json};

use crate::core::Operator;

/// How often the core is told that the moment is still wanted; its lease is ten times as long.
const KEEP_EVERY: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Of a log of a petabyte, the files take so much to name.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// Holds on to a moment of a running core's log.
pub(super) struct Running {
    operator: Operator,
    destination: String,
    held: Option<u64>,
    kept: Instant,
}

impl Running {
    /// Whether a core answers there; one that was killed leaves its key behind.
    pub(super) fn answers(operator: &Operator) -> bool {
        UnixStream::connect(&operator.socket).is_ok()
    }

    pub(super) fn new(operator: Operator, destination: &str) -> Self {
        let destination = destination.to_owned();
        Self { operator, destination, held: None, kept: Instant::now() }
    }

    /// Tells the core that the backup is there, for its audit log.
    pub(super) fn finished(&mut self, backup: &Backup) -> Result<(), Error> {
        let (objects, bytes) = (backup.manifest.new_objects, backup.manifest.new_bytes);
        let done = json!({
            "backup": backup.name,
            "destination": self.destination,
            "objects": objects,
            "bytes": bytes,
        });
        self.ask("POST", "/done", &done).map(drop)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, Error> {
        let answer = self.exchange(method, path, &body.to_string());
        let (status, text) = answer.map_err(|error| Error::Hold(error.to_string()))?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if status < 300 {
            return Ok(answer);
        }
        let detail = answer["detail"].as_str().unwrap_or("it says nothing more");
        let code = answer["code"].as_str().unwrap_or("no code");
        Err(Error::Hold(format!("the core answers {status} ({code}): {detail}")))
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        let Operator { secret, socket, path: core } = &self.operator;
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let head = format!(
            "{method} {core}/backup{path} HTTP/1.1\r\nHost: core\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nUser-Agent: selvedge-backup\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            secret.expose(),
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        read_answer(&text).ok_or_else(|| io::Error::other("the answer is not that of a core"))
    }
}

impl Hold for Running {
    fn take(&mut self) -> Result<Moment, Error> {
        self.release();
        let mut answer = self.ask("POST", "", &json!({ "destination": self.destination }))?;
        self.held = answer["id"].as_u64();
        self.kept = Instant::now();
        let moment = serde_json::from_value(answer["moment"].take());
        moment.map_err(|error| Error::Hold(format!("the core's answer makes no sense: {error}")))
    }

    fn keep(&mut self) {
        if let Some(id) = self.held.filter(|_| self.kept.elapsed() >= KEEP_EVERY) {
            self.kept = Instant::now();
            // Where the core has gone, nobody deletes either.
            let _ = self.ask("POST", &format!("/{id}"), &Value::Null);
        }
    }

    fn release(&mut self) {
        if let Some(id) = self.held.take() {
            // What is not let go of ends with its lease.
            let _ = self.ask("DELETE", &format!("/{id}"), &Value::Null);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.release();
    }
}

/// The core closes behind its answer.
fn read_answer(text: &str) -> Option<(u16, String)> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.to_owned()))
}
