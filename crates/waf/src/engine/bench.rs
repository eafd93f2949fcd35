//! What judging needs beside the exchange.

use std::sync::Arc;

use super::{Rules, clean::Clean, scan::Scanner, walk::Caches};

/// What expressions, scanning and clean values left behind, for the next exchange to find. It takes most of the memory
/// and of the time that the first exchange costs, and an exchange needs it only while it is judged: who has many at once
/// [shares](super::Transaction::with) one.
#[derive(Default)]
pub struct Bench {
    /// What it fits.
    rules: Option<Arc<Rules>>,
    pub(super) scanner: Scanner,
    pub(super) clean: Clean,
    pub(super) caches: Caches,
    /// Room for the name of a variable that is set.
    pub(super) name: Vec<u8>,
}

impl Bench {
    /// Makes room for what these rules need; that of others is given back.
    pub(super) fn fit(&mut self, rules: &Arc<Rules>) {
        if self.rules.as_ref().is_some_and(|last| Arc::ptr_eq(last, rules)) {
            return;
        }
        self.rules = Some(Arc::clone(rules));
        self.scanner = Scanner::new(rules);
        self.caches = Caches::new(rules);
    }
}
