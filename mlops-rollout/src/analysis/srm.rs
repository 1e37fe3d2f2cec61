//! Whether the traffic was split as it should have been.

use mlops_core::stats::{SRM_ALPHA, StatsError, srm_chi2};
use serde::{Deserialize, Serialize};

use super::confidence::{Confidence, TestMode};
use super::finding::Look;
use super::needed::{Samples, SamplesNeeded};
use super::rate::{Count, difference_from};
use super::report::{CheckOutcome, Numbers};
use crate::Verdict;

/// The candidate's share of the samples must be that of the traffic it was given.
///
/// A mismatch means that assignment or counting is broken: requests that are lost on the way, retries that land
/// elsewhere, a router that does not do what it was told. Then no comparison is to be trusted, however good it
/// looks, so a mismatch keeps the whole analysis from passing and is named. What failed stays failed.
///
/// Distinct users are compared where [they are counted](crate::Evidence::with_users), requests otherwise.
/// Requests follow the shares only where each is drawn by itself; where users stick to their variant and some
/// send many, count users.
///
/// The share is that of the step of the plan, or [given](Self::with_share): where other variants have traffic too, say
/// which part of that of the two is the candidate's. At a share of 1 there is nothing to
/// compare, and the check is left out. It has an alpha of its own, 0.001, as is customary ([`SRM_ALPHA`]). With
/// many looks it is a confidence sequence for the share, with one look the chi-squared test of [`srm_chi2`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SrmCheck {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    #[serde(default)]
    on_mismatch: OnMismatch,
}

/// What a sample-ratio mismatch says about the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnMismatch {
    /// Nothing: it can not be judged.
    #[default]
    Inconclusive,
    /// That it has failed.
    Failed,
}

impl SrmCheck {
    /// Compares with the share of the step; a mismatch makes the analysis inconclusive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Compares with this share of the candidate among both variants, whatever the step says.
    #[must_use]
    pub fn with_share(mut self, share: f64) -> Self {
        self.share = Some(share);
        self
    }

    /// What a mismatch leads to.
    #[must_use]
    pub fn with_on_mismatch(mut self, policy: OnMismatch) -> Self {
        self.on_mismatch = policy;
        self
    }

    pub(super) fn fault(&self) -> Option<String> {
        let share = self.share.filter(|share| !(*share > 0.0 && *share < 1.0))?;
        Some(format!("expects a sample ratio of {share}; it must lie between 0 and 1"))
    }

    /// `None` where the candidate gets all traffic.
    pub(super) fn judge(&self, look: Look<'_>, mode: TestMode, narrowest_at: u64) -> Option<CheckOutcome> {
        let share = self.share.or(look.share).filter(|share| *share > 0.0);
        if share.is_some_and(|share| share >= 1.0) {
            return None;
        }
        let sampled = Sampled::of(look);
        let samples =
            Samples { what: sampled.what, stable: Some(sampled.stable), candidate: sampled.candidate };
        let (verdict, reason, numbers) = match share {
            None => {
                let reason = "which share of the traffic the candidate should have is not known".to_owned();
                (Verdict::Inconclusive, reason, Numbers::new(None, SRM_ALPHA, samples, None))
            }
            Some(share) => {
                self.compare(share, &sampled, samples, Confidence::new(mode, SRM_ALPHA, narrowest_at))
            }
        };
        Some(CheckOutcome { check: "sample ratio".to_owned(), verdict, reason, numbers })
    }

    fn compare(
        &self,
        share: f64,
        sampled: &Sampled,
        samples: Samples,
        confidence: Confidence,
    ) -> (Verdict, String, Numbers) {
        let count = Count::new(sampled.candidate, sampled.stable.saturating_add(sampled.candidate));
        // The smaller variant must expect five.
        let enough = (5.0 / share.min(1.0 - share)).ceil() as u64;
        let missing = enough.saturating_sub(count.all);
        if missing > 0 {
            let reason = format!("{missing} more {} are needed ({} of {enough})", sampled.what, count.all);
            let more = SamplesNeeded { stable: 0, candidate: missing };
            return (Verdict::Inconclusive, reason, Numbers::new(None, SRM_ALPHA, samples, Some(more)));
        }
        let words = format!(
            "{count} of the {} came to the candidate, where {:.3} % should",
            sampled.what,
            100.0 * share
        );
        match mismatch(share, count, sampled.renewed, confidence) {
            Ok((mismatch, numbers)) => {
                let numbers = Numbers { stable: sampled.stable, candidate: sampled.candidate, ..numbers };
                match (mismatch, self.on_mismatch) {
                    (false, _) => (Verdict::Passed, words, numbers),
                    (true, OnMismatch::Inconclusive) => (
                        Verdict::Inconclusive,
                        format!("mismatch: {words}; no comparison is to be trusted"),
                        numbers,
                    ),
                    (true, OnMismatch::Failed) => (Verdict::Failed, format!("mismatch: {words}"), numbers),
                }
            }
            Err(error) => {
                (Verdict::Inconclusive, error.to_string(), Numbers::new(None, SRM_ALPHA, samples, None))
            }
        }
    }
}

