//! Whose tokens are believed, and whether one is.

use std::{error::Error, fmt, sync::Arc, time::SystemTime};

use selvedge_config::auth;

use super::{
    algorithm::{Algorithm, AlgorithmSet},
    claims::Claims,
    identity::NoIdentity,
    jwk::Key,
    jws::{KeyError, Token, TokenError},
    keys::{IssuerKeys, KeyPlace, KeySource, SourceError},
    refresh::Schedule,
    rules::{Broken, Rules},
};

/// Bytes of a token at most.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// All issuers, each with another name.
#[derive(Debug)]
pub(super) struct Issuers(Vec<Issuer>);

/// Somebody who makes tokens.
#[derive(Debug)]
pub(super) struct Issuer {
    name: String,
    rules: Rules,
    pub(super) keys: Arc<IssuerKeys>,
}

/// A token that is believed.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) claims: Claims,
    /// From when on it is not believed any more, clocks' differences aside.
    pub(super) end: SystemTime,
    /// What vouches for it.
    pub(super) key: Arc<Key>,
}

/// Why a token is not believed, as far as is known.
#[derive(Debug)]
pub(super) enum Doubt<'i> {
    /// It never will be.
    Refused(TokenRefused),
    /// It may be once the issuer's keys were fetched again.
    Keys(&'i Issuer, KeyError),
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenRefused {
    TooLong,
    Token(TokenError),
    /// Its payload is not one JSON object without repeated names.
    Claims,
    /// Of an issuer that is not known, or of none.
    Issuer,
    Key(KeyError),
    Rule(Broken),
    Identity(NoIdentity),
    /// Bound to another certificate than the client's.
    Certificate,
}

impl Issuers {
    /// Within a tokio runtime. Keys that an issuer of `previous` has from the same source are shared.
    pub(super) async fn start(
        settings: &[auth::Issuer],
        previous: Option<&Self>,
    ) -> Result<Self, (String, SourceError)> {
        let mut issuers = Vec::with_capacity(settings.len());
        for settings in settings {
            let source = source(settings);
            let known = previous.iter().flat_map(|all| &all.0);
            let known = known.map(|issuer| &issuer.keys).find(|keys| *keys.source() == source);
            let keys = match known {
                Some(keys) => Arc::clone(keys),
                None => {
                    let failed = |error| (settings.issuer.clone(), error);
                    Arc::new(IssuerKeys::start(source).await.map_err(failed)?)
                }
            };
            issuers.push(Issuer { name: settings.issuer.clone(), rules: rules(settings), keys });
        }
        Ok(Self(issuers))
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies a token by the keys at hand.
    pub(super) fn verify(&self, text: &str, now: SystemTime) -> Result<Verified, Doubt<'_>> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Doubt::Refused(TokenRefused::TooLong));
        }
        let token = Token::parse(text).map_err(TokenRefused::Token)?;
        let claims = Claims::parse(token.payload()).map_err(|_| TokenRefused::Claims)?;
        // Unproven so far: it only chooses whose keys are to prove it.
        let name = claims.get("iss").and_then(|name| name.as_str());
        let issuer = self.0.iter().find(|issuer| Some(&*issuer.name) == name);
        let issuer = issuer.ok_or(TokenRefused::Issuer)?;
        let keys = issuer.keys.current().unwrap_or_default();
        let key = token.verify(&keys).map_err(|error| issuer.doubt(error))?;
        let end = issuer.rules.check(token.kind(), &claims, now).map_err(TokenRefused::Rule)?;
        Ok(Verified { end, key: Arc::clone(key), claims })
    }
}

impl Issuer {
    fn doubt(&self, error: KeyError) -> Doubt<'_> {
        match error {
            KeyError::Unknown | KeyError::Unnamed => Doubt::Keys(self, error),
            KeyError::Signature => Doubt::Refused(TokenRefused::Key(error)),
        }
    }
}

impl From<TokenRefused> for Doubt<'_> {
    fn from(refused: TokenRefused) -> Self {
        Self::Refused(refused)
    }
}

fn source(settings: &auth::Issuer) -> KeySource {
    KeySource {
        issuer: settings.issuer.clone(),
        place: match &settings.keys {
            auth::Keys::Discovery => KeyPlace::Discovery,
            auth::Keys::Url(url) => KeyPlace::Url(url.clone()),
            auth::Keys::File(file) => KeyPlace::File(file.clone()),
            auth::Keys::Secret(secret) => KeyPlace::Secret(secret.clone()),
        },
        algorithms: algorithms(&settings.algorithms),
        schedule: Schedule { every: settings.refresh, apart: settings.refetch_interval },
        timeout: settings.timeout,
        roots: settings.ca.clone(),
    }
}

fn rules(settings: &auth::Issuer) -> Rules {
    Rules {
        audiences: settings.audiences.clone(),
        kind: settings.token_type.clone(),
        leeway: settings.leeway,
    }
}

fn algorithms(settings: &[auth::Algorithm]) -> AlgorithmSet {
    let name = |algorithm: &auth::Algorithm| algorithm.as_str();
    settings.iter().map(name).filter_map(Algorithm::from_name).collect()
}

impl fmt::Display for TokenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the token is too long"),
            Self::Token(error) => error.fmt(f),
            Self::Claims => f.write_str("the claims of the token are malformed"),
            Self::Issuer => f.write_str("the issuer of the token is not known"),
            Self::Key(error) => error.fmt(f),
            Self::Rule(broken) => broken.fmt(f),
            Self::Identity(NoIdentity::Unfit(unfit)) => unfit.fmt(f),
            Self::Identity(NoIdentity::Bound) => {
                f.write_str("the token is bound to a key in a way that is not supported")
            }
            Self::Certificate => f.write_str("the token is bound to another certificate"),
        }
    }
}

impl Error for TokenRefused {}
