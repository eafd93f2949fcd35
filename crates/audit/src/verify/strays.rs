//! Files that nothing else looked at: older partial tiles must be beginnings of what came later, and
//! what is no part of the log does not belong there.

use super::Audit;
use crate::{
    bundle,
    files::payload_path,
    integrate::CHECKPOINT,
    merkle::Hash,
    store::Storage,
    tile::{Content, Tile},
};

/// The writer's own notes, which are not published.
const PRIVATE: &str = "state/";

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
        let tile = Tile::from_path(path).and_then(|tile| {
            let current = Tile::in_tree(tile.content(), tile.index(), self.size)?;
            (tile.width() <= current.width()).then_some((tile, current))
        });
        match tile {
            None => self.fault(path, None, "it is no part of the log".to_owned()),
            Some((tile, current)) if tile != current => self.check_older(tile, current),
            Some(_) => {}
        }
    }

    /// A payload that no entry names, because the change it belongs to came to nothing.
    fn check_stray_payload(&mut self, path: &str) {
        let digest = path.rsplit('/').next().and_then(Hash::from_hex);
        let Some(digest) = digest.filter(|digest| payload_path(*digest) == path) else {
            return self.fault(path, None, "it is no part of the log".to_owned());
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
        let whole = match older.content() {
            Content::Hashes(_) => old.len() == usize::from(older.width()) * 32,
            Content::Entries => bundle::entries(&old, usize::from(older.width())).is_ok(),
        };
        if !whole || !new.starts_with(&old) {
            let what = format!("it is not the beginning of {}", current.path());
            self.fault(&older.path(), None, what);
        }
    }
}
