//! From counts to a report: which tests, and how false alarms are kept rare over many features.

use mlops_core::stats::{Correction, adjust_p_values};
use mlops_core::{Assessment, Result, Verdict};

use crate::{Counts, DriftReport, FeatureDrift, KsRule, Profile, PsiRule, Rule};

/// The tests of a report, and how false alarms are kept rare over many features.
///
/// With a hundred features and one test at 1 %, one false alarm per window is the rule, not the exception.
/// So in a report
/// * the p-values of the Kolmogorov-Smirnov test are adjusted over the features by Benjamini & Hochberg:
///   [`KsRule::alpha`] is the false-discovery rate, the expected share of false among all features reported;
/// * the population stability index has to exceed what chance exceeds with probability [`PsiRule::alpha`]
///   divided by the number of features (Bonferroni).
///
/// When nothing has changed, the chance that a report names any feature is about the sum of the two alphas:
/// 2 % by default. That is per window: looking at a growing window again and again gives chance more
/// opportunities than alpha says, so prefer to judge each window once, when it is complete.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Rules {
    /// The population stability index; `None` leaves it out.
    pub psi: Option<PsiRule>,
    /// The Kolmogorov-Smirnov test; `None` leaves it out.
    pub ks: Option<KsRule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { psi: Some(PsiRule::default()), ks: Some(KsRule::default()) }
    }
}

impl Rules {
    /// Sets the rule of the population stability index; `None` leaves it out.
    #[must_use]
    pub fn with_psi(mut self, psi: impl Into<Option<PsiRule>>) -> Self {
        self.psi = psi.into();
        self
    }

    /// Sets the rule of the Kolmogorov-Smirnov test; `None` leaves it out.
    #[must_use]
    pub fn with_ks(mut self, ks: impl Into<Option<KsRule>>) -> Self {
        self.ks = ks.into();
        self
    }

    /// Sets how often chance alone may look like a change, in every test.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.psi = self.psi.map(|psi| psi.with_alpha(alpha));
        self.ks = self.ks.map(|ks| ks.with_alpha(alpha));
        self
    }

    /// Sets the least number of values on each side, in every test.
    #[must_use]
    pub fn with_min_samples(mut self, min_samples: u64) -> Self {
        self.psi = self.psi.map(|psi| psi.with_min_samples(min_samples));
        self.ks = self.ks.map(|ks| ks.with_min_samples(min_samples));
        self
    }

    /// What `counts` say about each feature of `profile`: a pure function, also for counts merged from many
    /// replicas.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when a threshold is impossible or the
    /// counts belong to another profile.
    pub fn report(&self, profile: &Profile, counts: &Counts) -> Result<DriftReport> {
        self.check()?;
        profile.check(counts)?;
        Ok(self.judge(profile, counts))
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.psi.iter().try_for_each(Rule::check)?;
        self.ks.iter().try_for_each(Rule::check)
    }

    /// [`report`](Self::report) for rules and counts that are known to be sound.
    pub(crate) fn judge(&self, profile: &Profile, counts: &Counts) -> DriftReport {
        let psi = self.psi.map(|rule| rule.with_alpha(rule.alpha / profile.features().len().max(1) as f64));
        let mut features: Vec<FeatureDrift> = profile
            .feature_profiles()
            .iter()
            .zip(&counts.features)
            .map(|(feature, live)| {
                let psi = psi.map(|rule| rule.assess(feature, live));
                let ks = self.ks.map(|rule| rule.assess(feature, live));
                FeatureDrift {
                    feature: feature.name().to_owned(),
                    verdict: Verdict::TooFewSamples,
                    assessments: psi.into_iter().chain(ks).collect(),
                    adjusted_p_value: None,
                    missing: live.missing_share(),
                    reference_missing: feature.counts().missing_share(),
                }
            })
            .collect();
        if let Some(rule) = &self.ks {
            adjust(rule, &mut features);
        }
        for feature in &mut features {
            feature.verdict = worst(feature.assessments.iter().map(|assessment| assessment.verdict));
        }
        DriftReport {
            verdict: worst(features.iter().map(|feature| feature.verdict)),
            rows: counts.rows,
            reference_rows: profile.rows(),
            dropped: counts.dropped,
            features,
        }
    }
}

/// Judges the Kolmogorov-Smirnov tests anew by p-values that are adjusted over the features.
fn adjust(rule: &KsRule, features: &mut [FeatureDrift]) {
    let mut tested: Vec<(&mut Assessment, &mut Option<f64>)> = features
        .iter_mut()
        .filter_map(|feature| {
            let assessment = feature.assessments.iter_mut().find(|it| it.test == rule.test())?;
            assessment.p_value.is_some().then_some((assessment, &mut feature.adjusted_p_value))
        })
        .collect();
    let p_values: Vec<f64> = tested.iter().filter_map(|(assessment, _)| assessment.p_value).collect();
    let Ok(result) = adjust_p_values(&p_values, rule.alpha, Correction::BenjaminiHochberg) else {
        return; // no feature has enough values
    };
    for ((assessment, adjusted), p_value) in tested.iter_mut().zip(result.adjusted) {
        **adjusted = Some(p_value);
        assessment.verdict = rule.verdict(assessment.score.unwrap_or_default(), p_value);
    }
}

fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    verdicts.max().unwrap_or(Verdict::TooFewSamples)
}
