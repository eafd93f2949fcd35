//! Documents in Node.js, each library in processes of its own, and ours also without a browser's WASM.

use serde_json::{Value, json};

use super::{
    super::{
        measured::Measured,
        table::{Contestant, Figure, Whose},
    },
    Settings,
    place::Place,
};
use crate::{Result, process, wasm, workspace};

/// Who is measured, in the order of the columns.
pub static ALL: [Contestant; 5] = [
    Contestant { slug: "yjs", label: "Yjs", whose: Whose::Peer },
    Contestant { slug: "loro", label: "Loro", whose: Whose::Peer },
    Contestant { slug: "automerge", label: "Automerge", whose: Whose::Peer },
    Contestant { slug: "selvedge", label: "Selvedge, WASM", whose: Whose::Ours },
    Contestant { slug: "native", label: "Selvedge, native", whose: Whose::OursAlone },
];

/// What is measured, in the order of the rows.
pub const FIGURES: &[Figure] = &[
    Figure::less("build, a transaction for each entity, ms", "work.build_ms"),
    Figure::less("set a field, µs", "work.set_us"),
    Figure::less("a set field to be sent, bytes", "work.set_bytes"),
    Figure::less("of 100 fields in a transaction, each, bytes", "work.batch_bytes"),
    Figure::less("save, ms", "work.save_ms"),
    Figure::less("saved, bytes", "work.size_bytes"),
    Figure::less("saved and gzipped, bytes", "work.gz_bytes"),
    Figure::less("load until a field can be read, ms", "work.first_ms"),
    Figure::less("load and read every field, ms", "work.load_ms"),
    Figure::less("merge of 1,000 changes on either side, ms", "work.merge_ms"),
    Figure::less("memory of the loaded document, MiB", "memory.memory_mib"),
    Figure::less("bundle, gzipped, bytes", "bundle.bundle_bytes"),
    Figure::less("B3.1: 1,540 clients set a number, ms", "b3.b3_1_ms"),
    Figure::less("B3.1: updates, bytes", "b3.b3_1_update_bytes"),
    Figure::less("B3.1: document, bytes", "b3.b3_1_doc_bytes"),
    Figure::less("B3.1: encode, ms", "b3.b3_1_encode_ms"),
    Figure::less("B3.1: parse, ms", "b3.b3_1_parse_ms"),
    Figure::less("B3.3: 1,540 clients set a text, ms", "b3.b3_3_ms"),
    Figure::less("B3.3: updates, bytes", "b3.b3_3_update_bytes"),
    Figure::less("B3.3: document, bytes", "b3.b3_3_doc_bytes"),
    Figure::less("B3.3: encode, ms", "b3.b3_3_encode_ms"),
    Figure::less("B3.3: parse, ms", "b3.b3_3_parse_ms"),
];

/// Clients of crdt-benchmarks' B3 with its N of 6,000: 20√N.
const CLIENTS: u32 = 1540;
/// A smoke test's share of everything.
const SMOKE: u32 = 20;
/// The package with our WASM.
const PACKAGE: &str = "packages/crdt";

/// Measures all libraries in turns.
pub fn run(settings: &Settings, place: &Place) -> Measured {
    let missing = wasm::package().err().map(|why| format!("{PACKAGE} cannot be built: {why}"));
    let wanted = |contestant: &&'static Contestant| {
        settings.wants(contestant.slug) && (missing.is_none() || contestant.whose != Whose::Ours)
    };
    let mut measured = Measured::in_turns(ALL.iter().filter(wanted), settings.rounds, |turn| {
        for part in parts(turn.contestant) {
            let contestant = turn.contestant;
            turn.take(part, || measure(settings, place, (contestant, part)));
        }
    });
    measured.failures.extend(missing);
    measured
}

fn parts(contestant: &Contestant) -> &'static [&'static str] {
    match contestant.whose {
        Whose::OursAlone => &["work", "memory"],
        Whose::Ours | Whose::Peer => &["work", "memory", "b3", "bundle"],
    }
}

fn measure(
    settings: &Settings,
    place: &Place,
    (contestant, part): (&Contestant, &str),
) -> Result<Value> {
    let share = if settings.smoke { SMOKE } else { 1 };
    // What takes milliseconds is done less often.
    let sets = if contestant.slug == "automerge" { 100 } else { 2000 };
    let mut order = json!({
        "entities": 10_000 / share,
        "sets": sets / share,
        "batch": 100,
        "diverging": 1000 / share,
        "clients": CLIENTS / share,
        "file": place.file(&format!("{}.document", contestant.slug)),
    });
    if contestant.whose == Whose::OursAlone {
        order["part"] = part.into();
        return place.load("documents", &order);
    }
    // On all cores: engines compile and collect garbage beside what they run.
    let mut node = process::command(place.node());
    node.arg("--expose-gc").arg(place.peer("documents/main.mjs"));
    node.args([contestant.slug, part, &order.to_string()]);
    node.env("SELVEDGE_CRDT", workspace::root().join(PACKAGE));
    Ok(serde_json::from_str(&process::capture(&mut node)?)?)
}
