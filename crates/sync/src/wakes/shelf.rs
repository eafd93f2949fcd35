//! Where subscriptions lie: a stream of the log, of each wish the last. They are of use with one key only, and so is the stream.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use selvedge_crdt::session::{ClientFrame, DeviceId, DocumentId, Subscription};
use selvedge_eventlog::{Append, Batch, Log, StreamId, StreamInfo, StreamOptions, block_on};

use super::roll::Wish;

/// How the stream's name begins; what follows says for which key.
const NAME: &str = "sync/wake/";
/// Streams of former keys that are looked for.
const FORMER_MAX: usize = 64;
/// Bytes of the log that are read in one go.
const PAGE_BYTES: usize = 256 << 10;
/// Such reads before others have their turn: more than is written meanwhile.
const PAGES_MAX: usize = 64;
/// Records that may be outdated whatever there is.
const SLACK: u64 = 1024;
/// The first byte of a record.
const REMOVED: u8 = 0;
const WISHED: u8 = 1;

/// The stream.
pub(super) struct Shelf {
    log: Log,
    stream: StreamId,
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Wished(Wish),
    Removed(DeviceId, DocumentId),
}

impl Shelf {
    /// Reads the wishes of those who subscribed with this key, and deletes those of others; blocks.
    pub(super) fn open(log: &Log, key: &[u8]) -> Result<(Self, Vec<Wish>), String> {
        let hash = digest(&SHA256, key);
        let name = format!("{NAME}{}", HEXLOWER.encode(&hash.as_ref()[..8]));
        for former in log.list(NAME, "", FORMER_MAX) {
            if *former.name != *name {
                log.append(Batch::delete(former.id)).wait().map_err(|error| error.to_string())?;
            }
        }
        let stream = match log.stream(&name) {
            Some(stream) => stream,
            None => block_on(log.create(&name, StreamOptions::default()))
                .map_err(|error| error.to_string())?,
        };
        let shelf = Self { log: log.clone(), stream };
        let wishes = shelf.read()?;
        Ok((shelf, wishes))
    }

    /// The last of each, in the order in which they were said.
    fn read(&self) -> Result<Vec<Wish>, String> {
        let mut wishes = HashMap::new();
        let mut from = self.log.info(self.stream).map_err(|error| error.to_string())?.start;
        loop {
            let chunk = self.log.read(self.stream, from, PAGE_BYTES);
            let chunk = chunk.map_err(|error| error.to_string())?;
            for (_, record) in chunk.records() {
                match Entry::read(&record) {
                    Some(Entry::Wished(wish)) => {
                        wishes.insert((wish.device, wish.document.clone()), wish);
                    }
                    Some(Entry::Removed(device, document)) => {
                        wishes.remove(&(device, document));
                    }
                    None => {}
                }
            }
            if chunk.next == from {
                let mut wishes: Vec<Wish> = wishes.into_values().collect();
                wishes.sort_by_key(|wish| wish.heard_ms);
                return Ok(wishes);
            }
            from = chunk.next;
        }
    }

    /// Keeps a wish. Nobody waits for it: a device says it again when it comes.
    pub(super) fn keep(&self, wish: &Wish) {
        drop(self.log.append(Append::to(self.stream).record(&Entry::wished(wish))));
    }

    /// Forgets one.
    pub(super) fn remove(&self, device: &DeviceId, document: &DocumentId) {
        let record = Entry::head(REMOVED, device, document);
        drop(self.log.append(Append::to(self.stream).record(&record)));
    }

    /// Writes the eldest again that still count, where most do not, and lets the others go. Blocks.
    pub(super) fn tidy(&self, wanted: usize, counts: impl Fn(&Wish) -> bool) -> Result<(), String> {
        for _ in 0..PAGES_MAX {
            let info = self.log.info(self.stream).map_err(|error| error.to_string())?;
            if info.tail - info.start <= 2 * wanted as u64 + SLACK {
                break;
            }
            self.tidy_page(info, &counts)?;
        }
        Ok(())
    }

    fn tidy_page(&self, info: StreamInfo, counts: impl Fn(&Wish) -> bool) -> Result<(), String> {
        let eldest = self.log.read(self.stream, info.start, PAGE_BYTES);
        let eldest = eldest.map_err(|error| error.to_string())?;
        for (_, record) in eldest.records() {
            let Some(Entry::Wished(wish)) = Entry::read(&record) else { continue };
            if counts(&wish) {
                let again = self.log.append(Append::to(self.stream).record(&record)).wait();
                again.map_err(|error| error.to_string())?;
            }
        }
        let trimmed = self.log.append(Batch::trim(self.stream, eldest.next)).wait();
        trimmed.map(drop).map_err(|error| error.to_string())
    }
}

