use std::time::Duration;

use bytes::BufMut;

use crate::{
    attributes::Attributes,
    wire::{Malformed, Reader, TooLong, put_bytes8},
};

/// How an exchange ended, as a view of the frame that told it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    attributes: Attributes<'a>,
    totals: OutcomeTotals<'a>,
}

/// The figures of an [`Outcome`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeTotals<'a> {
    /// The status that the client got; 0 if none.
    pub status: u16,
    /// Bytes of the request's body.
    pub request_body_bytes: u64,
    /// Bytes of the response's body.
    pub response_body_bytes: u64,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// The agent that blocked, or nothing.
    pub blocked_by: &'a str,
}

impl OutcomeTotals<'_> {
    pub(crate) fn write(&self, out: &mut impl BufMut) -> Result<(), TooLong> {
        let Self { status, request_body_bytes, response_body_bytes, duration, blocked_by } = self;
        out.put_u16(*status);
        out.put_u64(*request_body_bytes);
        out.put_u64(*response_body_bytes);
        out.put_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        put_bytes8(out, blocked_by.as_bytes())
    }
}

impl<'a> Outcome<'a> {
    /// Reads the payload of a `LOG` frame.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let attributes = Attributes::read(&mut reader)?;
        let totals = OutcomeTotals {
            status: reader.u16()?,
            request_body_bytes: reader.u64()?,
            response_body_bytes: reader.u64()?,
            duration: Duration::from_micros(reader.u64()?),
            blocked_by: reader.text8()?,
        };
        reader.end()?;
        Ok(Self { attributes, totals })
    }

    /// What the edge knows about the exchange.
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    /// Its figures.
    pub fn totals(&self) -> OutcomeTotals<'a> {
        self.totals
    }
}

/// An outcome that outlives its frame.
#[cfg(feature = "serve")]
pub(crate) struct OwnedOutcome {
    attribute_count: u16,
    attributes: Box<[u8]>,
    totals: OutcomeTotals<'static>,
    blocked_by: Box<str>,
}

#[cfg(feature = "serve")]
impl OwnedOutcome {
    pub(crate) fn new(outcome: &Outcome<'_>) -> Self {
        let Outcome { attributes, totals } = outcome;
        Self {
            attribute_count: attributes.count(),
            attributes: attributes.bytes().into(),
            totals: OutcomeTotals { blocked_by: "", ..*totals },
            blocked_by: totals.blocked_by.into(),
        }
    }

    pub(crate) fn view(&self) -> Outcome<'_> {
        Outcome {
            attributes: Attributes::known(self.attribute_count, &self.attributes),
            totals: OutcomeTotals { blocked_by: &self.blocked_by, ..self.totals },
        }
    }
}
