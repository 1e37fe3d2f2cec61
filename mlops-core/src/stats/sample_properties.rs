//! Properties of tests and distances of samples that hold for every input.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Few distinct values, so that ties are common.
fn tied() -> impl Strategy<Value = Vec<f64>> {
    vec((-6_i8..6).prop_map(f64::from), 2..30)
}

fn finite() -> impl Strategy<Value = Vec<f64>> {
    vec(-1e3_f64..1e3, 2..30)
}

/// Every float there is, and none at all.
fn anything() -> impl Strategy<Value = Vec<f64>> {
    vec(prop_oneof![any::<f64>(), Just(f64::MAX), Just(f64::MIN), Just(5e-324), Just(-0.0)], 0..20)
}

/// Two distributions over the same categories, some of them empty.
fn weights() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let weight = || prop_oneof![Just(0.0), 1e-6_f64..100.0];
    vec((weight(), weight()), 1..12)
        .prop_map(|pairs| pairs.into_iter().unzip())
        .prop_filter("a total", |(p, q): &(Vec<f64>, Vec<f64>)| {
            [p, q].iter().all(|w| w.iter().sum::<f64>() > 0.0)
        })
}

fn table() -> impl Strategy<Value = ContingencyTable> {
    (vec((0_u64..60, 0_u64..60), 2..6)).prop_filter_map("no empty row or column", |columns| {
        let (first, second): (Vec<u64>, Vec<u64>) = columns.into_iter().unzip();
        ContingencyTable::of_samples(&first, &second).ok()
    })
}

type Distance = fn(&[f64], &[f64]) -> Result<f64, StatsError>;

const ALTERNATIVES: [Alternative; 3] = [Alternative::TwoSided, Alternative::Less, Alternative::Greater];
const MANN_WHITNEY: [MannWhitneyMethod; 4] = [
    MannWhitneyMethod::Auto,
    MannWhitneyMethod::Exact,
    MannWhitneyMethod::Asymptotic,
    MannWhitneyMethod::AsymptoticUncorrected,
];
const CRAMER_VON_MISES: [CramerVonMisesMethod; 2] =
    [CramerVonMisesMethod::Auto, CramerVonMisesMethod::Asymptotic];
const TIES: [AndersonDarlingTies; 2] = [AndersonDarlingTies::Midrank, AndersonDarlingTies::RightContinuous];

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * (1.0 + one.abs().max(other.abs()))
}

/// `(x - y)` averaged over all pairs.
fn mean_absolute_difference(x: &[f64], y: &[f64]) -> f64 {
    let sum: f64 = x.iter().flat_map(|x| y.iter().map(move |y| (x - y).abs())).sum();
    sum / (x.len() * y.len()) as f64
}

