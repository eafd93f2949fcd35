//! The nodes of an agent of type `auth`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use selvedge_base::Secret;

use super::{
    Algorithm, ApiKeys, CertificateIdentity, ClaimHeader, ClaimValue, ClientCertificate, Issuer,
    Keys, Place, Settings,
};
use crate::{
    Code, Id,
    address::id,
    cursor::Cursor,
    http::{cookie_name, is_exposed, operable_header_name, scheme, url},
    reading::{Problem, Reading},
    source::{Span, Spanned, sound},
    value::{Checked, Value},
};

/// Nodes that only agents of this type have.
pub(in crate::agent) const NODES: [&str; 11] = [
    "issuer",
    "token",
    "api-keys",
    "client-certificate",
    "claims",
    "values",
    "roles-from",
    "scopes-from",
    "realm",
    "anonymous",
    "cache",
];

/// The field that the name of who asks is sent in, unless the config says otherwise.
pub(in crate::agent) const USER_HEADER: &str = "x-user-id";
/// The field that roles are sent in, unless the config says otherwise.
pub(in crate::agent) const ROLE_HEADER: &str = "x-user-role";

/// The settings as written.
pub(in crate::agent) struct AuthPart {
    issuers: Vec<IssuerPart>,
    token: Option<Vec<Place>>,
    api_keys: Option<ApiKeysPart>,
    client_certificate: Option<ClientCertificate>,
    claims: Option<Vec<ClaimHeader>>,
    values: Vec<ClaimValue>,
    roles_from: Option<Vec<String>>,
    scopes_from: Option<Vec<String>>,
    realm: Option<Spanned<String>>,
    anonymous: Option<Spanned<bool>>,
    cache: Option<Spanned<usize>>,
}

struct IssuerPart {
    span: Span,
    issuer: Option<Spanned<String>>,
    /// Outer: written at all; inner: understood.
    keys: Option<Option<Keys>>,
    secret: Option<Option<Spanned<Secret>>>,
    audiences: Option<Vec<String>>,
    algorithms: Option<Vec<Spanned<Algorithm>>>,
    token_type: Option<Spanned<String>>,
    leeway: Option<Spanned<Duration>>,
    refresh: Option<Spanned<Duration>>,
    refetch_interval: Option<Spanned<Duration>>,
    timeout: Option<Spanned<Duration>>,
    ca: Option<Option<Spanned<PathBuf>>>,
}

