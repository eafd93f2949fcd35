//! What is written for people and scripts, and whether it may be coloured.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

/// Standard output, buffered. A reader that has gone (`selvedge bounds | head`) is no error.
pub(crate) struct Terminal {
    out: BufWriter<Stdout>,
    /// Whether standard output wants colour.
    pub(crate) paint: Paint,
}

impl Terminal {
    /// This process's standard output.
    pub(crate) fn new() -> Self {
        Self { out: BufWriter::new(io::stdout()), paint: Paint { on: wants_color(&io::stdout()) } }
    }

    /// Writes all of `text`.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        self.write_bytes(text.as_bytes())
    }

    /// Writes all of `bytes`, which need not be text.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        forgive_broken_pipe(self.out.write_all(bytes))
    }

    /// Hands what was written to the system.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        forgive_broken_pipe(self.out.flush())
    }
}

fn forgive_broken_pipe(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes to standard error, where nobody may be reading any more.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Whether `stream` is a terminal and nobody asked for plain text (<https://no-color.org>).
fn wants_color(stream: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Text in the colours of diagnostics, or plain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    /// Whether it is coloured at all.
    pub(crate) on: bool,
}

impl Paint {
    /// For standard error.
    pub(crate) fn on_stderr() -> Self {
        Self { on: wants_color(&io::stderr()) }
    }

    /// Heads and what matters.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// In the hue of this SGR code.
    pub(crate) fn with(self, sgr: &str, text: &str) -> String {
        if self.on { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
