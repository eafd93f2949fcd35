//! What the committer will need, made by another thread before it does: files of segments, and memory for what it writes.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use crate::{
    core::{Core, Spare},
    disk::File,
    shared::Shared,
};

/// How far ahead of the committer memory is prepared; nearer in a segment of which less is written.
const AHEAD_BYTES: u64 = 16 << 20;
/// What is read at once.
const STEP_BYTES: u64 = 256 << 10;

/// Prepares one thing after the other, and never keeps the committer waiting.
pub(super) struct Preparer {
    /// `None` when it is to end.
    ask: Option<Sender<Wish>>,
    done: Receiver<Done>,
    /// One wish at a time is on its way.
    is_asked: bool,
    /// The segment that was active when a file was asked for last. What the disk refused is asked for again behind the next
    /// segment, which the committer makes itself, or reports.
    asked_behind: Option<u64>,
    /// The active segment, and up to where there is memory for what is written.
    warm: (u64, u64),
    thread: Option<JoinHandle<()>>,
}

enum Wish {
    Spare,
    Warm { file: Arc<dyn File>, from: u64, to: u64 },
}

enum Done {
    Spare(Option<Spare>),
    Warm,
}

impl Preparer {
    pub(super) fn start(core: &Core) -> std::io::Result<Self> {
        let shared = Arc::clone(&core.shared);
        let ((ask, asked), (tell, done)) = (channel(), channel());
        let thread = thread::Builder::new().name("log-prepare".into()).spawn(move || {
            while let Ok(wish) = asked.recv() {
                if tell.send(fulfil(&shared, wish)).is_err() {
                    break;
                }
            }
        })?;
        let (ask, thread) = (Some(ask), Some(thread));
        Ok(Self { ask, done, is_asked: false, asked_behind: None, warm: (0, 0), thread })
    }

    /// Hands over what is made, and asks for what is wanted next.
    pub(super) fn attend(&mut self, core: &mut Core) {
        while let Ok(done) = self.done.try_recv() {
            self.is_asked = false;
            if let Done::Spare(Some(spare)) = done {
                core.take_spare(spare);
            }
        }
        if self.is_asked {
            return;
        }
        let wish = self.wants_warmth(core).or_else(|| self.wants_spare(core));
        if let (Some(wish), Some(ask)) = (wish, &self.ask) {
            self.is_asked = ask.send(wish).is_ok();
        }
    }

    fn wants_spare(&mut self, core: &Core) -> Option<Wish> {
        let base = core.wants_spare().filter(|base| self.asked_behind != Some(*base))?;
        self.asked_behind = Some(base);
        Some(Wish::Spare)
    }

    fn wants_warmth(&mut self, core: &Core) -> Option<Wish> {
        let (base, written, file) = core.active();
        if self.warm.0 != base {
            self.warm = (base, written);
        }
        let ahead = (2 * written).min(AHEAD_BYTES);
        let from = self.warm.1.max(written);
        let to = (written + ahead).min(core.shared.settings.segment_bytes);
        // Each wish is for half of it at least.
        if to < from + ahead / 2 || to < from + STEP_BYTES {
            return None;
        }
        self.warm.1 = to;
        Some(Wish::Warm { file: Arc::clone(file), from, to })
    }
}

fn fulfil(shared: &Shared, wish: Wish) -> Done {
    match wish {
        Wish::Spare => Done::Spare(Spare::prepare(shared.disk.as_ref(), &shared.settings).ok()),
        Wish::Warm { file, from, to } => {
            warm(file.as_ref(), from, to);
            Done::Warm
        }
    }
}

/// Reads what is reserved and not written, so that the system has memory for it: a write that has to find memory first takes
/// ten times as long.
fn warm(file: &dyn File, from: u64, to: u64) {
    let mut buffer = vec![0; STEP_BYTES as usize];
    let mut at = from;
    while at < to {
        match file.read_at(at, &mut buffer) {
            Ok(read) if read > 0 => at += read as u64,
            // Nothing is lost: the write finds its memory itself.
            _ => break,
        }
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            // Whatever it was making means nothing.
            let _ = thread.join();
        }
    }
}
