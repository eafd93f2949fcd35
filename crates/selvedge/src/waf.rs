//! `selvedge waf`: the firewall's rules, looked at and tried without an edge.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use selvedge_waf::policy::Policy;

use crate::{cli::Outcome, terminal::Terminal};

mod bench;
mod check;
mod judge;
mod log;
mod replay;
mod request;
mod rules;
mod shown;
mod suggest;
mod test;
mod traffic;

use bench::BenchArgs;
use check::CheckArgs;
use replay::ReplayArgs;
use rules::Ruleset;
use suggest::SuggestArgs;
use test::TestArgs;

/// Options of `selvedge waf`.
#[derive(Args, Debug)]
pub(crate) struct WafArgs {
    #[command(subcommand)]
    command: WafCommand,
}

#[derive(Debug, Subcommand)]
enum WafCommand {
    /// Say what rules there are, what of them has no effect, and whether they find what they say they find
    Check(CheckArgs),
    /// Tell what the rules say to recorded requests, and on which bytes
    Test(TestArgs),
    /// Tell which recorded requests other rules or another policy would judge otherwise
    Replay(ReplayArgs),
    /// Find the fewest and narrowest exclusions that let legitimate requests pass
    Suggest(SuggestArgs),
    /// Measure what the rules cost for each request
    Bench(BenchArgs),
}

/// Does what was asked.
pub(crate) fn run(args: &WafArgs, terminal: &mut Terminal) -> Outcome {
    match &args.command {
        WafCommand::Check(args) => check::run(args, terminal),
        WafCommand::Test(args) => test::run(args, terminal),
        WafCommand::Replay(args) => replay::run(args, terminal),
        WafCommand::Suggest(args) => suggest::run(args, terminal),
        WafCommand::Bench(args) => bench::run(args, terminal),
    }
}

/// Which rules, and how strict.
#[derive(Args, Debug)]
struct RulesArgs {
    /// A .kdl or .conf file, a folder, or `native`: the rules that come with Selvedge; may be repeated [default: native]
    #[arg(long, value_name = "RULES")]
    rules: Vec<PathBuf>,
    /// Paranoia level, 1 to 4; otherwise as the rules say
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=4))]
    paranoia: Option<u8>,
    /// Points from which a request is refused; otherwise as the rules say, and 25 for native ones
    #[arg(long, value_name = "POINTS", value_parser = clap::value_parser!(u32).range(1..))]
    block_at: Option<u32>,
}

impl RulesArgs {
    fn read(&self) -> Result<Ruleset, crate::exit::Failure> {
        rules::read(&self.rules)
    }

    fn policy(&self) -> Policy {
        Policy { paranoia: self.paranoia, block_at: self.block_at, ..Policy::default() }
    }
}
