//! How a candidate gets its traffic, step by step.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::step::{Step, Traffic};
use crate::{Analysis, Check, RateCheck};

/// The steps of a rollout, and what a candidate must stand to climb them.
///
/// ```
/// use std::time::Duration;
/// use mlops_rollout::{LatencyCheck, Plan, Step};
///
/// let plan = Plan::new([
///     Step::shadow(1.0).with_min_samples(1_000), // copies first: nobody sees an answer
///     Step::new(0.05).with_min_samples(1_000).with_bake(Duration::from_secs(600)),
///     Step::new(0.5).with_min_samples(5_000).with_bake(Duration::from_secs(1_800)),
/// ])?
/// .with_check(LatencyCheck::p99(1.5))?; // beside the failure rate, which every plan checks unless told
/// # assert_eq!(plan.steps().len(), 3);
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// A plan is read from [TOML](Self::from_toml) and from whatever else serde knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PlanFields")]
pub struct Plan {
    #[serde(with = "compact::optional", skip_serializing_if = "Option::is_none")]
    max_step_duration: Option<Duration>,
    on_inconclusive: OnInconclusive,
    failure_tolerance: FailureTolerance,
    analysis: Analysis,
    steps: Vec<Step>,
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

/// How often in a row the evidence may fail a candidate before it is rolled back: once unless set, which
/// is at once. A look that passes begins the count anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FailureTolerance {
    /// The failed look in a row that rolls back.
    pub looks: u32,
    /// A look that fails sooner after the last counted one does not count, so that more frequent looks, or
    /// more replicas that look, are not less patient.
    #[serde(with = "compact::required")]
    pub apart: Duration,
}

impl Default for FailureTolerance {
    fn default() -> Self {
        Self { looks: 1, apart: Duration::ZERO }
    }
}

