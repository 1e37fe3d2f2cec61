//! Registries by URL, whatever they are kept in.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Registry, Result};
use mlops_registry::{MlflowRegistry, ObjectStoreRegistry, Transfer};

/// How soon what other processes do is seen by those who follow.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A registry, and the same once more if it is one of ours, which can do more.
#[allow(dead_code, reason = "not every example needs both")]
pub struct Opened {
    pub registry: Arc<dyn Registry>,
    pub store: Option<ObjectStoreRegistry>,
}

/// Opens `file:///…`, a folder, `s3://…`, `mlflow+http://…`; `progress` is told of large artifacts.
pub async fn open(url: &str, progress: impl Fn(Transfer) + Send + Sync + 'static) -> Result<Opened> {
    if url.starts_with("mlflow+") {
        return Ok(Opened { registry: Arc::new(MlflowRegistry::open(url)?), store: None });
    }
    let store =
        ObjectStoreRegistry::open_url(url).await?.with_progress(progress).with_poll_interval(POLL_INTERVAL);
    Ok(Opened { registry: Arc::new(store.clone()), store: Some(store) })
}
