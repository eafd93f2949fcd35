//! How the command ends; the table is in `docs/reference/exit-codes.md`.

use std::{error::Error, fmt, process::ExitCode};

use selvedge_edge::StartError;

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All was done.
    Success = 0,
    /// It could not be done; the text says why.
    Failure = 1,
    /// The config is wrong.
    Config = 2,
    /// The config has warnings, and they were to count as errors.
    Warnings = 3,
    /// The command line is wrong (`EX_USAGE`).
    Usage = 64,
    /// What is stored is damaged, or of another version (`EX_DATAERR`).
    Data = 65,
    /// Something needed is not there, such as a free port (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// A mistake in Selvedge itself (`EX_SOFTWARE`).
    Bug = 70,
}

impl Exit {
    const ALL: [Self; 8] = [
        Self::Success,
        Self::Failure,
        Self::Config,
        Self::Warnings,
        Self::Usage,
        Self::Data,
        Self::Unavailable,
        Self::Bug,
    ];

    /// What a role's process ended with.
    pub(crate) fn of_child(code: i32) -> Self {
        Self::ALL.into_iter().find(|exit| *exit as i32 == code).unwrap_or(Self::Failure)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ends early: a code for scripts and a text for people.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code.
    pub(crate) exit: Exit,
    /// One sentence or a whole report; begins with `error`.
    pub(crate) text: String,
}

impl Failure {
    /// `error: TEXT`.
    pub(crate) fn new(exit: Exit, text: impl fmt::Display) -> Self {
        Self { exit, text: format!("error: {text}\n") }
    }

    /// `error: PREFIX: …`.
    pub(crate) fn prefixed(self, prefix: &str) -> Self {
        let text = self.text.trim_start_matches("error: ").trim_end();
        Self::new(self.exit, format!("{prefix}: {text}"))
    }

    /// An error and what lies behind it.
    pub(crate) fn chain(exit: Exit, error: &dyn Error) -> Self {
        Self::new(exit, chain(error))
    }
}

impl From<&StartError> for Failure {
    fn from(error: &StartError) -> Self {
        let exit = match error {
            StartError::Plan(_) => Exit::Config,
            StartError::Bind { .. } | StartError::Admin { .. } | StartError::Thread(_) => {
                Exit::Unavailable
            }
            StartError::Worker => Exit::Bug,
        };
        Self::chain(exit, error)
    }
}

/// `outermost: inner: innermost`, leaving out a cause that its effect already quotes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Outer(&'static str, io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn causes_are_told_once() {
        let cause = || io::Error::other("no such file");
        assert_eq!(chain(&Outer("cannot read", cause())), "cannot read: no such file");
        assert_eq!(chain(&Outer("a: no such file", cause())), "a: no such file");
    }
}
