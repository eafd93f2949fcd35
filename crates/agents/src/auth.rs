//! Who is asking: tokens, API keys and client certificates become an identity, or an answer that
//! says what is missing.

mod algorithm;
pub mod api_keys;
mod cache;
mod certificate;
mod claims;
mod credentials;
mod discovery;
mod fetch;
mod identity;
mod issuers;
mod json;
mod jwk;
mod jws;
mod key_file;
mod keys;
mod refresh;
mod refusal;
mod rules;
mod tally;

use std::{fmt, sync::Arc, time::SystemTime};

use selvedge_agent::{Agent, Metrics, RequestHead, Subscriptions, Verdict, attributes::TRACE};
use selvedge_config::auth::{Place as CredentialPlace, RouteOptions, Settings};

pub use algorithm::{Algorithm, AlgorithmSet};
pub use jwk::{Key, KeySet, KeySetError, LeftOut, SecretError};
pub use jws::{KeyError, Token, TokenError};

use self::{
    cache::{Place, TokenCache},
    credentials::Credential,
    identity::{Identity, Mapping},
    issuers::{Doubt, Issuer, Issuers, TokenRefused, Verified},
    key_file::KeyFile,
    refusal::{Answers, Means, Refusal},
    tally::{Entry, Tally},
};

/// `selvedge agent auth`.
pub struct Auth {
    settings: Settings,
    issuers: Issuers,
    api_keys: Option<KeyFile>,
    mapping: Mapping,
    answers: Answers,
    verified: TokenCache<Arc<Identity>>,
    tally: Tally,
}

impl Agent for Auth {
    type Settings = Settings;
    type Exchange = ();

    /// Keys of issuers that stay the same are taken over; verified tokens are verified again, by the
    /// new rules.
    async fn start(settings: Settings, previous: Option<&Self>) -> Result<Self, String> {
        let issuers = Issuers::start(&settings.issuers, previous.map(|it| &it.issuers)).await;
        let issuers = issuers.map_err(|(name, error)| format!("issuer {name:?}: {error}"))?;
        let start =
            |keys: &selvedge_config::auth::ApiKeys| KeyFile::start(&keys.file, keys.refresh);
        let api_keys = settings.api_keys.as_ref().map(start).transpose();
        Ok(Self {
            issuers,
            api_keys: api_keys.map_err(|error| error.to_string())?,
            mapping: Mapping::new(&settings),
            answers: Answers::new(&settings),
            verified: TokenCache::new(settings.cache),
            tally: Tally::following(previous.map(|it| &it.tally)),
            settings,
        })
    }

    fn wants(&self) -> Subscriptions {
        Subscriptions::none().request_headers()
    }

    fn metrics(&self) -> Option<&Metrics> {
        Some(&self.tally.metrics)
    }

    async fn request_headers(&self, request: &RequestHead<'_>, _: &mut ()) -> Verdict {
        let decided = self.decide(request).await;
        decided.unwrap_or_else(|refusal| {
            self.tally.refuse(self.answers.code(&refusal));
            let trace = request.attributes().get(TRACE).unwrap_or_default();
            self.answers.verdict(&refusal, trace)
        })
    }
}

/// Somebody who is known, and by what.
struct Known {
    identity: Arc<Identity>,
    means: Means,
}

impl Auth {
    async fn decide(&self, request: &RequestHead<'_>) -> Result<Verdict, Refusal> {
        let attributes = request.attributes();
        let route = RouteOptions::read(|name| attributes.route_option(name));
        match self.identify(request).await? {
            Some(known) => {
                let verdict = known.permit(&route)?;
                self.tally.allow(known.means.entry());
                Ok(verdict)
            }
            None if self.lets_anybody_pass(&route) => {
                self.tally.allow(Entry::Anonymous);
                Ok(self.mapping.nobody().clone())
            }
            None => Err(Refusal::Nobody),
        }
    }

    /// Who asks. None: somebody who shows nothing.
    async fn identify(&self, request: &RequestHead<'_>) -> Result<Option<Known>, Refusal> {
        let now = SystemTime::now();
        let found = credentials::find(request, self.token_places(), self.key_places());
        match found.map_err(Refusal::Unclear)? {
            Some(Credential::Token(text)) => {
                let identity = self.by_token(&text, now).await?;
                identity.is_shown_by_its_owner(request).map_err(Refusal::Token)?;
                Ok(Some(Known { identity, means: Means::Token }))
            }
            Some(Credential::Key(text)) => self.by_key(&text, now).map(Some),
            None => Ok(self.by_certificate(request)),
        }
    }

