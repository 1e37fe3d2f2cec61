//! What happens between two looks.

use std::time::Duration;

use mlops_core::Result;

use crate::VariantEvidence;

/// Requests, tick by tick. They begin anew with every rollout.
pub(super) trait Source {
    /// Sends the requests of a tick to the variants. `false` when none will come any more.
    fn play(&mut self, tick: Tick, seen: Seen<'_>, reach: &mut Reach) -> Result<bool>;
}

/// A span of time in which the candidate keeps its share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// Of the candidate.
    pub(super) share: f64,
    /// Of the requests of the stable variant, which the candidate gets a copy of.
    pub(super) shadow: f64,
}

impl Tick {
    /// Rates of this moment hold for the whole tick.
    pub(super) fn middle(&self) -> Duration {
        self.from + (self.to - self.from) / 2
    }
}

/// What both variants were seen doing in the present window.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) stable: &'a mut VariantEvidence,
    pub(super) candidate: &'a mut VariantEvidence,
}

/// Whom the candidate reached in one rollout.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Reach {
    pub(super) requests: u64,
    /// Those that failed, or whose outcome was bad.
    pub(super) harmed_requests: u64,
    /// How many more that were than at the stable variant.
    pub(super) excess: f64,
    pub(super) users: u64,
    pub(super) harmed_users: u64,
}
