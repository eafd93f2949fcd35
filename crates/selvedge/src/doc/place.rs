//! Where this machine's documents are, and what they are called on a command line.

use std::{env, path::PathBuf};

use clap::Args;
use selvedge_crdt::session::DocumentId;

use crate::exit::{Exit, Failure};

/// Whose documents they are that are named without a tenant.
const TENANT: &str = "default";

/// Which folder.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// Folder of this device's documents and of its key [default: ~/.local/share/selvedge/documents]
    #[arg(long, value_name = "DIR", global = true, env = "SELVEDGE_DOCUMENTS", hide_env = true)]
    folder: Option<PathBuf>,
}

impl Place {
    /// The folder (XDG Base Directory Specification, `XDG_DATA_HOME`).
    pub(super) fn folder(&self) -> Result<PathBuf, Failure> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let set = |name| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
        let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
        let data = data.or_else(|| set("HOME").map(|home| home.join(".local/share")));
        let data = data.ok_or_else(|| {
            Failure::new(Exit::Usage, "there is no HOME; name a folder with --folder")
        })?;
        Ok(data.join("selvedge/documents"))
    }
}

/// `NAME` or `TENANT:NAME`.
pub(crate) fn document(text: &str) -> Result<DocumentId, Failure> {
    let (tenant, name) = text.split_once(':').unwrap_or((TENANT, text));
    DocumentId::new(tenant, name).ok_or_else(|| {
        let text = format!(
            "`{text}` names no document\nhelp: letters, digits, `-`, `_`, `.`, `~`, parts apart by `/`; \
             a tenant before it with `:`"
        );
        Failure::new(Exit::Usage, text)
    })
}