struct ApiKeysPart {
    file: Option<Spanned<PathBuf>>,
    places: Vec<Place>,
    refresh: Option<Spanned<Duration>>,
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl AuthPart {
    pub(in crate::agent) fn read(cursor: &mut Cursor<'_>) -> Self {
        let part = Self {
            issuers: cursor.children(&["issuer"], IssuerPart::read),
            token: cursor.child("token", read_token),
            api_keys: cursor.child("api-keys", ApiKeysPart::read),
            client_certificate: cursor.child("client-certificate", read_client_certificate),
            claims: cursor.child("claims", read_claims),
            values: cursor.child("values", read_values).unwrap_or_default(),
            roles_from: cursor.child("roles-from", read_claim_names),
            scopes_from: cursor.child("scopes-from", read_claim_names),
            realm: cursor.setting("realm", |value| value.parse(realm)),
            anonymous: cursor.setting("anonymous", |value| value.boolean()),
            cache: cursor.setting("cache", |value| value.count(0..=10_000_000)),
        };
        part.check_means(cursor);
        check_issuers(cursor.reading(), &part.issuers);
        part
    }

    fn check_means(&self, cursor: &Cursor<'_>) {
        let has_means = !self.issuers.is_empty()
            || self.api_keys.is_some()
            || self.client_certificate.is_some();
        if has_means {
            return;
        }
        let problem = Problem::new(Code::Missing, "this agent knows nobody, and refuses everybody");
        cursor.error(
            problem.help("add `issuer \"https://…\" { … }`, `api-keys` or `client-certificate`"),
        );
    }

    /// Request fields that only this agent may set.
    pub(in crate::agent) fn identity_headers(&self) -> BTreeSet<String> {
        match &self.claims {
            Some(claims) => claims.iter().map(|claim| claim.header.clone()).collect(),
            None => [USER_HEADER, ROLE_HEADER].map(str::to_owned).into(),
        }
    }

    /// Whether it sets a value of that name.
    pub(in crate::agent) fn sets(&self, value: &str) -> bool {
        super::VALUES.contains(&value) || self.values.iter().any(|own| own.value == value)
    }

    /// Request fields that hold credentials.
    pub(in crate::agent) fn credential_headers(&self) -> BTreeSet<&str> {
        let keys = self.api_keys.iter().flat_map(|keys| &keys.places);
        let places = self.token.iter().flatten().chain(keys);
        let headers = places.filter_map(|place| match place {
            Place::Header { name, .. } => Some(name.as_str()),
            Place::Cookie(_) | Place::Query(_) => None,
        });
        headers.collect()
    }

    pub(in crate::agent) fn settle(
        self,
        reading: &Reading<'_>,
        (scope, id): (&str, &Id),
    ) -> Option<Settings> {
        let Self {
            issuers,
            token,
            api_keys,
            client_certificate,
            claims,
            values,
            roles_from,
            scopes_from,
            realm,
            anonymous,
            cache,
        } = self;
        let issuers: Vec<_> = issuers.into_iter().map(|part| part.settle(reading, scope)).collect();
        let api_keys = api_keys.map(|part| part.settle(reading, scope));
        let roles_from = roles_from.unwrap_or_else(|| default_roles(claims.as_deref()));
        Some(Settings {
            issuers: issuers.into_iter().collect::<Option<_>>()?,
            token: token.unwrap_or_else(default_token),
            api_keys: sound(api_keys)?,
            client_certificate,
            claims: claims.unwrap_or_else(|| default_claims(&roles_from)),
            values,
            roles_from,
            scopes_from: scopes_from.unwrap_or_else(|| vec!["scope".to_owned(), "scp".to_owned()]),
            realm: realm.map_or_else(|| id.to_string(), |realm| realm.value),
            anonymous: anonymous.is_some_and(|anonymous| anonymous.value),
            cache: reading.settle(scope, "cache", cache, 10_000),
        })
    }
}

fn default_token() -> Vec<Place> {
    vec![Place::Header { name: "authorization".to_owned(), scheme: Some("Bearer".to_owned()) }]
}

fn default_roles(claims: Option<&[ClaimHeader]>) -> Vec<String> {
    let sent = claims.into_iter().flatten().filter(|claim| claim.header == ROLE_HEADER);
    let sent: Vec<String> = sent.map(|claim| claim.claim.clone()).collect();
    if sent.is_empty() { vec!["roles".to_owned()] } else { sent }
}

fn default_claims(roles_from: &[String]) -> Vec<ClaimHeader> {
    let claim = |claim: &str, header: &str| ClaimHeader {
        claim: claim.to_owned(),
        header: header.to_owned(),
    };
    let roles = roles_from.iter().map(|roles| claim(roles, ROLE_HEADER));
    std::iter::once(claim("sub", USER_HEADER)).chain(roles).collect()
}

fn check_issuers(reading: &Reading<'_>, issuers: &[IssuerPart]) {
    let mut first: BTreeMap<&str, Span> = BTreeMap::new();
    for issuer in issuers.iter().filter_map(|part| part.issuer.as_ref()) {
        if let Some(first) = first.get(issuer.value.as_str()) {
            let problem = Problem::new(Code::DuplicateId, "this issuer is written twice")
                .note("first written here", *first)
                .help("merge the two blocks; a block takes several audiences and algorithms");
            reading.error(issuer.span, problem);
        }
        first.entry(&issuer.value).or_insert(issuer.span);
    }
}

impl IssuerPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let issuer = cursor.argument("the `iss` of tokens, such as \"https://id.example.com\"");
        Self {
            span: cursor.span(),
            issuer: issuer.and_then(|value| value.parse(issuer_name)),
            keys: cursor.child("jwks", read_jwks),
            secret: cursor
                .setting("secret", |value| Some(value.secret(|text| Ok(Secret::new(text))))),
            audiences: cursor.child("audience", |c| read_texts(c, ("audiences", audience))),
            algorithms: cursor.child("algorithms", read_algorithms),
            token_type: cursor.setting("type", |value| value.parse(token_type)),
            leeway: cursor.setting("leeway", |v| v.duration(secs(0)..=secs(600))),
            refresh: cursor.setting("refresh", |v| v.duration(secs(10)..=secs(7 * 86_400))),
            refetch_interval: cursor
                .setting("refetch-interval", |v| v.duration(secs(1)..=secs(3_600))),
            timeout: cursor
                .setting("timeout", |v| v.duration(Duration::from_millis(100)..=secs(60))),
            ca: cursor.setting("ca", |value| Some(value.file())),
        }
    }

    fn settle(self, reading: &Reading<'_>, scope: &str) -> Option<Issuer> {
        let Self {
            span,
            issuer,
            keys,
            secret,
            audiences,
            algorithms,
            token_type,
            leeway,
            refresh,
            refetch_interval,
            timeout,
            ca,
        } = self;
        let issuer = issuer?;
        let algorithms = settle_algorithms(reading, algorithms, secret.is_some());
        let (keys, secret) = (sound(keys), sound(secret));
        if let Some(Some(secret)) = &secret {
            check_secret(reading, secret, (&algorithms, keys != Some(None)));
        }
        let (keys, secret) = (keys?, secret?);
        let keys = match secret {
            Some(secret) => Keys::Secret(secret.value),
            None => keys.unwrap_or(Keys::Discovery),
        };
        check_discovery(reading, &issuer, &keys);
        warn_of_plain_keys(reading, (span, &issuer.value), &keys);
        if audiences.is_none() {
            warn_of_any_audience(reading, span);
        }
        let scope = format!("{scope} issuer {:?}", issuer.value);
        let time = |name, written, default| reading.settle(&scope, name, written, secs(default));
        Some(Issuer {
            keys,
            audiences: audiences.unwrap_or_default(),
            algorithms,
            token_type: token_type.map(|name| name.value),
            leeway: time("issuer leeway", leeway, 30),
            refresh: time("issuer refresh", refresh, 600),
            refetch_interval: time("issuer refetch-interval", refetch_interval, 30),
            timeout: time("issuer timeout", timeout, 5),
            ca: sound(ca)?.map(|ca| ca.value),
            issuer: issuer.value,
        })
    }
}

