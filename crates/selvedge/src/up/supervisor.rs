//! Keeps edge and core running, each as a process of its own.
//!
//! What the edge says is passed on to whoever supervises us: it is what clients see. A core that
//! fails does not end anything; the edge goes on and answers the core's paths with 503.

use std::{ffi::OsString, io, path::Path, process::ExitStatus};

use rustix::process::Signal;
use tempfile::TempDir;

use super::ward::{News, Ward};
use crate::{
    cli::Outcome,
    core::Link,
    edge::{
        notify::{Notifier, Reachable},
        signals::{Order, Signals},
    },
    exit::{Exit, Failure},
    findings,
    terminal::complain,
};

/// Runs `selvedge edge` and `selvedge core`, and starts them again when they end by themselves.
pub(super) struct Supervisor {
    edge: Ward,
    core: Ward,
    /// The config in force has a core on this machine.
    wants_core: bool,
    above: Notifier,
    /// What the edge said first, until it is announced.
    reachable: Option<Reachable>,
    stopping: Option<Stopping>,
    /// Holds the mailboxes.
    _folder: TempDir,
}

/// On the way to the end.
#[derive(Clone, Copy, Debug)]
struct Stopping {
    /// With which all ends.
    exit: Exit,
}

impl Supervisor {
    pub(super) fn new(config: &Path, quiet: bool) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("selvedge-").tempdir()?;
        let link = Link::generate()?.line();
        let ward = |name| Ward::new(name, arguments(config, quiet), (link.clone(), folder.path()));
        let (edge, core) = (ward("edge")?, ward("core")?);
        Ok(Self {
            wants_core: has_core(config),
            edge,
            core,
            above: Notifier::from_env(),
            reachable: None,
            stopping: None,
            _folder: folder,
        })
    }

    /// Runs until told to stop or until another start would change nothing. `announce` is called the
    /// first time that clients are served.
    pub(super) async fn run(
        &mut self,
        signals: &mut Signals,
        announce: impl FnOnce(&Reachable) -> io::Result<()>,
    ) -> Outcome {
        let mut announce = Some(announce);
        if self.wants_core {
            self.core.start().await?;
        }
        self.edge.start().await?;
        loop {
            tokio::select! {
                order = signals.next() => self.obey(order).await?,
                news = self.edge.news() => self.hear_of_edge(news?).await?,
                news = self.core.news() => self.hear_of_core(news?).await?,
            }
            if self.is_served()
                && let (Some(announce), Some(reachable)) = (announce.take(), &self.reachable)
            {
                announce(reachable)?;
            }
            if let Some(Stopping { exit }) = self.stopping
                && !self.edge.is_running()
                && !self.core.is_running()
            {
                return Ok(exit);
            }
        }
    }

    /// Whether clients find all they may expect.
    fn is_served(&self) -> bool {
        self.reachable.is_some()
            && (!self.wants_core || self.core.was_ready || !self.core.is_running())
    }

    async fn obey(&mut self, order: Order) -> Result<(), Failure> {
        match order {
            Order::Reload => {
                self.edge.signal(Signal::HUP);
                self.core.signal(Signal::HUP);
                // One that could not run with the config as it was may now.
                if self.wants_core && self.stopping.is_none() {
                    self.core.start().await?;
                }
            }
            Order::Reopen => {
                self.edge.signal(Signal::USR1);
                self.core.signal(Signal::USR1);
            }
            Order::Stop => self.stop(Exit::Success),
        }
        Ok(())
    }

    /// Both drain at the same time: what is under way between them, both let end.
    fn stop(&mut self, exit: Exit) {
        self.stopping = Some(self.stopping.unwrap_or(Stopping { exit }));
        for ward in [&mut self.edge, &mut self.core] {
            ward.forget();
            ward.signal(Signal::TERM);
        }
    }

    async fn hear_of_edge(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::Said(message) => {
                self.above.tell(&message);
                if let Some(reachable) = Reachable::from_message(&message) {
                    self.edge.was_ready = true;
                    self.want_core(reachable.has_core).await?;
                    self.reachable = Some(reachable);
                }
            }
            News::Ended(status) => match self.verdict(status) {
                Some(exit) => self.follow_edge(exit),
                None => {
                    let wait = self.edge.start_later();
                    complain(&format!(
                        "selvedge: the edge ended ({status}); starting it again in {wait:?}\n"
                    ));
                }
            },
            News::Due => self.edge.start().await?,
        }
        Ok(())
    }

    /// The edge has ended for good, and so will the core. One that drains already is not told again: that would cut what
    /// is under way.
    fn follow_edge(&mut self, exit: Exit) {
        let was_stopping = self.stopping.replace(Stopping { exit }).is_some();
        self.core.forget();
        if !was_stopping {
            self.core.signal(Signal::TERM);
        }
    }

    /// How we end, now that the edge has; `None`: it is to be started again.
    fn verdict(&self, status: ExitStatus) -> Option<Exit> {
        let exit = status.code().map(Exit::of_child);
        let is_last = self.stopping.is_some() || !self.edge.was_ready || is_hopeless(exit);
        is_last.then_some(exit.unwrap_or(Exit::Failure))
    }

    async fn hear_of_core(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::Said(message) => {
                self.core.was_ready |= Reachable::from_message(&message).is_some();
            }
            News::Ended(status) => self.miss_core(status),
            News::Due if self.wants_core => self.core.start().await?,
            News::Due => {}
        }
        Ok(())
    }

    fn miss_core(&mut self, status: ExitStatus) {
        if self.stopping.is_some() || !self.wants_core {
            return;
        }
        let meanwhile = "its paths answer 503 meanwhile, all else is served";
        if is_hopeless(status.code().map(Exit::of_child)) {
            return complain(&format!(
                "selvedge: the core cannot run as things are ({status}); it is started again on the \
                 next reload; {meanwhile}\n"
            ));
        }
        let wait = self.core.start_later();
        complain(&format!(
            "selvedge: the core ended ({status}); starting it again in {wait:?}; {meanwhile}\n"
        ));
    }

    /// Follows the config that the edge has in force: a core that it has no more ends, one that is new
    /// begins.
    async fn want_core(&mut self, wanted: bool) -> Result<(), Failure> {
        let before = std::mem::replace(&mut self.wants_core, wanted);
        match (before, wanted) {
            _ if self.stopping.is_some() => {}
            (false, true) => self.core.start().await?,
            (true, false) => {
                self.core.forget();
                self.core.signal(Signal::TERM);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Another start would end the same way.
fn is_hopeless(exit: Option<Exit>) -> bool {
    matches!(exit, Some(Exit::Config | Exit::Usage | Exit::Data))
}

fn arguments(config: &Path, quiet: bool) -> Vec<OsString> {
    let mut arguments = vec!["--config".into(), config.into(), "--link-from-stdin".into()];
    if quiet {
        arguments.push("--quiet".into());
    }
    arguments
}

/// Whether the config has a core on this machine. What is wrong with a config, the edge tells.
fn has_core(config: &Path) -> bool {
    let core = findings::load(config).ok().and_then(|checked| checked.config.core);
    core.is_some_and(|core| core.process().is_some())
}
