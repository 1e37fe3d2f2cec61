//! Validated after serialisation.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{Change, Model, Request, Tensors};

use super::{Candidate, Finding, Gate};
use crate::{Comparer, Exact};

/// The model as it comes back from the stored artifact must say what the model in memory says.
///
/// What was validated is the model in memory; what will be served is the stored one. The gate asks both every
/// sample request and compares their outputs with a [`Comparer`]: to the bit, unless set. It needs the
/// [stored model](Candidate::with_stored) and [samples](Candidate::with_samples). One difference fails it, and
/// so does a call that fails or another signature.
///
/// ```
/// use mlops_rollout::{StoredMatches, Within};
///
/// let exact = StoredMatches::new();
/// let quantised = StoredMatches::new().with_comparer(Within::new(1e-3, 0.0));
/// ```
#[derive(Clone)]
pub struct StoredMatches {
    comparer: Arc<dyn Comparer>,
}

impl StoredMatches {
    /// To the bit.
    #[must_use]
    pub fn new() -> Self {
        Self { comparer: Arc::new(Exact) }
    }

    /// As far as `comparer` says.
    #[must_use]
    pub fn with_comparer(mut self, comparer: impl Comparer) -> Self {
        self.comparer = Arc::new(comparer);
        self
    }
}

impl Default for StoredMatches {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Gate for StoredMatches {
    fn name(&self) -> String {
        "stored model matches".to_owned()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        let Some(stored) = candidate.stored() else {
            return Finding::inconclusive("there is no model that came back from the stored artifact");
        };
        if candidate.samples().is_empty() {
            return Finding::inconclusive("there are no sample requests to compare with");
        }
        let change = candidate.model().signature().change_to(stored.signature());
        if change != Change::Identical {
            return Finding::failed(format!("the stored model has another signature: {change}"));
        }
        let (mut different, mut first) = (0_usize, None);
        for (sample, request) in candidate.samples().iter().enumerate() {
            let (ours, theirs) = match (ask(candidate.model(), request).await, ask(stored, request).await) {
                (Ok(ours), Ok(theirs)) => (ours, theirs),
                (Err(error), _) => {
                    return Finding::failed(format!("sample {sample} failed in memory: {error}"));
                }
                (_, Err(error)) => {
                    return Finding::failed(format!("sample {sample} failed on the stored model: {error}"));
                }
            };
            if !self.comparer.agree(&ours, &theirs) {
                different += 1;
                first.get_or_insert(sample);
            }
        }
        let samples = candidate.samples().len();
        let finding = match first {
            None => Finding::passed(format!("the same answers to {samples} samples")),
            Some(first) => Finding::failed(format!(
                "other answers to {different} of {samples} samples, the first of them sample {first}"
            )),
        };
        finding.with_evidence("samples", samples as f64).with_evidence("different", different as f64)
    }
}

async fn ask(model: &dyn Model, request: &Request) -> mlops_core::Result<Tensors> {
    model.predict(request.clone()).await.map(|response| response.outputs)
}

impl fmt::Debug for StoredMatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredMatches").finish_non_exhaustive()
    }
}
