//! An agent that refuses paths.

use selvedge_agent::{
    Agent, Counter, Labelled, Metrics, Options, RequestHead, Subscriptions, Verdict, serve,
};

/// What the block `settings` may say.
#[derive(serde::Deserialize)]
struct Settings {
    prefixes: Vec<String>,
}

/// The agent: its settings, and what it counts.
struct Deny {
    prefixes: Vec<String>,
    metrics: Metrics,
    refused: Labelled<Counter, 1>,
}

impl Agent for Deny {
    type Settings = Settings;
    type Exchange = ();

    async fn start(settings: Settings, previous: Option<&Self>) -> Result<Self, String> {
        // Over a reload the counts go on.
        let metrics = previous.map(|previous| previous.metrics.clone()).unwrap_or_default();
        let refused = metrics.counters("refused_total", "Requests refused.", ["prefix"]);
        Ok(Self { prefixes: settings.prefixes, metrics, refused })
    }

    fn metrics(&self) -> Option<&Metrics> {
        Some(&self.metrics)
    }

    fn wants(&self) -> Subscriptions {
        Subscriptions::none().request_headers()
    }

    async fn request_headers(&self, request: &RequestHead<'_>, _: &mut ()) -> Verdict {
        match self.prefixes.iter().find(|prefix| request.path().starts_with(*prefix)) {
            Some(prefix) => {
                self.refused.with([prefix]).add(1);
                Verdict::block(403).reason(format!("the path begins with {prefix}"))
            }
            None => Verdict::allow(),
        }
    }
}

fn main() -> std::process::ExitCode {
    let options = Options::new("deny", env!("CARGO_PKG_VERSION"));
    serve::<Deny>(options.arguments(std::env::args_os().skip(1)))
}
