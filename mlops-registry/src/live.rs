//! A view that follows the registry, for those who ask on every request.

use std::sync::{Arc, Mutex, PoisonError};

use mlops_core::{Error, Instant, ModelName, ModelVersion, Result, Selector};
use tokio::task::JoinHandle;

use crate::ObjectStoreRegistry;
use crate::state::State;

/// What a registry says, kept up to date in the background: asking costs no access to the store and no waiting.
///
/// It lags behind other processes by at most the poll interval of the registry it was made of, and not at all behind
/// that registry itself. While the store cannot be reached it goes on answering with what it knew last, and
/// [`error`](Self::error) says why.
///
/// ```
/// use mlops_core::{ModelName, NewVersion, Registry, Selector, Signature};
/// use mlops_registry::ObjectStoreRegistry;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), mlops_core::Error> {
/// let registry = ObjectStoreRegistry::in_memory();
/// let live = registry.live();
/// let fraud = ModelName::new("fraud")?;
/// registry.register(NewVersion::new(fraud.clone(), Signature::new([], [])?)).await?;
/// assert_eq!(live.resolve(&fraud, &Selector::Latest)?.id.version.to_string(), "1.0.0");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LiveView {
    registry: ObjectStoreRegistry,
    health: Arc<Mutex<Health>>,
    follower: JoinHandle<()>,
}

#[derive(Debug)]
struct Health {
    refreshed: Instant,
    error: Option<String>,
}

impl ObjectStoreRegistry {
    /// Follows this registry in the background until the view is dropped. Needs a tokio runtime.
    #[must_use]
    pub fn live(&self) -> LiveView {
        let health = Arc::new(Mutex::new(Health { refreshed: Instant::now(), error: None }));
        let follower = tokio::spawn(follow(self.clone(), Arc::clone(&health)));
        LiveView { registry: self.clone(), health, follower }
    }
}

impl LiveView {
    /// The version a selector means, as far as is known.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound), and [`Integrity`](Error::Integrity) when the version is not trusted.
    pub fn resolve(&self, model: &ModelName, selector: &Selector) -> Result<Arc<ModelVersion>> {
        let version = self.registry.journal().known(|state| state.resolve(model, selector))?;
        self.registry.check_trust(&version)?;
        Ok(version)
    }

    /// The number of the last transition it knows.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.registry.journal().known(State::tail)
    }

    /// How long ago it last knew everything.
    #[must_use]
    pub fn age(&self) -> std::time::Duration {
        self.health().refreshed.elapsed()
    }

    /// Why it cannot be brought up to date, if so.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.health().error.clone()
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn follow(registry: ObjectStoreRegistry, health: Arc<Mutex<Health>>) {
    loop {
        let refreshed: Result<(), Error> = registry.journal().refresh().await;
        {
            let mut health = health.lock().unwrap_or_else(PoisonError::into_inner);
            match refreshed {
                Ok(()) => *health = Health { refreshed: Instant::now(), error: None },
                Err(error) => {
                    tracing::warn!(%error, %registry, "the registry cannot be followed");
                    health.error = Some(error.to_string());
                }
            }
        }
        tokio::time::sleep(registry.poll_interval()).await;
    }
}
