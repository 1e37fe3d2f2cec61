//! What is known of a candidate that answers nobody yet.

use mlops_core::{Observer, Prediction, Role, Variant};

use crate::{Evidence, VariantEvidence};

/// Counts what becomes of the copies of requests that shadows get, to be given to
/// [`Routed::with_shadow_evidence`](crate::Routed::with_shadow_evidence): the [`Evidence`] beside it counts what callers
/// got. Where the model is another one, this is an [`Observer`] that counts answers and failures, and not how the
/// answers compare.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::{Error, Observer, Prediction, Request, Role, Variant};
/// use mlops_rollout::ShadowEvidence;
///
/// let (shadows, next) = (ShadowEvidence::new(), Variant::new("next")?);
/// let (request, error) = (Request::default(), Error::engine("down"));
/// let prediction = Prediction::new(&request, Err(&error), Duration::from_millis(3));
/// shadows.observe(&prediction.of_variant(&next, Role::Shadow));
/// shadows.observe(&prediction.of_variant(&next, Role::Primary)); // a caller's: not counted here
/// assert_eq!(shadows.seen(&next).failures, 1);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Default)]
pub struct ShadowEvidence(Evidence);

impl ShadowEvidence {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was seen of that shadow since the present window began.
    #[must_use]
    pub fn seen(&self, shadow: &Variant) -> VariantEvidence {
        self.0.snapshot().current.remove(shadow).unwrap_or_default()
    }

    /// The shadow said what the caller got, or something else: a good outcome, or a bad one.
    pub(crate) fn compared(&self, shadow: &Variant, agrees: bool) {
        self.0.record_outcome(shadow, agrees);
    }

    pub(super) fn begin_window(&self) {
        self.0.begin_window();
    }
}

impl Observer for ShadowEvidence {
    fn observe(&self, prediction: &Prediction<'_>) {
        if let (Some(variant), Role::Shadow) = (prediction.variant, prediction.role) {
            self.0.observe(&prediction.of_variant(variant, Role::Primary));
        }
    }
}
