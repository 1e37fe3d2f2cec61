//! One step of a plan.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::Analysis;

/// One step of a [`Plan`](crate::Plan): a share of the traffic, or of copies of it, held until the
/// candidate has proved itself on it.
///
/// ```
/// use std::time::Duration;
/// use mlops_rollout::Step;
///
/// let hour = Duration::from_secs(3_600);
/// let unseen = Step::shadow(0.5).with_min_samples(10_000);
/// let canary = Step::new(0.05).with_min_samples(2_000).with_bake(hour).with_approval();
/// assert_eq!((unseen.share(), unseen.shadow_share()), (0.0, 0.5));
/// assert_eq!((canary.share(), canary.shadow_share()), (0.05, 0.0));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StepFields", into = "StepFields")]
pub struct Step {
    traffic: Traffic,
    min_samples: u64,
    bake: Duration,
    max_duration: Option<Duration>,
    approval: bool,
    analysis: Option<Analysis>,
}

/// What the candidate gets in a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Traffic {
    /// This share of the requests.
    Share(f64),
    /// Copies of this share of the requests.
    Shadow(f64),
}

impl Step {
    /// A share of the traffic, above 0 and up to 1; 500 samples; no bake time.
    ///
    /// At a share of 1 the stable variant gets no requests: the candidate is compared with what was seen
    /// of it in the step before.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self::of(Traffic::Share(share))
    }

    /// Copies of a share of the traffic, above 0 and up to 1: the candidate computes, and answers nobody.
    /// 500 samples; no bake time. Such steps come before all others.
    ///
    /// The candidate is judged by its answers to the copies: give the controller what
    /// [`with_shadow`](crate::Controller::with_shadow) asks for. An answer that agrees with the one that the caller got
    /// is a good outcome, another is a bad one:
    ///
    /// ```
    /// use mlops_rollout::{Analysis, RateCheck, RateLimit, Step};
    ///
    /// let mostly_the_same = Analysis::new([RateCheck::failures()])?.with_check(RateLimit::bad_outcomes(0.02))?;
    /// let step = Step::shadow(0.5).with_min_samples(10_000).with_analysis(mostly_the_same);
    /// # let _ = step;
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn shadow(share: f64) -> Self {
        Self::of(Traffic::Shadow(share))
    }

    fn of(traffic: Traffic) -> Self {
        Self {
            traffic,
            min_samples: default_min_samples(),
            bake: Duration::ZERO,
            max_duration: None,
            approval: false,
            analysis: None,
        }
    }

    /// Asks for so many samples of the candidate and of the stable variant each, within the step.
    #[must_use]
    pub fn with_min_samples(mut self, samples: u64) -> Self {
        self.min_samples = samples;
        self
    }

    /// Asks for so much time in the step.
    #[must_use]
    pub fn with_bake(mut self, bake: Duration) -> Self {
        self.bake = bake;
        self
    }

    /// How long the step may take, pauses left out; otherwise the
    /// [plan](crate::Plan::with_max_step_duration) says.
    #[must_use]
    pub fn with_max_duration(mut self, duration: Duration) -> Self {
        self.max_duration = Some(duration);
        self
    }

    /// Holds, once the step is passed, until somebody [approves](crate::Controller::approve).
    #[must_use]
    pub fn with_approval(mut self) -> Self {
        self.approval = true;
        self
    }

    /// Judges this step by `analysis` in place of that of the plan. Its alpha, too, is split between all
    /// steps.
    #[must_use]
    pub fn with_analysis(mut self, analysis: Analysis) -> Self {
        self.analysis = Some(analysis);
        self
    }

    /// The candidate's share of the traffic; 0 while it is a shadow.
    #[must_use]
    pub fn share(&self) -> f64 {
        match self.traffic {
            Traffic::Share(share) => share,
            Traffic::Shadow(_) => 0.0,
        }
    }

    /// The share of the traffic of which the candidate gets copies; 0 unless it is a shadow.
    #[must_use]
    pub fn shadow_share(&self) -> f64 {
        match self.traffic {
            Traffic::Share(_) => 0.0,
            Traffic::Shadow(share) => share,
        }
    }

    /// Whether the candidate gets copies only.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        matches!(self.traffic, Traffic::Shadow(_))
    }

    /// Samples of each variant before the step can be passed.
    #[must_use]
    pub fn min_samples(&self) -> u64 {
        self.min_samples
    }

    /// Time before the step can be passed.
    #[must_use]
    pub fn bake(&self) -> Duration {
        self.bake
    }

    /// How long the step may take, if it says so itself.
    #[must_use]
    pub fn max_duration(&self) -> Option<Duration> {
        self.max_duration
    }

    /// Whether somebody has to approve before the step is left.
    #[must_use]
    pub fn needs_approval(&self) -> bool {
        self.approval
    }

    /// What the candidate must stand in this step, if not what the plan says.
    #[must_use]
    pub fn analysis(&self) -> Option<&Analysis> {
        self.analysis.as_ref()
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }
}

/// What a step looks like before it is checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shadow: Option<f64>,
    #[serde(default = "default_min_samples")]
    min_samples: u64,
    #[serde(default, with = "compact::required")]
    bake: Duration,
    #[serde(default, with = "compact::optional", skip_serializing_if = "Option::is_none")]
    max_duration: Option<Duration>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    approval: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    analysis: Option<Analysis>,
}

impl TryFrom<StepFields> for Step {
    type Error = Error;

    fn try_from(fields: StepFields) -> Result<Self> {
        let StepFields { share, shadow, min_samples, bake, max_duration, approval, analysis } = fields;
        let traffic = match (share, shadow) {
            (Some(share), None) => Traffic::Share(share),
            (None, Some(share)) => Traffic::Shadow(share),
            (None, None) => return Err(Error::invalid_input("a step needs a `share` or a `shadow`")),
            (Some(_), Some(_)) => {
                return Err(Error::invalid_input("a step has a `share` or a `shadow`, not both"));
            }
        };
        Ok(Self { traffic, min_samples, bake, max_duration, approval, analysis })
    }
}

impl From<Step> for StepFields {
    fn from(step: Step) -> Self {
        let Step { traffic, min_samples, bake, max_duration, approval, analysis } = step;
        let (share, shadow) = match traffic {
            Traffic::Share(share) => (Some(share), None),
            Traffic::Shadow(share) => (None, Some(share)),
        };
        Self { share, shadow, min_samples, bake, max_duration, approval, analysis }
    }
}

fn default_min_samples() -> u64 {
    500
}
