use std::time::Duration;

use mlops_core::stats::{KayentaClass, KayentaOptions, kayenta_judge};
use proptest::prelude::*;

use super::*;
use crate::MetricEvidence;

#[test]
fn an_analysis_that_could_never_fail_is_refused() {
    assert!(Analysis::new([] as [Check; 0]).is_err());
    assert!(Analysis::new([RateCheck::failures().with_tolerance(f64::NAN)]).is_err());
    assert!(Analysis::new([RateCheck::failures().with_relative_tolerance(-0.1)]).is_err());
    assert!(Analysis::new([RateCheck::failures(), RateCheck::failures()]).is_err());
    assert!(Analysis::new([LatencyCheck::p99(f64::INFINITY)]).is_err());
    assert!(Analysis::new([MeanCheck::must_not_fall("")]).is_err());
    assert!(Analysis::new([MeanCheck::must_not_fall("m").with_tolerance(f64::NAN)]).is_err());
    assert!(Analysis::new([MeanCheck::must_not_fall("m").with_margin(0.0)]).is_err());
    assert!(
        Analysis::new([MeanCheck::must_not_fall("m").with_cuped().with_relative_tolerance(0.1)]).is_err()
    );
    assert!(Analysis::new([RankCheck::must_not_fall("m").with_shift_tolerance(-1.0)]).is_err());
    let analysis = Analysis::new([RateCheck::failures()]).unwrap();
    assert!(analysis.clone().with_check(SrmCheck::new().with_share(1.0)).is_err());
    assert!(analysis.clone().with_alpha(0.0).is_err());
    assert!(analysis.clone().with_narrowest_at(0).is_err());
    let tolerant = RateCheck::failures().with_tolerance(0.1);
    assert_eq!(analysis.with_check(tolerant).unwrap().checks(), [Check::Rate(tolerant)]);
}

fn of_every_kind() -> Analysis {
    let checks: [Check; 9] = [
        RateCheck::failures().with_relative_tolerance(0.1).into(),
        RateCheck::bad_outcomes().with_margin(0.1).with_min_samples(50).into(),
        RateLimit::failures(0.01).into(),
        LatencyCheck::p99(1.5).into(),
        LatencyLimit::at(0.5, Duration::from_millis(20)).into(),
        MeanCheck::must_not_fall("revenue").with_tolerance(0.5).with_margin(1.0).with_cuped().into(),
        MeanLimit::at_least("revenue", 1.0).into(),
        RankCheck::must_not_change("score").with_shift_tolerance(0.25).with_relative_tolerance(0.1).into(),
        SrmCheck::new().with_on_mismatch(OnMismatch::Failed).with_share(0.2).into(),
    ];
    let analysis = Analysis::new(checks).unwrap().with_alpha(0.1).unwrap();
    analysis.with_mode(TestMode::FixedHorizon).with_error_control(ErrorControl::Holm)
}

