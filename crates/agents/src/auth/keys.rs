//! The keys of one issuer, kept current beside the requests.

use std::{
    error::Error,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use rustls::ClientConfig;
use selvedge_base::Secret;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{sleep_until, timeout},
};

use super::{
    algorithm::AlgorithmSet,
    discovery::{self, DiscoveryError},
    fetch::{self, DOCUMENT_BYTES_MAX, FetchError, Url, UrlError},
    jwk::{Key, KeySet, KeySetError, SecretError},
    notice,
    refresh::{Demand, Refresh, Schedule},
};
use crate::roots::{self, RootsError};

/// What decides which keys there are; who has the same may share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeySource {
    /// The issuer's name.
    pub(super) issuer: String,
    pub(super) place: KeyPlace,
    pub(super) algorithms: AlgorithmSet,
    pub(super) schedule: Schedule,
    /// Time that one fetch may take, all its requests together.
    pub(super) timeout: Duration,
    /// PEM file of roots to trust instead of Mozilla's.
    pub(super) roots: Option<PathBuf>,
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyPlace {
    /// Where the issuer's own document says.
    Discovery,
    /// Behind a URL.
    Url(String),
    /// In a file.
    File(PathBuf),
    /// There is one, which whoever signs has as well.
    Secret(Secret),
}

/// An issuer's keys and the task that keeps them current; that ends with this handle.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    source: KeySource,
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// What requests and the task share.
#[derive(Debug)]
struct Shared {
    /// `None` until they were fetched for the first time.
    current: ArcSwapOption<KeySet>,
    refresh: Mutex<Refresh>,
    /// A fetch was asked for.
    asked: Notify,
    /// Fetches that have ended.
    ended: watch::Sender<u64>,
}

/// Why an issuer's keys cannot even be asked for.
#[derive(Debug)]
pub(super) enum SourceError {
    Url(UrlError),
    Roots(RootsError),
    /// The file has no keys now, and nobody else to blame.
    File(KeysError),
}

/// Why a fetch brought no keys.
#[derive(Debug)]
pub(super) enum KeysError {
    Late(Duration),
    File(io::Error),
    FileTooLarge,
    Fetch(Url, FetchError),
    Discovery(DiscoveryError),
    Reference(UrlError),
    Set(KeySetError),
    Secret(SecretError),
    /// A set without a single key of use; in a file of the operator's that is a mistake.
    Empty(KeySet),
}

impl IssuerKeys {
    /// Reads the keys of a file at once, or begins to fetch those of a server.
    /// Within a tokio runtime, on which the keys stay current.
    pub(super) async fn start(source: KeySource) -> Result<Self, SourceError> {
        let fetcher = Fetcher::try_new(&source)?;
        let mut refresh = Refresh::new(source.schedule, Instant::now());
        let current = ArcSwapOption::empty();
        if matches!(source.place, KeyPlace::File(_) | KeyPlace::Secret(_)) {
            refresh.handle_timeout(Instant::now());
            let set = fetcher.keys().await.and_then(usable).map_err(SourceError::File)?;
            tell_left_out(&source.issuer, &set, None);
            current.store(Some(Arc::new(set)));
            refresh.succeeded(Instant::now(), fastrand::f64());
        }
        let ended = watch::Sender::new(refresh.ended());
        let refresh = Mutex::new(refresh);
        let shared = Arc::new(Shared { current, refresh, asked: Notify::new(), ended });
        let task = tokio::spawn(keep_current(Arc::clone(&shared), fetcher)).abort_handle();
        Ok(Self { source, shared, task })
    }

    /// What they were started with.
    pub(super) fn source(&self) -> &KeySource {
        &self.source
    }

    /// The keys at hand. `None`: they could not be fetched so far.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        self.shared.current.load_full()
    }

    /// Has the keys fetched for the sake of a token whose key is not among them, together with all
    /// who wait for the same, and returns whether a fetch has ended since. Returns at once if one
    /// began a short time ago, and after the time limit of a fetch in any case.
    pub(super) async fn renewed(&self) -> bool {
        let mut ended = self.shared.ended.subscribe();
        let Demand::Await(count) = self.shared.refresh().demand(Instant::now()) else {
            return false;
        };
        self.shared.asked.notify_one();
        let enough = ended.wait_for(|ended| *ended >= count);
        matches!(timeout(self.source.timeout, enough).await, Ok(Ok(_)))
    }
}

