//! All documents of a device, and its secret.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use selvedge_crdt::session::DocumentId;

use crate::{Known, Store, StoreError};

/// A folder with a device's documents, each in a folder of its own.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// The documents in a folder, which is made if it is not there; only its owner may read it.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let unusable = |error| StoreError::Folder(folder.to_owned(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
        Ok(Shelf { folder: folder.to_owned() })
    }

    /// The device's secret; `fresh`, 32 random bytes, becomes it if there is none.
    ///
    /// # Errors
    /// A file that cannot be read or made, or that is something else.
    pub fn device_secret(&self, fresh: &[u8; 32]) -> Result<[u8; 32], StoreError> {
        let path = self.folder.join("device");
        let unusable = |error| StoreError::Folder(path.clone(), error);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_secret(&path, fresh).map_err(unusable)?;
            }
            Err(error) => return Err(unusable(error)),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&path).map_err(unusable)?;
        let secret = HEXLOWER.decode(text.trim_end().as_bytes()).ok();
        secret.and_then(|it| it.try_into().ok()).ok_or(StoreError::Device(path))
    }

    /// Of two processes that make one at a time, one succeeds, and the other takes that.
    fn make_secret(&self, path: &Path, fresh: &[u8; 32]) -> io::Result<()> {
        let draft = self.folder.join(format!("device.{}", std::process::id()));
        // What somebody else put there, as a link to a file of his, is not written to.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{}", HEXLOWER.encode(fresh))?;
        file.sync_all()?;
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        File::open(&self.folder)?.sync_all()?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Begins to keep a document with its keys, which are empty if it is not encrypted.
    ///
    /// # Errors
    /// One that is here already, and what the disk says.
    pub fn create(&self, known: &Known, keys: &[u8]) -> Result<Store, StoreError> {
        Store::create(&self.place(&known.document), known, keys)
    }

    /// Opens a document that is here.
    ///
    /// # Errors
    /// One that is not here, that another process has, or that cannot be read.
    pub fn document(&self, document: &DocumentId) -> Result<Store, StoreError> {
        Store::open(&self.place(document), document)
    }

    /// What is known of a document that is here, whoever has it at the moment.
    ///
    /// # Errors
    /// One that is not here, or that cannot be read.
    pub fn known(&self, document: &DocumentId) -> Result<Known, StoreError> {
        Store::peek(&self.place(document), document)
    }

    /// Forgets a document here; the relay and other devices keep it.
    ///
    /// # Errors
    /// As [`document`](Shelf::document).
    pub fn remove(&self, document: &DocumentId) -> Result<(), StoreError> {
        let store = self.document(document)?;
        let folder = self.place(document);
        fs::remove_dir_all(&folder).map_err(|error| StoreError::Folder(folder, error))?;
        drop(store);
        Ok(())
    }

    /// Which documents are here, in order.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn documents(&self) -> Result<Vec<DocumentId>, StoreError> {
        let unusable = |error| StoreError::Folder(self.folder.clone(), error);
        let mut documents = Vec::new();
        for tenant in names(&self.folder).map_err(unusable)? {
            for name in names(&self.folder.join(&tenant)).map_err(unusable)? {
                let document = DocumentId::new(&tenant, &name.replace('+', "/"));
                documents
                    .extend(document.filter(|it| self.place(it).join("replica.sqlite").is_file()));
            }
        }
        documents.sort_unstable();
        Ok(documents)
    }

    /// The folder of a document, whether it is there or not.
    pub fn place(&self, document: &DocumentId) -> PathBuf {
        self.folder.join(document.tenant()).join(document.name().replace('/', "+"))
    }
}

/// The folders in a folder.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let folders = entries.into_iter().filter(|entry| entry.path().is_dir());
    Ok(folders.filter_map(|entry| entry.file_name().into_string().ok()).collect())
}
