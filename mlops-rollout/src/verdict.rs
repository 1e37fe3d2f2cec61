//! What a check, a gate or a whole report says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The answer of a check, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Looked at, and good.
    Passed,
    /// Too little is known to say. Never a reason to go ahead.
    Inconclusive,
    /// Looked at, and bad.
    Failed,
}

impl Verdict {
    /// The verdict of all together: the worst of them. Nothing looked at is [`Verdict::Inconclusive`].
    ///
    /// ```
    /// use mlops_rollout::Verdict::{self, Failed, Inconclusive, Passed};
    ///
    /// assert_eq!(Verdict::of_all([Passed, Passed]), Passed);
    /// assert_eq!(Verdict::of_all([Passed, Failed, Inconclusive]), Failed);
    /// assert_eq!(Verdict::of_all([]), Inconclusive);
    /// ```
    #[must_use]
    pub fn of_all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max().unwrap_or(Self::Inconclusive)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Inconclusive => "inconclusive",
            Self::Failed => "failed",
        })
    }
}

/// A [`Verdict`] and its reason, in words with numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

impl Judgement {
    /// Looked at, and good.
    pub fn passed(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Passed, reason: reason.into() }
    }

    /// Too little is known to say.
    pub fn inconclusive(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Inconclusive, reason: reason.into() }
    }

    /// Looked at, and bad.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, reason: reason.into() }
    }
}
