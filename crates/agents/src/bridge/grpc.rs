//! Calls of a gRPC service.

use std::{path::Path, str::FromStr, time::Duration};

use hyper::{
    HeaderMap, Uri,
    header::{HeaderName, HeaderValue},
    http::uri::PathAndQuery,
};
use hyper_util::client::legacy::Client;
use prost::Message;
use selvedge_config::bridge::Settings;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, body::Body, metadata::MetadataMap};
use tonic_prost::ProstCodec;

use super::connect::{Clients, Connector, Version};

/// Bytes of an answer beside a body that it brings.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A gRPC service, and what goes with each call.
pub(super) struct Service {
    clients: Clients<Body>,
    origin: Uri,
    metadata: MetadataMap,
    answer_max: usize,
}

impl Service {
    pub(super) fn new(
        settings: &Settings,
        grpc: &selvedge_config::bridge::Grpc,
    ) -> Result<Self, String> {
        let ca: Option<&Path> = settings.ca.as_deref();
        let origin = grpc.address.parse();
        let origin = origin.map_err(|error| format!("address {:?}: {error}", grpc.address))?;
        let body_max = usize::try_from(settings.body_max.0).unwrap_or(usize::MAX);
        Ok(Self {
            clients: Clients::new(Version::Http2, ca)?,
            origin,
            metadata: metadata(grpc)?,
            answer_max: body_max.saturating_add(ANSWER_BYTES_MAX),
        })
    }

    /// Asks once; the service is told how long it has.
    pub(super) async fn unary<Q, A>(
        &self,
        path: &'static str,
        (question, deadline): (Q, Duration),
    ) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut question = self.request(question);
        question.set_timeout(deadline);
        let path = PathAndQuery::from_static(path);
        let answer = self.client().unary(question, path, ProstCodec::<Q, A>::default()).await?;
        Ok(answer.into_inner())
    }

    /// Begins a conversation; it must have something to send.
    pub(super) async fn converse<Q, A>(
        &self,
        path: &'static str,
        questions: ReceiverStream<Q>,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let questions = self.request(questions);
        let path = PathAndQuery::from_static(path);
        let codec = ProstCodec::<Q, A>::default();
        Ok(self.client().streaming(questions, path, codec).await?.into_inner())
    }

    fn client(&self) -> tonic::client::Grpc<Client<Connector, Body>> {
        let client = self.clients.own().clone();
        tonic::client::Grpc::with_origin(client, self.origin.clone())
            .max_decoding_message_size(self.answer_max)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request
    }
}

/// What goes with each call. A value of a name that ends in `-bin` is Base64 already.
fn metadata(grpc: &selvedge_config::bridge::Grpc) -> Result<MetadataMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &grpc.metadata {
        let flaw = || format!("metadata {name:?} is no field of a request");
        let name = HeaderName::from_str(name).map_err(|_| flaw())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| flaw())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(MetadataMap::from_headers(headers))
}
