//! The monitor behind the observer seam: what it counts, what it drops, windows, metrics and threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::Random;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use mlops_core::{Error, Observer, Prediction, Request, Response, Role, Tensor, Tensors, Variant, Verdict};
use mlops_monitor::{
    Counters, Counts, FeatureCounts, Features, Monitor, MonitorOptions, Profile, Rules, TensorFeatures,
    Window,
};
use ndarray::Array2;

fn features() -> Features {
    Features::new([TensorFeatures::columns("x", ["age", "income"]), TensorFeatures::column("flag")]).unwrap()
}

/// `rows` calls in one: two normal features, the second moved by `shift`, and a coin.
fn inputs(random: &mut Random, rows: usize, shift: f64) -> Tensors {
    let x = Array2::from_shape_fn((rows, 2), |(_, column)| (random.normal() + column as f64 * shift) as f32);
    let flag: Vec<bool> = (0..rows).map(|_| random.uniform() < 0.5).collect();
    Tensors::new().with("x", x).with("flag", flag)
}

fn profile() -> Profile {
    Profile::from_tensors(&inputs(&mut Random::new(1), 2_000, 0.0), features()).unwrap()
}

fn monitor(options: MonitorOptions) -> Monitor {
    Monitor::new(profile(), options).unwrap()
}

fn rows_seen(options: MonitorOptions, role: Role, error: Option<&Error>) -> u64 {
    let monitor = monitor(options);
    let request = Request::new(inputs(&mut Random::new(2), 7, 0.0));
    let (response, variant) = (Response::default(), Variant::new("canary").unwrap());
    let result = error.map_or(Ok(&response), Err);
    monitor.observe(&Prediction::new(&request, result, Duration::ZERO).of_variant(&variant, role));
    monitor.report().rows
}

#[test]
fn answers_to_callers_count_and_the_rest_on_request() {
    let (options, error) = (MonitorOptions::default, Error::engine("it broke"));
    assert_eq!(rows_seen(options(), Role::Primary, None), 7);
    assert_eq!(rows_seen(options(), Role::Shadow, None), 0);
    assert_eq!(rows_seen(options().with_shadows(true), Role::Shadow, None), 7);
    assert_eq!(rows_seen(options(), Role::Primary, Some(&error)), 0);
    assert_eq!(rows_seen(options().with_failures(true), Role::Primary, Some(&error)), 7);
}

#[test]
fn the_report_names_what_has_drifted() {
    let monitor = monitor(MonitorOptions::default());
    assert_eq!(monitor.report().verdict, Verdict::TooFewSamples);

    let mut random = Random::new(3);
    (0..500).for_each(|_| monitor.observe_inputs(&inputs(&mut random, 1, 1.0)));
    let report = monitor.report();
    assert_eq!((report.verdict, report.rows, report.reference_rows), (Verdict::Drifted, 500, 2_000));
    assert_eq!(report.drifted().collect::<Vec<_>>(), ["income"]);
    assert_eq!(report.feature("age").unwrap().verdict, Verdict::Stable);
    assert!(report.feature("income").unwrap().adjusted_p_value.unwrap() < 1e-6);

    monitor.reset();
    monitor.observe_inputs(&inputs(&mut random, 500, 0.0));
    assert_eq!(monitor.report().verdict, Verdict::Stable);
}

#[test]
fn a_monitor_of_a_loaded_profile_gives_the_same_report() {
    let loaded = Profile::from_bytes(&profile().to_bytes().unwrap()).unwrap();
    let (here, there) =
        (monitor(MonitorOptions::default()), Monitor::new(loaded, MonitorOptions::default()).unwrap());
    for seed in 0..5 {
        here.observe_inputs(&inputs(&mut Random::new(seed), 100, 0.3));
        there.observe_inputs(&inputs(&mut Random::new(seed), 100, 0.3));
    }
    assert_eq!(here.report(), there.report());
}

#[test]
fn replicas_add_up_to_one_monitor() {
    let (one, two, all) = (
        monitor(MonitorOptions::default()),
        monitor(MonitorOptions::default()),
        monitor(MonitorOptions::default()),
    );
    for (seed, rows) in [(0, 1), (1, 30), (2, 700), (3, 8), (4, 0)] {
        let inputs = inputs(&mut Random::new(seed), rows, 0.5);
        [&one, &two][seed as usize % 2].observe_inputs(&inputs);
        all.observe_inputs(&inputs);
    }
    let mut merged = Counts::clone(&one.counts());
    merged.merge(&two.counts()).unwrap();
    assert_eq!(merged, *all.counts());
    let rules = Rules::default();
    assert_eq!(rules.report(&profile(), &merged).unwrap(), all.report());

    let other = Profile::from_tensors(&inputs(&mut Random::new(9), 300, 0.0), features()).unwrap();
    assert!(rules.report(&other, &merged).is_err());
    assert!(rules.with_alpha(0.0).report(&profile(), &merged).is_err());
}

