use std::{env, ffi::OsString, num::NonZero, path::PathBuf, thread, time::Duration};

use crate::AgentBounds;

/// How an agent is served.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) bounds: AgentBounds,
    threads: Option<NonZero<usize>>,
    pub(super) drain: Duration,
    pub(super) listen: Option<PathBuf>,
    arguments: Vec<OsString>,
}

impl Options {
    /// The defaults, for an agent of this name and version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            bounds: AgentBounds::default(),
            threads: None,
            drain: Duration::from_secs(25),
            listen: None,
            arguments: Vec::new(),
        }
    }

    /// Takes the arguments of the command line: `--listen PATH` and `--threads N`.
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = OsString>) -> Self {
        self.arguments.extend(arguments);
        self
    }

    /// Listens on a socket at this path.
    pub fn listen(mut self, path: impl Into<PathBuf>) -> Self {
        self.listen = Some(path.into());
        self
    }

    /// What is allowed on each connection; by default 1024 streams, 64 KiB of room for each body, and
    /// frames of 256 KiB.
    pub fn bounds(mut self, bounds: AgentBounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Number of threads; by default what `SELVEDGE_THREADS` says, which the edge sets, otherwise one
    /// for each core.
    pub fn threads_max(mut self, threads: NonZero<usize>) -> Self {
        self.threads = Some(threads);
        self
    }

    /// How long connections may take to end once the process is told to; by default 25 s.
    pub fn drain(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    pub(super) fn threads(&self) -> usize {
        let told = || env::var("SELVEDGE_THREADS").ok()?.parse().ok();
        let cores = || thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        self.threads.or_else(told).unwrap_or_else(cores).get()
    }

    /// The options once the arguments are read.
    pub(super) fn parsed(mut self) -> Result<Self, String> {
        let mut arguments = std::mem::take(&mut self.arguments).into_iter();
        while let Some(argument) = arguments.next() {
            let value = arguments.next();
            match (argument.to_str(), value) {
                (Some("--listen"), Some(path)) => self.listen = Some(path.into()),
                (Some("--threads"), Some(number)) => {
                    let number = number.to_str().and_then(|number| number.parse().ok());
                    self.threads = Some(number.ok_or("--threads wants a number from 1")?);
                }
                _ => {
                    let argument = argument.to_string_lossy();
                    let usage = "usage: [--listen PATH] [--threads N]";
                    return Err(format!("{argument}: not understood; {usage}"));
                }
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], expected: Result<(Option<&str>, usize), &str>) {
        let options = Options::new("a", "1").threads_max(NonZero::<usize>::MIN);
        let parsed = options.arguments(arguments.iter().map(Into::into)).parsed();
        let parsed = parsed.map(|options| (options.listen.clone(), options.threads()));
        let expected = expected.map(|(listen, threads)| (listen.map(PathBuf::from), threads));
        assert_eq!(parsed, expected.map_err(str::to_owned));
    }

    #[test]
    fn arguments() {
        check(&[], Ok((None, 1)));
        check(&["--listen", "/run/a", "--threads", "3"], Ok((Some("/run/a"), 3)));
        check(&["--threads", "0"], Err("--threads wants a number from 1"));
        check(&["--listen"], Err("--listen: not understood; usage: [--listen PATH] [--threads N]"));
        check(&["-x"], Err("-x: not understood; usage: [--listen PATH] [--threads N]"));
    }
}
