//! The thread that brings events to the core, in their order, until the core has each of them once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::StatusCode;
use selvedge_audit::{
    event::{Event, Fact},
    spool::{Portion, Spool, SpoolError},
    time::Timestamp,
    wire::WireError,
};
use selvedge_telemetry::Level;
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{
    Office, Wanted, now,
    road::{Road, Visit},
};
use crate::exit::chain;

/// Between a delivery that came to nothing and the next, at first and at most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long nothing may go before it is told.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the end waits for what the core takes at once.
const LAST: Duration = Duration::from_secs(1);
/// How long nothing may come before the connection is closed; the core keeps one for longer.
const IDLE: Duration = Duration::from_secs(30);

pub(super) struct Courier {
    pub(super) spool: Arc<Spool>,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) office: Arc<Office>,
    /// Rings when there may be something new.
    pub(super) bell: Arc<Notify>,
    /// Set when the courier is to end.
    pub(super) over: watch::Receiver<bool>,
}

/// Why a delivery came to nothing.
enum Setback {
    /// The core is not there, or does not take it now: again later.
    Later(String),
    /// It does not take so much at once.
    TooMuch,
    /// It has a later epoch of us than this one.
    Fenced(u64),
    /// Our own disk.
    Spool(SpoolError),
}

impl From<SpoolError> for Setback {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error)
    }
}

/// What the core says of a delivery.
struct Answer {
    /// The number that it wants next.
    next: u64,
    /// Numbers of events that it could not read, and why.
    refused: Vec<(u64, String)>,
}

/// A delivery under way, and those before on the same connection.
struct Round {
    visit: Option<(Road, Visit)>,
    /// Fewer than a whole portion, where the core does not take that.
    events_max: usize,
    pause: Duration,
    /// Since when nothing goes, and whether that was told.
    trouble: Option<Trouble>,
}

/// Nothing was delivered since then.
struct Trouble {
    since: Instant,
    is_told: bool,
}

