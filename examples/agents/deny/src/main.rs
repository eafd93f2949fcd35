//! An agent that refuses paths.

use selvedge_agent::{Agent, Options, RequestHead, Subscriptions, Verdict, serve};

/// The agent, which is no more than its settings.
#[derive(serde::Deserialize)]
struct Deny {
    prefixes: Vec<String>,
}

impl Agent for Deny {
    type Settings = Self;
    type Exchange = ();

    async fn start(settings: Self, _previous: Option<&Self>) -> Result<Self, String> {
        Ok(settings)
    }

    fn wants(&self) -> Subscriptions {
        Subscriptions::none().request_headers()
    }

    async fn request_headers(&self, request: &RequestHead<'_>, _: &mut ()) -> Verdict {
        match self.prefixes.iter().find(|prefix| request.path().starts_with(*prefix)) {
            Some(prefix) => Verdict::block(403).reason(format!("the path begins with {prefix}")),
            None => Verdict::allow(),
        }
    }
}

fn main() -> std::process::ExitCode {
    let options = Options::new("deny", env!("CARGO_PKG_VERSION"));
    serve::<Deny>(options.arguments(std::env::args_os().skip(1)))
}
