//! Keys of programs: made here, shown once, kept as hashes in a file that people can read.
//!
//! A key is `slv_ID_SECRET`. Its secret is 256 random bits, so a fast hash keeps it as well as a slow
//! one would, and each request can afford it. The file has a line for each key:
//!
//! ```text
//! 7h3kq2xw sha256:9f86d081884c7d65… 2027-01-01T00:00:00Z user=ci roles=deploy,read scopes=write
//! ```
//!
//! `never` in place of the time is a key that does not expire; `revoked=TIME` at the end is one that
//! was revoked. What follows a `#` at the start of a line is for people.

use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
    rand,
};
use data_encoding::{BASE32_NOPAD, HEXLOWER_PERMISSIVE};
use selvedge_base::Secret;
use selvedge_identity::guarded_file;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::identity::Named;

/// In front of each key, so that a person or a scanner who finds one knows what it is.
const PREFIX: &str = "slv_";
const ID_BYTES: usize = 5;
const SECRET_BYTES: usize = 32;
/// In front of a hash: what it was made with.
const HASH: &str = "sha256:";
/// Bytes of a file at most.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of a line at most, and so of all roles of a key together.
const LINE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a name, a role or a scope at most.
const WORD_BYTES_MAX: usize = 256;

/// What a new key is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKey {
    /// Who comes with it.
    pub user: String,
    /// Roles it gives.
    pub roles: Vec<String>,
    /// Scopes it gives.
    pub scopes: Vec<String>,
    /// From when on it is refused. `None`: never.
    pub expires: Option<SystemTime>,
}

/// A key that was just made.
#[derive(Clone, Debug)]
pub struct Created {
    /// By which it is revoked.
    pub id: String,
    /// The key itself. Nobody can show it again.
    pub key: Secret,
}

/// A key as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// By which it is revoked.
    pub id: String,
    /// Who comes with it.
    pub user: String,
    /// Roles it gives.
    pub roles: Vec<String>,
    /// Scopes it gives.
    pub scopes: Vec<String>,
    /// From when on it is refused. `None`: never.
    pub expires: Option<SystemTime>,
    /// Since when it is refused.
    pub revoked: Option<SystemTime>,
    /// Of the whole key.
    hash: [u8; 32],
}

/// Why a file of keys was not read or written.
#[derive(Debug)]
pub enum KeyFileError {
    /// The file cannot be read.
    Read(PathBuf, io::Error),
    /// The file cannot be written.
    Write(PathBuf, io::Error),
    /// The file is larger than is read.
    TooLarge(PathBuf),
    /// A line that is not understood; lines count from 1.
    Line(PathBuf, usize, LineError),
    /// No key has this id.
    Unknown(String),
    /// A name, role or scope that cannot be written.
    Word(String),
    /// A key with more roles and scopes than fit into a line.
    TooLong,
    /// A time beyond the year 9999.
    Time,
    /// The system gives no random bytes.
    Random,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// Not `ID sha256:HEX EXPIRY NAME=VALUE…`.
    Form,
    /// An id that a line above has as well; neither counts.
    Repeated,
}

/// Makes a key and adds it to the file, which is created if there is none.
pub fn create(file: &Path, new: &NewKey) -> Result<Created, KeyFileError> {
    let NewKey { user, roles, scopes, expires } = new;
    let words = [user].into_iter().chain(roles).chain(scopes);
    for word in words {
        is_word(word).then_some(()).ok_or_else(|| KeyFileError::Word(word.clone()))?;
    }
    let _lock = lock(file)?;
    let text = if file.exists() { read(file)? } else { String::new() };
    let taken: BTreeSet<String> =
        parse(&text).filter_map(|(_, it)| it.ok()).map(|it| it.id).collect();
    let id = loop {
        let id = random::<ID_BYTES>()?;
        if !taken.contains(&id) {
            break id;
        }
    };
    let key = format!("{PREFIX}{id}_{}", random::<SECRET_BYTES>()?);
    let entry = Entry {
        id: id.clone(),
        user: user.clone(),
        roles: roles.clone(),
        scopes: scopes.clone(),
        expires: *expires,
        revoked: None,
        hash: hash(&key),
    };
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    write(file, &format!("{text}{gap}{}\n", entry.line()?))?;
    Ok(Created { id, key: Secret::new(key) })
}

