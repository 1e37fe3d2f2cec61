//! Is the candidate as good as the stable variant?

mod check;
mod confidence;
mod finding;
mod latency;
mod limit;
mod mean;
mod needed;
mod rank;
mod rate;
mod report;
#[cfg(test)]
mod simulation;
mod srm;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trials;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{VariantEvidence, Verdict};
use confidence::Confidence;
use finding::Look;

pub use check::Check;
pub use confidence::TestMode;
pub use latency::LatencyCheck;
pub use limit::{LatencyLimit, MeanLimit, RateLimit};
pub use mean::{MeanCheck, Worse};
pub use needed::SamplesNeeded;
pub use rank::RankCheck;
pub use rate::{Rate, RateCheck};
pub use report::{AnalysisReport, CheckOutcome, Numbers};
pub use srm::{OnMismatch, SrmCheck};

/// Compares what was seen of a candidate with what was seen of the stable variant, check by check.
///
/// | check | asks |
/// |---|---|
/// | [`RateCheck`] | Does it fail, or turn out bad, more often? |
/// | [`LatencyCheck`] | Is it slower? |
/// | [`MeanCheck`], [`RankCheck`] | Is a metric worse, by its mean, or by where its values lie? |
/// | [`RateLimit`], [`LatencyLimit`], [`MeanLimit`] | Does it keep to a limit, whatever the stable variant does? |
/// | [`SrmCheck`] | Was the traffic split as it should have been? |
///
/// The comparisons are **anytime-valid**: look after every single request, stop whenever you like, and
/// still a candidate that is no worse fails with a probability of at most [`alpha`](Self::with_alpha) in
/// all. That share is split evenly between the checks (Bonferroni). The intervals are two-sided and only
/// one side fails a candidate, so in practice it is about half of alpha.
///
#[doc = include_str!("false_alarms.md")]
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
    #[serde(skip_serializing_if = "is_default")]
    mode: TestMode,
    #[serde(skip_serializing_if = "is_default")]
    error_control: ErrorControl,
}

/// How alpha is kept over several checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorControl {
    /// Each check has an even part of it.
    #[default]
    Bonferroni,
    /// Each check has an even part, and those that fail hand theirs on to the others: Holm, "A simple
    /// sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2), 1979. The
    /// verdict on the whole is the same, for one check that fails is enough; the report names more of what
    /// else is wrong. It holds at any number of looks if the analysis does.
    Holm,
}

impl Analysis {
    /// These checks, at an alpha of 0.05.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is none that judges the candidate, two have the same name, or a
    /// number is out of its range.
    pub fn new(checks: impl IntoIterator<Item = impl Into<Check>>) -> Result<Self> {
        let checks = checks.into_iter().map(Into::into).collect();
        let (mode, error_control) = (TestMode::default(), ErrorControl::default());
        Self { checks, alpha: default_alpha(), narrowest_at: default_narrowest_at(), mode, error_control }
            .checked()
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

    /// Sets how often it may look: [`TestMode::Sequential`] unless said.
    #[must_use]
    pub fn with_mode(mut self, mode: TestMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets how alpha is kept over several checks: [`ErrorControl::Bonferroni`] unless said.
    #[must_use]
    pub fn with_error_control(mut self, control: ErrorControl) -> Self {
        self.error_control = control;
        self
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

    /// [`compare`](Self::compare) where the candidate has this share of the traffic of both, 0 to 1, which
    /// [`SrmCheck`] has to know.
    #[must_use]
    pub fn compare_at(
        &self,
        share: f64,
        stable: &VariantEvidence,
        candidate: &VariantEvidence,
        needed: SamplesNeeded,
    ) -> AnalysisReport {
        self.compare_at_as_one_of(1, share, stable, candidate, needed)
    }

    /// [`compare`](Self::compare) as one of `count` analyses that share alpha.
    pub(crate) fn compare_as_one_of(
        &self,
        count: usize,
        stable: &VariantEvidence,
        candidate: &VariantEvidence,
        needed: SamplesNeeded,
    ) -> AnalysisReport {
        self.judge(count, Look { stable, candidate, share: None }, needed)
    }

    /// [`compare_at`](Self::compare_at) as one of `count` analyses that share alpha.
    pub(crate) fn compare_at_as_one_of(
        &self,
        count: usize,
        share: f64,
        stable: &VariantEvidence,
        candidate: &VariantEvidence,
        needed: SamplesNeeded,
    ) -> AnalysisReport {
        self.judge(count, Look { stable, candidate, share: Some(share) }, needed)
    }

    fn judge(&self, count: usize, look: Look<'_>, needed: SamplesNeeded) -> AnalysisReport {
        let judging = self.checks.iter().filter(|check| check.judges_the_candidate()).count();
        let part = |of: usize| self.alpha / (of.max(1) * count.max(1)) as f64;
        let confidence = Confidence::new(self.mode, part(judging), self.narrowest_at);
        let mut outcomes: Vec<_> = self
            .checks
            .iter()
            .filter_map(|check| {
                let outcome = match check {
                    Check::Srm(check) => check.judge(look, self.mode, self.narrowest_at),
                    check => check.judge(look, needed, confidence),
                };
                Some((check, outcome?))
            })
            .collect();
        if self.error_control == ErrorControl::Holm {
            let mut handed_on = 0;
            loop {
                let failed = outcomes.iter().filter(|(check, outcome)| {
                    check.judges_the_candidate() && outcome.verdict == Verdict::Failed
                });
                let failed = failed.count();
                if failed == handed_on || failed == judging {
                    break;
                }
                handed_on = failed;
                let confidence = confidence.with_alpha(part(judging - failed));
                for (check, outcome) in &mut outcomes {
                    if outcome.verdict != Verdict::Failed
                        && let Some(again) = check.judge(look, needed, confidence)
                    {
                        *outcome = again;
                    }
                }
            }
        }
        AnalysisReport::new(outcomes.into_iter().map(|(_, outcome)| outcome))
    }

    fn checked(self) -> Result<Self> {
        let fault = if self.checks.is_empty() {
            "has no check".to_owned()
        } else if !self.checks.iter().any(Check::judges_the_candidate) {
            "checks the split of the traffic and nothing of the candidate".to_owned()
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

/// What an analysis looks like before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnalysisFields {
    checks: Vec<Check>,
    #[serde(default = "default_alpha")]
    alpha: f64,
    #[serde(default = "default_narrowest_at")]
    narrowest_at: u64,
    #[serde(default)]
    mode: TestMode,
    #[serde(default)]
    error_control: ErrorControl,
}

impl TryFrom<AnalysisFields> for Analysis {
    type Error = Error;

    fn try_from(fields: AnalysisFields) -> Result<Self> {
        let AnalysisFields { checks, alpha, narrowest_at, mode, error_control } = fields;
        Self { checks, alpha, narrowest_at, mode, error_control }.checked()
    }
}

fn default_alpha() -> f64 {
    0.05
}

fn default_narrowest_at() -> u64 {
    1_000
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
