//! The monitor as a whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::stats::change::Adwin;
use mlops_core::{
    Error, ManualClock, Observer, Prediction, Request, Response, Role, RoutingContext, Tensor, Tensors,
    Variant,
};
use ndarray::array;
use proptest::prelude::*;

use super::*;
use crate::{Table, TableColumn};

const HOUR: Duration = Duration::from_secs(3600);

struct Setting {
    monitor: PerformanceMonitor,
    clock: ManualClock,
}

impl Setting {
    fn new(task: Task, options: PerformanceOptions) -> Self {
        let clock = ManualClock::default();
        let monitor = PerformanceMonitor::new(task, options).unwrap().with_clock(clock.clone());
        Self { monitor, clock }
    }

    fn binary(options: PerformanceOptions) -> Self {
        Self::new(Task::binary("p"), options.with_min_labels(1))
    }

    fn predict(&self, id: &str, outputs: impl Into<Tensor>) {
        self.predict_for(id, outputs, "NO", None, Role::Primary);
    }

    fn predict_for(
        &self,
        id: &str,
        outputs: impl Into<Tensor>,
        country: &str,
        variant: Option<&str>,
        role: Role,
    ) {
        let context = RoutingContext::new().with_attribute("country", country);
        let request = Request::default().with_id(id).with_context(context);
        let response = Response::new(Tensors::new().with("p", outputs));
        let variant = variant.map(|variant| Variant::new(variant).unwrap());
        let mut prediction = Prediction::new(&request, Ok(&response), Duration::ZERO);
        if let Some(variant) = &variant {
            prediction = prediction.of_variant(variant, role);
        }
        self.monitor.observe(&prediction);
    }

    fn label(&self, id: &str, label: impl Into<Label>) -> LabelOutcome {
        self.monitor.label(id, label).unwrap()
    }
}

fn options() -> PerformanceOptions {
    PerformanceOptions::default()
}

fn p(probability: f64) -> Tensor {
    Tensor::from(vec![probability])
}

#[test]
fn labels_are_joined_late_duplicate_conflicting_waiting_or_unknown() {
    use LabelOutcome::{Conflicting, Duplicate, Joined, Late, Unknown, Waiting};

    let setting = Setting::binary(options().with_capacity(100, HOUR).with_early_labels(16, HOUR / 60));
    setting.predict("a", p(0.9));
    assert_eq!(setting.label("a", true), Joined);
    assert_eq!(setting.label("a", true), Duplicate);
    assert_eq!(setting.label("a", false), Conflicting);
    assert_eq!(setting.label("b", false), Waiting);
    assert_eq!(setting.label("b", false), Duplicate);
    setting.predict("b", p(0.8));
    assert_eq!(setting.label("b", false), Duplicate);
    assert_eq!(setting.label("never", true), Waiting);
    let report = setting.monitor.report();
    assert_eq!((report.labels.joined, report.labels.waiting), (2, 1));
    assert_eq!(report.variant("").unwrap().metric("accuracy").unwrap().value, 0.5);

    setting.predict("c", p(0.1));
    setting.clock.advance(2 * HOUR);
    assert_eq!(setting.label("c", true), Late);
    let report = setting.monitor.report();
    assert_eq!((report.labels.late, report.labels.unknown, report.expired), (1, 1, 1));

    let closed = Setting::binary(options().with_early_labels(0, HOUR));
    assert_eq!(closed.label("a", true), Unknown);
}

#[test]
fn labels_of_windows_that_are_over_are_late() {
    let setting = Setting::binary(options().with_windows(PerformanceWindow::Time(HOUR), 2));
    for hour in 0..4 {
        setting.predict(&format!("{hour}"), p(0.9));
        setting.clock.advance(HOUR);
    }
    setting.predict("4", p(0.9));
    let outcomes: Vec<_> = (0..5).map(|hour| setting.label(&format!("{hour}"), true)).collect();
    use LabelOutcome::{Joined, Late};
    assert_eq!(outcomes, [Late, Late, Late, Joined, Joined]);
    let trend = setting.monitor.trend();
    assert_eq!(trend.iter().map(|(window, _)| *window).collect::<Vec<_>>(), [3, 4]);
    assert!(trend.iter().all(|(_, report)| report.variant("").unwrap().labelled == 1));
    assert_eq!(trend[0].1.variant("").unwrap().delay.unwrap().median, 3600.0);

    let counted = Setting::binary(options().with_windows(PerformanceWindow::Requests(10), 1));
    for request in 0..25 {
        counted.predict(&request.to_string(), p(0.9));
    }
    assert_eq!((counted.label("19", true), counted.label("20", true)), (Late, Joined));
    assert_eq!(counted.monitor.report().variant("").unwrap().predictions, 5);
}

