//! Seats for readers that wait or follow. Nobody takes all of them: a tenant has at most half, and so has a caller of no tenant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use selvedge_identity::Caller;

use crate::refusal::Refusal;

/// All seats.
pub(crate) struct Seats {
    max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Seats of each who has any.
    each: HashMap<Arc<str>, usize>,
}

/// A seat that is taken, until it is dropped.
pub(crate) struct Seat {
    seats: Arc<Seats>,
    who: Arc<str>,
}

impl Seats {
    pub(crate) fn new(max: usize) -> Arc<Seats> {
        Arc::new(Seats { max, taken: Mutex::default() })
    }

    /// Takes a seat.
    ///
    /// # Errors
    /// If all are taken, or the caller has as many as one may.
    pub(crate) fn take(self: &Arc<Self>, caller: &Caller) -> Result<Seat, Refusal> {
        let each_max = self.max.div_ceil(2);
        let who = who(caller);
        let mut taken = self.taken();
        let (who, has) = match taken.each.get_key_value(who.as_str()) {
            Some((who, has)) => (Arc::clone(who), *has),
            None => (Arc::from(who), 0),
        };
        if taken.all >= self.max {
            return Err(Refusal::Busy);
        }
        if has >= each_max {
            return Err(Refusal::Followers { max: each_max });
        }
        taken.all += 1;
        taken.each.insert(Arc::clone(&who), has + 1);
        Ok(Seat { seats: Arc::clone(self), who })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who shares seats: a tenant, or where there are none a caller.
fn who(caller: &Caller) -> String {
    match &caller.tenant {
        Some(tenant) => format!("tenant/{tenant}"),
        None => format!("{}/{}", caller.principal.kind(), caller.principal.name()),
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= 1;
        if let Some(has) = taken.each.get_mut(&self.who) {
            *has -= 1;
            if *has == 0 {
                taken.each.remove(&self.who);
            }
        }
    }
}
