//! Streams that come and go.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use super::{
    client::{Answer, Client, Target},
    writer::record,
};

/// How long one waits when the core is away.
const PAUSE: Duration = Duration::from_millis(50);
/// Records of one stream.
const RECORDS: u64 = 4;

/// Makes streams, appends to them, closes them, deletes them, or leaves them to their lifetime.
pub struct Churner<'l> {
    pub name: String,
    pub made: &'l Mutex<Vec<Made>>,
    pub acknowledged: &'l AtomicU64,
    pub stop: &'l AtomicBool,
}

/// A stream of a churner, and what is known of it.
#[derive(Debug, Clone)]
pub struct Made {
    pub path: String,
    /// It goes by itself, some time.
    pub has_lifetime: bool,
    pub created: Known,
    pub deleted: Known,
    pub closed: Known,
    /// Records that were sent, and those acknowledged: the first ones.
    pub sent: u64,
    pub acknowledged: u64,
}

/// How far something has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    NotAsked,
    Asked,
    Done,
}

/// How a stream ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Stays,
    Lifetime,
    Closed,
    Deleted,
}

impl Churner<'_> {
    /// Goes on until all is over.
    pub fn run(&self, target: &Target) {
        let mut client = target.client();
        for number in 0_u64.. {
            if self.stop.load(SeqCst) {
                return;
            }
            let end = [End::Deleted, End::Lifetime, End::Deleted, End::Closed, End::Stays];
            if self.live(&mut client, number, end[(number % 5) as usize]).is_none() {
                thread::sleep(PAUSE);
            }
        }
    }

    /// The life of one stream; ends early where nobody knows what was done.
    fn live(&self, client: &mut Client, number: u64, end: End) -> Option<()> {
        let path = format!("churn/{}-{number}", self.name);
        self.made.lock().unwrap().push(Made {
            path: path.clone(),
            has_lifetime: end == End::Lifetime,
            created: Known::Asked,
            deleted: Known::NotAsked,
            closed: Known::NotAsked,
            sent: 0,
            acknowledged: 0,
        });
        let lifetime = ["Stream-TTL: 1".to_owned()];
        let fields = if end == End::Lifetime { &lifetime[..] } else { &[] };
        self.ask(client, ("PUT", &path), fields, b"", 201)?;
        self.note(|made| made.created = Known::Done);
        for record_number in 0..RECORDS {
            self.note(|made| made.sent += 1);
            let text = record(&path, record_number);
            self.ask(client, ("POST", &path), &[], &text, 204)?;
            self.note(|made| made.acknowledged += 1);
        }
        match end {
            End::Stays | End::Lifetime => {}
            End::Closed => {
                self.note(|made| made.closed = Known::Asked);
                self.ask(client, ("POST", &path), &["Stream-Closed: true".to_owned()], b"", 204)?;
                self.note(|made| made.closed = Known::Done);
            }
            End::Deleted => {
                self.note(|made| made.deleted = Known::Asked);
                self.ask(client, ("DELETE", &path), &[], b"", 204)?;
                self.note(|made| made.deleted = Known::Done);
            }
        }
        Some(())
    }

    fn note(&self, change: impl FnOnce(&mut Made)) {
        change(self.made.lock().unwrap().last_mut().expect("it was made"));
    }

    /// Asks, and tells whether it was done; a stream with a lifetime may be gone before.
    fn ask(
        &self,
        client: &mut Client,
        what: (&str, &str),
        fields: &[String],
        body: &[u8],
        expected: u16,
    ) -> Option<()> {
        let Ok(Answer { status, .. }) = client.ask(what, fields, body) else { return None };
        let had_lifetime =
            || self.made.lock().unwrap().last().is_some_and(|made| made.has_lifetime);
        match status {
            _ if status == expected => {
                self.acknowledged.fetch_add(1, SeqCst);
                Some(())
            }
            502..=504 => None,
            404 if had_lifetime() => None,
            _ => panic!("{what:?} was answered {status}"),
        }
    }
}