#[test]
fn a_label_joins_all_variants_in_whatever_order_they_come() {
    let setting = Setting::binary(options().with_shadows(true));
    let stable = |id| setting.predict_for(id, p(0.9), "NO", Some("stable"), Role::Primary);
    let canary = |id| setting.predict_for(id, p(0.2), "NO", Some("canary"), Role::Shadow);
    assert_eq!(setting.label("early", true), LabelOutcome::Waiting);
    stable("early");
    canary("early");
    stable("between");
    assert_eq!(setting.label("between", true), LabelOutcome::Joined);
    canary("between");
    let report = setting.monitor.report();
    for variant in ["stable", "canary"] {
        assert_eq!(report.variant(variant).unwrap().labelled, 2, "{variant}");
    }
}

#[test]
fn metrics_are_taken_apart_by_variant_and_by_segment_and_compared() {
    let setting = Setting::binary(options().with_segment("country").with_max_segments(2).with_shadows(true));
    for index in 0..400_u32 {
        let (id, country) = (index.to_string(), ["NO", "SE", "DK", "FI"][index as usize % 4]);
        let score = f64::from(index / 4) / 100.0;
        setting.predict_for(&id, p(score), country, Some("stable"), Role::Primary);
        setting.predict_for(&id, p(1.0 - score), country, Some("canary"), Role::Shadow);
        let label = if country == "NO" { score >= 0.25 } else { score >= 0.5 };
        assert_eq!(setting.label(&id, label), LabelOutcome::Joined);
    }
    let report = setting.monitor.report();
    let slices: Vec<_> =
        report.slices.iter().map(|slice| (slice.variant.as_str(), slice.segment_label())).collect();
    let expected = ["", "country=NO", "country=SE", "country=other"].map(str::to_owned);
    let of = |variant| expected.iter().map(move |segment| (variant, segment.clone()));
    assert_eq!(slices, of("canary").chain(of("stable")).collect::<Vec<_>>());

    let segment = |country| report.segment("stable", "country", country).unwrap();
    assert_eq!(segment("SE").metric("accuracy").unwrap().value, 1.0);
    assert_eq!(segment("NO").metric("accuracy").unwrap().value, 0.75);
    assert_eq!((segment("other").predictions, segment("other").labelled), (200, 200));
    let (low, high) = segment("NO").metric("accuracy").unwrap().interval.unwrap();
    assert!(low < 0.75 && 0.75 < high);
    let stable = report.variant("stable").unwrap().metric("roc_auc").unwrap().value;
    let canary = report.variant("canary").unwrap().metric("roc_auc").unwrap().value;
    assert!(stable > 0.9 && (stable + canary - 1.0).abs() < 1e-9, "{stable} {canary}");

    let fairness = report.fairness.iter().find(|fairness| fairness.variant == "stable").unwrap();
    assert_eq!((fairness.groups, fairness.demographic_parity_difference), (3, 0.0));
    assert!((fairness.equal_opportunity_difference - 1.0 / 3.0).abs() < 1e-9);
    let signals = report.signals();
    let auc = signals.iter().find(|signal| signal.name == "performance.roc_auc").unwrap();
    assert_eq!((auc.labels["variant"].as_str(), auc.labels["segment"].as_str()), ("canary", ""));
    assert!(signals.iter().any(|signal| signal.name == "fairness.equal_opportunity_difference"));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<PerformanceReport>(&json).unwrap(), report);
    assert!(report.to_string().contains("stable, country=NO: 100 of 100 rows labelled"), "{report}");
}

