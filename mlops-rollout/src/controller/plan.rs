//! How a candidate gets its traffic, step by step.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{Analysis, Check, RateCheck};

/// The steps of a rollout, and what a candidate must stand to climb them.
///
/// ```
/// use std::time::Duration;
/// use mlops_rollout::{LatencyCheck, Plan, Step};
///
/// let plan = Plan::new([
///     Step::new(0.05).with_min_samples(1_000).with_bake(Duration::from_secs(600)),
///     Step::new(0.5).with_min_samples(5_000).with_bake(Duration::from_secs(1_800)),
/// ])?
/// .with_check(LatencyCheck::p99(1.5))?; // beside the failure rate, which every plan checks unless told
/// # assert_eq!(plan.steps().len(), 2);
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// In serde, durations are written as people do (`10m`, `1h 30m`):
///
/// ```
/// # use mlops_rollout::Plan;
/// let plan: Plan = serde_json::from_str(
///     r#"{
///         "steps": [{"share": 0.05, "min_samples": 1000, "bake": "10m"}, {"share": 1.0}],
///         "analysis": {"checks": [{"kind": "rate", "of": "failures", "tolerance": 0.001}]},
///         "max_step_duration": "2h",
///         "on_inconclusive": "pause"
///     }"#,
/// )?;
/// # assert_eq!(plan.steps().len(), 2);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PlanFields")]
pub struct Plan {
    steps: Vec<Step>,
    analysis: Analysis,
    #[serde(with = "compact::optional", skip_serializing_if = "Option::is_none")]
    max_step_duration: Option<Duration>,
    on_inconclusive: OnInconclusive,
}

/// One step of a [`Plan`]: a share of the traffic, held until the candidate has proved itself on it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    share: f64,
    #[serde(default = "default_min_samples")]
    min_samples: u64,
    #[serde(default, with = "compact::required")]
    bake: Duration,
}

/// What becomes of a candidate that a step could neither pass nor fail in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnInconclusive {
    /// It is rolled back: what cannot be judged is not let in.
    #[default]
    RollBack,
    /// It keeps its share until somebody decides.
    Pause,
}

impl Plan {
    /// These steps; the candidate's failure rate must not rise.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless there is a step, and their shares rise within (0, 1].
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Result<Self> {
        let plan = Self {
            steps: steps.into_iter().collect(),
            analysis: Analysis::new([RateCheck::failures()])?,
            max_step_duration: None,
            on_inconclusive: OnInconclusive::default(),
        };
        plan.checked()
    }

    /// Adds a check, or puts it in the place of the one that has its name.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when one of its numbers is out of range.
    pub fn with_check(mut self, check: impl Into<Check>) -> Result<Self> {
        self.analysis = self.analysis.with_check(check)?;
        Ok(self)
    }

    /// Replaces all checks. The alpha of the analysis is that of the **whole rollout**: it is split evenly
    /// between the steps.
    #[must_use]
    pub fn with_analysis(mut self, analysis: Analysis) -> Self {
        self.analysis = analysis;
        self
    }

    /// How long a step may take, pauses left out. Without it a candidate that gets no traffic waits for
    /// ever.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless it is longer than every bake.
    pub fn with_max_step_duration(mut self, duration: Duration) -> Result<Self> {
        self.max_step_duration = Some(duration);
        self.checked()
    }

    /// What happens when a step takes longer.
    #[must_use]
    pub fn with_on_inconclusive(mut self, policy: OnInconclusive) -> Self {
        self.on_inconclusive = policy;
        self
    }

    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What the candidate must stand in each.
    #[must_use]
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// How long a step may take.
    #[must_use]
    pub fn max_step_duration(&self) -> Option<Duration> {
        self.max_step_duration
    }

    /// What happens when a step takes longer.
    #[must_use]
    pub fn on_inconclusive(&self) -> OnInconclusive {
        self.on_inconclusive
    }

    fn checked(self) -> Result<Self> {
        let shares = || self.steps.iter().map(|step| step.share);
        let longest = self.max_step_duration.unwrap_or(Duration::MAX);
        let fault = if self.steps.is_empty() {
            "has no step".to_owned()
        } else if let Some(share) = shares().find(|share| !(*share > 0.0 && *share <= 1.0)) {
            format!("has a step to a share of {share}; shares lie above 0 and reach to 1")
        } else if let Some((low, high)) = shares().zip(shares().skip(1)).find(|(low, high)| low >= high) {
            format!("goes from a share of {low} to {high}; shares must rise")
        } else if let Some(step) = self.steps.iter().find(|step| step.bake >= longest) {
            format!("bakes {:?} in a step that may take no longer than that", step.bake)
        } else {
            return Ok(self);
        };
        Err(Error::invalid_input(format!("the plan {fault}")))
    }
}

impl Step {
    /// A share of the traffic, above 0 and up to 1; 500 samples; no bake time.
    ///
    /// At a share of 1 the stable variant gets no requests: the candidate is compared with what was seen
    /// of it in the step before.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self { share, min_samples: default_min_samples(), bake: Duration::ZERO }
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

    /// The candidate's share of the traffic.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.share
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
}

/// What a plan looks like before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFields {
    steps: Vec<Step>,
    #[serde(default)]
    analysis: Option<Analysis>,
    #[serde(default, with = "compact::optional")]
    max_step_duration: Option<Duration>,
    #[serde(default)]
    on_inconclusive: OnInconclusive,
}

impl TryFrom<PlanFields> for Plan {
    type Error = Error;

    fn try_from(fields: PlanFields) -> Result<Self> {
        let PlanFields { steps, analysis, max_step_duration, on_inconclusive } = fields;
        let plan = Self::new(steps)?.with_on_inconclusive(on_inconclusive);
        let plan = match analysis {
            Some(analysis) => plan.with_analysis(analysis),
            None => plan,
        };
        match max_step_duration {
            Some(duration) => plan.with_max_step_duration(duration),
            None => Ok(plan),
        }
    }
}

fn default_min_samples() -> u64 {
    500
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_that_make_no_sense_are_refused() {
        for shares in [&[][..], &[0.0], &[1.1], &[f64::NAN], &[0.5, 0.5], &[0.5, 0.25]] {
            assert!(Plan::new(shares.iter().map(|share| Step::new(*share))).is_err(), "{shares:?}");
        }
        let minute = Duration::from_secs(60);
        let plan = Plan::new([Step::new(0.1).with_bake(minute)]).unwrap();
        assert!(plan.clone().with_max_step_duration(minute).is_err());
        assert!(plan.with_max_step_duration(2 * minute).is_ok());
    }

    #[test]
    fn serde_keeps_a_plan_and_refuses_what_new_refuses() {
        let steps = [Step::new(0.1).with_bake(Duration::from_secs(5_400)), Step::new(1.0)];
        let plan = Plan::new(steps).unwrap().with_on_inconclusive(OnInconclusive::Pause);
        let json = serde_json::to_string(&plan).unwrap();
        assert!(json.contains(r#"{"share":0.1,"min_samples":500,"bake":"1h 30m"}"#), "{json}");
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
        for bad in [
            r#"{"steps":[]}"#,
            r#"{"steps":[{"share":0.5},{"share":0.1}]}"#,
            r#"{"steps":[{"share":0.5,"bake":"1h"}],"max_step_duration":"1m"}"#,
            r#"{"steps":[{"share":0.5}],"stepz":1}"#,
        ] {
            assert!(serde_json::from_str::<Plan>(bad).is_err(), "{bad}");
        }
    }
}
