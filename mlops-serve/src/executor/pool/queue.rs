//! A bounded queue between callers that never wait and workers that do.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use mlops_core::{Clock, Instant};

use super::adaptive::Adaptive;
use super::gather::{Limits, Waiting};
use crate::sync::{Condvar, Mutex, MutexGuard, lock};

/// The more urgent first, and among equals first come, first served. It holds one item for each worker that is free,
/// and its room more.
///
/// Workers pull: one that is free takes at once what there is, so nothing waits for a timer while a worker is idle.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    limits: Limits,
    clock: Arc<dyn Clock>,
}

/// How many items may wait while every worker is busy.
#[derive(Debug)]
pub(crate) struct Room {
    most: usize,
    adaptive: Option<Adaptive>,
}

/// Why an item was not taken in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Refusal {
    /// Every worker is busy, and that many items wait already.
    Full { workers: usize, room: usize },
    /// No item is taken in any more.
    Closed,
    /// There is no worker.
    NoWorkers,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    room: Room,
    /// No item expires before.
    earliest_deadline: Option<Instant>,
    workers: usize,
    busy: usize,
    /// Workers that sleep, or have been woken and do not know yet.
    sleeping: usize,
    /// Those of them that have been woken. Waking costs a system call, so nobody is woken twice.
    woken: usize,
    closed: bool,
    settled: Vec<oneshot::Sender<()>>,
}

impl Room {
    pub(crate) fn fixed(most: usize) -> Self {
        Self { most, adaptive: None }
    }

    /// As many as can be served within `target`: at least `least`, at most `most`.
    pub(crate) fn adaptive(target: Duration, least: usize, most: usize) -> Self {
        Self { most, adaptive: Some(Adaptive::new(target, least, most)) }
    }

    fn items(&self) -> usize {
        self.adaptive.as_ref().map_or(self.most, Adaptive::room)
    }
}

impl<T: Waiting> Queue<T> {
    /// A queue without workers: they are [added](Self::add_worker).
    pub(crate) fn new(room: Room, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            room,
            earliest_deadline: None,
            workers: 0,
            busy: 0,
            sleeping: 0,
            woken: 0,
            closed: false,
            settled: Vec::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), limits, clock }
    }

    /// Adds an item, or says why not. Items that are of no use any more make room first.
    pub(crate) fn push(&self, item: T) -> Result<(), Refusal> {
        let mut gone = Vec::new();
        let mut state = lock(&self.state);
        let pushed = state.push(item, &*self.clock, &mut gone);
        let wake = pushed.is_ok() && state.wakes_one();
        drop(state);
        if wake {
            self.changed.notify_one();
        }
        self.expire(gone);
        pushed
    }

    /// Waits for a batch. The worker is busy until it says [`done`](Self::done). `None` when the queue is closed and
    /// empty.
    pub(crate) fn take(&self) -> Option<Vec<T>> {
        loop {
            let state = self.until_due()?;
            if let Some(batch) = self.gather(state) {
                return Some(batch);
            }
        }
    }

    /// Waits until there is a batch, and leaves it there. `false` when the queue is closed and empty.
    pub(crate) fn wait(&self) -> bool {
        self.until_due().is_some()
    }

    /// Takes what there is, without waiting.
    pub(crate) fn try_take(&self) -> Option<Vec<T>> {
        self.gather(lock(&self.state))
    }

    /// A worker is free again.
    pub(crate) fn done(&self) {
        let mut state = lock(&self.state);
        state.busy -= 1;
        state.settle();
    }

    /// There is one more worker.
    pub(crate) fn add_worker(&self) {
        lock(&self.state).workers += 1;
    }

    /// A busy worker is lost: it will never say [`done`](Self::done). The items that nobody is left for come back.
    pub(crate) fn lose_worker(&self, replaced: bool) -> Vec<T> {
        let mut state = lock(&self.state);
        state.busy -= 1;
        state.workers -= usize::from(!replaced);
        let left =
            if state.workers == 0 { Vec::from(std::mem::take(&mut state.waiting)) } else { Vec::new() };
        state.settle();
        left
    }

    /// Takes in no more; the workers go once the queue is empty.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.settle();
        drop(state);
        self.changed.notify_all();
    }

    /// Hears when the queue is closed and empty, and no worker is busy.
    pub(crate) fn settled(&self) -> oneshot::Receiver<()> {
        let (settled, hears) = oneshot::channel();
        let mut state = lock(&self.state);
        state.settled.push(settled);
        state.settle();
        hears
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    /// Waits until a batch should be taken.
    fn until_due(&self) -> Option<MutexGuard<'_, State<T>>> {
        let mut state = lock(&self.state);
        loop {
            if state.waiting.is_empty() {
                if state.closed {
                    return None;
                }
                state = self.sleep(state, None);
                continue;
            }
            match self.limits.hold(&state.waiting, self.clock.instant()) {
                Some(held) if !state.closed => state = self.sleep(state, Some(held)),
                _ => return Some(state),
            }
        }
    }

    fn gather(&self, mut state: MutexGuard<'_, State<T>>) -> Option<Vec<T>> {
        let now = self.clock.instant();
        let mut gone = Vec::new();
        state.remove_expired(now, &mut gone);
        let batch = self.limits.gather(&mut state.waiting, &mut gone);
        if let Some(first) = batch.first() {
            state.busy += 1;
            if let Some(adaptive) = &mut state.room.adaptive {
                adaptive.taken(first.queued(), now);
            }
        }
        state.settle();
        // What is left may be for another worker that sleeps.
        let wake = !state.waiting.is_empty() && state.wakes_one();
        drop(state);
        if wake {
            self.changed.notify_one();
        }
        self.expire(gone);
        (!batch.is_empty()).then_some(batch)
    }

    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        at_most: Option<Duration>,
    ) -> MutexGuard<'a, State<T>> {
        state.sleeping += 1;
        let mut state = match at_most {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(time) => self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.sleeping -= 1;
        state.woken = state.woken.saturating_sub(1);
        state
    }

    /// Outside the lock: callers are woken, and memory is freed.
    fn expire(&self, gone: Vec<T>) {
        if !gone.is_empty() {
            let now = self.clock.instant();
            gone.into_iter().for_each(|item| item.expire(now));
        }
    }
}

