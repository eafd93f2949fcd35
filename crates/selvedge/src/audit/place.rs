//! Which log is meant, and whom to believe about it.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use selvedge_audit::{
    checkpoint::{Opened, Trust},
    entry::Outcome as Result_,
    files::LogFiles,
    home::Home,
    note::VerifierKey,
    query::Query,
    store::{Folder, Storage},
    time::Timestamp,
};
use selvedge_base::{Secret, parse_duration};

use super::remote::Remote;
use crate::{
    core::Operator,
    exit::{Exit, Failure},
    site::{AUDIT, Site},
};

/// The log's files, wherever they are.
pub(super) type Files = LogFiles<Arc<dyn Storage>>;

/// Where the log is.
#[derive(Args, Debug)]
pub(super) struct PlaceArgs {
    /// The core's data folder, or a copy of the log's files
    #[arg(long, value_name = "DIR", default_value = "./data", conflicts_with = "url")]
    data_dir: PathBuf,
    /// Where a core serves its log, such as https://example.com/_selvedge/audit
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// File with the token to come with; otherwise what SELVEDGE_TOKEN holds
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// PEM file of roots for the URL's certificate; Mozilla's, if nothing is said
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
}

impl PlaceArgs {
    /// The log's files.
    pub(super) fn files(&self) -> Result<Files, Failure> {
        if let Some(url) = &self.url {
            return Ok(LogFiles(self.at(url)?.into_files()));
        }
        let below = self.home().files();
        let root = if below.is_dir() { below } else { self.data_dir.clone() };
        if !root.join("checkpoint").is_file() {
            let text = format!("{} has no audit log (no `checkpoint`)", self.data_dir.display());
            return Err(Failure::new(Exit::Unavailable, text));
        }
        Ok(LogFiles(Arc::new(Folder::open(&root))))
    }

    /// The core that has the log: at the URL, or at work in the data folder.
    pub(super) fn core(&self) -> Result<Remote, Failure> {
        if let Some(url) = &self.url {
            return self.at(url);
        }
        let found = Operator::of(&self.data_dir)?;
        let Operator { secret, socket, path } = found.ok_or_else(|| {
            let text = format!("no core has run in {}", self.data_dir.display());
            Failure::new(Exit::Unavailable, text)
        })?;
        Remote::new(Site::behind(&socket, format!("{path}/audit")).with_token(secret))
    }

    /// Whether a URL says where the log is.
    pub(super) fn is_remote(&self) -> bool {
        self.url.is_some()
    }

    pub(super) fn home(&self) -> Home {
        Home::new(&self.data_dir)
    }

    fn at(&self, url: &str) -> Result<Remote, Failure> {
        let site = Site::parse(url, AUDIT, self.ca.as_deref());
        let site = site.map_err(|error| Failure::new(Exit::Usage, format!("--url: {error}")))?;
        Remote::new(match self.token()? {
            Some(token) => site.with_token(token),
            None => site,
        })
    }

    /// Nobody needs one to read a log that is public.
    fn token(&self) -> Result<Option<Secret>, Failure> {
        let text = match &self.token_file {
            Some(path) => Some(fs::read_to_string(path)?),
            None => env::var("SELVEDGE_TOKEN").ok(),
        };
        let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let is_sound = text.iter().all(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
        match is_sound {
            true => Ok(text.map(Secret::new)),
            false => Err(Failure::new(Exit::Usage, "a token is one word of visible characters")),
        }
    }
}

/// Whom to believe.
#[derive(Args, Debug)]
pub(super) struct TrustArgs {
    /// The log's public key, or a file with it (NAME+ID+KEY)
    #[arg(long, value_name = "KEY")]
    key: String,
    /// The public key of a witness, or a file with it; may be repeated
    #[arg(long, value_name = "KEY")]
    witness: Vec<String>,
    /// How many of the witnesses must have cosigned; all of them, if nothing is said
    #[arg(long, value_name = "NUMBER")]
    quorum: Option<usize>,
}

impl TrustArgs {
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        let witnesses: Result<Vec<VerifierKey>, Failure> =
            self.witness.iter().map(|text| public_key(text)).collect();
        let witnesses = witnesses?;
        let quorum = self.quorum.unwrap_or(witnesses.len());
        if quorum > witnesses.len() {
            let text = format!("{} witnesses cannot be {quorum}", witnesses.len());
            return Err(Failure::new(Exit::Usage, text));
        }
        Ok(Trust { witnesses, quorum, ..Trust::in_key(public_key(&self.key)?) })
    }
}

