//! Buffers that go from one exchange to the next.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicU64, Ordering},
};

use selvedge_waf::engine::Transaction;

/// Transactions that one thread keeps; each holds the buffers of the largest exchange it saw.
const KEPT_MAX: usize = 8;

/// Which rules a transaction was used with: what a reload replaced is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

impl Generation {
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

struct Kept {
    generation: Generation,
    #[expect(clippy::vec_box, reason = "a transaction is large, and moves with its box alone")]
    transactions: Vec<Box<Transaction>>,
}

thread_local! {
    static KEPT: RefCell<Kept> =
        const { RefCell::new(Kept { generation: Generation(0), transactions: Vec::new() }) };
}

/// A transaction, until the exchange ends.
pub(super) struct Lease {
    /// Always there until it is dropped.
    transaction: Option<Box<Transaction>>,
    generation: Generation,
}

impl Lease {
    pub(super) fn new(generation: Generation) -> Self {
        let kept = KEPT.with_borrow_mut(|kept| {
            // Exchanges of an older generation end while those of the next one go on.
            if kept.generation.0 < generation.0 {
                *kept = Kept { generation, transactions: Vec::new() };
            }
            if kept.generation == generation { kept.transactions.pop() } else { None }
        });
        let transaction = kept.unwrap_or_else(|| Box::new(Transaction::new()));
        Self { transaction: Some(transaction), generation }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that a panic left is in no known state.
        let Some(transaction) = self.transaction.take().filter(|_| !std::thread::panicking())
        else {
            return;
        };
        // Without a pool the thread is about to end.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.generation == self.generation && kept.transactions.len() < KEPT_MAX {
                kept.transactions.push(transaction);
            }
        });
    }
}

impl Deref for Lease {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        self.transaction.as_ref().expect("it is taken in `drop` only")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Transaction {
        self.transaction.as_mut().expect("it is taken in `drop` only")
    }
}