/// That it is long enough for all that it verifies, and that nothing else says where keys are.
fn check_secret(
    reading: &Reading<'_>,
    secret: &Spanned<Secret>,
    (algorithms, has_jwks): (&[Algorithm], bool),
) {
    if has_jwks {
        let problem = Problem::new(Code::Conflict, "keys come from one place");
        reading.error(secret.span, problem.help("keep `jwks` or `secret`"));
    }
    let asked = Algorithm::SECRET.iter().filter(|(algorithm, _)| algorithms.contains(algorithm));
    let Some((algorithm, bytes)) = asked.max_by_key(|(_, bytes)| bytes) else { return };
    if secret.value.expose().len() < *bytes {
        let name = algorithm.as_str();
        let message = format!("this secret is shorter than the {bytes} bytes that {name} asks for");
        let help = "such as `openssl rand -base64 64` makes; the issuer must have the same";
        reading.error(secret.span, Problem::new(Code::OutOfRange, message).help(help));
    }
}

/// A public key must never be taken for a secret, nor the other way round: an issuer has one or the other.
fn settle_algorithms(
    reading: &Reading<'_>,
    written: Option<Vec<Spanned<Algorithm>>>,
    has_secret: bool,
) -> Vec<Algorithm> {
    let algorithms: Vec<_> = match (&written, has_secret) {
        (Some(written), _) => written.iter().map(|one| one.value).collect(),
        (None, true) => vec![Algorithm::HS256],
        (None, false) => Algorithm::PUBLIC.to_vec(),
    };
    for Spanned { value, span } in written.into_iter().flatten() {
        if value.is_secret() && !has_secret {
            let help = "have the issuer sign with a private key, such as \"ES256\" or \"RS256\", or \
                        add the `secret` that you share with it";
            let message =
                format!("{:?} proves nothing: whoever can verify can sign", value.as_str());
            reading.error(span, Problem::new(Code::Conflict, message).help(help));
        } else if !value.is_secret() && has_secret {
            let message =
                format!("{:?} needs a public key, and this issuer has a secret", value.as_str());
            let help = "write \"HS256\", \"HS384\" or \"HS512\", or `jwks` instead of `secret`";
            reading.error(span, Problem::new(Code::Conflict, message).help(help));
        }
    }
    algorithms
}

