//! A folder served as a site: which file a path finds, in which coding, and which part of it.
//!
//! It does file I/O, and none on the network: the dataplane hands in a [`SiteRequest`] and sends the
//! [`SiteResponse`]. Names and small files are looked up on the core; a [`FileBody`] leaves it to a
//! thread to wait for the disk. A [`Site`] belongs to one thread.

pub(crate) mod body;
pub(crate) mod cache;
mod conditions;
mod folder;
mod media;
mod page;
pub(crate) mod ranges;
mod target;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell, error::Error, fmt, fs::File, io, path::PathBuf, rc::Rc, sync::Arc, time::Instant,
};

use bytes::Bytes;
use http::HeaderValue;
use selvedge_config::StaticSite;

pub(crate) use self::body::{FileBody, FileReads, READS_MAX};
use self::{
    cache::PageCache,
    conditions::Verdict,
    folder::{Folder, Opened},
    page::{Page, Representation},
    ranges::Selection,
    target::Target,
};
use crate::problem::Problem;

const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
const VARY: HeaderValue = HeaderValue::from_static("accept-encoding");

/// A folder that answers requests.
pub(crate) struct Site {
    settings: StaticSite,
    cache_control: Option<HeaderValue>,
    folder: Folder,
    pages: RefCell<PageCache>,
}

/// A folder that was found in order: what the [`Site`] of each core is made of.
pub(crate) struct SiteFolder {
    settings: StaticSite,
    cache_control: Option<HeaderValue>,
    root: Arc<File>,
}

/// What a site looks at of a request. A field that came in several lines is joined by commas.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SiteRequest<'a> {
    /// As received.
    pub(crate) method: &'a str,
    /// Normalised: no dot segments, unreserved bytes decoded.
    pub(crate) path: &'a str,
    /// Without its `?`.
    pub(crate) query: Option<&'a str>,
    /// `If-Match`.
    pub(crate) if_match: Option<&'a [u8]>,
    /// `If-None-Match`.
    pub(crate) if_none_match: Option<&'a [u8]>,
    /// `If-Modified-Since`.
    pub(crate) if_modified_since: Option<&'a [u8]>,
    /// `If-Unmodified-Since`.
    pub(crate) if_unmodified_since: Option<&'a [u8]>,
    /// `If-Range`.
    pub(crate) if_range: Option<&'a [u8]>,
    /// `Range`.
    pub(crate) range: Option<&'a [u8]>,
    /// `Accept-Encoding`.
    pub(crate) accept_encoding: Option<&'a [u8]>,
}

/// What to send. `Date` and the connection's own fields are the dataplane's.
#[derive(Debug)]
pub(crate) struct SiteResponse {
    /// Status code.
    pub(crate) status: u16,
    /// Fields, names in lower case. `content-length` is among them unless the status has none or
    /// [`SiteResponse::problem`] supplies the body.
    pub(crate) headers: Vec<(&'static str, HeaderValue)>,
    /// Empty for `HEAD`.
    pub(crate) body: SiteBody,
    /// Why a 403, 500 or 503, for the log.
    pub(crate) fault: Option<io::Error>,
}

/// The body of a response.
#[derive(Debug)]
pub(crate) enum SiteBody {
    /// Nothing.
    Empty,
    /// All of it or one range.
    Slice(Slice),
    /// One after the other (`multipart/byteranges`).
    Parts(Vec<Slice>),
}

/// Consecutive bytes.
#[derive(Clone, Debug)]
pub(crate) enum Slice {
    /// In memory.
    Bytes(Bytes),
    /// In a file, to be read at its offset (the descriptor is shared, so is its cursor). Where the
    /// file has become shorter the response must be cut, not padded.
    File {
        /// Open for reading.
        file: Arc<File>,
        /// Where the slice begins.
        offset: u64,
        /// How long it is.
        len: u64,
    },
}

/// Why a site cannot be opened.
#[derive(Debug)]
pub enum SiteError {
    /// The folder cannot be opened.
    Root {
        /// The folder.
        root: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not look names up beneath a folder.
    Confinement {
        /// What `openat2` answered.
        source: io::Error,
    },
    /// The fallback cannot be read.
    Fallback {
        /// The folder.
        root: PathBuf,
        /// The file's name in it.
        name: String,
        /// Why; `None` when it is not a regular file below the folder.
        source: Option<io::Error>,
    },
    /// `cache-control` is not a field value.
    CacheControl {
        /// What it says.
        value: String,
    },
}

/// What a path finds.
enum Found {
    /// A file to send.
    Page(Rc<Page>),
    /// A folder, asked for without its slash.
    Folder,
}

impl SiteFolder {
    /// Opens the folder and checks what the settings say about it.
    pub(crate) fn open(settings: &StaticSite) -> Result<Self, SiteError> {
        let root = Folder::open_root(&settings.root)
            .map_err(|source| SiteError::Root { root: settings.root.clone(), source })?;
        let cache_control = settings.cache_control.as_deref().map(field_value).transpose()?;
        let folder = Self { settings: settings.clone(), cache_control, root: Arc::new(root) };
        let now = Instant::now();
        let site = folder.site(now);
        site.check_root()?;
        site.check_fallback(now)?;
        Ok(folder)
    }

