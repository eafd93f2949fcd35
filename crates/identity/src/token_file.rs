//! Tokens of services, kept as hashes in a file that people can read:
//!
//! ```text
//! 7h3kq2xw sha256:9f86d081884c7d65… 2027-01-01T00:00:00Z name=ci scopes=streams:read,streams:write
//! ```
//!
//! `never` in place of the time is a token that does not expire; `tenant=…` binds it to a tenant;
//! `revoked=TIME` at the end is one that was revoked. What follows a `#` at the start of a line is
//! for people.

use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use data_encoding::HEXLOWER_PERMISSIVE;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    guarded_file,
    scope::{Scope, Scopes},
    token::Token,
};

/// The file's name in the data-dir.
const NAME: &str = "tokens";
/// In front of a hash: what it was made with.
const HASH: &str = "sha256:";
/// Bytes of a file at most: some ten thousand tokens.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a line at most.
const LINE_BYTES_MAX: usize = 4 << 10;
/// Bytes of a name or tenant at most.
const WORD_BYTES_MAX: usize = 64;

/// The file of tokens in a data-dir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    path: PathBuf,
}

/// What a new token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The service that comes with it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// For whom it acts.
    pub tenant: Option<String>,
    /// From when on it is refused. `None`: never.
    pub expires: Option<SystemTime>,
}

/// A token as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// By which it is revoked.
    pub id: String,
    /// The service that comes with it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// For whom it acts.
    pub tenant: Option<String>,
    /// From when on it is refused. `None`: never.
    pub expires: Option<SystemTime>,
    /// Since when it is refused.
    pub revoked: Option<SystemTime>,
    /// Of the whole token.
    pub(crate) hash: [u8; 32],
}

/// Why a file of tokens was not read or changed.
#[derive(Debug)]
pub enum TokenFileError {
    /// The file cannot be read.
    Read(PathBuf, io::Error),
    /// The file cannot be written.
    Write(PathBuf, io::Error),
    /// A line that is not understood, or an id that a line above has as well; lines count from 1.
    Line(PathBuf, usize),
    /// No token has this id.
    Unknown(String),
    /// A name or tenant that cannot be written.
    Word(String),
    /// A token with more scopes than fit into a line, or one more than fits into the file.
    TooLong,
    /// A time beyond the year 9999.
    Time,
    /// The system gives no random bytes.
    Random,
}

impl TokenFile {
    /// The file in `data_dir`, which need not be there yet.
    pub fn within(data_dir: &Path) -> Self {
        Self { path: data_dir.join(NAME) }
    }

    /// Makes a token and adds it. The token itself is in no file: nobody can show it again.
    pub fn create(&self, new: &NewToken) -> Result<Token, TokenFileError> {
        let NewToken { name, scopes, tenant, expires } = new;
        for word in [name].into_iter().chain(tenant) {
            is_word(word).then_some(()).ok_or_else(|| TokenFileError::Word(word.clone()))?;
        }
        let _lock = self.lock()?;
        let text = self.text()?;
        let taken: BTreeSet<String> =
            parse(&text).filter_map(|(_, entry)| entry).map(|entry| entry.id).collect();
        let token = loop {
            let token = Token::generate().ok_or(TokenFileError::Random)?;
            if !taken.contains(token.id()) {
                break token;
            }
        };
        let entry = Entry {
            id: token.id().to_owned(),
            name: name.clone(),
            scopes: scopes.clone(),
            tenant: tenant.clone(),
            expires: *expires,
            revoked: None,
            hash: token.hash(),
        };
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.replace(&format!("{text}{gap}{}\n", entry.line()?))?;
        Ok(token)
    }

    /// Marks the token as revoked at `now`, unless it is already. Its line stays, so that its id means
    /// the same for ever.
    pub fn revoke(&self, id: &str, now: SystemTime) -> Result<Entry, TokenFileError> {
        let _lock = self.lock()?;
        let text = self.text()?;
        let mut revoked = None;
        let mut lines = String::with_capacity(text.len() + 64);
        for line in text.lines() {
            match Entry::parse(line).filter(|entry| entry.id == id) {
                Some(entry) => {
                    let entry = Entry { revoked: entry.revoked.or(Some(now)), ..entry };
                    lines.push_str(&entry.line()?);
                    revoked = Some(entry);
                }
                None => lines.push_str(line),
            }
            lines.push('\n');
        }
        let revoked = revoked.ok_or_else(|| TokenFileError::Unknown(id.to_owned()))?;
        self.replace(&lines)?;
        Ok(revoked)
    }

