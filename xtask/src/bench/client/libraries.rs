//! The library that the app is built on, and Yjs with a store and a server as most have it: the same page, no app.

use serde_json::json;

use super::{
    super::{
        measured::Measured,
        table::{Contestant, Figure, Whose},
    },
    Settings,
    place::Place,
};

/// Who is measured, in the order of the columns.
static ALL: [Contestant; 2] = [
    Contestant { slug: "yjs", label: "Yjs, y-indexeddb, Hocuspocus", whose: Whose::Peer },
    Contestant { slug: "selvedge", label: "Selvedge", whose: Whose::Ours },
];

/// What is measured, in the order of the rows.
pub const FIGURES: &[Figure] = &[
    Figure::less("opened in a new browser until every title was read, ms", "open.titles_ms"),
    Figure::less("until every text was read too, ms", "open.texts_ms"),
    Figure::less("changes that waited: another browser shows all of them, ms", "reconnect.ms"),
];

/// Measures both in turns.
pub fn run(settings: &Settings, place: &Place) -> Measured {
    Measured::in_turns(ALL.iter(), settings.rounds, |turn| {
        let library = turn.contestant.slug;
        let order = json!({ "library": library, "count": settings.notes });
        turn.take("open", || place.play("libraryOpen", order));
        let order = json!({ "library": library, "operations": settings.operations });
        turn.take("reconnect", || place.play("libraryReconnect", order));
    })
}
