//! What holds of gates, whatever the numbers.

#![allow(clippy::unwrap_used)]

use async_trait::async_trait;
use mlops_core::{Model, Request, Response, Result, Signature};
use mlops_rollout::Verdict::{self, Failed, Inconclusive, Passed};
use mlops_rollout::{
    Candidate, Champion, Evaluation, FairnessGate, Finding, FnGate, Gate, GateExt, GateReport, Gates,
    MetricCeiling, MetricFloor, MetricRegression, SampleSize, all_of, any_of,
};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug)]
struct Echo(Signature);

#[async_trait]
impl Model for Echo {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        Ok(Response::new(request.inputs))
    }
}

fn echo() -> Echo {
    Echo(Signature::new([], []).unwrap())
}

fn evaluate(gates: &Gates, candidate: &Candidate) -> GateReport {
    pollster::block_on(gates.evaluate(candidate))
}

fn verdict(gate: impl Gate, candidate: &Candidate) -> Verdict {
    evaluate(&Gates::new().with(gate), candidate).verdict
}

fn says(verdict: Verdict) -> impl Gate {
    FnGate::new("says", move |_: &Candidate| match verdict {
        Passed => Finding::passed(""),
        Inconclusive => Finding::inconclusive(""),
        Failed => Finding::failed(""),
    })
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Passed), Just(Inconclusive), Just(Failed)]
}

/// Verdicts of gates, and whether each only warns.
fn gates() -> impl Strategy<Value = Vec<(Verdict, bool)>> {
    vec((any_verdict(), any::<bool>()), 0..5)
}

/// Numbers with all that can go wrong with them.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -2.0..2.0_f64,
        1 => any::<f64>(),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn groups_count_what_counts(gates in gates()) {
        let (mut all, mut any, mut top) = (all_of("all"), any_of("any"), Gates::new());
        for (verdict, warns_only) in &gates {
            if *warns_only {
                (all, any) = (all.with(says(*verdict).warn_only()), any.with(says(*verdict).warn_only()));
                top = top.with(says(*verdict).warn_only());
            } else {
                (all, any) = (all.with(says(*verdict)), any.with(says(*verdict)));
                top = top.with(says(*verdict));
            }
        }
        let counting: Vec<Verdict> =
            gates.iter().filter(|(_, warns_only)| !warns_only).map(|(verdict, _)| *verdict).collect();
        let candidate = Candidate::new(echo());
        let worst = counting.iter().max().copied().unwrap_or(Inconclusive);
        let best = counting.iter().min().copied().unwrap_or(Inconclusive);
        prop_assert_eq!(verdict(all, &candidate), worst);
        prop_assert_eq!(verdict(any, &candidate), best);
        let report = evaluate(&top, &candidate);
        prop_assert_eq!(report.verdict, worst);
        prop_assert_eq!(report.is_passed(), worst == Passed);
        prop_assert_eq!(report.outcomes.len(), gates.len());
    }

    #[test]
    fn given_numbers_pass_exactly_when_they_are_within(value in number(), bound in number()) {
        let candidate = Candidate::new(echo()).with_metric("own", value);
        let sound = value.is_finite() && bound.is_finite();
        let floor = verdict(MetricFloor::new("own", bound), &candidate);
        prop_assert_eq!(floor == Passed, sound && value >= bound);
        let ceiling = verdict(MetricCeiling::new("own", bound), &candidate);
        prop_assert_eq!(ceiling == Passed, sound && value <= bound);
    }

    #[test]
    fn a_drop_beyond_the_tolerance_never_passes(after in number(), before in number(), most in number()) {
        let champion = Champion::new(Signature::new([], []).unwrap()).with_metric("own", before);
        let candidate = Candidate::new(echo()).with_metric("own", after).with_champion(champion);
        let sound = [after, before, most].iter().all(|number| number.is_finite());
        let found = verdict(MetricRegression::new("own", most), &candidate);
        prop_assert_eq!(found == Passed, sound && before - after <= most);
    }

    #[test]
    fn no_rows_make_a_gate_panic_and_reports_come_back(
        rows in vec((any::<bool>(), number(), number(), 0_u8..3), 0..60),
        bound in number(),
    ) {
        let labels = || rows.iter().map(|row| row.0);
        let names = || rows.iter().map(|row| ["a", "b", "c"][usize::from(row.3)]);
        let ours = Evaluation::binary(labels(), rows.iter().map(|row| row.1)).unwrap();
        let theirs = Evaluation::binary(labels(), rows.iter().map(|row| row.2)).unwrap();
        let champion = Champion::new(Signature::new([], []).unwrap()).with_evaluation(theirs);
        let candidate = Candidate::new(echo())
            .with_evaluation(ours.with_slices("slice", names()).unwrap())
            .with_champion(champion);
        let mut gates = Gates::new()
            .with(SampleSize::of_rows(10).with_each_class(2).with_each_slice("slice", 2))
            .with(FairnessGate::new("slice").with_max_equalized_odds_difference(0.5).with_min_rows(2));
        for metric in ["accuracy", "f1", "roc_auc", "log_loss"] {
            gates = gates
                .with(MetricFloor::new(metric, bound).with_confidence(0.9))
                .with(MetricRegression::new(metric, bound))
                .with(MetricFloor::new(metric, bound).on_each("slice").with_min_rows(2))
                .with(MetricRegression::new(metric, bound).on_each("slice").leaving_small_out());
        }
        let report = evaluate(&gates, &candidate);
        let nan = rows.iter().any(|row| row.1.is_nan());
        for outcome in &report.outcomes {
            prop_assert!(!outcome.reason.contains("panicked"), "{}", report);
            let judges_scores = outcome.gate != "sample size";
            prop_assert!(!(nan && judges_scores && outcome.verdict == Passed), "{}", report);
        }
        prop_assert_eq!(GateReport::from_json(report.to_json().unwrap().as_bytes()).unwrap(), report);
    }

    #[test]
    fn a_model_is_no_regression_of_itself_and_a_better_one_none_of_a_worse(
        rows in vec((any::<bool>(), 0.01..0.99_f64), 40..120),
        seed in 1_u64..1 << 40,
    ) {
        let labels = || rows.iter().map(|row| row.0);
        let scores = || rows.iter().map(|row| row.1);
        let worse = rows.iter().enumerate().map(|(index, (label, score))| {
            let spoilt = (seed >> (index % 64)) & 1 == 1;
            if spoilt { if *label { 0.0 } else { 1.0 } } else { *score }
        });
        let good = || Evaluation::binary(labels(), scores()).unwrap();
        let bad = Evaluation::binary(labels(), worse).unwrap();
        let against = |ours: Evaluation, theirs: Evaluation| {
            let champion = Champion::new(Signature::new([], []).unwrap()).with_evaluation(theirs);
            Candidate::new(echo()).with_evaluation(ours).with_champion(champion)
        };
        for metric in ["accuracy", "roc_auc", "log_loss", "brier_score"] {
            let gate = || MetricRegression::new(metric, 0.0);
            prop_assert_ne!(verdict(gate(), &against(good(), good())), Failed, "{}", metric);
            prop_assert_ne!(verdict(gate(), &against(good(), bad.clone())), Failed, "{}", metric);
            // A spoilt row may leave the order of the scores as it was.
            let found = verdict(gate(), &against(bad.clone(), good()));
            prop_assert!(found != Passed || metric == "roc_auc", "{}", metric);
        }
    }
}
