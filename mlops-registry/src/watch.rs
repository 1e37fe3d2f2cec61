//! Events as they happen, by whatever process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use mlops_core::{AuditEvent, EventStream, Result};
use tokio::sync::watch::Receiver;

use crate::journal::Journal;

/// So that an interval of zero does not spin.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// The events after those `journal` knows now. Those of this process come at once, those of others at the
/// latest after `poll_interval`.
pub(crate) fn events(journal: Arc<Journal>, poll_interval: Duration) -> EventStream {
    let poll_interval = poll_interval.max(SHORTEST_INTERVAL);
    let tail = journal.subscribe();
    let seen = *tail.borrow();
    let watch =
        Watch { journal, tail, seen, poll_interval, ready: VecDeque::new(), looked: false, failed: false };
    Box::pin(stream::unfold(watch, async |mut watch| Some((watch.next().await, watch))))
}

struct Watch {
    journal: Arc<Journal>,
    tail: Receiver<u64>,
    seen: u64,
    poll_interval: Duration,
    ready: VecDeque<AuditEvent>,
    /// Whether the store was asked before; the first time there is nothing to wait for.
    looked: bool,
    /// Whether the archive could not be read; it is not asked again at once.
    failed: bool,
}

impl Watch {
    async fn next(&mut self) -> Result<AuditEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let tail = *self.tail.borrow_and_update();
            if tail > self.seen {
                if std::mem::take(&mut self.failed) {
                    tokio::time::sleep(self.poll_interval).await;
                }
                let events = self.journal.events_after(self.seen).await;
                self.failed = events.is_err();
                self.ready = events?.into();
                // Not every transition is an event.
                self.seen = self.ready.back().map_or(tail, |event| tail.max(event.sequence));
                continue;
            }
            if self.looked && tokio::time::timeout(self.poll_interval, self.tail.changed()).await.is_ok() {
                continue;
            }
            self.looked = true;
            self.journal.refresh().await?;
        }
    }
}
