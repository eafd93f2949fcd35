//! Somebody who asks the core for something.

use std::net::IpAddr;

use axum_core::extract::FromRequestParts;
use http::request::Parts;

use crate::{Refusal, Scopes};

/// Who sent a request, as far as it is known. An extension of each request that reaches a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// For whom it acts. `None`: no tenant was named.
    pub tenant: Option<String>,
    /// What it may do.
    pub scopes: Scopes,
    /// How this is known.
    pub means: Means,
    /// The client's address, as the edge saw it.
    pub client: Option<IpAddr>,
    /// Trace id of 32 hexadecimal digits, by which the edge's logs name the exchange.
    pub trace_id: Option<String>,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person, or whom else the edge's agents named.
    User {
        /// Id, as the agents gave it.
        id: String,
        /// Roles, as the agents gave them.
        roles: Vec<String>,
    },
    /// A program with a token.
    Service {
        /// The token's name.
        name: String,
    },
    /// Nobody said who it is.
    Anonymous,
}

/// How it is known who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// A token from the file of `selvedge token create`.
    Token {
        /// By which it is revoked.
        id: String,
    },
    /// A token that the config declares.
    DeclaredToken,
    /// The edge's agents said so.
    Agents(Vec<String>),
    /// It is not known.
    Nothing,
}

impl Principal {
    /// The user's id or the service's name; empty for nobody.
    pub fn name(&self) -> &str {
        match self {
            Self::User { id, .. } => id,
            Self::Service { name } => name,
            Self::Anonymous => "",
        }
    }

    /// `user`, `service` or `anonymous`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Service { .. } => "service",
            Self::Anonymous => "anonymous",
        }
    }
}

impl Means {
    /// `token`, `declared-token`, `agents` or `none`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::DeclaredToken => "declared-token",
            Self::Agents(_) => "agents",
            Self::Nothing => "none",
        }
    }
}

impl Caller {
    /// Somebody of whom nothing is known.
    pub fn anonymous() -> Self {
        Self {
            principal: Principal::Anonymous,
            tenant: None,
            scopes: Scopes::default(),
            means: Means::Nothing,
            client: None,
            trace_id: None,
        }
    }

    /// Whether nobody said who it is.
    pub fn is_anonymous(&self) -> bool {
        self.principal == Principal::Anonymous
    }

    /// Goes on only for those who may: 401 for somebody who is not known, 403 for somebody who is.
    pub fn require(&self, scope: &str) -> Result<(), Refusal> {
        match self.is_anonymous() {
            _ if self.scopes.cover(scope) => Ok(()),
            true => Err(Refusal::Unauthenticated),
            false => Err(Refusal::Scope(scope.to_owned())),
        }
    }
}

/// What the core put there; a request that did not come through the core has nobody to answer for.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or(Refusal::Unauthenticated)
    }
}