#[test]
fn numbers_and_several_classes_have_their_own_metrics() {
    let regression = Setting::new(Task::regression("p"), options().with_min_labels(1));
    for (id, predicted, actual) in [("a", 1.0, 2.0), ("b", 2.0, 2.0), ("c", 5.0, 3.0)] {
        regression.predict(id, p(predicted));
        regression.label(id, actual);
    }
    let report = regression.monitor.report();
    let metric = |name| report.variant("").unwrap().metric(name).unwrap().value;
    assert_eq!((metric("mae"), metric("bias")), (1.0, 1.0 / 3.0));
    assert!(report.variant("").unwrap().estimated.is_empty());

    let classes = Setting::new(Task::multiclass("p", ["cat", "dog", "owl"]), options());
    for (id, row, label) in
        [("a", [0.8, 0.1, 0.1], "cat"), ("b", [0.1, 0.8, 0.1], "dog"), ("c", [0.1, 0.7, 0.2], "owl")]
    {
        classes.predict(id, Tensor::from(ndarray::Array2::from(vec![row])));
        classes.label(id, label);
    }
    classes.predict("d", Tensor::from_byte_strings(&[1], ["dog"]).unwrap());
    assert_eq!(classes.label("d", 1_usize), LabelOutcome::Joined);
    let report = classes.monitor.report();
    let all = report.variant("").unwrap();
    assert_eq!(all.metric("accuracy").unwrap().value, 0.75);
    assert!((all.estimate("accuracy").unwrap().value - 2.3 / 3.0).abs() < 1e-6);
    assert!(all.metric("log_loss").unwrap().value > 0.0 && all.metric("roc_auc").is_some());
    assert!(report.signals().is_empty(), "four labels are too few");
}

#[test]
fn rows_of_a_request_have_labels_of_their_own() {
    let setting = Setting::binary(options());
    setting.predict("a", array![[0.1, 0.9], [0.8, 0.2]]);
    assert_eq!(setting.monitor.label_row("a", 1, false).unwrap(), LabelOutcome::Joined);
    assert_eq!(setting.monitor.label_row("a", 0, true).unwrap(), LabelOutcome::Joined);
    let error = setting.monitor.label_row("a", 2, true).unwrap_err().to_string();
    assert!(error.contains("has 2 rows; there is no row 2"), "{error}");
    let report = setting.monitor.report();
    let all = report.variant("").unwrap();
    assert_eq!((all.predictions, all.labelled, all.metric("accuracy").unwrap().value), (2, 2, 1.0));
}

#[test]
fn rankings_are_judged_query_by_query() {
    let task = Task::ranking("p", 2);
    let setting = Setting::new(task, options().with_min_labels(1));
    // From the first place: candidates 2, 0, 1; and 1, 0 where they tie with nothing.
    setting.predict("graded", Tensor::from(vec![0.5_f32, 0.1, 0.9]));
    setting.predict("clicked", Tensor::from(vec![0.2_f64, 0.7]));
    setting.predict("in vain", Tensor::from(array![[3.0_f32], [3.0]]));
    assert_eq!(setting.label("graded", vec![3.0, 0.0, 1.0]), LabelOutcome::Joined);
    assert_eq!(setting.label("graded", vec![3.0, 0.0, 1.0]), LabelOutcome::Duplicate);
    assert_eq!(setting.label("graded", vec![0.0, 0.0, 1.0]), LabelOutcome::Conflicting);
    assert_eq!(setting.label("clicked", 0_usize), LabelOutcome::Joined);
    assert_eq!(setting.label("in vain", vec![0.0, 0.0]), LabelOutcome::Joined);
    let report = setting.monitor.report();
    let all = report.variant("").unwrap();
    assert_eq!((all.predictions, all.labelled), (3, 3));
    let discounted = |gains: [f64; 2]| gains[0] + gains[1] / 3_f64.log2();
    let graded = discounted([1.0, 3.0]) / discounted([3.0, 1.0]);
    let clicked = 1.0 / 3_f64.log2();
    for (name, value, samples) in [
        ("ndcg@2", (graded + clicked) / 2.0, 2),
        ("mrr", (1.0 + 0.5 + 0.0) / 3.0, 3),
        ("map", (1.0 + 0.5) / 2.0, 2),
        ("precision@2", (1.0 + 0.5 + 0.0) / 3.0, 3),
        ("recall@2", 1.0, 2),
    ] {
        let metric = all.metric(name).unwrap();
        assert!((metric.value - value).abs() < 1e-12, "{name}: {} is not {value}", metric.value);
        assert_eq!(metric.samples, samples, "{name}");
    }
    assert!(report.signals().iter().any(|signal| signal.name == "performance.ndcg@2"));
}