proptest! {
    #[test]
    fn wasserstein_is_a_metric(x in tied(), y in finite(), z in finite()) {
        let distance = |a: &[f64], b: &[f64]| wasserstein_distance(a, b).unwrap();
        prop_assert_eq!(distance(&x, &x), 0.0);
        prop_assert!(close(distance(&x, &y), distance(&y, &x)));
        prop_assert!(distance(&x, &z) <= distance(&x, &y) + distance(&y, &z) + 1e-9);
    }

    #[test]
    fn wasserstein_moves_and_scales_with_the_samples(
        x in finite(), y in finite(), shift in -1e3_f64..1e3, scale in 0.1_f64..10.0,
    ) {
        let map = |values: &[f64], by: f64, to: f64| values.iter().map(|v| v * by + to).collect::<Vec<_>>();
        let distance = wasserstein_distance(&x, &y).unwrap();
        prop_assert!(close(wasserstein_distance(&x, &map(&x, 1.0, shift)).unwrap(), shift.abs()));
        let (moved_x, moved_y) = (map(&x, -scale, shift), map(&y, -scale, shift));
        prop_assert!(close(wasserstein_distance(&moved_x, &moved_y).unwrap(), scale * distance));
    }

    #[test]
    fn energy_distance_is_that_of_all_pairs(x in tied(), y in finite()) {
        let by_pairs = 2.0 * mean_absolute_difference(&x, &y)
            - mean_absolute_difference(&x, &x)
            - mean_absolute_difference(&y, &y);
        prop_assert!((energy_distance(&x, &y).unwrap().powi(2) - by_pairs).abs() < 1e-8);
        prop_assert_eq!(energy_distance(&x, &x).unwrap(), 0.0);
    }

    #[test]
    fn weights_repeat_observations(x in tied(), y in finite(), times in vec(1_u8..4, 30)) {
        let repeated: Vec<f64> =
            x.iter().zip(&times).flat_map(|(&value, &times)| vec![value; usize::from(times)]).collect();
        let x_weights: Vec<f64> = times[..x.len()].iter().copied().map(f64::from).collect();
        let y_weights = vec![0.5; y.len()];
        prop_assert!(close(
            wasserstein_distance_weighted(&x, &x_weights, &y, &y_weights).unwrap(),
            wasserstein_distance(&repeated, &y).unwrap(),
        ));
        let weighted = energy_distance_weighted(&x, &x_weights, &y, &y_weights).unwrap();
        prop_assert!((weighted - energy_distance(&repeated, &y).unwrap()).abs() < 1e-6);
    }

    #[test]
    fn distances_of_distributions_are_bounded_and_symmetric((p, q) in weights()) {
        let symmetric: [Distance; 4] = [
            |p, q| jensen_shannon_distance(p, q, LogBase::Two),
            hellinger_distance,
            total_variation,
            chebyshev_distance,
        ];
        let doubled: Vec<f64> = p.iter().map(|weight| weight * 2.0).collect();
        for distance in symmetric {
            let there = distance(&p, &q).unwrap();
            prop_assert!((0.0..=1.0).contains(&there));
            prop_assert!(close(there, distance(&q, &p).unwrap()));
            prop_assert_eq!(distance(&p, &p).unwrap(), 0.0);
            prop_assert!(distance(&p, &doubled).unwrap() < 1e-9);
        }
    }

    #[test]
    fn distances_of_distributions_are_ordered((p, q) in weights()) {
        let (hellinger, variation) = (hellinger_distance(&p, &q).unwrap(), total_variation(&p, &q).unwrap());
        prop_assert!(hellinger.powi(2) <= variation + 1e-12);
        prop_assert!(variation <= hellinger * 2.0_f64.sqrt() + 1e-12);
        prop_assert!(chebyshev_distance(&p, &q).unwrap() <= variation * 2.0 + 1e-12);
        prop_assert!(kullback_leibler(&p, &q).unwrap() + 1e-12 >= 2.0 * variation.powi(2), "Pinsker");
        let overlap = bhattacharyya_coefficient(&p, &q).unwrap();
        prop_assert!((1.0 - overlap - hellinger.powi(2)).abs() < 1e-9);
    }

    #[test]
    fn rank_tests_are_invariant_under_increasing_transforms(x in tied(), y in tied()) {
        let transform = |values: &[f64]| values.iter().map(|v| v.powi(3) + v.exp()).collect::<Vec<_>>();
        let (tx, ty) = (transform(&x), transform(&y));
        for method in CRAMER_VON_MISES {
            prop_assert_eq!(cramer_von_mises(&x, &y, method), cramer_von_mises(&tx, &ty, method));
        }
        for ties in TIES {
            prop_assert_eq!(anderson_darling(&[&x, &y], ties), anderson_darling(&[&tx, &ty], ties));
        }
        for alternative in ALTERNATIVES {
            for method in MANN_WHITNEY {
                let (plain, transformed) =
                    (mann_whitney_u(&x, &y, alternative, method), mann_whitney_u(&tx, &ty, alternative, method));
                prop_assert_eq!(plain, transformed);
            }
        }
    }

    #[test]
    fn rank_tests_are_symmetric_probabilities(x in finite(), y in tied()) {
        for method in CRAMER_VON_MISES {
            let (one, other) = (cramer_von_mises(&x, &y, method).unwrap(), cramer_von_mises(&y, &x, method).unwrap());
            prop_assert!((0.0..=1.0).contains(&one.p_value));
            prop_assert!(close(one.statistic, other.statistic) && close(one.p_value, other.p_value));
        }
        for ties in TIES {
            let (one, other) = (anderson_darling(&[&x, &y], ties).unwrap(), anderson_darling(&[&y, &x], ties).unwrap());
            prop_assert!((0.001..=0.25).contains(&one.p_value));
            prop_assert!(close(one.statistic, other.statistic));
        }
        for method in MANN_WHITNEY {
            let test = |a: &[f64], b: &[f64], alternative| mann_whitney_u(a, b, alternative, method);
            let (Ok(less), Ok(greater)) = (test(&x, &y, Alternative::Less), test(&y, &x, Alternative::Greater)) else {
                continue;
            };
            prop_assert_eq!(less.p_value, greater.p_value);
            prop_assert_eq!(less.u1, greater.u2);
            prop_assert_eq!(less.u1 + less.u2, (x.len() * y.len()) as f64);
            prop_assert!((0.0..=1.0).contains(&less.p_value));
            prop_assert!((0.0..=1.0).contains(&test(&x, &y, Alternative::TwoSided).unwrap().p_value));
        }
    }

    #[test]
    fn exact_and_asymptotic_mann_whitney_agree(x in vec(-1e3_f64..1e3, 20..40), y in vec(-1e3_f64..1e3, 20..40)) {
        let p = |method| mann_whitney_u(&x, &y, Alternative::TwoSided, method).map(|test| test.p_value);
        if let Ok(exact) = p(MannWhitneyMethod::Exact) {
            prop_assert!((exact - p(MannWhitneyMethod::Asymptotic).unwrap()).abs() < 0.01);
        }
    }

    #[test]
    fn mann_whitney_interval_inverts_the_test(x in vec(-1e3_f64..1e3, 8..30), y in vec(-1e3_f64..1e3, 8..30)) {
        let shift = mann_whitney_interval(&x, &y, 0.95).unwrap();
        prop_assert!(shift.interval.contains(shift.estimate()));
        let p = |mu: f64| {
            let moved: Vec<f64> = x.iter().map(|value| value - mu).collect();
            mann_whitney_u(&moved, &y, Alternative::TwoSided, MannWhitneyMethod::Asymptotic).unwrap().p_value
        };
        let width = shift.interval.upper - shift.interval.lower;
        prop_assert!(p(shift.interval.lower + 1e-9 * width) >= 0.05 - 1e-9);
        prop_assert!(p(shift.interval.lower - 1e-9 * width) < 0.05 + 1e-9);
        prop_assert!(p(shift.interval.upper + 1e-9 * width) < 0.05 + 1e-9);
        prop_assert!(p(shift.interval.upper - 1e-9 * width) >= 0.05 - 1e-9);
    }

    #[test]
    fn mann_whitney_interval_moves_with_the_sample(x in tied(), y in tied(), by in -50_i8..50) {
        let moved: Vec<f64> = x.iter().map(|value| value + f64::from(by)).collect();
        if let (Ok(one), Ok(other)) =
            (mann_whitney_interval(&x, &y, 0.9), mann_whitney_interval(&moved, &y, 0.9))
        {
            prop_assert_eq!(one.interval.lower + f64::from(by), other.interval.lower);
            prop_assert_eq!(one.interval.upper + f64::from(by), other.interval.upper);
            prop_assert_eq!(one.estimate() + f64::from(by), other.estimate());
        }
    }

    #[test]
    fn t_interval_and_p_value_agree(x in finite(), y in finite(), confidence in 0.5_f64..0.999) {
        for test in [welch_t_test(&x, &y).unwrap(), student_t_test(&x, &y).unwrap()] {
            let p = test.p_value(Alternative::TwoSided).unwrap();
            let one_sided = test.p_value(Alternative::Less).unwrap() + test.p_value(Alternative::Greater).unwrap();
            prop_assert!(close(one_sided, 1.0));
            if (p - (1.0 - confidence)).abs() > 1e-9 {
                prop_assert_eq!(test.interval(confidence).unwrap().contains(0.0), p > 1.0 - confidence);
            }
        }
    }

    #[test]
    fn welch_and_student_agree_on_equal_sizes(pairs in vec((-1e3_f64..1e3, -1e3_f64..1e3), 2..30)) {
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let (welch, student) = (welch_t_test(&x, &y).unwrap(), student_t_test(&x, &y).unwrap());
        prop_assert!(close(welch.statistic, student.statistic));
        prop_assert!(welch.dof <= student.dof + 1e-9);
    }

    #[test]
    fn cuped_never_widens_and_ignores_the_scale_of_the_covariate(
        pairs in vec((-1e2_f64..1e2, -1e2_f64..1e2), 8..40), scale in 0.1_f64..10.0,
    ) {
        let (before, during): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let middle = before.len() / 2;
        let run = |before: &[f64]| {
            let arm = |range: std::ops::Range<usize>| CupedArm { before: &before[range.clone()], during: &during[range] };
            cuped(arm(0..middle), arm(middle..before.len())).unwrap()
        };
        let plain = run(&before);
        let scaled = run(&before.iter().map(|value| value * scale).collect::<Vec<_>>());
        prop_assert!((0.0..=1.0).contains(&plain.variance_reduction));
        prop_assert!((plain.test.difference - scaled.test.difference).abs() < 1e-6);
        let constant = run(&vec![3.0; before.len()]);
        let welch = welch_t_test(&during[middle..], &during[..middle]).unwrap();
        prop_assert!(close(constant.test.difference, welch.difference));
    }

    #[test]
    fn chi_squared_does_not_depend_on_the_order_of_categories(table in table()) {
        let reversed: Vec<Vec<u64>> = table.rows().iter().map(|row| row.iter().rev().copied().collect()).collect();
        let reversed = ContingencyTable::new(&reversed).unwrap();
        for statistic in [ChiSquaredStatistic::Pearson, ChiSquaredStatistic::LogLikelihood] {
            let (one, other) = (table.chi_squared_test(statistic), reversed.chi_squared_test(statistic));
            prop_assert!(close(one.statistic, other.statistic) && one.dof == other.dof);
            prop_assert!((0.0..=1.0).contains(&one.p_value) && one.statistic >= 0.0);
        }
        prop_assert!((0.0..=1.0).contains(&table.cramers_v()));
        let same = ContingencyTable::new(&[&table.rows()[0], &table.rows()[0]]);
        if let Ok(same) = same {
            prop_assert!(same.chi_squared_test(ChiSquaredStatistic::Pearson).statistic < 1e-9);
        }
    }

    #[test]
    fn two_by_two_tests_agree(a in 1_u64..200, b in 1_u64..200, c in 1_u64..200, d in 1_u64..200) {
        let table = ContingencyTable::new(&[[a, b], [c, d]]).unwrap();
        let pearson = table.chi_squared_test(ChiSquaredStatistic::Pearson);
        let yates = table.yates_test(ChiSquaredStatistic::Pearson).unwrap();
        let fisher = fisher_exact(&table).unwrap();
        let turned = fisher_exact(&ContingencyTable::new(&[[c, d], [a, b]]).unwrap()).unwrap();
        prop_assert!(pearson.p_value <= yates.p_value + 1e-12);
        prop_assert!(close(fisher.p_value, turned.p_value));
        prop_assert!((0.0..=1.0).contains(&fisher.p_value));
        if a.min(b).min(c).min(d) > 50 && yates.p_value < 0.1 {
            prop_assert!((fisher.p_value - yates.p_value).abs() < 0.03);
        }
        let (first, second) = (BinomialSample::new(a, a + b).unwrap(), BinomialSample::new(c, c + d).unwrap());
        let z = two_proportion_z_test(first, second).unwrap();
        prop_assert!((z.z.powi(2) - pearson.statistic).abs() < 1e-6 * (1.0 + pearson.statistic));
    }

    #[test]
    fn beating_is_complementary(a in 0_u64..300, b in 0_u64..300, c in 0_u64..300, d in 0_u64..300) {
        let (first, second) = (BinomialSample::new(a, a + b + 1).unwrap(), BinomialSample::new(c, c + d + 1).unwrap());
        let there = probability_to_beat(first, second).unwrap();
        let back = probability_to_beat(second, first).unwrap();
        prop_assert!((there + back - 1.0).abs() < 1e-9);
    }

    #[test]
    fn mmd_of_equal_samples_is_zero(x in finite(), y in finite(), sigma in 0.1_f64..100.0) {
        prop_assert!(mmd_rbf(&x, &x, 1, sigma).unwrap().biased < 1e-12);
        let (there, back) = (mmd_rbf(&x, &y, 1, sigma).unwrap(), mmd_rbf(&y, &x, 1, sigma).unwrap());
        prop_assert!(close(there.unbiased, back.unbiased) && there.biased >= there.unbiased - 1e-12);
    }

    #[test]
    fn msprt_equals_the_test_of_counts(outcomes in vec(any::<(bool, bool)>(), 2..200)) {
        let mut test = BernoulliMsprt::new(1e-2).unwrap();
        let mut lowest = 1.0;
        for &(a, b) in &outcomes {
            test.observe(a, b);
            prop_assert!(test.p_value() <= lowest);
            lowest = test.p_value();
        }
        let n = outcomes.len() as u64;
        let sample = |successes: usize| BinomialSample::new(successes as u64, n).unwrap();
        let a = sample(outcomes.iter().filter(|(a, _)| *a).count());
        let b = sample(outcomes.iter().filter(|(_, b)| *b).count());
        if let Ok(of_counts) = mixture_likelihood_ratio(a, b, 1e-2) {
            prop_assert!(close(of_counts.log_lambda, test.log_lambda()));
        }
    }

    #[test]
    fn arbitrary_samples_do_not_panic(
        x in anything(), y in anything(), z in anything(), a in any::<f64>(), dimension in 0_usize..4,
    ) {
        let options = KayentaOptions::default();
        for method in MANN_WHITNEY {
            let _ = mann_whitney_u(&x, &y, Alternative::TwoSided, method);
        }
        let _ = cramer_von_mises(&x, &y, CramerVonMisesMethod::Auto);
        let _ = anderson_darling(&[&x, &y, &z], AndersonDarlingTies::Midrank);
        let _ = (mann_whitney_interval(&x, &y, a), mann_whitney_interval(&x, &y, 0.9));
        let _ = (kayenta_judge(&x, &y, options), kayenta_judge(&x, &y, options.with_tolerance(a)));
        let _ = (wasserstein_distance(&x, &y), wasserstein_distance_normed(&x, &y, a));
        let _ = wasserstein_distance_weighted(&x, &y, &y, &x);
        let _ = (energy_distance(&x, &y), energy_distance_weighted(&x, &z, &y, &z));
        let _ = (mmd_rbf(&x, &y, dimension, a), mmd_permutation_test(&x, &y, 1, 1.0, 3, 0), median_heuristic(&x, &y, dimension));
        let _ = (kullback_leibler(&x, &y), hellinger_distance(&x, &y), jensen_shannon_distance(&x, &y, LogBase::Two));
        let _ = (welch_t_test(&x, &y), student_t_test(&x, &y), cohens_d(&x, &y));
        if let Ok(test) = welch_t_test(&x, &y) {
            let _ = (test.p_value(Alternative::Less), test.interval(a), test.interval(0.95));
        }
        let _ = cuped(CupedArm { before: &x, during: &y }, CupedArm { before: &y, during: &x });
        let _ = goodness_of_fit(&[3; 20][..x.len()], &x, ChiSquaredStatistic::LogLikelihood);
    }

    #[test]
    fn arbitrary_parameters_do_not_panic(counts in any::<[u64; 4]>(), a in any::<f64>(), b in any::<f64>(), p in 0.0_f64..1.0) {
        let [c0, c1, c2, c3] = counts;
        if let Ok(table) = ContingencyTable::of_samples(&[c0, c1], &[c2, c3]) {
            let _ = (fisher_exact(&table), table.cramers_v(), table.cramers_v_bias_corrected());
            let _ = table.yates_test(ChiSquaredStatistic::LogLikelihood);
        }
        let _ = ContingencyTable::of_samples(&[c0, 0], &[0, 0]);
        let _ = (BernoulliMsprt::new(a), cohens_h(a, b), sample_size_t(a, b, p));
        let _ = sample_size_proportions(p, a, 0.05, 0.8, ProportionPower::PooledZ);
        let _ = sample_size_proportions(p, 0.5, p / 2.0, p, ProportionPower::Arcsine);
        let small = |x: u64, n: u64| BinomialSample::new(x % 1_000, n.max(1_000));
        if let (Ok(first), Ok(second)) = (small(c0, c1), small(c2, c3)) {
            let probability = probability_to_beat(first, second).unwrap();
            prop_assert!((0.0..=1.0).contains(&probability));
        }
    }
}
