//! The log of a core that runs: its files over HTTP, and what only the core can do.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use selvedge_audit::{store::Storage, witness::REQUEST_BYTES_MAX};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::{
    exit::{Exit, Failure},
    site::{AskError, Question, Reply, Site},
};

/// The largest file of a log is a payload of 16 MiB.
const FILE_BYTES_MAX: usize = (16 << 20) + REQUEST_BYTES_MAX;
/// A page of entries may have a thousand of the longest.
const PAGE_BYTES_MAX: usize = 128 << 20;

/// A core, or its edge.
pub(super) struct Remote {
    runtime: Runtime,
    site: Mutex<Site>,
}

impl Remote {
    pub(super) fn new(site: Site) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, site: Mutex::new(site) })
    }

    /// Its files, to be read as those of a folder.
    pub(super) fn into_files(self) -> Arc<dyn Storage> {
        Arc::new(self)
    }

    /// Asks for JSON. What the core refuses is told in its words.
    pub(super) fn json(&self, path: &str) -> Result<Value, Failure> {
        self.said(&Question::get(path, PAGE_BYTES_MAX))
    }

    /// Has something done, and returns what came of it.
    pub(super) fn have_done(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.said(&Question::post(path, body.to_string().into_bytes(), PAGE_BYTES_MAX))
    }

    /// Whether nobody is there.
    pub(super) fn is_away(&self) -> bool {
        let asked = self.ask(&Question::get("/status", PAGE_BYTES_MAX));
        matches!(asked, Err(AskError::Connect(_)))
    }

    fn said(&self, question: &Question) -> Result<Value, Failure> {
        let reply = self.ask(question);
        let reply = reply.map_err(|error| {
            let text = format!("the core cannot be asked: {error}\nhelp: is it running?");
            Failure::new(Exit::Unavailable, text)
        })?;
        match reply.status {
            200 => serde_json::from_slice(&reply.body).map_err(|error| {
                Failure::new(Exit::Failure, format!("what came is no JSON: {error}"))
            }),
            _ => Err(Failure::new(Exit::Failure, refusal(&reply))),
        }
    }

    fn ask(&self, question: &Question) -> Result<Reply, AskError> {
        let mut site = self.site.lock().unwrap_or_else(PoisonError::into_inner);
        self.runtime.block_on(site.ask(question))
    }
}

/// What a problem document says.
fn refusal(reply: &Reply) -> String {
    let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let word = |name: &str| problem[name].as_str().unwrap_or_default();
    match problem["code"].as_str() {
        Some(code) => {
            format!("{}: {} ({} {code})", word("title"), word("detail"), reply.status)
        }
        None => format!("the answer has status {}; is this where the log is?", reply.status),
    }
}

impl Storage for Remote {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let reply = self.ask(&Question::get(format!("/{path}"), FILE_BYTES_MAX));
        let reply = reply.map_err(io::Error::other)?;
        match reply.status {
            200 => Ok(Some(reply.body)),
            404 | 410 => Ok(None),
            _ => Err(io::Error::other(refusal(&reply))),
        }
    }

    /// What is there, is there by name: nobody lists.
    fn list(&self, _: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn write(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn replace(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self, _: &[String]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
