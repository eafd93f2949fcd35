//! A copy of all views while they are written to.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::store::{BUSY, StoreError};

/// Copies views, as they are after one of their transactions, into a new file.
pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags)?;
    connection.busy_timeout(BUSY)?;
    let to = to.to_string_lossy();
    connection.execute("VACUUM INTO ?1", [&*to])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::store::Store;

    #[test]
    fn a_copy_has_what_was_committed() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["views.db", "copy.db"].map(|name| folder.path().join(name));
        let mut store = Store::open(&from).unwrap();
        store.begin("orders", "definition", (1, 0)).unwrap();
        copy(&from, &to).unwrap();
        store.begin("later", "definition", (1, 0)).unwrap();
        assert_eq!(Store::open(&to).unwrap().views().unwrap(), ["orders"]);
        assert!(copy(&from, &to).is_err(), "a file that is there stays");
        assert!(copy(&folder.path().join("none.db"), &folder.path().join("x")).is_err());
    }
}