impl Entry {
    fn head(verb: u8, device: &DeviceId, document: &DocumentId) -> Vec<u8> {
        let mut bytes = vec![verb];
        bytes.extend(device.0);
        put_text(&document.to_string(), &mut bytes);
        bytes
    }

    fn wished(wish: &Wish) -> Vec<u8> {
        let Wish { device, document, target, token, ends_ms, heard_ms } = wish;
        let mut bytes = Self::head(WISHED, device, document);
        put_text(token, &mut bytes);
        bytes.extend(ends_ms.to_le_bytes());
        bytes.extend(heard_ms.to_le_bytes());
        let subscription =
            Subscription { endpoint: &target.endpoint, key: target.key, secret: target.secret };
        // As it came.
        ClientFrame::Wake { subscription: Some(subscription) }.write(1, &mut bytes);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (verb, rest) = bytes.split_first()?;
        let (device, rest) = rest.split_first_chunk()?;
        let (name, rest) = take_text(rest)?;
        let (tenant, name) = name.split_once('/')?;
        let (device, document) = (DeviceId(*device), DocumentId::new(tenant, name)?);
        match *verb {
            REMOVED => Some(Entry::Removed(device, document)),
            WISHED => {
                let (token, rest) = take_text(rest)?;
                let (ends_ms, rest) = rest.split_first_chunk()?;
                let (heard_ms, rest) = rest.split_first_chunk()?;
                let (_, ClientFrame::Wake { subscription: Some(said) }) =
                    ClientFrame::read(rest).ok()?
                else {
                    return None;
                };
                let endpoint = said.endpoint.to_owned();
                let (key, secret) = (said.key, said.secret);
                let target = selvedge_webpush::Subscription { endpoint, key, secret };
                let [ends_ms, heard_ms] = [ends_ms, heard_ms].map(|it| u64::from_le_bytes(*it));
                let token = token.to_owned();
                Some(Entry::Wished(Wish { device, document, target, token, ends_ms, heard_ms }))
            }
            _ => None,
        }
    }
}

/// A text behind its length; what would not fit is no id of a token, and finds no revocation.
fn put_text(text: &str, bytes: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).expect("names and ids are within a token's bytes");
    bytes.extend(length.to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    Some((str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use selvedge_eventlog::Settings;

    use super::*;

    fn wish(number: u64) -> Wish {
        Wish {
            device: DeviceId([u8::try_from(number % 200).unwrap(); 32]),
            document: DocumentId::new("acme", &format!("notes/{number}")).unwrap(),
            target: selvedge_webpush::Subscription {
                endpoint: format!("https://push.example/{number}"),
                key: [4; 65],
                secret: [7; 16],
            },
            token: "t-ü".to_owned(),
            ends_ms: number,
            heard_ms: 2 * number,
        }
    }

    /// What was appended before is durable then.
    fn settle(shelf: &Shelf) {
        shelf.log.append(Append::to(shelf.stream).record(b"of no kind")).wait().unwrap();
    }

    #[test]
    fn what_is_kept_is_read_and_nothing_else() {
        let bytes = Entry::wished(&wish(3));
        assert_eq!(Entry::read(&bytes), Some(Entry::Wished(wish(3))));
        for end in 0..bytes.len() {
            assert_eq!(Entry::read(&bytes[..end]), None, "{end}");
        }
        let Wish { device, document, .. } = wish(3);
        let removed = Entry::head(REMOVED, &device, &document);
        assert_eq!(Entry::read(&removed), Some(Entry::Removed(device, document)));
        assert_eq!(Entry::read(&Entry::head(9, &device, &wish(3).document)), None);
    }

    #[test]
    fn wishes_outlive_a_start_but_not_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Settings::default()).unwrap();
        let (shelf, none) = Shelf::open(&log, b"key").unwrap();
        assert_eq!(none, []);
        (0..3).for_each(|number| shelf.keep(&wish(number)));
        shelf.remove(&wish(1).device, &wish(1).document);
        settle(&shelf);
        let again = Shelf::open(&log, b"key").unwrap().1;
        assert_eq!(again, [wish(0), wish(2)]);
        assert_eq!(Shelf::open(&log, b"another").unwrap().1, []);
        assert_eq!(Shelf::open(&log, b"key").unwrap().1, [], "it was deleted");
    }

    #[test]
    fn what_is_outdated_goes_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Settings::default()).unwrap();
        let (shelf, _) = Shelf::open(&log, b"key").unwrap();
        shelf.keep(&wish(7));
        for heard_ms in 0..1_100 {
            shelf.keep(&Wish { heard_ms, ..wish(8) });
        }
        settle(&shelf);
        let last = Wish { heard_ms: 1_099, ..wish(8) };
        while log.info(shelf.stream).unwrap().start == 0 {
            shelf.tidy(2, |it| *it == wish(7) || *it == last).unwrap();
        }
        assert_eq!(Shelf::open(&log, b"key").unwrap().1, [wish(7), last]);
    }
}
