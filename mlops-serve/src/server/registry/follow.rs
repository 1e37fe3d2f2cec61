//! One task that hears of changes, and one for each model that acts on them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use mlops_core::{ModelName, Registry};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::super::models::Models;
use super::RegistrySource;

/// After a failure. It doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A registry is followed for as long as this lives.
#[derive(Debug)]
#[must_use = "the registry is followed only for as long as this lives"]
pub struct Following {
    _tasks: JoinSet<()>,
}

impl Following {
    pub(super) async fn start(source: RegistrySource, models: Models) -> Self {
        let mut tasks = JoinSet::new();
        // Before the first look, so that no change falls between.
        let events = source.registry.watch();
        let mut first_tries = Vec::new();
        let mut changed = BTreeMap::new();
        for name in source.selected.keys() {
            let (tried, first_try) = tokio::sync::oneshot::channel();
            let notify = Arc::new(Notify::new());
            tasks.spawn(keep(source.clone(), name.clone(), models.clone(), Arc::clone(&notify), tried));
            changed.insert(name.clone(), notify);
            first_tries.push(first_try);
        }
        let registry = Arc::clone(&source.registry);
        tasks.spawn(listen(registry, events, changed));
        for first_try in first_tries {
            // A task that panicked has tried, too.
            let _ = first_try.await;
        }
        Self { _tasks: tasks }
    }
}

/// Keeps one model what the registry says.
async fn keep(
    source: RegistrySource,
    name: ModelName,
    models: Models,
    changed: Arc<Notify>,
    tried: tokio::sync::oneshot::Sender<()>,
) {
    let mut tried = Some(tried);
    let mut pause = FIRST_PAUSE;
    loop {
        let result = source.refresh(&name, &models).await;
        if let Some(tried) = tried.take() {
            // Nobody may wait for it.
            let _ = tried.send(());
        }
        match result {
            Ok(()) => {
                pause = FIRST_PAUSE;
                changed.notified().await;
            }
            Err(error) => {
                models.note_failure(&name, &error);
                tracing::error!(
                    model = %name, error = &error as &dyn std::error::Error, retry_in = ?pause,
                    "the model cannot be loaded"
                );
                drop(error);
                // A change is worth another try at once.
                let _ = tokio::time::timeout(pause, changed.notified()).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Passes on what happens in the registry.
async fn listen(
    registry: Arc<dyn Registry>,
    mut events: mlops_core::EventStream,
    changed: BTreeMap<ModelName, Arc<Notify>>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        match events.next().await {
            Some(Ok(event)) => {
                pause = FIRST_PAUSE;
                if let Some(changed) = changed.get(&event.model) {
                    changed.notify_one();
                }
            }
            failed => {
                if let Some(Err(error)) = &failed {
                    tracing::warn!(error = error as &dyn std::error::Error, retry_in = ?pause, "the registry is away");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                if failed.is_none() {
                    events = registry.watch();
                }
                // What happened meanwhile was not heard.
                changed.values().for_each(|changed| changed.notify_one());
            }
        }
    }
}
