//! JetStream with files, published with acknowledgement.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, Context, consumer::push::OrderedConfig, stream::Config};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;

use crate::{
    Result,
    appended::{Appended, RECORD, Writer},
    options::Options,
};

/// Writers share connections beyond this number, as a client library is made for.
const CONNECTIONS_MAX: usize = 64;
/// What waits for its acknowledgement while the stream to be replayed is filled.
const UNDER_WAY: usize = 4096;
/// How long a reader waits for the next record before something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

struct Publisher {
    context: Context,
    subject: String,
}

/// Writers that wait, each with a subject of its own.
pub async fn append(options: &Options) -> Result<Value> {
    let run = options.text("run")?;
    let writers: usize = options.number("writers")?;
    let mut contexts = Vec::new();
    for _ in 0..writers.min(CONNECTIONS_MAX) {
        contexts.push(context(options).await?);
    }
    create(&contexts[0], run).await?;
    let publisher = |writer: usize| Publisher {
        context: contexts[writer % contexts.len()].clone(),
        subject: format!("{run}.{writer}"),
    };
    let publishers = (0..writers).map(publisher).collect();
    let appended = Appended::in_closed_loop(publishers, options.seconds()?).await?;
    let stored = contexts[0].get_stream(run).await?.get_info().await?.state.messages;
    let read = read(&contexts[0], run, stored).await?;
    contexts[0].delete_stream(run).await?;
    appended.proven(read.0)
}

impl Writer for Publisher {
    async fn append(&mut self) -> Result {
        let record = Bytes::from_static(&RECORD);
        self.context.publish(self.subject.clone(), record).await?.await?;
        Ok(())
    }
}

async fn context(options: &Options) -> Result<Context> {
    let mut context = jetstream::new(async_nats::connect(options.text("address")?).await?);
    context.set_timeout(PATIENCE);
    Ok(context)
}

async fn create(context: &Context, name: &str) -> Result {
    let config =
        Config { name: name.to_owned(), subjects: vec![format!("{name}.>")], ..Config::default() };
    context.create_stream(config).await?;
    Ok(())
}

/// Publishes so many records, as fast as it goes.
pub async fn fill(options: &Options, records: u64) -> Result {
    let context = context(options).await?;
    create(&context, "replayed").await?;
    let mut under_way = VecDeque::new();
    for _ in 0..records {
        if under_way.len() == UNDER_WAY
            && let Some(acknowledgement) = under_way.pop_front()
        {
            acknowledgement.await?;
        }
        under_way.push_back(context.publish("replayed.x", Bytes::from_static(&RECORD)).await?);
    }
    for acknowledgement in under_way {
        acknowledgement.await?;
    }
    Ok(())
}

/// Reads what [`fill`] published; returns how many are as they were written, and how long it took.
pub async fn replay(options: &Options, records: u64) -> Result<(u64, Duration)> {
    read(&context(options).await?, "replayed", records).await
}

/// An ordered consumer from the beginning, until it has so many records.
async fn read(context: &Context, name: &str, records: u64) -> Result<(u64, Duration)> {
    let stream = context.get_stream(name).await?;
    let begin = Instant::now();
    let config = OrderedConfig { deliver_subject: format!("_INBOX.{name}"), ..Default::default() };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    let (mut seen, mut right) = (0, 0);
    while seen < records {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await?;
        let message = message.ok_or("the consumer ended")??;
        seen += 1;
        right += u64::from(message.payload[..] == RECORD);
    }
    Ok((right, begin.elapsed()))
}