    /// A site on this folder for one thread.
    pub(crate) fn site(&self, now: Instant) -> Site {
        Site {
            settings: self.settings.clone(),
            cache_control: self.cache_control.clone(),
            folder: Folder::new(self.settings.root.clone(), self.root.clone(), now),
            pages: RefCell::new(PageCache::new()),
        }
    }
}

impl Site {
    fn check_root(&self) -> Result<(), SiteError> {
        let found = self.folder.find(b"");
        found.map(drop).map_err(|source| match source.raw_os_error() {
            Some(libc::ENOSYS | libc::EPERM) => SiteError::Confinement { source },
            _ => SiteError::Root { root: self.settings.root.clone(), source },
        })
    }

    fn check_fallback(&self, now: Instant) -> Result<(), SiteError> {
        let Some(name) = &self.settings.fallback else { return Ok(()) };
        let error = |source| SiteError::Fallback {
            root: self.settings.root.clone(),
            name: name.clone(),
            source,
        };
        match self.fallback(now) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(error(None)),
            Err(source) => Err(error(Some(source))),
        }
    }

    /// Answers a request.
    pub(crate) fn respond(&self, request: &SiteRequest<'_>) -> SiteResponse {
        self.respond_at(request, Instant::now())
    }

    /// [`Site::respond`] where the caller knows the time already.
    pub(crate) fn respond_at(&self, request: &SiteRequest<'_>, now: Instant) -> SiteResponse {
        match request.method {
            "GET" | "HEAD" => {}
            "OPTIONS" => return SiteResponse::bare(204, vec![("allow", ALLOW)]),
            _ => return SiteResponse::bare(405, vec![("allow", ALLOW)]),
        }
        if !request.path.starts_with('/') {
            return SiteResponse::bare(404, Vec::new());
        }
        match self.find(self.stripped(request.path), now) {
            Ok(Some(Found::Page(page))) => self.serve(&page, request),
            Ok(Some(Found::Folder)) => redirect_to_folder(request),
            Ok(None) => SiteResponse::bare(404, Vec::new()),
            Err(fault) => SiteResponse::failed(fault),
        }
    }

