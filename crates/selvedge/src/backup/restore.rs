//! `selvedge backup restore`: into a folder beside what is there, proven, and then into its place.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use selvedge_audit::{home::Home, keys, note::VerifierKey};
use selvedge_backup::{Proven, Restored, Trusted, restore};
use serde_json::{Value, json};

use super::{
    PlaceArgs,
    progress::{Teller, Unit},
    size,
};
use crate::{
    cli::{Format, Outcome},
    core::DataDir,
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// Options of `selvedge backup restore`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:\n  \
    selvedge backup restore /mnt/backups /var/lib/selvedge\n  \
    selvedge backup restore s3://backups/core-1 ./data --backup 20261122T001530.123Z-5ba6c57f8c5f7a9e")]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The data-dir to fill
    #[arg(value_name = "DATA-DIR")]
    data_dir: PathBuf,
    /// Which backup; the newest, if nothing is said
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,
    /// Move what is in the data-dir to `replaced-…` within it; keys and tokens that are newer there stay
    #[arg(long)]
    replace: bool,
    /// The audit log's public key, or a file with it; otherwise that of the backup is believed
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A `checkpoint` of the audit log that was seen later; may be repeated
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,
    /// Take it even if the audit log does not prove right
    #[arg(long)]
    accept_faults: bool,
    /// For whom
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Where a restore puts what is not proven yet.
const STAGING: &str = "restoring";
const REPLACED: &str = "replaced-";
/// What lives as long as a process, and the lock that keeps others away.
const OF_PROCESSES: [&str; 3] = ["core.lock", "run", STAGING];
const LOG: &str = selvedge_backup::LOG;
const KEYS: &str = "audit-keys/keys";
/// What only counts in its newest state; that on the machine is newer than any backup's.
const NEWEST: [&str; 7] = [
    KEYS,
    "audit-keys/master.key",
    "audit-keys/signing.key",
    "audit-keys/witness.key",
    "audit-witness.vkey",
    "tokens",
    "tokens.used",
];
/// What the witness here cosigned; no backup has it, as it may never be older than the witness.
const WITNESSED: &str = "audit-witness";

/// Restores.
pub(super) async fn run(args: &RestoreArgs, terminal: &mut Terminal) -> Outcome {
    let (store, trusted) = (args.place.store(false)?, args.trusted()?);
    let site = Site::enter(&args.data_dir, args.replace)?;
    let mut teller = Teller::new("restore", Unit::Bytes);
    let name = args.backup.as_deref();
    let staging = site.staging()?;
    let restored = restore(&store, name, &staging, &trusted, &mut |far| teller.tell(far)).await;
    drop(teller);
    let mut restored = restored.inspect_err(|_| {
        // What is half there helps nobody; an error of removing it is the smaller one.
        let _ = fs::remove_dir_all(&staging);
    })?;
    let is_proven = restored.audit.as_ref().is_none_or(|audit| audit.faults.is_empty());
    if !is_proven && !args.accept_faults {
        return Err(unproven(&restored, &staging));
    }
    let replaced = site.replace(&mut restored)?;
    terminal.write(&match args.format {
        Format::Text => text(&restored, &args.data_dir, replaced.as_deref()),
        Format::Json => format!("{}\n", json_of(&restored, replaced.as_deref())),
    })?;
    Ok(if is_proven { Exit::Success } else { Exit::Data })
}

impl RestoreArgs {
    fn trusted(&self) -> Result<Trusted, Failure> {
        let heads: io::Result<Vec<Vec<u8>>> = self.head.iter().map(fs::read).collect();
        let key = self.key.as_deref().map(public_key).transpose()?;
        Ok(Trusted { key, heads: heads? })
    }
}

fn public_key(text: &str) -> Result<VerifierKey, Failure> {
    let path = Path::new(text);
    let written = if path.is_file() { fs::read_to_string(path)? } else { text.to_owned() };
    let key: Result<VerifierKey, _> = written.trim().parse();
    key.map_err(|error| Failure::new(Exit::Usage, format!("--key {text}: {error}")))
}

/// A data-dir that no core has, to be filled.
struct Site {
    data_dir: PathBuf,
    /// What is in the way.
    found: Vec<String>,
    _lock: DataDir,
}

impl Site {
    fn enter(data_dir: &Path, replace: bool) -> Result<Self, Failure> {
        // Looked at first: a folder that is refused stays as it is.
        let found = found(data_dir)?;
        if !found.is_empty() && !replace {
            let text = format!(
                "{} is not empty ({}); --replace moves what is there to a folder `{REPLACED}…` in it",
                data_dir.display(),
                found.join(", ")
            );
            return Err(Failure::new(Exit::Failure, text));
        }
        let lock = DataDir::open(data_dir)?;
        Ok(Self { data_dir: data_dir.to_owned(), found, _lock: lock })
    }

    /// An empty folder in the data-dir, on the same disk. What an earlier attempt left there goes.
    fn staging(&self) -> Result<PathBuf, Failure> {
        let staging = self.data_dir.join(STAGING);
        if staging.exists() {
            fs::remove_dir_all(&staging)?;
        }
        fs::create_dir(&staging)?;
        Ok(staging)
    }

    /// Moves what is there out of the way, and what was restored into its place, the log last: without it, a core
    /// does not take the rest for whole.
    fn replace(&self, restored: &mut Restored) -> Result<Option<PathBuf>, Failure> {
        let staging = self.data_dir.join(STAGING);
        let replaced = self.move_away()?;
        if let Some(replaced) = &replaced {
            keep_newest(replaced, &staging)?;
            restored.missing.retain(|name| !staging.join(name).is_file());
        }
        let mut names = names(&staging)?;
        names.sort_by_key(|name| name == LOG);
        for name in names {
            fs::rename(staging.join(&name), self.data_dir.join(&name))?;
        }
        fs::remove_dir(&staging)?;
        fs::File::open(&self.data_dir)?.sync_all()?;
        Ok(replaced)
    }

    fn move_away(&self) -> Result<Option<PathBuf>, Failure> {
        if self.found.is_empty() {
            return Ok(None);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let replaced = self.data_dir.join(format!("{REPLACED}{}", now.as_millis()));
        fs::create_dir(&replaced)?;
        for name in &self.found {
            fs::rename(self.data_dir.join(name), replaced.join(name))?;
        }
        Ok(Some(replaced))
    }
}

/// What is in a data-dir, but for what belongs to processes and what was replaced before.
fn found(data_dir: &Path) -> Result<Vec<String>, Failure> {
    let mut found = names(data_dir)?;
    found.retain(|name| !OF_PROCESSES.contains(&name.as_str()) && !name.starts_with(REPLACED));
    Ok(found)
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let mut names: Vec<String> = entries.map(name).collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

/// Takes over keys and tokens of the data-dir that is replaced, if it was the same core's: somebody may
/// have been erased there, or a token revoked, since the last backup.
fn keep_newest(replaced: &Path, staging: &Path) -> Result<(), Failure> {
    let public = |data_dir: &Path| fs::read(Home::new(data_dir).public_key()).ok();
    let is_same_core = public(replaced).is_some_and(|key| Some(key) == public(staging));
    if !is_same_core {
        return Ok(());
    }
    let witnessed = names(&replaced.join(WITNESSED))?.into_iter();
    let witnessed = witnessed.map(|name| format!("{WITNESSED}/{name}"));
    for name in NEWEST.map(str::to_owned).into_iter().chain(witnessed) {
        let from = replaced.join(&name);
        let Ok(bytes) = fs::read(&from) else { continue };
        if name == KEYS && !keys::is_whole(&bytes) {
            continue;
        }
        let to = staging.join(&name);
        fs::create_dir_all(to.parent().unwrap_or(staging))?;
        fs::copy(&from, &to)?;
        fs::File::open(&to)?.sync_all()?;
    }
    Ok(())
}

fn unproven(restored: &Restored, staging: &Path) -> Failure {
    let faults = restored.audit.iter().flat_map(|audit| &audit.faults);
    let faults: String = faults.map(|fault| format!("\n  {fault}")).collect();
    let text = format!(
        "the audit log of backup {} does not prove right:{faults}\n\
         help: the files are in {}; --accept-faults puts them in place all the same",
        restored.backup.name,
        staging.display()
    );
    Failure::new(Exit::Data, text)
}

fn text(restored: &Restored, data_dir: &Path, replaced: Option<&Path>) -> String {
    let manifest = &restored.backup.manifest;
    let mut text = format!(
        "{}: {} files, {} in {}\n",
        restored.backup.name,
        manifest.files(),
        size(manifest.bytes()),
        data_dir.display()
    );
    let mut add = |line: String| writeln!(text, "{line}").expect("a String takes every write");
    if let Some(audit) = &restored.audit {
        told(audit).into_iter().for_each(&mut add);
    }
    for damage in &manifest.damaged {
        let (path, at) = (&damage.path, damage.at);
        add(format!("warning: {path} was damaged from byte {at} on when it was backed up"));
    }
    if restored.destroyed > 0 {
        add(format!("keys of {} erased subjects were destroyed once more", restored.destroyed));
    }
    if !restored.missing.is_empty() {
        let missing = restored.missing.join(", ");
        add(format!(
            "warning: put these back from where you keep them, before a core starts: {missing}"
        ));
    }
    if let Some(replaced) = replaced {
        add(format!("what was there lies in {}", replaced.display()));
    }
    text
}

fn told(audit: &Proven) -> Vec<String> {
    let Proven { size, entries, behind, faults, signed_later } = audit;
    let mut lines: Vec<String> = faults.iter().map(|fault| format!("error: {fault}")).collect();
    let state = if faults.is_empty() { "proven" } else { "NOT proven" };
    lines.push(format!(
        "audit log {state}: {entries} entries under a head of {size}, {behind} behind it"
    ));
    if let Some(later) = signed_later {
        lines.push(format!(
            "warning: a head of {later} entries was signed later, so the core will sign nothing here: two \
             histories of one log are what it exists to rule out\n\
             help: restore a newer backup; or begin another audit log: move `audit` and `audit-keys` away, and \
             give it another `origin`"
        ));
    }
    lines
}

fn json_of(restored: &Restored, replaced: Option<&Path>) -> Value {
    let audit = restored.audit.as_ref().map(|audit| {
        json!({
            "size": audit.size,
            "entries": audit.entries,
            "behind": audit.behind,
            "faults": audit.faults,
            "signed_later": audit.signed_later,
        })
    });
    let manifest = &restored.backup.manifest;
    json!({
        "name": restored.backup.name,
        "files": manifest.files(),
        "bytes": manifest.bytes(),
        "audit": audit,
        "destroyed": restored.destroyed,
        "missing": restored.missing,
        "replaced": replaced.map(|path| path.display().to_string()),
    })
}
