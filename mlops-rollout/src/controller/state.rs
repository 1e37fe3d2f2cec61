//! Where a rollout stands, and how it moves.

use std::fmt;
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use serde::{Deserialize, Serialize};

/// Where a rollout stands. Times count from its beginning, on a clock that never jumps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
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
        /// The looks that failed in a row.
        #[serde(default, skip_serializing_if = "FailedLooks::is_none")]
        failed: FailedLooks,
    },
    /// The candidate keeps its share, is still judged, and does not climb until resumed.
    Paused {
        /// In which step.
        index: usize,
        /// How long the step had lasted.
        #[serde(with = "compact::required")]
        baked: Duration,
        /// The looks that failed in a row.
        #[serde(default, skip_serializing_if = "FailedLooks::is_none")]
        failed: FailedLooks,
    },
    /// The step is passed. The candidate keeps its share, is still judged, and does not climb until
    /// somebody approves.
    AwaitingApproval {
        /// Which step.
        index: usize,
        /// How long the step had lasted.
        #[serde(with = "compact::required")]
        baked: Duration,
        /// The looks that failed in a row.
        #[serde(default, skip_serializing_if = "FailedLooks::is_none")]
        failed: FailedLooks,
    },
    /// The candidate has all the traffic. Final.
    Promoted,
    /// The candidate has none. Final.
    RolledBack {
        /// Why.
        reason: String,
    },
}

/// The looks that failed in a row, where a plan [tolerates](crate::Plan::with_failure_tolerance) some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FailedLooks {
    /// How many counted.
    pub count: u32,
    /// When the last of them was.
    #[serde(with = "compact::required")]
    pub last: Duration,
}

/// What makes a rollout move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
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
    /// Somebody has seen that a step is passed, and agrees. Anywhere else it means nothing.
    Approve {
        /// Which step.
        step: usize,
    },
    /// Somebody vouches for the rest of a step: no more samples and time in it. Failed checks still win.
    /// Where that step is not the present one, it means nothing: said twice, it skips one step.
    Skip {
        /// Which step.
        step: usize,
    },
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
    /// Give the candidate copies of this share of the traffic.
    SetShadow(f64),
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
    /// What is to be done, in order. Empty when the shares stay.
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

    /// The step in which it stands, paused or not; `None` before the first and after the last.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        self.place().map(|(index, _)| index)
    }

    /// The step, and the looks that failed in it.
    pub(super) fn place(&self) -> Option<(usize, FailedLooks)> {
        match self {
            Self::Step { index, failed, .. }
            | Self::Paused { index, failed, .. }
            | Self::AwaitingApproval { index, failed, .. } => Some((*index, *failed)),
            Self::Pending | Self::Promoted | Self::RolledBack { .. } => None,
        }
    }

    pub(super) fn with_failed(mut self, looks: FailedLooks) -> Self {
        if let Self::Step { failed, .. }
        | Self::Paused { failed, .. }
        | Self::AwaitingApproval { failed, .. } = &mut self
        {
            *failed = looks;
        }
        self
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Step { index, .. } => write!(f, "step {index}"),
            Self::Paused { index, .. } => write!(f, "paused in step {index}"),
            Self::AwaitingApproval { index, .. } => write!(f, "step {index} awaiting approval"),
            Self::Promoted => f.write_str("promoted"),
            Self::RolledBack { reason } => write!(f, "rolled back: {reason}"),
        }?;
        match self.place() {
            Some((_, FailedLooks { count: 1, .. })) => f.write_str(", 1 failed look"),
            Some((_, FailedLooks { count, .. })) if count > 1 => write!(f, ", {count} failed looks"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => f.write_str("look"),
            Self::Promote => f.write_str("promote"),
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::Approve { step } => write!(f, "approve step {step}"),
            Self::Skip { step } => write!(f, "skip step {step}"),
            Self::Abort { .. } => f.write_str("abort"),
        }
    }
}

impl FailedLooks {
    fn is_none(&self) -> bool {
        self.count == 0
    }
}

impl Next {
    pub(super) fn stay(state: State, reason: impl Into<String>) -> Self {
        Self { state, effects: Vec::new(), reason: reason.into() }
    }

    pub(super) fn to(state: State, effects: impl Into<Vec<Effect>>, reason: impl Into<String>) -> Self {
        Self { state, effects: effects.into(), reason: reason.into() }
    }
}
