//! The settings of `selvedge agent bridge`: a foreign service, and how it is asked.

use std::{path::PathBuf, time::Duration};

use selvedge_base::{ByteSize, Secret};
use serde::{Deserialize, Serialize};

use crate::AgentEvent;

pub(super) mod part;

/// What the bridge is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The service.
    pub service: Service,
    /// What it is asked about; sorted, never empty. A service that is asked once for each request
    /// (`ext_authz`, forward-auth) is asked when the body is there, where `request_body` is among
    /// them.
    pub events: Vec<AgentEvent>,
    /// Time for its answer, that of the agent as a whole.
    pub timeout: Duration,
    /// Bytes of a body that it gets at most.
    #[serde(with = "super::wire::bytes")]
    pub body_max: ByteSize,
    /// PEM file of roots trusted for `https`. `None`: the Mozilla roots built in.
    pub ca: Option<PathBuf>,
}

/// A service, and what it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Envoy's gRPC protocols, v3.
    Grpc(Grpc),
    /// A request for each request, as Traefik's ForwardAuth and Caddy's `forward_auth` make it.
    Http(Http),
}

/// A gRPC service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    /// `http://host:port` or `https://host:port`.
    pub address: String,
    /// Which of Envoy's protocols.
    pub protocol: GrpcProtocol,
    /// How `ext_proc` gets bodies. `ext_authz` gets them as a whole.
    pub body_mode: BodyMode,
    /// Metadata sent with each call, for example a key; names in lower case.
    #[serde(with = "super::wire::secrets")]
    pub metadata: Vec<(String, Secret)>,
}

/// Which of Envoy's protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrpcProtocol {
    /// `envoy.service.ext_proc.v3.ExternalProcessor`. The default.
    ExtProc,
    /// `envoy.service.auth.v3.Authorization`.
    ExtAuthz,
}

/// How a service gets bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyMode {
    /// As a whole, up to the agent's `body-max`; the message waits. The default.
    Inspect,
    /// Piece by piece, as they come.
    Stream,
}

/// A forward-auth service: 2xx allows, everything else is the client's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// `http://host:port/path`. `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri`, `-For` tell it
    /// of the request.
    pub address: String,
    /// Request fields that it gets, in lower case. `None`: all but those of the connection and the
    /// body.
    pub request_headers: Option<Vec<String>>,
    /// Fields of its answer that the upstream gets, in lower case; one that the answer does not have
    /// is taken off the request. They are among the agent's identity headers, but for
    /// `authorization` and `cookie`, which clients may send.
    pub response_headers: Vec<String>,
    /// Fields of an answer that allows which the client's response gets too, in lower case; such as
    /// `set-cookie`.
    pub client_headers: Vec<String>,
}
