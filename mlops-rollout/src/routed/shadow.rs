//! Copies of requests for variants that answer nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use mlops_core::metrics::SHADOWS_DROPPED_TOTAL;
use mlops_core::{Call, Model, Observer, Request, Response, Role, Variant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::call::answer;
use super::compare::{Comparer, Exact, ShadowComparison};

/// Runs shadows, a bounded number at a time, and keeps count of their agreement.
pub(super) struct Shadows {
    permits: Arc<Semaphore>,
    comparer: Arc<dyn Comparer>,
    comparisons: Arc<Mutex<BTreeMap<Variant, ShadowComparison>>>,
}

const MAX_SHADOWS: usize = 64;

impl Shadows {
    pub(super) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_SHADOWS)),
            comparer: Arc::new(Exact),
            comparisons: Arc::default(),
        }
    }

    pub(super) fn with_max(self, shadows: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(shadows.min(Semaphore::MAX_PERMITS))), ..self }
    }

    pub(super) fn with_comparer(self, comparer: impl Comparer) -> Self {
        Self { comparer: Arc::new(comparer), ..self }
    }

    pub(super) fn comparison(&self, shadow: &Variant) -> ShadowComparison {
        let comparisons = self.comparisons.lock().unwrap_or_else(PoisonError::into_inner);
        comparisons.get(shadow).copied().unwrap_or_default()
    }

    /// Starts a shadow, if there is room for it and a runtime to run it on.
    ///
    /// The primary took `elapsed`; the shadow's deadline is that much later.
    pub(super) fn start(
        &self,
        shadow: Variant,
        model: Arc<dyn Model>,
        request: &Request,
        elapsed: Duration,
        primary: Option<&Response>,
        observers: &Arc<Vec<Arc<dyn Observer>>>,
    ) {
        let (Ok(permit), Ok(runtime)) =
            (Arc::clone(&self.permits).try_acquire_owned(), Handle::try_current())
        else {
            counter!(SHADOWS_DROPPED_TOTAL, "variant" => shadow.to_string()).increment(1);
            return;
        };
        let mut request = request.clone();
        request.deadline = request.deadline.and_then(|deadline| deadline.checked_add(elapsed));
        let primary = primary.map(|response| response.outputs.clone());
        let observers = Arc::clone(observers);
        let (comparer, comparisons) = (Arc::clone(&self.comparer), Arc::clone(&self.comparisons));
        runtime.spawn(async move {
            let _room = permit;
            let call = Call::begin(&*observers, &request).of_variant(&shadow, Role::Shadow);
            let result = answer(&*model, request.clone()).await;
            call.finish(result.as_ref());
            if let (Some(primary), Ok(response)) = (primary, result) {
                let agreed = comparer.agree(&primary, &response.outputs);
                let mut comparisons = comparisons.lock().unwrap_or_else(PoisonError::into_inner);
                comparisons.entry(shadow.clone()).or_default().add(agreed);
            }
        });
    }
}