fn check_discovery(reading: &Reading<'_>, issuer: &Spanned<String>, keys: &Keys) {
    if *keys == Keys::Discovery && url(&issuer.value).is_err() {
        let message = "this issuer is no URL, and nothing else says where its keys are";
        let help = "add `jwks url=\"https://…\"` or `jwks file=\"keys.json\"`";
        reading.error(issuer.span, Problem::new(Code::Missing, message).help(help));
    }
}

fn warn_of_plain_keys(reading: &Reading<'_>, (span, issuer): (Span, &str), keys: &Keys) {
    let from = match keys {
        Keys::Discovery => issuer,
        Keys::Url(url) => url,
        Keys::File(_) | Keys::Secret(_) => return,
    };
    if is_exposed(from) {
        let message = "whoever is on the way to these keys can replace them, and sign tokens";
        let help = "use `https://`, or `jwks file=\"…\"`";
        reading.warning(Some(span), Problem::new(Code::PlainKeys, message).help(help));
    }
}

fn warn_of_any_audience(reading: &Reading<'_>, span: Span) {
    let message = "tokens that this issuer made for somebody else are accepted";
    let help = "add `audience \"…\"`: the name that the issuer knows this service by";
    reading.warning(Some(span), Problem::new(Code::AnyAudience, message).help(help));
}

/// `jwks url="…"` or `jwks file="…"`.
fn read_jwks(cursor: &mut Cursor<'_>) -> Option<Keys> {
    match (cursor.property("url"), cursor.property("file")) {
        (Some(value), None) => value.parse(url).map(|url| Keys::Url(url.value)),
        (None, Some(value)) => value.file().map(|file| Keys::File(file.value)),
        (None, None) => {
            let help = "write `jwks url=\"https://…\"` or `jwks file=\"keys.json\"`; without `jwks`, \
                        discovery finds the keys";
            cursor.error(Problem::new(Code::Missing, "`jwks` does not say where it is").help(help));
            None
        }
        (Some(_), Some(_)) => {
            let problem = Problem::new(Code::Conflict, "keys come from one place");
            cursor.error(problem.help("keep `url=` or `file=`"));
            None
        }
    }
}

fn read_algorithms(cursor: &mut Cursor<'_>) -> Vec<Spanned<Algorithm>> {
    let mut algorithms: Vec<Spanned<Algorithm>> = Vec::new();
    for value in cursor.arguments("algorithms such as \"RS256\" or \"ES256\"") {
        let Some(algorithm) = value.literal(algorithm) else { continue };
        if algorithms.iter().any(|other| other.value == algorithm.value) {
            let problem = Problem::new(Code::Repeated, "this algorithm is there already");
            cursor.reading().error(algorithm.span, problem.help("remove it"));
        }
        algorithms.push(algorithm);
    }
    algorithms
}

fn algorithm(text: &str) -> Checked<Algorithm> {
    let secret = Algorithm::SECRET.map(|(algorithm, _)| algorithm);
    let all = Algorithm::PUBLIC.into_iter().chain(secret);
    let names: Vec<_> = all.map(|algorithm| (algorithm.as_str(), algorithm)).collect();
    if text.eq_ignore_ascii_case("none") {
        let message = format!("{text:?} proves nothing: whoever can write can sign");
        let help = "have the issuer sign with a private key, such as \"ES256\" or \"RS256\"";
        return Err(Problem::new(Code::UnknownWord, message).help(help));
    }
    crate::value::pick(text, &names)
}

impl ApiKeysPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            file: cursor.required("file", "file \"keys.txt\"", |value| value.file()),
            places: read_places(cursor),
            refresh: cursor.setting("refresh", |value| value.duration(secs(1)..=secs(86_400))),
        }
    }

    fn settle(self, reading: &Reading<'_>, scope: &str) -> Option<ApiKeys> {
        let Self { file, mut places, refresh } = self;
        if places.is_empty() {
            places.push(Place::Header { name: "x-api-key".to_owned(), scheme: None });
        }
        let refresh = reading.settle(scope, "api-keys refresh", refresh, secs(5));
        Some(ApiKeys { file: file?.value, places, refresh })
    }
}

