//! `selvedge audit verify`: what an auditor runs.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use selvedge_audit::{
    checkpoint::{Checkpoint, Trust},
    proof::{TlogProof, Verifier},
    verify::{Report, Scope, verify},
};
use serde_json::{Value, json};

use super::place::{PlaceArgs, TrustArgs, unreadable};
use crate::{
    cli::{Format, Outcome},
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// Options of `selvedge audit verify`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    selvedge audit verify --data-dir copy/ --key audit.vkey\n  \
    selvedge audit verify --data-dir copy/ --key audit.vkey --since checkpoint-of-june\n  \
    selvedge audit verify --proof 73894.tlog-proof --key audit.vkey\n  \
    selvedge audit verify --key audit.vkey --proof export/proofs/*")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// A `checkpoint` that was believed before: the log must have grown from it
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Compare only what came after the head of --since
    #[arg(long, requires = "since")]
    growth: bool,
    /// Check these proofs, and no log
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["since", "growth"])]
    proof: Vec<PathBuf>,
    /// Entry that --proof is about; if nothing is said, the one within the proof
    #[arg(long, value_name = "FILE", requires = "proof")]
    entry: Option<PathBuf>,
    /// For whom
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Verifies, and says what is wrong.
pub(super) fn run(args: &VerifyArgs, terminal: &mut Terminal) -> Outcome {
    let trust = args.trust.trust()?;
    if !args.proof.is_empty() {
        return check_proofs(args, &trust, terminal);
    }
    let since = args.since.as_ref().map(|path| older_head(path, &trust)).transpose()?;
    let scope = match (&since, args.growth) {
        (Some(since), true) => Scope::Growth { since },
        (since, _) => Scope::Everything { since: since.as_ref() },
    };
    let report = verify(&args.place.files()?, &trust, scope);
    terminal.write(&match args.format {
        Format::Text => text(&report),
        Format::Json => format!("{}\n", json_of(&report)),
    })?;
    Ok(if report.faults.is_empty() { Exit::Success } else { Exit::Failure })
}

/// A head that was believed before. Its witnesses may have been others.
fn older_head(path: &PathBuf, trust: &Trust) -> Result<Checkpoint, Failure> {
    let trust = Trust { witnesses: Vec::new(), quorum: 0, ..trust.clone() };
    let opened = trust.open(&fs::read(path)?).map_err(unreadable)?;
    Ok(opened.checkpoint)
}

/// Checks proof after proof, and stops at the first that proves nothing.
fn check_proofs(args: &VerifyArgs, trust: &Trust, terminal: &mut Terminal) -> Outcome {
    if args.entry.is_some() && args.proof.len() > 1 {
        return Err(Failure::new(Exit::Usage, "--entry is for one proof, and there are several"));
    }
    let mut verifier = Verifier::new(trust);
    for path in &args.proof {
        let proven = check_proof(args, path, &mut verifier)
            .map_err(|failure| failure.prefixed(&path.display().to_string()))?;
        terminal.write(&proven)?;
    }
    Ok(Exit::Success)
}

/// What a proof proves.
fn check_proof(
    args: &VerifyArgs,
    path: &Path,
    verifier: &mut Verifier<'_>,
) -> Result<String, Failure> {
    let proof = TlogProof::parse(&fs::read(path)?).map_err(unreadable)?;
    let entry = match (&args.entry, &proof.extra) {
        (Some(path), _) => fs::read(path)?,
        (None, Some(extra)) => extra.clone(),
        (None, None) => {
            return Err(Failure::new(
                Exit::Usage,
                "the proof has no entry in it; name it by --entry",
            ));
        }
    };
    let head = &verifier.verify(&proof, &entry).map_err(unreadable)?.checkpoint;
    let text = String::from_utf8_lossy(&entry);
    let (index, size, origin) = (proof.index, head.size, &head.origin);
    Ok(match args.format {
        Format::Json => {
            let entry: Value =
                serde_json::from_slice(&entry).unwrap_or_else(|_| text.as_ref().into());
            let proven = json!({ "index": index, "size": size, "origin": origin, "entry": entry });
            format!("{proven}\n")
        }
        Format::Text => {
            format!("{text}\nis entry {index} of {origin}, proven under a head of {size} entries\n")
        }
    })
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for fault in &report.faults {
        writeln!(text, "error: {fault}").expect("a string takes all");
    }
    let Some(head) = &report.head else { return text };
    let (origin, size, root) =
        (&head.checkpoint.origin, head.checkpoint.size, head.checkpoint.root);
    let state = if report.faults.is_empty() { "in order" } else { "NOT in order" };
    writeln!(text, "{origin}: {state}\n  head      {size} entries, root {root}").expect("as above");
    for (witness, time) in &head.witnesses {
        writeln!(text, "  witness   {witness}, at {time} s since 1970").expect("as above");
    }
    let (entries, payloads) = (report.entries, report.payloads);
    writeln!(text, "  compared  {entries} entries, {payloads} payloads").expect("as above");
    if report.first > 0 {
        let first = report.first;
        writeln!(text, "  retention entries before {first} were given up, as the log says")
            .expect("as above");
    }
    text
}

fn json_of(report: &Report) -> Value {
    let faults = report
        .faults
        .iter()
        .map(|fault| json!({ "path": fault.path, "index": fault.index, "what": fault.what }));
    let faults: Vec<Value> = faults.collect();
    let head = report.head.as_ref().map(|head| {
        let witnesses =
            head.witnesses.iter().map(|(name, time)| json!({ "name": name, "time": time }));
        let witnesses: Vec<Value> = witnesses.collect();
        let checkpoint = &head.checkpoint;
        json!({
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.to_base64(),
            "witnesses": witnesses,
        })
    });
    json!({
        "ok": report.faults.is_empty(),
        "head": head,
        "entries": report.entries,
        "payloads": report.payloads,
        "first": report.first,
        "faults": faults,
    })
}