/// Marks the key as revoked at `now`, unless it is already. Its line stays, so that its id means the
/// same for ever.
pub fn revoke(file: &Path, id: &str, now: SystemTime) -> Result<Entry, KeyFileError> {
    let _lock = lock(file)?;
    let text = read(file)?;
    let mut revoked = None;
    let mut lines = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        let line = match Entry::parse(line) {
            Some(entry) if entry.id == id => {
                let entry = Entry { revoked: entry.revoked.or(Some(now)), ..entry };
                let line = entry.line()?;
                revoked = Some(entry);
                line
            }
            _ => line.to_owned(),
        };
        lines.push_str(&line);
        lines.push('\n');
    }
    let revoked = revoked.ok_or_else(|| KeyFileError::Unknown(id.to_owned()))?;
    write(file, &lines)?;
    Ok(revoked)
}

/// All keys of the file, in its order.
pub fn list(file: &Path) -> Result<Vec<Entry>, KeyFileError> {
    let text = read(file)?;
    let wrong = |line, error| KeyFileError::Line(file.to_owned(), line, error);
    parse(&text).map(|(line, entry)| entry.map_err(|(error, _)| wrong(line, error))).collect()
}

/// Whether `text` is meant to be one of these keys.
pub(super) fn is_ours(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Keys to be looked up.
#[derive(Debug, Default)]
pub(super) struct ApiKeys {
    by_id: HashMap<String, Entry>,
}

/// Why a key counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyRefused {
    Unknown,
    Revoked,
    Expired,
}

impl ApiKeys {
    /// Reads the keys of a file. Lines that are not understood let nobody in, and are told.
    pub(super) fn read(file: &Path) -> Result<(Self, Vec<KeyFileError>), KeyFileError> {
        let text = read(file)?;
        let mut keys = Self::default();
        let mut wrong = Vec::new();
        let mut repeated = Vec::new();
        for (line, entry) in parse(&text) {
            match entry {
                Ok(entry) => {
                    keys.by_id.insert(entry.id.clone(), entry);
                }
                Err((error, id)) => {
                    wrong.push(KeyFileError::Line(file.to_owned(), line, error));
                    repeated.extend(id);
                }
            }
        }
        for id in repeated {
            keys.by_id.remove(&id);
        }
        Ok((keys, wrong))
    }

    /// Who comes with this key.
    pub(super) fn find(&self, key: &str, now: SystemTime) -> Result<&Entry, KeyRefused> {
        let id = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).map(|(id, _)| id);
        let entry = id.and_then(|id| self.by_id.get(id));
        // An unknown id costs what a known one does.
        let expected = entry.map_or([0; 32], |entry| entry.hash);
        let is_equal = verify_slices_are_equal(&hash(key), &expected).is_ok();
        let entry = entry.filter(|_| is_equal).ok_or(KeyRefused::Unknown)?;
        match entry {
            Entry { revoked: Some(_), .. } => Err(KeyRefused::Revoked),
            Entry { expires: Some(end), .. } if *end <= now => Err(KeyRefused::Expired),
            entry => Ok(entry),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

impl Entry {
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
            user: String::new(),
            roles: Vec::new(),
            scopes: Vec::new(),
            expires,
            revoked: None,
            hash: hash.try_into().ok()?,
        };
        let mut seen = BTreeSet::new();
        for (name, value) in words.map(|word| word.split_once('=')).collect::<Option<Vec<_>>>()? {
            let names = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
            match name {
                _ if !seen.insert(name) || value.is_empty() => return None,
                "user" => entry.user = value.to_owned(),
                "roles" => entry.roles = names(),
                "scopes" => entry.scopes = names(),
                "revoked" => entry.revoked = Some(time(value)?),
                _ => return None,
            }
        }
        (entry.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) && entry.has_whole_words())
            .then_some(entry)
    }

    fn has_whole_words(&self) -> bool {
        let Self { user, roles, scopes, .. } = self;
        [user].into_iter().chain(roles).chain(scopes).all(|word| is_word(word))
    }

    fn line(&self) -> Result<String, KeyFileError> {
        let Self { id, user, roles, scopes, expires, revoked, hash } = self;
        let end = expires.map_or(Ok("never".to_owned()), written)?;
        let mut line = format!("{id} {HASH}{} {end} user={user}", HEXLOWER_PERMISSIVE.encode(hash));
        for (name, words) in [("roles", roles), ("scopes", scopes)] {
            if !words.is_empty() {
                line.push_str(&format!(" {name}={}", words.join(",")));
            }
        }
        if let Some(revoked) = revoked {
            line.push_str(&format!(" revoked={}", written(*revoked)?));
        }
        match line.len() <= LINE_BYTES_MAX {
            true => Ok(line),
            false => Err(KeyFileError::TooLong),
        }
    }

    /// Who comes with it. Its words have neither blanks nor control characters, and are few.
    pub(super) fn named(&self) -> Named {
        let Self { user, roles, scopes, .. } = self;
        Named { name: user.clone(), roles: roles.clone(), scopes: scopes.clone() }
    }
}

