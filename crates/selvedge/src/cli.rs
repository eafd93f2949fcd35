//! The command line: what can be asked for, and who answers.

use std::{io, panic, process::ExitCode, sync::LazyLock};

use clap::{Parser, Subcommand, ValueEnum, error::ErrorKind};

use crate::{
    check::{self, CheckArgs},
    edge::{self, EdgeArgs},
    exit::{Exit, Failure},
    terminal::{Terminal, complain},
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
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the edge in the foreground
    Edge(EdgeArgs),
    /// Say everything that is wrong with a config
    Check(CheckArgs),
}

/// For whom something is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Does what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error).into(),
    };
    panic::catch_unwind(|| obey(&cli.command)).unwrap_or(Exit::Bug).into()
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
        Command::Edge(args) => edge::run(args),
        Command::Check(args) => check::run(args, &mut terminal),
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

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}
