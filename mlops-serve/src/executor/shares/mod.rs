//! The cores of the machine, shared between models.

mod fair;

use std::sync::{Arc, PoisonError};

use mlops_core::{Clock, Error, Instant, Result, SystemClock};

use crate::sync::{Condvar, Mutex, lock};
use fair::{Charge, Fair};

/// Cores that several models compute on, in proportion to their weights.
///
/// A worker of a model with a [`share`](Self::share) computes only while it has one of the cores. As long as there are
/// free ones nobody waits. When there are none, turns go by weighted fair queueing over the time that is measured: a
/// heavy model with many workers gets no more than its weight, however many requests wait for it. (Start-time fair
/// queueing: Goyal, Vin and Cheng, SIGCOMM 1996.) A call is never interrupted, so what a model can wait for is one call
/// of another; [`CpuShare::with_max`] keeps cores clear of a model whose calls are long.
///
/// ```
/// use mlops_core::{Engine, Result};
/// use mlops_serve::{CpuShares, EngineExt, Workers};
///
/// fn both(heavy: impl Engine, light: impl Engine) -> Result<()> {
///     let cores = CpuShares::new(4)?;
///     let heavy = heavy.on_workers(Workers::new(8).with_share(cores.share(1)?.with_max(3)?))?;
///     let light = light.on_workers(Workers::new(2).with_share(cores.share(2)?))?;
///     # let _ = (heavy, light);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct CpuShares {
    table: Arc<Table>,
}

/// The part of one model in [`CpuShares`]. Models that are given clones of one share take turns within it.
#[derive(Debug, Clone)]
pub struct CpuShare {
    member: Arc<Membership>,
    weight: u32,
}

#[derive(Debug)]
struct Table {
    fair: Mutex<Fair>,
    /// Woken when a core was granted.
    granted: Condvar,
    cores: usize,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Membership {
    table: Arc<Table>,
    id: u64,
}

/// One core, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    member: Arc<Membership>,
    charge: Charge,
    since: Instant,
}

impl CpuShares {
    /// So many calls are computed at a time, of all models together: usually the number of cores.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for none.
    pub fn new(cores: usize) -> Result<Self> {
        Self::with_clock(cores, SystemClock)
    }

    /// As [`new`](Self::new), with the time that calls take measured by `clock`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for none.
    pub fn with_clock(cores: usize, clock: impl Clock) -> Result<Self> {
        if cores == 0 {
            return Err(Error::invalid_input("models need at least one core to share"));
        }
        let (fair, granted) = (Mutex::new(Fair::new(cores)), Condvar::new());
        Ok(Self { table: Arc::new(Table { fair, granted, cores, clock: Arc::new(clock) }) })
    }

    /// A part of the cores for one model: twice the weight, twice the time.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for weight 0.
    pub fn share(&self, weight: u32) -> Result<CpuShare> {
        CpuShare::new(&self.table, weight, self.table.cores)
    }
}

impl CpuShare {
    /// The model computes on no more than so many of the cores at a time, even while others are free.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for none.
    pub fn with_max(self, cores: usize) -> Result<Self> {
        if cores == 0 {
            return Err(Error::invalid_input("a share of no core never computes"));
        }
        Self::new(&self.member.table, self.weight, cores)
    }

    /// Waits for a core.
    pub(crate) fn acquire(&self) -> Permit {
        let Membership { table, id } = &*self.member;
        let mut fair = lock(&table.fair);
        fair.want(*id);
        // If a core is free, nobody else waits for it.
        fair.grant();
        let charge = loop {
            match fair.take(*id) {
                Some(charge) => break charge,
                None => fair = table.granted.wait(fair).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(fair);
        Permit { member: Arc::clone(&self.member), charge, since: table.clock.instant() }
    }

    fn new(table: &Arc<Table>, weight: u32, most: usize) -> Result<Self> {
        if weight == 0 {
            return Err(Error::invalid_input("a share of weight 0 never computes"));
        }
        let id = lock(&table.fair).add(weight, most);
        Ok(Self { member: Arc::new(Membership { table: Arc::clone(table), id }), weight })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Membership { table, id } = &*self.member;
        let took = table.clock.instant().saturating_duration_since(self.since);
        let mut fair = lock(&table.fair);
        fair.give_back(*id, self.charge, took.as_secs_f64());
        let mut granted = false;
        while fair.grant().is_some() {
            granted = true;
        }
        drop(fair);
        if granted {
            table.granted.notify_all();
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        lock(&self.table.fair).remove(self.id);
    }
}

#[cfg(all(test, loom))]
mod tests {
    use loom::thread;
    use mlops_core::ManualClock;

    use super::*;

    /// Loom finds a deadlock where a core is given back and nobody is woken for it. Time stands still, because loom needs
    /// every run to go the same way.
    #[test]
    fn loom_every_core_that_is_given_back_finds_who_waits() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let cores = CpuShares::with_clock(1, ManualClock::default()).unwrap();
            let workers = [1, 2].map(|weight| {
                let share = cores.share(weight).unwrap();
                thread::spawn(move || {
                    for _ in 0..2 {
                        drop(share.acquire());
                    }
                })
            });
            drop(cores.share(1).unwrap().acquire());
            for worker in workers {
                worker.join().unwrap();
            }
        });
    }
}
