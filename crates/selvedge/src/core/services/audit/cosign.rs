//! Asks the witnesses that the config names to cosign each new head, and lets everybody see it then.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use selvedge_audit::{
    checkpoint::Checkpoint,
    note::{Note, SignatureLine, VerifierKey},
    witness::{SubmitError, Submitted, Submitter},
};
use selvedge_config::AuditWitness;
use selvedge_telemetry::Level;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Desk, since_1970};
use crate::{
    exit::{Exit, Failure, chain},
    site::{AUDIT, Question, Site},
};

/// How long a witness may take. Until then a new head is not seen.
const PATIENCE: Duration = Duration::from_secs(5);
/// A witness that did not cosign is asked again after this time at first, then after twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A witness may know another size than we think, and says which; then it is asked once more.
const TRIES: usize = 2;

/// What is known of the witnesses, for status and metrics.
pub(super) struct Cosigners {
    states: Mutex<Vec<State>>,
    /// Taken by the task.
    asked: Mutex<Vec<Asked>>,
}

/// What is known of one witness.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) url: String,
    /// Entries under the last head that it cosigned.
    pub(super) cosigned: u64,
    /// When that was.
    pub(super) at: Option<SystemTime>,
    /// Why it did not cosign the last head that it was asked for.
    pub(super) error: Option<String>,
    /// It has seen another history of this log than we have.
    contradicts: bool,
}

/// A witness as the task asks it.
struct Asked {
    index: usize,
    site: Site,
    submitter: Submitter,
    failures: u32,
    pause: Option<Instant>,
}

enum Refused {
    /// It may be away, or of another opinion for a while.
    Once(String),
    /// What it has seen of this log is not what we have.
    Contradiction(String),
}

impl Cosigners {
    pub(super) fn open(witnesses: &[AuditWitness]) -> Result<Self, Failure> {
        let (mut states, mut asked) = (Vec::new(), Vec::new());
        for (index, AuditWitness { url, key, ca }) in witnesses.iter().enumerate() {
            let wrong = |error: &dyn std::fmt::Display| {
                let text = format!("`witness {url:?}` in `core {{ audit }}`: {error}");
                Failure::new(Exit::Config, text)
            };
            let key: VerifierKey = key.parse().map_err(|error| wrong(&error))?;
            let site = Site::parse(url, AUDIT, ca.as_deref()).map_err(|error| wrong(&error))?;
            states.push(State {
                name: key.name().to_owned(),
                url: url.clone(),
                cosigned: 0,
                at: None,
                error: None,
                contradicts: false,
            });
            let submitter = Submitter::new(key);
            asked.push(Asked { index, site, submitter, failures: 0, pause: None });
        }
        Ok(Self { states: Mutex::new(states), asked: Mutex::new(asked) })
    }

    /// Why the log must have been rolled back, by what witnesses have seen of it.
    pub(super) fn contradiction(&self) -> Option<String> {
        let states = self.lock();
        let state = states.iter().find(|state| state.contradicts)?;
        let error = state.error.as_deref().unwrap_or_default();
        Some(format!("the witness {} contradicts this log: {error}", state.name))
    }

    pub(super) fn states(&self) -> Vec<State> {
        self.lock().clone()
    }

