//! `selvedge check`: everything that is wrong with a config, at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{
    cli::{Format, Outcome},
    exit::Exit,
    findings::{Findings, counted, load_to_run},
    terminal::{Paint, Terminal},
};

/// Options of `selvedge check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Config file
    #[arg(default_value = "selvedge.kdl")]
    file: PathBuf,
    /// End with exit code 3 when there are warnings
    #[arg(long)]
    deny_warnings: bool,
    /// Print for people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Reads the config and says all that is wrong or doubtful.
pub(crate) fn run(args: &CheckArgs, terminal: &mut Terminal) -> Outcome {
    let (findings, summary) = match load_to_run(&args.file) {
        Ok(checked) => (checked.warnings, Some(summary(&checked.config))),
        Err(findings) => (findings, None),
    };
    let text = match args.format {
        Format::Text => render(args, &findings, (summary, terminal.paint)),
        Format::Json => render_json(&findings),
    };
    terminal.write(&text)?;
    Ok(exit(args, &findings))
}

fn exit(args: &CheckArgs, findings: &Findings) -> Exit {
    match (findings.errors(), findings.warnings()) {
        (0, 1..) if args.deny_warnings => Exit::Warnings,
        (0, _) => Exit::Success,
        _ => Exit::Config,
    }
}

fn render(
    args: &CheckArgs,
    findings: &Findings,
    (summary, paint): (Option<String>, Paint),
) -> String {
    let mut text = findings.render(paint);
    if let Some(summary) = summary {
        let verdict = paint.with("1;32", "ok");
        text.push_str(&format!("{verdict}: {}: {summary}\n", args.file.display()));
    }
    text
}

fn render_json(findings: &Findings) -> String {
    let (errors, warnings) = (findings.errors(), findings.warnings());
    let value = json!({
        "ok": errors == 0,
        "errors": errors,
        "warnings": warnings,
        "findings": findings.to_json(),
    });
    format!("{value:#}\n")
}

/// `2 listeners, 3 routes, 1 upstream`, and the agents where there are some.
fn summary(config: &selvedge_config::Config) -> String {
    // The core is among upstreams and routes, and nobody has written it there.
    let mounted = usize::from(config.core.is_some());
    let mut parts = vec![
        counted(config.listeners.len(), "listener"),
        counted(config.routes.len() - mounted, "route"),
        counted(config.upstreams.len() - mounted, "upstream"),
    ];
    if !config.agents.is_empty() {
        parts.push(counted(config.agents.len(), "agent"));
    }
    if config.core.is_some() {
        parts.push("the core".to_owned());
    }
    parts.join(", ")
}
