//! What an answer holds until its last byte has gone.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, http::Response};
use http_body::{Frame, SizeHint};

/// The answer, with something that is dropped when its body is: at its end, or when nobody waits for it.
pub(super) fn keep<T: Send + Unpin + 'static>(response: Response<Body>, held: T) -> Response<Body> {
    response.map(|body| Body::new(Keeping { body, _held: held }))
}

struct Keeping<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> http_body::Body for Keeping<T> {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