#[test]
fn serde_keeps_every_check() {
    let analysis = of_every_kind();
    let json = serde_json::to_string(&analysis).unwrap();
    assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), analysis, "{json}");
    assert!(json.contains(r#"{"kind":"latency_limit","quantile":0.5,"at_most":"20ms"}"#), "{json}");
    let plain = Analysis::new([RateCheck::failures()]).unwrap();
    assert!(!serde_json::to_string(&plain).unwrap().contains("mode"));
}

#[test]
fn serde_checks_what_new_checks() {
    for bad in [
        r#"{"checks":[]}"#,
        r#"{"checks":[{"kind":"rate","of":"failures","tolerance":-1}]}"#,
        r#"{"checks":[{"kind":"rate","of":"failures","tolerance":0,"toleranze":0}]}"#,
        r#"{"checks":[{"kind":"latency","quantile":1.0,"max_ratio":2}]}"#,
        r#"{"checks":[{"kind":"mean","metric":"m"}]}"#,
        r#"{"checks":[{"kind":"mean","metric":"m","worse":"sideways"}]}"#,
        r#"{"checks":[{"kind":"mean_limit","metric":"m"}]}"#,
        r#"{"checks":[{"kind":"mean_limit","metric":"m","at_most":1,"at_least":0}]}"#,
        r#"{"checks":[{"kind":"rank","metric":"m","worse":"lower","tolerance":1}]}"#,
        r#"{"checks":[{"kind":"latency_limit","quantile":0.9,"at_most":50}]}"#,
        r#"{"checks":[{"kind":"srm"}]}"#,
        r#"{"checks":[{"kind":"rate","of":"failures"}],"mode":"twice"}"#,
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
    for mode in [TestMode::Sequential, TestMode::FixedHorizon] {
        for check in of_every_kind().checks() {
            let analysis = Analysis::new([RateCheck::failures()]).unwrap().with_mode(mode);
            let Ok(analysis) = analysis.with_check(check.clone()) else { panic!("{check:?}") };
            let report = analysis.compare(&none, &none, SamplesNeeded::each(0));
            assert!(report.checks.iter().all(|outcome| outcome.verdict == Verdict::Inconclusive), "{report}");
        }
    }
}

/// The data of <https://github.com/spinnaker/spinnaker/issues/6278>: seven of ten points are a hundred times
/// worse, and Kayenta passes them.
#[test]
fn seven_of_ten_points_a_hundred_times_worse_fail() {
    let shape = |times: usize| -> (Vec<f64>, Vec<f64>) {
        let candidate = (0..10 * times).map(|index| if index % 10 < 7 { 100.0 } else { 1.0 });
        (vec![1.0; 10 * times], candidate.collect())
    };
    let (stable, candidate) = shape(1);
    assert_eq!(
        kayenta_judge(&stable, &candidate, KayentaOptions::default()).unwrap().class,
        KayentaClass::Pass
    );

    let of = |values: Vec<f64>| VariantEvidence::default().with_metric("m", values.into_iter().collect());
    let verdict = |analysis: &Analysis, times| {
        let (stable, candidate) = shape(times);
        analysis.compare(&of(stable), &of(candidate), SamplesNeeded::each(10)).verdict
    };
    let checks: [Check; 2] = [RankCheck::must_not_rise("m").into(), MeanCheck::must_not_rise("m").into()];
    for check in checks {
        let analysis = Analysis::new([check.clone()]).unwrap();
        let once = analysis.clone().with_mode(TestMode::FixedHorizon);
        assert_eq!(verdict(&once, 1), Verdict::Failed, "{check:?}");
        // Looking all the time needs more than ten points to be sure. It has failed by forty.
        assert_eq!(verdict(&analysis, 4), Verdict::Failed, "{check:?}");
    }
    // Tuned to small samples, ten points are enough for the ranks.
    let early = Analysis::new([RankCheck::must_not_rise("m")]).unwrap().with_narrowest_at(20).unwrap();
    assert_eq!(verdict(&early, 1), Verdict::Failed);
    let kayenta = Analysis::new([RankCheck::must_not_rise("m").with_shift_tolerance(0.25)]).unwrap();
    assert_eq!(verdict(&kayenta.with_mode(TestMode::FixedHorizon), 1), Verdict::Passed);
}

#[test]
fn one_look_waits_for_its_samples_and_then_finds_more() {
    let many = Analysis::new([RateCheck::failures()]).unwrap();
    let once = many.clone().with_mode(TestMode::FixedHorizon);
    let (stable, candidate) = (VariantEvidence::new(980, 20), VariantEvidence::new(960, 40));
    let of = |analysis: &Analysis, needed| {
        analysis.compare(&stable, &candidate, SamplesNeeded::each(needed)).verdict
    };
    assert_eq!([of(&once, 1_000), of(&many, 1_000)], [Verdict::Failed, Verdict::Passed]);
    let awful = VariantEvidence::new(0, 900);
    let report = once.compare(&stable, &awful, SamplesNeeded::each(1_000));
    assert_eq!(
        report.to_string(),
        "inconclusive: failure rate: 100 more requests of the candidate are needed (900 of 1000)"
    );
}

#[test]
fn holm_names_more_and_decides_the_same() {
    let seen = |failures: u64, bad: u64| {
        VariantEvidence::new(1_000 - failures, failures).with_outcomes(1_000 - bad, bad)
    };
    let checks = [RateCheck::failures(), RateCheck::bad_outcomes()];
    let once = Analysis::new(checks).unwrap().with_mode(TestMode::FixedHorizon);
    let holm = once.clone().with_error_control(ErrorControl::Holm);
    // 20 against 36 of 1000: p = 0.03, above 0.025 and below 0.05.
    let (stable, candidate) = (seen(20, 20), seen(100, 36));
    let of = |analysis: &Analysis, candidate: &VariantEvidence| -> Vec<Verdict> {
        let report = analysis.compare(&stable, candidate, SamplesNeeded::each(1_000));
        [report.verdict].into_iter().chain(report.checks.iter().map(|outcome| outcome.verdict)).collect()
    };
    assert_eq!(of(&once, &candidate), [Verdict::Failed, Verdict::Failed, Verdict::Passed]);
    assert_eq!(of(&holm, &candidate), [Verdict::Failed, Verdict::Failed, Verdict::Failed]);
    assert_eq!(of(&holm, &seen(20, 36)), [Verdict::Passed, Verdict::Passed, Verdict::Passed]);
}

#[test]
fn failures_are_told_apart() {
    let mut candidate = VariantEvidence::new(10, 190);
    candidate.failures_by_class = [("engine".to_owned(), 20), ("deadline_exceeded".to_owned(), 170)].into();
    let report = Analysis::new([RateCheck::failures()]).unwrap().compare(
        &VariantEvidence::new(200, 0),
        &candidate,
        SamplesNeeded::each(10),
    );
    assert!(report.to_string().ends_with("above +0; deadline_exceeded 170, engine 20"), "{report}");
}

#[test]
fn reports_are_kept_with_their_numbers() {
    let seen = VariantEvidence::new(500, 3).with_metric("m", [1.0, 2.0, 4.0].into_iter().collect());
    let report = of_every_kind().compare_at(0.5, &seen, &seen, SamplesNeeded::each(100));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<AnalysisReport>(&json).unwrap(), report, "{json}");
    assert!(
        report.checks.iter().all(|outcome| outcome.numbers.alpha.is_some() && !outcome.reason.is_empty())
    );
    let before =
        r#"{"verdict":"passed","checks":[{"check":"failure rate","verdict":"passed","reason":"fine"}]}"#;
    assert_eq!(serde_json::from_str::<AnalysisReport>(before).unwrap().checks[0].numbers, Numbers::default());
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0_u64..50, 0_u64..100_000, Just(u64::MAX), any::<u64>()]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![8 => -100.0..100.0_f64, 1 => any::<f64>(), 1 => Just(0.0), 1 => Just(1e28), 1 => Just(-1e-30)]
}

