//! Where callers show what they come with.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, SystemTime},
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, header};
use selvedge_config::{
    AGENTS_FIELD, CoreGrant, CoreToken, ROLE_FIELD, SCOPE_FIELD, TENANT_FIELD, USER_FIELD,
};

use crate::{
    Caller, Means, Principal, Refusal,
    guarded_file::Version,
    scope::{Scope, Scopes},
    token::{Token, TokenError, sha256},
    token_file::{Entry, TokenFile, TokenFileError},
    usage::Usage,
};

/// How a request reached the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Through our edge, which took off what the client claimed of itself.
    Edge,
    /// Some other way: only credentials count.
    Unknown,
}

/// Names callers. Shared by all requests; the file of tokens is looked at again when it changes.
#[derive(Debug)]
pub struct Desk {
    declared: Vec<Declared>,
    grants: Vec<Grant>,
    file: Option<WatchedFile>,
}

/// A token of the config.
#[derive(Debug)]
struct Declared {
    name: String,
    scopes: Scopes,
    tenant: Option<String>,
    hash: [u8; 32],
}

#[derive(Debug)]
struct Grant {
    role: Option<String>,
    scopes: Vec<Scope>,
}

/// The file of tokens as last read.
#[derive(Debug)]
struct WatchedFile {
    file: TokenFile,
    known: RwLock<Known>,
    /// Shared with the desk that comes after this one: a request under way may still note a use here.
    usage: Arc<Mutex<Usage>>,
}

#[derive(Debug, Default)]
struct Known {
    entries: HashMap<String, Entry>,
    version: Option<Version>,
    looked_at: Option<SystemTime>,
}

/// How old what is known of the file may be: so late is a revocation obeyed at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Bytes of what an agent says of a caller.
const NAME_BYTES_MAX: usize = 256;
/// Roles of one user that count.
const ROLES_MAX: usize = 64;

impl Desk {
    /// A desk that knows the config's tokens and grants, and the tokens of the file in `data_dir`.
    pub fn new(tokens: Vec<CoreToken>, grants: Vec<CoreGrant>, data_dir: Option<&Path>) -> Self {
        Self {
            declared: tokens.into_iter().map(Declared::new).collect(),
            grants: grants.into_iter().map(Grant::new).collect(),
            file: data_dir.map(WatchedFile::new),
        }
    }

    /// Who sent a request with these fields. A credential that counts for nothing is refused, even
    /// where none is needed: whoever sends one wants to know.
    pub fn identify(
        &self,
        fields: &HeaderMap,
        via: Via,
        now: SystemTime,
    ) -> Result<Caller, Refusal> {
        let trusted = via == Via::Edge;
        let user = if trusted { self.user(fields)? } else { None };
        let credential = credential(fields);
        let caller = match (user, credential) {
            (user, Ok(Some(text))) => match self.service(text, now)? {
                Some(service) => service,
                None => user.ok_or(Refusal::UnknownToken)?,
            },
            (Some(user), _) => user,
            (None, Ok(None)) => Caller::anonymous(),
            (None, Err(refusal)) => return Err(refusal),
        };
        let (client, trace_id) = match trusted {
            true => (client(fields), trace_id(fields)),
            false => (None, None),
        };
        Ok(Caller { client, trace_id, ..caller })
    }

    /// Looks at the file now, and tells which of its lines are not understood.
    pub fn look(&self, now: SystemTime) -> Result<Vec<usize>, TokenFileError> {
        self.file.as_ref().map_or(Ok(Vec::new()), |file| file.load(now))
    }

    /// Takes over from the desk before this one, of the same data-dir: no use of a token is forgotten.
    pub fn follow(&mut self, previous: &Self) {
        if let (Some(file), Some(before)) = (&mut self.file, &previous.file)
            && file.file == before.file
        {
            file.usage = before.usage.clone();
        }
    }

    /// Writes down which tokens were used lately. Costs nothing when none was.
    pub fn keep_usage(&self) -> std::io::Result<()> {
        match &self.file {
            Some(file) => file.usage.lock().unwrap_or_else(PoisonError::into_inner).keep(),
            None => Ok(()),
        }
    }

