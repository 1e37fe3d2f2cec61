//! Is the candidate as good as the stable variant?

mod latency;
mod rate;
mod report;
#[cfg(test)]
mod simulation;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{Judgement, VariantEvidence};

pub use latency::LatencyCheck;
pub use rate::{Rate, RateCheck};
pub use report::{AnalysisReport, CheckOutcome};

/// Compares what was seen of a candidate with what was seen of the stable variant, check by check.
///
/// The comparisons are **anytime-valid**: look after every single request, stop whenever you like, and
/// still a candidate that is no worse fails with a probability of at most [`alpha`](Self::with_alpha) in
/// all. That share is split evenly between the checks (Bonferroni). The intervals are two-sided and only
/// one side fails a candidate, so in practice it is half of alpha: 2.7 % at most at an alpha of 5 %, over
/// 35 pairs of rate and share with a look after every request (`cargo test --release -p mlops-rollout --
/// --ignored --nocapture table`).
///
/// [`Failed`](crate::Verdict::Failed) may come as soon as the evidence is strong;
/// [`Passed`](crate::Verdict::Passed) takes the samples
/// that were asked for. No data is never success.
///
/// ```
/// use mlops_rollout::{Analysis, RateCheck, SamplesNeeded, VariantEvidence, Verdict};
///
/// let analysis = Analysis::new([RateCheck::failures()])?;
/// let stable = VariantEvidence::new(200, 0);
/// let needed = SamplesNeeded::each(200);
///
/// let report = analysis.compare(&stable, &VariantEvidence::new(0, 15), needed);
/// assert_eq!(report.verdict, Verdict::Failed);
/// let report = analysis.compare(&stable, &VariantEvidence::new(15, 0), needed);
/// assert_eq!(report.verdict, Verdict::Inconclusive); // 185 more are needed
/// let report = analysis.compare(&stable, &VariantEvidence::new(200, 0), needed);
/// assert_eq!(report.verdict, Verdict::Passed);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "AnalysisFields")]
pub struct Analysis {
    checks: Vec<Check>,
    alpha: f64,
    narrowest_at: u64,
}

/// One comparison of an [`Analysis`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Check {
    /// Of a rate.
    Rate(RateCheck),
    /// Of a quantile of the latency.
    Latency(LatencyCheck),
}

/// How many samples a check needs before it may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplesNeeded {
    /// Of the stable variant.
    pub stable: u64,
    /// Of the candidate.
    pub candidate: u64,
}

/// How sure a check has to be.
#[derive(Debug, Clone, Copy)]
struct Confidence {
    alpha: f64,
    narrowest_at: u64,
}

impl Analysis {
    /// These checks, at an alpha of 0.05.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is none, two have the same name, or a number is out of its
    /// range.
    pub fn new(checks: impl IntoIterator<Item = impl Into<Check>>) -> Result<Self> {
        let checks = checks.into_iter().map(Into::into).collect();
        Self { checks, alpha: default_alpha(), narrowest_at: default_narrowest_at() }.checked()
    }

    /// Adds a check, or puts it in the place of the one that has its name.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when one of its numbers is out of range.
    pub fn with_check(mut self, check: impl Into<Check>) -> Result<Self> {
        let check = check.into();
        match self.checks.iter_mut().find(|known| known.name() == check.name()) {
            Some(known) => *known = check,
            None => self.checks.push(check),
        }
        self.checked()
    }

    /// Sets the probability, all checks and looks together, of failing a candidate that is no worse.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless 0 < alpha < 1.
    pub fn with_alpha(mut self, alpha: f64) -> Result<Self> {
        self.alpha = alpha;
        self.checked()
    }

    /// Sets the sample size, both variants together at an even split, at which the intervals shall be
    /// narrowest: 1000 unless said. Smaller finds gross faults sooner, larger finds subtle ones.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for 0.
    pub fn with_narrowest_at(mut self, samples: u64) -> Result<Self> {
        self.narrowest_at = samples;
        self.checked()
    }

    /// The checks.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What the evidence says.
    #[must_use]
    pub fn compare(
        &self,
        stable: &VariantEvidence,
        candidate: &VariantEvidence,
        needed: SamplesNeeded,
    ) -> AnalysisReport {
        self.compare_as_one_of(1, stable, candidate, needed)
    }

    /// [`compare`](Self::compare) as one of `count` analyses that share alpha.
    pub(crate) fn compare_as_one_of(
        &self,
        count: usize,
        stable: &VariantEvidence,
        candidate: &VariantEvidence,
        needed: SamplesNeeded,
    ) -> AnalysisReport {
        let alpha = self.alpha / (self.checks.len() * count.max(1)) as f64;
        let confidence = Confidence { alpha, narrowest_at: self.narrowest_at };
        AnalysisReport::new(self.checks.iter().map(|check| {
            let Judgement { verdict, reason } = check.judge(stable, candidate, needed, confidence);
            CheckOutcome { check: check.name(), verdict, reason }
        }))
    }