#[test]
fn labels_that_do_not_fit_their_ranking_are_refused_or_counted() {
    let setting = Setting::new(Task::ranking("p", 10), options());
    assert_eq!(setting.label("early", vec![1.0]), LabelOutcome::Waiting);
    for id in ["early", "a"] {
        setting.predict(id, Tensor::from(vec![0.2_f64, 0.7]));
    }
    assert_eq!(setting.monitor.report().labels.unknown, 1);
    assert_eq!(setting.label("early", vec![1.0, 0.0]), LabelOutcome::Joined);
    for label in
        [Label::Grades(vec![1.0]), Label::Class(2), Label::Grades(vec![-1.0, 0.0]), Label::Positive(true)]
    {
        assert!(
            matches!(setting.monitor.label("a", label.clone()), Err(Error::InvalidInput(_))),
            "{label:?}"
        );
    }
    assert!(setting.monitor.label_row("a", 1, 0_usize).is_err());
    assert_eq!(setting.label("a", 1.0), LabelOutcome::Joined);
    setting.predict("odd", Tensor::from(vec![f64::NAN, 0.7]));
    assert_eq!(setting.monitor.report().dropped["not_finite"], 1);
    assert!(PerformanceMonitor::new(Task::ranking("p", 0), options()).is_err());
}

#[test]
fn what_cannot_be_kept_is_dropped_and_counted() {
    let setting = Setting::binary(options());
    setting.predict("a", p(0.5));
    setting.predict("a", p(0.5));
    setting.predict("nan", p(f64::NAN));
    setting.predict("odds", p(3.0));
    setting.predict("wide", array![[0.1, 0.2, 0.7]]);
    setting.predict("text", Tensor::from_byte_strings(&[1], ["yes"]).unwrap());
    let response = Response::new(Tensors::new().with("q", p(0.5)));
    setting.monitor.observe(&Prediction::new(&Request::default(), Ok(&response), Duration::ZERO));
    let request = Request::default().with_id("b");
    setting.monitor.observe(&Prediction::new(&request, Ok(&response), Duration::ZERO));
    let expected = [
        ("data_type", 1),
        ("duplicate_id", 1),
        ("missing_tensor", 1),
        ("no_id", 1),
        ("not_a_probability", 2),
        ("shape", 1),
    ];
    let dropped = setting.monitor.report().dropped;
    assert_eq!(dropped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect::<Vec<_>>(), expected);
}

#[test]
fn labels_and_options_that_do_not_fit_are_refused() {
    let setting = Setting::binary(options());
    for label in [Label::Number(0.5), Label::Class(2), Label::Name("yes".into()), Label::Number(f64::NAN)] {
        assert!(setting.monitor.label("a", label).unwrap_err().to_string().contains("true or false"));
    }
    let classes = PerformanceMonitor::new(Task::multiclass("p", ["a", "b"]), options()).unwrap();
    for label in [Label::Name("c".into()), Label::Number(-1.0), Label::Number(f64::INFINITY), Label::Class(2)]
    {
        assert!(classes.label("a", label).is_err());
    }
    for wrong in [
        options().with_windows(PerformanceWindow::Time(Duration::ZERO), 1),
        options().with_windows(PerformanceWindow::Requests(1), 0),
        options().with_capacity(0, HOUR),
        options().with_sample(0),
        options().with_max_segments(0),
    ] {
        assert!(PerformanceMonitor::new(Task::binary("p"), wrong).is_err());
    }
    assert!(PerformanceMonitor::new(Task::binary("p").with_threshold(f64::NAN), options()).is_err());
    assert!(PerformanceMonitor::new(Task::multiclass("p", ["one"]), options()).is_err());
}