    /// The service that comes with `text`; `None` when it is no token of ours.
    fn service(&self, text: &str, now: SystemTime) -> Result<Option<Caller>, Refusal> {
        let hash = sha256(text);
        // All are looked at, whichever fits: how long it takes tells nothing.
        let fitting = self.declared.iter().fold(None, |found, one| {
            match verify_slices_are_equal(&one.hash, &hash) {
                Ok(()) => Some(one),
                Err(_) => found,
            }
        });
        if let Some(declared) = fitting {
            return Ok(Some(declared.caller()));
        }
        match Token::parse(text) {
            Ok(token) => self.of_file(&token, now).map(Some),
            Err(TokenError::Form) => Ok(None),
            Err(TokenError::Checksum) => Err(Refusal::UnknownToken),
        }
    }

    fn of_file(&self, token: &Token, now: SystemTime) -> Result<Caller, Refusal> {
        let file = self.file.as_ref().ok_or(Refusal::UnknownToken)?;
        let known = file.known(token.id(), now);
        let entry = known.entries.get(token.id());
        // An unknown id costs what a known one does.
        let expected = entry.map_or([0; 32], |entry| entry.hash);
        let is_equal = verify_slices_are_equal(&token.hash(), &expected).is_ok();
        let entry = entry.filter(|_| is_equal).ok_or(Refusal::UnknownToken)?;
        match entry {
            Entry { revoked: Some(_), .. } => Err(Refusal::RevokedToken),
            Entry { expires: Some(end), .. } if *end <= now => Err(Refusal::ExpiredToken),
            entry => {
                file.usage.lock().unwrap_or_else(PoisonError::into_inner).note(&entry.id, now);
                Ok(entry.caller())
            }
        }
    }

    /// The user that the edge's agents named.
    fn user(&self, fields: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        let Some(id) = said(fields, USER_FIELD)? else { return Ok(None) };
        let roles = said(fields, ROLE_FIELD)?.map_or(Vec::new(), |text| listed(text, ','));
        let mut scopes = Scopes::default();
        for scope in said(fields, SCOPE_FIELD)?.into_iter().flat_map(|text| text.split(' ')) {
            // Scopes of others, such as `openid` beside ours, are nothing to us; nor are odd ones.
            scopes.extend(scope.parse::<Scope>().iter().filter(|scope| scope.as_str() != "*"));
        }
        let granted = self.grants.iter().filter(|grant| grant.is_for(&roles));
        granted.for_each(|grant| scopes.extend(&grant.scopes));
        let agents = said(fields, AGENTS_FIELD)?.map_or(Vec::new(), |text| listed(text, ' '));
        Ok(Some(Caller {
            principal: Principal::User { id: id.to_owned(), roles },
            tenant: said(fields, TENANT_FIELD)?.map(str::to_owned),
            scopes,
            means: Means::Agents(agents),
            ..Caller::anonymous()
        }))
    }
}

impl Declared {
    fn new(token: CoreToken) -> Self {
        let CoreToken { name, secret, scopes, tenant } = token;
        Self {
            name: name.to_string(),
            scopes: scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            tenant: tenant.map(|tenant| tenant.to_string()),
            hash: sha256(secret.expose()),
        }
    }

    fn caller(&self) -> Caller {
        Caller {
            principal: Principal::Service { name: self.name.clone() },
            tenant: self.tenant.clone(),
            scopes: self.scopes.clone(),
            means: Means::DeclaredToken,
            ..Caller::anonymous()
        }
    }
}

impl Entry {
    fn caller(&self) -> Caller {
        Caller {
            principal: Principal::Service { name: self.name.clone() },
            tenant: self.tenant.clone(),
            scopes: self.scopes.clone(),
            means: Means::Token { id: self.id.clone() },
            ..Caller::anonymous()
        }
    }
}

impl Grant {
    fn new(grant: CoreGrant) -> Self {
        let CoreGrant { role, scopes } = grant;
        Self { role, scopes: scopes.iter().filter_map(|scope| scope.parse().ok()).collect() }
    }

    fn is_for(&self, roles: &[String]) -> bool {
        self.role.as_ref().is_none_or(|role| roles.contains(role))
    }
}

impl WatchedFile {
    fn new(data_dir: &Path) -> Self {
        Self {
            file: TokenFile::within(data_dir),
            known: RwLock::default(),
            usage: Arc::new(Mutex::new(Usage::within(data_dir))),
        }
    }

