//! When windows end, and what they held.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use jiff::Timestamp;
use mlops_core::Clock;

use super::groups::Groups;
use crate::options::{Span, Window};
use crate::sync::lock;
use crate::{Counts, Profile};

/// Watches for the ends of windows, and keeps what the last ones held.
///
/// A window is made of panes: a sliding one of several, any other of one.
#[derive(Debug)]
pub(super) struct Windows {
    clock: Arc<dyn Clock>,
    /// How long a pane is; `None` when it only ends on request.
    pane: Option<Span>,
    most_panes: usize,
    most_history: usize,
    origin: Instant,
    /// When the running pane ends, in nanoseconds since `origin`.
    deadline: AtomicU64,
    /// The rows of the running pane. Those of a call are added after they were counted, so for a moment it may be
    /// short of them, or negative.
    rows: AtomicI64,
    /// Held while a pane ends; those who count only ever try to take it.
    ended: Mutex<Ended>,
}

#[derive(Debug)]
struct Ended {
    /// The number of the running pane.
    number: u64,
    began: Timestamp,
    /// The last panes, the oldest first.
    panes: VecDeque<Pane>,
    /// The last windows, the oldest first.
    history: VecDeque<WindowCounts>,
}

/// The counts of each group.
#[derive(Debug, Clone)]
struct Pane {
    began: Timestamp,
    groups: Vec<(usize, Arc<Counts>)>,
}

/// The counts of one window that is complete.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WindowCounts {
    /// The windows of one monitor have successive numbers. Windows of time are numbered from the Unix epoch on, so
    /// that all replicas number them alike.
    pub number: u64,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// All that was counted, of every variant and segment.
    pub counts: Arc<Counts>,
}

impl Windows {
    pub(super) fn new(window: Window, most_history: usize, clock: Arc<dyn Clock>) -> Self {
        let pane = window.pane();
        let (origin, now) = (clock.instant(), clock.now());
        let (mut number, mut began, mut deadline) = (0, now, u64::MAX);
        if let Some(Span::Time(length)) = pane {
            let length = length.as_nanos() as i128;
            let since_epoch = now.as_nanosecond();
            let into = since_epoch.rem_euclid(length);
            number = u64::try_from(since_epoch.div_euclid(length)).unwrap_or_default();
            began = Timestamp::from_nanosecond(since_epoch - into).unwrap_or(now);
            deadline = (length - into) as u64;
        }
        Self {
            clock,
            pane,
            most_panes: window.panes(),
            most_history,
            origin,
            deadline: AtomicU64::new(deadline),
            rows: AtomicI64::new(0),
            ended: Mutex::new(Ended { number, began, panes: VecDeque::new(), history: VecDeque::new() }),
        }
    }

    /// Ends what is over by the clock. Called before rows are counted.
    pub(super) fn before_rows(&self, groups: &Groups) {
        if let Some(Span::Time(_)) = self.pane
            && self.now() >= self.deadline.load(Ordering::Relaxed)
            && let Ok(mut ended) = self.ended.try_lock()
        {
            self.catch_up(&mut ended, groups);
        }
    }

    /// Ends what is over by the number of rows. Called after rows were counted.
    pub(super) fn after_rows(&self, rows: u64, groups: &Groups) {
        if let Some(Span::Rows(most)) = self.pane
            && let (rows, most) = (rows as i64, i64::try_from(most).unwrap_or(i64::MAX))
            && self.rows.fetch_add(rows, Ordering::Relaxed) + rows >= most
            && let Ok(mut ended) = self.ended.try_lock()
            && self.rows.load(Ordering::Relaxed) >= most
        {
            let counts = self.rotate(groups);
            self.end(&mut ended, counts, self.clock.now(), groups.profile());
        }
    }

