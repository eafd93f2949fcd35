//! y-protocols: as `y-websocket` speaks it, and as Hocuspocus does.

use bytes::Bytes;
use yrs::{Doc, Map, MapRef, Transact};

use crate::{
    Result,
    client::{Client, Heard, Mark, Opening, Update},
};

/// Kinds of messages.
const SYNC: u64 = 0;
const AUTH: u64 = 2;
const SYNC_REPLY: u64 = 4;
const SYNC_STATUS: u64 = 8;
/// Steps of a sync message.
const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;
/// What an empty document knows: no client.
const EMPTY_STATE_VECTOR: &[u8] = &[0];

/// A client of either server.
pub struct YjsClient {
    /// What each message begins with: nothing, or the document's name.
    address: Vec<u8>,
    has_names: bool,
    document: Doc,
    map: MapRef,
    is_open: bool,
}

impl YjsClient {
    pub fn new(opening: Opening<'_>, has_names: bool) -> Self {
        let mut address = Vec::new();
        if has_names {
            put_bytes(&mut address, opening.document.as_bytes());
        }
        let document = Doc::with_client_id(u64::from(opening.client) + 1);
        let map = document.get_or_insert_map("entities");
        Self { address, has_names, document, map, is_open: false }
    }

    fn message(&self, kind: &[u64], content: &[u8]) -> Bytes {
        let mut message = self.address.clone();
        kind.iter().for_each(|number| put_number(&mut message, *number));
        put_bytes(&mut message, content);
        message.into()
    }

    fn sync(&mut self, reader: &mut Reader<'_>, heard: &mut Heard) -> Result {
        let step = reader.number()?;
        let content = reader.bytes()?;
        match step {
            STEP_1 => return Ok(()),
            STEP_2 => self.is_open = true,
            UPDATE => {}
            _ => return Err(format!("a sync message of step {step}").into()),
        }
        heard.marks.extend(Mark::find_in(content));
        Ok(())
    }
}

impl Client for YjsClient {
    fn greeting(&mut self) -> Result<Vec<Bytes>> {
        let ask = self.message(&[SYNC, STEP_1], EMPTY_STATE_VECTOR);
        // A token of no meaning: without one, Hocuspocus opens nothing.
        let token = self.has_names.then(|| self.message(&[AUTH, 0], b"bench"));
        Ok(token.into_iter().chain([ask]).collect())
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    fn hear(&mut self, message: &[u8]) -> Result<Heard> {
        let (mut reader, mut heard) = (Reader(message), Heard::default());
        if self.has_names {
            reader.bytes()?;
        }
        match reader.number()? {
            SYNC | SYNC_REPLY => self.sync(&mut reader, &mut heard)?,
            SYNC_STATUS if reader.number()? == 1 => heard.acknowledged = 1,
            SYNC_STATUS => return Err("an update was not taken".into()),
            // Who is there, and that we are let in.
            _ => {}
        }
        Ok(heard)
    }

    fn write(&mut self, update: Update) -> Result<Bytes> {
        let mut transaction = self.document.transact_mut();
        for (entity, field, value) in update.sets() {
            self.map.insert(&mut transaction, format!("{entity}/{field}"), value);
        }
        let encoded = transaction.encode_update_v1();
        drop(transaction);
        Ok(self.message(&[SYNC, UPDATE], &encoded))
    }
}

/// Seven bits a byte, the lowest first.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or("a message ends early")?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number that has no end".into())
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or("a message ends early")?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(number: u64, bytes: &[u8]) {
        let mut out = Vec::new();
        put_number(&mut out, number);
        assert_eq!(out, bytes);
        assert_eq!(Reader(bytes).number().unwrap(), number);
    }

    #[test]
    fn numbers_are_of_seven_bits() {
        check(0, &[0]);
        check(127, &[127]);
        check(300, &[0xac, 2]);
        assert!(Reader(&[0x80]).number().is_err());
        assert!(Reader(&[2, 0]).bytes().is_err());
    }

    #[test]
    fn an_update_is_found_in_what_others_get() {
        let opening = Opening { document: "d", client: 0, writes: true };
        for has_names in [false, true] {
            let (mut one, mut other) =
                (YjsClient::new(opening, has_names), YjsClient::new(opening, has_names));
            let mark = Mark { writer: 5, number: 6 };
            let update = one.write(Update { mark, fields: 100 }).unwrap();
            assert_eq!(other.hear(&update).unwrap().marks, [mark]);
        }
    }
}
