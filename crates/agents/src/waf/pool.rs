//! Buffers that go from one exchange to the next, and what their exchanges are judged with.
//!
//! An exchange keeps a transaction from its head to its end, as many as are in flight; that is some kilobytes of what
//! it said. What is large, the [`Bench`], it has only while it is judged: a thread judges one exchange at a time, and so
//! needs one.

use std::{
    cell::RefCell,
    mem,
    ops::Deref,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use selvedge_waf::engine::{Bench, Transaction};

/// Memory of the transactions that one thread keeps for later, in bytes.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// Benches that are kept for work off the threads that speak to the edge, which comes from large bodies only.
const SHELVED_MAX: usize = 4;

/// Which rules a transaction was used with: what a reload replaced is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u64);

impl Generation {
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// What a thread keeps.
struct Kept {
    generation: Generation,
    bench: Bench,
    #[expect(clippy::vec_box, reason = "a transaction is large, and moves with its box alone")]
    transactions: Vec<Box<Transaction>>,
    /// Of all of them.
    bytes: usize,
}

impl Kept {
    fn of(generation: Generation) -> Self {
        Self { generation, bench: Bench::default(), transactions: Vec::new(), bytes: 0 }
    }

    fn take(&mut self) -> Option<Box<Transaction>> {
        let transaction = self.transactions.pop()?;
        self.bytes -= transaction.memory_bytes();
        Some(transaction)
    }

    fn put(&mut self, transaction: Box<Transaction>) {
        let bytes = self.bytes + transaction.memory_bytes();
        if bytes <= KEPT_BYTES_MAX {
            self.bytes = bytes;
            self.transactions.push(transaction);
        }
    }
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::new(Kept::of(Generation(0)));
}

/// Benches for whoever works off the threads that keep their own.
static SHELF: Mutex<Vec<(Generation, Bench)>> = Mutex::new(Vec::new());

/// A transaction, until the exchange ends.
pub(super) struct Lease {
    /// Always there until the exchange ends.
    transaction: Option<Box<Transaction>>,
    generation: Generation,
}

impl Lease {
    pub(super) fn new(generation: Generation) -> Self {
        let kept = KEPT.with_borrow_mut(|kept| {
            // Exchanges of an older generation end while those of the next one go on.
            if kept.generation < generation {
                *kept = Kept::of(generation);
            }
            if kept.generation == generation { kept.take() } else { None }
        });
        let transaction = kept.unwrap_or_else(|| Box::new(Transaction::new()));
        Self { transaction: Some(transaction), generation }
    }

    /// Takes the transaction on to somebody else; here it is gone.
    pub(super) fn take(&mut self) -> Self {
        Self { transaction: self.transaction.take(), generation: self.generation }
    }

    /// Adds what counters found, which no rule did.
    pub(super) fn add_points(&mut self, points: u32) {
        self.transaction.as_mut().expect(PRESENT).add_points(points);
    }

    /// Judges, with what earlier exchanges left behind.
    pub(super) fn judge<T>(&mut self, judge: impl FnOnce(&mut Transaction) -> T) -> T {
        let generation = self.generation;
        let transaction = self.transaction.as_mut().expect(PRESENT);
        let mut bench = taken(generation);
        let judged = transaction.with(&mut bench, judge);
        give_back(generation, bench);
        judged
    }
}

/// The bench of this thread, one from the shelf, or a new one.
fn taken(generation: Generation) -> Bench {
    let own = KEPT.with_borrow_mut(|kept| {
        (kept.generation == generation).then(|| mem::take(&mut kept.bench))
    });
    own.or_else(|| {
        let mut shelf = SHELF.lock().unwrap_or_else(PoisonError::into_inner);
        let at = shelf.iter().rposition(|(own, _)| *own == generation)?;
        Some(shelf.swap_remove(at).1)
    })
    .unwrap_or_default()
}

fn give_back(generation: Generation, bench: Bench) {
    let left = KEPT.with_borrow_mut(|kept| {
        if kept.generation != generation {
            return Some(bench);
        }
        kept.bench = bench;
        None
    });
    let Some(bench) = left else { return };
    let mut shelf = SHELF.lock().unwrap_or_else(PoisonError::into_inner);
    // Rules that are replaced, and all they take, are gone with the last exchange that began with them.
    if shelf.iter().any(|(own, _)| *own > generation) {
        return;
    }
    shelf.retain(|(own, _)| *own == generation);
    if shelf.len() < SHELVED_MAX {
        shelf.push((generation, bench));
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
            if kept.generation == self.generation {
                kept.put(transaction);
            }
        });
    }
}

impl Deref for Lease {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        self.transaction.as_ref().expect(PRESENT)
    }
}

const PRESENT: &str = "it is taken at the end of the exchange";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_were_in_flight_are_kept() {
        let generation = Generation::next();
        let leases: Vec<_> = (0..64).map(|_| Lease::new(generation)).collect();
        drop(leases);
        KEPT.with_borrow(|kept| {
            let bytes: usize = kept.transactions.iter().map(|one| one.memory_bytes()).sum();
            assert_eq!((kept.transactions.len(), kept.bytes), (64, bytes));
        });
        let leases: Vec<_> = (0..64).map(|_| Lease::new(generation)).collect();
        KEPT.with_borrow(|kept| assert_eq!((kept.transactions.len(), kept.bytes), (0, 0)));
        drop(leases);
    }

    #[test]
    fn memory_has_a_bound() {
        let mut kept = Kept::of(Generation::next());
        kept.bytes = KEPT_BYTES_MAX;
        kept.put(Box::new(Transaction::new()));
        assert!(kept.transactions.is_empty());
    }

    #[test]
    fn the_bench_goes_to_whoever_judges_and_comes_back() {
        let generation = Generation::next();
        let mut first = Lease::new(generation);
        first.judge(|_| {
            let own = KEPT.with_borrow(|kept| kept.generation);
            assert_eq!(own, generation);
        });
        // Elsewhere benches come from the shelf, as many as it has room for.
        std::thread::spawn(move || {
            first.judge(|_| ());
            let shelf = SHELF.lock().unwrap();
            assert!(shelf.len() <= SHELVED_MAX && !shelf.is_empty());
        })
        .join()
        .unwrap();
    }
}