    /// What is known, fresh enough to tell whether `id` counts: a new token counts at once. Who guesses ids has the
    /// file's metadata looked at, which costs less than the request.
    fn known(&self, id: &str, now: SystemTime) -> RwLockReadGuard<'_, Known> {
        let is_fresh = |known: &Known| {
            let looked = known.looked_at.and_then(|at| now.duration_since(at).ok());
            known.entries.contains_key(id) && looked.is_some_and(|age| age < LOOK_AGAIN)
        };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if is_fresh(&known) {
            return known;
        }
        drop(known);
        // A file that cannot be read now keeps what was read before in force, but for a moment only:
        // the next request tries again.
        let _ = self.refresh(now);
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh(&self, now: SystemTime) -> Result<(), TokenFileError> {
        let version = crate::guarded_file::version(self.file.path());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.looked_at.is_some() && known.version == version {
            known.looked_at = Some(now);
            return Ok(());
        }
        drop(known);
        self.load(now).map(drop)
    }

    fn load(&self, now: SystemTime) -> Result<Vec<usize>, TokenFileError> {
        // The version first: what changes while it is read is then read again.
        let version = crate::guarded_file::version(self.file.path());
        let (entries, wrong) = self.file.load()?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = Known { entries, version, looked_at: Some(now) };
        Ok(wrong)
    }
}

/// What stands behind `Bearer` in the only `Authorization`.
fn credential(fields: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut sent = fields.get_all(header::AUTHORIZATION).iter();
    let Some(first) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(Refusal::Credentials);
    }
    let text = first.to_str().map_err(|_| Refusal::Credentials)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Refusal::Credentials),
    }
}

/// What the edge says in a field; `None` when it says nothing.
fn said<'f>(fields: &'f HeaderMap, name: &str) -> Result<Option<&'f str>, Refusal> {
    let mut values = fields.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let text = std::str::from_utf8(first.as_bytes()).map_err(|_| Refusal::Identity)?;
    let is_sound = values.next().is_none()
        && text.len() <= NAME_BYTES_MAX * 16
        && !text.contains(char::is_control);
    match text {
        _ if !is_sound => Err(Refusal::Identity),
        "" => Ok(None),
        text if name == USER_FIELD && text.len() > NAME_BYTES_MAX => Err(Refusal::Identity),
        text => Ok(Some(text)),
    }
}

fn listed(text: &str, between: char) -> Vec<String> {
    let names = text.split(between).map(str::trim).filter(|name| !name.is_empty());
    names.take(ROLES_MAX).map(str::to_owned).collect()
}

/// The edge puts the client first, and only trusted proxies behind it.
fn client(fields: &HeaderMap) -> Option<IpAddr> {
    let chain = fields.get("x-forwarded-for")?.to_str().ok()?;
    chain.split(',').next()?.trim().parse().ok()
}

