//! What a rollout did, for the record.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::State;
use crate::EvidenceSnapshot;

/// One change of state, with the evidence it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transition {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub reason: String,
    /// What was known.
    pub evidence: EvidenceSnapshot,
}

impl Transition {
    /// The decision as a metric label.
    pub(super) fn decision(&self) -> &'static str {
        match (&self.from, &self.to) {
            (_, State::Promoted) => "promote",
            (_, State::RolledBack { .. }) => "roll_back",
            (_, State::Paused { .. }) => "pause",
            (State::Paused { .. }, _) => "resume",
            (State::Pending, _) => "start",
            _ => "advance",
        }
    }
}

/// `1970-01-01T00:00:00Z pending -> step 0: the rollout begins`.
impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, from, to, reason, .. } = self;
        match to {
            State::RolledBack { .. } => write!(f, "{at} {from} -> {to}"),
            _ => write!(f, "{at} {from} -> {to}: {reason}"),
        }
    }
}