    pub(super) fn to_json(&self) -> Value {
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
        };
        let state = |state: &State| {
            let State { name, url, cosigned, at, error, contradicts } = state;
            json!({
                "name": name,
                "url": url,
                "cosigned": cosigned,
                "at_s": at.map(seconds),
                "error": error,
                "contradicts": contradicts,
            })
        };
        self.lock().iter().map(state).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has each new head cosigned, one after another, at most one in `every`.
pub(super) async fn run(desk: Arc<Desk>, every: Duration) {
    let mut witnesses =
        std::mem::take(&mut *desk.cosigners.asked.lock().unwrap_or_else(PoisonError::into_inner));
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut shown: Option<Note> = None;
    loop {
        turns.tick().await;
        let Some(head) = desk.journal.audit.head() else { continue };
        let (mut head, is_shown) = as_shown(head, shown.take());
        // One that lacks signatures is shown again when a witness is back.
        if !is_shown || witnesses.iter().any(|one| one.is_wanted(&head)) {
            head = round(&desk, head, &mut witnesses).await;
            publish(&desk, head.clone()).await;
        }
        shown = Some(head);
    }
}

/// The head with the signatures that it was shown with, and whether it was.
fn as_shown(head: Note, shown: Option<Note>) -> (Note, bool) {
    match shown.filter(|shown| shown.text() == head.text()) {
        Some(shown) => (shown, true),
        None => (head, false),
    }
}

/// Asks all at once whose signatures the head lacks, and returns it with what they signed.
async fn round(desk: &Arc<Desk>, mut head: Note, witnesses: &mut Vec<Asked>) -> Note {
    let mut asking = JoinSet::new();
    for mut one in witnesses.drain(..) {
        let (desk, head) = (desk.clone(), head.clone());
        asking.spawn(async move {
            let is_wanted = one.is_wanted(&head);
            let line = if is_wanted { one.ask_and_tell(&desk, &head).await } else { None };
            (one, line)
        });
    }
    while let Some(Ok((one, line))) = asking.join_next().await {
        line.into_iter().for_each(|line| head.add(line));
        witnesses.push(one);
    }
    head
}

async fn publish(desk: &Arc<Desk>, head: Note) {
    let publishing = desk.clone();
    let done = tokio::task::spawn_blocking(move || publishing.journal.audit.publish(&head)).await;
    if let Ok(Err(error)) = done {
        let why = chain(&error);
        desk.hub.event(Level::Error, "a head cannot be published", &[("error", &why)]);
    }
}

impl Asked {
    /// Whether it is to be asked for this head: it has not signed it, and is not paused.
    fn is_wanted(&self, head: &Note) -> bool {
        let key = self.submitter.key();
        let has_signed = |line: &SignatureLine| line.name == key.name() && line.key_id == key.id();
        let is_due = self.pause.is_none_or(|pause| pause <= Instant::now());
        is_due && !head.signatures().iter().any(has_signed)
    }

    async fn ask_and_tell(&mut self, desk: &Arc<Desk>, head: &Note) -> Option<SignatureLine> {
        let asked = tokio::time::timeout(PATIENCE, self.ask(desk, head)).await;
        let asked = asked.unwrap_or_else(|_| Err(Refused::Once("no answer in time".to_owned())));
        self.tell(desk, head, asked)
    }

    async fn ask(&mut self, desk: &Arc<Desk>, head: &Note) -> Result<SignatureLine, Refused> {
        let once = |error: &dyn std::fmt::Display| Refused::Once(error.to_string());
        for _ in 0..TRIES {
            let proof = self.proof(desk, head).await?;
            let body = self.submitter.request(head, proof);
            let question = Question::post("/add-checkpoint", body.into_bytes(), ANSWER_BYTES_MAX);
            let question = question.repeatable();
            let said = self.site.ask(&question).await.map_err(|error| once(&error))?;
            match self.submitter.answered(head, said.status, &said.body) {
                Ok(Submitted::Cosigned(line)) => return Ok(line),
                Ok(Submitted::AskAgain) => {}
                Err(error) => return Err(refused(&error)),
            }
        }
        Err(Refused::Once("it answers each time with another size".to_owned()))
    }

    /// That the head goes on from what the witness knows.
    async fn proof(
        &self,
        desk: &Arc<Desk>,
        head: &Note,
    ) -> Result<Vec<selvedge_audit::merkle::Hash>, Refused> {
        let known = self.submitter.known();
        let size = Checkpoint::parse(head.text()).map_or(0, |head| head.size);
        if known == 0 || known >= size {
            return Ok(Vec::new());
        }
        let prove = move |_: &Desk, files: super::http::Files| {
            files.prove_growth(known, size).map_err(Into::into)
        };
        let proof = desk.read(prove).await;
        proof.map_err(|_| Refused::Once("there is no proof from what it knows".to_owned()))
    }

