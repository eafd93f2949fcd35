//! A target's response: what agents held of its body, and the rest as it comes.

use std::time::Duration;

use bytes::BytesMut;

use super::{
    super::{Failure, Refusal},
    attempt::Attempt,
};
use crate::{
    agent::held::{Held, Inspected},
    deadline::Deadline,
    message::{BodySource, Filled},
    problem::Problem,
};

/// A response's body, behind what agents hold of it.
pub(in super::super) type Reply = Inspected<Held, Attempt>;

impl Reply {
    /// A response that no agent has seen.
    pub(super) fn new(attempt: Attempt) -> Self {
        Self { held: Held::default(), source: attempt }
    }

    /// Reads until more than `bytes_max` are held or the body is over; each piece may take `patience`.
    pub(in super::super) async fn hold(
        &mut self,
        bytes_max: usize,
        deadline: &Deadline,
        patience: Duration,
    ) -> Result<(), Failure> {
        let mut bytes = BytesMut::from(&self.held.bytes[..]);
        deadline.arm(patience);
        while !self.held.is_whole && bytes.len() <= bytes_max {
            match deadline.within(|context| self.source.poll_fill(context)).await {
                Err(_) => {
                    let cause = "the response stopped arriving";
                    return Err(Refusal::new(Problem::EXCHANGE_TIMEOUT).because(cause).into());
                }
                Ok(Err(fault)) => return Err(Refusal::new(Problem::CLOSED).because(fault).into()),
                Ok(Ok(Filled::End)) => self.held.is_whole = true,
                Ok(Ok(Filled::Data)) => {
                    bytes.extend_from_slice(self.source.chunk());
                    self.source.consume();
                    deadline.arm(patience);
                }
            }
        }
        self.held.bytes = bytes.freeze();
        Ok(())
    }

    /// Whether its length is no longer what the target said.
    pub(super) fn is_inspected(&self) -> bool {
        self.held.is_whole || !self.held.sieves.is_empty()
    }

    /// The length of the body, where it is held whole and passes through nobody.
    pub(super) fn length(&self) -> Option<u64> {
        let whole = self.held.is_whole && self.held.sieves.is_empty();
        whole.then_some(self.held.bytes.len() as u64)
    }
}
