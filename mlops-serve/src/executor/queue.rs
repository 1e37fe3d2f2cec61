//! A bounded queue between callers that never wait and workers that do.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// First come, first served. It holds one item for each worker that is free, and `room` more.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    workers: usize,
    room: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    busy: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(workers: usize, room: usize) -> Self {
        let state = State { waiting: VecDeque::new(), busy: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), workers, room }
    }

    /// Adds an item, or says that there is no room. Items that nobody wants any more make room first.
    pub(super) fn push(&self, item: T, unwanted: impl Fn(&T) -> bool) -> Result<(), Full> {
        let mut state = self.lock();
        let limit = self.workers.saturating_add(self.room);
        if state.waiting.len() + state.busy >= limit {
            state.waiting.retain(|item| !unwanted(item));
        }
        if state.waiting.len() + state.busy >= limit {
            return Err(Full);
        }
        state.waiting.push_back(item);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for an item. The worker is busy until it says [`done`](Self::done). `None` when the queue is
    /// closed and empty.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.waiting.pop_front() {
                state.busy += 1;
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A worker is free again.
    pub(super) fn done(&self) {
        self.lock().busy -= 1;
    }

    /// Lets the workers go once the queue is empty.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There is no room in the queue.
#[derive(Debug, PartialEq)]
pub(super) struct Full;

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: fn(&i32) -> bool = |_| false;

    #[test]
    fn it_holds_what_free_workers_take_and_its_room_more() {
        let queue = Queue::new(1, 1);
        assert_eq!(queue.push(1, WANTED), Ok(()));
        assert_eq!(queue.push(2, WANTED), Ok(()));
        assert_eq!(queue.push(3, WANTED), Err(Full));
        assert_eq!(queue.take(), Some(1));
        assert_eq!(queue.push(3, WANTED), Err(Full), "the worker is busy");
        queue.done();
        assert_eq!(queue.push(3, WANTED), Ok(()));
        assert_eq!((queue.take(), queue.take()), (Some(2), Some(3)));
    }

    #[test]
    fn what_is_unwanted_makes_room() {
        let queue = Queue::new(1, 2);
        for item in 1..=3 {
            assert_eq!(queue.push(item, WANTED), Ok(()));
        }
        assert_eq!(queue.push(4, |item| *item == 2), Ok(()));
        assert_eq!((queue.take(), queue.take(), queue.take()), (Some(1), Some(3), Some(4)));
    }

    #[test]
    fn a_closed_queue_is_emptied_first() {
        let queue = Queue::new(1, 1);
        assert_eq!(queue.push(1, WANTED), Ok(()));
        queue.close();
        assert_eq!((queue.take(), queue.take()), (Some(1), None));
    }
}