/// A key, or what is wrong with its line and the id that it has all the same.
type Parsed = Result<Entry, (LineError, Option<String>)>;

/// Keys and wrong lines, each with the number of its line.
fn parse(text: &str) -> impl Iterator<Item = (usize, Parsed)> {
    let mut seen = BTreeSet::new();
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(move |(number, line)| match Entry::parse(line) {
        Some(entry) if seen.insert(entry.id.clone()) => (number, Ok(entry)),
        Some(entry) => (number, Err((LineError::Repeated, Some(entry.id)))),
        None => (number, Err((LineError::Form, None))),
    })
}

/// A word between blanks and commas.
fn is_word(word: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&word.len())
        && !word.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',')
}

fn hash(key: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    hash
}

/// Letters and digits that are not mistaken for each other: base32 in lower case.
fn random<const N: usize>() -> Result<String, KeyFileError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| KeyFileError::Random)?;
    Ok(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

fn time(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

fn written(time: SystemTime) -> Result<String, KeyFileError> {
    // Seconds are enough for people; the fraction would be noise in the file.
    let time = OffsetDateTime::from(time).replace_nanosecond(0).map_err(|_| KeyFileError::Time)?;
    time.format(&Rfc3339).map_err(|_| KeyFileError::Time)
}

fn read(file: &Path) -> Result<String, KeyFileError> {
    guarded_file::read(file, FILE_BYTES_MAX).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => KeyFileError::TooLarge(file.to_owned()),
        _ => KeyFileError::Read(file.to_owned(), error),
    })
}

fn lock(file: &Path) -> Result<fs::File, KeyFileError> {
    guarded_file::lock(file).map_err(|error| KeyFileError::Write(file.to_owned(), error))
}

fn write(file: &Path, text: &str) -> Result<(), KeyFileError> {
    let replaced = guarded_file::replace(file, text);
    replaced.map_err(|error| KeyFileError::Write(file.to_owned(), error))
}

impl fmt::Display for KeyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the API key is not known",
            Self::Revoked => "the API key was revoked",
            Self::Expired => "the API key has expired",
        })
    }
}

impl Error for KeyRefused {}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "not `ID sha256:HASH EXPIRY user=NAME roles=A,B scopes=C,D`",
            Self::Repeated => "a line above has the same id, so neither counts",
        })
    }
}

impl Error for LineError {}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(file, error) => write!(f, "cannot read {}: {error}", file.display()),
            Self::Write(file, error) => write!(f, "cannot write {}: {error}", file.display()),
            Self::TooLarge(file) => {
                write!(f, "{} is larger than {FILE_BYTES_MAX} bytes", file.display())
            }
            Self::Line(file, line, error) => write!(f, "{}:{line}: {error}", file.display()),
            Self::Unknown(id) => write!(f, "no key has the id {id:?}"),
            Self::Word(word) => write!(
                f,
                "{word:?} cannot be a name, role or scope: 1 to {WORD_BYTES_MAX} bytes without \
                 blanks, commas and control characters"
            ),
            Self::TooLong => {
                write!(f, "more roles and scopes than fit into {LINE_BYTES_MAX} bytes")
            }
            Self::Time => f.write_str("a key cannot expire after the year 9999"),
            Self::Random => f.write_str("the system gives no random bytes"),
        }
    }
}

