//! Files that nothing else looked at: older partial tiles must be beginnings of what came later, and
//! what is no part of the log does not belong there.

use super::Audit;
use crate::{
    bundle,
    files::payload_path,
    integrate::CHECKPOINT,
    merkle::{Hash, Span},
    store::Storage,
    tile::{Content, Tile},
};

/// The writer's own notes, which are not published.
const PRIVATE: &str = "state/";

const FOREIGN: &str = "it is no part of the log";

impl<S: Storage> Audit<'_, S> {
    pub(super) fn look_for_strays(&mut self) {
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let names = match self.files.0.list(folder.trim_end_matches('/')) {
                Ok(names) => names,
                Err(error) => {
                    self.fault(&folder, None, error.to_string());
                    continue;
                }
            };
            for name in names {
                let path = format!("{folder}{name}");
                match path.ends_with('/') {
                    true if path == PRIVATE => {}
                    true => folders.push(path),
                    false => self.check_stray(&path),
                }
            }
        }
    }

    fn check_stray(&mut self, path: &str) {
        if path == CHECKPOINT {
            return;
        }
        if path.starts_with("payload/") {
            return self.check_stray_payload(path);
        }
        let Some(tile) = Tile::from_path(path) else {
            return self.fault(path, None, FOREIGN.to_owned());
        };
        match Tile::in_tree(tile.content(), tile.index(), self.size) {
            Some(current) if tile == current => self.check_unproven(tile),
            Some(current) if tile.width() < current.width() => self.check_older(tile, current),
            current => self.check_ahead(tile, current),
        }
    }

    /// What no hash leads to, because a tile above it is gone.
    fn check_unproven(&mut self, tile: Tile) {
        let span = tile.span();
        let is_above =
            |gone: &Span| gone.start <= span.start && span.end <= gone.end && *gone != span;
        if self.unproven.iter().any(is_above) {
            let what = "no hash is left that vouches for it".to_owned();
            self.fault(&tile.path(), None, what);
        }
    }

    /// What was written for a head that is still to come, as a copy of a log at work has it: nothing
    /// vouches for it, but it must go on where the tree ends.
    fn check_ahead(&mut self, ahead: Tile, current: Option<Tile>) {
        let path = ahead.path();
        let Ok(bytes) = self.files.file(&path) else { return };
        let begin = current.and_then(|current| self.files.file(&current.path()).ok());
        if !is_whole(ahead, &bytes) || !bytes.starts_with(&begin.unwrap_or_default()) {
            self.fault(&path, None, FOREIGN.to_owned());
        }
    }

    /// A payload that no entry names, because the change it belongs to came to nothing.
    fn check_stray_payload(&mut self, path: &str) {
        let digest = path.rsplit('/').next().and_then(Hash::from_hex);
        let Some(digest) = digest.filter(|digest| payload_path(*digest) == path) else {
            return self.fault(path, None, FOREIGN.to_owned());
        };
        let known = self.payloads.contains(&digest);
        if !known && self.files.file(path).is_ok_and(|bytes| Hash::of(&bytes) != digest) {
            self.fault(path, None, "it is not what its name says".to_owned());
        }
    }

    fn check_older(&mut self, older: Tile, current: Tile) {
        let (Ok(old), Ok(new)) = (self.files.file(&older.path()), self.files.file(&current.path()))
        else {
            return;
        };
        if !is_whole(older, &old) || !new.starts_with(&old) {
            let what = format!("it is not the beginning of {}", current.path());
            self.fault(&older.path(), None, what);
        }
    }
}

/// Whether a tile has as much in it as its name says.
fn is_whole(tile: Tile, bytes: &[u8]) -> bool {
    match tile.content() {
        Content::Hashes(_) => bytes.len() == usize::from(tile.width()) * 32,
        Content::Entries => bundle::entries(bytes, usize::from(tile.width())).is_ok(),
    }
}
