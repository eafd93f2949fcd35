//! What the sessions of a document show of themselves now. It is never logged.

use std::collections::BTreeMap;

/// Sessions of a document that show something, at most.
const PRESENCES_MAX: usize = 1024;

/// The last presence of each session.
#[derive(Clone, Debug)]
pub struct Presences<S> {
    shown: BTreeMap<u64, Shown<S>>,
}

#[derive(Clone, Debug)]
struct Shown<S> {
    /// Nothing: it is gone, which others are still to hear.
    state: Option<S>,
    at_ms: u64,
    is_news: bool,
}

impl<S> Default for Presences<S> {
    fn default() -> Self {
        Presences { shown: BTreeMap::new() }
    }
}

impl<S: Clone> Presences<S> {
    /// Takes what a session shows; nothing if it is gone. Returns whether there was room for it.
    pub fn put(&mut self, session: u64, state: Option<S>, now_ms: u64) -> bool {
        let has_room = self.shown.len() < PRESENCES_MAX;
        match self.shown.get_mut(&session) {
            Some(shown) => *shown = Shown { state, at_ms: now_ms, is_news: true },
            None if state.is_none() => {}
            None if has_room => {
                self.shown.insert(session, Shown { state, at_ms: now_ms, is_news: true });
            }
            None => return false,
        }
        true
    }

    /// What others have not heard: of each session the last, and nothing for one that is gone or was silent
    /// since before `dead_ms`.
    pub fn take_news(&mut self, dead_ms: u64) -> Vec<(u64, Option<S>)> {
        let mut news = Vec::new();
        self.shown.retain(|session, shown| {
            if shown.at_ms < dead_ms && shown.state.is_some() {
                *shown = Shown { state: None, at_ms: shown.at_ms, is_news: true };
            }
            if std::mem::take(&mut shown.is_news) {
                news.push((*session, shown.state.clone()));
            }
            shown.state.is_some()
        });
        news
    }

    /// What everybody shows, for somebody who just came.
    pub fn all(&self) -> impl Iterator<Item = (u64, S)> {
        self.shown.iter().filter_map(|(session, shown)| Some((*session, shown.state.clone()?)))
    }

    /// Whether nobody shows anything.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_session_the_last_is_told_and_its_end() {
        let mut presences = Presences::default();
        assert!(presences.put(1, Some("a"), 10) && presences.put(1, Some("b"), 20));
        assert!(presences.put(2, Some("c"), 20) && presences.put(3, None, 20));
        assert_eq!(presences.take_news(0), [(1, Some("b")), (2, Some("c"))]);
        assert_eq!(presences.take_news(0), []);
        presences.put(2, None, 30);
        assert_eq!(presences.take_news(0), [(2, None)]);
        assert_eq!(presences.all().collect::<Vec<_>>(), [(1, "b")]);
        assert_eq!(presences.take_news(21), [(1, None)]);
        assert!(presences.is_empty());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut presences = Presences::default();
        let taken = (0..2_000).filter(|session| presences.put(*session, Some(()), 0)).count();
        assert_eq!(taken, PRESENCES_MAX);
    }
}
