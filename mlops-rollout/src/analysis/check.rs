//! One comparison of an analysis.

use serde::{Deserialize, Serialize};

use super::confidence::Confidence;
use super::finding::{Look, conclude};
use super::{
    CheckOutcome, LatencyCheck, LatencyLimit, MeanCheck, MeanLimit, RankCheck, RateCheck, RateLimit,
    SamplesNeeded, SrmCheck,
};

/// One check of an [`Analysis`](super::Analysis).
///
/// In TOML, or any other form of serde:
///
/// ```
/// use mlops_rollout::Analysis;
///
/// let analysis: Analysis = serde_json::from_str(
///     r#"{"checks": [
///         {"kind": "rate", "of": "failures", "tolerance": 0.001},
///         {"kind": "rate_limit", "of": "failures", "at_most": 0.01},
///         {"kind": "latency", "quantile": 0.99, "max_ratio": 1.2},
///         {"kind": "latency_limit", "quantile": 0.99, "at_most": "50ms"},
///         {"kind": "mean", "metric": "revenue", "worse": "lower", "relative_tolerance": 0.1},
///         {"kind": "mean_limit", "metric": "score", "at_least": 0.2},
///         {"kind": "rank", "metric": "tokens", "worse": "higher"},
///         {"kind": "srm", "on_mismatch": "failed"}
///     ]}"#,
/// )?;
/// # assert_eq!(analysis.checks().len(), 8);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Check {
    /// Of a rate, with that of the stable variant.
    Rate(RateCheck),
    /// Of a rate, with a limit.
    RateLimit(RateLimit),
    /// Of a quantile of the latency, with that of the stable variant.
    Latency(LatencyCheck),
    /// Of a quantile of the latency, with a limit.
    LatencyLimit(LatencyLimit),
    /// Of the mean of a metric, with that of the stable variant.
    Mean(MeanCheck),
    /// Of the mean of a metric, with a limit.
    MeanLimit(MeanLimit),
    /// Of the values of a metric, with those of the stable variant.
    Rank(RankCheck),
    /// Of the split of the traffic, with the shares it should have.
    Srm(SrmCheck),
}

impl Check {
    /// What is compared: `failure rate`, `p99 latency`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Rate(check) => check.name().to_owned(),
            Self::RateLimit(check) => check.name(),
            Self::Latency(check) => check.name(),
            Self::LatencyLimit(check) => check.name(),
            Self::Mean(check) => check.name(),
            Self::MeanLimit(check) => check.name(),
            Self::Rank(check) => check.name(),
            Self::Srm(_) => "sample ratio".to_owned(),
        }
    }

    pub(super) fn fault(&self) -> Option<String> {
        match self {
            Self::Rate(check) => check.fault(),
            Self::RateLimit(check) => check.fault(),
            Self::Latency(check) => check.fault(),
            Self::LatencyLimit(check) => check.fault(),
            Self::Mean(check) => check.fault(),
            Self::MeanLimit(check) => check.fault(),
            Self::Rank(check) => check.fault(),
            Self::Srm(check) => check.fault(),
        }
    }

    /// Whether it says anything about the candidate, and so has its part of alpha.
    pub(super) fn judges_the_candidate(&self) -> bool {
        !matches!(self, Self::Srm(_))
    }

    /// `None` for a check of the split, which has an alpha of its own.
    pub(super) fn judge(
        &self,
        look: Look<'_>,
        needed: SamplesNeeded,
        confidence: Confidence,
    ) -> Option<CheckOutcome> {
        let (found, samples, needed) = match self {
            Self::Rate(check) => (check.find(look, confidence), check.samples(look), check.needed(needed)),
            Self::RateLimit(check) => (check.find(look, confidence), check.samples(look), needed),
            Self::Latency(check) => {
                (check.find(look, confidence), LatencyCheck::samples(look), check.needed(needed))
            }
            Self::LatencyLimit(check) => {
                (check.find(look, confidence), LatencyLimit::samples(look), check.needed(needed))
            }
            Self::Mean(check) => (check.find(look, confidence), check.samples(look), check.needed(needed)),
            Self::MeanLimit(check) => {
                (check.find(look, confidence), check.samples(look), MeanLimit::needed(needed))
            }
            Self::Rank(check) => (check.find(look, confidence), check.samples(look), check.needed(needed)),
            Self::Srm(_) => return None,
        };
        Some(conclude(self.name(), found, samples, needed, confidence))
    }
}

macro_rules! checks {
    ($($variant:ident of $check:ident),* $(,)?) => {$(
        impl From<$check> for Check {
            fn from(check: $check) -> Self {
                Self::$variant(check)
            }
        }
    )*};
}

checks! {
    Rate of RateCheck,
    RateLimit of RateLimit,
    Latency of LatencyCheck,
    LatencyLimit of LatencyLimit,
    Mean of MeanCheck,
    MeanLimit of MeanLimit,
    Rank of RankCheck,
    Srm of SrmCheck,
}
