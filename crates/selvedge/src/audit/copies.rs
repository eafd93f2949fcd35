//! `selvedge audit prove` and `export`: what can be given to people without the log.

use std::{
    fs,
    io::{BufWriter, Write},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use selvedge_audit::{checkpoint::Opened, files::Prover, query::Found, store::Storage};

use super::place::{PlaceArgs, QueryArgs, TrustArgs, head, unreadable};
use crate::{
    cli::Outcome,
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// Tiles that an export remembers, each of 16 KiB: entries that fit come in order, so that few are asked for again.
const TILES_MAX: usize = 64;

/// Options of `selvedge audit prove`.
#[derive(Args, Debug)]
pub(super) struct ProveArgs {
    /// The entry's number
    #[arg(value_name = "INDEX")]
    index: u64,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// File to write; standard output, if nothing is said
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Options of `selvedge audit export`.
#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    query: QueryArgs,
    /// Folder to write, which must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Stop after so many
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    max: usize,
}

/// Writes the proof of one entry.
pub(super) fn prove(args: &ProveArgs, terminal: &mut Terminal) -> Outcome {
    let proof = args.place.files()?.prove(args.index, &args.trust.trust()?).map_err(unreadable)?;
    match &args.out {
        Some(path) => fs::write(path, proof.to_string())?,
        None => terminal.write(&proof.to_string())?,
    }
    Ok(Exit::Success)
}

/// Writes entries and their proofs into a folder.
pub(super) fn export(args: &ExportArgs, terminal: &mut Terminal) -> Outcome {
    let (files, trust) = (args.place.files()?, args.trust.trust()?);
    let head = head(&files, &trust)?;
    let prover = Prover::new(files.clone(), trust, TILES_MAX);
    fs::create_dir(&args.out)?;
    fs::create_dir(args.out.join("proofs"))?;
    fs::write(args.out.join("checkpoint"), head.note.to_string())?;
    let mut lines = BufWriter::new(fs::File::create(args.out.join("entries.jsonl"))?);
    let (mut count, mut written) = (0, Ok(()));
    let search = files.search(head.checkpoint.size, &args.query.query()?, |found| {
        if count < args.max {
            written = write_one(args, (&prover, &head), &found, &mut lines);
            count += usize::from(written.is_ok());
        }
        count < args.max && written.is_ok()
    });
    search.map_err(unreadable)?;
    written?;
    lines.flush()?;
    terminal.write(&format!("{count} entries with their proofs in {}\n", args.out.display()))?;
    Ok(Exit::Success)
}

/// The entry stands in the line as it was logged, to the byte.
fn write_one(
    args: &ExportArgs,
    (prover, head): (&Prover<Arc<dyn Storage>>, &Opened),
    found: &Found,
    lines: &mut impl Write,
) -> Result<(), Failure> {
    let index = found.index;
    let entry = String::from_utf8_lossy(&found.bytes);
    writeln!(lines, "{{\"index\":{index},\"entry\":{entry}}}")?;
    let proof = prover.prove_under(head, index).map_err(unreadable)?;
    let path = args.out.join(format!("proofs/{index}.tlog-proof"));
    Ok(fs::write(path, proof.to_string())?)
}
