//! `selvedge backup create`: of a running core over its socket, of a stopped one from its folder.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use selvedge_backup::{Backup, Create, Created, KeysIncluded, Stopped, create};
use selvedge_eventlog::OpenError;
use serde_json::json;

use super::{
    PlaceArgs, facts,
    progress::{Teller, Unit},
    running::Running,
    size,
};
use crate::{
    cli::{Format, Outcome},
    core::{DataDir, Operator},
    exit::{Exit, Failure, chain},
    terminal::{Terminal, complain},
    token::{CoreOf, Intent},
};

/// Options of `selvedge backup create`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:\n  \
    selvedge backup create /mnt/backups\n  \
    selvedge backup create s3://backups/core-1 --config /etc/selvedge/selvedge.kdl")]
pub(super) struct CreateArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    core: CoreOf,
    /// Which keys of the audit log go along
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    keys: Keys,
    /// Take nothing over from the backup before, and send everything again
    #[arg(long)]
    full: bool,
    /// For whom
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Which keys go along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Keys {
    /// Keys of subjects, which only the master key opens
    #[default]
    Wrapped,
    /// These, the master key, and the key that signs
    All,
    /// None: what is personal in entries can be read no more after a restore
    None,
}

/// A copy of the views, made by SQLite; removed in the end.
struct ViewsCopy {
    folder: PathBuf,
}

/// Makes a backup.
pub(super) async fn run(args: &CreateArgs, terminal: &mut Terminal) -> Outcome {
    let data_dir = args.core.data_dir()?;
    if !data_dir.join(selvedge_backup::LOG).is_dir() {
        let text = format!("{} has no event log: no core ever ran there", data_dir.display());
        return Err(Failure::new(Exit::Unavailable, text));
    }
    let store = args.place.store(true)?;
    let mut teller = Teller::new("backup", Unit::Bytes);
    let created = match Operator::of(&data_dir)?.filter(Running::answers) {
        Some(operator) => {
            let mut running = Running::new(operator, store.name());
            let plan = Plan::new(args, &data_dir)?;
            let created =
                create(&store, &plan.create, &mut running, &mut |far| teller.tell(far)).await?;
            if let Err(error) = running.finished(&created.backup) {
                complain(&format!("warning: the backup is not in the audit log: {error}\n"));
            }
            created
        }
        None => {
            let _lock = DataDir::open(&data_dir)?;
            let mut stopped = Stopped::open(&data_dir).map_err(|error| unopened(&error))?;
            let plan = Plan::new(args, &data_dir)?;
            let to: String = store.name().chars().take(DESTINATION_CHARS_MAX).collect();
            leave_word(&data_dir, ("backup.begin", ""), json!({ "destination": to }));
            let created =
                create(&store, &plan.create, &mut stopped, &mut |far| teller.tell(far)).await?;
            let Backup { name, manifest } = &created.backup;
            let details = json!({
                "destination": to,
                "objects": manifest.new_objects,
                "bytes": manifest.new_bytes,
            });
            leave_word(&data_dir, ("backup.create", name), details);
            created
        }
    };
    drop(teller);
    terminal.write(&match args.format {
        Format::Text => text(&created),
        Format::Json => format!("{}\n", json_of(&created)),
    })?;
    let is_whole = created.backup.manifest.damaged.is_empty();
    Ok(if is_whole { Exit::Success } else { Exit::Data })
}

/// How much of a destination's name an entry has.
const DESTINATION_CHARS_MAX: usize = 128;

/// Has the next core tell what is done while none runs. Who owns the files could copy them without us: so it is a warning if
/// that cannot be.
fn leave_word(data_dir: &Path, deed: (&str, &str), details: serde_json::Value) {
    let serde_json::Value::Object(details) = details else { return };
    if let Err(error) = Intent::leave(data_dir, deed, details) {
        complain(&format!("warning: the audit log will not have it (`{}`): {error}\n", deed.0));
    }
}

/// What is to be done, and what lies there for it in the meantime.
struct Plan {
    create: Create,
    _views: Option<ViewsCopy>,
}

impl Plan {
    fn new(args: &CreateArgs, data_dir: &Path) -> Result<Self, Failure> {
        let keys = match args.keys {
            Keys::Wrapped => KeysIncluded::Wrapped,
            Keys::All => KeysIncluded::All,
            Keys::None => KeysIncluded::None,
        };
        let views = ViewsCopy::make(data_dir)?;
        let extra = views.iter().map(|copy| (selvedge_jobs::FILE.to_owned(), copy.file()));
        let extra = extra.collect();
        let create = Create { extra, keys, full: args.full, ..Create::of(data_dir) };
        Ok(Self { create, _views: views })
    }
}

impl ViewsCopy {
    /// Copies the views as they are at one moment, if there are any.
    fn make(data_dir: &Path) -> Result<Option<Self>, Failure> {
        let from = data_dir.join(selvedge_jobs::FILE);
        if !from.is_file() {
            return Ok(None);
        }
        let run = data_dir.join("run");
        sweep(&run)?;
        let copy = Self { folder: run.join(format!("{COPY}{}", std::process::id())) };
        fs::create_dir_all(&copy.folder)?;
        let copied = selvedge_jobs::copy(&from, &copy.file());
        copied.map_err(|error| {
            let text = format!("{} cannot be copied: {error}", from.display());
            Failure::new(Exit::Failure, text)
        })?;
        Ok(Some(copy))
    }

    fn file(&self) -> PathBuf {
        self.folder.join(selvedge_jobs::FILE)
    }
}

impl Drop for ViewsCopy {
    fn drop(&mut self) {
        // What stays is found by the next backup.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

const COPY: &str = "backup-";

/// Removes copies that processes left which were killed.
fn sweep(run: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(run) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(COPY).and_then(|id| id.parse::<u32>().ok());
        if process.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn unopened(error: &OpenError) -> Failure {
    let exit = match error {
        OpenError::Damaged { .. } | OpenError::Version { .. } => Exit::Data,
        _ => Exit::Unavailable,
    };
    Failure::new(exit, format!("the log cannot be opened: {}", chain(error)))
}

fn text(created: &Created) -> String {
    let Created { backup, left_out, broken, apart } = created;
    let manifest = &backup.manifest;
    let mut text = format!(
        "{}: {} files, {}; new: {} objects, {}\n",
        backup.name,
        manifest.files(),
        size(manifest.bytes()),
        manifest.new_objects,
        size(manifest.new_bytes),
    );
    let mut add = |line: String| writeln!(text, "{line}").expect("a String takes every write");
    for damage in &manifest.damaged {
        let (path, at) = (&damage.path, damage.at);
        add(format!("error: {path} is damaged from byte {at} on; it is in the backup as it is"));
    }
    if let Some(reason) = broken {
        add(format!("warning: {reason}; this backup takes nothing over"));
    }
    for name in left_out {
        add(format!("warning: not in the backup, as nobody knows it: {name}"));
    }
    if !apart.is_empty() {
        add(format!("kept apart, keep copies elsewhere: {}", apart.join(", ")));
    }
    text
}

fn json_of(created: &Created) -> serde_json::Value {
    let Created { backup, left_out, broken, apart } = created;
    let damaged = backup.manifest.damaged.iter();
    let damaged = damaged.map(|it| json!({ "path": it.path, "at": it.at }));
    let more = json!({
        "damaged": damaged.collect::<Vec<_>>(),
        "broken": broken,
        "left_out": left_out,
        "apart": apart,
    });
    facts(backup, more)
}
