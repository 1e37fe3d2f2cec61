//! Shares that are changed together and read without a lock.

use std::sync::PoisonError;

use mlops_core::{Error, Result};

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A row of shares. A reader sees all shares of one change, never some of one and some of another.
///
/// The row lies in two slots. The number of a change says which of them is in force; the next change is
/// written to the other one and then put in force by its number. So a reader disturbs nobody, and it
/// reads again only when one change came into force and another was begun while it looked: a writer that
/// is stopped halfway stops no reader. This is a sequence lock (Boehm, "Can seqlocks get along with
/// programming language memory models?", MSPC 2012) over two slots.
pub(super) struct Shares {
    change: AtomicU64,
    even: Box<[AtomicU64]>,
    odd: Box<[AtomicU64]>,
    written: Mutex<Written>,
}

/// What is in force, as the writers know it. They read no cell: loom remembers one access of each, and theirs
/// would hide those of the readers from it.
struct Written {
    change: u64,
    shares: Vec<f64>,
}

impl Shares {
    /// So many shares of zero.
    pub(super) fn zero(count: usize) -> Self {
        let slot = || (0..count).map(|_| AtomicU64::new(0.0_f64.to_bits())).collect();
        let written = Mutex::new(Written { change: 0, shares: vec![0.0; count] });
        Self { change: AtomicU64::new(0), even: slot(), odd: slot(), written }
    }

    /// What `look` makes of the shares. It may be called several times.
    pub(super) fn read<T>(&self, look: impl Fn(&mut dyn Iterator<Item = f64>) -> T) -> T {
        self.read_inline(|slot| look(&mut slot.iter().map(load)))
    }

    /// The place of the share that holds `point` where the shares lie side by side from 0 on.
    pub(super) fn place(&self, point: f64) -> Option<usize> {
        self.read_inline(|slot| {
            let mut end = 0.0;
            slot.iter().position(|share| {
                end += load(share);
                point < end
            })
        })
    }

    /// Lets `next` change a copy of the shares, which then comes into force as a whole. An error changes
    /// nothing.
    pub(super) fn change(&self, next: impl FnOnce(&mut [f64]) -> Result<()>) -> Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shares = written.shares.clone();
        next(&mut shares)?;
        let change = written.change.wrapping_add(1);
        for (cell, share) in self.slot(change).iter().zip(&shares) {
            // A reader that sees this while it reads the change before the last one sees the last one's number
            // too.
            cell.store(share.to_bits(), Ordering::Release);
        }
        self.change.store(change, Ordering::Release);
        *written = Written { change, shares };
        Ok(())
    }

    fn read_inline<T>(&self, look: impl Fn(&[AtomicU64]) -> T) -> T {
        loop {
            let change = self.change.load(Ordering::Acquire);
            let seen = look(self.slot(change));
            if self.change.load(Ordering::Relaxed) == change {
                return seen;
            }
        }
    }

    fn slot(&self, change: u64) -> &[AtomicU64] {
        if change.is_multiple_of(2) { &self.even } else { &self.odd }
    }
}

fn load(share: &AtomicU64) -> f64 {
    f64::from_bits(share.load(Ordering::Acquire))
}

/// A share is a number from 0 to 1. NaN is no share.
pub(super) fn checked_share(share: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(Error::invalid_input(format!("{share} is no share; expected a number from 0 to 1")))
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    fn seen(shares: &Shares) -> Vec<f64> {
        shares.read(|shares| shares.collect())
    }

    fn set(shares: &Shares, to: [f64; 2]) {
        shares
            .change(|shares| {
                shares.copy_from_slice(&to);
                Ok(())
            })
            .unwrap();
    }

    /// Three changes, so that both slots are written again while they may be read.
    #[test]
    fn loom_a_reader_never_sees_a_half_made_change() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let shares = Arc::new(Shares::zero(2));
            let writer = {
                let shares = Arc::clone(&shares);
                thread::spawn(move || (1..=3).for_each(|change| set(&shares, [f64::from(change); 2])))
            };
            let (first, second) = (seen(&shares), seen(&shares));
            assert_eq!(first[0], first[1], "half of a change");
            assert_eq!(second[0], second[1], "half of a change");
            assert!(first[0] <= second[0], "time goes back");
            writer.join().unwrap();
            assert_eq!(seen(&shares), [3.0; 2]);
        });
    }

    #[test]
    fn loom_two_writers_lose_no_change() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let shares = Arc::new(Shares::zero(2));
            let grow = |shares: &Shares, place: usize| {
                shares
                    .change(|shares| {
                        shares[place] += 0.25;
                        Ok(())
                    })
                    .unwrap();
            };
            let writer = {
                let shares = Arc::clone(&shares);
                thread::spawn(move || grow(&shares, 0))
            };
            grow(&shares, 1);
            writer.join().unwrap();
            assert_eq!(seen(&shares), [0.25; 2]);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn set(shares: &Shares, to: &[f64]) {
        let change = shares.change(|shares| {
            shares.copy_from_slice(to);
            Ok(())
        });
        change.unwrap();
    }

    #[test]
    fn readers_see_whole_changes_in_order() {
        const CHANGES: u32 = 20_000;
        let shares = Shares::zero(3);
        std::thread::scope(|scope| {
            let reader = || {
                let mut last = 0.0;
                while last < f64::from(CHANGES) {
                    let seen: Vec<f64> = shares.read(|shares| shares.collect());
                    assert!(seen.iter().all(|share| *share == seen[0]), "{seen:?}");
                    assert!(seen[0] >= last, "{seen:?} after {last}");
                    last = seen[0];
                }
            };
            scope.spawn(reader);
            scope.spawn(reader);
            for change in 1..=CHANGES {
                set(&shares, &[change.into(); 3]);
            }
        });
    }

    #[test]
    fn a_change_that_is_refused_leaves_all_as_it_was() {
        let shares = Shares::zero(2);
        set(&shares, &[0.25, 0.5]);
        let refused = shares.change(|shares| {
            shares.fill(1.0);
            Err(Error::conflict("no"))
        });
        assert!(refused.is_err());
        assert_eq!(shares.read(|shares| shares.collect::<Vec<_>>()), [0.25, 0.5]);
        assert_eq!([0.1, 0.25, 0.9].map(|point| shares.place(point)), [Some(0), Some(1), None]);
    }
}
