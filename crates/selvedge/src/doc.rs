//! `selvedge doc`: documents on this machine, from the command line.

pub(crate) mod as_json;
mod assignment;
mod desk;
mod dial;
mod exchange;
mod leader;
mod members;
mod place;
mod request;
mod standing;
mod watch;

use std::{
    fs::Permissions,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use selvedge_base::parse_duration;
use serde_json::{Value as Json, json};

use self::{
    assignment::Assignment,
    desk::Waits,
    exchange::Exchange,
    members::{InviteArgs, JoinArgs, MembersArgs},
    request::Request,
    standing::Standing,
};
pub(crate) use self::{
    desk::{Desk, run as block_on},
    dial::Relay,
    place::{Place, document},
};
use crate::{
    cli::Outcome,
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// Options of `selvedge doc`.
#[derive(Args, Debug)]
pub(crate) struct DocArgs {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: DocCommand,
}

#[derive(Debug, Subcommand)]
enum DocCommand {
    /// Print the name of this device, which tokens are made for
    Device,
    /// List the documents that are kept here
    List,
    /// Begin to keep a document here, new or from its relay
    Create(CreateArgs),
    /// Print a document, an entity or a field as JSON
    Get(GetArgs),
    /// Change fields of an entity: title=Milk tags+=red tags-=blue counter:votes+=2 text:body=…
    Set(SetArgs),
    /// Delete an entity
    Delete(DeleteArgs),
    /// Print changes as they come, a line of JSON each, until interrupted
    Watch(WatchArgs),
    /// Write a whole document out, as JSON or as its snapshot
    Export(ExportArgs),
    /// Push what was written here, and read what others wrote
    Sync(SyncArgs),
    /// Make a link that brings another device into a document
    Invite(InviteArgs),
    /// Come into a document by a link
    Join(JoinArgs),
    /// Tell who reads an encrypted document, or take a device out
    Members(MembersArgs),
    /// Open a document with another token from now on
    Token(TokenArgs),
    /// Forget a document here; its relay and other devices keep it
    Forget(DocumentArgs),
}

/// Which document.
#[derive(Args, Debug)]
struct DocumentArgs {
    /// NAME, or TENANT:NAME
    document: String,
}

/// Which document, and how long the relay is waited for.
#[derive(Args, Debug)]
struct Reached {
    /// NAME, or TENANT:NAME
    document: String,
    /// Do not ask the relay
    #[arg(long)]
    offline: bool,
    /// How long to wait for the relay
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    wait: Duration,
}

/// Options of `selvedge doc create`.
#[derive(Args, Debug)]
struct CreateArgs {
    /// NAME, or TENANT:NAME
    document: String,
    /// Where its relay is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    relay: String,
    /// The token for this device, of `selvedge sync token`
    #[arg(long, env = "SELVEDGE_DOC_TOKEN", hide_env_values = true, default_value = "")]
    token: String,
    /// Encrypt it end to end; this device founds it
    #[arg(long)]
    encrypted: bool,
    /// Have the relay give this device the token, where it opens names to devices; a DOCUMENT that ends in `/` gets a random
    /// last part, and its name is printed
    #[arg(long, conflicts_with = "token")]
    found: bool,
}

/// Options of `selvedge doc get`.
#[derive(Args, Debug)]
struct GetArgs {
    #[command(flatten)]
    reached: Reached,
    /// An entity; otherwise all
    entity: Option<String>,
    /// A field of it; otherwise all
    field: Option<String>,
    /// Tell of each field who wrote it and when
    #[arg(long)]
    blame: bool,
}

/// Options of `selvedge doc set`.
#[derive(Args, Debug)]
struct SetArgs {
    #[command(flatten)]
    reached: Reached,
    /// An entity, such as note/1; it is made if it is not there
    entity: String,
    /// FIELD=VALUE, FIELD+=ELEMENT, FIELD-=ELEMENT; before it counter:, max:, min:, multi:, grow: or text: for other kinds
    #[arg(required = true)]
    changes: Vec<Assignment>,
}

/// Options of `selvedge doc delete`.
#[derive(Args, Debug)]
struct DeleteArgs {
    #[command(flatten)]
    reached: Reached,
    /// The entity
    entity: String,
}

/// Options of `selvedge doc watch`.
#[derive(Args, Debug)]
struct WatchArgs {
    /// NAME, or TENANT:NAME
    document: String,
    /// Entities whose ids begin so
    #[arg(long, default_value = "")]
    prefix: String,
}

/// Options of `selvedge doc export`.
#[derive(Args, Debug)]
struct ExportArgs {
    #[command(flatten)]
    reached: Reached,
    /// As what
    #[arg(long, value_enum, default_value_t)]
    format: ExportFormat,
    /// Into which file; otherwise standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// What people and programs read
    #[default]
    Json,
    /// The bytes of docs/reference/crdt-format.md
    Snapshot,
}

/// Options of `selvedge doc sync`.
#[derive(Args, Debug)]
struct SyncArgs {
    /// NAME, or TENANT:NAME
    document: String,
    /// How long to wait for the relay
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    wait: Duration,
}

/// Options of `selvedge doc token`.
#[derive(Args, Debug)]
struct TokenArgs {
    /// NAME, or TENANT:NAME
    document: String,
    /// The token, of `selvedge sync token`
    #[arg(env = "SELVEDGE_DOC_TOKEN", hide_env_values = true)]
    token: String,
    /// Where its relay is, if that is another now
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
}

/// Does what was asked.
pub(crate) fn run(args: &DocArgs, terminal: &mut Terminal) -> Outcome {
    let desk = Desk::open(&args.place)?;
    match &args.command {
        DocCommand::Device => terminal.write(&format!("{}\n", desk.device().id()))?,
        DocCommand::List => list(&desk, terminal)?,
        DocCommand::Create(args) if args.found => found(args, &desk, terminal)?,
        DocCommand::Create(args) => {
            let document = document(&args.document)?;
            desk.create(&document, (&args.relay, &args.token), args.encrypted)?;
        }
        DocCommand::Get(args) => {
            let request = Request::Get {
                entity: args.entity.clone(),
                field: args.field.clone(),
                blame: args.blame,
            };
            print(&args.reached, &desk, request, terminal)?;
        }
        DocCommand::Set(args) => {
            let changes = args.changes.iter().map(|change| change.to_string()).collect();
            write(&args.reached, &desk, Request::Set { entity: args.entity.clone(), changes })?;
        }
        DocCommand::Delete(args) => {
            write(&args.reached, &desk, Request::Delete { entity: args.entity.clone() })?;
        }
        DocCommand::Watch(args) => {
            watch::follow(&desk, &document(&args.document)?, &args.prefix, terminal)?;
        }
        DocCommand::Export(args) => export(args, &desk, terminal)?,
        DocCommand::Sync(args) => {
            let waits = Waits::needed(args.wait);
            let answer = desk.perform(&document(&args.document)?, &Request::Sync, waits)?;
            let standing = standing_of(answer)?;
            terminal.write(&format!("{}\n", standing.shown()))?;
            if let Some(why) = standing.unread {
                return Err(Failure::new(Exit::Failure, why));
            }
        }
        DocCommand::Invite(args) => members::invite(args, &desk, terminal)?,
        DocCommand::Join(args) => members::join(args, &desk)?,
        DocCommand::Members(args) => members::members(args, &desk, terminal)?,
        DocCommand::Token(args) => {
            let document = document(&args.document)?;
            desk.reach(&document, args.relay.as_deref(), &args.token)?;
        }
        DocCommand::Forget(args) => desk.forget(&document(&args.document)?)?,
    }
    Ok(Exit::Success)
}

/// Founds a document at its relay: its name is its address, and whoever does not know it does not find it.
fn found(args: &CreateArgs, desk: &Desk, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut name = args.document.clone();
    if name.ends_with('/') {
        name += &data_encoding::BASE64URL_NOPAD.encode(&desk::random::<16>()?);
    }
    let document = document(&name)?;
    desk.has_not(&document)?;
    let wanted = json!({ "tenant": document.tenant(), "document": document.name() });
    let mut exchange = Exchange::with(&args.relay, desk.device())?;
    let token = block_on(exchange.token("found", &wanted))?;
    desk.create(&document, (&args.relay, &token), args.encrypted)?;
    Ok(terminal.write(&format!("{name}\n"))?)
}

fn list(desk: &Desk, terminal: &mut Terminal) -> Result<(), Failure> {
    for document in desk.documents()? {
        terminal.write(&format!("{}:{}\n", document.tenant(), document.name()))?;
    }
    Ok(())
}

fn print(
    reached: &Reached,
    desk: &Desk,
    request: Request,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let answer = desk.perform(&document(&reached.document)?, &request, reached.waits())?;
    Ok(terminal.write(&format!("{answer:#}\n"))?)
}

/// What is written is durable here; that the relay does not have it yet is said, and no failure.
fn write(reached: &Reached, desk: &Desk, request: Request) -> Result<(), Failure> {
    let answer = desk.perform(&document(&reached.document)?, &request, reached.waits())?;
    let Standing { waiting, trouble, .. } = standing_of(answer)?;
    if waiting > 0 {
        let why = trouble.as_deref().unwrap_or("it has not answered yet");
        crate::terminal::complain(&format!(
            "kept here; {waiting} changes wait for the relay: {why}\nhelp: `selvedge doc sync {}` sends them\n",
            reached.document
        ));
    }
    Ok(())
}

fn standing_of(answer: Json) -> Result<Standing, Failure> {
    serde_json::from_value(answer).map_err(|error| Failure::new(Exit::Bug, error))
}

fn export(args: &ExportArgs, desk: &Desk, terminal: &mut Terminal) -> Result<(), Failure> {
    let document = document(&args.reached.document)?;
    let request = match args.format {
        ExportFormat::Json => Request::Get { entity: None, field: None, blame: false },
        ExportFormat::Snapshot => Request::Snapshot,
    };
    let answer = desk.perform(&document, &request, args.reached.waits())?;
    let bytes = match (&args.format, answer.as_str()) {
        (ExportFormat::Snapshot, Some(hex)) => request::bytes(hex)?,
        _ => format!("{:#}\n", json!(answer)).into_bytes(),
    };
    match &args.output {
        Some(path) => replace(path, &bytes)
            .map_err(|error| Failure::new(Exit::Failure, format!("{}: {error}", path.display()))),
        None => Ok(terminal.write_bytes(&bytes)?),
    }
}

/// Writes a file whole, or leaves the one that is there.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return std::fs::write(path, bytes);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".selvedge-export-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

impl Reached {
    fn waits(&self) -> Waits {
        if self.offline { Waits::not_at_all() } else { Waits::up_to(self.wait) }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|_| "write it like 5s or 2m".to_owned())
}
