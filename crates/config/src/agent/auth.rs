//! The settings of `selvedge agent auth`: who is believed, and what is told to the upstream.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use selvedge_base::Secret;
use serde::{Deserialize, Serialize};

use crate::AgentEvent;

pub(super) mod part;

/// What the auth agent is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Issuers of tokens; each has another `iss`.
    pub issuers: Vec<Issuer>,
    /// Where a token is looked for; a request with more than one is refused. Never empty.
    pub token: Vec<Place>,
    /// Keys of programs.
    pub api_keys: Option<ApiKeys>,
    /// Identity by the client's TLS certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// Claims that the upstream gets as request fields. Default: `sub` as `x-user-id`, the claims of
    /// `roles_from` as `x-user-role`. For a key or a certificate, `sub` is its name, and all claims of
    /// `roles_from` and `scopes_from` are its roles and scopes.
    pub claims: Vec<ClaimHeader>,
    /// Claims that later agents and `upstream-by` get as values, beside those of [`VALUES`].
    pub values: Vec<ClaimValue>,
    /// Claims that hold roles; all that are there count.
    /// Default: those sent as `x-user-role`, or `roles`.
    pub roles_from: Vec<String>,
    /// Claims that hold scopes, as an array or in one text parted by blanks. Default `scope`, `scp`.
    pub scopes_from: Vec<String>,
    /// `realm` of `WWW-Authenticate`. Default: the agent's id.
    pub realm: String,
    /// Whether requests without credentials pass, where the route does not say. Default no.
    /// Wrong credentials never do.
    pub anonymous: bool,
    /// Verified tokens kept. Default 10,000; then the least recently used goes.
    pub cache: usize,
}

/// Values that the auth agent sets for everybody it knows: the name (`sub` of a token), and roles and
/// scopes joined by `,`.
pub const VALUES: [&str; 3] = ["user", "roles", "scopes"];

/// An issuer of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// `iss`, compared byte by byte.
    pub issuer: String,
    /// Where its keys are.
    pub keys: Keys,
    /// `aud` must hold one of these. Empty: any (`check` warns).
    pub audiences: Vec<String>,
    /// Algorithms allowed, as far as a key itself allows them. Default: all of [`Algorithm::PUBLIC`], and
    /// HS256 where there is a secret. Public keys verify none of the others, and a secret none of these.
    pub algorithms: Vec<Algorithm>,
    /// `typ` of the header must be this, without regard to case or a leading `application/`.
    /// `None`: `JWT`, `at+jwt` or none at all.
    pub token_type: Option<String>,
    /// How far clocks may differ for `exp` and `nbf`. Default 30 s.
    pub leeway: Duration,
    /// How often keys are fetched or read again in the background. Default 10 min.
    pub refresh: Duration,
    /// Shortest time between two fetches for an unknown `kid`. Default 30 s.
    pub refetch_interval: Duration,
    /// Time that one fetch may take. Default 5 s; then the keys at hand stay.
    pub timeout: Duration,
    /// PEM file of roots trusted for fetches. `None`: the Mozilla roots built in.
    pub ca: Option<PathBuf>,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// `jwks_uri` of `ISSUER/.well-known/openid-configuration`.
    Discovery,
    /// A JWKS behind a URL.
    Url(String),
    /// A JWKS in a file.
    File(PathBuf),
    /// None but a secret that whoever signs shares with us.
    #[serde(with = "super::wire::secret")]
    Secret(Secret),
}

/// A signature algorithm of RFC 7518 or RFC 8037. There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the registry")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
    HS256,
    HS384,
    HS512,
}

impl Algorithm {
    /// Those whose verifying key may be published.
    pub const PUBLIC: [Self; 10] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// Those with a shared secret, each with the fewest bytes that one must have (RFC 7518,
    /// section 3.2).
    pub const SECRET: [(Self, usize); 3] =
        [(Self::HS256, 32), (Self::HS384, 48), (Self::HS512, 64)];

