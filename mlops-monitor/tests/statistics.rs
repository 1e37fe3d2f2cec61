//! Counting in bins gives what the statistics give on raw data, and rare false alarms.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use common::Random;
use mlops_core::stats::{KsOptions, PsiOptions, ks_2samp, psi};
use mlops_core::{Assessment, Column, DriftDetector, Verdict};
use mlops_monitor::{
    BinnedDetector, Counters, FeatureProfile, Features, KsRule, Profile, PsiRule, Rule, Rules, TensorFeatures,
};
use ndarray::Array2;
use proptest::prelude::*;

fn assess<R: Rule>(reference: &[f64], current: &[f64], rule: R) -> Assessment {
    let detector = BinnedDetector::new(FeatureProfile::new("x", reference).unwrap(), rule).unwrap();
    detector.observe(Column::Numeric(current)).unwrap();
    detector.assess()
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    let size = 100..900_usize;
    prop_oneof![
        prop::collection::vec(-5.0..5.0, size.clone()),
        prop::collection::vec((0..12_i32).prop_map(f64::from), size.clone()),
        prop::collection::vec((0..400_i32).prop_map(|value| f64::from(value) / 3.0), size.clone()),
        prop::collection::vec(prop_oneof![3 => Just(0.0), 1 => 0.0..9.0, 1 => Just(1.5)], size.clone()),
        (any::<f32>().prop_filter("finite", |value| value.is_finite()), size)
            .prop_map(|(value, size)| vec![f64::from(value); size]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn psi_is_that_of_the_raw_values(reference in values(), current in values()) {
        let expected = psi(&reference, &current, PsiOptions::default()).unwrap();
        let assessment = assess(&reference, &current, PsiRule::default());
        prop_assert_eq!(assessment.score, Some(expected.value));

        let profile = FeatureProfile::new("x", &reference).unwrap();
        prop_assert_eq!(profile.deciles().collect::<Vec<_>>(), expected.edges);
    }

    #[test]
    fn ks_is_that_of_the_raw_values_within_its_bound(reference in values(), current in values()) {
        let exact = ks_2samp(&reference, &current, KsOptions::default()).unwrap().statistic;
        let score = assess(&reference, &current, KsRule::default()).score.unwrap();
        let bound = FeatureProfile::new("x", &reference).unwrap().resolution();
        prop_assert!(bound <= 0.022_f64.max(0.01 + 1.0 / reference.len() as f64), "{bound}");
        prop_assert!(score <= exact + 1e-12, "{score} is no lower bound of {exact}");
        prop_assert!(score >= exact - bound - 1e-12, "{score} is too far below {exact}");
    }

    #[test]
    fn ks_of_a_discrete_feature_is_exact(
        reference in prop::collection::vec(0..200_i32, 100..900),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 100..900),
    ) {
        let reference: Vec<f64> = reference.into_iter().map(f64::from).collect();
        let current: Vec<f64> = picks.iter().map(|pick| *pick.get(&reference)).collect();
        let exact = ks_2samp(&reference, &current, KsOptions::default()).unwrap().statistic;
        let score = assess(&reference, &current, KsRule::default()).score.unwrap();
        prop_assert!((score - exact).abs() < 1e-12, "{score} is not {exact}");
    }

    #[test]
    fn no_values_whatever_make_a_panic_or_a_nan(
        reference in prop::collection::vec(prop_oneof![any::<f64>(), Just(f64::NAN), Just(1.0)], 1..300),
        current in prop::collection::vec(prop_oneof![any::<f64>(), Just(f64::NAN), Just(1.0)], 0..300),
    ) {
        let psi = assess(&reference, &current, PsiRule::default().with_min_samples(0));
        let ks = assess(&reference, &current, KsRule::default().with_min_samples(0));
        for assessment in [psi, ks] {
            prop_assert!(assessment.score.is_none_or(f64::is_finite), "{assessment:?}");
            prop_assert_eq!(assessment.score.is_none(), assessment.verdict == Verdict::TooFewSamples);
        }
    }
}

const RUNS: usize = 300;

type Draw = fn(&mut Random, bool) -> f64;

/// The share of windows of `current` rows of which the report names a feature, against references of
/// `reference` rows: a fresh one for every window, or for every ten smaller ones.
fn alarms(rules: &Rules, width: usize, reference: usize, current: usize, draw: Draw) -> f64 {
    let names = (0..width).map(|i| format!("f{i}"));
    let features = Features::new([TensorFeatures::columns("x", names)]).unwrap();
    let windows = if reference > current { 10 } else { 1 };
    let mut alarms = 0;
    for seed in 0..RUNS / windows {
        let mut random = Random::new(seed as u64);
        let rows = Array2::from_shape_fn((reference, width), |_| draw(&mut random, false));
        let counters = Counters::new(Profile::from_array(rows.view(), features.clone()).unwrap());
        for _ in 0..windows {
            for _ in 0..current {
                let row: Vec<f64> = (0..width).map(|_| draw(&mut random, true)).collect();
                counters.observe_row(&row).unwrap();
            }
            let report = rules.report(counters.profile(), &counters.rotate()).unwrap();
            alarms += usize::from(report.verdict == Verdict::Drifted);
        }
    }
    alarms as f64 / RUNS as f64
}

fn normal(random: &mut Random, _live: bool) -> f64 {
    random.normal()
}

/// A count with a long tail: most are 0 to 3.
fn discrete(random: &mut Random, _live: bool) -> f64 {
    (-1.5 * random.uniform().ln()).floor()
}

fn half_a_deviation(random: &mut Random, live: bool) -> f64 {
    random.normal() + if live { 0.5 } else { 0.0 }
}

#[test]
fn false_alarms_are_rare_and_changes_are_found() {
    let rules = Rules::default();
    for (reference, current) in [(10_000, 100), (10_000, 1_000), (1_000, 1_000)] {
        for (name, draw) in [("normal", normal as Draw), ("discrete", discrete)] {
            let share = alarms(&rules, 1, reference, current, draw);
            eprintln!("false alarms, 1 {name} feature, {reference} against {current}: {share:.3}");
            assert!(share <= 0.05, "{share}");
        }
    }
    let share = alarms(&rules, 16, 1_000, 100, normal);
    eprintln!("false alarms, 16 normal features, 1000 against 100: {share:.3}");
    assert!(share <= 0.05, "{share}");

    let power = alarms(&rules, 1, 1_000, 1_000, half_a_deviation);
    eprintln!("power, half a standard deviation, 1000 against 1000: {power:.3}");
    assert!(power >= 0.99, "{power}");
    eprintln!("power at 100: {:.3}", alarms(&rules, 1, 10_000, 100, half_a_deviation));
}
