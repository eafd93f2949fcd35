//! Entries that nodes buffered: each node counted its own, and no number may be left out.

use std::collections::HashMap;

use crate::entry::Entry;

/// More nodes than this in one log are a fault of their own.
const NODES_MAX: usize = 65_536;

/// The next number of each node and epoch.
#[derive(Debug, Default)]
pub(super) struct Deliveries(HashMap<(String, u64), u64>);

impl Deliveries {
    /// Looks at an entry; `partly` says that earlier entries were not looked at.
    pub(super) fn check(&mut self, entry: &Entry, partly: bool) -> Result<(), String> {
        let Some(delivery) = entry.delivery else { return Ok(()) };
        let node = (entry.node.clone(), delivery.epoch);
        let next = delivery.sequence + 1;
        if self.0.len() >= NODES_MAX && !self.0.contains_key(&node) {
            return Err(format!("it is by one of more than {NODES_MAX} nodes"));
        }
        let expected = match self.0.insert(node, next) {
            None if partly => return Ok(()),
            expected => expected.unwrap_or(0),
        };
        if expected == delivery.sequence {
            return Ok(());
        }
        let (node, found) = (&entry.node, delivery.sequence);
        Err(format!("node {node} numbered it {found}, and {expected} was to come"))
    }
}