    /// Keeps in mind what came of it; what is new about a witness is told.
    fn tell(
        &mut self,
        desk: &Desk,
        head: &Note,
        asked: Result<SignatureLine, Refused>,
    ) -> Option<SignatureLine> {
        let mut states = desk.cosigners.lock();
        let state = &mut states[self.index];
        let (line, error, contradicts) = match asked {
            Ok(line) => {
                state.cosigned = Checkpoint::parse(head.text()).map_or(0, |head| head.size);
                state.at = Some(SystemTime::UNIX_EPOCH + since_1970());
                (self.failures, self.pause) = (0, None);
                (Some(line), None, false)
            }
            Err(refused) => {
                let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
                self.failures += 1;
                self.pause = Some(Instant::now() + pause);
                match refused {
                    Refused::Once(error) => (None, Some(error), false),
                    Refused::Contradiction(error) => (None, Some(error), true),
                }
            }
        };
        if state.error != error {
            tell_of(desk, &state.name, error.as_deref(), contradicts);
        }
        (state.error, state.contradicts) = (error, contradicts);
        line
    }
}

fn tell_of(desk: &Desk, name: &str, error: Option<&str>, contradicts: bool) {
    match error {
        None => {
            desk.hub.event(Level::Info, "a witness cosigns again", &[("witness", &name)]);
        }
        Some(error) => {
            let level = if contradicts { Level::Error } else { Level::Warn };
            let fields: &[(&str, &dyn std::fmt::Display)] =
                &[("witness", &name), ("error", &error)];
            desk.hub.event(level, "a witness does not cosign", fields);
        }
    }
}

fn refused(error: &SubmitError) -> Refused {
    let why = chain(error);
    match error {
        SubmitError::Ahead { .. }
        | SubmitError::OtherRoot { .. }
        | SubmitError::Refused { status: 422, .. } => Refused::Contradiction(why),
        SubmitError::Refused { .. } | SubmitError::BadAnswer(_) => Refused::Once(why),
    }
}

#[cfg(test)]
mod tests {
    use selvedge_audit::{
        merkle::Hash,
        note::{Scheme, SigningKey},
    };

    use super::*;

    fn key(name: &str, scheme: Scheme) -> SigningKey {
        SigningKey::new(name, scheme, [7; 32]).unwrap()
    }

    fn head(size: u64) -> Note {
        let log = key("log.example", Scheme::Ed25519);
        Checkpoint::new("log.example", size, Hash::of(b"root")).sign(&log)
    }

    #[test]
    fn a_witness_is_asked_for_a_head_until_it_has_signed_it() {
        let witness = key("w.example/witness", Scheme::Cosignature);
        let submitter = Submitter::new(witness.verifier().clone());
        let site = Site::parse("https://w.example/_selvedge/audit", AUDIT, None).unwrap();
        let mut one = Asked { index: 0, site, submitter, failures: 0, pause: None };
        let mut bare = head(1);
        assert!(one.is_wanted(&bare));
        one.pause = Some(Instant::now() + PAUSE_MAX);
        assert!(!one.is_wanted(&bare), "it is away");
        one.pause = None;
        bare.add(key("v.example/witness", Scheme::Cosignature).cosign(bare.text(), 7).unwrap());
        assert!(one.is_wanted(&bare), "another has signed");
        bare.add(witness.cosign(bare.text(), 7).unwrap());
        assert!(!one.is_wanted(&bare));
    }

    #[test]
    fn what_a_head_was_shown_with_is_not_lost_when_it_is_shown_again() {
        let mut shown = head(1);
        let witness = key("w.example/witness", Scheme::Cosignature);
        shown.add(witness.cosign(shown.text(), 7).unwrap());
        assert_eq!(as_shown(head(1), Some(shown.clone())), (shown.clone(), true));
        assert_eq!(as_shown(head(2), Some(shown)), (head(2), false));
        assert_eq!(as_shown(head(2), None), (head(2), false));
    }
}
