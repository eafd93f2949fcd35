//! Why a service gave no answer that counts, for the edge and for the operator.

use std::{
    error::Error,
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

use hyper_util::client::legacy;
use selvedge_agent::Verdict;
use tonic::Status;

use super::connect::DialError;

/// At most one line for the operator in this time: a service that is gone fails every request.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody there to ask.
    Unreachable(String),
    /// No answer in time.
    Late,
    /// The connection or the call broke off.
    Broken(String),
    /// The service says that it failed.
    Refused(String),
    /// An answer that cannot be carried out; the text says which.
    Answer(&'static str),
}

impl Failure {
    /// What the edge is told.
    pub(super) fn why(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "the service cannot be reached",
            Self::Late => "the service did not answer in time",
            Self::Broken(_) => "the service's answer broke off",
            Self::Refused(_) => "the service says that it failed",
            Self::Answer(what) => what,
        }
    }

    fn detail(&self) -> &str {
        match self {
            Self::Unreachable(detail) | Self::Broken(detail) | Self::Refused(detail) => detail,
            Self::Late | Self::Answer(_) => "",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())?;
        match self.detail() {
            "" => Ok(()),
            detail => write!(f, ": {detail}"),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let Some(source) = status.source() else {
            return Self::Refused(format!("{:?}: {}", status.code(), status.message()));
        };
        match is_about_connecting(source) {
            true => Self::Unreachable(chain(source)),
            false => Self::Broken(chain(source)),
        }
    }
}

impl From<legacy::Error> for Failure {
    fn from(error: legacy::Error) -> Self {
        match error.is_connect() {
            true => Self::Unreachable(chain(&error)),
            false => Self::Broken(chain(&error)),
        }
    }
}

fn is_about_connecting(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|cause| {
        let client = cause.downcast_ref::<legacy::Error>();
        cause.is::<DialError>() || client.is_some_and(legacy::Error::is_connect)
    })
}

/// The error and its causes, each told once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&error| error.source()) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Tells the operator of failures, a line each second at most.
#[derive(Debug)]
pub(super) struct Complaints {
    service: String,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    /// Failures since then.
    unsaid: u64,
}

impl Complaints {
    /// About the service at this address.
    pub(super) fn new(service: &str) -> Self {
        Self { service: service.to_owned(), said: Mutex::default() }
    }

    /// The verdict that leaves the exchange to what the operator chose for failures.
    #[expect(clippy::print_stderr, reason = "the standard error of an agent is its log")]
    pub(super) fn abandon(&self, failure: &Failure) -> Verdict {
        if let Some(unsaid) = self.turn(Instant::now()) {
            let more = if unsaid > 0 { format!(" ({unsaid} more before)") } else { String::new() };
            eprintln!("bridge: {}: {failure}{more}", self.service);
        }
        Verdict::abandon(failure.why())
    }

    /// Whether it is time for a line, and how many failures had none.
    fn turn(&self, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().expect("nobody panics while holding it");
        let is_early = said.last.is_some_and(|last| now.duration_since(last) < LINE_EVERY);
        if is_early {
            said.unsaid += 1;
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_a_line_each_second() {
        let complaints = Complaints::new("http://127.0.0.1:1");
        let start = Instant::now();
        assert_eq!(complaints.turn(start), Some(0));
        assert_eq!(complaints.turn(start), None);
        assert_eq!(complaints.turn(start + LINE_EVERY / 2), None);
        assert_eq!(complaints.turn(start + LINE_EVERY), Some(2));
        assert_eq!(complaints.turn(start + LINE_EVERY), None);
    }

    #[test]
    fn what_the_service_says_is_told_apart_from_what_happened_on_the_way() {
        let said = Failure::from(Status::unavailable("database is away"));
        assert_eq!(
            said.to_string(),
            "the service says that it failed: Unavailable: database is away"
        );
        let mut broken = Status::unknown("h2");
        broken.set_source(std::sync::Arc::new(std::io::Error::other("reset by peer")));
        assert_eq!(
            Failure::from(broken).to_string(),
            "the service's answer broke off: reset by peer"
        );
    }
}
