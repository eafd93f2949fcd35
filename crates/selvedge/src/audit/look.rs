//! `selvedge audit tail` and `search`: entries for people, or as JSON lines.

use clap::Args;
use selvedge_audit::{
    checkpoint::Checkpoint,
    files::LogFiles,
    integrate::CHECKPOINT,
    keys::KeyStore,
    note::Note,
    query::{Found, revealed},
    store::Folder,
};
use serde_json::{Value, json};

use super::place::{PlaceArgs, QueryArgs, unreadable};
use crate::{
    cli::{Format, Outcome},
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// Options of `selvedge audit tail`.
#[derive(Args, Debug)]
pub(super) struct TailArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    query: QueryArgs,
    #[command(flatten)]
    shown: ShownArgs,
    /// How many
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20)]
    lines: usize,
}

/// Options of `selvedge audit search`.
#[derive(Args, Debug)]
pub(super) struct SearchArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    query: QueryArgs,
    #[command(flatten)]
    shown: ShownArgs,
    /// Stop after so many
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    max: usize,
}

#[derive(Args, Debug)]
struct ShownArgs {
    /// Open what is sealed, where the data folder still has its key
    #[arg(long)]
    reveal: bool,
    /// For whom
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Prints the newest entries.
pub(super) fn tail(args: &TailArgs, terminal: &mut Terminal) -> Outcome {
    let files = args.place.files()?;
    let keys = args.shown.keys(&args.place)?;
    let query = args.query.query()?;
    let found = files.tail(size(&files)?, &query, args.lines).map_err(unreadable)?;
    for found in found {
        terminal.write(&shown(&found, args.shown.format, keys.as_ref()))?;
    }
    Ok(Exit::Success)
}

/// Prints all entries that fit.
pub(super) fn search(args: &SearchArgs, terminal: &mut Terminal) -> Outcome {
    let files = args.place.files()?;
    let keys = args.shown.keys(&args.place)?;
    let (mut left, mut written) = (args.max, Ok(()));
    files
        .search(size(&files)?, &args.query.query()?, |found| {
            if left > 0 && written.is_ok() {
                written = terminal.write(&shown(&found, args.shown.format, keys.as_ref()));
            }
            left = left.saturating_sub(1);
            left > 0 && written.is_ok()
        })
        .map_err(unreadable)?;
    written?;
    Ok(Exit::Success)
}

impl ShownArgs {
    fn keys(&self, place: &PlaceArgs) -> Result<Option<KeyStore>, Failure> {
        let keys = self.reveal.then(|| place.home().open_keys());
        keys.transpose().map_err(|error| Failure::chain(Exit::Unavailable, &error))
    }
}

/// How many entries the head says there are. Looking proves nothing, and needs no key.
fn size(files: &LogFiles<Folder>) -> Result<u64, Failure> {
    let bytes = files.file(CHECKPOINT).map_err(unreadable)?;
    let note = Note::parse(&bytes).map_err(unreadable)?;
    Ok(Checkpoint::parse(note.text()).map_err(unreadable)?.size)
}

fn shown(found: &Found, format: Format, keys: Option<&KeyStore>) -> String {
    let value: Value = match keys {
        Some(keys) => revealed(found, keys),
        None => serde_json::from_slice(&found.bytes).unwrap_or_default(),
    };
    match format {
        Format::Json => format!("{}\n", json!({ "index": found.index, "entry": value })),
        Format::Text => line(found, &value),
    }
}

/// `7  TIME  done  user 3f…  config.reload  config/main  (E0123)`
fn line(found: &Found, value: &Value) -> String {
    let entry = &found.entry;
    let who = value["who"]["name"].as_str().map(str::to_owned);
    let who = who.or_else(|| entry.actor.id.clone());
    let who = who.or_else(|| entry.actor.subject.map(|subject| subject.to_string()));
    let (time, outcome) = (entry.time, entry.outcome.name());
    let (kind, resource) = (entry.actor.kind.name(), &entry.resource);
    let mut line = format!("{:>8}  {time}  {outcome:<6}  {kind}", found.index);
    for part in [who.unwrap_or_default(), format!(" {}", entry.action)] {
        line.push(' ');
        line.push_str(&printable(&part));
    }
    line.push_str(&printable(&format!("  {}/{}", resource.kind, resource.id)));
    if let Some(reason) = &entry.reason {
        line.push_str(&printable(&format!("  ({reason})")));
    }
    line.push('\n');
    line
}

/// Names may be a client's, and must not speak to the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
