//! Properties that hold for every input.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Few distinct values, so that ties are common.
fn tied() -> impl Strategy<Value = Vec<f64>> {
    vec((-6_i8..6).prop_map(f64::from), 1..40)
}

fn finite() -> impl Strategy<Value = Vec<f64>> {
    vec(-1e6_f64..1e6, 1..40)
}

/// Every float there is, and none at all.
fn anything() -> impl Strategy<Value = Vec<f64>> {
    vec(prop_oneof![any::<f64>(), Just(f64::MAX), Just(f64::MIN), Just(5e-324), Just(-0.0)], 0..30)
}

fn counts() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    vec((0_u64..1_000, 0_u64..1_000), 1..20).prop_map(|pairs| pairs.into_iter().unzip())
}

fn binomial() -> impl Strategy<Value = BinomialSample> {
    (1_u64..5_000).prop_flat_map(|trials| {
        (0..=trials).prop_map(move |successes| BinomialSample::new(successes, trials).unwrap())
    })
}

const METHODS: [KsMethod; 3] = [KsMethod::Auto, KsMethod::Exact, KsMethod::Asymptotic];
const ALTERNATIVES: [Alternative; 3] = [Alternative::TwoSided, Alternative::Less, Alternative::Greater];
const PROPORTION_METHODS: [ProportionIntervalMethod; 5] = [
    ProportionIntervalMethod::Wilson,
    ProportionIntervalMethod::ClopperPearson,
    ProportionIntervalMethod::AgrestiCoull,
    ProportionIntervalMethod::Jeffreys,
    ProportionIntervalMethod::Wald,
];
const TWO_PROPORTION_METHODS: [TwoProportionIntervalMethod; 4] = [
    TwoProportionIntervalMethod::Wald,
    TwoProportionIntervalMethod::AgrestiCaffo,
    TwoProportionIntervalMethod::Newcombe,
    TwoProportionIntervalMethod::MiettinenNurminen,
];
const CORRECTIONS: [Correction; 5] = [
    Correction::Bonferroni,
    Correction::Holm,
    Correction::Sidak,
    Correction::BenjaminiHochberg,
    Correction::BenjaminiYekutieli,
];

fn ks_options() -> impl Iterator<Item = KsOptions> {
    METHODS.into_iter().flat_map(|method| {
        ALTERNATIVES.map(|alternative| KsOptions { alternative, method, nan_policy: NanPolicy::Raise })
    })
}