impl Error for KeyFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(_, error) | Self::Write(_, error) => Some(error),
            Self::Line(_, _, error) => Some(error),
            Self::TooLarge(_)
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
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    fn new(user: &str, expires: Option<SystemTime>) -> NewKey {
        NewKey {
            user: user.to_owned(),
            roles: vec!["deploy".to_owned(), "read".to_owned()],
            scopes: vec!["write".to_owned()],
            expires,
        }
    }

    fn refusal(file: &Path, key: &str, now: SystemTime) -> Option<KeyRefused> {
        ApiKeys::read(file).unwrap().0.find(key, now).err()
    }

    #[test]
    fn a_key_lives_from_its_creation_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.txt");
        let Created { id, key } = create(&file, &new("ci", Some(at(60)))).unwrap();
        let key = key.expose();
        assert!(key.starts_with(&format!("slv_{id}_")) && key.len() == 4 + 8 + 1 + 52, "{key}");
        assert!(!fs::read_to_string(&file).unwrap().contains(&key[13..]));

        let (keys, wrong) = ApiKeys::read(&file).unwrap();
        assert_eq!((keys.len(), wrong.len()), (1, 0));
        let entry = keys.find(key, at(59)).unwrap();
        assert_eq!((&*entry.user, &*entry.roles.join(" ")), ("ci", "deploy read"));
        assert_eq!(keys.find(key, at(60)), Err(KeyRefused::Expired));

        let revoked = revoke(&file, &id, at(10)).unwrap();
        assert_eq!(revoked.revoked, Some(at(10)));
        assert_eq!(revoke(&file, &id, at(20)).unwrap().revoked, Some(at(10)));
        assert_eq!(refusal(&file, key, at(11)), Some(KeyRefused::Revoked));
        assert_eq!(list(&file).unwrap(), [revoked]);
        assert!(matches!(revoke(&file, "nobody", at(0)), Err(KeyFileError::Unknown(_))));
    }

    #[test]
    fn only_the_whole_key_opens() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.txt");
        let one = create(&file, &new("one", None)).unwrap();
        let two = create(&file, &new("two", None)).unwrap();
        let (one, key) = (one.id, one.key.expose().to_owned());
        let swapped = two.key.expose().replace(&two.id, &one);
        let (first, last) = (&key[..key.len() - 1], &key[1..]);
        for wrong in ["", "slv_", "slv__", &one, first, last, &format!("{key}a"), &swapped] {
            assert_eq!(refusal(&file, wrong, at(0)), Some(KeyRefused::Unknown), "{wrong}");
        }
        assert_eq!(refusal(&file, &key, at(0)), None);
    }

    #[test]
    fn lines_that_are_not_understood_let_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.txt");
        let good = create(&file, &new("good", None)).unwrap();
        let twice = create(&file, &new("twice", None)).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let again = text.lines().nth(1).unwrap();
        let fresh = again.replace(&twice.id, "fresh");
        let wrong = [
            again.to_owned(),
            "one two".to_owned(),
            fresh.replace("sha256:", "md5:"),
            fresh.replace("never", "soon"),
            fresh.replace("user=", "name="),
            fresh.replace("roles=", "user="),
            fresh.replace("roles=deploy", "roles="),
            fresh.replace("deploy,read", "deploy,,read"),
            format!("{fresh} revoked=yes"),
            fresh.replace("sha256:", "sha256:00"),
        ];
        fs::write(&file, format!("# for people\n\n{text}{}\n", wrong.join("\n"))).unwrap();
        let (keys, told) = ApiKeys::read(&file).unwrap();
        assert_eq!((keys.len(), told.len()), (1, wrong.len()));
        assert!(keys.find(good.key.expose(), at(0)).is_ok());
        assert!(keys.find(twice.key.expose(), at(0)).is_err(), "two lines have its id");
        let first = told[0].to_string();
        assert!(first.ends_with("keys.txt:5: a line above has the same id, so neither counts"));
        assert!(matches!(list(&file), Err(KeyFileError::Line(_, 5, LineError::Repeated))));
        create(&file, &new("more", None)).unwrap();
        assert_eq!(
            ApiKeys::read(&file).unwrap().0.len(),
            2,
            "what was wrong stays, and so does the rest"
        );
    }

    #[test]
    fn what_would_break_the_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.txt");
        for word in ["", "a b", "a,b", "a\nb", &"a".repeat(257)] {
            let error = create(&file, &new(word, None)).unwrap_err();
            assert!(matches!(error, KeyFileError::Word(_)), "{error}");
        }
        assert!(matches!(list(&file), Err(KeyFileError::Read(..))));
    }

    #[test]
    fn many_hands_make_many_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.txt");
        std::thread::scope(|scope| {
            for hand in 0..4 {
                let file = &file;
                scope.spawn(move || {
                    for _ in 0..5 {
                        create(file, &new(&format!("hand-{hand}"), None)).unwrap();
                    }
                });
            }
        });
        assert_eq!(list(&file).unwrap().len(), 20);
    }

    #[test]
    fn the_file_keeps_its_mode_and_a_link_stays_a_link() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("keys.txt"), folder.path().join("link"));
        let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        create(&file, &new("one", None)).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        create(&link, &new("two", None)).unwrap();
        assert_eq!((mode(), list(&file).unwrap().len()), (0o640, 2));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "[a-z0-9:= ,#\\nT.Z-]{0,200}") {
            let understood = parse(&text).filter(|(_, entry)| entry.is_ok()).count();
            prop_assert!(understood <= text.lines().count());
        }
    }
}