impl Drop for IssuerKeys {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn refresh(&self) -> MutexGuard<'_, Refresh> {
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches whenever it is time, until its task is aborted.
async fn keep_current(shared: Arc<Shared>, fetcher: Fetcher) {
    let mut is_failing = false;
    loop {
        let due = shared.refresh().poll_timeout().expect("no fetch is under way between fetches");
        tokio::select! {
            () = sleep_until(due.into()) => (),
            () = shared.asked.notified() => (),
        }
        if !shared.refresh().handle_timeout(Instant::now()) {
            continue;
        }
        let keys = timeout(fetcher.timeout, fetcher.keys()).await;
        let keys = keys.unwrap_or(Err(KeysError::Late(fetcher.timeout)));
        fetcher.tell(&keys, &mut is_failing, shared.current.load().as_deref());
        shared.end_fetch(keys);
    }
}

impl Shared {
    /// Puts new keys in the place of the old ones, or keeps those, and wakes who waits.
    fn end_fetch(&self, keys: Result<KeySet, KeysError>) {
        let (now, chance) = (Instant::now(), fastrand::f64());
        let has_succeeded = keys.is_ok();
        if let Ok(keys) = keys {
            let keys = match self.current.load().as_deref() {
                Some(previous) => keys.succeeding(previous),
                None => keys,
            };
            self.current.store(Some(Arc::new(keys)));
        }
        let mut refresh = self.refresh();
        match has_succeeded {
            true => refresh.succeeded(now, chance),
            false => refresh.failed(now, chance),
        }
        self.ended.send_replace(refresh.ended());
    }
}

/// Where keys come from, made ready.
struct Fetcher {
    issuer: String,
    from: From,
    algorithms: AlgorithmSet,
    timeout: Duration,
}

enum From {
    Discovery { document: Url, trust: Arc<ClientConfig> },
    Url { keys: Url, trust: Arc<ClientConfig> },
    File(PathBuf),
    Secret(Secret),
}

impl Fetcher {
    fn try_new(source: &KeySource) -> Result<Self, SourceError> {
        let KeySource { issuer, place, algorithms, schedule: _, timeout, roots } = source;
        let trust = || roots::trust(roots.as_deref()).map_err(SourceError::Roots);
        let url = |text: &str| Url::parse(text).map_err(SourceError::Url);
        let from = match place {
            KeyPlace::Discovery => From::Discovery {
                document: url(&discovery::document_url(issuer))?,
                trust: trust()?,
            },
            KeyPlace::Url(text) => From::Url { keys: url(text)?, trust: trust()? },
            KeyPlace::File(path) => From::File(path.clone()),
            KeyPlace::Secret(secret) => From::Secret(secret.clone()),
        };
        let (issuer, algorithms) = (issuer.clone(), *algorithms);
        Ok(Self { issuer, from, algorithms, timeout: *timeout })
    }

    async fn keys(&self) -> Result<KeySet, KeysError> {
        let text = match &self.from {
            From::Discovery { document, trust } => {
                let text = get(document, trust).await?;
                let keys =
                    discovery::keys_url(&text, &self.issuer).map_err(KeysError::Discovery)?;
                get(&document.refer(&keys).map_err(KeysError::Reference)?, trust).await?
            }
            From::Url { keys, trust } => get(keys, trust).await?,
            From::File(path) => read(path.clone()).await?,
            From::Secret(secret) => {
                let key = Key::from_secret(secret.expose().as_bytes(), self.algorithms);
                return key.map(|key| KeySet::of([key])).map_err(KeysError::Secret);
            }
        };
        KeySet::parse(&text, self.algorithms).map_err(KeysError::Set)
    }

    /// Tells the operator of what has changed, and not of each fetch.
    fn tell(
        &self,
        keys: &Result<KeySet, KeysError>,
        is_failing: &mut bool,
        before: Option<&KeySet>,
    ) {
        let issuer = &self.issuer;
        let was_failing = std::mem::replace(is_failing, keys.is_err());
        match keys {
            Ok(set) => {
                if was_failing {
                    notice(format_args!("keys of {issuer} are fetched again"));
                }
                tell_left_out(issuer, set, before);
            }
            Err(error) if !was_failing => {
                let kept = before.map_or(0, |set| set.keys().len());
                notice(format_args!("no new keys of {issuer}, {kept} stay in use: {error}"));
            }
            Err(_) => (),
        }
    }
}

async fn get(url: &Url, trust: &Arc<ClientConfig>) -> Result<Bytes, KeysError> {
    fetch::get(url, trust).await.map_err(|error| KeysError::Fetch(url.clone(), error))
}

async fn read(path: PathBuf) -> Result<Bytes, KeysError> {
    let size = tokio::fs::metadata(&path).await.map_err(KeysError::File)?.len();
    if size > DOCUMENT_BYTES_MAX as u64 {
        return Err(KeysError::FileTooLarge);
    }
    tokio::fs::read(&path).await.map(Bytes::from).map_err(KeysError::File)
}

fn usable(set: KeySet) -> Result<KeySet, KeysError> {
    if set.keys().is_empty() { Err(KeysError::Empty(set)) } else { Ok(set) }
}

fn tell_left_out(issuer: &str, set: &KeySet, before: Option<&KeySet>) {
    let told = before.map_or(&[][..], KeySet::left_out);
    for left_out in set.left_out().iter().filter(|one| !told.contains(one)) {
        notice(format_args!("of {issuer}, {left_out}"));
    }
    if set.keys().is_empty() && before.is_none_or(|before| !before.keys().is_empty()) {
        notice(format_args!("{issuer} has no keys: all its tokens are refused"));
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::Roots(error) => error.fmt(f),
            Self::File(error) => error.fmt(f),
        }
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Url(error) => Some(error),
            Self::Roots(error) => Some(error),
            Self::File(error) => Some(error),
        }
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(limit) => write!(f, "nothing came within {limit:?}"),
            Self::File(error) => write!(f, "cannot read the file of keys: {error}"),
            Self::FileTooLarge => {
                write!(f, "the file of keys is larger than {DOCUMENT_BYTES_MAX} bytes")
            }
            Self::Fetch(url, error) => write!(f, "{url}: {error}"),
            Self::Discovery(error) => error.fmt(f),
            Self::Reference(error) => write!(f, "the jwks_uri of the discovery document: {error}"),
            Self::Set(error) => error.fmt(f),
            Self::Secret(error) => error.fmt(f),
            Self::Empty(set) => {
                f.write_str("there is no key of use")?;
                set.left_out().iter().try_for_each(|left_out| write!(f, "; {left_out}"))
            }
        }
    }
}

impl Error for KeysError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Fetch(_, error) => Some(error),
            Self::Discovery(error) => Some(error),
            Self::Reference(error) => Some(error),
            Self::Set(error) => Some(error),
            Self::Secret(error) => Some(error),
            Self::Late(_) | Self::FileTooLarge | Self::Empty(_) => None,
        }
    }
}