/// Whether the counts contradict the share, and the numbers.
fn mismatch(
    share: f64,
    count: Count,
    renewed: f64,
    confidence: Confidence,
) -> Result<(bool, Numbers), StatsError> {
    let samples = Samples { what: "", stable: None, candidate: 0 };
    let found = difference_from(share, count, renewed, confidence)?;
    let mut numbers = Numbers::new(Some(found), SRM_ALPHA, samples, None);
    if confidence.is_sequential() {
        return Ok((found.lower > 0.0 || found.upper < 0.0, numbers));
    }
    let test = srm_chi2(&[count.all - count.bad, count.bad], &[1.0 - share, share])?;
    numbers.p_value = Some(test.p_value);
    Ok((test.is_mismatch(SRM_ALPHA), numbers))
}

/// Who came to which variant.
struct Sampled {
    what: &'static str,
    stable: u64,
    candidate: u64,
    /// How often the sample was renewed, if it is one of more.
    renewed: f64,
}

impl Sampled {
    fn of(look: Look<'_>) -> Self {
        let (stable, candidate, share) = look.stable.users.sampled_with(&look.candidate.users);
        if stable + candidate > 0 {
            return Self { what: "users", stable, candidate, renewed: 1.0 / share };
        }
        let (stable, candidate) = (look.stable.requests(), look.candidate.requests());
        Self { what: "requests", stable, candidate, renewed: 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Analysis, RateCheck};
    use super::*;
    use crate::{Users, VariantEvidence};

    fn verdicts(
        check: SrmCheck,
        stable: &VariantEvidence,
        candidate: &VariantEvidence,
    ) -> Vec<(String, Verdict)> {
        let mut verdicts = Vec::new();
        for mode in [TestMode::Sequential, TestMode::FixedHorizon] {
            let analysis = Analysis::new([RateCheck::failures()]).unwrap().with_mode(mode);
            let report = analysis.with_check(check).unwrap().compare_at(
                0.1,
                stable,
                candidate,
                SamplesNeeded::each(10),
            );
            verdicts.extend(report.checks.into_iter().map(|outcome| (outcome.check, outcome.verdict)));
            verdicts.push(("all".to_owned(), report.verdict));
        }
        verdicts
    }

    fn named(verdicts: [(&str, Verdict); 3]) -> Vec<(String, Verdict)> {
        [verdicts, verdicts].concat().into_iter().map(|(name, verdict)| (name.to_owned(), verdict)).collect()
    }

    #[test]
    fn a_mismatch_spoils_the_whole_and_is_named() {
        use Verdict::{Failed, Inconclusive, Passed};
        let (stable, good, few) =
            (VariantEvidence::new(9_000, 0), VariantEvidence::new(1_030, 0), VariantEvidence::new(600, 0));
        let check = SrmCheck::new();
        let expected = named([("failure rate", Passed), ("sample ratio", Passed), ("all", Passed)]);
        assert_eq!(verdicts(check, &stable, &good), expected);
        let expected =
            named([("failure rate", Passed), ("sample ratio", Inconclusive), ("all", Inconclusive)]);
        assert_eq!(verdicts(check, &stable, &few), expected);
        let strict = check.with_on_mismatch(OnMismatch::Failed);
        let expected = named([("failure rate", Passed), ("sample ratio", Failed), ("all", Failed)]);
        assert_eq!(verdicts(strict, &stable, &few), expected);
        let broken = VariantEvidence::new(300, 300);
        let expected = named([("failure rate", Failed), ("sample ratio", Inconclusive), ("all", Failed)]);
        assert_eq!(verdicts(check, &stable, &broken), expected);
        assert_eq!(verdicts(check.with_share(0.0625), &stable, &few)[1].1, Passed);
    }

    #[test]
    fn users_count_not_their_requests() {
        let users = |range: std::ops::Range<u64>| -> Users {
            range.map(|user| xxhash_rust::xxh3::xxh3_64(&user.to_le_bytes())).collect()
        };
        // One user of the candidate sends half of all requests.
        let stable = VariantEvidence::new(9_000, 0).with_users(users(0..9_000));
        let candidate = VariantEvidence::new(9_000, 0).with_users(users(9_000..10_000));
        assert_eq!(verdicts(SrmCheck::new(), &stable, &candidate)[1].1, Verdict::Passed);
        let too_many = VariantEvidence::new(1_000, 0).with_users(users(9_000..11_500));
        assert_eq!(verdicts(SrmCheck::new(), &stable, &too_many)[1].1, Verdict::Inconclusive);
    }

    #[test]
    fn too_little_and_nothing_to_compare() {
        let analysis = Analysis::new([RateCheck::failures()]).unwrap().with_check(SrmCheck::new()).unwrap();
        let seen = VariantEvidence::new(20, 0);
        let report = analysis.compare_at(0.1, &seen, &seen, SamplesNeeded::each(1));
        assert_eq!(report.checks[1].reason, "10 more requests are needed (40 of 50)");
        assert_eq!(report.verdict, Verdict::Inconclusive);
        let report = analysis.compare(&seen, &seen, SamplesNeeded::each(1));
        assert_eq!(report.checks[1].verdict, Verdict::Inconclusive, "no share is known");
        let report = analysis.compare_at(1.0, &seen, &seen, SamplesNeeded::each(1));
        assert_eq!((report.checks.len(), report.verdict), (1, Verdict::Passed));
        assert!(Analysis::new([SrmCheck::new()]).is_err(), "it compares nothing");
    }
}