impl Courier {
    /// Runs until told to end, and then tries once more for a moment.
    pub(super) fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.work()),
            Err(error) => {
                let message = "audit: nothing is delivered to the core";
                self.office.hub.event(Level::Error, message, &[("error", &error)]);
            }
        }
    }

    async fn work(self) {
        let (visit, trouble) = (None, None);
        let mut round = Round { visit, events_max: usize::MAX, pause: PAUSE, trouble };
        let mut over = self.over.clone();
        tokio::select! {
            () = self.deliver_all(&mut round) => {}
            // A writer that has gone means the same.
            _ = over.wait_for(|over| *over) => {}
        }
        if self.office.is_ending() {
            // What was under way is repeated, and the core knows it again.
            round.visit = None;
            let _ = timeout(LAST, async { while let Ok(true) = self.deliver(&mut round).await {} })
                .await;
        }
    }

    async fn deliver_all(&self, round: &mut Round) {
        loop {
            match self.deliver(round).await {
                Ok(true) => self.succeed(round),
                Ok(false) => {
                    if timeout(IDLE, self.bell.notified()).await.is_err() {
                        round.visit = None;
                    }
                }
                Err(setback) => {
                    self.fail(round, &setback);
                    sleep(round.pause).await;
                    round.pause = (round.pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Delivers one portion; says whether there was any.
    async fn deliver(&self, round: &mut Round) -> Result<bool, Setback> {
        let Some(mut portion) = self.spool.next()? else { return Ok(false) };
        portion.events.truncate(round.events_max.max(1));
        let sent = portion.events.len() as u64;
        let answer = match self.ask(round, &portion).await {
            Err(Setback::Fenced(newest)) => {
                self.begin_epoch(newest.saturating_add(1), "fenced", &[])?;
                let why = "another edge of the same name has delivered as well";
                return Err(Setback::Later(why.to_owned()));
            }
            Err(Setback::TooMuch) if portion.events.len() == 1 => {
                self.replace(round, &portion).await?
            }
            answer => answer?,
        };
        let (_, first, tail) = self.spool.numbers()?;
        if answer.next < first || answer.next > tail {
            let why = if answer.next < first { "core-behind" } else { "core-ahead" };
            let numbers = [("first", first), ("tail", tail), ("wanted", answer.next)];
            self.begin_epoch(0, why, &numbers)?;
            return Ok(true);
        }
        let refused = self.refused(&portion, &answer);
        self.spool.delivered(answer.next, &refused)?;
        self.office.tally.delivered(answer.next - first, refused.len() as u64);
        self.office.tally.set_fill(self.spool.fill());
        match answer.next > first {
            true => Ok(true),
            false => Err(Setback::Later(format!("it took none of {sent} events"))),
        }
    }

    /// The core does not take even one event: something that stands for it goes in its place.
    async fn replace(&self, round: &mut Round, portion: &Portion) -> Result<Answer, Setback> {
        let event = portion.events.first().map(Vec::as_slice).unwrap_or_default();
        let remedy = "raise `body` in `core { limits { … } }`: it is smaller than an event";
        let why = WireError { place: String::new(), remedy };
        let instead = Event::instead_of(event, &why, now()).to_wire();
        let instead = Portion { events: vec![instead], ..portion.clone() };
        let answer = self.ask(round, &instead).await?;
        let refused = vec![(portion.first, remedy.to_owned())];
        Ok(Answer { refused, ..answer })
    }

    /// Counts anew, and says so: what is in the log and what we know do not fit together.
    fn begin_epoch(
        &self,
        at_least: u64,
        why: &str,
        numbers: &[(&str, u64)],
    ) -> Result<(), SpoolError> {
        let epoch = self.spool.begin_epoch(Timestamp(now().0.max(at_least)))?;
        let mut event = Event::by_system(now(), "audit.epoch", ("spool", "events"));
        event.reason = Some(why.to_owned());
        let number = |number: u64| Fact::Number(i64::try_from(number).unwrap_or(i64::MAX));
        let numbers = numbers.iter().copied().chain([("epoch", epoch)]);
        event.details = numbers.map(|(name, value)| (name.to_owned(), number(value))).collect();
        self.spool.keep(&[event.to_wire()], now())?;
        let message = "audit: the core's log and our numbers do not fit together; we count anew. Was \
                       the core or this spool restored from a backup, or is there another edge of our name?";
        self.office.hub.event(Level::Warn, message, &[("why", &why)]);
        Ok(())
    }

    /// The events that the core could not read, of which an operator is told.
    fn refused(&self, portion: &Portion, answer: &Answer) -> Vec<Vec<u8>> {
        let event = |number: &u64| {
            let index = usize::try_from(number.checked_sub(portion.first)?).ok()?;
            portion.events.get(index).cloned()
        };
        for (number, why) in &answer.refused {
            let message = "audit: the core could not read an event; it lies aside in the spool";
            self.office.hub.event(Level::Warn, message, &[("number", number), ("why", why)]);
        }
        answer.refused.iter().filter_map(|(number, _)| event(number)).collect()
    }

    /// Sends a portion on the connection that is open, or a new one.
    async fn ask(&self, round: &mut Round, portion: &Portion) -> Result<Answer, Setback> {
        let road = self.wanted.borrow().road.clone();
        let Some(road) = road else {
            return Err(Setback::Later("the config has no core any more".to_owned()));
        };
        let visit = round.visit.take().filter(|(known, _)| *known == road);
        let is_old = visit.is_some();
        let mut visit = match visit {
            Some((_, visit)) => visit,
            None => road.open().await.map_err(Setback::Later)?,
        };
        let body = body(portion);
        let answered = match visit.send(body.clone()).await {
            // It may have been closed long ago; what arrived twice is known again.
            Err(_) if is_old => {
                visit = road.open().await.map_err(Setback::Later)?;
                visit.send(body).await
            }
            answered => answered,
        };
        let (status, body) = answered.map_err(Setback::Later)?;
        round.visit = Some((road, visit));
        read(status, &body)
    }

    fn succeed(&self, round: &mut Round) {
        round.pause = PAUSE;
        round.events_max = round.events_max.saturating_mul(2);
        if round.trouble.take().is_some_and(|trouble| trouble.is_told) {
            let message = "audit: the core takes what the edge has to tell again";
            self.office.hub.event(Level::Info, message, &[]);
        }
    }

    fn fail(&self, round: &mut Round, setback: &Setback) {
        self.office.tally.failed();
        round.visit = None;
        let why = match setback {
            Setback::Later(why) => why.clone(),
            Setback::Spool(error) => chain(error),
            Setback::Fenced(_) => "its epoch is over".to_owned(),
            Setback::TooMuch => {
                let events = self.spool.fill().events;
                let most = usize::try_from(events).unwrap_or(usize::MAX).min(round.events_max);
                round.events_max = (most.min(selvedge_audit::spool::PORTION_EVENTS_MAX) / 2).max(1);
                round.pause = PAUSE;
                return;
            }
        };
        let now = Instant::now();
        let trouble = round.trouble.get_or_insert(Trouble { since: now, is_told: false });
        // Edge and core start and end together, and one of them is first.
        if !trouble.is_told && now.duration_since(trouble.since) >= PATIENCE {
            let message =
                "audit: the core does not take what the edge has to tell; it is kept until then";
            self.office.hub.event(Level::Warn, message, &[("why", &why)]);
            trouble.is_told = true;
        }
    }
}

/// One line that says how events are counted, and one for each of them.
fn body(portion: &Portion) -> Vec<u8> {
    let Portion { epoch, first, events } = portion;
    let head = json!({ "v": 1, "epoch": epoch, "first": first, "count": events.len() });
    let mut body = head.to_string().into_bytes();
    for event in events {
        body.push(b'\n');
        body.extend_from_slice(event);
    }
    body
}

fn read(status: StatusCode, body: &[u8]) -> Result<Answer, Setback> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let later = || {
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Setback::Later(format!(
            "it answers {}: {} {}",
            status.as_u16(),
            text("code"),
            text("detail")
        ))
    };
    match status {
        StatusCode::OK => {}
        StatusCode::PAYLOAD_TOO_LARGE => return Err(Setback::TooMuch),
        StatusCode::CONFLICT => {
            return Err(answer["epoch"].as_u64().map_or_else(later, Setback::Fenced));
        }
        _ => return Err(later()),
    }
    let refused = answer["refused"].as_array().into_iter().flatten();
    let refused = refused.filter_map(|one| {
        let why = format!("{}: {}", one["place"].as_str()?, one["remedy"].as_str()?);
        Some((one["sequence"].as_u64()?, why))
    });
    let next = answer["next"].as_u64().ok_or_else(later)?;
    Ok(Answer { next, refused: refused.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an answer comes to, in a word.
    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let status = StatusCode::from_u16(status).unwrap();
        let found = match read(status, body.as_bytes()) {
            Ok(Answer { next, refused }) => format!("{next} {refused:?}"),
            Err(Setback::Later(why)) => format!("later: {why}"),
            Err(Setback::TooMuch) => "too much".to_owned(),
            Err(Setback::Fenced(epoch)) => format!("fenced by {epoch}"),
            Err(Setback::Spool(error)) => panic!("{error}"),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn answers_are_read_whoever_gives_them() {
        check(200, "{\"next\":7,\"refused\":[]}", "7 []");
        let refused =
            "{\"next\":7,\"refused\":[{\"sequence\":5,\"place\":\"who\",\"remedy\":\"r\"},{}]}";
        check(200, refused, "7 [(5, \"who: r\")]");
        check(200, "<html>", "later: it answers 200:  ");
        check(200, "{\"next\":-1}", "later: it answers 200:  ");
        check(409, "{\"epoch\":9}", "fenced by 9");
        check(409, "{}", "later: it answers 409:  ");
        check(413, "", "too much");
        let away = "{\"code\":\"core/in-flight\",\"detail\":\"Try again.\"}";
        check(503, away, "later: it answers 503: core/in-flight Try again.");
    }

    #[test]
    fn a_delivery_is_lines_of_json() {
        let portion = Portion { epoch: 5, first: 2, events: vec![b"{}".to_vec(), b"[]".to_vec()] };
        let text = String::from_utf8(body(&portion)).unwrap();
        assert_eq!(text, "{\"count\":2,\"epoch\":5,\"first\":2,\"v\":1}\n{}\n[]");
    }
}
