//! The command line: what can be asked for, and who answers.

use std::{io, panic, process::ExitCode, sync::LazyLock};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use clap_complete::{Shell, generate};

use crate::{
    agent::{self, AgentArgs},
    agents::{self, AgentsArgs},
    audit::{self, AuditArgs},
    backup::{self, BackupArgs},
    bounds::{self, BoundsArgs},
    check::{self, CheckArgs},
    confine::{self, ConfineArgs},
    core::{self, CoreArgs},
    diff::{self, DiffArgs},
    doc::{self, DocArgs},
    edge::{self, EdgeArgs},
    exit::{Exit, Failure},
    explain::{self, ExplainArgs},
    init::{self, InitArgs},
    reload::{self, ReloadArgs},
    sync::{self, SyncArgs},
    terminal::{Terminal, complain},
    token::{self, TokenArgs},
    up::{self, UpArgs},
    waf::{self, WafArgs},
};

/// What a command came to.
pub(crate) type Outcome = Result<Exit, Failure>;

/// The version, with the commit where the build knew it.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("SELVEDGE_COMMIT") {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    }
});

/// A reverse proxy that says what it does and refuses a config it does not wholly understand
#[derive(Debug, Parser)]
#[command(name = "selvedge", version = VERSION.as_str(), max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 config wrong, 3 config has warnings that were denied,\n\
    64 command line wrong, 65 stored data damaged, 69 something needed is not there (a free port), 70 a bug."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything; without a config, show a demonstration on this machine
    Up(UpArgs),
    /// Run the edge alone, in the foreground
    Edge(EdgeArgs),
    /// Run the core alone, in the foreground
    Core(CoreArgs),
    /// Run one of Selvedge's own agents; the edge starts those that its config names by itself
    Agent(AgentArgs),
    /// Say everything that is wrong with a config
    Check(CheckArgs),
    /// Tell which route a request takes and why, or what a code such as E0123 means
    Explain(ExplainArgs),
    /// List every bound, its value, where it comes from and what happens there
    Bounds(BoundsArgs),
    /// Tell what changes from one config to another
    Diff(DiffArgs),
    /// Write a first config and a page to serve
    Init(InitArgs),
    /// Have the running edge read its config again, and tell what came of it
    Reload(ReloadArgs),
    /// Tell how the running edge's agents are: calls, verdicts, latency, restarts, breakers
    Agents(AgentsArgs),
    /// Make, list and revoke the tokens that services come to the core with
    Token(TokenArgs),
    /// Look at the firewall's rules, and try them on recorded requests
    Waf(WafArgs),
    /// Look into the audit log, verify it, and prove what is in it
    Audit(AuditArgs),
    /// Back up a core's data, and put it back
    Backup(BackupArgs),
    /// Keep documents on this machine: read and change them offline, sync them with a relay
    Doc(DocArgs),
    /// Tokens for devices, and what a relay has of a document
    Sync(SyncArgs),
    /// Become another program under restrictions; the edge starts agents so
    #[command(hide = true)]
    Confine(ConfineArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// Options of `selvedge completions`.
#[derive(Args, Debug)]
struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

/// For whom something is printed: people or programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

/// Does what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error).into(),
    };
    let exit = panic::catch_unwind(|| obey(&cli.command)).unwrap_or_else(|_| {
        complain(
            "error: this is a mistake in selvedge itself; please report it with the lines above\n",
        );
        Exit::Bug
    });
    exit.into()
}

/// Help and version are asked for, anything else is a mistake.
fn refuse(error: &clap::Error) -> Exit {
    let is_wanted = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // A terminal that has gone needs no help.
    let _ = error.print();
    if is_wanted { Exit::Success } else { Exit::Usage }
}

fn obey(command: &Command) -> Exit {
    let mut terminal = Terminal::new();
    let outcome = match command {
        Command::Up(args) => up::run(args, &mut terminal),
        Command::Edge(args) => edge::run(args),
        Command::Core(args) => core::run(args),
        Command::Agent(args) => agent::run(args),
        Command::Check(args) => check::run(args, &mut terminal),
        Command::Explain(args) => explain::run(args, &mut terminal),
        Command::Bounds(args) => bounds::run(args, &mut terminal),
        Command::Diff(args) => diff::run(args, &mut terminal),
        Command::Init(args) => init::run(args, &mut terminal),
        Command::Reload(args) => reload::run(args, &mut terminal),
        Command::Agents(args) => agents::run(args, &mut terminal),
        Command::Token(args) => token::run(args, &mut terminal),
        Command::Waf(args) => waf::run(args, &mut terminal),
        Command::Audit(args) => audit::run(args, &mut terminal),
        Command::Backup(args) => backup::run(args, &mut terminal),
        Command::Doc(args) => doc::run(args, &mut terminal),
        Command::Sync(args) => sync::run(args, &mut terminal),
        Command::Confine(args) => confine::run(args),
        Command::Completions(args) => complete(args, &mut terminal),
    };
    let flushed = terminal.flush();
    match outcome.and_then(|exit| Ok(flushed.map(|()| exit)?)) {
        Ok(exit) => exit,
        Err(Failure { exit, text }) => {
            complain(&text);
            exit
        }
    }
}

fn complete(args: &CompletionsArgs, terminal: &mut Terminal) -> Outcome {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "selvedge", &mut script);
    terminal.write(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}
