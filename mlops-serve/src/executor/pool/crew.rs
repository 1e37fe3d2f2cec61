//! The threads of a pool, and the watchdog over them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::Duration;

use mlops_core::{Error, Instant, Result};

use super::super::shares::Permit;
use super::call::Answer;
use super::slot::Slot;
use super::{Desk, Shared, WorkerHealth, no_worker_left};

/// The threads of a pool.
///
/// A thread whose call runs for too long cannot be stopped, so it is abandoned: its callers get an error, and another
/// thread takes its place, as long as no more than a set number are stuck at a time. A thread that comes back takes a
/// place that is empty, or ends.
#[derive(Debug)]
pub(super) struct Crew {
    roster: Arc<Mutex<Roster>>,
    watchdog: Option<Watchdog>,
}

#[derive(Debug, Default)]
struct Roster {
    working: Vec<Worker>,
    stuck: Vec<Worker>,
    /// The numbers of the workers that are missing.
    vacant: Vec<usize>,
}

#[derive(Debug)]
struct Worker {
    number: usize,
    slot: Arc<WorkerSlot>,
    thread: JoinHandle<()>,
}

type WorkerSlot = Slot<Answer, Option<Permit>>;

#[derive(Debug)]
struct Watchdog {
    thread: JoinHandle<()>,
    stopped: Arc<AtomicBool>,
}

impl Crew {
    /// Starts the threads, one after the other, each when the one before is warm. Says how long they took to warm up.
    pub(super) fn start(shared: &Arc<Shared>, workers: usize) -> Result<(Self, Duration)> {
        let mut crew = Self { roster: Arc::default(), watchdog: None };
        match crew.start_all(shared, workers) {
            Ok(warm_up) => Ok((crew, warm_up)),
            Err(error) => {
                shared.queue.close();
                crew.join();
                Err(error)
            }
        }
    }

    pub(super) fn health(&self) -> WorkerHealth {
        let roster = lock(&self.roster);
        WorkerHealth { working: roster.working.len(), stuck: roster.stuck.len() }
    }

    /// Ends the watchdog, and waits for the threads that are not stuck.
    pub(super) fn join(&mut self) {
        if let Some(Watchdog { thread, stopped }) = self.watchdog.take() {
            stopped.store(true, Ordering::Release);
            thread.thread().unpark();
            // Neither it nor a worker panics: there is nothing to pass on.
            let _ = thread.join();
        }
        let working = std::mem::take(&mut lock(&self.roster).working);
        for worker in working {
            let _ = worker.thread.join();
        }
    }

    fn start_all(&mut self, shared: &Arc<Shared>, workers: usize) -> Result<Duration> {
        let mut warm_up = Duration::ZERO;
        for number in 0..workers {
            warm_up += self.start_worker(shared, number)?;
            shared.queue.add_worker();
        }
        if let Some(limit) = shared.options.watchdog {
            self.watchdog = Some(Watchdog::start(Arc::clone(shared), Arc::clone(&self.roster), limit)?);
        }
        Ok(warm_up)
    }

    fn start_worker(&self, shared: &Arc<Shared>, number: usize) -> Result<Duration> {
        let (ready, warm) = sync_channel(1);
        let warmed = shared.options.warm_up.clone();
        let warm_up = move |shared: &Shared| {
            let warmed = warmed.map_or(Ok(Duration::ZERO), |warm_up| shared.work.warm_up(number, &warm_up));
            let is_warm = warmed.is_ok();
            ready.send(warmed).is_ok() && is_warm
        };
        let worker = start(shared, &self.roster, number, warm_up)?;
        lock(&self.roster).working.push(worker);
        warm.recv().unwrap_or_else(|_| Err(Error::internal("a worker ended before it was ready")))
    }
}

impl Watchdog {
    fn start(shared: Arc<Shared>, roster: Arc<Mutex<Roster>>, limit: Duration) -> Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let thread = Builder::new()
            .name(format!("{}-watchdog", shared.options.thread_name()))
            .spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    park_timeout(inspect(&shared, &roster, shared.options.clock.instant(), limit));
                }
            })
            .map_err(|cause| Error::unavailable("the watchdog cannot be started").with_source(cause))?;
        Ok(Self { thread, stopped })
    }
}