proptest! {
    #[test]
    fn ks_is_symmetric(x in tied(), y in tied()) {
        for method in METHODS {
            let options = KsOptions { method, ..KsOptions::default() };
            let (one, other) = (ks_2samp(&x, &y, options).unwrap(), ks_2samp(&y, &x, options).unwrap());
            prop_assert!((one.statistic - other.statistic).abs() < 1e-12);
            prop_assert!((one.p_value - other.p_value).abs() < 1e-12);
            let less = KsOptions { alternative: Alternative::Less, ..options };
            let greater = KsOptions { alternative: Alternative::Greater, ..options };
            let (less, greater) = (ks_2samp(&x, &y, less).unwrap(), ks_2samp(&y, &x, greater).unwrap());
            prop_assert!((less.statistic - greater.statistic).abs() < 1e-12);
            prop_assert!((less.p_value - greater.p_value).abs() < 1e-12);
        }
    }

    #[test]
    fn ks_is_invariant_under_increasing_transforms(x in tied(), y in tied()) {
        let transform = |values: &[f64]| values.iter().map(|v| v.powi(3) + v.exp()).collect::<Vec<_>>();
        for options in ks_options() {
            let plain = ks_2samp(&x, &y, options).unwrap();
            let transformed = ks_2samp(&transform(&x), &transform(&y), options).unwrap();
            prop_assert_eq!(plain.statistic, transformed.statistic);
            prop_assert_eq!(plain.p_value, transformed.p_value);
            prop_assert_eq!(plain.sign, transformed.sign);
        }
    }

    #[test]
    fn ks_is_a_probability(x in finite(), y in finite()) {
        for options in ks_options() {
            let test = ks_2samp(&x, &y, options).unwrap();
            prop_assert!((0.0..=1.0).contains(&test.statistic));
            prop_assert!((0.0..=1.0).contains(&test.p_value));
            prop_assert!(test.method != KsMethod::Auto);
        }
    }

    #[test]
    fn binned_ks_brackets_the_true_statistic(x in finite(), y in finite(), bins in 2_usize..12) {
        let edges = quantile_edges(&x, bins).unwrap();
        let x_counts = bin_counts(&x, &edges, Closed::Right).unwrap();
        let y_counts = bin_counts(&y, &edges, Closed::Right).unwrap();
        let binned = ks_from_counts(&x_counts, &y_counts).unwrap();
        let exact = ks_2samp(&x, &y, KsOptions::default()).unwrap().statistic;
        prop_assert!(binned.statistic <= exact + 1e-12);
        prop_assert!(exact <= binned.upper_bound + 1e-12);
    }

    #[test]
    fn psi_is_a_divergence((reference, current) in counts()) {
        if reference.iter().sum::<u64>() > 0 && current.iter().sum::<u64>() > 0 {
            prop_assert!(psi_from_counts(&reference, &current, 1e-4).unwrap() >= 0.0);
            prop_assert_eq!(psi_from_counts(&reference, &reference, 1e-4).unwrap(), 0.0);
            let (there, back) =
                (psi_from_counts(&reference, &current, 1e-4), psi_from_counts(&current, &reference, 1e-4));
            prop_assert!((there.unwrap() - back.unwrap()).abs() < 1e-9);
        }
    }

    #[test]
    fn psi_counts_every_observation(x in tied(), y in tied(), bins in 2_usize..20) {
        for closed in [Closed::Right, Closed::Left] {
            let psi = psi(&x, &y, PsiOptions { bins, closed, ..PsiOptions::default() }).unwrap();
            prop_assert_eq!(psi.reference_counts.iter().sum::<u64>(), x.len() as u64);
            prop_assert_eq!(psi.current_counts.iter().sum::<u64>(), y.len() as u64);
            prop_assert_eq!(psi.reference_counts.len(), psi.edges.len() + 1);
        }
    }

    #[test]
    fn quantiles_lie_within_the_sample(values in finite(), q in 0.0_f64..=1.0) {
        let quantile = quantiles(&values, &[0.0, q, 1.0]).unwrap();
        prop_assert!(quantile[0] <= quantile[1] && quantile[1] <= quantile[2]);
    }

    #[test]
    fn proportion_intervals_contain_the_estimate(sample in binomial()) {
        let at_the_end = sample.successes() == 0 || sample.successes() == sample.trials();
        for method in PROPORTION_METHODS {
            let interval = proportion_interval(sample, 0.95, method).unwrap();
            prop_assert!(0.0 <= interval.lower && interval.upper <= 1.0);
            if !(at_the_end && method == ProportionIntervalMethod::Jeffreys) {
                prop_assert!(interval.contains(sample.proportion()), "{method:?} {interval:?} {sample:?}");
            }
        }
    }

    #[test]
    fn difference_intervals_contain_the_estimate(first in binomial(), second in binomial()) {
        let estimate = first.proportion() - second.proportion();
        for method in TWO_PROPORTION_METHODS {
            let interval = two_proportion_interval(first, second, 0.95, method).unwrap();
            let slack = 1e-12;
            prop_assert!(
                interval.lower <= estimate + slack && estimate <= interval.upper + slack,
                "{method:?} {interval:?} {first:?} {second:?}"
            );
        }
    }

    #[test]
    fn score_interval_inverts_the_score_test(first in binomial(), second in binomial()) {
        let method = TwoProportionIntervalMethod::MiettinenNurminen;
        let interval = two_proportion_interval(first, second, 0.95, method).unwrap();
        if let Ok(test) = two_proportion_score_test(first, second) {
            let p = test.p_value(Alternative::TwoSided);
            if (p - 0.05).abs() > 1e-6 {
                prop_assert_eq!(interval.contains(0.0), p > 0.05, "{:?} {}", interval, p);
            }
        }
    }

    #[test]
    fn confidence_sequences_contain_the_estimate(
        difference in -1e6_f64..1e6, variance in 1e-9_f64..1e9, n in 1_u64..1_000_000_000,
    ) {
        let rho = confidence_sequence_rho(5_000.0, 0.05).unwrap();
        let sequence = confidence_sequence(difference, variance, n, 0.05, rho).unwrap();
        prop_assert!(sequence.interval.contains(difference));
        prop_assert!((0.0..=1.0).contains(&sequence.p_value));
    }

    #[test]
    fn adjusting_never_lowers_a_p_value(p_values in vec(0.0_f64..=1.0, 1..30)) {
        for correction in CORRECTIONS {
            let result = adjust_p_values(&p_values, 0.05, correction).unwrap();
            for (p, adjusted) in p_values.iter().zip(&result.adjusted) {
                prop_assert!(p - 1e-15 <= *adjusted && *adjusted <= 1.0);
            }
        }
    }

    #[test]
    fn arbitrary_floats_do_not_panic(x in anything(), y in anything(), a in any::<f64>(), b in any::<f64>()) {
        for nan_policy in [NanPolicy::Raise, NanPolicy::Omit, NanPolicy::Propagate] {
            for options in ks_options() {
                let _ = ks_2samp(&x, &y, KsOptions { nan_policy, ..options });
            }
        }
        let _ = psi(&x, &y, PsiOptions { floor: a, ..PsiOptions::default() });
        let _ = psi(&x, &y, PsiOptions::default());
        let _ = psi::compat::psi_evidently(&x, &y);
        let _ = psi::compat::psi_equal_width(&x, &y);
        let _ = quantile(&x, a);
        let _ = quantiles(&x, &y);
        let _ = quantile_edges(&x, 10);
        let _ = bin_counts(&x, &y, Closed::Left);
        let _ = adjust_p_values(&x, a, Correction::Holm);
        let _ = srm_chi2(&[3; 10], &x);
        let _ = confidence_sequence_rho(a, b);
        let _ = confidence_sequence(a, b, 100, 0.05, 0.04);
        let _ = confidence_sequence(0.1, 0.1, 100, a, b);
    }

    #[test]
    fn arbitrary_parameters_do_not_panic(
        counts in any::<[u64; 4]>(), bins in any::<usize>(), share in any::<f64>(), p in 0.0_f64..=1.0,
    ) {
        let [a, b, c, d] = counts;
        for alternative in ALTERNATIVES {
            let _ = ks_p_value_exact(share, a % 500, b % 500, alternative);
        }
        let _ = ks_p_value_asymptotic(share, a, b);
        let _ = ks_p_value_asymptotic(p, a, b);
        let _ = ks_p_value_asymptotic(p, a % 500, b % 500);
        let _ = ks_from_counts(&[a, b], &[c, d]);
        let _ = psi_from_counts(&[a, b], &[c, d], 1e-4);
        let _ = srm_chi2(&[a, b], &[share, p]);
        for confidence in [share, p] {
            let _ = psi_threshold_chi2(bins, a, b, confidence);
            let _ = psi_threshold_chi2(bins % 200, a, b, confidence);
            let _ = psi_threshold_chi2_fixed_reference(bins % 2_000_000, b, confidence);
            let _ = psi_threshold_normal(bins, a, b, confidence);
        }
        let samples = (BinomialSample::new(a.min(b), a.max(b)), BinomialSample::new(c.min(d), c.max(d)));
        if let (Ok(first), Ok(second)) = samples {
            for method in TWO_PROPORTION_METHODS {
                let _ = two_proportion_interval(first, second, p, method);
            }
            let _ = proportion::compat::score_interval_statsmodels(first, second, p);
            let _ = two_proportion_score_test(first, second);
            let _ = mixture_likelihood_ratio(first, second, share);
            let _ = two_proportion_confidence_sequence(first, second, 0.05, share);
            let _ = proportion_interval(first, p, ProportionIntervalMethod::Wilson);
        }
    }
}
