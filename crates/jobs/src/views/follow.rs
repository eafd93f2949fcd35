//! One view and its stream: which build is going on, and the next batch of it.

use std::sync::Arc;

use selvedge_config::View;
use selvedge_eventlog::{Log, ReadError, StreamId};

use super::{
    definition,
    field::Event,
    fold::{Batch, FoldError, Tally},
    lineage::{Lineage, Piece},
    plan::Plan,
    sql::Unfit,
    store::{Fault, Generation, Store, beginning},
};

/// What one transaction takes from the log.
const BATCH_BYTES: usize = 512 << 10;
/// Bad events of one batch that are kept.
const FAULTS_OF_BATCH: usize = 10;

/// How a view is doing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Standing {
    pub(crate) state: State,
    /// Why it does not go on, for those who run the core.
    pub(crate) trouble: Option<String>,
    /// The stream's number, if there is a stream.
    pub(crate) stream: Option<StreamId>,
    /// What readers see.
    pub(crate) shown: Option<Generation>,
    /// What will take its place.
    pub(crate) building: Option<Generation>,
}

/// What a view is at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// For its stream to be created.
    #[default]
    Waiting,
    /// Folding what was there before it.
    Building,
    /// At the end of its stream, or near it.
    Following,
    /// Its definition cannot be kept up.
    Refused,
    /// The log or the disk does not let it go on; it tries again.
    Stuck,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Building => "building",
            State::Following => "following",
            State::Refused => "refused",
            State::Stuck => "stuck",
        }
    }
}

/// A view that is followed.
pub(crate) struct Follow {
    pub(crate) view: Arc<View>,
    plan: Result<Plan, Unfit>,
    definition: String,
    source: String,
    pub(crate) standing: Standing,
}

/// Why a turn came to nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    Log(ReadError),
    Store(rusqlite::Error),
    /// The state of a row cannot be read.
    Damaged(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Log(error) => write!(out, "the log cannot be read: {error}"),
            Trouble::Store(error) => write!(out, "views.db: {error}"),
            Trouble::Damaged(reason) => {
                write!(out, "the state of a row is damaged: {reason}; rebuild the view")
            }
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Trouble::Store(error)
    }
}

impl From<FoldError<rusqlite::Error>> for Trouble {
    fn from(error: FoldError<rusqlite::Error>) -> Self {
        match error {
            FoldError::Rows(error) => Trouble::Store(error),
            FoldError::Damaged(reason) => Trouble::Damaged(reason),
        }
    }
}

impl Follow {
    /// Takes up a view where the store has it.
    pub(crate) fn new(view: Arc<View>, store: &Store) -> Follow {
        let mut follow = Follow {
            plan: Plan::new(&view),
            definition: definition::text(&view),
            source: definition::source(&view),
            standing: Standing::default(),
            view,
        };
        if let Err(Unfit(reason)) = &follow.plan {
            follow.standing.state = State::Refused;
            follow.standing.trouble = Some(reason.clone());
        }
        match follow.known(store) {
            Ok(generations) => follow.standing.take_up(generations),
            Err(trouble) => follow.standing.stick(&trouble),
        }
        follow
    }

    /// Fields that its rows have; the latest events have what they came with.
    pub(crate) fn fields(&self) -> Option<Vec<String>> {
        let plan = self.plan.as_ref().ok().filter(|plan| !plan.columns.is_empty())?;
        let columns = plan.columns.iter().map(|(name, _)| name);
        Some(plan.groups.iter().chain(columns).cloned().collect())
    }

    /// What the store has of the view, unless it is another tenant's.
    fn known(&self, store: &Store) -> Result<Vec<Generation>, Trouble> {
        let generations = store.generations(&self.view.name)?;
        let is_ours = |known: &Generation| definition::is_of_tenant(&known.definition, &self.view);
        if generations.iter().all(is_ours) {
            return Ok(generations);
        }
        store.remove(&self.view.name)?;
        Ok(Vec::new())
    }

    /// Folds the next batch, if there is one. Returns whether there was.
    pub(crate) fn turn(&mut self, store: &mut Store, log: &Log, now_ms: u64) -> bool {
        if self.plan.is_err() {
            return false;
        }
        match self.try_turn(store, log, now_ms) {
            Ok(progressed) => progressed,
            Err(trouble) => {
                self.standing.stick(&trouble);
                false
            }
        }
    }

    /// Begins a build beside what is shown.
    pub(crate) fn rebuild(&mut self, store: &mut Store, log: &Log) -> Result<(), Trouble> {
        if let (Some(stream), Ok(_)) = (log.stream(&self.source), &self.plan) {
            let lineage = Lineage::of(log, stream).map_err(Trouble::Log)?;
            self.begin(store, &lineage)?;
        }
        Ok(())
    }

