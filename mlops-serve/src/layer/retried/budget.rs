//! What keeps retries from making an overload worse.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Tokens that failures take and answers give back; with half of them gone, nothing is retried.
///
/// It is the retry throttling of gRPC
/// ([gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs)),
/// kin to the retry budgets of Finagle: a failure that may be retried takes one token, an answer gives
/// `ratio` of a token back, up to `tokens`. While no more than half of them are left, failures are
/// answered at once. So retries stop soon after a callee is down or overloaded, and in the long run they
/// add at most about `ratio` of the load.
///
/// Clones share their tokens.
#[derive(Debug, Clone)]
#[must_use]
pub struct RetryBudget {
    /// In thousandths, as the gRFC counts them.
    left: Arc<AtomicU32>,
    full: u32,
    ratio: u32,
}

const TOKEN: u32 = 1000;

impl RetryBudget {
    /// A full budget of `tokens`, at most 1000, of which an answer gives the share `ratio`, 0 to 1, back. A
    /// `ratio` is kept to three decimals. Values beyond those bounds are as the bounds.
    pub fn new(tokens: u32, ratio: f64) -> Self {
        let full = tokens.min(1000) * TOKEN;
        // From 0 to 1000, so the cast keeps the value; NaN is as 0.
        let ratio = (ratio.clamp(0.0, 1.0) * f64::from(TOKEN)).round() as u32;
        Self { left: Arc::new(AtomicU32::new(full)), full, ratio }
    }

    /// A call has failed. Whether it may be retried.
    pub(super) fn spend(&self) -> bool {
        self.change(|left| left.saturating_sub(TOKEN)) > self.full / 2
    }

    /// A call was answered.
    pub(super) fn earn(&self) {
        // No need to write what every call reads, unless something was spent.
        if self.left.load(Ordering::Relaxed) < self.full {
            self.change(|left| left.saturating_add(self.ratio).min(self.full));
        }
    }

    /// What is left after the change.
    fn change(&self, change: impl Fn(u32) -> u32) -> u32 {
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(change(left)));
        before.map_or(0, change)
    }
}

/// 100 tokens, of which an answer gives a tenth back.
impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(100, 0.1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retries_stop_when_half_of_the_tokens_are_gone_and_come_back_with_answers() {
        let budget = RetryBudget::new(10, 0.1);
        let retried = (0..20).filter(|_| budget.spend()).count();
        assert_eq!(retried, 4, "ten tokens allow for four: the fifth leaves half of them");
        for _ in 0..60 {
            budget.earn();
        }
        assert!(!budget.spend(), "six tokens came back, one went: half is left");
        for _ in 0..20 {
            budget.earn();
        }
        assert!(budget.clone().spend(), "seven came back, one went");
    }

    #[test]
    fn strange_bounds_are_as_the_nearest_ones() {
        assert!(!RetryBudget::new(0, 1.0).spend());
        assert!(RetryBudget::new(u32::MAX, f64::NAN).spend());
        let generous = RetryBudget::new(u32::MAX, f64::INFINITY);
        assert_eq!((generous.full, generous.ratio), (1_000_000, 1000));
    }

    proptest! {
        /// In the long run retries are at most `ratio` of the answers, and the tokens there were.
        #[test]
        fn retries_are_bounded_by_answers(
            tokens in 0..50_u32, thousandths in 0..1000_u32, calls in prop::collection::vec(any::<bool>(), 0..500),
        ) {
            let budget = RetryBudget::new(tokens, f64::from(thousandths) / 1000.0);
            let (mut retried, mut answered) = (0_u32, 0_u32);
            for succeeds in calls {
                if succeeds {
                    budget.earn();
                    answered += 1;
                } else {
                    retried += u32::from(budget.spend());
                }
            }
            prop_assert!(retried * TOKEN <= tokens * TOKEN / 2 + answered * thousandths);
        }
    }
}
