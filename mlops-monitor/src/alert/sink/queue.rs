//! A queue that never makes its producer wait.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// A bounded queue with one consumer. What finds it full pushes the oldest out.
#[derive(Debug)]
pub(super) struct Queue<T> {
    capacity: usize,
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    consumer: Option<Waker>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let inner = Inner { items: VecDeque::new(), consumer: None, closed: false };
        Self { capacity: capacity.max(1), inner: Mutex::new(inner) }
    }

    /// Adds an item; gives back the one that had to go for it.
    pub(super) fn push(&self, item: T) -> Option<T> {
        let mut inner = self.inner();
        let pushed_out = if inner.items.len() >= self.capacity { inner.items.pop_front() } else { None };
        inner.items.push_back(item);
        wake(inner);
        pushed_out
    }

    /// No item comes any more.
    pub(super) fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        wake(inner);
    }

    /// The oldest item, as soon as there is one; `None` when the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<T> {
        poll_fn(|context| {
            let mut inner = self.inner();
            match inner.items.pop_front() {
                Some(item) => Poll::Ready(Some(item)),
                None if inner.closed => Poll::Ready(None),
                None => {
                    inner.consumer = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake<T>(mut inner: MutexGuard<'_, Inner<T>>) {
    let consumer = inner.consumer.take();
    drop(inner);
    if let Some(consumer) = consumer {
        consumer.wake();
    }
}