    /// All tokens, in the file's order.
    pub fn list(&self) -> Result<Vec<Entry>, TokenFileError> {
        let wrong = |line| TokenFileError::Line(self.path.clone(), line);
        parse(&self.text()?).map(|(line, entry)| entry.ok_or_else(|| wrong(line))).collect()
    }

    /// The tokens of all lines that are understood, in the file's order.
    pub fn understood(&self) -> Result<Vec<Entry>, TokenFileError> {
        Ok(parse(&self.text()?).filter_map(|(_, entry)| entry).collect())
    }

    /// All tokens by their ids. Lines that are not understood let nobody in, and are told; an id that
    /// is there twice lets nobody in either.
    pub(crate) fn load(&self) -> Result<(HashMap<String, Entry>, Vec<usize>), TokenFileError> {
        let (mut entries, mut wrong) = (HashMap::new(), Vec::new());
        let mut repeated = BTreeSet::new();
        for (line, entry) in parse(&self.text()?) {
            match entry {
                Some(entry) => {
                    let id = entry.id.clone();
                    if entries.insert(id.clone(), entry).is_some() {
                        repeated.insert(id);
                        wrong.push(line);
                    }
                }
                None => wrong.push(line),
            }
        }
        entries.retain(|id, _| !repeated.contains(id));
        Ok((entries, wrong))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn text(&self) -> Result<String, TokenFileError> {
        guarded_file::read_if_there(&self.path, FILE_BYTES_MAX)
            .map_err(|error| TokenFileError::Read(self.path.clone(), error))
    }

    fn lock(&self) -> Result<std::fs::File, TokenFileError> {
        guarded_file::lock(&self.path).map_err(|error| self.unwritten(error))
    }

    fn replace(&self, text: &str) -> Result<(), TokenFileError> {
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(TokenFileError::TooLong);
        }
        guarded_file::replace(&self.path, text).map_err(|error| self.unwritten(error))
    }

    fn unwritten(&self, error: io::Error) -> TokenFileError {
        TokenFileError::Write(self.path.clone(), error)
    }
}

impl Entry {
    /// Whether it counts at `now`.
    pub fn is_valid(&self, now: SystemTime) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| end > now)
    }

    fn parse(line: &str) -> Option<Self> {
        if line.len() > LINE_BYTES_MAX {
            return None;
        }
        let mut words = line.split_ascii_whitespace();
        let (id, hash, end) = (words.next()?, words.next()?, words.next()?);
        let hash = HEXLOWER_PERMISSIVE.decode(hash.strip_prefix(HASH)?.as_bytes()).ok()?;
        let expires = if end == "never" { None } else { Some(time(end)?) };
        let mut entry = Self {
            id: id.to_owned(),
            name: String::new(),
            scopes: Scopes::default(),
            tenant: None,
            expires,
            revoked: None,
            hash: hash.try_into().ok()?,
        };
        let mut seen = BTreeSet::new();
        for (name, value) in words.map(|word| word.split_once('=')).collect::<Option<Vec<_>>>()? {
            match name {
                _ if !seen.insert(name) => return None,
                "name" => entry.name = value.to_owned(),
                "scopes" => entry.scopes = scopes(value)?,
                "tenant" => entry.tenant = Some(value.to_owned()),
                "revoked" => entry.revoked = Some(time(value)?),
                _ => return None,
            }
        }
        let is_whole = entry.id.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && [&entry.name].into_iter().chain(&entry.tenant).all(|word| is_word(word));
        is_whole.then_some(entry)
    }

    fn line(&self) -> Result<String, TokenFileError> {
        let Self { id, name, scopes, tenant, expires, revoked, hash } = self;
        let end = expires.map_or(Ok("never".to_owned()), written)?;
        let mut line = format!("{id} {HASH}{} {end} name={name}", HEXLOWER_PERMISSIVE.encode(hash));
        let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
        if !scopes.is_empty() {
            line.push_str(&format!(" scopes={}", scopes.join(",")));
        }
        if let Some(tenant) = tenant {
            line.push_str(&format!(" tenant={tenant}"));
        }
        if let Some(revoked) = revoked {
            line.push_str(&format!(" revoked={}", written(*revoked)?));
        }
        match line.len() <= LINE_BYTES_MAX {
            true => Ok(line),
            false => Err(TokenFileError::TooLong),
        }
    }
}