#[test]
fn labels_come_in_tables_too() {
    let setting = Setting::binary(options());
    for id in 0..4 {
        setting.predict(&id.to_string(), p(0.9));
    }
    let table = Table::new([
        ("id", TableColumn::integers([Some(0), Some(1), None, Some(3), Some(9)])),
        ("paid", TableColumn::booleans([Some(true), Some(false), Some(true), None, Some(true)])),
    ])
    .unwrap();
    let outcomes = setting.monitor.label_table(&table, "id", "paid").unwrap();
    assert_eq!(outcomes, HashMap::from([(LabelOutcome::Joined, 2), (LabelOutcome::Waiting, 1)]));
    assert!(setting.monitor.label_table(&table, "id", "lost").is_err());
    let wrong =
        Table::new([("id", TableColumn::words([Some("2")])), ("paid", TableColumn::words([Some("maybe")]))]);
    let error = setting.monitor.label_table(&wrong.unwrap(), "id", "paid").unwrap_err().to_string();
    assert!(error.contains("row 0"), "{error}");
}

#[test]
fn what_is_expected_without_labels_is_near_what_comes() {
    let setting = Setting::binary(options().with_sample(50_000));
    // Overconfident: the truth is nearer to one half. Probabilities and draws are spread evenly.
    let spread = |index: u32, step: f64| (f64::from(index) * step).fract();
    let score = |index: u32| spread(index, 0.618_033_988_749_895);
    let positive = |index: u32| spread(index, 0.414_213_562_373_095) < 0.25 + 0.5 * score(index);
    let (labels, scores): (Vec<_>, Vec<_>) =
        (20_000..40_000).map(|index| (positive(index), score(index))).unzip();
    let calibrated = PerformanceMonitor::new(Task::binary("p"), options().with_sample(50_000)).unwrap();
    let calibrated = calibrated.with_clock(setting.clock.clone()).with_calibration(&labels, &scores).unwrap();
    let calibrated = Setting { monitor: calibrated, clock: setting.clock.clone() };
    for index in 0..20_000 {
        for setting in [&setting, &calibrated] {
            setting.predict(&index.to_string(), p(score(index)));
        }
    }
    let before = calibrated.monitor.report();
    let naive = setting.monitor.report().variant("").unwrap().estimate("roc_auc").unwrap().value;
    for index in 0..20_000 {
        calibrated.label(&index.to_string(), positive(index));
    }
    let after = calibrated.monitor.report();
    for metric in ["accuracy", "roc_auc", "f1"] {
        let expected = before.variant("").unwrap().estimate(metric).unwrap().value;
        let actual = after.variant("").unwrap().metric(metric).unwrap().value;
        assert!((expected - actual).abs() < 0.02, "{metric}: {expected} {actual}");
    }
    let actual = after.variant("").unwrap().metric("roc_auc").unwrap().value;
    assert!(naive - actual > 0.1, "overconfident probabilities promise too much: {naive} {actual}");
    assert!(calibrated.monitor.report().variant("").unwrap().reliability.len() == 10);
}

#[test]
fn errors_that_become_more_frequent_are_noticed_until_the_window_is_over() {
    let setting = Setting::binary(options().with_windows(PerformanceWindow::Time(HOUR), 2));
    let monitor = setting.monitor.with_change_detector(|| Box::new(Adwin::default()));
    let setting = Setting { monitor, clock: setting.clock };
    let changed = || setting.monitor.report().changes.iter().map(|change| change.changed).collect::<Vec<_>>();
    let labels = |range: std::ops::Range<u32>, wrong: u32| {
        for index in range {
            setting.predict(&index.to_string(), p(0.9));
            setting.label(&index.to_string(), index % 10 >= wrong);
        }
    };
    labels(0..1_000, 1);
    assert_eq!(changed(), [false]);
    labels(1_000..2_000, 5);
    assert_eq!(changed(), [true]);
    let signals = setting.monitor.report().signals();
    assert!(signals.iter().any(|signal| signal.name == "performance.errors_changed" && signal.value == 1.0));
    setting.clock.advance(2 * HOUR);
    assert_eq!(changed(), [false]);
}

