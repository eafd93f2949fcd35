//! `selvedge init`: a first config and a page to serve.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    cli::Outcome,
    exit::{Exit, Failure},
    terminal::Terminal,
};

/// Options of `selvedge init`.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// Folder to write into; made when it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

/// What is written, by its place in the folder.
const FILES: [(&str, &str); 2] = [
    ("selvedge.kdl", include_str!("init/selvedge.kdl")),
    ("public/index.html", include_str!("init/index.html")),
];

/// Writes all files, or none when one is there already.
pub(crate) fn run(args: &InitArgs, terminal: &mut Terminal) -> Outcome {
    if !args.force {
        refuse_to_overwrite(&args.folder)?;
    }
    for (name, text) in FILES {
        let path = args.folder.join(name);
        write(&path, text, args.force).map_err(|error| cannot_write(&path, &error))?;
        terminal.write(&format!("wrote {}\n", path.display()))?;
    }
    let config = args.folder.join(FILES[0].0);
    let config = config.strip_prefix(".").unwrap_or(&config).display();
    terminal.write(&format!(
        "\nNext   selvedge check {config}\n       selvedge up --config {config}\n"
    ))?;
    Ok(Exit::Success)
}

fn refuse_to_overwrite(folder: &Path) -> Result<(), Failure> {
    let there = FILES.iter().map(|(name, _)| folder.join(name)).find(|path| path.exists());
    match there {
        Some(path) => {
            let text = format!("{} is there already; --force overwrites it", path.display());
            Err(Failure::new(Exit::Failure, text))
        }
        None => Ok(()),
    }
}

fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(!force).create(force).truncate(force);
    options.open(path)?.write_all(text.as_bytes())
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("{} cannot be written: {error}", path.display()))
}
