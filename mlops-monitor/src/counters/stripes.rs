//! Counters that threads do not fight over.

use std::cell::Cell;
use std::sync::OnceLock;

use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A row of counters, several times: threads that count at the same time count in different stripes.
///
/// Who wants to count takes a stripe for itself, by one atomic exchange, and then needs no atomic increments;
/// a stripe that is taken is not waited for, the next one is tried. When all are taken there is a last
/// one that all share, with atomic increments. So counting is wait-free. Stripes come into being when threads
/// first meet, so a counter that one thread uses is one stripe.
///
/// Counters only grow. A window is the difference of two [`totals`](Stripes::totals), so its end disturbs
/// nobody, and nothing can fall between two windows or into both.
pub(crate) struct Stripes {
    cells: usize,
    own: Box<[Stripe]>,
    shared: Stripe,
    /// How many of `own` are in use: a power of two.
    spread: AtomicUsize,
}

/// Apart from its neighbours by what processors fetch at once.
#[repr(align(128))]
#[derive(Default)]
struct Stripe {
    taken: AtomicBool,
    cells: OnceLock<Box<[AtomicU64]>>,
}

/// One stripe, to count in.
pub(crate) struct Writer<'a> {
    cells: &'a [AtomicU64],
    /// To be given back; `None` for the stripe that is shared.
    own: Option<&'a AtomicBool>,
}

impl Stripes {
    /// So many counters, at zero, in up to so many stripes (rounded up to a power of two) and a shared one.
    pub(crate) fn new(cells: usize, stripes: usize) -> Self {
        let own = (0..stripes.max(1).next_power_of_two()).map(|_| Stripe::default()).collect();
        Self { cells, own, shared: Stripe::default(), spread: AtomicUsize::new(1) }
    }

    /// A stripe to count in. Hold it for a moment only: it is out of the others' reach.
    pub(crate) fn writer(&self) -> Writer<'_> {
        let home = home();
        let mut spread = self.spread.load(Ordering::Relaxed);
        if let Some(writer) = self.take(home & (spread - 1)) {
            return writer;
        }
        if spread < self.own.len() {
            let grown = spread * 2;
            let result = self.spread.compare_exchange(spread, grown, Ordering::Relaxed, Ordering::Relaxed);
            spread = result.map_or_else(|current| current, |_| grown);
        }
        let mut others = (0..spread).map(|offset| (home + offset) & (spread - 1));
        others
            .find_map(|index| self.take(index))
            .unwrap_or_else(|| Writer { cells: self.shared.cells(self.cells), own: None })
    }

    fn take(&self, index: usize) -> Option<Writer<'_>> {
        let stripe = self.own.get(index)?;
        let free = !stripe.taken.load(Ordering::Relaxed) && !stripe.taken.swap(true, Ordering::Acquire);
        free.then(|| Writer { cells: stripe.cells(self.cells), own: Some(&stripe.taken) })
    }

    /// Everything that was ever counted, per counter. What is being counted at this moment is in some of them
    /// and not yet in others.
    pub(crate) fn totals(&self) -> Vec<u64> {
        let mut totals = vec![0; self.cells];
        for cells in self.own.iter().chain([&self.shared]).filter_map(|stripe| stripe.cells.get()) {
            for (total, cell) in totals.iter_mut().zip(cells) {
                *total += cell.load(Ordering::Relaxed);
            }
        }
        totals
    }

    /// One of the [`totals`](Self::totals).
    pub(crate) fn total(&self, cell: usize) -> u64 {
        let stripes = self.own.iter().chain([&self.shared]).filter_map(|stripe| stripe.cells.get());
        stripes.filter_map(|cells| cells.get(cell)).map(|cell| cell.load(Ordering::Relaxed)).sum()
    }
}

impl Stripe {
    fn cells(&self, cells: usize) -> &[AtomicU64] {
        self.cells.get_or_init(|| (0..cells).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Writer<'_> {
    /// Adds to some counters, one each. A position that is none is left out.
    pub(crate) fn count(&self, positions: &[usize]) {
        let cells = positions.iter().filter_map(|position| self.cells.get(*position));
        if self.own.is_some() {
            cells.for_each(|cell| cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed));
        } else {
            cells.for_each(|cell| _ = cell.fetch_add(1, Ordering::Relaxed));
        }
    }

    /// Adds to one counter.
    pub(crate) fn add(&self, position: usize, more: u64) {
        let Some(cell) = self.cells.get(position) else { return };
        if self.own.is_some() {
            cell.store(cell.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        } else {
            cell.fetch_add(more, Ordering::Relaxed);
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if let Some(taken) = self.own {
            taken.store(false, Ordering::Release);
        }
    }
}

/// A number of this thread; threads that are born one after the other have successive ones.
fn home() -> usize {
    static THREADS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    thread_local! {
        static HOME: Cell<usize> = Cell::new(THREADS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
    // A thread that is ending has none any more.
    HOME.try_with(Cell::get).unwrap_or_default()
}

impl std::fmt::Debug for Stripes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stripes({} cells, {} stripes)", self.cells, self.own.len())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_finds_all_stripes_taken_shares_one() {
        let stripes = Stripes::new(2, 2);
        let writers: Vec<_> = (0..5).map(|_| stripes.writer()).collect();
        assert_eq!(writers.iter().filter(|writer| writer.own.is_some()).count(), 2);
        for writer in &writers {
            writer.add(0, 2);
            writer.count(&[1, 0, 7]);
        }
        assert_eq!((stripes.totals(), stripes.total(0)), (vec![15, 5], 15));
        drop(writers);
        assert!(stripes.writer().own.is_some());
    }

    #[test]
    fn one_thread_needs_one_stripe() {
        let stripes = Stripes::new(2, 8);
        (0..100).for_each(|_| stripes.writer().count(&[0]));
        assert_eq!(stripes.own.iter().filter(|stripe| stripe.cells.get().is_some()).count(), 1);
        assert!(stripes.shared.cells.get().is_none());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// Two threads count, in one stripe and the shared one or in two, while a third ends windows.
    fn nothing_is_lost_or_doubled(count: usize) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let stripes = Arc::new(Stripes::new(2, count));
            // Loom does not see that `OnceLock` hands over what it holds.
            stripes.own.iter().chain([&stripes.shared]).for_each(|stripe| _ = stripe.cells(2));
            let threads = [0, 1].map(|_| {
                let stripes = Arc::clone(&stripes);
                thread::spawn(move || {
                    let writer = stripes.writer();
                    writer.count(&[0]);
                    writer.add(1, 2);
                })
            });
            let first = stripes.totals();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            stripes.writer().count(&[0]);
            let last = stripes.totals();
            assert!(first.iter().zip(&last).all(|(before, after)| before <= after));
            assert_eq!(last, [3, 4]);
        });
    }

    #[test]
    fn loom_one_stripe_and_the_shared_one_lose_nothing() {
        nothing_is_lost_or_doubled(1);
    }

    #[test]
    fn loom_two_stripes_lose_nothing() {
        nothing_is_lost_or_doubled(2);
    }
}