#[test]
fn a_sample_stands_for_all_pairs() {
    let few = Setting::binary(options().with_sample(2_000));
    for index in 0..50_000_u32 {
        let score = f64::from(index % 1000) / 1000.0;
        few.predict(&index.to_string(), p(score));
        few.label(&index.to_string(), f64::from(index * 7919 % 1009) / 1009.0 < score);
    }
    let report = few.monitor.report();
    let all = report.variant("").unwrap();
    let auc = all.metric("roc_auc").unwrap();
    assert_eq!((auc.samples, all.metric("accuracy").unwrap().samples), (2_000, 50_000));
    assert!((auc.value - 5.0 / 6.0).abs() < 0.03, "{}", auc.value);
    assert!((all.metric("accuracy").unwrap().value - 0.75).abs() < 0.01);
}

#[test]
fn observers_and_labels_meet_from_many_threads() {
    let setting = Setting::binary(options());
    let setting = Arc::new(setting);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let setting = &setting;
            scope.spawn(move || {
                for index in 0..2_000 {
                    let id = format!("{thread}-{index}");
                    setting.predict(&id, p(0.9));
                    setting.label(&id, true);
                    if index % 500 == 0 {
                        let _ = setting.monitor.report();
                    }
                }
            });
        }
    });
    let report = setting.monitor.report();
    let busy = report.dropped.get("busy").copied().unwrap_or_default();
    assert_eq!(report.labels.joined + report.labels.waiting, 8_000);
    assert_eq!(report.labels.waiting, busy);
    assert_eq!(report.variant("").unwrap().predictions, 8_000 - busy);
}

/// Predictions and labels of 40 requests, in any order.
fn events() -> impl Strategy<Value = Vec<(bool, usize)>> {
    let events: Vec<_> = (0..40).flat_map(|id| [(true, id), (false, id)]).collect();
    Just(events).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_events_does_not_matter(
        scores in prop::collection::vec((0.0..1.0_f64, any::<bool>()), 40),
        one in events(),
        other in events(),
        sample in 5..60_usize,
    ) {
        let reports = [one, other].map(|events| {
            let setting = Setting::binary(options().with_segment("country").with_sample(sample));
            for (is_prediction, index) in events {
                let ((score, label), id) = (scores[index], index.to_string());
                if is_prediction {
                    let country = if index % 3 == 0 { "NO" } else { "SE" };
                    setting.predict_for(&id, p(score), country, None, Role::Primary);
                } else {
                    setting.label(&id, label);
                }
            }
            setting.monitor.report()
        });
        prop_assert_eq!(&reports[0], &reports[1]);
        prop_assert_eq!(reports[0].labels.joined, 40);
    }

    #[test]
    fn memory_is_bounded_whatever_comes(
        events in prop::collection::vec((any::<bool>(), 0..200_u32, 0..90_u64), 1..400),
        capacity in 1..20_usize,
        early in 0..20_usize,
    ) {
        let limits = store::Limits { entries: capacity, max_age: HOUR, early, early_for: HOUR };
        let (mut store, clock) = (store::Store::new(limits), ManualClock::default());
        for (is_prediction, id, seconds) in events {
            clock.advance(Duration::from_secs(seconds));
            let now = mlops_core::Clock::now(&clock);
            let id = id.to_string();
            if is_prediction {
                let rows = [store::Row { predicted: task::Predicted::Probability(0.5), truth: None }].into();
                let group = store::Group { variant: 0, segments: [].into() };
                let id = id.as_str().into();
                let _ = store.insert(store::Entry { id, at: now, window: 0, group, rows, previous: None });
            } else {
                let _ = store.label(&id, 0, task::Truth::Positive(true), now);
            }
            store.let_go(now, 8);
            let [entries, index, gone, waiting, queued] = store.held();
            prop_assert!(entries <= capacity && index <= entries && gone <= capacity);
            prop_assert!(waiting <= early && queued <= 2 * early.max(1) && store.waiting() <= early);
        }
    }
}
