//! `selvedge audit tail` and `search`: entries for people, or as JSON lines.

use std::io::ErrorKind;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use selvedge_audit::{
    checkpoint::Checkpoint,
    home::HomeError,
    integrate::CHECKPOINT,
    keys::KeyStore,
    note::Note,
    query::{Found, revealed},
};
use serde_json::{Value, json};

use super::{
    place::{Files, PlaceArgs, QueryArgs, unreadable},
    remote::Remote,
};
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
    /// Open what is sealed, where its key is still there; a core that runs is asked, and logs it
    #[arg(long)]
    reveal: bool,
    /// For whom
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Prints the newest entries.
pub(super) fn tail(args: &TailArgs, terminal: &mut Terminal) -> Outcome {
    let (place, query, shown) = (&args.place, &args.query, &args.shown);
    let keys = match shown.reveal(place)? {
        Revealed::ByCore(core) => {
            let more = [("newest", "true".to_owned()), ("limit", args.lines.to_string())];
            let page = core.json(&asked(query, more))?;
            return shown.print(entries(&page), terminal);
        }
        Revealed::ByKeys(keys) => Some(keys),
        Revealed::No => None,
    };
    let files = place.files()?;
    let found = files.tail(size(&files)?, &query.query()?, args.lines).map_err(unreadable)?;
    let found = found.iter().map(|found| (found.index, value(found, keys.as_deref())));
    shown.print(found, terminal)
}

/// Prints all entries that fit.
pub(super) fn search(args: &SearchArgs, terminal: &mut Terminal) -> Outcome {
    let (place, query, shown) = (&args.place, &args.query, &args.shown);
    let keys = match shown.reveal(place)? {
        Revealed::ByCore(core) => return search_there(args, &core, terminal),
        Revealed::ByKeys(keys) => Some(keys),
        Revealed::No => None,
    };
    let files = place.files()?;
    let (mut left, mut written) = (args.max, Ok(Exit::Success));
    files
        .search(size(&files)?, &query.query()?, |found| {
            if left > 0 && written.is_ok() {
                let one = (found.index, value(&found, keys.as_deref()));
                written = shown.print([one], terminal);
            }
            left = left.saturating_sub(1);
            left > 0 && written.is_ok()
        })
        .map_err(unreadable)?;
    written
}

/// Has the core search, page by page.
fn search_there(args: &SearchArgs, core: &Remote, terminal: &mut Terminal) -> Outcome {
    let (mut left, mut from) = (args.max, Some(0));
    while let Some(begin) = from.filter(|_| left > 0) {
        let more = [("from", begin.to_string()), ("limit", left.to_string())];
        let page = core.json(&asked(&args.query, more))?;
        args.shown.print(entries(&page), terminal)?;
        left = left.saturating_sub(entries(&page).count());
        // A page that does not lead on is the last one.
        from = page["next"].as_u64().filter(|next| *next > begin);
    }
    Ok(Exit::Success)
}

/// Who opens what is sealed.
enum Revealed {
    No,
    ByKeys(Box<KeyStore>),
    ByCore(Box<Remote>),
}

impl ShownArgs {
    /// A core that runs has the keys for itself, and is asked.
    fn reveal(&self, place: &PlaceArgs) -> Result<Revealed, Failure> {
        if !self.reveal {
            return Ok(Revealed::No);
        }
        if place.is_remote() {
            return Ok(Revealed::ByCore(Box::new(place.core()?)));
        }
        match place.home().open_keys() {
            Ok(keys) => Ok(Revealed::ByKeys(Box::new(keys))),
            Err(HomeError::Folder { source, .. }) if source.kind() == ErrorKind::WouldBlock => {
                Ok(Revealed::ByCore(Box::new(place.core()?)))
            }
            Err(error) => Err(Failure::chain(Exit::Unavailable, &error)),
        }
    }

    fn print(
        &self,
        found: impl IntoIterator<Item = (u64, Value)>,
        terminal: &mut Terminal,
    ) -> Outcome {
        for (index, entry) in found {
            terminal.write(&match self.format {
                Format::Json => format!("{}\n", json!({ "index": index, "entry": entry })),
                Format::Text => line(index, &entry),
            })?;
        }
        Ok(Exit::Success)
    }
}

/// How many entries the head says there are. Looking proves nothing, and needs no key.
pub(super) fn size(files: &Files) -> Result<u64, Failure> {
    let bytes = files.file(CHECKPOINT).map_err(unreadable)?;
    let note = Note::parse(&bytes).map_err(unreadable)?;
    Ok(Checkpoint::parse(note.text()).map_err(unreadable)?.size)
}

/// The question for a page with what is sealed opened.
fn asked(query: &QueryArgs, more: [(&'static str, String); 2]) -> String {
    let pairs = query.pairs().into_iter().chain(more);
    let pairs = pairs.chain([("reveal", "true".to_owned())]);
    let written = pairs
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC)));
    format!("/entries?{}", written.collect::<Vec<_>>().join("&"))
}

fn entries(page: &Value) -> impl Iterator<Item = (u64, Value)> {
    let entries = page["entries"].as_array().into_iter().flatten();
    entries.filter_map(|one| Some((one["index"].as_u64()?, one["entry"].clone())))
}

fn value(found: &Found, keys: Option<&KeyStore>) -> Value {
    match keys {
        Some(keys) => revealed(found, keys),
        None => serde_json::from_slice(&found.bytes).unwrap_or_default(),
    }
}

/// `7  TIME  done  user 3f…  config.reload  config/main  (E0123)`
fn line(index: u64, entry: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (who, resource) = (&entry["who"], &entry["resource"]);
    let name = ["name", "id", "subject"].into_iter().find_map(|name| who[name].as_str());
    let (time, outcome) = (text(&entry["time"]), text(&entry["outcome"]));
    let mut line = format!("{index:>8}  {time}  {outcome:<6}  {}", text(&who["kind"]));
    for part in [name.unwrap_or_default().to_owned(), format!(" {}", text(&entry["action"]))] {
        line.push(' ');
        line.push_str(&printable(&part));
    }
    let on = format!("  {}/{}", text(&resource["kind"]), text(&resource["id"]));
    line.push_str(&printable(&on));
    if let Some(reason) = entry["reason"].as_str() {
        line.push_str(&printable(&format!("  ({reason})")));
    }
    line.push('\n');
    line
}

/// Names may be a client's, and must not speak to the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