impl Plan {
    /// These steps; the candidate's failure rate must not rise.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless there is a step that gives the candidate traffic, their shares rise
    /// within (0, 1], and those of copies come first.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Result<Self> {
        let plan = Self {
            max_step_duration: None,
            on_inconclusive: OnInconclusive::default(),
            failure_tolerance: FailureTolerance::default(),
            analysis: Analysis::new([RateCheck::failures()])?,
            steps: steps.into_iter().collect(),
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

    /// How long a step may take, pauses left out, unless it [says so itself](Step::with_max_duration).
    /// Without it a candidate that gets no traffic waits for ever.
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

    /// Rolls back at the failed look of that number in a row; each counts only if it comes `apart` or more
    /// after the last that did. While a look fails nothing is promoted, by nobody.
    ///
    /// The checks that stay valid at every look rarely fail a good candidate and then pass it, so this is
    /// for checks that look at a moment, and for people who want to see a page before a rollback.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for 0 looks, and for more than one without time in between.
    pub fn with_failure_tolerance(mut self, looks: u32, apart: Duration) -> Result<Self> {
        self.failure_tolerance = FailureTolerance { looks, apart };
        self.checked()
    }

    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What the candidate must stand in each that does not say otherwise.
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

    /// How many failed looks in a row roll back.
    #[must_use]
    pub fn failure_tolerance(&self) -> FailureTolerance {
        self.failure_tolerance
    }

    /// How long that step may take.
    pub(crate) fn longest(&self, step: &Step) -> Option<Duration> {
        step.max_duration().or(self.max_step_duration)
    }

    pub(super) fn has_shadow(&self) -> bool {
        self.steps.iter().any(Step::is_shadow)
    }

    fn checked(self) -> Result<Self> {
        let FailureTolerance { looks, apart } = self.failure_tolerance;
        let fault = if !self.steps.iter().any(|step| !step.is_shadow()) {
            Some("`steps` has none that gives the candidate traffic".to_owned())
        } else if looks == 0 {
            Some("`failure_tolerance.looks` is 0; a rollback takes at least one failed look".to_owned())
        } else if looks > 1 && apart.is_zero() {
            Some("`failure_tolerance.apart` is 0s; looks that count must lie apart, such as 1m".to_owned())
        } else {
            (0..self.steps.len()).find_map(|index| self.fault_of(index))
        };
        match fault {
            Some(fault) => Err(Error::invalid_input(format!("the plan: {fault}"))),
            None => Ok(self),
        }
    }

    fn fault_of(&self, index: usize) -> Option<String> {
        let step = self.steps.get(index)?;
        let before = index.checked_sub(1).and_then(|before| self.steps.get(before));
        let (field, share) = match step.traffic() {
            Traffic::Share(share) => ("share", share),
            Traffic::Shadow(share) => ("shadow", share),
        };
        if !(share > 0.0 && share <= 1.0) {
            return Some(format!("`steps[{index}].{field}` is {share}; it lies above 0 and reaches to 1"));
        }
        match before.map(Step::traffic) {
            Some(Traffic::Share(_)) if step.is_shadow() => {
                return Some(format!("`steps[{index}].shadow` comes after traffic; shadows come first"));
            }
            Some(Traffic::Share(before)) if before >= share => {
                return Some(format!("`steps[{index}].share` is {share} after {before}; shares must rise"));
            }
            _ => {}
        }
        let (bake, longest) = (step.bake(), self.longest(step)?);
        (bake >= longest).then(|| {
            format!("`steps[{index}].bake` is {bake:?} in a step that may take no longer than {longest:?}")
        })
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
    #[serde(default)]
    failure_tolerance: FailureTolerance,
}

impl TryFrom<PlanFields> for Plan {
    type Error = Error;

    fn try_from(fields: PlanFields) -> Result<Self> {
        let PlanFields { steps, analysis, max_step_duration, on_inconclusive, failure_tolerance } = fields;
        let analysis = match analysis {
            Some(analysis) => analysis,
            None => Analysis::new([RateCheck::failures()])?,
        };
        Self { max_step_duration, on_inconclusive, failure_tolerance, analysis, steps }.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_that_make_no_sense_are_refused() {
        for shares in [&[][..], &[0.0], &[1.1], &[f64::NAN], &[0.5, 0.5], &[0.5, 0.25]] {
            assert!(Plan::new(shares.iter().map(|share| Step::new(*share))).is_err(), "{shares:?}");
        }
        for steps in [
            vec![Step::shadow(1.0)],
            vec![Step::shadow(0.0), Step::new(1.0)],
            vec![Step::shadow(f64::NAN), Step::new(1.0)],
            vec![Step::new(0.5), Step::shadow(0.5), Step::new(1.0)],
        ] {
            assert!(Plan::new(steps.clone()).is_err(), "{steps:?}");
        }
        assert!(Plan::new([Step::shadow(1.0), Step::shadow(0.5), Step::new(0.1)]).is_ok());
        let minute = Duration::from_secs(60);
        let plan = Plan::new([Step::new(0.1).with_bake(minute)]).unwrap();
        assert!(plan.clone().with_max_step_duration(minute).is_err());
        assert!(plan.clone().with_max_step_duration(2 * minute).is_ok());
        assert!(plan.clone().with_failure_tolerance(0, minute).is_err());
        assert!(plan.clone().with_failure_tolerance(2, Duration::ZERO).is_err());
        assert!(plan.with_failure_tolerance(2, minute).is_ok());
    }

    #[test]
    fn errors_name_the_step_and_the_field() {
        let minute = Duration::from_secs(60);
        for (steps, expected) in [
            (
                vec![Step::new(0.5), Step::new(0.25)],
                "invalid input: the plan: `steps[1].share` is 0.25 after 0.5; shares must rise",
            ),
            (
                vec![Step::new(0.5), Step::new(1.0).with_bake(minute).with_max_duration(minute)],
                "invalid input: the plan: `steps[1].bake` is 60s in a step that may take no longer than 60s",
            ),
            (
                vec![Step::shadow(2.0), Step::new(1.0)],
                "invalid input: the plan: `steps[0].shadow` is 2; it lies above 0 and reaches to 1",
            ),
        ] {
            assert_eq!(Plan::new(steps).unwrap_err().to_string(), expected);
        }
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
            r#"{"steps":[{}]}"#,
            r#"{"steps":[{"share":0.5,"shadow":0.5}]}"#,
            r#"{"steps":[{"share":0.5},{"share":0.1}]}"#,
            r#"{"steps":[{"share":0.5,"bake":"1h"}],"max_step_duration":"1m"}"#,
            r#"{"steps":[{"share":0.5,"bake":"1h","max_duration":"1m"}]}"#,
            r#"{"steps":[{"share":0.5}],"failure_tolerance":{"looks":0,"apart":"1m"}}"#,
            r#"{"steps":[{"share":0.5}],"stepz":1}"#,
        ] {
            assert!(serde_json::from_str::<Plan>(bad).is_err(), "{bad}");
        }
    }
}