/// Tokens, and `None` for wrong lines, each with the number of its line.
fn parse(text: &str) -> impl Iterator<Item = (usize, Option<Entry>)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| (number, Entry::parse(line)))
}

fn scopes(list: &str) -> Option<Scopes> {
    list.split(',').map(|scope| scope.parse::<Scope>().ok()).collect()
}

/// Letters, digits, `-`, `_`, `.`, `@`, `+`: no blank, comma or `=` that would end it.
fn is_word(word: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "-_.@+:/".contains(c);
    (1..=WORD_BYTES_MAX).contains(&word.len()) && word.chars().all(allowed)
}

fn time(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

fn written(time: SystemTime) -> Result<String, TokenFileError> {
    // Seconds are enough for people; the fraction would be noise in the file.
    let time =
        OffsetDateTime::from(time).replace_nanosecond(0).map_err(|_| TokenFileError::Time)?;
    time.format(&Rfc3339).map_err(|_| TokenFileError::Time)
}

impl fmt::Display for TokenFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(file, error) => write!(f, "cannot read {}: {error}", file.display()),
            Self::Write(file, error) => write!(f, "cannot write {}: {error}", file.display()),
            Self::Line(file, line) => write!(
                f,
                "{}:{line}: not `ID sha256:HASH EXPIRY name=NAME scopes=A,B`",
                file.display()
            ),
            Self::Unknown(id) => write!(f, "no token has the id {id:?}"),
            Self::Word(word) => write!(
                f,
                "{word:?} cannot be a name: 1 to {WORD_BYTES_MAX} bytes of letters, digits and -_.@+:/"
            ),
            Self::TooLong => f.write_str(
                "more scopes than fit into a line, or more tokens than fit into the file",
            ),
            Self::Time => f.write_str("a token cannot expire after the year 9999"),
            Self::Random => f.write_str("the system gives no random bytes"),
        }
    }
}

impl Error for TokenFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(_, error) | Self::Write(_, error) => Some(error),
            Self::Line(..)
            | Self::Unknown(_)
            | Self::Word(_)
            | Self::TooLong
            | Self::Time
            | Self::Random => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

    use super::*;

    fn new(name: &str) -> NewToken {
        NewToken {
            name: name.to_owned(),
            scopes: ["streams:read".parse().unwrap()].into_iter().collect(),
            tenant: Some("acme".to_owned()),
            expires: None,
        }
    }

    #[test]
    fn tokens_are_made_listed_and_revoked_without_their_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::within(folder.path());
        assert_eq!(file.list().unwrap(), []);
        let (one, two) = (file.create(&new("one")).unwrap(), file.create(&new("two")).unwrap());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        file.revoke(one.id(), now).unwrap();
        file.revoke(one.id(), now + Duration::from_secs(9)).unwrap();
        let listed = file.list().unwrap();
        assert_eq!((&*listed[0].id, listed[0].revoked), (one.id(), Some(now)));
        assert_eq!((&*listed[1].id, listed[1].revoked), (two.id(), None));
        assert_eq!(listed[1].tenant.as_deref(), Some("acme"));
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains(two.text().expose()));
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(file.revoke("nobody", now), Err(TokenFileError::Unknown(_))));
    }

    #[test]
    fn a_wrong_line_lets_nobody_in_and_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::within(folder.path());
        let token = file.create(&new("one")).unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        let twice = text.replace(token.id(), "aaaaaaaa");
        fs::write(file.path(), format!("# people\nnonsense\n{text}{twice}{twice}")).unwrap();
        let (entries, wrong) = file.load().unwrap();
        assert_eq!(entries.keys().collect::<Vec<_>>(), [token.id()]);
        assert_eq!(wrong, [2, 5]);
        assert!(matches!(file.list(), Err(TokenFileError::Line(_, 2))));
    }

    #[test]
    fn names_that_would_break_a_line_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::within(folder.path());
        for name in ["", "a b", "a=b", "a,b", "a\nb", &"x".repeat(65)] {
            assert!(matches!(file.create(&new(name)), Err(TokenFileError::Word(_))), "{name}");
        }
    }
}
