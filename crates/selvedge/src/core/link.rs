//! The secret that the core and its edge share: without it, nobody's word about callers counts.
//!
//! The socket lets in processes of the same user, and agents are such; a secret that only the edge
//! holds keeps an agent that was taken over from posing as the edge. The supervisor hands a new one
//! to both at each start. Where the two are started by themselves it lies in the data-dir, which
//! agents may not read; whoever starts first makes it.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, rand};
use data_encoding::HEXLOWER;
use selvedge_base::Secret;
use selvedge_config::{Action, CORE, Config, HeaderOp, LINK_FIELD};

use super::data_dir;
use crate::exit::{Exit, Failure};

/// The secret itself.
#[derive(Clone, Debug)]
pub(crate) struct Link(Secret);

/// Why there is no secret.
#[derive(Debug)]
pub(crate) struct LinkError(io::Error);

const KEY: &str = "link.key";
const BYTES: usize = 32;

impl Link {
    /// A new one.
    pub(crate) fn generate() -> Result<Self, LinkError> {
        let mut bytes = [0; BYTES];
        rand::fill(&mut bytes).map_err(|_| LinkError(io::Error::other("no random bytes")))?;
        Ok(Self(Secret::new(HEXLOWER.encode(&bytes))))
    }

    /// What the supervisor hands over, if it does.
    pub(crate) fn from_stdin_if(handed: bool) -> Result<Option<Self>, Failure> {
        handed.then(|| read(&mut io::stdin().lock()).map_err(Failure::from)).transpose()
    }

    /// As [`Self::from_stdin_if`] reads it.
    pub(crate) fn line(&self) -> String {
        format!("{}\n", self.0.expose())
    }

    /// That of the core with this data-dir; made where there is none.
    pub(crate) fn of_data_dir(data_dir: &Path) -> Result<Self, LinkError> {
        let folder = data_dir.join("run");
        data_dir::make(data_dir).and_then(|()| data_dir::make(&folder)).map_err(LinkError)?;
        Self::of_folder(&folder)
    }

    pub(super) fn of_folder(folder: &Path) -> Result<Self, LinkError> {
        let path = folder.join(KEY);
        match fs::File::open(&path) {
            Ok(mut file) => return read(&mut file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LinkError(error)),
        }
        let link = Self::generate()?;
        match link.write_new(folder, &path) {
            Ok(()) => Ok(link),
            // The other of the two was faster: its secret counts.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                read(&mut fs::File::open(&path).map_err(LinkError)?)
            }
            Err(error) => Err(LinkError(error)),
        }
    }

    /// Puts the whole file there at once, and never over another's.
    fn write_new(&self, folder: &Path, path: &Path) -> io::Result<()> {
        let draft = folder.join(format!("{KEY}.{}", std::process::id()));
        // Left behind by a process of the same id that was killed right here.
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(self.line().as_bytes())?;
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        linked
    }

    /// Whether `sent` is the secret; takes as long for every text.
    pub(super) fn is(&self, sent: &[u8]) -> bool {
        verify_slices_are_equal(self.0.expose().as_bytes(), sent).is_ok()
    }
}

fn read(source: &mut impl io::Read) -> Result<Link, LinkError> {
    let mut text = String::new();
    let most = (2 * BYTES + 2) as u64;
    source.take(most).read_to_string(&mut text).map_err(LinkError)?;
    let text = text.trim_end();
    match HEXLOWER.decode(text.as_bytes()) {
        Ok(bytes) if bytes.len() == BYTES => Ok(Link(Secret::new(text))),
        _ => Err(LinkError(io::Error::new(io::ErrorKind::InvalidData, "it is damaged; remove it"))),
    }
}

/// Has the edge put the secret on what it sends to the core, after all that a route says.
pub(crate) fn seal(config: &mut Config, link: &Link) {
    let leads_to_core = |action: &Action| matches!(action, Action::Upstream(id) if **id == *CORE);
    for route in config.routes.iter_mut().filter(|route| leads_to_core(&route.action)) {
        let seal = HeaderOp::Set(LINK_FIELD.to_owned(), link.0.clone());
        Arc::make_mut(route).request_headers.push(seal);
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret of core and edge cannot be had: {}", self.0)
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        Self::new(Exit::Unavailable, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_find_the_same_secret_whoever_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = Link::of_data_dir(&folder.path().join("data")).unwrap();
        let second = Link::of_data_dir(&folder.path().join("data")).unwrap();
        assert!(first.is(second.0.expose().as_bytes()));
        assert!(!first.is(b""));
        assert!(!first.is(Link::generate().unwrap().0.expose().as_bytes()));
    }

    #[test]
    fn a_damaged_secret_is_none() {
        for text in ["", "ab\n", &"g".repeat(64), &"a".repeat(66)] {
            assert!(read(&mut text.as_bytes()).is_err(), "{text}");
        }
        let link = Link::generate().unwrap();
        assert!(read(&mut link.line().as_bytes()).unwrap().is(link.0.expose().as_bytes()));
    }
}