    /// The counts of the groups that are wanted: of the last window that is complete, or before there is one, of
    /// what there is.
    pub(super) fn counts(&self, groups: &Groups, wanted: impl Fn(usize) -> bool) -> Counts {
        let ended = self.up_to_date(groups);
        let mut found: Vec<Arc<Counts>> = Vec::new();
        let mut add = |pane: &[(usize, Arc<Counts>)]| {
            found.extend(
                pane.iter().filter(|(group, _)| wanted(*group)).map(|(_, counts)| Arc::clone(counts)),
            );
        };
        ended.panes.iter().for_each(|pane| add(&pane.groups));
        if self.most_panes == 0 || ended.panes.len() < self.most_panes {
            add(&groups.snapshot());
        }
        drop(ended);
        Counts::sum(found.iter().map(AsRef::as_ref)).unwrap_or_else(|| Counts::zero(groups.profile()))
    }

    /// The last windows that are complete, the oldest first.
    pub(super) fn history(&self, groups: &Groups) -> Vec<WindowCounts> {
        self.up_to_date(groups).history.iter().cloned().collect()
    }

    /// Begins a new window and forgets the panes of the last one.
    pub(super) fn reset(&self, groups: &Groups) {
        let mut ended = self.up_to_date(groups);
        self.rotate(groups);
        ended.panes.clear();
        ended.began = self.clock.now();
    }

    fn rotate(&self, groups: &Groups) -> Vec<(usize, Arc<Counts>)> {
        let counts = groups.rotate();
        let rows = counts.iter().map(|(_, counts)| counts.rows as i64).sum();
        self.rows.fetch_sub(rows, Ordering::Relaxed);
        counts
    }

    fn up_to_date(&self, groups: &Groups) -> MutexGuard<'_, Ended> {
        let mut ended = lock(&self.ended);
        self.catch_up(&mut ended, groups);
        ended
    }

    /// Ends all panes whose time is over. What was counted since the last look belongs to the first of them; the
    /// others are empty.
    fn catch_up(&self, ended: &mut Ended, groups: &Groups) {
        let Some(Span::Time(length)) = self.pane else { return };
        let (now, length) = (self.now(), length.as_nanos() as u64);
        let deadline = self.deadline.load(Ordering::Relaxed);
        if now < deadline {
            return;
        }
        let over = (now - deadline) / length + 1;
        let next = deadline.saturating_add(over.saturating_mul(length));
        self.deadline.store(next, Ordering::Relaxed);

        let end = boundary(ended.number + 1, length);
        self.end(ended, self.rotate(groups), end, groups.profile());
        // Of a long silence only what is remembered matters.
        let remembered = (self.most_panes.max(self.most_history) as u64).min(over - 1);
        ended.number += over - 1 - remembered;
        ended.began = boundary(ended.number, length);
        for _ in 0..remembered {
            let end = boundary(ended.number + 1, length);
            self.end(ended, Vec::new(), end, groups.profile());
        }
    }

    fn end(&self, ended: &mut Ended, groups: Vec<(usize, Arc<Counts>)>, at: Timestamp, profile: &Profile) {
        ended.panes.push_back(Pane { began: ended.began, groups });
        if ended.panes.len() > self.most_panes {
            ended.panes.pop_front();
        }
        if ended.panes.len() == self.most_panes && self.most_history > 0 {
            let all = ended.panes.iter().flat_map(|pane| &pane.groups).map(|(_, counts)| counts.as_ref());
            let counts = Arc::new(Counts::sum(all).unwrap_or_else(|| Counts::zero(profile)));
            let began = ended.panes.front().map_or(ended.began, |pane| pane.began);
            ended.history.push_back(WindowCounts { number: ended.number, began, ended: at, counts });
            if ended.history.len() > self.most_history {
                ended.history.pop_front();
            }
        }
        ended.number += 1;
        ended.began = at;
    }

    /// Nanoseconds since the origin.
    fn now(&self) -> u64 {
        let since = self.clock.instant().saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// When the window of that number begins, of so many nanoseconds each, counted from the Unix epoch.
fn boundary(number: u64, length: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(number) * i128::from(length)).unwrap_or(Timestamp::MAX)
}
