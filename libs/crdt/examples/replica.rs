//! A replica at the other end of a pipe, for tests of other builds: a command in each line, an answer in each.
//!
//! `apply HEX` takes in a batch, `merge HEX` a snapshot: `ok`. `write SEED COUNT` edits: the batches. `snapshot`: its bytes.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a pipe")]

use std::{
    error::Error,
    fmt::Write,
    io::{self, BufRead},
    process::ExitCode,
};

use selvedge_crdt::{Batch, BatchHash, Document, Edit, EditError, ReplicaId, Writer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut replica = Replica {
        document: Document::new(),
        writer: Writer::new(ReplicaId([0xee; 16])),
        last: BatchHash::NONE,
    };
    for line in io::stdin().lock().lines() {
        match line.map_err(Into::into).and_then(|line| replica.answer(&line)) {
            Ok(answer) => println!("{answer}"),
            Err(error) => {
                eprintln!("replica: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

struct Replica {
    document: Document,
    writer: Writer,
    last: BatchHash,
}

impl Replica {
    fn answer(&mut self, line: &str) -> Result<String> {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["apply", batch] => self.document.apply(&Batch::decode(&bytes(batch)?)?.1),
            ["merge", snapshot] => self.document.merge(&Document::load(&bytes(snapshot)?)?),
            ["write", seed, count] => return self.write(seed.parse()?, count.parse()?),
            ["snapshot"] => return Ok(hex(&self.document.snapshot())),
            _ => return Err(format!("no command `{line}`").into()),
        }
        Ok("ok".to_owned())
    }

    fn write(&mut self, seed: u64, count: u64) -> Result<String> {
        for at in 0..count {
            let mut edit = self.writer.edit(&mut self.document, 1_000 + seed);
            one(&mut edit, scramble(seed << 32 | at))?;
        }
        let mut batches = Vec::new();
        while let Some(batch) = self.writer.take_batch() {
            let pushed = batch.encode(self.last);
            self.last = BatchHash::of(&pushed);
            batches.push(hex(&pushed));
        }
        Ok(batches.join(" "))
    }
}

/// One edit of some kind, of one of a few entities.
fn one(edit: &mut Edit<'_>, chance: u64) -> std::result::Result<(), EditError> {
    let id = format!("note/{}", chance >> 8 & 3);
    let value = (chance >> 16 & 7) as i64;
    match chance & 15 {
        0..3 => edit.set(&id, "title", format!("title {value} ü").into()),
        3 => edit.set(&id, "size", (value as f64 / 3.0).into()),
        4 => edit.assign(&id, "names", value.into()),
        5 => edit.raise(&id, "high", value.into()),
        6 => edit.lower(&id, "low", value.into()),
        7 => edit.include(&id, "seen", value.into()),
        8 | 9 => edit.add(&id, "tags", value.into()),
        10 => edit.remove(&id, "tags", value.into()),
        11 => edit.increment(&id, "votes", value - 3),
        12 => edit.delete(&id),
        13 => edit.bury(&id),
        14 => edit.erase(&id),
        _ => edit.unset(&id, "title", selvedge_crdt::Kind::LWW),
    }
}

/// A step of splitmix64.
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2).map(str::from_utf8);
    pairs.map(|pair| Ok(u8::from_str_radix(pair?, 16)?)).collect()
}
