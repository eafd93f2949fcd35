//! The engine, asked about one request after another.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::SystemTime,
};

use selvedge_waf::{
    engine::{
        Connection, Decision, Match, Profile, Refusal, RequestHead, ResponseHead, Rules,
        Transaction,
    },
    native::Exchange,
    policy::Policy,
};

use super::request::Request;

/// Who is said to ask where a record does not tell: an address for documentation (RFC 5737), which no rule trusts.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Who is asked.
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// Rules under a policy.
pub(super) struct Judge {
    profile: Arc<Profile>,
    transaction: Transaction,
}

/// What the rules say to a request.
pub(super) struct Verdict<'j> {
    /// The refusal, be it carried out or only detected.
    pub(super) refusal: Option<&'j Refusal>,
    /// Whether it is carried out.
    pub(super) refused: bool,
    pub(super) points: u32,
    pub(super) matches: &'j [Match],
    /// What is wrong with its body.
    pub(super) body_problem: Option<&'j str>,
    /// In units of the policy's bound.
    pub(super) work: u64,
}

impl Judge {
    pub(super) fn new(rules: Arc<Rules>, policy: Policy) -> Self {
        // Each record by itself: most recordings know nothing of who asked and when, and what others did before would refuse one
        // today and not tomorrow.
        Self { profile: Arc::new(Profile::new(rules, policy)), transaction: Transaction::trial() }
    }

    /// How many rules can match under the policy.
    pub(super) fn live_len(&self) -> usize {
        self.profile.live_len()
    }

    /// Asks the rules about a request.
    pub(super) fn request(&mut self, request: &Request) -> Verdict<'_> {
        let fields: Vec<(&[u8], &[u8])> =
            request.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        self.begin(request.client.unwrap_or(CLIENT));
        let head = self.transaction.request_head(&RequestHead {
            method: &request.method,
            target: &request.target,
            version: &request.version,
            fields: &fields,
        });
        if !request.body.is_empty() {
            self.transaction.request_body(&request.body);
        }
        // Once a head is refused, the engine asks no further and calls that a pass.
        let whole = self.transaction.request();
        self.verdict([head, whole].iter().any(|decision| *decision != Decision::Pass))
    }

    /// Asks the rules about a rule's own case.
    pub(super) fn exchange(&mut self, exchange: &Exchange) -> &[Match] {
        self.begin(CLIENT);
        let transaction = &mut self.transaction;
        if let Some(frame) = &exchange.frame {
            transaction.frame(frame.as_bytes());
            return transaction.matches();
        }
        transaction.request_head(&RequestHead {
            method: exchange.method.as_bytes(),
            target: exchange.target.as_bytes(),
            version: "HTTP/1.1",
            fields: &as_bytes(&exchange.fields),
        });
        transaction.request_body(exchange.body.as_bytes());
        transaction.request();
        if let Some(response) = &exchange.response {
            transaction.response_head(&ResponseHead {
                status: response.status,
                version: "HTTP/1.1",
                fields: &as_bytes(&response.fields),
            });
            transaction.response_body(response.body.as_bytes());
            transaction.response();
        }
        transaction.matches()
    }

    fn begin(&mut self, client: IpAddr) {
        let connection =
            Connection { client, client_port: 40_000, server: SERVER, server_port: 443 };
        self.transaction.begin(&self.profile, &connection, SystemTime::now());
    }

    fn verdict(&self, refused: bool) -> Verdict<'_> {
        let transaction = &self.transaction;
        Verdict {
            refusal: transaction.refusal(),
            refused,
            points: transaction.score().inbound,
            matches: transaction.matches(),
            body_problem: transaction.body_problem(),
            work: transaction.work(),
        }
    }
}

fn as_bytes(fields: &[(String, String)]) -> Vec<(&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}
