//! Where a rollout stands, and how it moves.

use std::fmt;
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use serde::{Deserialize, Serialize};

/// Where a rollout stands. Times count from its beginning, on a clock that never jumps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// The candidate gets no traffic yet.
    Pending,
    /// The candidate is judged at the share of a step.
    Step {
        /// Which step, from 0.
        index: usize,
        /// When it began.
        #[serde(with = "compact::required")]
        since: Duration,
    },
    /// The candidate keeps its share, is still judged, and does not climb until resumed.
    Paused {
        /// In which step.
        index: usize,
        /// How long the step had lasted.
        #[serde(with = "compact::required")]
        baked: Duration,
    },
    /// The candidate has all the traffic. Final.
    Promoted,
    /// The candidate has none. Final.
    RolledBack {
        /// Why.
        reason: String,
    },
}

/// What makes a rollout move.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Time went on, evidence came in.
    Tick,
    /// Somebody vouches for the candidate: no more samples, no more steps. Failed checks still win.
    Promote,
    /// Somebody wants to look: no more steps for now.
    Pause,
    /// Go on.
    Resume,
    /// Somebody has seen enough.
    Abort {
        /// What they saw.
        reason: String,
    },
}

/// What a move asks of the world, in order.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Give the candidate this share of the traffic.
    SetShare(f64),
    /// Count evidence anew.
    BeginWindow,
    /// Give the candidate all the traffic; it is the new stable variant.
    Promote,
    /// Give the candidate no traffic; it is out.
    RollBack,
}

/// A move: the state after it, what it asks of the world, and why.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Next {
    /// The state after it; often the one before.
    pub state: State,
    /// What is to be done, in order. Empty when the state stays.
    pub effects: Vec<Effect>,
    /// Why it moved, or what it waits for.
    pub reason: String,
}

impl State {
    /// Whether nothing moves it any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Promoted | Self::RolledBack { .. })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Step { index, .. } => write!(f, "step {index}"),
            Self::Paused { index, .. } => write!(f, "paused in step {index}"),
            Self::Promoted => f.write_str("promoted"),
            Self::RolledBack { reason } => write!(f, "rolled back: {reason}"),
        }
    }
}

impl Next {
    pub(super) fn stay(state: &State, reason: impl Into<String>) -> Self {
        Self { state: state.clone(), effects: Vec::new(), reason: reason.into() }
    }

    pub(super) fn to(state: State, effects: impl Into<Vec<Effect>>, reason: impl Into<String>) -> Self {
        Self { state, effects: effects.into(), reason: reason.into() }
    }
}
