//! The notes app: what is measured of it, and the scenes that find it.

use serde_json::json;

use super::{
    super::{
        measured::Measured,
        table::{Contestant, Whose},
    },
    Settings,
    place::Place,
};
use crate::Result;

static APP: Contestant =
    Contestant { slug: "notes", label: "Selvedge, notes", whose: Whose::OursAlone };

/// Which round counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The one in the middle.
    Median,
    /// The worst.
    Worst,
}

/// A figure of which less is better, and what it must not exceed.
#[derive(Debug)]
pub struct Figure {
    /// What it is.
    pub title: &'static str,
    /// Where it is in a round, with dots.
    pub path: &'static str,
    /// What stands behind it.
    pub unit: &'static str,
    /// The goal, if there is one.
    pub bound: Option<f64>,
    /// The round that counts.
    pub of: Of,
}

impl Figure {
    const fn new(title: &'static str, path: &'static str, unit: &'static str) -> Self {
        Self { title, path, unit, bound: None, of: Of::Median }
    }

    const fn at_most(self, bound: f64) -> Self {
        Self { bound: Some(bound), ..self }
    }

    const fn in_no_round_more(self) -> Self {
        Self { of: Of::Worst, ..self }
    }
}

/// What is measured, in the order of the rows.
pub const FIGURES: &[Figure] = &[
    Figure::new("first visit: the first vault can be named", "first.first.ms", " ms"),
    Figure::new("first visit: gzipped, over the wire", "first.gzip.bytes", " bytes")
        .at_most(300_000.0),
    Figure::new(
        "first visit: as Chromium asks for it, over the wire",
        "first.first.bytes",
        " bytes",
    ),
    Figure::new("first visit: responses", "first.first.requests", ""),
    Figure::new(
        "afterwards, for days without a network, over the wire",
        "first.first.kept_bytes",
        " bytes",
    ),
    Figure::new("reload without a network: the notes are listed", "first.reload.ms", " ms")
        .at_most(500.0),
    Figure::new("vault: all notes are listed", "vault.open.listed_ms", " ms"),
    Figure::new(
        "vault: a note that was clicked then can be written in",
        "vault.open.usable_ms",
        " ms",
    )
    .at_most(1000.0),
    Figure::new("vault: every text can be found", "vault.open.searchable_ms", " ms"),
    Figure::new("search: a word of one note", "vault.search.rare.p50_ms", " ms"),
    Figure::new("search: the same, misspelled", "vault.search.typo.p50_ms", " ms"),
    Figure::new("search: two words of seven notes", "vault.search.pair.p50_ms", " ms"),
    Figure::new("search: a word of every third note", "vault.search.common.p50_ms", " ms"),
    Figure::new("search: the slowest of these", "vault.search.slowest_ms", " ms").at_most(50.0),
    Figure::new("a key in a note of 2,000 characters, p50", "vault.short.words.p50_ms", " ms"),
    Figure::new("the same, p99", "vault.short.words.p99_ms", " ms"),
    Figure::new(
        "while names of notes and tags are suggested, p50",
        "vault.short.names.p50_ms",
        " ms",
    ),
    Figure::new("the same, the slowest", "vault.short.names.max_ms", " ms"),
    Figure::new("a key in a note of 100,000 characters, p50", "vault.long.words.p50_ms", " ms"),
    Figure::new("the same, p99", "vault.long.words.p99_ms", " ms"),
    Figure::new(
        "while names of notes and tags are suggested, p50",
        "vault.long.names.p50_ms",
        " ms",
    ),
    Figure::new("the same, the slowest", "vault.long.names.max_ms", " ms"),
    Figure::new(
        "tasks of more than 50 ms while typing, 2,000 characters",
        "vault.short.long_tasks",
        "",
    )
    .at_most(0.0)
    .in_no_round_more(),
    Figure::new(
        "tasks of more than 50 ms while typing, 100,000 characters",
        "vault.long.long_tasks",
        "",
    )
    .at_most(0.0)
    .in_no_round_more(),
    Figure::new("after a day apart: the other person has everything", "reconnect.ms", " ms")
        .at_most(1000.0),
    Figure::new(
        "after a day apart: the app says that it is synced",
        "reconnect.acknowledged_ms",
        " ms",
    ),
    Figure::new("operations that waited", "reconnect.queued", ""),
];

/// Plays the scenes, round by round; the large vault is filled once, and opened in each.
pub fn run(settings: &Settings, place: &Place) -> Result<Measured> {
    if settings.wants("vault") {
        println!("bench: filling a vault with {} notes", settings.notes);
        let filled = place.play("fillVault", json!({ "count": settings.notes }))?;
        println!("bench:   {filled}");
    }
    Ok(Measured::in_turns([&APP].into_iter(), settings.rounds, |turn| {
        if settings.wants("first") {
            turn.take("first", || place.play("firstVisit", json!({})));
        }
        if settings.wants("vault") {
            let order = json!({ "count": settings.notes, "keys": settings.keys });
            turn.take("vault", || place.play("openVault", order));
        }
        if settings.wants("reconnect") {
            let order = json!({ "operations": settings.operations });
            turn.take("reconnect", || place.play("reconnect", order));
        }
    }))
}
