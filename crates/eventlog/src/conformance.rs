//! What an engine has to do to be an [`EventLog`]. Every engine runs this in its tests.

use std::{
    pin::pin,
    task::{Context, Waker},
};

use crate::{Append, AppendError, Batch, EventLog, Producer, ReadError, StreamId, StreamOptions};

/// Demands everything of an engine without streams. Panics at the first demand that is not met.
pub async fn check(log: &impl EventLog) {
    let stream = log.create("orders", StreamOptions::default()).await.expect("a name is free");
    names(log, stream).await;
    appends(log, stream).await;
    expectations(log, stream).await;
    retries(log, stream).await;
    batches(log, stream).await;
    follows(log).await;
    trims(log, stream).await;
    closes(log, stream).await;
    deletes(log, stream).await;
}

async fn names(log: &impl EventLog, stream: StreamId) {
    let again = log.create("orders", StreamOptions::default()).await;
    assert_eq!(again, Err(AppendError::Exists(stream)), "a name is given once");
    assert_eq!(log.find("orders").await, Some(stream));
    assert_eq!(log.find("nobody").await, None);
    log.create("audit", StreamOptions::default()).await.expect("a name is free");
    assert_eq!(log.list("", "", 10).await, ["audit", "orders"]);
    assert_eq!(log.list("", "audit", 10).await, ["orders"]);
    assert_eq!(log.list("a", "", 10).await, ["audit"]);
    assert_eq!(log.list("", "", 1).await, ["audit"]);
}

async fn appends(log: &impl EventLog, stream: StreamId) {
    assert_eq!(log.range(stream).await.expect("it exists"), 0..0);
    let append = Append::to(stream).record(b"0").record(b"").record(b"2");
    assert_eq!(log.append(append).await, Ok(3), "sequences begin at 0, and empty records count");
    assert_eq!(log.append(Append::to(stream).record(b"3")).await, Ok(4));
    assert_eq!(records(log, stream, 0).await, [(0, "0"), (1, ""), (2, "2"), (3, "3")].map(owned));
    assert_eq!(records(log, stream, 2).await, [(2, "2"), (3, "3")].map(owned), "within a batch");
    let end = log.read(stream, 4, 1).await.expect("the tail can be read");
    assert!(end.slices.is_empty() && end.next == 4, "nothing is there, and that is no error");
    let beyond = log.read(stream, 5, 1).await;
    assert!(matches!(beyond, Err(ReadError::BeyondTail { tail: 4 })), "{beyond:?}");
    let nothing = log.append(Append::to(stream)).await;
    assert!(matches!(nothing, Err(AppendError::Invalid(_))), "{nothing:?}");
}

async fn expectations(log: &impl EventLog, stream: StreamId) {
    let expecting = |tail| log.append(Append::to(stream).record(b"x").expect_tail(tail));
    assert_eq!(expecting(3).await, Err(AppendError::Tail { expected: 3, tail: 4 }));
    assert_eq!(expecting(4).await, Ok(5));
}

async fn retries(log: &impl EventLog, stream: StreamId) {
    let producer = |epoch, sequence| Producer { id: "p".into(), epoch, sequence };
    let send = |epoch, sequence| {
        log.append(Append::to(stream).record(b"p").producer(producer(epoch, sequence)))
    };
    assert_eq!(send(1, 0).await, Ok(6));
    assert_eq!(send(1, 0).await, Ok(6), "a repetition is acknowledged and not written");
    assert_eq!(send(1, 2).await, Err(AppendError::Gap { expected: 1, received: 2 }));
    assert_eq!(send(2, 1).await, Err(AppendError::EpochStart { received: 1 }));
    assert_eq!(send(2, 0).await, Ok(7));
    assert_eq!(send(1, 1).await, Err(AppendError::Fenced { epoch: 2 }));
}

