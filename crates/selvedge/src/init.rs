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
    let folder = args.folder.strip_prefix(".").unwrap_or(&args.folder);
    if !args.force {
        refuse_to_overwrite(folder)?;
    }
    for (name, text) in FILES {
        let path = folder.join(name);
        write(&path, text, args.force)?;
        terminal.write(&format!("wrote {}\n", path.display()))?;
    }
    let enter = match folder.as_os_str().is_empty() {
        true => String::new(),
        false => format!("cd {}\n       ", folder.display()),
    };
    terminal.write(&format!("\nNext   {enter}selvedge check\n       selvedge up\n"))?;
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

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        let made = fs::create_dir_all(folder);
        made.map_err(|error| {
            cannot(&format!("folder {} cannot be made", folder.display()), &error)
        })?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(!force).create(force).truncate(force);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| cannot(&format!("{} cannot be written", path.display()), &error))
}

fn cannot(what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("{what}: {error}"))
}
