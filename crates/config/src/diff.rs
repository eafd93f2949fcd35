//! What changes from one config to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{CORE, Config, Id, Route, Upstream};

/// What changes from one config to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Listeners by id.
    pub listeners: Changes,
    /// Upstreams by id.
    pub upstreams: Changes,
    /// Routes by id. A route that only moved to another line has not changed.
    pub routes: Changes,
    /// Agents by id.
    pub agents: Changes,
    /// Whether the routes are in another order, which decides between equals.
    pub order: bool,
    /// Whether the core changes, or where the edge serves it.
    pub core: bool,
    /// Whether anything else changes: limits, admin, telemetry, workers.
    pub other: bool,
}

/// What changes among things of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Only in the new config.
    pub added: BTreeSet<Id>,
    /// Only in the old config.
    pub removed: BTreeSet<Id>,
    /// In both, but not the same.
    pub changed: BTreeSet<Id>,
}

/// Compares two configs by what they mean.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let listeners = |config: &Config| -> BTreeMap<Id, _> {
        config.listeners.iter().map(|one| (one.id.clone(), one.clone())).collect()
    };
    let routes = |config: &Config| -> BTreeMap<Id, _> {
        let written = config.routes.iter().filter(|route| *route.id != *CORE);
        written.map(|one| (one.id.clone(), one.clone())).collect()
    };
    let upstreams = |config: &Config| -> BTreeMap<Id, _> {
        let written = config.upstreams.iter().filter(|(id, _)| ***id != *CORE);
        written.map(|(id, one)| (id.clone(), one.clone())).collect()
    };
    Diff {
        listeners: changes(&listeners(old), &listeners(new), PartialEq::eq),
        upstreams: changes(&upstreams(old), &upstreams(new), PartialEq::eq),
        routes: changes(&routes(old), &routes(new), |old, new| is_same_route(old, new)),
        agents: changes(&old.agents, &new.agents, PartialEq::eq),
        order: is_reordered(old, new),
        core: !is_core_same(old, new),
        other: !is_rest_same(old, new),
    }
}

fn changes<T>(
    old: &BTreeMap<Id, T>,
    new: &BTreeMap<Id, T>,
    is_same: impl Fn(&T, &T) -> bool,
) -> Changes {
    let only_in = |these: &BTreeMap<Id, T>, those: &BTreeMap<Id, T>| {
        these.keys().filter(|id| !those.contains_key(*id)).cloned().collect()
    };
    let is_changed = |(id, old): &(&Id, &T)| new.get(*id).is_some_and(|new| !is_same(old, new));
    Changes {
        added: only_in(new, old),
        removed: only_in(old, new),
        changed: old.iter().filter(is_changed).map(|(id, _)| id.clone()).collect(),
    }
}

fn is_same_route(old: &Route, new: &Route) -> bool {
    let Route {
        id,
        priority,
        matches,
        agents,
        action,
        upstream_by,
        rewrite,
        request_headers,
        response_headers,
        limits,
        compress,
        origin: _,
    } = old;
    *id == new.id
        && *priority == new.priority
        && *matches == new.matches
        && *agents == new.agents
        && *action == new.action
        && *upstream_by == new.upstream_by
        && *rewrite == new.rewrite
        && *request_headers == new.request_headers
        && *response_headers == new.response_headers
        && *limits == new.limits
        && *compress == new.compress
}

/// Whether the routes that both have stand in another order.
fn is_reordered(old: &Config, new: &Config) -> bool {
    let in_both = |of: &Config, other: &Config| -> Vec<Id> {
        let ids: BTreeSet<&Id> = other.routes.iter().map(|route| &route.id).collect();
        of.routes.iter().map(|route| route.id.clone()).filter(|id| ids.contains(id)).collect()
    };
    in_both(old, new) != in_both(new, old)
}

fn is_core_same(old: &Config, new: &Config) -> bool {
    let mount = |config: &Config| config.routes.iter().find(|route| *route.id == *CORE).cloned();
    let is_same_mount = match (mount(old), mount(new)) {
        (Some(old), Some(new)) => is_same_route(&old, &new),
        (None, None) => true,
        _ => false,
    };
    let upstream = |config: &Config| -> Option<Upstream> {
        config.upstreams.get(CORE).map(|upstream| (**upstream).clone())
    };
    old.core == new.core && is_same_mount && upstream(old) == upstream(new)
}

fn is_rest_same(old: &Config, new: &Config) -> bool {
    let Config {
        listeners: _,
        upstreams: _,
        routes: _,
        agents: _,
        limits,
        admin,
        telemetry,
        core: _,
        audit,
        workers,
        drain_timeout,
        files: _,
        origins: _,
    } = old;
    *limits == new.limits
        && *admin == new.admin
        && *telemetry == new.telemetry
        && *audit == new.audit
        && *workers == new.workers
        && *drain_timeout == new.drain_timeout
}

impl Diff {
    /// Whether both configs mean the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Diff {
    /// One line for each change; `no change` when there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "no change");
        }
        let kinds = [
            ("listener", &self.listeners),
            ("upstream", &self.upstreams),
            ("route", &self.routes),
            ("agent", &self.agents),
        ];
        for (kind, changes) in kinds {
            let signs = [('+', &changes.added), ('-', &changes.removed), ('~', &changes.changed)];
            for (sign, ids) in signs {
                ids.iter().try_for_each(|id| writeln!(f, "{sign} {kind} {id:?}"))?;
            }
        }
        if self.order {
            writeln!(f, "~ order of routes")?;
        }
        if self.core {
            writeln!(f, "~ core")?;
        }
        if self.other {
            writeln!(f, "~ settings of the process")?;
        }
        Ok(())
    }
}
