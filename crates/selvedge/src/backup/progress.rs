//! How far something has come, told on standard error: one line that changes on a terminal, a line now and
//! then elsewhere.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use selvedge_backup::Progress;

use super::size;
use crate::terminal::complain;

const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(30);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Objects,
}

/// Tells how far something has come.
pub(super) struct Teller {
    what: &'static str,
    unit: Unit,
    is_terminal: bool,
    told: Instant,
    is_dirty: bool,
}

impl Teller {
    pub(super) fn new(what: &'static str, unit: Unit) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { what, unit, is_terminal, told: Instant::now(), is_dirty: false }
    }

    /// Tells it, if it is time to.
    pub(super) fn tell(&mut self, progress: Progress) {
        let pause = if self.is_terminal { ON_TERMINAL } else { ELSEWHERE };
        if self.told.elapsed() < pause {
            return;
        }
        self.told = Instant::now();
        let line = line(self.what, self.unit, progress);
        if self.is_terminal {
            self.is_dirty = true;
            complain(&format!("\r\x1b[K{line}"));
        } else {
            complain(&format!("{line}\n"));
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if self.is_dirty {
            complain("\r\x1b[K");
        }
    }
}

fn line(what: &str, unit: Unit, Progress { done, total, sent }: Progress) -> String {
    let percent = (done.saturating_mul(100)).checked_div(total).unwrap_or(100).min(100);
    let far = match unit {
        Unit::Bytes => format!("{} of {}", size(done), size(total)),
        Unit::Objects => format!("{done} of {total} objects"),
    };
    let sent = if sent > 0 { format!(", {} sent", size(sent)) } else { String::new() };
    format!("{what}: {percent} % ({far}{sent})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let progress = Progress { done: 1 << 20, total: 4 << 20, sent: 2048 };
        let told = line("backup", Unit::Bytes, progress);
        assert_eq!(told, "backup: 25 % (1.0 MiB of 4.0 MiB, 2.0 KiB sent)");
        let nothing = Progress { done: 0, total: 0, sent: 0 };
        assert_eq!(line("verify", Unit::Objects, nothing), "verify: 100 % (0 of 0 objects)");
    }
}
