//! From counts to a report: which tests, and how false alarms are kept rare over many features.

use std::sync::Arc;

use mlops_core::stats::{Correction, adjust_p_values};
use mlops_core::{Assessment, Result, Verdict};

use crate::{
    ChiSquareRule, Counts, DriftReport, FeatureDrift, KsRule, MissingRateRule, NewCategoriesRule, Profile,
    PsiRule, RangeRule, Rule,
};

/// The tests of a report, in order, and how false alarms are kept rare over many features.
///
/// With a hundred features and one test at 1 %, one false alarm per window is the rule, not the exception.
/// So in a report
/// * the p-values of each test are adjusted over the features by Benjamini & Hochberg: the alpha of a rule is the
///   false-discovery rate of its test, the expected share of false among all features it reports;
/// * a rule without p-values, as that of the population stability index, has its alpha divided by the number of
///   features that it looks at (Bonferroni).
///
/// By default there are [`PsiRule`], [`KsRule`] for numbers, [`ChiSquareRule`] for categories, all at 1 %; and
/// [`MissingRateRule`], [`RangeRule`] for numbers and [`NewCategoriesRule`] for categories, at 0.1 %. When nothing has
/// changed, the chance that a report names any feature is about their sum at most, 3.3 %, and less, since every rule
/// also asks for an effect: `tests/false_alarms.rs` measures it. That is per window: looking at a growing window again
/// and again gives chance more opportunities than alpha says, so prefer to judge each window once, when it is
/// complete.
///
/// ```
/// use mlops_monitor::{JensenShannonRule, PsiRule, Rules, WassersteinRule};
///
/// let rules = Rules::default()
///     .with(PsiRule::default().with_drifted(0.25))
///     .with(WassersteinRule::default())
///     .with(JensenShannonRule::default())
///     .without("ks")
///     .with_min_samples(500);
/// let tests: Vec<_> = rules.iter().map(|rule| rule.test()).collect();
/// assert_eq!(tests[..2], ["psi", "chi_square"]);
/// assert_eq!(tests[5..], ["wasserstein", "jensen_shannon"]);
/// ```
///
/// # Which question the reference asks
/// | reference | compared with it | what differs is |
/// |---|---|---|
/// | the rows that the model was trained on | live inputs | drift: the world has moved |
/// | answers on validation rows | live answers | prediction drift |
/// | captured traffic of last week | live inputs | a change since then |
/// | what the training pipeline computes of the same hours | live inputs of these hours | training-serving skew: a bug |
///
/// Drift and skew are told apart by the hours alone. Here the service puts a zero where the pipeline knows no
/// income:
///
/// ```
/// use mlops_monitor::{Counters, Features, Profile, Rules, TensorFeatures};
/// use ndarray::Array2;
///
/// let known = |row: usize| row % 10 != 0;
/// let income = |row: usize| ((row * 7919) % 10_007) as f64;
/// let age = |row: usize| ((row * 31) % 60 + 20) as f64;
///
/// // The rows of yesterday as the pipeline computes them...
/// let offline = Array2::from_shape_fn((5_000, 2), |(row, column)| match column {
///     0 => age(row),
///     _ if known(row) => income(row),
///     _ => f64::NAN,
/// });
/// let features = Features::new([TensorFeatures::columns("x", ["age", "income"])])?;
/// let profile = Profile::from_array(offline.view(), features)?;
/// // ... and as the service has computed them.
/// let counters = Counters::new(profile);
/// for row in 0..5_000 {
///     counters.observe_row(&[age(row), if known(row) { income(row) } else { 0.0 }])?;
/// }
///
/// let skew = Rules::default().report(counters.profile(), &counters.snapshot())?;
/// assert_eq!(skew.drifted().collect::<Vec<_>>(), ["income"]);
/// let missing = skew.feature("income").unwrap();
/// assert_eq!((missing.reference_missing, missing.missing), (0.1, 0.0));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rules {
    rules: Vec<Arc<dyn Rule>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::none()
            .with(PsiRule::default())
            .with(KsRule::default())
            .with(ChiSquareRule::default())
            .with(MissingRateRule::default())
            .with(RangeRule::default())
            .with(NewCategoriesRule::default())
    }
}

