//! Documents in this process: what `documents/main.mjs` measures of libraries for browsers, without a browser.

use std::{
    fs,
    hint::black_box,
    path::PathBuf,
    time::{Duration, Instant},
};

use selvedge_crdt::{Batch, BatchHash, Document, ReplicaId, Value as Field, Writer};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Result, process};

/// What is to be measured.
#[derive(Debug, Deserialize)]
pub struct Order {
    part: Part,
    /// Where the document lies between the parts.
    file: PathBuf,
    entities: u32,
    /// Fields that are set one by one.
    sets: u32,
    /// Fields that are set in one transaction.
    batch: u32,
    /// Transactions of each of two replicas that do not know of each other.
    diverging: u32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    Work,
    Memory,
}

/// The time at which everything is written.
const NOW_MS: u64 = 1_700_000_000_000;

/// Measures one part.
pub fn measure(order: &Order) -> Result<Value> {
    match order.part {
        Part::Work => work(order),
        Part::Memory => memory(order),
    }
}

fn work(order: &Order) -> Result<Value> {
    let entities: Vec<Entity> = (0..order.entities).map(Entity::new).collect();
    let (mut document, mut writer) = (Document::new(), Writer::new(ReplicaId([1; 16])));
    let begin = Instant::now();
    for entity in &entities {
        entity.write(&mut document, &mut writer)?;
    }
    let build = begin.elapsed();
    check(&document, &entities)?;
    while writer.take_batch().is_some() {}
    let (set, set_bytes) = set_one_by_one(order, &entities, &mut document, &mut writer)?;
    let batch_bytes = set_at_once(order, &entities, &mut document, &mut writer)?;
    let mut entities = entities;
    (0..order.sets).for_each(|nth| place_of(nth, &mut entities).title = title_after(nth));
    (0..order.batch).for_each(|nth| place_of(nth, &mut entities).title = title_together(nth));
    let snapshot = document.snapshot();
    let (first, load) = load(&snapshot, &entities)?;
    fs::write(&order.file, &snapshot)?;
    let merge = merge(order, &snapshot)?;
    Ok(json!({
        "build_ms": ms(build),
        "set_us": set.as_secs_f64() * 1e6 / f64::from(order.sets),
        "set_bytes": set_bytes as f64 / f64::from(order.sets),
        "batch_bytes": batch_bytes as f64 / f64::from(order.batch),
        "size_bytes": snapshot.len(),
        "first_ms": ms(first),
        "load_ms": ms(load),
        "merge_ms": ms(merge),
    }))
}

/// Sets titles, each in a transaction of its own, and encodes what would be sent.
fn set_one_by_one(
    order: &Order,
    entities: &[Entity],
    document: &mut Document,
    writer: &mut Writer,
) -> Result<(Duration, usize)> {
    let sets: Vec<(&str, String)> = (0..order.sets)
        .map(|nth| (entities[place(nth, entities)].id.as_str(), title_after(nth)))
        .collect();
    let (mut bytes, mut hash) = (0, BatchHash::NONE);
    let begin = Instant::now();
    for (id, title) in &sets {
        writer.edit(document, NOW_MS).set(id, "title", title.as_str().into())?;
        let message = writer.take_batch().ok_or("nothing was written")?.encode(hash);
        hash = BatchHash::of(&message);
        bytes += black_box(message).len();
    }
    let time = begin.elapsed();
    for (id, title) in &sets {
        expect_title(document, id, title)?;
    }
    Ok((time, bytes))
}

/// Sets titles in one transaction; returns the bytes that would be sent.
fn set_at_once(
    order: &Order,
    entities: &[Entity],
    document: &mut Document,
    writer: &mut Writer,
) -> Result<usize> {
    let mut edit = writer.edit(document, NOW_MS);
    for nth in 0..order.batch {
        edit.set(&entities[place(nth, entities)].id, "title", title_together(nth).into())?;
    }
    drop(edit);
    Ok(writer.take_batch().ok_or("nothing was written")?.encode(BatchHash::NONE).len())
}

/// Loads; returns when the first field could be read, and when all had been.
fn load(snapshot: &[u8], entities: &[Entity]) -> Result<(Duration, Duration)> {
    let begin = Instant::now();
    let document = Document::load(snapshot)?;
    expect_title(&document, &entities[0].id, &entities[0].title)?;
    let first = begin.elapsed();
    check(&document, entities)?;
    Ok((first, begin.elapsed()))
}