/// A key, or what a file of this name has.
fn public_key(text: &str) -> Result<VerifierKey, Failure> {
    let path = Path::new(text);
    let written = if path.is_file() { fs::read_to_string(path)? } else { text.to_owned() };
    let key: Result<VerifierKey, _> = written.trim().parse();
    key.map_err(|error| Failure::new(Exit::Usage, format!("--key {text}: {error}")))
}

/// What entries must be like.
#[derive(Args, Debug)]
pub(super) struct QueryArgs {
    /// From this time on: 2026-11-21, 2026-11-21T21:04:05Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// By this actor: its id, or the id of a person's key
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// This was done; `config.*` is everything that begins so
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// It was done to this: KIND or KIND/ID
    #[arg(long, value_name = "RESOURCE")]
    resource: Option<String>,
    /// This came of it: done, denied or failed
    #[arg(long, value_name = "OUTCOME", value_parser = outcome)]
    outcome: Option<Result_>,
    /// For this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// In this trace
    #[arg(long, value_name = "TRACE")]
    trace: Option<String>,
}

impl QueryArgs {
    pub(super) fn query(&self) -> Result<Query, Failure> {
        Ok(Query {
            since: self.since.as_deref().map(moment).transpose()?,
            until: self.until.as_deref().map(moment).transpose()?,
            actor: self.actor.clone(),
            action: self.action.clone(),
            resource: self.resource.clone(),
            outcome: self.outcome,
            tenant: self.tenant.clone(),
            trace: self.trace.clone(),
        })
    }
}

impl QueryArgs {
    /// As the core is asked: names and values of a query.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let Self { since, until, actor, action, resource, outcome, tenant, trace } = self;
        let outcome = outcome.map(|outcome| outcome.name().to_owned());
        let pairs = [
            ("since", since.clone()),
            ("until", until.clone()),
            ("actor", actor.clone()),
            ("action", action.clone()),
            ("resource", resource.clone()),
            ("outcome", outcome),
            ("tenant", tenant.clone()),
            ("trace", trace.clone()),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn outcome(text: &str) -> Result<Result_, String> {
    Result_::from_name(text).ok_or_else(|| "expected done, denied or failed".to_owned())
}

/// A date, a date with a time, or a duration before now.
pub(crate) fn moment(text: &str) -> Result<Timestamp, Failure> {
    let dated = [text.to_owned(), format!("{text}T00:00:00.000000Z")];
    let with_fraction = text.strip_suffix('Z').map(|text| format!("{text}.000000Z"));
    let mut spellings = dated.into_iter().chain(with_fraction);
    if let Some(time) = spellings.find_map(|text| text.parse().ok()) {
        return Ok(time);
    }
    let ago = parse_duration(text).map_err(|_| {
        let text = format!("{text}: neither 2026-11-21, nor 2026-11-21T21:04:05Z, nor 2h");
        Failure::new(Exit::Usage, text)
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp(now.saturating_sub(ago).as_micros() as u64))
}

/// Says why the log could not be read.
pub(super) fn unreadable(error: impl Error) -> Failure {
    Failure::chain(Exit::Failure, &error)
}

/// The head, believed.
pub(super) fn head(files: &Files, trust: &Trust) -> Result<Opened, Failure> {
    files.head(trust).map_err(unreadable)
}
