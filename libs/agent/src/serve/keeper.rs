//! Who starts agents: one for the process, however many connections ask for the same settings.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_local,
};

use crate::{Agent, Subscriptions};

/// Connections that may wait for an agent; others wait to ask.
const ORDERS_MAX: usize = 64;

/// An agent that was started, and what it wants.
pub(super) struct Started<A> {
    pub(super) agent: Arc<A>,
    pub(super) wants: Arc<Subscriptions>,
}

impl<A> Clone for Started<A> {
    fn clone(&self) -> Self {
        Self { agent: self.agent.clone(), wants: self.wants.clone() }
    }
}

struct Order<A> {
    config: Config,
    answer: oneshot::Sender<Result<Started<A>, String>>,
}

/// What makes two agents the same.
#[derive(PartialEq, Eq)]
struct Config {
    generation: u64,
    settings: String,
}

/// Where connections ask.
pub(super) struct Door<A>(mpsc::Sender<Order<A>>);

impl<A> Clone for Door<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Agent> Door<A> {
    /// The agent with these settings: started for the purpose, unless it is the one that runs.
    pub(super) async fn ask(
        &self,
        generation: u64,
        settings: String,
    ) -> Result<Started<A>, String> {
        let (answer, answered) = oneshot::channel();
        let order = Order { config: Config { generation, settings }, answer };
        let sent = self.0.send(order).await;
        sent.map_err(|_| GONE.to_owned())?;
        answered.await.unwrap_or_else(|_| Err(GONE.to_owned()))
    }
}

const GONE: &str = "the process is about to end";

/// The agent that runs.
pub(super) struct Keeper<A> {
    orders: mpsc::Receiver<Order<A>>,
    current: Option<(Config, Started<A>)>,
}

impl<A: Agent> Keeper<A> {
    pub(super) fn new() -> (Self, Door<A>) {
        let (door, orders) = mpsc::channel(ORDERS_MAX);
        (Self { orders, current: None }, Door(door))
    }

    /// Answers orders one after the other, so that an agent takes over from one that has started.
    pub(super) async fn run(mut self) {
        while let Some(Order { config, answer }) = self.orders.recv().await {
            let result = self.get(config).await;
            // Who asked may be gone.
            let _ = answer.send(result);
        }
    }

    async fn get(&mut self, config: Config) -> Result<Started<A>, String> {
        if let Some((current, started)) = &self.current
            && *current == config
        {
            return Ok(started.clone());
        }
        let previous = self.current.as_ref().map(|(_, started)| started.agent.clone());
        let started = start::<A>(&config.settings, previous).await?;
        self.current = Some((config, started.clone()));
        Ok(started)
    }
}

async fn start<A: Agent>(settings: &str, previous: Option<Arc<A>>) -> Result<Started<A>, String> {
    let settings: A::Settings =
        serde_json::from_str(settings).map_err(|error| format!("settings: {error}"))?;
    // A task of its own: a panic in it is an error here.
    let started = spawn_local(async move {
        let agent = A::start(settings, previous.as_deref()).await?;
        let wants = Arc::new(agent.wants());
        Ok(Started { agent: Arc::new(agent), wants })
    });
    started.await.unwrap_or_else(|_| Err("the agent panicked while it started".to_owned()))
}