impl<T: Waiting> State<T> {
    fn push(&mut self, item: T, clock: &dyn Clock, gone: &mut Vec<T>) -> Result<(), Refusal> {
        if self.closed {
            return Err(Refusal::Closed);
        }
        if self.workers == 0 {
            return Err(Refusal::NoWorkers);
        }
        if self.is_full() {
            self.remove_expired(clock.instant(), gone);
            self.remove(Waiting::is_abandoned, gone);
        }
        if self.is_full() {
            if let Some(adaptive) = &mut self.room.adaptive {
                adaptive.refused();
            }
            return Err(Refusal::Full { workers: self.workers, room: self.room.items() });
        }
        if let Some(deadline) = item.deadline() {
            self.earliest_deadline =
                Some(self.earliest_deadline.map_or(deadline, |earliest| earliest.min(deadline)));
        }
        let urgency = item.priority();
        let place = self.waiting.iter().rposition(|other| other.priority() >= urgency);
        self.waiting.insert(place.map_or(0, |place| place + 1), item);
        Ok(())
    }

    fn is_full(&self) -> bool {
        let free = self.workers.saturating_sub(self.busy);
        self.waiting.len() >= self.room.items().saturating_add(free)
    }

    fn remove_expired(&mut self, now: Instant, gone: &mut Vec<T>) {
        if self.earliest_deadline.is_none_or(|earliest| now < earliest) {
            return;
        }
        self.remove(|item| item.deadline().is_some_and(|deadline| deadline <= now), gone);
        self.earliest_deadline = self.waiting.iter().filter_map(Waiting::deadline).min();
    }

    fn remove(&mut self, unwanted: impl Fn(&T) -> bool, gone: &mut Vec<T>) {
        for item in std::mem::take(&mut self.waiting) {
            if unwanted(&item) { gone.push(item) } else { self.waiting.push_back(item) }
        }
    }

    /// Whether somebody must be woken. There is always somebody awake, or nobody left to wake, for what waits.
    fn wakes_one(&mut self) -> bool {
        let wakes = self.sleeping > self.woken;
        self.woken += usize::from(wakes);
        wakes
    }

    fn settle(&mut self) {
        if self.closed && self.waiting.is_empty() && self.busy == 0 {
            for settled in self.settled.drain(..) {
                // Who wanted to know may have gone.
                let _ = settled.send(());
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