fn seen() -> impl Strategy<Value = VariantEvidence> {
    let metric = prop_oneof![
        prop::collection::vec(number(), 0..40).prop_map(MetricEvidence::from_iter),
        prop::collection::vec((number(), number()), 0..40).prop_map(MetricEvidence::from_pairs),
        (number(), 0_usize..40).prop_map(|(value, count)| vec![value; count].into_iter().collect()),
    ];
    let latencies = prop::collection::vec((any::<u64>(), count()), 0..4);
    (prop::array::uniform4(count()), metric, latencies).prop_map(|([a, b, c, d], metric, latencies)| {
        let mut seen = VariantEvidence::new(a, b).with_outcomes(c, d);
        seen.latencies = latencies.into();
        seen.with_metric("revenue", metric.clone()).with_metric("score", metric)
    })
}

proptest! {
    #[test]
    fn no_evidence_makes_it_panic_or_report_nonsense(
        stable in seen(), candidate in seen(), needed in count(), share in -0.5..1.5_f64, fixed in any::<bool>(),
    ) {
        let mode = if fixed { TestMode::FixedHorizon } else { TestMode::Sequential };
        let report = of_every_kind().with_mode(mode).compare_at(share, &stable, &candidate, SamplesNeeded::each(needed));
        for outcome in &report.checks {
            let numbers = &outcome.numbers;
            for number in [numbers.estimate, numbers.lower, numbers.upper, numbers.p_value] {
                prop_assert!(number.is_none_or(f64::is_finite), "{outcome:?}");
            }
            prop_assert!(numbers.p_value.is_none_or(|p| (0.0..=1.0).contains(&p)), "{outcome:?}");
            if let (Some(lower), Some(upper)) = (numbers.lower, numbers.upper) {
                prop_assert!(lower <= upper, "{outcome:?}");
            }
        }
        let json = serde_json::to_string(&report).unwrap();
        prop_assert_eq!(serde_json::from_str::<AnalysisReport>(&json).unwrap(), report);
    }

    #[test]
    fn more_bad_ones_never_turn_failed_into_passed(
        stable in (0_u64..60, 0_u64..2_000), candidate in (0_u64..60, 0_u64..600),
        more in 1_u64..40, fixed in any::<bool>(),
    ) {
        let mode = if fixed { TestMode::FixedHorizon } else { TestMode::Sequential };
        let of = |(bad, good): (u64, u64)| VariantEvidence::new(good, bad);
        let checks: [Check; 3] = [
            RateCheck::failures().into(),
            RateCheck::failures().with_relative_tolerance(0.5).into(),
            RateLimit::failures(0.02).into(),
        ];
        for check in checks {
            let analysis = Analysis::new([check.clone()]).unwrap().with_mode(mode);
            let verdict = |bad| {
                analysis.compare(&of(stable), &of((bad, candidate.1)), SamplesNeeded::each(20)).verdict
            };
            if verdict(candidate.0) == Verdict::Failed {
                prop_assert_ne!(verdict(candidate.0 + more), Verdict::Passed, "{:?}", check);
            }
        }
    }
}