/// Abandons every worker whose call has run for longer than `limit`, and says for how long none of the others, and no
/// call that begins meanwhile, can be too long.
fn inspect(shared: &Arc<Shared>, roster: &Arc<Mutex<Roster>>, now: Instant, limit: Duration) -> Duration {
    let mut guard = lock(roster);
    let mut left = limit;
    let mut overdue = Vec::new();
    let mut place = 0;
    while let Some(worker) = guard.working.get(place) {
        if let Some(answers) = worker.slot.abandon(now, limit) {
            overdue.push((guard.working.remove(place), answers));
            continue;
        }
        if let Some(began) = worker.slot.began() {
            left = left.min(limit.saturating_sub(now.saturating_duration_since(began)));
        }
        place += 1;
    }
    for (worker, answers) in overdue {
        abandon(shared, roster, &mut guard, worker);
        tracing::error!(
            model = shared.options.thread_name(),
            ?limit,
            requests = answers.len(),
            working = guard.working.len(),
            stuck = guard.stuck.len(),
            "a call of the model is stuck; its thread is abandoned"
        );
        for answer in answers {
            let error = format!("the call has not ended after {limit:?}; its thread was abandoned");
            // The caller may have gone.
            let _ = answer.send(Err(Error::engine(error)));
        }
    }
    left
}

fn abandon(
    shared: &Arc<Shared>,
    roster: &Arc<Mutex<Roster>>,
    guard: &mut MutexGuard<'_, Roster>,
    worker: Worker,
) {
    let number = worker.number;
    guard.stuck.push(worker);
    shared.meters.stuck(1.0);
    let replacement = (guard.stuck.len() <= shared.options.replacements)
        .then(|| start(shared, roster, number, |_| true).ok())
        .flatten();
    for call in shared.queue.lose_worker(replacement.is_some()) {
        call.reject(no_worker_left());
    }
    match replacement {
        Some(worker) => guard.working.push(worker),
        None => guard.vacant.push(number),
    }
}

/// Starts a thread that works if `begin` says so.
fn start(
    shared: &Arc<Shared>,
    roster: &Arc<Mutex<Roster>>,
    number: usize,
    begin: impl FnOnce(&Shared) -> bool + Send + 'static,
) -> Result<Worker> {
    let slot = Arc::new(Slot::new());
    let (shared, roster, own) = (Arc::clone(shared), Arc::clone(roster), Arc::clone(&slot));
    let thread = Builder::new()
        .name(format!("{}-{number}", shared.options.thread_name()))
        .spawn(move || {
            if begin(&shared) {
                work(&shared, &roster, number, own);
            }
        })
        .map_err(|cause| Error::unavailable("a worker thread cannot be started").with_source(cause))?;
    Ok(Worker { number, slot, thread })
}

fn work(shared: &Shared, roster: &Mutex<Roster>, mut number: usize, mut slot: Arc<WorkerSlot>) {
    while let Some((batch, permit)) = shared.next() {
        let (jobs, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(super::Call::into_parts).unzip();
        slot.take_on(answers, permit, shared.options.clock.instant());
        let desk = Desk { slot: &slot, clock: &*shared.options.clock, meters: &shared.meters };
        let computed = catch_unwind(AssertUnwindSafe(|| shared.work.compute(number, jobs, &desk)));
        if computed.is_err() {
            // Panics of models are caught where they are called. This one is ours; the callers get an error.
            tracing::error!(model = shared.options.thread_name(), "a batch failed outside the model");
        }
        if slot.finish() {
            shared.queue.done();
        } else if let Some((vacant, fresh)) = come_back(shared, roster, &slot) {
            (number, slot) = (vacant, fresh);
        } else {
            return;
        }
    }
}

/// An abandoned worker is free after all. It takes a place that is empty.
fn come_back(
    shared: &Shared,
    roster: &Mutex<Roster>,
    slot: &Arc<WorkerSlot>,
) -> Option<(usize, Arc<WorkerSlot>)> {
    let mut roster = lock(roster);
    let place = roster.stuck.iter().position(|worker| Arc::ptr_eq(&worker.slot, slot))?;
    let worker = roster.stuck.remove(place);
    shared.meters.stuck(-1.0);
    let number = roster.vacant.pop()?;
    let slot = Arc::new(Slot::new());
    roster.working.push(Worker { number, slot: Arc::clone(&slot), thread: worker.thread });
    shared.queue.add_worker();
    Some((number, slot))
}

fn lock(roster: &Mutex<Roster>) -> MutexGuard<'_, Roster> {
    roster.lock().unwrap_or_else(PoisonError::into_inner)
}