/// Two replicas that have gone apart get each other's changes.
fn merge(order: &Order, snapshot: &[u8]) -> Result<Duration> {
    let mut sides = Vec::new();
    for side in [2, 3] {
        let (mut document, mut writer) =
            (Document::load(snapshot)?, Writer::new(ReplicaId([side; 16])));
        for nth in 0..order.diverging {
            let id = format!("task/{:05}", nth * 7 % order.entities);
            let title = format!("side {side} change {nth}");
            writer.edit(&mut document, NOW_MS).set(&id, "title", title.into())?;
        }
        sides.push((document, writer));
    }
    let [(one, one_writes), (other, other_writes)] = sides.as_mut_slice() else {
        return Err("two sides".into());
    };
    let begin = Instant::now();
    exchange(one_writes, other)?;
    exchange(other_writes, one)?;
    let time = begin.elapsed();
    if one.snapshot() != other.snapshot() {
        return Err("replicas differ".into());
    }
    expect_title(one, "task/00000", "side 3 change 0")?;
    Ok(time)
}

fn exchange(from: &mut Writer, to: &mut Document) -> Result {
    while let Some(batch) = from.take_batch() {
        to.apply(&Batch::decode(&batch.encode(BatchHash::NONE))?.1);
    }
    Ok(())
}

fn memory(order: &Order) -> Result<Value> {
    let snapshot = fs::read(&order.file)?;
    let own = [std::process::id()];
    let before = process::memory(&own)?;
    let document = Document::load(&snapshot)?;
    let grown = process::memory(&own)? - before;
    if document.entities().count() != order.entities as usize {
        return Err("entities are missing".into());
    }
    Ok(json!({ "memory_mib": grown as f64 / f64::from(1 << 20) }))
}

/// An entity with five fields; the same as in `documents/shape.mjs`.
struct Entity {
    id: String,
    title: String,
    done: bool,
    rank: i64,
    due_ms: i64,
    tag: &'static str,
}

const TAGS: [&str; 8] = ["home", "work", "garden", "errand", "music", "travel", "health", "family"];

impl Entity {
    fn new(number: u32) -> Self {
        Self {
            id: format!("task/{number:05}"),
            title: format!("Task number {number} of the list"),
            done: number.is_multiple_of(3),
            rank: i64::from(number * 7919 % 10_007),
            due_ms: NOW_MS as i64 + i64::from(number) * 60_000,
            tag: TAGS[number as usize % TAGS.len()],
        }
    }

    fn fields(&self) -> [(&'static str, Field<'_>); 5] {
        [
            ("title", self.title.as_str().into()),
            ("done", self.done.into()),
            ("rank", self.rank.into()),
            ("due", self.due_ms.into()),
            ("tag", self.tag.into()),
        ]
    }

    fn write(&self, document: &mut Document, writer: &mut Writer) -> Result {
        let mut edit = writer.edit(document, NOW_MS);
        for (name, value) in self.fields() {
            edit.set(&self.id, name, value)?;
        }
        Ok(())
    }
}

/// Which entity is written as the `nth`: not its neighbour's neighbour.
fn place(nth: u32, entities: &[Entity]) -> usize {
    nth as usize * 7 % entities.len()
}

fn place_of(nth: u32, entities: &mut [Entity]) -> &mut Entity {
    let place = place(nth, entities);
    &mut entities[place]
}

fn title_after(nth: u32) -> String {
    format!("Changed for the {nth}th time")
}

fn title_together(nth: u32) -> String {
    format!("Changed together as number {nth}")
}

/// Reads every field of every entity.
fn check(document: &Document, entities: &[Entity]) -> Result {
    for entity in entities {
        let found = document.entity(&entity.id).ok_or("an entity is missing")?;
        for (name, value) in entity.fields() {
            if found.get(name) != Some(value) {
                return Err(format!("{} has another {name}", entity.id).into());
            }
        }
    }
    Ok(())
}

fn expect_title(document: &Document, id: &str, title: &str) -> Result {
    let found = document.entity(id).and_then(|entity| entity.get("title"));
    if found == Some(title.into()) { Ok(()) } else { Err(format!("{id} has another title").into()) }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
