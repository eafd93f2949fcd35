//! Relays: servers on a core of their own, and the load that writes to them and reads from them.

use serde_json::{Value, json};

use super::{
    super::{
        measured::{Measured, Turn},
        table::{Contestant, Figure},
    },
    Settings,
    place::{Place, descriptors},
    server::{self, ALL},
};
use crate::Result;

/// What is measured, in the order of the rows.
pub const FIGURES: &[Figure] = &[
    Figure::more("updates of a field, per second", "single.per_second"),
    Figure::more("updates of a field, per second of its processor", "single.per_core"),
    Figure::more("fields in updates of 100, per second of its processor", "batch.fields_per_core"),
    Figure::less("at half of that: at the other subscriber, p50, ms", "half.delivery.p50_ms"),
    Figure::less("at half of that: at the other subscriber, p99, ms", "half.delivery.p99_ms"),
    Figure::less("at half of that: acknowledged, p50, ms", "half.ack.p50_ms"),
    Figure::less("at half of that: acknowledged, p99, ms", "half.ack.p99_ms"),
    Figure::less("200 a second: at the other subscriber, p50, ms", "same.delivery.p50_ms"),
    Figure::less("200 a second: at the other subscriber, p99, ms", "same.delivery.p99_ms"),
    Figure::less("200 a second: acknowledged, p50, ms", "same.ack.p50_ms"),
    Figure::less("200 a second: acknowledged, p99, ms", "same.ack.p99_ms"),
    Figure::less("fan-out: at a subscriber, p50, ms", "fan_out.delivery.p50_ms"),
    Figure::less("fan-out: at a subscriber, p99, ms", "fan_out.delivery.p99_ms"),
    Figure::less("fan-out: at the last subscriber, p50, ms", "fan_out.last.p50_ms"),
    Figure::less("fan-out: at the last subscriber, p99, ms", "fan_out.last.p99_ms"),
    Figure::less("fan-out: memory, MiB", "fan_out.memory_mib"),
    Figure::less("an idle connection, KiB", "idle.kib"),
];

/// Documents, and writers that take turns on them.
const DOCUMENTS: u32 = 16;
const WRITERS: u32 = 64;
/// Updates of a writer that may be on their way.
const WINDOW: usize = 64;
/// Fields of a larger update, and how many of those may be on their way.
const BATCH_FIELDS: u32 = 100;
const BATCH_WINDOW: usize = 4;
/// Updates per second at which everybody is compared.
const SAME_RATE: f64 = 200.0;
/// Updates per second of the one writer whom all follow.
const FAN_OUT_RATE: f64 = 50.0;
/// Of the hard limit of descriptors, what is left for everything else.
const OTHER_DESCRIPTORS: u32 = 500;

/// Measures all servers in turns.
pub fn run(settings: &Settings, place: &Place) -> Result<Measured> {
    let (mut present, mut missing) = (Vec::new(), Vec::new());
    for contestant in ALL.iter().filter(|contestant| settings.wants(contestant.slug)) {
        let is_there = server::prepare(contestant)?;
        let list = if is_there { &mut present } else { &mut missing };
        list.push(contestant);
    }
    let present = present.into_iter();
    let mut measured = Measured::in_turns(present, settings.rounds, |turn| {
        if let Err(error) = scenes(settings, place, turn) {
            turn.take("start", || Err(error));
        }
    });
    let why =
        |contestant: &Contestant| format!("{}'s relay is not built yet: skipped", contestant.label);
    measured.notes.extend(missing.into_iter().map(why));
    Ok(measured)
}

/// All scenes of one server in one round. Memory is that of a server that has done nothing before.
fn scenes(settings: &Settings, place: &Place, turn: &mut Turn) -> Result {
    let contestant = turn.contestant;
    let running = server::start(contestant, place)?;
    let mut play = |name: &str, scene: &Value| {
        turn.take(name, || running.scene(place, name, scene));
        turn.figure(name, "per_second")
    };
    let rate = play("single", &single(settings, contestant));
    play("batch", &batch(settings, contestant));
    if let Some(rate) = rate {
        play("half", &paced(settings, rate / 2.0));
    }
    play("same", &paced(settings, SAME_RATE));
    drop(running);
    turn.take("fan_out", || {
        server::start(contestant, place)?.scene(place, "fan_out", &fan_out(settings))
    });
    // It grows by as much every time.
    if turn.round == 0 {
        turn.take("idle", || {
            server::start(contestant, place)?.scene(place, "idle", &idle(settings)?)
        });
    }
    Ok(())
}

fn single(settings: &Settings, contestant: &Contestant) -> Value {
    let window = WINDOW / slowness(contestant);
    many_to_many(json!({ "fields": 1, "seconds": settings.seconds, "window": window }))
}

fn batch(settings: &Settings, contestant: &Contestant) -> Value {
    let (seconds, window) = (settings.seconds, BATCH_WINDOW / slowness(contestant));
    many_to_many(json!({ "fields": BATCH_FIELDS, "seconds": seconds, "window": window.max(1) }))
}

/// What is more than a server takes only waits in it: seconds, in this one.
fn slowness(contestant: &Contestant) -> usize {
    if contestant.slug == "automerge-repo" { 8 } else { 1 }
}

fn paced(settings: &Settings, rate: f64) -> Value {
    let seconds = settings.seconds;
    many_to_many(json!({ "fields": 1, "seconds": seconds, "window": WINDOW, "rate": rate }))
}

fn many_to_many(mut load: Value) -> Value {
    load["documents"] = DOCUMENTS.into();
    load["writers"] = WRITERS.into();
    load["readers"] = 1.into();
    json!({ "load": load })
}

fn fan_out(settings: &Settings) -> Value {
    json!({ "load": {
        "documents": 1, "writers": 1, "readers": settings.subscribers, "fields": 1,
        "seconds": settings.seconds, "window": WINDOW, "rate": FAN_OUT_RATE,
    }})
}

fn idle(settings: &Settings) -> Result<Value> {
    let most = descriptors()?.saturating_sub(OTHER_DESCRIPTORS);
    Ok(
        json!({ "idle": { "connections": settings.connections.min(most), "seconds": settings.seconds } }),
    )
}
