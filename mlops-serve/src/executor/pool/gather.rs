//! Which of the requests that wait make the next batch.

use std::collections::VecDeque;
use std::time::Duration;

use mlops_core::Instant;

/// What can wait in a queue.
pub(crate) trait Waiting {
    /// The greater goes first.
    fn priority(&self) -> i32;
    /// Since when it waits.
    fn queued(&self) -> Instant;
    /// When its answer is of no use any more.
    fn deadline(&self) -> Option<Instant>;
    /// Whether nobody waits for its answer.
    fn is_abandoned(&self) -> bool;
    /// How many rows it brings into a batch.
    fn rows(&self) -> usize;
    /// How many bytes it brings into a batch.
    fn bytes(&self) -> usize;
    /// Whether the two can be in one batch.
    fn joins(&self, other: &Self) -> bool;
    /// Answers that its deadline has passed.
    fn expire(self, now: Instant);
}

/// How large a batch may get, and how long it may be waited for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Limits {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) delay: Duration,
    /// Row counts that are preferred, in ascending order.
    pub(crate) preferred: Vec<usize>,
}

impl Limits {
    /// Each request is a batch of its own.
    pub(crate) fn one_by_one() -> Self {
        Self { rows: 1, bytes: usize::MAX, delay: Duration::ZERO, preferred: Vec::new() }
    }

    /// How much longer a free worker should wait for more rows, if it should.
    ///
    /// Only a batch of several requests that is not full is waited for: a lone request never waits.
    pub(super) fn hold<T: Waiting>(&self, waiting: &VecDeque<T>, now: Instant) -> Option<Duration> {
        if self.delay.is_zero() {
            return None;
        }
        let first = waiting.front()?;
        let held = now.saturating_duration_since(first.queued());
        let left = self.delay.checked_sub(held).filter(|left| !left.is_zero())?;
        let (mut requests, mut rows, mut bytes) = (0, 0_usize, 0_usize);
        for item in waiting.iter().filter(|item| !item.is_abandoned() && item.joins(first)) {
            requests += 1;
            rows = rows.saturating_add(item.rows());
            bytes = bytes.saturating_add(item.bytes());
        }
        (requests > 1 && rows < self.rows && bytes < self.bytes).then_some(left)
    }

    /// Takes the next batch out: the first that waits, and what can join it, in order, as far as the limits allow.
    /// What nobody wants any more leaves into `gone`.
    pub(super) fn gather<T: Waiting>(&self, waiting: &mut VecDeque<T>, gone: &mut Vec<T>) -> Vec<T> {
        let first = loop {
            match waiting.pop_front() {
                Some(item) if item.is_abandoned() => gone.push(item),
                Some(item) => break item,
                None => return Vec::new(),
            }
        };
        let (mut rows, mut bytes) = (first.rows(), first.bytes());
        let most_rows = self.most_rows(&first, waiting);
        let mut batch = vec![first];
        let mut skipped = Vec::new();
        while rows < most_rows
            && bytes < self.bytes
            && let Some(item) = waiting.pop_front()
        {
            if item.is_abandoned() {
                gone.push(item);
                continue;
            }
            let (with_rows, with_bytes) =
                (rows.saturating_add(item.rows()), bytes.saturating_add(item.bytes()));
            if with_rows <= most_rows && with_bytes <= self.bytes && item.joins(&batch[0]) {
                (rows, bytes) = (with_rows, with_bytes);
                batch.push(item);
            } else {
                skipped.push(item);
            }
        }
        for item in skipped.into_iter().rev() {
            waiting.push_front(item);
        }
        batch
    }

    /// The largest preferred size that can be filled, or the limit where there is none.
    fn most_rows<T: Waiting>(&self, first: &T, waiting: &VecDeque<T>) -> usize {
        if self.preferred.is_empty() {
            return self.rows;
        }
        let joining = waiting.iter().filter(|item| !item.is_abandoned() && item.joins(first));
        let rows = joining.fold(first.rows(), |rows, item| rows.saturating_add(item.rows()));
        let filled = self.preferred.iter().rev().find(|size| **size <= rows);
        filled.copied().unwrap_or(self.rows)
    }
}
