//! `selvedge bounds`: every bound, its value, where it comes from and what happens there.

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use selvedge_config::{Bound, BoundOrigin};
use serde_json::{Value, json};

use crate::{
    cli::{Format, Outcome},
    core,
    exit::Exit,
    findings::load,
    terminal::{Paint, Terminal},
};

/// Options of `selvedge bounds`.
#[derive(Args, Debug)]
pub(crate) struct BoundsArgs {
    /// Config file
    #[arg(long, short, value_name = "FILE", default_value = "selvedge.kdl")]
    config: PathBuf,
    /// Print for people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints the table of all bounds.
pub(crate) fn run(args: &BoundsArgs, terminal: &mut Terminal) -> Outcome {
    let checked = load(&args.config).map_err(|them| them.into_failure(Paint::on_stderr()))?;
    let mut bounds = selvedge_config::bounds(&checked.config);
    bounds.extend(selvedge_edge::fixed_bounds());
    bounds.extend(core::fixed_bounds(&checked.config));
    let text = match args.format {
        Format::Text => table(&bounds, terminal.paint),
        Format::Json => format!("{:#}\n", bounds.iter().map(to_json).collect::<Value>()),
    };
    terminal.write(&text)?;
    Ok(Exit::Success)
}

/// The bounds in columns, block by block.
pub(crate) fn table(bounds: &[Bound], paint: Paint) -> String {
    let origins: Vec<String> = bounds.iter().map(|bound| bound.origin.to_string()).collect();
    let width = |texts: &mut dyn Iterator<Item = &str>| {
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let names = width(&mut bounds.iter().map(|bound| bound.name));
    let values = width(&mut bounds.iter().map(|bound| &*bound.value));
    let places = width(&mut origins.iter().map(|origin| &**origin));
    let mut out = String::new();
    let mut scope = "";
    for (Bound { name, scope: here, value, origin: _, at_bound }, origin) in
        bounds.iter().zip(&origins)
    {
        if scope != here {
            scope = here;
            writeln!(out, "{}", paint.bold(scope)).expect("a String takes every write");
        }
        let row = format!("  {name:names$}  {value:>values$}  {origin:places$}  {at_bound}");
        writeln!(out, "{row}").expect("a String takes every write");
    }
    out
}

/// One bound for programs.
pub(crate) fn to_json(bound: &Bound) -> Value {
    let Bound { name, scope, value, origin, at_bound } = bound;
    let (word, file, line) = match origin {
        BoundOrigin::Default => ("default", None, None),
        BoundOrigin::Written(origin) => ("written", Some(&*origin.file), Some(origin.line)),
        BoundOrigin::Fixed => ("fixed", None, None),
    };
    json!({
        "scope": scope,
        "name": name,
        "value": value,
        "origin": word,
        "file": file,
        "line": line,
        "at_bound": at_bound,
    })
}