    async fn by_token(&self, text: &str, now: SystemTime) -> Result<Arc<Identity>, Refusal> {
        let place = Place::of(text);
        if let Some(identity) = self.verified.get(place, now) {
            return Ok(identity);
        }
        let Verified { claims, end, key } = match self.issuers.verify(text, now) {
            Err(Doubt::Keys(issuer, _)) => self.by_new_keys(text, issuer).await?,
            verified => verified.map_err(|doubt| refusal(&doubt))?,
        };
        let identity = self.mapping.of_token(&claims).map_err(TokenRefused::Identity);
        let identity = Arc::new(identity.map_err(Refusal::Token)?);
        self.verified.put(place, Arc::clone(&identity), end, key);
        Ok(identity)
    }

    /// Verifies a token whose key is not among those at hand, once these are as new as they can be.
    async fn by_new_keys(&self, text: &str, issuer: &Issuer) -> Result<Verified, Refusal> {
        // The keys at hand decide, whether or not a fetch has ended in time.
        issuer.keys.renewed().await;
        self.issuers.verify(text, SystemTime::now()).map_err(|doubt| refusal(&doubt))
    }

    fn by_key(&self, text: &str, now: SystemTime) -> Result<Known, Refusal> {
        let keys = self.api_keys.as_ref().map(KeyFile::current).unwrap_or_default();
        let entry = keys.find(text, now).map_err(Refusal::Key)?;
        let identity = self.mapping.of_named(&entry.named());
        let identity =
            identity.expect("a key's words are short and have no character that a field forbids");
        Ok(Known { identity: Arc::new(identity), means: Means::Key })
    }

    fn by_certificate(&self, request: &RequestHead<'_>) -> Option<Known> {
        let settings = self.settings.client_certificate.as_ref()?;
        let holder = certificate::holder(settings, &request.attributes())?;
        let identity = Arc::new(self.mapping.of_named(&holder).ok()?);
        Some(Known { identity, means: Means::Certificate })
    }

    /// Who must have rights cannot be nobody.
    fn lets_anybody_pass(&self, route: &RouteOptions) -> bool {
        let RouteOptions { roles, scopes, anonymous } = route;
        anonymous.unwrap_or(self.settings.anonymous) && roles.is_empty() && scopes.is_empty()
    }

    fn token_places(&self) -> &[CredentialPlace] {
        if self.issuers.is_empty() { &[] } else { &self.settings.token }
    }

    fn key_places(&self) -> &[CredentialPlace] {
        self.settings.api_keys.as_ref().map_or(&[], |keys| &keys.places)
    }
}

impl Means {
    fn entry(self) -> Entry {
        match self {
            Self::Token => Entry::Token,
            Self::Key => Entry::Key,
            Self::Certificate => Entry::Certificate,
        }
    }
}

impl Known {
    /// Lets somebody pass who has one of the roles and all of the scopes.
    fn permit(&self, route: &RouteOptions) -> Result<Verdict, Refusal> {
        let RouteOptions { roles, scopes, anonymous: _ } = route;
        let Identity { roles: own_roles, scopes: own_scopes, .. } = &*self.identity;
        let has_role = roles.is_empty() || roles.iter().any(|role| own_roles.contains(role));
        if has_role && scopes.iter().all(|scope| own_scopes.contains(scope)) {
            return Ok(self.identity.verdict.clone());
        }
        Err(Refusal::Rights { means: self.means, scopes: scopes.clone() })
    }
}

impl Identity {
    /// A token bound to a certificate counts on connections with that certificate (RFC 8705).
    fn is_shown_by_its_owner(&self, request: &RequestHead<'_>) -> Result<(), TokenRefused> {
        let is_owner = self.certificate.is_none()
            || self.certificate == certificate::digest(&request.attributes());
        is_owner.then_some(()).ok_or(TokenRefused::Certificate)
    }
}

fn refusal(doubt: &Doubt<'_>) -> Refusal {
    match doubt {
        Doubt::Refused(refused) => Refusal::Token(*refused),
        Doubt::Keys(issuer, _) if issuer.keys.current().is_none() => Refusal::NoKeys,
        Doubt::Keys(_, error) => Refusal::Token(TokenRefused::Key(*error)),
    }
}

/// Tells the operator; the supervisor makes it a line of the log.
#[expect(clippy::print_stderr, reason = "the standard error of an agent is its log")]
fn notice(text: fmt::Arguments<'_>) {
    eprintln!("auth: {text}");
}

#[cfg(test)]
#[path = "../tests/it/asked.rs"]
mod asked;
