//! How much of the core one caller may have at once: nobody takes the last places from all others.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use selvedge_identity::{Caller, Principal};

/// What callers have under way. Tenants are told from each other; where no tenant is named, those who ask are.
#[derive(Debug, Default)]
pub(super) struct Shares {
    held: Mutex<HashMap<String, usize>>,
}

/// One place of a caller's, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    caller: String,
}

impl Shares {
    /// One more for a caller. `None`: it has as many of the core's `places` as it may, nine tenths of them.
    pub(super) fn enter(self: &Arc<Self>, caller: &Caller, places: usize) -> Option<Share> {
        let caller = name(caller);
        let mut held = self.held();
        let own = held.get(&caller).copied().unwrap_or_default();
        if own >= places - places / 10 {
            return None;
        }
        held.insert(caller.clone(), own + 1);
        drop(held);
        Some(Share { shares: self.clone(), caller })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        if let Some(own) = held.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                held.remove(&mem::take(&mut self.caller));
            }
        }
    }
}

fn name(caller: &Caller) -> String {
    match (&caller.tenant, &caller.principal) {
        (Some(tenant), _) => format!("tenant {tenant}"),
        (None, Principal::Service { name }) => format!("service {name}"),
        (None, Principal::User { id, .. }) => format!("user {id}"),
        (None, Principal::Anonymous) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use selvedge_identity::{Means, Scopes};

    use super::*;

    fn of(tenant: Option<&str>, service: &str) -> Caller {
        Caller {
            principal: Principal::Service { name: service.to_owned() },
            tenant: tenant.map(str::to_owned),
            scopes: Scopes::default(),
            means: Means::DeclaredToken,
            client: None,
            trace_id: None,
        }
    }

    #[test]
    fn one_tenant_leaves_a_tenth_to_others() {
        let shares = Arc::new(Shares::default());
        let enter = |tenant, service: &str| shares.enter(&of(tenant, service), 20);
        let mut held: Vec<Share> = (0..18).map(|_| enter(Some("acme"), "a").unwrap()).collect();
        assert!(enter(Some("acme"), "b").is_none());
        assert!(enter(Some("other"), "a").is_some() && enter(None, "a").is_some());
        held.pop();
        assert!(enter(Some("acme"), "b").is_some());
        drop(held);
        assert!(shares.held().is_empty());
    }

    #[test]
    fn few_places_are_anybodys() {
        let shares = Arc::new(Shares::default());
        let _first = shares.enter(&of(None, "a"), 2).unwrap();
        let _second = shares.enter(&of(None, "a"), 2).unwrap();
        assert!(shares.enter(&of(None, "a"), 2).is_none());
    }
}
