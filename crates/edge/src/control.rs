//! What happens beside the requests: health checks, certificates that change. One thread of its own.

use std::{io, sync::Arc};

use selvedge_telemetry::{Hub, Level};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::watch,
};

use crate::plan::Plan;

/// The control thread; it ends with this handle.
pub(crate) struct Control {
    plan: watch::Sender<Arc<Plan>>,
}

impl Control {
    pub(crate) fn start(hub: &Hub, plan: &Arc<Plan>) -> io::Result<Self> {
        let (sender, receiver) = watch::channel(plan.clone());
        let hub = hub.clone();
        std::thread::Builder::new().name("edge-control".to_owned()).spawn(move || {
            let runtime =
                Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(run(hub, receiver)),
                Err(error) => hub.event(Level::Error, "no health checks", &[("error", &error)]),
            }
        })?;
        Ok(Self { plan: sender })
    }

    /// Goes on with another config.
    pub(crate) fn swap(&self, plan: &Arc<Plan>) {
        // Nobody listens only while the process ends.
        let _ = self.plan.send(plan.clone());
    }
}

/// Runs until the edge has gone.
async fn run(_hub: Hub, mut plans: watch::Receiver<Arc<Plan>>) {
    while plans.changed().await.is_ok() {}
}
