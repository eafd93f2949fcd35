//! The least that an agent can do, so that what is measured is the way to it and back.
//!
//! With the settings `header` and `value` it allows every request and sets that field; with `inspect`, it reads as
//! much of each request's body and sets `X-Body` to `LENGTH-CRC32` of what it saw. The origin refuses requests without.

use std::process::ExitCode;

use selvedge_agent::{Agent, Body, Options, RequestHead, Subscriptions, Verdict, serve};

/// What the config says, one of the two.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum BenchAgent {
    Head { header: String, value: String },
    Body { inspect: u32 },
}

impl Agent for BenchAgent {
    type Settings = Self;
    type Exchange = ();

    async fn start(settings: Self, _previous: Option<&Self>) -> Result<Self, String> {
        Ok(settings)
    }

    fn wants(&self) -> Subscriptions {
        match self {
            Self::Head { .. } => Subscriptions::none().request_headers(),
            Self::Body { inspect } => Subscriptions::none().inspect_request_body(*inspect),
        }
    }

    async fn request_headers(&self, _: &RequestHead<'_>, _: &mut ()) -> Verdict {
        match self {
            Self::Head { header, value } => Verdict::allow().set_request_header(header, value),
            Self::Body { .. } => Verdict::allow(),
        }
    }

    async fn request_body(&self, _: &RequestHead<'_>, body: Body<'_>, _: &mut ()) -> Verdict {
        let bytes = body.bytes();
        let seen = format!("{}-{:08x}", bytes.len(), crc32fast::hash(bytes));
        Verdict::allow().set_request_header("x-body", seen)
    }
}

fn main() -> ExitCode {
    let options = Options::new("bench", env!("CARGO_PKG_VERSION"));
    serve::<BenchAgent>(options.arguments(std::env::args_os().skip(1)))
}