    fn checked(self) -> Result<Self> {
        let fault = if self.checks.is_empty() {
            "has no check".to_owned()
        } else if !(self.alpha > 0.0 && self.alpha < 1.0) {
            format!("has an alpha of {}; it must lie between 0 and 1", self.alpha)
        } else if self.narrowest_at == 0 {
            "has its intervals narrowest at 0 samples; it must be 1 or more".to_owned()
        } else if let Some(fault) = self.checks.iter().find_map(Check::fault) {
            fault
        } else if let Some(name) = first_double(self.checks.iter().map(Check::name).collect()) {
            format!("has two checks of the {name}")
        } else {
            return Ok(self);
        };
        Err(Error::invalid_input(format!("the analysis {fault}")))
    }
}

fn first_double(mut names: Vec<String>) -> Option<String> {
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone())
}

impl Check {
    /// What is compared: `failure rate`, `p99 latency`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Rate(check) => check.name().to_owned(),
            Self::Latency(check) => check.name(),
        }
    }

    fn fault(&self) -> Option<String> {
        match self {
            Self::Rate(check) => check.fault(),
            Self::Latency(check) => check.fault(),
        }
    }

    fn judge(
        &self,
        stable: &VariantEvidence,
        candidate: &VariantEvidence,
        needed: SamplesNeeded,
        confidence: Confidence,
    ) -> Judgement {
        match self {
            Self::Rate(check) => check.judge(stable, candidate, needed, confidence),
            Self::Latency(check) => check.judge(stable, candidate, needed, confidence),
        }
    }
}

impl From<RateCheck> for Check {
    fn from(check: RateCheck) -> Self {
        Self::Rate(check)
    }
}

impl From<LatencyCheck> for Check {
    fn from(check: LatencyCheck) -> Self {
        Self::Latency(check)
    }
}

impl SamplesNeeded {
    /// So many of each variant.
    #[must_use]
    pub fn each(samples: u64) -> Self {
        Self { stable: samples, candidate: samples }
    }

    /// What is still missing, in words; `None` when nothing is.
    fn missing(self, what: &str, stable: u64, candidate: u64) -> Option<String> {
        let lacks = |who: &str, needed: u64, present: u64| {
            let more = needed.checked_sub(present).filter(|more| *more > 0)?;
            Some(format!("{more} more {what} of the {who} are needed ({present} of {needed})"))
        };
        let missing = [
            lacks("candidate", self.candidate.max(1), candidate),
            lacks("stable variant", self.stable.max(1), stable),
        ];
        let missing: Vec<String> = missing.into_iter().flatten().collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    }
}

/// What an analysis looks like before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnalysisFields {
    checks: Vec<Check>,
    #[serde(default = "default_alpha")]
    alpha: f64,
    #[serde(default = "default_narrowest_at")]
    narrowest_at: u64,
}

impl TryFrom<AnalysisFields> for Analysis {
    type Error = Error;

    fn try_from(AnalysisFields { checks, alpha, narrowest_at }: AnalysisFields) -> Result<Self> {
        Self { checks, alpha, narrowest_at }.checked()
    }
}

fn default_alpha() -> f64 {
    0.05
}

fn default_narrowest_at() -> u64 {
    1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    #[test]
    fn an_analysis_that_could_never_fail_is_refused() {
        assert!(Analysis::new([] as [Check; 0]).is_err());
        assert!(Analysis::new([RateCheck::failures().with_tolerance(f64::NAN)]).is_err());
        assert!(Analysis::new([RateCheck::failures(), RateCheck::failures()]).is_err());
        assert!(Analysis::new([LatencyCheck::p99(f64::INFINITY)]).is_err());
        let analysis = Analysis::new([RateCheck::failures()]).unwrap();
        assert!(analysis.clone().with_alpha(0.0).is_err());
        assert!(analysis.clone().with_narrowest_at(0).is_err());
        let tolerant = RateCheck::failures().with_tolerance(0.1);
        assert_eq!(analysis.with_check(tolerant).unwrap().checks(), [Check::Rate(tolerant)]);
    }

    #[test]
    fn serde_checks_what_new_checks() {
        let analysis = Analysis::new([RateCheck::bad_outcomes()]).unwrap().with_check(LatencyCheck::p99(1.5));
        let analysis = analysis.unwrap();
        let json = serde_json::to_string(&analysis).unwrap();
        assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), analysis, "{json}");
        for bad in [
            r#"{"checks":[]}"#,
            r#"{"checks":[{"kind":"rate","of":"failures","tolerance":-1}]}"#,
            r#"{"checks":[{"kind":"rate","of":"failures","tolerance":0,"toleranze":0}]}"#,
            r#"{"checks":[{"kind":"latency","quantile":1.0,"max_ratio":2}]}"#,
        ] {
            assert!(serde_json::from_str::<Analysis>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_data_is_never_success() {
        let analysis = Analysis::new([RateCheck::failures()]).unwrap();
        let none = VariantEvidence::default();
        let report = analysis.compare(&none, &none, SamplesNeeded::each(0));
        assert_eq!(report.verdict, Verdict::Inconclusive, "{report}");
        let half = analysis.compare(&none, &VariantEvidence::new(500, 0), SamplesNeeded::each(100));
        assert_eq!(half.verdict, Verdict::Inconclusive);
        assert_eq!(
            half.to_string(),
            "inconclusive: failure rate: 100 more requests of the stable variant are needed (0 of 100)"
        );
    }
}
