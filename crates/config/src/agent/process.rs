//! How a started agent is kept: `threads`, `sandbox { … }`, `restart { … }`.

use std::{path::PathBuf, time::Duration};

use selvedge_base::ByteSize;

use crate::{
    AgentProcess, Code, Restart, Sandbox,
    cursor::Cursor,
    listener::TIMEOUT,
    reading::{Problem, Reading},
    source::{Span, Spanned},
};

/// All of it as written.
pub(super) struct ProcessPart {
    threads: Option<Spanned<usize>>,
    sandbox: Option<(Span, SandboxPart)>,
    restart: Option<(Span, RestartPart)>,
}

#[derive(Default)]
struct SandboxPart {
    memory: Option<Spanned<ByteSize>>,
    descriptors: Option<Spanned<u32>>,
    landlock: Option<Spanned<bool>>,
    seccomp: Option<Spanned<bool>>,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

#[derive(Default)]
struct RestartPart {
    backoff: Option<Spanned<Duration>>,
    backoff_max: Option<Spanned<Duration>>,
}

impl ProcessPart {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            threads: cursor.setting("threads", |value| value.count(1..=64)),
            sandbox: cursor.child("sandbox", |c| (c.span(), SandboxPart::read(c))),
            restart: cursor.child("restart", |c| (c.span(), RestartPart::read(c))),
        }
    }

    /// An error for each setting of an agent that somebody else starts.
    pub(super) fn refuse(self, reading: &Reading<'_>) {
        let Self { threads, sandbox, restart } = self;
        let written = [
            threads.map(|threads| ("threads", threads.span)),
            sandbox.map(|(span, _)| ("sandbox", span)),
            restart.map(|(span, _)| ("restart", span)),
        ];
        for (name, span) in written.into_iter().flatten() {
            let message = format!("`{name}` has no effect: Selvedge does not start this agent");
            let help = "remove it, or write `command` instead of `address`";
            reading.error(span, Problem::new(Code::Conflict, message).help(help));
        }
    }

    /// `files` are those that the agent's settings name.
    pub(super) fn settle(
        self,
        reading: &Reading<'_>,
        scope: &str,
        files: &[PathBuf],
    ) -> AgentProcess {
        let Self { threads, sandbox, restart } = self;
        let sandbox = sandbox.map(|(_, part)| part).unwrap_or_default();
        let restart = restart.map(|(_, part)| part).unwrap_or_default();
        AgentProcess {
            threads: reading.settle(scope, "threads", threads, 1),
            sandbox: sandbox.settle(reading, scope, files),
            restart: restart.settle(reading, scope),
        }
    }
}

impl SandboxPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let memory = ByteSize::mib(16)..=ByteSize(1 << 40);
        Self {
            memory: cursor.setting("memory", |value| value.size(memory)),
            descriptors: cursor.setting("descriptors", |value| value.integer(32..=1_048_576)),
            landlock: cursor.setting("landlock", |value| value.boolean()),
            seccomp: cursor.setting("seccomp", |value| value.boolean()),
            read: read_paths(cursor, "read"),
            write: read_paths(cursor, "write"),
        }
    }

    fn settle(self, reading: &Reading<'_>, scope: &str, files: &[PathBuf]) -> Sandbox {
        let Self { memory, descriptors, landlock, seccomp, mut read, write } = self;
        // A file that is replaced is another one to the kernel: what counts is its folder.
        read.extend(files.iter().filter_map(|file| file.parent()).map(PathBuf::from));
        read.sort();
        read.dedup();
        Sandbox {
            memory: reading.settle(scope, "sandbox memory", memory, ByteSize::mib(256)),
            descriptors: reading.settle(scope, "sandbox descriptors", descriptors, 256),
            landlock: landlock.is_none_or(|switch| switch.value),
            seccomp: seccomp.is_none_or(|switch| switch.value),
            read,
            write,
        }
    }
}

fn read_paths(cursor: &mut Cursor<'_>, name: &'static str) -> Vec<PathBuf> {
    let paths = cursor.children(&[name], |cursor| {
        let arguments = cursor.arguments("files or folders");
        let paths = arguments.into_iter().filter_map(|value| value.file_or_folder());
        paths.map(|path| path.value).collect::<Vec<_>>()
    });
    paths.into_iter().flatten().collect()
}

/// Nobody who kills an agent once waits for it, and somebody who mends one that ends at each start waits
/// for less than a second.
const BACKOFF: Duration = Duration::from_millis(10);
/// An agent that ends at each start is started twice a second, which costs less than a tenth of a core.
const BACKOFF_MAX: Duration = Duration::from_millis(500);

impl RestartPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            backoff: cursor.setting("backoff", |value| value.duration(TIMEOUT)),
            backoff_max: cursor.setting("backoff-max", |value| value.duration(TIMEOUT)),
        }
    }

    fn settle(self, reading: &Reading<'_>, scope: &str) -> Restart {
        let Self { backoff, backoff_max } = self;
        let backoff = reading.settle(scope, "restart backoff", backoff, BACKOFF);
        if let Some(short) = backoff_max.as_ref().filter(|longest| longest.value < backoff) {
            let problem =
                Problem::new(Code::Conflict, "the longest wait is shorter than the first");
            reading.error(short.span, problem.help("raise `backoff-max` or lower `backoff`"));
        }
        let longest = BACKOFF_MAX.max(backoff);
        let backoff_max = reading.settle(scope, "restart backoff-max", backoff_max, longest);
        Restart { backoff, backoff_max }
    }
}