#[test]
fn a_window_of_rows_is_reported_when_it_is_complete() {
    let monitor = monitor(MonitorOptions::default().with_window(Window::Rows(300)));
    let mut random = Random::new(4);
    (0..299).for_each(|_| monitor.observe_inputs(&inputs(&mut random, 1, 2.0)));
    assert_eq!((monitor.report().rows, monitor.report().verdict), (299, Verdict::Drifted));

    (0..300).for_each(|_| monitor.observe_inputs(&inputs(&mut random, 1, 2.0)));
    assert_eq!((monitor.report().rows, monitor.report().verdict), (300, Verdict::Drifted));
    (0..300).for_each(|_| monitor.observe_inputs(&inputs(&mut random, 1, 0.0)));
    assert_eq!((monitor.report().rows, monitor.report().verdict), (300, Verdict::Drifted));
    (0..300).for_each(|_| monitor.observe_inputs(&inputs(&mut random, 1, 0.0)));
    assert_eq!((monitor.report().rows, monitor.report().verdict), (300, Verdict::Stable));

    monitor.reset();
    assert_eq!(monitor.report().rows, 0);
}

#[test]
fn a_share_of_the_predictions_is_enough() {
    let monitor = monitor(MonitorOptions::default().with_sampling(0.25));
    let (request, response) = (Request::new(inputs(&mut Random::new(5), 1, 0.0)), Response::default());
    (0..8_000).for_each(|_| monitor.observe(&Prediction::new(&request, Ok(&response), Duration::ZERO)));
    assert!((1_800..2_200).contains(&monitor.report().rows), "{}", monitor.report().rows);
}

#[test]
fn impossible_options_are_refused() {
    for options in [
        MonitorOptions::default().with_sampling(0.0),
        MonitorOptions::default().with_sampling(1.1),
        MonitorOptions::default().with_sampling(f64::NAN),
        MonitorOptions::default().with_window(Window::Rows(0)),
        MonitorOptions::default().with_rules(Rules::default().with_alpha(1.0)),
    ] {
        assert!(Monitor::new(profile(), options.clone()).is_err(), "{options:?}");
    }
}

const THREADS: u64 = 8;
const CALLS: usize = 400;
/// Each thread makes so many calls of 1, 2, ... 10 rows in turn.
const ROWS: u64 = THREADS * (CALLS as u64) / 10 * 55;

/// Calls `observe` from many threads, and `meanwhile` on this one until they are done.
fn from_many_threads(observe: impl Fn(&Tensors) + Sync, mut meanwhile: impl FnMut()) {
    thread::scope(|scope| {
        let observe = &observe;
        let threads = (0..THREADS).map(|seed| {
            scope.spawn(move || {
                let mut random = Random::new(seed);
                (0..CALLS).for_each(|call| observe(&inputs(&mut random, 1 + call % 10, 0.0)));
            })
        });
        let threads: Vec<_> = threads.collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            meanwhile();
        }
    });
}

#[test]
fn threads_count_exactly() {
    let monitor = monitor(MonitorOptions::default());
    from_many_threads(|inputs| monitor.observe_inputs(inputs), thread::yield_now);
    let counts = monitor.counts();
    assert_eq!((counts.rows, counts.dropped), (ROWS, 0));
    assert!(counts.features.iter().all(|feature| feature.total() == ROWS));
}

#[test]
fn nothing_is_lost_or_doubled_between_windows() {
    let counters = Counters::new(profile());
    let mut sum = counters.rotate();
    from_many_threads(
        |inputs| {
            counters.observe(inputs);
        },
        || sum.merge(&counters.rotate()).unwrap(),
    );
    sum.merge(&counters.rotate()).unwrap();
    assert_eq!(sum.rows, ROWS);
    assert!(sum.features.iter().all(|feature| feature.total() == ROWS));
}