fn read_token(cursor: &mut Cursor<'_>) -> Vec<Place> {
    let places = read_places(cursor);
    if places.is_empty() {
        let problem = Problem::new(Code::Missing, "`token` does not say where a token is");
        cursor.error(problem.help("add `header`, `cookie` or `query`, or leave `token` out"));
    }
    places
}

fn read_places(cursor: &mut Cursor<'_>) -> Vec<Place> {
    let places = cursor.children(&["header", "cookie", "query"], |cursor| {
        let name = cursor.argument("a name");
        match cursor.name() {
            "header" => read_header_place(cursor, name),
            "cookie" => name?.parse(cookie_name).map(|name| Place::Cookie(name.value)),
            _ => name?.parse(parameter).map(|name| Place::Query(name.value)),
        }
    });
    places.into_iter().flatten().collect()
}

fn read_header_place(cursor: &mut Cursor<'_>, name: Option<Value<'_>>) -> Option<Place> {
    let word = cursor.property("scheme").map(|value| value.parse(scheme));
    let name = name?.parse(|text| operable_header_name(text, true))?.value;
    let word = match sound(word)? {
        None if name == "authorization" => Some("Bearer".to_owned()),
        written => written.map(|word| word.value),
    };
    Some(Place::Header { name, scheme: word })
}

fn read_client_certificate(cursor: &mut Cursor<'_>) -> ClientCertificate {
    let identities = [
        ("subject", CertificateIdentity::Subject),
        ("san-uri", CertificateIdentity::SanUri),
        ("san-dns", CertificateIdentity::SanDns),
    ];
    let identity = cursor.setting("identity", |value| value.word(&identities));
    let mut texts = |name, (what, read)| {
        cursor.child(name, |cursor| read_texts(cursor, (what, read))).unwrap_or_default()
    };
    ClientCertificate {
        identity: identity.map_or(CertificateIdentity::SanUri, |identity| identity.value),
        allow: texts("allow", ("identities", identity_pattern as fn(&str) -> Checked<String>)),
        roles: texts("roles", ("roles", role)),
        scopes: texts("scopes", ("scopes", scope)),
    }
}

/// `claims { "sub" "X-User-Id" }`.
fn read_claims(cursor: &mut Cursor<'_>) -> Vec<ClaimHeader> {
    let mut claims: Vec<ClaimHeader> = Vec::new();
    for claim in cursor.rest(read_claim).into_iter().flatten() {
        let Spanned { value: claim, span } = claim;
        if claims.contains(&claim) {
            let problem = Problem::new(Code::Repeated, "this claim fills this header already");
            cursor.reading().error(span, problem.help("remove it"));
        }
        claims.push(claim);
    }
    claims
}

fn read_claim(cursor: &mut Cursor<'_>) -> Option<Spanned<ClaimHeader>> {
    let claim = read_claim_name(cursor);
    let header = cursor.argument("the name of a header");
    let header = header.and_then(|value| value.parse(identity_header));
    Some(Spanned::new(ClaimHeader { claim: claim?, header: header?.value }, cursor.span()))
}

/// `values { "plan"; "org.tenant" "tenant" }`.
fn read_values(cursor: &mut Cursor<'_>) -> Vec<ClaimValue> {
    let mut values: Vec<ClaimValue> = Vec::new();
    for value in cursor.rest(read_value).into_iter().flatten() {
        let Spanned { value, span } = value;
        if values.iter().any(|other| other.value == value.value) {
            let message = format!("two claims set the value `{}`", value.value);
            let help = "give one of them another name: `\"claim\" \"name\"`";
            cursor.reading().error(span, Problem::new(Code::Repeated, message).help(help));
        }
        values.push(value);
    }
    values
}

fn read_value(cursor: &mut Cursor<'_>) -> Option<Spanned<ClaimValue>> {
    let claim = read_claim_name(cursor);
    let value = match cursor.optional_argument() {
        Some(name) => name.literal(id).map(|name| name.value),
        None => match id(cursor.name()) {
            Ok(name) => Some(name),
            Err(_) => {
                let message = format!("{:?} cannot be the name of a value", cursor.name());
                let problem = Problem::new(Code::Id, message);
                cursor.error(problem.help("write a name behind the claim: `\"claim\" \"name\"`"));
                None
            }
        },
    };
    let value = ClaimValue { claim: claim?, value: value?.to_string() };
    Some(Spanned::new(value, cursor.span()))
}

