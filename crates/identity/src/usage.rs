//! When tokens were last used, to the hour: enough to find those that nobody needs.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::guarded_file;

/// Last uses by token, and the file that keeps them: `ID SECONDS` in each line.
#[derive(Debug)]
pub struct Usage {
    path: PathBuf,
    /// Hours since 1970.
    last: BTreeMap<String, u64>,
    changed: bool,
}

const NAME: &str = "tokens.used";
const HOUR: u64 = 60 * 60;
/// Bytes of the file: a line for each token that the other file may hold.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Tokens kept in mind.
const TOKENS_MAX: usize = 32_768;

impl Usage {
    /// What the file in `data_dir` says. It is a convenience: one that cannot be read is begun anew.
    pub fn within(data_dir: &Path) -> Self {
        let path = data_dir.join(NAME);
        let text = guarded_file::read_if_there(&path, FILE_BYTES_MAX).unwrap_or_default();
        let lines = text.lines().filter_map(|line| {
            let (id, seconds) = line.split_once(' ')?;
            Some((id.to_owned(), seconds.parse::<u64>().ok()? / HOUR))
        });
        let last = lines.take(TOKENS_MAX).collect();
        Self { path, last, changed: false }
    }

    /// The hour in which the token was last used.
    pub fn last(&self, id: &str) -> Option<SystemTime> {
        self.last.get(id).map(|hour| UNIX_EPOCH + Duration::from_secs(hour * HOUR))
    }

    pub(crate) fn note(&mut self, id: &str, now: SystemTime) {
        let hour = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / HOUR;
        if self.last.get(id) == Some(&hour) {
            return;
        }
        if self.last.contains_key(id) || self.last.len() < TOKENS_MAX {
            self.last.insert(id.to_owned(), hour);
            self.changed = true;
        }
    }

    pub(crate) fn keep(&mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let lines = self.last.iter().map(|(id, hour)| format!("{id} {}\n", hour * HOUR));
        guarded_file::replace(&self.path, &lines.collect::<String>())?;
        self.changed = false;
        Ok(())
    }
}
