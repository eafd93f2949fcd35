//! An exchange that became a tunnel: what is left of it, which is what its record will say and what counts it. Heads, buffers
//! and the tasks' state that led to the switch are given back where the tunnel begins, as it may last for days.

use std::{rc::Rc, time::Duration};

use selvedge_http1::{Known, RequestHead, ResponseHead};
use selvedge_telemetry::Open;

use super::{
    Exchange, Facts,
    agents::{Council, FrameJudges},
};
use crate::{
    bounds::Entered,
    connection::Connection,
    core::{Core, Snapshot},
    deadline::Deadline,
    outbound::RequestBody,
    tunnel::{self, End},
    upstream::{pool::ConnectionPermit, target::InFlight},
    websocket,
};

/// A tunnel that is about to begin, and what it holds of the upstream.
pub(super) struct Pipe {
    pub(super) client: End,
    pub(super) upstream: End,
    /// How long nothing may move.
    pub(super) idle: Duration,
    /// Agents look at its frames.
    pub(super) is_judged: bool,
    pub(super) _held: (InFlight, ConnectionPermit),
}

/// A tunnel, and what counts it as an exchange under way.
pub(super) struct Switched {
    pub(super) pipe: Box<Pipe>,
    pub(super) _counted: (Open, Entered, Option<Entered>),
}

/// An exchange from its protocol switch to its end.
pub(crate) struct Passage {
    core: Rc<Core>,
    connection: Rc<Connection>,
    snapshot: Rc<Snapshot>,
    request: RequestHead,
    facts: Facts,
    /// `None`: no agent was asked.
    council: Option<Box<Council>>,
    switched: Switched,
}

impl Exchange<'_> {
    /// Takes along what the record needs.
    pub(super) fn passage(&mut self, switched: Switched) -> Box<Passage> {
        // Agents are told, and the audit log, of fields that agents have set.
        let was_asked = self.council.was_asked();
        let is_told = |known| matches!(known, Known::Host | Known::UserAgent | Known::Referer);
        Box::new(Passage {
            core: self.core.clone(),
            connection: self.connection.clone(),
            snapshot: self.snapshot.clone(),
            request: self.request.excerpt(|known| was_asked || is_told(known)),
            facts: self.facts.take(),
            council: was_asked.then(|| Box::new(std::mem::take(&mut self.council))),
            switched,
        })
    }
}

impl Passage {
    /// Moves bytes until the tunnel's end and records the exchange; what is returned is the client's end, to be closed.
    pub(crate) async fn run(mut self: Box<Self>, deadline: &Deadline) -> End {
        let Pipe { client, upstream, idle, is_judged, .. } = &mut *self.switched.pipe;
        let ends = (client, upstream);
        let moved = match self.council.as_mut().filter(|_| *is_judged) {
            Some(council) => {
                let judges = FrameJudges::new(&self.core, council);
                // Large, and not part of what every tunnel takes.
                Box::pin(websocket::run(ends, &judges, deadline, *idle)).await
            }
            None => tunnel::run(ends, deadline, *idle).await,
        };
        (self.facts.bytes_in, self.facts.bytes_out) = (moved.forth, moved.back);
        self.conclude(deadline)
    }

    fn conclude(self, deadline: &Deadline) -> End {
        let Self { core, connection, snapshot, mut request, facts, council, switched } = self;
        let mut exchange = Exchange {
            core: &core,
            connection: &connection,
            deadline,
            snapshot,
            request: &mut request,
            response: &mut ResponseHead::default(),
            body: RequestBody::None,
            facts,
            council: council.map(|council| *council).unwrap_or_default(),
        };
        exchange.conclude();
        switched.pipe.client
    }
}
