//! Computations under way, each shared by all who wait for its result: a single flight per key.

use std::collections::HashMap;
use std::hash::Hash;

use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};

use crate::sync::{Arc, Mutex, lock};

/// A computation: whoever waits for it drives it. When nobody does any more, it is dropped.
pub(super) type Flight<T> = Shared<BoxFuture<'static, T>>;

pub(super) struct Flights<K, T> {
    table: Arc<Mutex<Table<K, T>>>,
}

struct Table<K, T> {
    entries: HashMap<K, Entry<T>>,
    begun: u64,
}

/// A flight, and how urgent the request was that it began with.
struct Entry<T> {
    flight: WeakShared<BoxFuture<'static, T>>,
    number: u64,
    priority: i32,
}

/// Takes the entry of a flight away when the flight ends, in whatever way.
struct Landing<K: Eq + Hash, T> {
    table: Arc<Mutex<Table<K, T>>>,
    key: K,
    number: u64,
}

impl<K, T> Flights<K, T>
where
    K: Copy + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self { table: Arc::new(Mutex::new(Table { entries: HashMap::new(), begun: 0 })) }
    }

    /// The computation that answers a request of that key and priority, and whether it was under way already. One that
    /// is less urgent than the request does not count.
    pub(super) fn join<F>(&self, key: K, priority: i32, compute: impl FnOnce() -> F) -> (Flight<T>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut table = lock(&self.table);
        // No flight may be dropped here: it would take its entry away, and wait for the table.
        if let Some(entry) = table.entries.get(&key)
            && entry.priority >= priority
            && let Some(flight) = entry.flight.upgrade()
        {
            return (flight, true);
        }
        (self.begin_in(&mut table, key, priority, compute()), false)
    }

    /// A computation that begins now, whatever is under way.
    #[cfg_attr(loom, expect(dead_code))] // The cache does not build under loom.
    pub(super) fn begin<F>(&self, key: K, priority: i32, compute: F) -> Flight<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.begin_in(&mut lock(&self.table), key, priority, compute)
    }

    /// Later requests join it.
    fn begin_in<F>(&self, table: &mut Table<K, T>, key: K, priority: i32, compute: F) -> Flight<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        table.begun += 1;
        let number = table.begun;
        let landing = Landing { table: Arc::clone(&self.table), key, number };
        let flight = async move {
            let _landing = landing;
            compute.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            table.entries.insert(key, Entry { flight: weak, number, priority });
        }
        flight
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        lock(&self.table).entries.len()
    }
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        // A later one may have taken its place.
        if table.entries.get(&self.key).is_some_and(|entry| entry.number == self.number) {
            table.entries.remove(&self.key);
        }
    }
}

#[cfg(all(test, loom))]
mod orders {
    use std::sync::Arc;

    use loom::future::block_on;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use super::*;

    type Test = Arc<(Flights<u8, usize>, AtomicUsize)>;

    /// The number of the computation.
    fn ask(test: &Test) -> Flight<usize> {
        let computed = Arc::clone(test);
        let compute = || async move { computed.1.fetch_add(1, Ordering::SeqCst) };
        test.0.join(7, 0, compute).0
    }

    #[test]
    fn loom_what_two_ask_is_computed_for_both_or_for_one_after_the_other() {
        loom::model(|| {
            let test: Test = Arc::new((Flights::new(), AtomicUsize::new(0)));
            let others = Arc::clone(&test);
            let other = thread::spawn(move || block_on(ask(&others)));
            let mut answers = [block_on(ask(&test)), other.join().unwrap()];
            answers.sort_unstable();
            let computed = test.1.load(Ordering::SeqCst);
            assert!(answers == [0, 0] && computed == 1 || answers == [0, 1] && computed == 2);
            assert_eq!(test.0.under_way(), 0);
        });
    }

    #[test]
    fn loom_who_leaves_takes_nothing_from_who_stays() {
        loom::model(|| {
            let test: Test = Arc::new((Flights::new(), AtomicUsize::new(0)));
            let leaving = ask(&test);
            let staying = Arc::clone(&test);
            let staying = thread::spawn(move || block_on(ask(&staying)));
            drop(leaving);
            assert_eq!(
                staying.join().unwrap(),
                0,
                "whichever computation it is, it is the only one that ran"
            );
            assert_eq!(test.0.under_way(), 0);
        });
    }
}