    /// Whether who can verify can sign as well.
    pub fn is_secret(self) -> bool {
        Self::SECRET.iter().any(|(secret, _)| *secret == self)
    }

    /// As the registry, and a token's header, name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
        }
    }
}

/// Where a credential is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A request field.
    Header {
        /// In lower case.
        name: String,
        /// The word in front, compared without regard to case. `None`: the value is the credential.
        scheme: Option<String>,
    },
    /// A cookie.
    Cookie(String),
    /// A query parameter.
    Query(String),
}

/// Keys of programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeys {
    /// The hashed keys; read again when it changes.
    pub file: PathBuf,
    /// Where a key is looked for. Default the field `x-api-key`. Never empty.
    pub places: Vec<Place>,
    /// How often the file is looked at for changes. Default 5 s.
    pub refresh: Duration,
}

/// Identity by the client's TLS certificate, which the listener has verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// What of it is the name of the client.
    pub identity: CertificateIdentity,
    /// Identities that count: whole names, or beginnings of names that end in `*`. Empty: all.
    pub allow: Vec<String>,
    /// Roles that whoever comes with a certificate has.
    pub roles: Vec<String>,
    /// Scopes that whoever comes with a certificate has.
    pub scopes: Vec<String>,
}

/// What of a certificate is the name of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateIdentity {
    /// The whole subject (RFC 4514).
    Subject,
    /// The first URI among the alternative names, as SPIFFE has it. The default.
    SanUri,
    /// The first DNS name among the alternative names.
    SanDns,
}

/// A claim that the upstream gets as a request field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimHeader {
    /// The claim of this very name, or else the path that its dots make: `realm_access.roles`.
    pub claim: String,
    /// In lower case. Several claims of one field, and the texts of an array, are joined by `,`, each
    /// text once.
    pub header: String,
}

/// A claim that later agents and `upstream-by` get as a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimValue {
    /// As [`ClaimHeader::claim`].
    pub claim: String,
    /// Name of the value.
    pub value: String,
}

/// What a route asks of who comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// One of these roles is needed. Empty: none.
    pub roles: Vec<String>,
    /// All of these scopes are needed.
    pub scopes: Vec<String>,
    /// Whether requests without credentials pass. `None`: as the agent says. Where roles or scopes
    /// are needed a config always says no.
    pub anonymous: Option<bool>,
}

impl Settings {
    /// What it is asked about.
    pub fn events(&self) -> Vec<AgentEvent> {
        vec![AgentEvent::RequestHeaders]
    }

    /// Files that the agent reads.
    pub fn files(&self) -> Vec<PathBuf> {
        let issuers = self.issuers.iter().flat_map(|issuer| {
            let keys = match &issuer.keys {
                Keys::File(file) => Some(file),
                Keys::Discovery | Keys::Url(_) | Keys::Secret(_) => None,
            };
            keys.into_iter().chain(&issuer.ca)
        });
        issuers.chain(self.api_keys.iter().map(|keys| &keys.file)).cloned().collect()
    }
}

impl RouteOptions {
    /// Reads the options that an edge sent: `option` finds the text of the attribute `route.NAME`.
    pub fn read<'o>(option: impl Fn(&str) -> Option<&'o str>) -> Self {
        Self {
            roles: super::options::listed(option("roles"), ','),
            scopes: super::options::listed(option("scopes"), ' '),
            anonymous: option("anonymous").map(|written| written == "true"),
        }
    }

    /// What [`Self::read`] reads.
    pub fn to_options(&self) -> BTreeMap<String, String> {
        let Self { roles, scopes, anonymous } = self;
        let options = [
            ("roles", (!roles.is_empty()).then(|| roles.join(","))),
            ("scopes", (!scopes.is_empty()).then(|| scopes.join(" "))),
            ("anonymous", anonymous.map(|anonymous| anonymous.to_string())),
        ];
        super::options::written(options)
    }
}