    /// The path without the route's prefix, which ends on a segment boundary.
    fn stripped<'a>(&self, path: &'a str) -> &'a str {
        let prefix = self.settings.strip_prefix.as_deref().unwrap_or("").trim_end_matches('/');
        match path.strip_prefix(prefix) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ => path,
        }
    }

    fn find(&self, path: &str, now: Instant) -> io::Result<Option<Found>> {
        if let Some(page) = self.pages.borrow_mut().get(path, now) {
            return Ok(Some(Found::Page(page)));
        }
        let Some(target) = Target::parse(path) else { return Ok(None) };
        self.folder.refresh(now);
        match self.look_up(&target, path, now)? {
            Some(found) => Ok(Some(found)),
            None if target.may_be_a_page() => Ok(self.fallback(now)?.map(Found::Page)),
            None => Ok(None),
        }
    }

    fn look_up(&self, target: &Target, path: &str, now: Instant) -> io::Result<Option<Found>> {
        let found = match target.is_folder {
            true => self.index(&target.name)?,
            false => match self.folder.find(&target.name)? {
                Some(Opened::File(file)) => Some((target.name.clone(), file)),
                Some(Opened::Folder) if self.index(&target.name)?.is_some() => {
                    return Ok(Some(Found::Folder));
                }
                _ => self.clean_url(&target.name)?,
            },
        };
        let Some((name, file)) = found else { return Ok(None) };
        Ok(Some(Found::Page(self.load(path, &name, file, now)?)))
    }

    /// The index file of a folder.
    fn index(&self, folder: &[u8]) -> io::Result<Option<(Vec<u8>, File)>> {
        for index in &self.settings.index {
            let name = match folder.is_empty() {
                true => index.as_bytes().to_vec(),
                false => [folder, b"/", index.as_bytes()].concat(),
            };
            if let Some(Opened::File(file)) = self.folder.find(&name)? {
                return Ok(Some((name, file)));
            }
        }
        Ok(None)
    }

    /// `about` → `about.html`.
    fn clean_url(&self, name: &[u8]) -> io::Result<Option<(Vec<u8>, File)>> {
        if !self.settings.clean_urls || name.is_empty() {
            return Ok(None);
        }
        let name = [name, b".html"].concat();
        Ok(match self.folder.find(&name)? {
            Some(Opened::File(file)) => Some((name, file)),
            _ => None,
        })
    }

    /// The file that answers what would be 404. Its key in the cache lacks the slash that each
    /// request's path begins with, so it opens no way around the rules for paths.
    fn fallback(&self, now: Instant) -> io::Result<Option<Rc<Page>>> {
        let Some(name) = &self.settings.fallback else { return Ok(None) };
        let name = name.trim_start_matches('/');
        if let Some(page) = self.pages.borrow_mut().get(name, now) {
            return Ok(Some(page));
        }
        match self.folder.find(name.as_bytes())? {
            Some(Opened::File(file)) => self.load(name, name.as_bytes(), file, now).map(Some),
            _ => Ok(None),
        }
    }

    fn load(&self, key: &str, name: &[u8], file: File, now: Instant) -> io::Result<Rc<Page>> {
        let page = Page::load(name, file, now)?;
        let page = match self.settings.precompressed {
            true => page.with_encoded_siblings(&self.folder, name),
            false => page,
        };
        let page = Rc::new(page);
        self.pages.borrow_mut().insert(key, page.clone(), now);
        Ok(page)
    }

    fn serve(&self, page: &Page, request: &SiteRequest<'_>) -> SiteResponse {
        let chosen = page.negotiate(request.accept_encoding);
        match conditions::evaluate(request, chosen) {
            Verdict::Failed => SiteResponse::bare(412, Vec::new()),
            Verdict::NotModified => self.not_modified(page, chosen),
            Verdict::Proceed => match ranges::select(request, chosen) {
                Selection::Whole => self.whole(page, chosen, request),
                Selection::One(range) => self.one_range(page, chosen, range),
                Selection::Several(ranges) => self.several_ranges(page, chosen, &ranges),
                Selection::Unsatisfiable => self.unsatisfiable(page, chosen),
            },
        }
    }

    fn whole(&self, page: &Page, chosen: &Representation, request: &SiteRequest) -> SiteResponse {
        let mut headers = self.representation_headers(page, chosen);
        headers.push(("content-type", page.content_type.clone()));
        headers.push(("content-length", chosen.length_value.clone()));
        let body = match request.method {
            "HEAD" => SiteBody::Empty,
            _ => SiteBody::Slice(chosen.slice(0..chosen.len)),
        };
        SiteResponse { status: 200, headers, body, fault: None }
    }

    fn one_range(
        &self,
        page: &Page,
        chosen: &Representation,
        range: std::ops::Range<u64>,
    ) -> SiteResponse {
        let mut headers = self.representation_headers(page, chosen);
        headers.push(("content-type", page.content_type.clone()));
        headers.push(("content-length", (range.end - range.start).into()));
        headers.push(("content-range", visible(ranges::content_range(&range, chosen.len))));
        let body = SiteBody::Slice(chosen.slice(range));
        SiteResponse { status: 206, headers, body, fault: None }
    }

    fn several_ranges(
        &self,
        page: &Page,
        chosen: &Representation,
        ranges: &[std::ops::Range<u64>],
    ) -> SiteResponse {
        let boundary = format!("{:032x}", fastrand::u128(..));
        let parts = ranges::multipart(ranges, page, chosen, &boundary);
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        let mut headers = self.representation_headers(page, chosen);
        headers.push(("content-type", visible(content_type)));
        headers.push(("content-length", parts.iter().map(Slice::len).sum::<u64>().into()));
        SiteResponse { status: 206, headers, body: SiteBody::Parts(parts), fault: None }
    }

    fn unsatisfiable(&self, page: &Page, chosen: &Representation) -> SiteResponse {
        let mut headers = vec![("content-range", visible(format!("bytes */{}", chosen.len)))];
        headers.extend(page.varies().then_some(("vary", VARY)));
        SiteResponse::bare(416, headers)
    }

    fn not_modified(&self, page: &Page, chosen: &Representation) -> SiteResponse {
        let mut headers = vec![("etag", chosen.etag.clone())];
        headers.extend(page.varies().then_some(("vary", VARY)));
        headers.extend(self.cache_control.clone().map(|value| ("cache-control", value)));
        SiteResponse::bare(304, headers)
    }

    fn representation_headers(
        &self,
        page: &Page,
        chosen: &Representation,
    ) -> Vec<(&'static str, HeaderValue)> {
        let mut headers = Vec::with_capacity(10);
        headers.push(("etag", chosen.etag.clone()));
        headers.push(("last-modified", chosen.last_modified.clone()));
        headers.push(("accept-ranges", BYTES));
        headers.push(("x-content-type-options", NOSNIFF));
        headers.extend(page.varies().then_some(("vary", VARY)));
        headers.extend(chosen.coding().map(|value| ("content-encoding", value)));
        headers.extend(self.cache_control.clone().map(|value| ("cache-control", value)));
        headers
    }
}

