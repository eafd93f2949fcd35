//! `selvedge up`: every role as a child of one process, and a demonstration for those who have no
//! config yet.

mod backoff;
mod demo;
mod echo;
mod supervisor;
mod ward;

use std::path::{Path, PathBuf};

use clap::Args;

use self::{demo::Demo, supervisor::Supervisor};
use crate::{cli::Outcome, edge::signals::Signals, terminal::Terminal};

/// Options of `selvedge up`.
#[derive(Args, Debug)]
pub(crate) struct UpArgs {
    /// Config file; without it ./selvedge.kdl, and without that a demonstration
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What the demonstration serves; without it the notes app, if it was built
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    site: Option<PathBuf>,
}

/// What is run when nothing else is named.
const USUAL: &str = "selvedge.kdl";

/// Runs all roles until told to stop.
pub(crate) fn run(args: &UpArgs, terminal: &mut Terminal) -> Outcome {
    let usual = || Path::new(USUAL).exists().then(|| PathBuf::from(USUAL));
    let config = args.config.clone().or_else(|| if args.site.is_none() { usual() } else { None });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        match config {
            Some(config) => Supervisor::new(&config, false)?.run(&mut signals, |_| Ok(())).await,
            None => show(args.site.as_deref(), &mut signals, terminal).await,
        }
    })
}

async fn show(site: Option<&Path>, signals: &mut Signals, terminal: &mut Terminal) -> Outcome {
    let demo = Demo::prepare(site).await?;
    let mut supervisor = Supervisor::new(&demo.config(), true)?;
    let announce = |reachable: &_| {
        terminal.write(&demo.banner(reachable, terminal.paint))?;
        terminal.flush()
    };
    supervisor.run(signals, announce).await
}
