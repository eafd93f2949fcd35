//! Changes as they come.

use std::collections::BTreeMap;

use selvedge_crdt::session::{DocumentId, Event, Remedy, Suspicion};
use serde_json::{Value as Json, json};

use super::{
    as_json,
    desk::{Desk, Work, run},
    leader, standing,
};
use crate::{
    exit::{Exit, Failure},
    terminal::{Terminal, complain},
};

/// Prints a line for each entity that is there and for each that changes, until interrupted; does what other commands want meanwhile.
pub(super) fn follow(
    desk: &Desk,
    document: &DocumentId,
    prefix: &str,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let store = desk.store(document)?;
    let folder = store.folder().to_owned();
    let mut work = desk.work(store)?;
    run(async {
        let listener = leader::listen(&folder)?;
        let mut shown = Shown { prefix, entities: BTreeMap::new() };
        shown.show(&work, document, terminal)?;
        loop {
            tokio::select! {
                turned = work.driver().turn() => turned?,
                came = listener.accept() => leader::serve(came?.0, &mut work, document).await,
                interrupted = tokio::signal::ctrl_c() => return Ok::<(), Failure>(interrupted?),
            }
            tell(&work.look(document).await?);
            shown.show(&work, document, terminal)?;
        }
    })
}

/// What people want to know beside the changes.
fn tell(events: &[Event]) {
    for event in events {
        match event {
            Event::Refused { why, remedy: Remedy::Dropped } => {
                complain(&format!("refused, and undone here: {why}\n"));
            }
            Event::Refused { why, .. } | Event::Rejected { why, .. } => {
                complain(&format!("refused: {why}\n"));
            }
            Event::Lost => complain("the relay has lost changes; they are sent again\n"),
            Event::Healed => complain("the relay has everything again\n"),
            Event::Suspicious { what: Suspicion::Clock, .. } => {
                complain(&format!("the relay is not believed: {}\n", standing::CLOCK));
            }
            Event::Suspicious { offset, what } => {
                complain(&format!("passed over at {offset}: {what:?}\n"));
            }
            _ => {}
        }
    }
}

/// What was printed last of each entity.
struct Shown<'a> {
    prefix: &'a str,
    entities: BTreeMap<String, Json>,
}

impl Shown<'_> {
    /// Prints what is not as it was printed.
    fn show(
        &mut self,
        work: &Work,
        document: &DocumentId,
        terminal: &mut Terminal,
    ) -> Result<(), Failure> {
        let document = work.document(document)?;
        let entities = document.entities_with(self.prefix);
        let now = entities.map(|it| (it.id().to_string(), as_json::entity(document, it)));
        let now: BTreeMap<String, Json> = now.collect();
        for (id, entity) in &now {
            if self.entities.get(id) != Some(entity) {
                line(terminal, id, entity)?;
            }
        }
        for id in self.entities.keys().filter(|id| !now.contains_key(*id)) {
            line(terminal, id, &Json::Null)?;
        }
        self.entities = now;
        Ok(terminal.flush()?)
    }
}

fn line(terminal: &mut Terminal, id: &str, entity: &Json) -> Result<(), Failure> {
    let line = json!({ "id": id, "entity": entity });
    terminal.write(&format!("{line}\n")).map_err(|error| Failure::new(Exit::Failure, error))
}