/// Every step of a batch happens, over several streams, or none does.
async fn batches(log: &impl EventLog, stream: StreamId) {
    let tail = log.range(stream).await.expect("it exists").end;
    let other = log.new_stream();
    let create = || Batch::create(other, "other", StreamOptions::default());
    let refused = create().and(Append::to(stream).record(b"x").expect_tail(tail + 1));
    let refused = log.submit(refused).await;
    assert_eq!(refused, Err(AppendError::Tail { expected: tail + 1, tail }));
    assert_eq!(log.find("other").await, None, "a batch happens as a whole or not at all");
    let twice = Batch::from(Append::to(stream).record(b"x")).and(Append::to(stream).record(b"x"));
    let twice = log.submit(twice).await;
    assert!(matches!(twice, Err(AppendError::Invalid(_))), "{twice:?}");
    let append = Append::to(other).record(b"first").metadata(&b"said"[..]);
    let done = log.submit(create().and(append)).await.expect("nothing speaks against it");
    assert_eq!((done.placed.stream, done.others[0].tail), (other, 1));
    let info = log.info(other).await.expect("it was created");
    assert_eq!((&*info.name, info.start, info.tail, info.closed), ("other", 0, 1, false));
    let chunk = log.read(other, 0, 1).await.expect("it was written");
    assert_eq!(&chunk.slices[0].metadata[..], b"said");
    let options = StreamOptions { metadata: (&b"new"[..]).into(), ..StreamOptions::default() };
    log.submit(Batch::configure(other, options.clone())).await.expect("it exists");
    assert_eq!(log.info(other).await.expect("it exists").options, options);
    log.delete(other).await.expect("it exists");
}

/// Who waits at the end is given what comes, and the end.
async fn follows(log: &impl EventLog) {
    let stream = log.create("followed", StreamOptions::default()).await.expect("a name is free");
    let mut next = pin!(log.next(stream, 0));
    let waits = next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
    assert!(waits, "there is nothing yet");
    assert_eq!(log.append(Append::to(stream).record(b"0")).await, Ok(1));
    let chunk = next.await.expect("it is there");
    assert_eq!((chunk.next, chunk.is_last()), (1, false));
    let mut end = pin!(log.next(stream, 1));
    assert!(end.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(log.append(Append::to(stream).close()).await, Ok(1));
    assert!(end.await.expect("the end can be read").is_last());
    log.delete(stream).await.expect("it exists");
}

async fn trims(log: &impl EventLog, stream: StreamId) {
    log.trim(stream, 2).await.expect("it exists");
    log.trim(stream, 1).await.expect("what is given up stays so");
    assert_eq!(log.range(stream).await.expect("it exists"), 2..7);
    let gone = log.read(stream, 1, 1).await;
    assert!(matches!(gone, Err(ReadError::Trimmed { start: 2 })), "{gone:?}");
    assert_eq!(records(log, stream, 2).await[0], owned((2, "2")));
}

async fn closes(log: &impl EventLog, stream: StreamId) {
    assert_eq!(log.append(Append::to(stream).record(b"end").close()).await, Ok(8));
    let after = log.append(Append::to(stream).record(b"x")).await;
    assert_eq!(after, Err(AppendError::Closed { tail: 8 }));
    let chunk = log.read(stream, 7, 1 << 20).await.expect("a closed stream is read");
    assert!(chunk.is_last());
}

async fn deletes(log: &impl EventLog, stream: StreamId) {
    log.delete(stream).await.expect("it exists");
    assert_eq!(log.delete(stream).await, Err(AppendError::NoStream(stream)));
    let gone = log.read(stream, 7, 1).await;
    assert!(matches!(gone, Err(ReadError::NoStream(_))), "{gone:?}");
    let again = log.create("orders", StreamOptions::default()).await.expect("the name is free");
    assert_ne!(again, stream, "a number is given once");
    assert_eq!(log.range(again).await.expect("it exists"), 0..0, "nothing of the old one is in it");
}

async fn records(log: &impl EventLog, stream: StreamId, from: u64) -> Vec<(u64, Vec<u8>)> {
    let tail = log.range(stream).await.expect("it exists").end;
    let (mut found, mut next) = (Vec::new(), from);
    while next < tail {
        let chunk = log.read(stream, next, 1).await.expect("it is kept");
        assert!(chunk.next > next, "a read before the tail gets on");
        found.extend(chunk.records().map(|(sequence, record)| (sequence, record.to_vec())));
        next = chunk.next;
    }
    found
}

fn owned((sequence, record): (u64, &str)) -> (u64, Vec<u8>) {
    (sequence, record.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Log, Settings, block_on};

    #[test]
    fn the_log_conforms() {
        let folder = tempfile::tempdir().unwrap();
        block_on(check(&Log::open(folder.path(), Settings::default()).unwrap()));
    }
}
