//! Replicas with a text at the other end of a pipe, for suites in other languages: a command in each line, an answer
//! in each. The first word says which replica.
//!
//! `replace FROM TO HEX` changes the text, counted in characters, `commit` writes that: the batches. `apply HEX` takes in
//! a batch, `push HEX` an update of Yjs as if it had been written here. `text`, `vector`, `update` say what is there, `squash`
//! replaces all updates by one: the batches.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a pipe")]

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Write,
    io::{self, BufRead},
    process::ExitCode,
};

use selvedge_crdt::{Batch, BatchHash, Document, Edit, ReplicaId, Writer};
use selvedge_crdt_text::{Position, Text};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ENTITY: &str = "note/1";
const FIELD: &str = "body";

fn main() -> ExitCode {
    let mut replicas: BTreeMap<u8, Replica> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        match line.map_err(Into::into).and_then(|line| answer(&mut replicas, &line)) {
            Ok(answer) => println!("{answer}"),
            Err(error) => {
                eprintln!("pipe: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn answer(replicas: &mut BTreeMap<u8, Replica>, line: &str) -> Result<String> {
    let (which, command) = line.split_once(' ').ok_or("a command without a replica")?;
    let which = which.parse()?;
    replicas.entry(which).or_insert_with(|| Replica::new(which)).answer(command)
}

struct Replica {
    document: Document,
    writer: Writer,
    /// The text, once it was written to.
    text: Option<Text>,
    /// Whether something of it is not committed.
    is_changed: bool,
    now_ms: u64,
}

impl Replica {
    fn new(which: u8) -> Self {
        let writer = Writer::new(ReplicaId([which; 16]));
        let document = Document::new();
        Replica { document, writer, text: None, is_changed: false, now_ms: 1_000 }
    }

    fn answer(&mut self, command: &str) -> Result<String> {
        match command.split(' ').collect::<Vec<_>>()[..] {
            ["replace", from, to, with] => {
                let (from, to) = (Position::Chars(from.parse()?), Position::Chars(to.parse()?));
                let with = String::from_utf8(bytes(with)?)?;
                let edit = self.writer.edit(&mut self.document, self.now_ms);
                let text = self.text.get_or_insert_with(|| Text::open(&edit, ENTITY, FIELD));
                if !self.is_changed {
                    text.catch_up(&edit)?;
                    self.is_changed = true;
                }
                text.replace(from, to, &with)?;
            }
            ["commit"] => {
                self.is_changed = false;
                return self.change(|text, edit| Ok(text.commit(edit)?));
            }
            ["squash"] => {
                return self.write(|edit| Ok(Text::open(edit, ENTITY, FIELD).squash(edit)?));
            }
            ["push", update] => {
                let update = bytes(update)?;
                return self.write(|edit| Ok(edit.push_text(ENTITY, FIELD, &update)?));
            }
            ["apply", batch] => self.document.apply(&Batch::decode(&bytes(batch)?)?.1),
            ["text"] => return Ok(hex(self.read().as_str().as_bytes())),
            ["vector"] => return Ok(hex(&self.read().state_vector())),
            ["update"] => return Ok(hex(&self.read().to_update())),
            _ => return Err(format!("no command `{command}`").into()),
        }
        Ok("ok".to_owned())
    }

    fn read(&self) -> Text {
        Text::read(&self.document, ENTITY, FIELD)
    }

    /// Writes by the text that is kept, if there is one.
    fn change(
        &mut self,
        change: impl FnOnce(&mut Text, &mut Edit<'_>) -> Result<()>,
    ) -> Result<String> {
        let mut text = self.text.take();
        let batches = self.write(|edit| text.as_mut().map_or(Ok(()), |text| change(text, edit)))?;
        self.text = text;
        Ok(batches)
    }

    fn write(&mut self, write: impl FnOnce(&mut Edit<'_>) -> Result<()>) -> Result<String> {
        self.now_ms += 1;
        write(&mut self.writer.edit(&mut self.document, self.now_ms))?;
        let batches = std::iter::from_fn(|| self.writer.take_batch());
        let batches: Vec<String> = batches.map(|it| hex(&it.encode(BatchHash::NONE))).collect();
        Ok(batches.join(" "))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2).map(str::from_utf8);
    pairs.map(|pair| Ok(u8::from_str_radix(pair?, 16)?)).collect()
}