impl Rules {
    /// No test at all, to begin with.
    #[must_use]
    pub fn none() -> Self {
        Self { rules: Vec::new() }
    }

    /// Adds a rule, behind the others; or replaces that of the same test.
    #[must_use]
    pub fn with(mut self, rule: impl Rule) -> Self {
        match self.rules.iter_mut().find(|known| known.test() == rule.test()) {
            Some(known) => *known = Arc::new(rule),
            None => self.rules.push(Arc::new(rule)),
        }
        self
    }

    /// Leaves out a test.
    #[must_use]
    pub fn without(mut self, test: &str) -> Self {
        self.rules.retain(|rule| rule.test() != test);
        self
    }

    /// The rules, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &dyn Rule> {
        self.rules.iter().map(AsRef::as_ref)
    }

    /// Sets how often chance alone may look like a change, in every test.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.rules = self.iter().map(|rule| rule.with_alpha(alpha)).collect();
        self
    }

    /// Sets the least number of values on each side, in every test.
    #[must_use]
    pub fn with_min_samples(mut self, min_samples: u64) -> Self {
        self.rules = self.iter().map(|rule| rule.with_min_samples(min_samples)).collect();
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
        self.iter().try_for_each(Rule::check)
    }

    /// [`report`](Self::report) for rules and counts that are known to be sound.
    pub(crate) fn judge(&self, profile: &Profile, counts: &Counts) -> DriftReport {
        let mut features: Vec<FeatureDrift> = profile
            .feature_profiles()
            .iter()
            .zip(&counts.features)
            .map(|(feature, live)| FeatureDrift {
                feature: feature.name().to_owned(),
                verdict: Verdict::TooFewSamples,
                assessments: Vec::new(),
                adjusted_p_value: None,
                missing: live.missing_share(),
                reference_missing: feature.counts().missing_share(),
            })
            .collect();
        for rule in &self.rules {
            assess(rule, profile, counts, &mut features);
        }
        for feature in &mut features {
            let p_values = feature.assessments.iter().filter_map(|assessment| assessment.adjusted_p_value);
            feature.adjusted_p_value = p_values.min_by(f64::total_cmp);
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

/// Adds the assessments of one rule to those features that it can judge.
fn assess(rule: &Arc<dyn Rule>, profile: &Profile, counts: &Counts, features: &mut [FeatureDrift]) {
    let profiles = || profile.feature_profiles().iter();
    let judged = profiles().filter(|feature| rule.applies_to(feature.kind())).count().max(1);
    let strict = rule.with_alpha(rule.alpha() / judged as f64);
    let mut tested = Vec::new();
    for ((feature, live), drift) in profiles().zip(&counts.features).zip(features) {
        if !rule.applies_to(feature.kind()) {
            continue;
        }
        let mut assessment = rule.assess(feature, live);
        if assessment.p_value.is_none() {
            assessment = strict.assess(feature, live);
        }
        drift.assessments.push(assessment);
        tested.extend(drift.assessments.last_mut().filter(|assessment| assessment.p_value.is_some()));
    }
    adjust(rule.as_ref(), tested);
}

/// Judges the assessments of one rule anew by p-values that are adjusted over the features.
fn adjust(rule: &dyn Rule, tested: Vec<&mut Assessment>) {
    let p_values: Vec<f64> = tested.iter().filter_map(|assessment| assessment.p_value).collect();
    let Ok(result) = adjust_p_values(&p_values, rule.alpha(), Correction::BenjaminiHochberg) else {
        return; // no feature has enough values
    };
    for (assessment, p_value) in tested.into_iter().zip(result.adjusted) {
        assessment.adjusted_p_value = Some(p_value);
        assessment.verdict = rule.verdict(assessment, p_value);
    }
}

fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    verdicts.max().unwrap_or(Verdict::TooFewSamples)
}
