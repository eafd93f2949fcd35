//! The site's folder: names are looked up beneath it by the kernel, which no symlink leaves.

use std::{
    cell::{Cell, RefCell},
    ffi::{CStr, CString},
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long the folder's path is taken to mean the same folder: a deployment that swaps a symlink
/// or renames a folder shows after this.
const REFRESH: Duration = Duration::from_secs(1);

/// Attempts while a rename elsewhere makes the kernel unsure whether a `..` stays beneath.
const ATTEMPTS: u32 = 16;

/// The folder of a site.
pub(super) struct Folder {
    path: PathBuf,
    root: RefCell<Arc<File>>,
    refreshed: Cell<Instant>,
}

/// What a name stands for. Everything else (pipes, sockets, devices) is as good as absent.
pub(super) enum Opened {
    File(File),
    Folder,
}

impl Folder {
    /// What [`new`](Self::new) begins with.
    pub(super) fn open_root(path: &Path) -> io::Result<File> {
        open_directory(path)
    }

    /// The folder at `path`, which was opened just now.
    pub(super) fn new(path: PathBuf, root: Arc<File>, now: Instant) -> Self {
        Self { path, root: RefCell::new(root), refreshed: Cell::new(now) }
    }

    /// Follows the folder's path anew when that was long ago. While nothing is there, as in the
    /// middle of a swap, the folder opened before goes on serving.
    pub(super) fn refresh(&self, now: Instant) {
        if now.saturating_duration_since(self.refreshed.get()) < REFRESH {
            return;
        }
        if let Ok(root) = open_directory(&self.path) {
            self.root.replace(Arc::new(root));
        }
        self.refreshed.set(now);
    }

    /// Opens a name beneath the folder; empty is the folder itself. `None` when there is nothing
    /// a client may have.
    pub(super) fn find(&self, name: &[u8]) -> io::Result<Option<Opened>> {
        let name = if name.is_empty() { b"." } else { name };
        let Ok(name) = CString::new(name) else { return Ok(None) };
        let file = match open_beneath(self.root.borrow().as_fd(), &name) {
            Ok(file) => file,
            Err(error) if means_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let kind = file.metadata()?.file_type();
        Ok(match () {
            () if kind.is_file() => Some(Opened::File(file)),
            () if kind.is_dir() => Some(Opened::Folder),
            () => None,
        })
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(path)
}

fn means_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ENOENT
                | libc::ENOTDIR
                | libc::ELOOP // a magic link, or a circle
                | libc::EXDEV // an escape
                | libc::ENAMETOOLONG
                | libc::ENXIO // a socket, or a device without a driver
                | libc::ENODEV
        )
    )
}

fn open_beneath(root: BorrowedFd<'_>, name: &CStr) -> io::Result<File> {
    for _ in 1..ATTEMPTS {
        match openat2(root, name) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {}
            opened => return opened,
        }
    }
    openat2(root, name)
}

/// Opens for reading, beneath `root`, without waiting for the other end of a pipe.
#[expect(unsafe_code, reason = "std has no openat2")]
fn openat2(root: BorrowedFd<'_>, name: &CStr) -> io::Result<File> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: `open_how` consists of integers, for which zero is a value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = flags as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: `root` is open, `name` ends with NUL, `how` is of the size given; all outlive the call.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root.as_raw_fd(),
            name.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    match i32::try_from(descriptor) {
        // SAFETY: the call succeeded, so this is a new descriptor that nothing else owns.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { File::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}
