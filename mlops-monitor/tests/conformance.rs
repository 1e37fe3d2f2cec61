//! The detectors keep the contract of the trait, and the suite notices those that do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};

use mlops_core::conformance::drift::{check, check_categorical};
use mlops_core::{Assessment, Column, DriftDetector, Result, Verdict};
use mlops_monitor::{
    BinnedDetector, ChiSquareRule, FeatureProfile, JensenShannonRule, KsDetector, KsRule, MissingRateRule,
    NewCategoriesRule, PsiDetector, PsiRule, RangeRule, Rule, WassersteinRule,
};

fn detector<R: Rule>(reference: &[f64], rule: R) -> BinnedDetector<R> {
    BinnedDetector::new(FeatureProfile::new("x", reference).unwrap(), rule).unwrap()
}

#[test]
fn psi_keeps_the_contract() {
    check(|reference| -> PsiDetector { detector(reference, PsiRule::default()) });
}

#[test]
fn ks_keeps_the_contract() {
    check(|reference| -> KsDetector { detector(reference, KsRule::default()) });
}

#[test]
fn jensen_shannon_keeps_the_contract() {
    check(|reference| detector(reference, JensenShannonRule::default()));
}

#[test]
fn chi_square_keeps_the_contract_on_deciles() {
    check(|reference| detector(reference, ChiSquareRule::default()));
}

#[test]
fn wasserstein_keeps_the_contract() {
    check(|reference| detector(reference, WassersteinRule::default()));
}

#[test]
fn range_keeps_the_contract() {
    check(|reference| detector(reference, RangeRule::default()));
}

fn of_words<R: Rule>(reference: &[&str], rule: R) -> BinnedDetector<R> {
    let words = reference.iter().map(|word| Some(*word));
    BinnedDetector::new(FeatureProfile::categorical("x", words).unwrap(), rule).unwrap()
}

#[test]
fn detectors_of_categories_keep_the_contract() {
    check_categorical(|reference| of_words(reference, PsiRule::default()));
    check_categorical(|reference| of_words(reference, ChiSquareRule::default()));
    check_categorical(|reference| of_words(reference, JensenShannonRule::default()));
    check_categorical(|reference| of_words(reference, NewCategoriesRule::default()));
}

/// It looks at missing values only, so a shift is nothing to it.
#[test]
fn missing_values_are_judged_from_enough_samples_on() {
    let values: Vec<f64> = (0..500).map(f64::from).collect();
    let missing = detector(&values, MissingRateRule::default());
    assert_eq!(missing.assess().verdict, Verdict::TooFewSamples);
    missing.observe(Column::Numeric(&[f64::NAN; 99])).unwrap();
    assert_eq!((missing.assess().score, missing.assess().verdict), (None, Verdict::TooFewSamples));
    missing.observe(Column::Numeric(&[f64::NAN])).unwrap();
    assert_eq!((missing.assess().score, missing.assess().verdict), (Some(1.0), Verdict::Drifted));
    missing.reset();
    missing.observe(Column::Numeric(&values)).unwrap();
    assert_eq!((missing.assess().score, missing.assess().verdict), (Some(0.0), Verdict::Stable));
}

/// A good detector with one broken promise.
#[derive(Debug)]
struct Broken {
    inner: PsiDetector,
    fault: Fault,
    fed: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    AnswersAtOnce,
    NeverDrifts,
    AlwaysDrifts,
    ScoreIsNan,
    SwallowsCategories,
    CountsARefusedColumn,
    KeepsTheWindow,
    ForgetsThePortionBefore,
    MiscountsTheReference,
}

impl DriftDetector for Broken {
    fn test(&self) -> &str {
        self.inner.test()
    }

    fn observe(&self, column: Column<'_>) -> Result<()> {
        self.fed.store(true, Ordering::Relaxed);
        if self.fault == Fault::ForgetsThePortionBefore {
            self.inner.reset();
        }
        match (self.fault, column) {
            (Fault::SwallowsCategories, Column::Categorical(_)) => Ok(()),
            (Fault::CountsARefusedColumn, Column::Categorical(_)) => {
                self.inner.observe(Column::Numeric(&[0.0]))?;
                self.inner.observe(column)
            }
            _ => self.inner.observe(column),
        }
    }

    fn assess(&self) -> Assessment {
        let mut assessment = self.inner.assess();
        let answers = assessment.verdict != Verdict::TooFewSamples;
        match self.fault {
            Fault::AnswersAtOnce => assessment.score = assessment.score.or(Some(0.0)),
            Fault::NeverDrifts if answers => assessment.verdict = Verdict::Stable,
            Fault::AlwaysDrifts if answers => assessment.verdict = Verdict::Drifted,
            Fault::ScoreIsNan if assessment.current_size == 0 && self.fed.load(Ordering::Relaxed) => {
                assessment.score = Some(f64::NAN);
            }
            Fault::MiscountsTheReference => assessment.reference_size += 1,
            _ => {}
        }
        assessment
    }

    fn reset(&self) {
        if self.fault != Fault::KeepsTheWindow {
            self.inner.reset();
        }
    }
}

fn check_broken(fault: Fault) {
    check(|reference| Broken {
        inner: detector(reference, PsiRule::default()),
        fault,
        fed: AtomicBool::new(false),
    });
}

macro_rules! the_suite_notices {
    ($($name:ident: $fault:ident says $words:literal;)*) => {$(
        #[test]
        #[should_panic(expected = $words)]
        fn $name() {
            check_broken(Fault::$fault);
        }
    )*};
}

the_suite_notices! {
    an_answer_without_values: AnswersAtOnce says "too few samples, but a number";
    a_missed_change: NeverDrifts says "was missed";
    a_false_alarm: AlwaysDrifts says "false alarm";
    a_nan: ScoreIsNan says "the score is NaN";
    a_column_that_vanishes: SwallowsCategories says "but not counted";
    a_refused_column_that_is_counted: CountsARefusedColumn says "but something was added";
    a_reset_that_is_none: KeepsTheWindow says "something is left of the old window";
    lost_values: ForgetsThePortionBefore says "smaller portions";
    a_wrong_size: MiscountsTheReference says "the size of the reference";
}
