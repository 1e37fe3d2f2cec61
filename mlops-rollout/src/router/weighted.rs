//! Each request drawn by weight.

use mlops_core::{Decision, Reason, Router, RoutingContext};

use super::draws::Draws;
use super::split::TrafficSplit;

/// Draws the variant of each request by the shares of a [`TrafficSplit`], whoever asks.
///
/// ```
/// use mlops_core::{Router, RoutingContext, Variant};
/// use mlops_rollout::{TrafficSplit, Weighted};
///
/// let (stable, canary) = (Variant::new("stable")?, Variant::new("canary")?);
/// let split = TrafficSplit::new(stable, [canary.clone()]);
/// split.set(&canary, 0.25)?;
///
/// let router = Weighted::seeded(split, 1); // `new` draws differently in each process
/// let context = RoutingContext::new();
/// let hits = (0..10_000).filter(|_| router.route(&context).variant() == &canary).count();
/// assert!((2_300..2_700).contains(&hits));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Weighted {
    split: TrafficSplit,
    draws: Draws,
}

impl Weighted {
    /// Draws by `split`, differently in each process and thread.
    #[must_use]
    pub fn new(split: TrafficSplit) -> Self {
        Self { split, draws: Draws::Entropy }
    }

    /// Draws by `split`, the same for the same seed: for tests and simulations. Threads share the counter.
    #[must_use]
    pub fn seeded(split: TrafficSplit, seed: u64) -> Self {
        Self { split, draws: Draws::seeded(seed) }
    }
}

impl Router for Weighted {
    fn route(&self, _: &RoutingContext) -> Decision {
        Decision::new(self.split.at(self.draws.next()).clone(), Reason::Weighted)
    }
}
