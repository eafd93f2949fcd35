//! A storage that dies when it is told to, and forgets or tears what nobody synced.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Mutex, MutexGuard},
};

use fastrand::Rng;
use selvedge_audit::store::Storage;

type Files = BTreeMap<String, Vec<u8>>;

#[derive(Debug)]
pub(crate) struct Sim(Mutex<State>);

#[derive(Debug)]
struct State {
    durable: Files,
    seen: Files,
    /// How many steps are left to live.
    fuel: u64,
    rng: Rng,
    /// Every version of this file that somebody could have read.
    watched: &'static str,
    shown: Vec<Vec<u8>>,
}

impl Sim {
    pub(crate) fn new(seed: u64, watched: &'static str) -> Self {
        let (durable, seen) = (Files::new(), Files::new());
        let rng = Rng::with_seed(seed);
        Self(Mutex::new(State { durable, seen, fuel: u64::MAX, rng, watched, shown: Vec::new() }))
    }

    /// Lets it live for so many steps more.
    pub(crate) fn dies_in(&self, steps: u64) {
        self.state().fuel = steps;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().fuel == 0
    }

    /// Comes back after a power cut: of each file that was not synced, anything may be there.
    pub(crate) fn power_on(&self) {
        let state = &mut *self.state();
        let paths: BTreeSet<String> =
            state.durable.keys().chain(state.seen.keys()).cloned().collect();
        let mut left = Files::new();
        for path in paths {
            let (before, after) = (state.durable.get(&path), state.seen.get(&path));
            let found = match state.rng.u8(0..4) {
                _ if before == after => before.cloned(),
                0 => before.cloned(),
                1 => after.cloned(),
                2 => after.map(|bytes| bytes[..state.rng.usize(0..=bytes.len())].to_vec()),
                _ => after.map(|bytes| vec![0; bytes.len()]),
            };
            if let Some(bytes) = found {
                left.insert(path, bytes);
            }
        }
        (state.durable, state.seen, state.fuel) = (left.clone(), left, u64::MAX);
    }

    /// Every version of the watched file, oldest first; forgotten when asked for.
    pub(crate) fn take_shown(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.state().shown)
    }

    pub(crate) fn files(&self) -> Files {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn step(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.fuel = state.fuel.saturating_sub(1);
        if state.fuel == 0 { Err(io::Error::other("the power went out")) } else { Ok(state) }
    }
}

impl Storage for Sim {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.step()?.seen.get(path).cloned())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.step()?;
        state.seen.insert(path.to_owned(), bytes.to_vec());
        if state.watched == path {
            state.shown.push(bytes.to_vec());
        }
        Ok(())
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let died = self.step().err();
        let mut state = self.state();
        // Died on the way: it may have happened or not, but never by half.
        if died.is_none() || state.rng.bool() {
            state.seen.insert(path.to_owned(), bytes.to_vec());
            state.durable.insert(path.to_owned(), bytes.to_vec());
        }
        died.map_or(Ok(()), Err)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let folder = format!("{path}/");
        self.step()?.seen.retain(|known, _| known != path && !known.starts_with(&folder));
        Ok(())
    }

    fn sync(&self, paths: &[String]) -> io::Result<()> {
        for path in paths {
            let mut state = self.step()?;
            let bytes = state.seen.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
            state.durable.insert(path.clone(), bytes);
        }
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let state = self.step()?;
        let names = state.seen.keys().filter_map(|path| path.strip_prefix(&prefix));
        let names = names.map(|rest| match rest.split_once('/') {
            Some((name, _)) => format!("{name}/"),
            None => rest.to_owned(),
        });
        Ok(names.collect::<BTreeSet<_>>().into_iter().collect())
    }
}
