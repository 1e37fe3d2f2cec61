//! What one worker is doing, where the watchdog can see it.

use std::time::Duration;

use mlops_core::Instant;

use crate::sync::{Mutex, lock};

/// The batch of one worker: who waits for it, since when it is computed, and what it holds meanwhile.
///
/// Each answer is taken out once, by the worker or by the watchdog: who comes first answers.
#[derive(Debug)]
pub(super) struct Slot<A, P> {
    state: Mutex<State<A, P>>,
}

#[derive(Debug)]
enum State<A, P> {
    Idle,
    Busy(InFlight<A, P>),
    Abandoned,
}

#[derive(Debug)]
struct InFlight<A, P> {
    answers: Vec<Option<A>>,
    /// The permit to use a core.
    permit: P,
    began: Instant,
}

impl<A, P> Slot<A, P> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State::Idle) }
    }

    /// The worker takes on a batch.
    pub(super) fn take_on(&self, answers: impl IntoIterator<Item = A>, permit: P, now: Instant) {
        let answers = answers.into_iter().map(Some).collect();
        *lock(&self.state) = State::Busy(InFlight { answers, permit, began: now });
    }

    /// The worker calls the model, once more or for the first time; `false` when it was abandoned meanwhile.
    pub(super) fn begin(&self, now: Instant) -> bool {
        match &mut *lock(&self.state) {
            State::Busy(batch) => {
                batch.began = now;
                true
            }
            State::Idle | State::Abandoned => false,
        }
    }

    /// Takes an answer out, if it is still to be given.
    pub(super) fn answer(&self, index: usize) -> Option<A> {
        match &mut *lock(&self.state) {
            State::Busy(batch) => batch.answers.get_mut(index)?.take(),
            State::Idle | State::Abandoned => None,
        }
    }

    /// The worker is free again; `false` when it was abandoned meanwhile.
    pub(super) fn finish(&self) -> bool {
        let mut state = lock(&self.state);
        if matches!(*state, State::Abandoned) {
            return false;
        }
        let done = std::mem::replace(&mut *state, State::Idle);
        drop(state);
        drop(done); // outside the lock: giving a permit back wakes somebody
        true
    }

    /// Abandons the worker if its call has taken longer than `limit`, and returns the answers it still owes.
    pub(super) fn abandon(&self, now: Instant, limit: Duration) -> Option<Vec<A>> {
        let mut state = lock(&self.state);
        let State::Busy(batch) = &*state else { return None };
        if now.saturating_duration_since(batch.began) < limit {
            return None;
        }
        let State::Busy(InFlight { answers, permit, .. }) = std::mem::replace(&mut *state, State::Abandoned)
        else {
            return None;
        };
        drop(state);
        drop(permit);
        Some(answers.into_iter().flatten().collect())
    }

    /// Since when the model is being called.
    pub(super) fn began(&self) -> Option<Instant> {
        match &*lock(&self.state) {
            State::Busy(batch) => Some(batch.began),
            State::Idle | State::Abandoned => None,
        }
    }
}

#[cfg(all(test, loom))]
mod tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    #[test]
    fn loom_each_answer_is_given_once() {
        loom::model(|| {
            let now = Instant::now();
            let slot = Arc::new(Slot::new());
            slot.take_on([1, 2], (), now);
            let watched = Arc::clone(&slot);
            let watchdog = thread::spawn(move || watched.abandon(now, Duration::ZERO).unwrap_or_default());
            let mut given: Vec<i32> = [slot.answer(0), slot.answer(1)].into_iter().flatten().collect();
            let stays = slot.finish();
            let abandoned = watchdog.join().unwrap();
            assert!(!stays || given.len() == 2, "a worker that stays has given all");
            given.extend(abandoned);
            given.sort_unstable();
            assert_eq!(given, [1, 2]);
        });
    }
}