/// `00-TRACE-SPAN-FLAGS`, as the edge writes it.
fn trace_id(fields: &HeaderMap) -> Option<String> {
    let text = fields.get("traceparent")?.to_str().ok()?;
    let id = text.split('-').nth(1)?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use selvedge_base::Secret;

    use super::*;
    use crate::NewToken;

    const DECLARED: &str = "0123456789abcdef0123456789abcdef";

    fn desk(data_dir: Option<&Path>) -> Desk {
        let token = CoreToken {
            name: "ci".into(),
            secret: Secret::new(DECLARED),
            scopes: vec!["streams:*".to_owned()],
            tenant: Some("acme".into()),
        };
        let grant = |role: Option<&str>, scope: &str| CoreGrant {
            role: role.map(str::to_owned),
            scopes: vec![scope.to_owned()],
        };
        let grants = vec![grant(None, "streams:read"), grant(Some("editor"), "streams:write")];
        Desk::new(vec![token], grants, data_dir)
    }

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(*name, value.parse().unwrap());
        }
        fields
    }

    fn bearer(token: &str) -> HeaderMap {
        fields(&[("authorization", &format!("Bearer {token}"))])
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[track_caller]
    fn check_refused(desk: &Desk, fields: &HeaderMap, via: Via, expected: Refusal) {
        assert_eq!(desk.identify(fields, via, now()), Err(expected));
    }

    #[test]
    fn only_the_edge_is_believed() {
        let desk = desk(None);
        let claimed = fields(&[
            ("x-user-id", "alice"),
            ("x-user-role", "editor, guest"),
            ("x-user-scope", "openid audit:read *"),
            ("x-user-tenant", "acme"),
            ("x-selvedge-agents", "auth"),
            ("x-forwarded-for", "192.0.2.7, 10.0.0.1"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ]);
        let alice = desk.identify(&claimed, Via::Edge, now()).unwrap();
        assert_eq!(alice.principal.name(), "alice");
        assert_eq!(alice.tenant.as_deref(), Some("acme"));
        assert_eq!(alice.means, Means::Agents(vec!["auth".to_owned()]));
        assert_eq!(alice.client, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(alice.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        for scope in ["streams:read", "streams:write", "audit:read"] {
            assert_eq!(alice.require(scope), Ok(()), "{scope}");
        }
        assert_eq!(alice.require("views:read"), Err(Refusal::Scope("views:read".to_owned())));
        assert_eq!(desk.identify(&claimed, Via::Unknown, now()), Ok(Caller::anonymous()));
    }

    #[test]
    fn declared_tokens_count_on_every_way() {
        for via in [Via::Edge, Via::Unknown] {
            let caller = desk(None).identify(&bearer(DECLARED), via, now()).unwrap();
            assert_eq!(caller.principal, Principal::Service { name: "ci".to_owned() });
            assert_eq!(caller.require("streams:write"), Ok(()));
            assert_eq!(caller.tenant.as_deref(), Some("acme"));
        }
    }

    #[test]
    fn credentials_that_count_for_nothing_are_refused() {
        let desk = desk(None);
        let strange = Token::generate().unwrap();
        check_refused(&desk, &bearer("nonsense"), Via::Edge, Refusal::UnknownToken);
        let cut = &strange.text().expose()[..60];
        check_refused(&desk, &bearer(cut), Via::Edge, Refusal::UnknownToken);
        let strange = bearer(strange.text().expose());
        check_refused(&desk, &strange, Via::Edge, Refusal::UnknownToken);
        let basic = fields(&[("authorization", "Basic YTpi")]);
        check_refused(&desk, &basic, Via::Edge, Refusal::Credentials);
        let twice = fields(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        check_refused(&desk, &twice, Via::Edge, Refusal::Credentials);
        // An agent of the edge has made of it whom it names.
        let named = fields(&[("authorization", "Bearer eyJhbGciOi"), ("x-user-id", "bob")]);
        assert_eq!(desk.identify(&named, Via::Edge, now()).unwrap().principal.name(), "bob");
        check_refused(&desk, &named, Via::Unknown, Refusal::UnknownToken);
    }

    #[test]
    fn what_the_edge_cannot_have_meant_is_refused() {
        let desk = desk(None);
        let twice = fields(&[("x-user-id", "a"), ("x-user-id", "b")]);
        check_refused(&desk, &twice, Via::Edge, Refusal::Identity);
        let long = fields(&[("x-user-id", &"x".repeat(257))]);
        check_refused(&desk, &long, Via::Edge, Refusal::Identity);
    }

    #[test]
    fn a_desk_that_takes_over_forgets_no_use() {
        let folder = tempfile::tempdir().unwrap();
        let before = desk(Some(folder.path()));
        let new = NewToken {
            name: "app".to_owned(),
            scopes: Scopes::default(),
            tenant: None,
            expires: None,
        };
        let token = TokenFile::within(folder.path()).create(&new).unwrap();
        let mut after = desk(Some(folder.path()));
        after.follow(&before);
        // A request that began before the reload.
        before.identify(&bearer(token.text().expose()), Via::Unknown, now()).unwrap();
        after.keep_usage().unwrap();
        assert_eq!(Usage::within(folder.path()).last(token.id()), Some(now()));
    }

    #[test]
    fn the_file_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(Some(folder.path()));
        let file = TokenFile::within(folder.path());
        let new = |expires| NewToken {
            name: "app".to_owned(),
            scopes: ["streams:read".parse().unwrap()].into_iter().collect(),
            tenant: None,
            expires,
        };
        let later = |seconds| now() + Duration::from_secs(seconds);
        assert_eq!(desk.look(now()).unwrap(), Vec::<usize>::new());
        let token = file.create(&new(Some(later(100)))).unwrap();
        let sent = bearer(token.text().expose());
        let caller = desk.identify(&sent, Via::Unknown, later(1)).unwrap();
        assert_eq!(caller.means, Means::Token { id: token.id().to_owned() });
        assert_eq!(desk.identify(&sent, Via::Unknown, later(100)), Err(Refusal::ExpiredToken));
        file.revoke(token.id(), later(2)).unwrap();
        assert_eq!(desk.identify(&sent, Via::Unknown, later(3)), Err(Refusal::RevokedToken));
        desk.keep_usage().unwrap();
        let used = Usage::within(folder.path());
        assert_eq!(used.last(token.id()), Some(later(0)));
    }
}
