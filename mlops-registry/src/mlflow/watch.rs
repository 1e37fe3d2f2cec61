//! Events as they happen, by whatever process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use futures_util::stream;
use mlops_core::{AuditEvent, EventStream, ModelName, Result};
use tokio::sync::watch::Receiver;

use super::model::{Known, Origin};
use super::{MlflowRegistry, reading};

/// So that an interval of zero does not spin.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// The events from now on.
pub(crate) fn events(registry: MlflowRegistry) -> EventStream {
    // What is written from now on has a higher sequence number, also if it comes in the same microsecond.
    let (start, _) = registry.next((0, registry.clock.now()));
    let changes = registry.shared.changes.subscribe();
    let watch = Watch {
        registry,
        changes,
        start,
        asked: false,
        answered: false,
        seen: HashMap::new(),
        guessed: HashMap::new(),
        next: VecDeque::new(),
    };
    Box::pin(stream::unfold(watch, async |mut watch| Some((watch.next().await, watch))))
}

struct Watch {
    registry: MlflowRegistry,
    changes: Receiver<u64>,
    /// The sequence number after which events count in a model that is seen for the first time.
    start: u64,
    /// Whether the server was asked before; the first time there is nothing to wait for.
    asked: bool,
    /// Whether it has answered: a model that comes up later is new.
    answered: bool,
    /// The last sequence number of each model. They need not grow from one model to the other: clocks differ.
    seen: HashMap<ModelName, u64>,
    /// Guesses of the last time: what is there a second time counts.
    guessed: HashMap<ModelName, Vec<Known>>,
    next: VecDeque<AuditEvent>,
}

impl Watch {
    async fn next(&mut self) -> Result<AuditEvent> {
        loop {
            if let Some(event) = self.next.pop_front() {
                return Ok(event);
            }
            if std::mem::replace(&mut self.asked, true) {
                let interval = self.registry.poll_interval.max(SHORTEST_INTERVAL);
                let _ = tokio::time::timeout(interval, self.changes.changed()).await;
            }
            self.look().await?;
        }
    }

    async fn look(&mut self) -> Result<()> {
        self.changes.mark_unchanged();
        let mut found = BTreeMap::new();
        let mut last = Vec::new();
        for model in reading::all(&self.registry).await? {
            let start = if self.answered { 0 } else { self.start };
            let seen = self.seen.get(&model.name).copied();
            let before = self.guessed.get(&model.name).cloned().unwrap_or_default();
            let (sure, guessed): (Vec<&Known>, Vec<&Known>) = model
                .events
                .iter()
                .partition(|known| known.origin != Origin::Guessed || before.contains(known));
            for known in &sure {
                if known.event.sequence > seen.unwrap_or(start) {
                    let event = reading::with_actor(&self.registry, &model, known).await?;
                    found.insert((event.sequence, event.model.clone()), event);
                }
            }
            let highest = sure.last().map_or(0, |known| known.event.sequence).max(seen.unwrap_or(0));
            last.push((model.name.clone(), highest, guessed.into_iter().cloned().collect()));
        }
        self.answered = true;
        // Only now, so that nothing is lost when an answer fails.
        for (name, highest, guessed) in last {
            self.seen.insert(name.clone(), highest);
            self.guessed.insert(name, guessed);
        }
        self.next.extend(found.into_values());
        Ok(())
    }
}
