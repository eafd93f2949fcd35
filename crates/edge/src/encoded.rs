//! Compression on the way out.

use std::{
    io,
    task::{Context, Poll},
};

use selvedge_config::Encoding;
use selvedge_http1::Fields;

use crate::{
    compress::Encoder,
    message::{BodyFault, BodySource, Filled},
};

/// A body that may be compressed as it passes. When its source pauses, what has come so far goes out.
pub(crate) struct Encoded<S> {
    source: S,
    coding: Coding,
    chunk: Vec<u8>,
    holds_back: bool,
}

enum Coding {
    Identity,
    Encoding(Encoder),
    Over,
}

impl<S: BodySource> Encoded<S> {
    /// `None` passes the body through as it is.
    pub(crate) fn new(source: S, encoding: Option<Encoding>) -> io::Result<Self> {
        let coding = match encoding {
            Some(encoding) => Coding::Encoding(Encoder::new(encoding)?),
            None => Coding::Identity,
        };
        Ok(Self { source, coding, chunk: Vec::new(), holds_back: false })
    }

    pub(crate) fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    pub(crate) fn into_source(self) -> S {
        self.source
    }
}

impl<S: BodySource> BodySource for Encoded<S> {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, BodyFault>> {
        loop {
            if !self.chunk.is_empty() {
                return Poll::Ready(Ok(Filled::Data));
            }
            let encoder = match &mut self.coding {
                Coding::Identity => return self.source.poll_fill(context),
                Coding::Encoding(encoder) => encoder,
                Coding::Over => return Poll::Ready(Ok(Filled::End)),
            };
            match self.source.poll_fill(context)? {
                Poll::Ready(Filled::Data) => {
                    encoder.push(self.source.chunk(), &mut self.chunk).map_err(BodyFault::Io)?;
                    self.source.consume();
                    self.holds_back = true;
                }
                Poll::Ready(Filled::End) => {
                    if let Coding::Encoding(encoder) =
                        std::mem::replace(&mut self.coding, Coding::Over)
                    {
                        encoder.finish(&mut self.chunk).map_err(BodyFault::Io)?;
                    }
                }
                Poll::Pending if self.holds_back => {
                    encoder.flush(&mut self.chunk).map_err(BodyFault::Io)?;
                    self.holds_back = false;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn chunk(&self) -> &[u8] {
        match self.coding {
            Coding::Identity => self.source.chunk(),
            Coding::Encoding(_) | Coding::Over => &self.chunk,
        }
    }

    fn consume(&mut self) {
        match self.coding {
            Coding::Identity => self.source.consume(),
            Coding::Encoding(_) | Coding::Over => self.chunk.clear(),
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        self.source.trailers()
    }
}
