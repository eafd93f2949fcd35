//! Writers whose every record says who sent it, and which one it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use super::client::{Client, Target};

/// How long a writer waits when the core is away.
const PAUSE: Duration = Duration::from_millis(5);

/// Appends numbered records to one stream.
pub struct Writer<'l> {
    pub name: String,
    pub stream: String,
    /// Repeats what was not answered, until it is; otherwise each record is sent once.
    pub is_idempotent: bool,
    pub books: &'l Mutex<Books>,
    pub acknowledged: &'l AtomicU64,
    pub stop: &'l AtomicBool,
}

/// What a writer did.
#[derive(Debug, Default)]
pub struct Books {
    /// Records below this number were sent.
    pub sent: u64,
    /// Sequences of those that were acknowledged.
    pub acknowledged: BTreeMap<u64, u64>,
    /// Records that were sent again.
    pub repeated: BTreeSet<u64>,
}

impl Writer<'_> {
    /// Writes until all is over.
    pub fn run(&self, target: &Target) {
        let mut client = target.client();
        while !self.stop.load(SeqCst) && !self.create(&mut client) {
            thread::sleep(PAUSE);
        }
        while !self.stop.load(SeqCst) {
            // It counts as sent before it is: whoever looks into the files meanwhile may find it there.
            let number = self.begin();
            while !self.append(&mut client, number) && !self.stop.load(SeqCst) {
                thread::sleep(PAUSE);
                if !self.is_idempotent {
                    break;
                }
                self.books.lock().unwrap().repeated.insert(number);
            }
        }
    }

    fn create(&self, client: &mut Client) -> bool {
        let answer = client.ask(("PUT", &self.stream), &[], b"");
        answer.is_ok_and(|answer| matches!(answer.status, 200 | 201))
    }

    fn begin(&self) -> u64 {
        let mut books = self.books.lock().unwrap();
        books.sent += 1;
        books.sent - 1
    }

    fn append(&self, client: &mut Client, number: u64) -> bool {
        let fields = match self.is_idempotent {
            true => vec![
                format!("Producer-Id: {}", self.name),
                "Producer-Epoch: 0".to_owned(),
                format!("Producer-Seq: {number}"),
            ],
            false => Vec::new(),
        };
        let answer = client.ask(("POST", &self.stream), &fields, &record(&self.name, number));
        let Ok(answer) = answer else { return false };
        match answer.status {
            200 | 204 => {
                let next = answer.next.expect("an acknowledgement says where the stream ends");
                self.books.lock().unwrap().acknowledged.insert(number, next);
                self.acknowledged.fetch_add(1, SeqCst);
                true
            }
            502..=504 => false,
            status => panic!("{} was answered {status} to {number}", self.name),
        }
    }
}

/// The record of a writer with this number. One in fifty is large, so that segments fill up.
pub fn record(writer: &str, number: u64) -> Vec<u8> {
    let length = if number % 50 == 49 { 40_000 } else { 20 + number % 400 };
    let mut text = format!("{writer} {number} ").into_bytes();
    let fill = (0..length).map(|at| b'a' + ((number + at * at) % 26) as u8);
    text.extend(fill);
    text
}

/// The writer that a record names, and its number, if it is that record.
pub fn parse(record_found: &[u8]) -> Option<(&str, u64)> {
    let mut words = record_found.splitn(3, |byte| *byte == b' ');
    let writer = str::from_utf8(words.next()?).ok()?;
    let number = str::from_utf8(words.next()?).ok()?.parse().ok()?;
    (record(writer, number) == record_found).then_some((writer, number))
}