    fn try_turn(&mut self, store: &mut Store, log: &Log, now_ms: u64) -> Result<bool, Trouble> {
        self.standing.stream = log.stream(&self.source);
        let Some(stream) = self.standing.stream else {
            self.standing.state = State::Waiting;
            self.standing.trouble = None;
            return Ok(false);
        };
        let lineage = Lineage::of(log, stream).map_err(Trouble::Log)?;
        let generation = match self.current(store, stream)? {
            Some(generation) if generation.cursor <= lineage.tail => generation,
            // None, or of a log that had more than this one: restored from an older backup.
            _ => self.begin(store, &lineage)?,
        };
        self.advance(store, generation, (log, &lineage), now_ms)
    }

    /// The build that goes on: of this definition and this stream.
    fn current(&mut self, store: &Store, stream: StreamId) -> Result<Option<Generation>, Trouble> {
        let fits = |generation: &&Generation| {
            generation.definition == self.definition && generation.stream == stream.get()
        };
        if let Some(building) = &self.standing.building {
            if fits(&building) {
                return Ok(Some(building.clone()));
            }
            store.abandon(&self.view.name)?;
            self.standing.building = None;
        }
        Ok(self.standing.shown.as_ref().filter(fits).cloned())
    }

    fn begin(&mut self, store: &mut Store, lineage: &Lineage) -> Result<Generation, Trouble> {
        let of = (lineage.id.get(), lineage.tail);
        let begun = store.begin(&self.view.name, &self.definition, of)?;
        self.standing.put(begun.clone());
        Ok(begun)
    }

    fn advance(
        &mut self,
        store: &mut Store,
        mut generation: Generation,
        (log, lineage): (&Log, &Lineage),
        now_ms: u64,
    ) -> Result<bool, Trouble> {
        let plan = self.plan.as_ref().expect("a view without a plan takes no turns");
        let piece = match lineage.read(log, generation.cursor, BATCH_BYTES) {
            Ok(piece) => piece,
            Err(ReadError::Trimmed { start }) => {
                generation.missed += start - generation.cursor;
                generation.missed_since_ms.get_or_insert(now_ms);
                generation.cursor = start;
                Piece::nothing(start)
            }
            Err(error) => return Err(Trouble::Log(error)),
        };
        let is_due = !generation.is_shown && generation.cursor >= generation.goal;
        let is_new = Some(generation.cursor) != self.standing.cursor_of(generation.id);
        let progressed = !piece.is_empty() || is_due || is_new;
        let generation = match progressed {
            true => write(store, plan, generation, &piece)?,
            false => generation,
        };
        self.standing.put(generation);
        self.standing.trouble = None;
        Ok(progressed)
    }
}

/// Writes a batch, as a whole or not at all.
fn write(
    store: &mut Store,
    plan: &Plan,
    mut generation: Generation,
    piece: &Piece,
) -> Result<Generation, Trouble> {
    let writing = store.write()?;
    let mut batch = Batch::new(plan, generation.tally);
    let mut faults = Vec::new();
    let mut rows = writing.rows(&generation);
    for (seq, time_ms, bytes) in piece.records() {
        let event = Event { seq, time_ms, bytes: &bytes };
        if let Some(reason) = batch.fold(&event, &mut rows)? {
            if faults.len() == FAULTS_OF_BATCH {
                faults.remove(0);
            }
            faults.push(Fault { seq, time_ms, reason, beginning: beginning(&bytes) });
        }
    }
    generation.cursor = piece.next;
    Ok(writing.finish(generation, &batch, &faults)?)
}

impl Standing {
    fn take_up(&mut self, generations: Vec<Generation>) {
        for generation in generations {
            match generation.is_shown {
                true => self.shown = Some(generation),
                false => self.building = Some(generation),
            }
        }
    }

    /// Puts a generation where it belongs by now.
    fn put(&mut self, generation: Generation) {
        self.state = match generation.cursor >= generation.goal {
            true => State::Following,
            false => State::Building,
        };
        if !generation.is_shown {
            self.building = Some(generation);
            return;
        }
        if self.building.as_ref().is_some_and(|building| building.id == generation.id) {
            self.building = None;
        }
        self.shown = Some(generation);
    }

    fn stick(&mut self, trouble: &Trouble) {
        self.state = State::Stuck;
        self.trouble = Some(trouble.to_string());
    }

    fn cursor_of(&self, id: i64) -> Option<u64> {
        let builds = [&self.building, &self.shown];
        let of_id = builds.into_iter().flatten().find(|generation| generation.id == id);
        of_id.map(|generation| generation.cursor)
    }

    /// The build that goes on.
    pub(crate) fn current(&self) -> Option<&Generation> {
        self.building.as_ref().or(self.shown.as_ref())
    }

    pub(crate) fn tally(&self) -> Tally {
        self.shown.as_ref().map_or_else(Tally::default, |shown| shown.tally)
    }
}