fn read_claim_name(cursor: &Cursor<'_>) -> Option<String> {
    let name = claim_name(cursor.name());
    name.map_err(|problem| cursor.error(problem)).ok()
}

fn read_claim_names(cursor: &mut Cursor<'_>) -> Vec<String> {
    read_texts(cursor, ("claims", claim_name))
}

fn read_texts(
    cursor: &mut Cursor<'_>,
    (what, read): (&str, fn(&str) -> Checked<String>),
) -> Vec<String> {
    let arguments = cursor.arguments(what);
    arguments.into_iter().filter_map(|value| value.parse(read)).map(|one| one.value).collect()
}

/// A request field that an agent sets and clients may not send.
pub(in crate::agent) fn identity_header(text: &str) -> Checked<String> {
    let name = operable_header_name(text, true)?;
    if matches!(name.as_str(), "authorization" | "cookie") {
        let message = format!("`{text}` cannot be taken off clients' requests");
        return Err(Problem::new(Code::FramingHeader, message)
            .help("it holds their credentials; use a name such as \"X-User-Id\""));
    }
    Ok(name)
}

/// Text of 1 to 256 bytes that is as `help` says.
fn text_of(
    text: &str,
    (what, help): (&str, &str),
    is_right: impl Fn(char) -> bool,
) -> Checked<String> {
    if (1..=256).contains(&text.len()) && text.chars().all(is_right) && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err(Problem::new(Code::Text, format!("this cannot be {what}")).help(help))
}

/// Of what is compared as it stands.
const PLAIN: &str = "1 to 256 bytes without control characters, and no blanks at the ends";

fn issuer_name(text: &str) -> Checked<String> {
    let is_right = |c: char| !c.is_control() && !c.is_whitespace();
    text_of(
        text,
        ("an issuer", "1 to 256 bytes without blanks, as `iss` of its tokens says"),
        is_right,
    )
}

fn audience(text: &str) -> Checked<String> {
    text_of(text, ("an audience", PLAIN), |c| !c.is_control())
}

fn token_type(text: &str) -> Checked<String> {
    text_of(text, ("the type of a token", "one word, such as \"at+jwt\""), |c| c.is_ascii_graphic())
}

fn realm(text: &str) -> Checked<String> {
    let is_right = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\');
    text_of(text, ("a realm", "1 to 256 ASCII characters without quotes and backslashes"), is_right)
}

fn parameter(text: &str) -> Checked<String> {
    text_of(text, ("the name of a query parameter", PLAIN), |c| !c.is_control())
}

/// At most 128 bytes, so that its name as a value fits an attribute.
pub(in crate::agent) fn claim_name(text: &str) -> Checked<String> {
    if text.len() > 128 {
        return Err(Problem::new(Code::Text, "this cannot be a claim").help("1 to 128 bytes"));
    }
    text_of(text, ("a claim", PLAIN), |c| !c.is_control())
}

/// Any text but commas, which part roles in a header.
pub(in crate::agent) fn role(text: &str) -> Checked<String> {
    match text.contains(',') {
        true => Err(Problem::new(Code::Text, "a role cannot hold a comma")
            .help("write each role in quotes of its own")),
        false => text_of(text, ("a role", PLAIN), |c| !c.is_control()),
    }
}

/// A scope-token (RFC 6749, section 3.3).
pub(in crate::agent) fn scope(text: &str) -> Checked<String> {
    if text.contains(' ') {
        return Err(Problem::new(Code::Text, "a scope cannot hold a blank")
            .help("write each scope in quotes of its own"));
    }
    let is_right = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    text_of(text, ("a scope", "visible ASCII without quotes and backslashes"), is_right)
}

/// A whole name, or the beginning of names in front of `*`.
fn identity_pattern(text: &str) -> Checked<String> {
    match text.find('*') {
        Some(at) if at + 1 < text.len() => {
            Err(Problem::new(Code::Text, "`*` stands for the rest, at the end only")
                .help("such as \"spiffe://example.org/*\""))
        }
        _ => text_of(text, ("an identity", PLAIN), |c| !c.is_control()),
    }
}