impl SiteResponse {
    /// What the body of a refusal says; `None` when the response stands as it is.
    pub(crate) fn problem(&self) -> Option<Problem> {
        Some(match self.status {
            403 => Problem::FORBIDDEN_FILE,
            404 => Problem::NO_FILE,
            405 => Problem::METHOD,
            412 => Problem::PRECONDITION,
            416 => Problem::RANGE,
            503 => Problem::FILES,
            500.. => Problem::INTERNAL,
            _ => return None,
        })
    }

    fn bare(status: u16, headers: Vec<(&'static str, HeaderValue)>) -> Self {
        Self { status, headers, body: SiteBody::Empty, fault: None }
    }

    fn failed(fault: io::Error) -> Self {
        let status = match fault.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => 403,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => 503,
            _ => 500,
        };
        Self { fault: Some(fault), ..Self::bare(status, Vec::new()) }
    }
}

impl Slice {
    /// Bytes in it.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }
}

fn redirect_to_folder(request: &SiteRequest<'_>) -> SiteResponse {
    let location = visible(target::folder_location(request.path, request.query));
    SiteResponse::bare(308, vec![("location", location), ("content-length", 0.into())])
}

fn field_value(text: &str) -> Result<HeaderValue, SiteError> {
    HeaderValue::from_str(text).map_err(|_| SiteError::CacheControl { value: text.to_owned() })
}

/// A field value of text that we wrote ourselves.
fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits, tokens and percent-encoded text are visible ASCII")
}

impl fmt::Display for SiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root { root, source } => {
                write!(f, "cannot open the folder {} of a static site: {source}", root.display())
            }
            Self::Confinement { source } => write!(
                f,
                "the kernel refuses openat2 ({source}), which keeps a static site inside its \
                 folder: use Linux 5.6 or newer, and allow the call in the container's seccomp \
                 profile"
            ),
            Self::Fallback { root, name, source: Some(source) } => {
                write!(f, "cannot read the fallback {name:?} in {}: {source}", root.display())
            }
            Self::Fallback { root, name, source: None } => write!(
                f,
                "the fallback {name:?} is not a file in {}: create it, or correct `fallback`",
                root.display()
            ),
            Self::CacheControl { value } => {
                write!(f, "cache-control {value:?} is no field value: use visible ASCII only")
            }
        }
    }
}

impl Error for SiteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Root { source, .. } | Self::Confinement { source } => Some(source),
            Self::Fallback { source, .. } => source.as_ref().map(|source| source as _),
            Self::CacheControl { .. } => None,
        }
    }
}
