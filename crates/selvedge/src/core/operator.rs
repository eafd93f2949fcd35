//! The credential of whoever runs the core: commands on its machine find it in the data-dir.
//!
//! Each start of a core makes a new one. Who can read it can also make tokens in the data-dir, so it
//! opens nothing that was closed.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use selvedge_base::Secret;
use selvedge_config::{Core, CoreToken};

use crate::exit::{Exit, Failure};

const KEY: &str = "operator.key";
const BYTES: usize = 32;
/// A path has at most 4,096 bytes.
const BYTES_MAX: u64 = 16 << 10;
/// What entries call it.
const NAME: &str = "operator";

/// How commands reach a core, and what they come with.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) secret: Secret,
    pub(crate) socket: PathBuf,
    /// What the core is mounted at.
    pub(crate) path: String,
}

/// Makes a new one in the folder `run` of a data-dir.
pub(super) fn renew(run: &Path, core: &Core, socket: &Path) -> Result<CoreToken, Failure> {
    let failed = |error: io::Error| {
        let text = format!("the operator's key cannot be written: {error}");
        Failure::new(Exit::Unavailable, text)
    };
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|_| failed(io::Error::other("no random bytes")))?;
    let secret = Secret::new(HEXLOWER.encode(&bytes));
    let text = format!("{}\n{}\n{}\n", secret.expose(), core.path, socket.display());
    write(run, &text).map_err(failed)?;
    Ok(CoreToken { name: NAME.into(), secret, scopes: vec!["*".to_owned()], tenant: None })
}

impl Operator {
    /// That of the core with this data-dir; `None` where none has started yet.
    pub(crate) fn of(data_dir: &Path) -> io::Result<Option<Self>> {
        let file = match fs::File::open(data_dir.join("run").join(KEY)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut text = String::new();
        file.take(BYTES_MAX).read_to_string(&mut text)?;
        let mut lines = text.lines();
        let mut next = || lines.next().unwrap_or_default();
        let (secret, path, socket) = (next(), next(), next());
        let secret = Secret::new(secret);
        Ok(Some(Self { secret, path: path.to_owned(), socket: socket.into() }))
    }
}

/// Whoever reads finds the whole of it, old or new.
fn write(run: &Path, text: &str) -> io::Result<()> {
    let draft = run.join(format!("{KEY}.{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&draft, run.join(KEY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_makes_a_new_one_that_commands_find() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Operator::of(folder.path()).unwrap().is_none());
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        let core = Core {
            path: "/_selvedge".to_owned(),
            hosts: Vec::new(),
            place: selvedge_config::CorePlace::Remote,
        };
        let renew = || renew(&run, &core, Path::new("/run/core.sock")).unwrap();
        let first = renew();
        let found = Operator::of(folder.path()).unwrap().unwrap();
        assert_eq!(first.secret.expose(), found.secret.expose());
        assert_eq!((&*found.path, found.socket), ("/_selvedge", "/run/core.sock".into()));
        assert_ne!(first.secret.expose(), renew().secret.expose());
    }
}
