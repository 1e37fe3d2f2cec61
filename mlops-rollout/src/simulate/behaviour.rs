//! What a variant does to those who ask it.

use serde::{Deserialize, Serialize};

use super::Course;

/// How often a variant fails, disappoints and is slow.
///
/// ```
/// use mlops_rollout::{Behaviour, Course};
///
/// let leaking = Behaviour::failing(Course::growing(0.01, 0.002)).with_slowdown(1.2);
/// # assert_ne!(leaking, Behaviour::failing(0.01));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    #[serde(default = "never")]
    failures: Course,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bad_outcomes: Option<Course>,
    #[serde(default = "as_fast")]
    slowdown: Course,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stalls: Option<Stalls>,
}

/// Some answers take many times as long as the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stalls {
    share: Course,
    factor: f64,
}

impl Behaviour {
    /// Fails this share of its requests, 0 to 1; what grows beyond counts as 1. No outcomes come back, and
    /// it is as fast as the scenario says.
    #[must_use]
    pub fn failing(share: impl Into<Course>) -> Self {
        Self { failures: share.into(), bad_outcomes: None, slowdown: as_fast(), stalls: None }
    }

    /// Every answer has an outcome, known at once, and this share of them is bad.
    #[must_use]
    pub fn with_bad_outcomes(mut self, share: impl Into<Course>) -> Self {
        self.bad_outcomes = Some(share.into());
        self
    }

    /// Its answers take so many times as long as the scenario says: 1 unless set.
    #[must_use]
    pub fn with_slowdown(mut self, factor: impl Into<Course>) -> Self {
        self.slowdown = factor.into();
        self
    }

    /// This share of its answers takes `factor` times as long as the others.
    #[must_use]
    pub fn with_stalls(mut self, share: impl Into<Course>, factor: f64) -> Self {
        self.stalls = Some(Stalls { share: share.into(), factor });
        self
    }

    pub(super) fn at(&self, elapsed: std::time::Duration) -> Moment {
        let share = |course: &Course| course.at(elapsed).clamp(0.0, 1.0);
        Moment {
            failures: share(&self.failures),
            bad_outcomes: self.bad_outcomes.as_ref().map(share),
            slowdown: self.slowdown.at(elapsed).max(0.0),
            stalls: self.stalls.map_or(0.0, |stalls| share(&stalls.share)),
            stall_factor: self.stalls.map_or(1.0, |stalls| stalls.factor),
        }
    }

    pub(super) fn fault(&self) -> Option<String> {
        let share = 0.0..=1.0;
        let positive = f64::MIN_POSITIVE..=f64::INFINITY;
        let stalls = || {
            let Stalls { share: of, factor } = self.stalls?;
            of.fault("share of stalls", share.clone())
                .or_else(|| Course::from(factor).fault("factor of stalls", positive.clone()))
        };
        self.failures
            .fault("share of failures", share.clone())
            .or_else(|| self.bad_outcomes?.fault("share of bad outcomes", share.clone()))
            .or_else(|| self.slowdown.fault("slowdown", positive.clone()))
            .or_else(stalls)
    }
}

/// Never fails, and is as fast as the scenario says.
impl Default for Behaviour {
    fn default() -> Self {
        Self::failing(0.0)
    }
}

/// What a variant does at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) failures: f64,
    pub(super) bad_outcomes: Option<f64>,
    pub(super) slowdown: f64,
    pub(super) stalls: f64,
    pub(super) stall_factor: f64,
}

impl Moment {
    /// The share of requests that end badly: in a failure, or in an answer with a bad outcome.
    pub(super) fn harm(&self) -> f64 {
        self.failures + (1.0 - self.failures) * self.bad_outcomes.unwrap_or(0.0)
    }

    /// Of answers that nobody gets.
    pub(super) fn without_outcomes(self) -> Self {
        Self { bad_outcomes: None, ..self }
    }
}

fn never() -> Course {
    Course::constant(0.0)
}

fn as_fast() -> Course {
    Course::constant(1.0)
}