#[test]
fn windows_end_whoever_is_counting() {
    let monitor = monitor(MonitorOptions::default().with_window(Window::Rows(1_000)));
    from_many_threads(
        |inputs| monitor.observe_inputs(inputs),
        || {
            let _ = monitor.counts();
            thread::yield_now();
        },
    );
    // Who ends a window may be stopped in the midst of it, and nobody waits for him; so how long it is depends on the
    // scheduler, but it is never too short, and it ends.
    let rows = monitor.counts().rows;
    assert!((1_000..ROWS).contains(&rows), "{rows}");
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let recorder = Recorded::default();
    metrics::with_local_recorder(&recorder, || {
        let monitor = monitor(MonitorOptions::default());
        let good = inputs(&mut Random::new(6), 5, 0.0);
        let text = Tensor::from_byte_strings(&[5], ["a"; 5]).unwrap();
        monitor.observe_inputs(&good.clone().with("unknown", vec![1_u8]));
        monitor.observe_inputs(&good.clone().with("flag", text));
        monitor.observe_inputs(&good.clone().with("x", vec![1.0_f32; 5]));
        monitor.observe_inputs(&good.clone().with("x", Tensor::from_vec(&[], vec![1.0_f32]).unwrap()));
        monitor.observe_inputs(&Tensors::new().with("x", good.get("x").unwrap().clone()));
        monitor.observe_inputs(&Tensors::new());

        let report = monitor.report();
        assert_eq!((report.rows, report.dropped), (25, 6));
        let counts = monitor.counts();
        let totals: Vec<u64> = counts.features.iter().map(FeatureCounts::total).collect();
        assert_eq!(totals, [15, 15, 15]);
    });
    let dropped = |reason: &str| recorder.value(&format!("monitor_observations_dropped_total {reason}"));
    assert_eq!((dropped("data_type"), dropped("shape"), dropped("missing_tensor")), (1.0, 2.0, 3.0));
}

#[test]
fn a_report_sets_the_gauges() {
    let recorder = Recorded::default();
    let report = metrics::with_local_recorder(&recorder, || {
        let monitor = monitor(MonitorOptions::default());
        monitor.observe_inputs(&inputs(&mut Random::new(7), 500, 1.0));
        monitor.report()
    });
    for feature in &report.features {
        for assessment in &feature.assessments {
            let gauge = format!("feature_drift_score {} {}", feature.feature, assessment.test);
            assert_eq!(Some(recorder.value(&gauge)), assessment.score, "{gauge}");
        }
    }
}

/// Keeps counters and gauges by name and label values.
#[derive(Default)]
struct Recorded(Mutex<BTreeMap<String, Arc<Cell>>>);

#[derive(Default)]
struct Cell(AtomicU64);

impl Recorded {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels = key.labels().map(|label| format!(" {}", label.value()));
        let name = key.name().to_owned() + &labels.collect::<String>();
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    fn value(&self, name: &str) -> f64 {
        f64::from_bits(self.0.lock().unwrap()[name].0.load(Ordering::Relaxed))
    }
}

impl GaugeFn for Cell {
    fn increment(&self, value: f64) {
        self.set(f64::from_bits(self.0.load(Ordering::Relaxed)) + value);
    }

    fn decrement(&self, value: f64) {
        GaugeFn::increment(self, -value);
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        GaugeFn::increment(self, value as f64);
    }

    fn absolute(&self, value: u64) {
        self.set(value as f64);
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn categories_are_counted_whatever_holds_them() {
    let features = Features::new([
        TensorFeatures::column("city"),
        TensorFeatures::columns("x", ["age", "code"]).with_categorical(["code"]),
        TensorFeatures::column("label").categorical().of_output(),
    ]);
    let rows = |city: &str, code: f32| {
        Tensors::new()
            .with("city", Tensor::from_byte_strings(&[2], ["Oslo", city]).unwrap())
            .with("x", ndarray::array![[31.0, 7.0], [47.0, code]])
    };
    let labels = Tensors::new().with("label", vec![true, false]);
    let profile = Profile::from_predictions(&rows("Bergen", 9.0), &labels, features.unwrap()).unwrap();
    let counters = Counters::new(profile);
    for (city, code) in [("Bergen", 9.0), ("Paris", 8.0), ("", f32::NAN)] {
        assert_eq!(counters.observe(&rows(city, code)), 2);
    }
    counters.observe(&rows("Bergen", 9.0).with("city", vec![1_i32, 2]));
    let counts = counters.snapshot();
    let of = |feature: usize| (counts.features[feature].bins.clone(), counts.features[feature].missing);
    assert_eq!(of(0), (vec![1, 3, 0, 1], 1));
    assert_eq!(of(2), (vec![4, 2, 0, 1], 1));
    assert_eq!(counts.dropped, 1);
}
