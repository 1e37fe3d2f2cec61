//! When windows end, and what is counted apart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::Random;
use jiff::Timestamp;
use mlops_core::{
    ManualClock, Observer, Prediction, Request, Response, Role, RoutingContext, Tensors, Variant, Verdict,
};
use mlops_monitor::{
    CounterOptions, Features, FleetCounts, Monitor, MonitorOptions, Profile, Segments, Span, TensorFeatures,
    Window,
};
use ndarray::Array2;

const SECOND: Duration = Duration::from_secs(1);

fn inputs(random: &mut Random, rows: usize, shift: f64) -> Tensors {
    Tensors::new().with("x", Array2::from_shape_fn((rows, 2), |_| random.normal() + shift))
}

fn profile() -> Profile {
    let features = Features::new([TensorFeatures::columns("x", ["age", "income"])]).unwrap();
    Profile::from_tensors(&inputs(&mut Random::new(1), 1_000, 0.0), features).unwrap()
}

fn monitor(options: MonitorOptions) -> Monitor {
    Monitor::new(profile(), options).unwrap()
}

fn feed(monitor: &Monitor, rows: usize, shift: f64) {
    monitor.observe_inputs(&inputs(&mut Random::new(rows as u64), rows, shift));
}

fn rows(monitor: &Monitor) -> u64 {
    monitor.counts().rows
}

#[test]
fn a_window_of_time_ends_by_the_clock() {
    let clock = ManualClock::new(Timestamp::from_second(105).unwrap());
    let options = MonitorOptions::default().with_window(Window::Time(10 * SECOND)).with_clock(clock.clone());
    let monitor = monitor(options);
    feed(&monitor, 5, 0.0);
    assert_eq!(rows(&monitor), 5, "the running window, before there is another");
    clock.advance(4 * SECOND);
    feed(&monitor, 1, 0.0);
    clock.advance(SECOND); // 110: windows begin at multiples of their length
    feed(&monitor, 70, 0.0);
    assert_eq!(rows(&monitor), 6);
    clock.advance(10 * SECOND);
    assert_eq!(rows(&monitor), 70, "nobody has to count for a window to end");
    assert_eq!(rows(&monitor), 70);
    clock.advance(10 * SECOND);
    assert_eq!((rows(&monitor), monitor.report().verdict), (0, Verdict::TooFewSamples));

    let windows: Vec<_> = monitor.windows().iter().map(|it| (it.number, it.counts.rows)).collect();
    assert_eq!(windows, [(10, 6), (11, 70), (12, 0)]);
    let bounds: Vec<_> =
        monitor.history().iter().map(|it| (it.began.as_second(), it.ended.as_second())).collect();
    assert_eq!(bounds, [(100, 110), (110, 120), (120, 130)]);
}

#[test]
fn a_long_silence_is_many_empty_windows() {
    let clock = ManualClock::default();
    let options = MonitorOptions::default().with_window(Window::Time(SECOND)).with_history(3);
    let monitor = monitor(options.with_clock(clock.clone()));
    feed(&monitor, 5, 0.0);
    clock.advance(1_000_000 * SECOND);
    feed(&monitor, 6, 0.0);
    let windows: Vec<_> = monitor.windows().iter().map(|it| (it.number, it.counts.rows)).collect();
    assert_eq!(windows, [(999_997, 0), (999_998, 0), (999_999, 0)]);
    clock.advance(SECOND);
    assert_eq!(rows(&monitor), 6);
}

#[test]
fn a_sliding_window_moves_on_pane_by_pane() {
    let sliding = |length, panes| MonitorOptions::default().with_window(Window::Sliding { length, panes });
    let monitor = monitor(sliding(Span::Rows(40), 4));
    let mut seen = Vec::new();
    for rows in [10, 5, 5, 10, 10, 12, 9, 3] {
        feed(&monitor, rows, 0.0);
        seen.push(monitor.counts().rows);
    }
    assert_eq!(seen, [10, 15, 20, 30, 40, 42, 42, 44]);
    assert_eq!(monitor.windows().iter().map(|it| it.counts.rows).collect::<Vec<_>>(), [40, 42, 44]);

    let clock = ManualClock::default();
    let timed =
        Monitor::new(profile(), sliding(Span::Time(4 * SECOND), 4).with_clock(clock.clone())).unwrap();
    let mut seen = Vec::new();
    for rows in [1, 2, 4, 8, 16, 32] {
        feed(&timed, rows, 0.0);
        clock.advance(SECOND);
        seen.push(timed.counts().rows);
    }
    assert_eq!(seen, [1, 3, 7, 15, 30, 60]);
    clock.advance(2 * SECOND);
    assert_eq!(timed.counts().rows, 48);
    clock.advance(2 * SECOND);
    assert_eq!(timed.counts().rows, 0);
}

#[test]
fn the_history_is_a_trend() {
    let monitor = monitor(MonitorOptions::default().with_window(Window::Rows(300)).with_history(3));
    for shift in [3.0, 0.0, 0.0, 0.0, 2.0] {
        feed(&monitor, 300, shift);
    }
    let trend: Vec<_> = monitor.history().iter().map(|it| (it.number, it.report.verdict)).collect();
    assert_eq!(trend, [(2, Verdict::Stable), (3, Verdict::Stable), (4, Verdict::Drifted)]);
    monitor.reset();
    assert_eq!((rows(&monitor), monitor.history().len()), (0, 3));
}

fn predict(monitor: &Monitor, variant: &str, country: Option<&str>, rows: usize, shift: f64) {
    let mut context = RoutingContext::new();
    if let Some(country) = country {
        context = context.with_attribute("country", country);
    }
    let request = Request::new(inputs(&mut Random::new(rows as u64), rows, shift)).with_context(context);
    let (response, variant) = (Response::default(), Variant::new(variant).unwrap());
    let prediction = Prediction::new(&request, Ok(&response), Duration::ZERO);
    monitor.observe(&prediction.of_variant(&variant, Role::Primary));
}

#[test]
fn variants_and_segments_are_counted_apart() {
    let options = MonitorOptions::default()
        .with_segments(Segments::by_attribute("country").with_most(2))
        .with_most_variants(2);
    let monitor = monitor(options);
    predict(&monitor, "stable", Some("NO"), 200, 0.0);
    predict(&monitor, "canary", Some("NO"), 300, 2.0);
    predict(&monitor, "stable", Some("SE"), 400, 0.0);
    predict(&monitor, "stable", Some("DK"), 30, 0.0);
    predict(&monitor, "stable", None, 4, 0.0);
    predict(&monitor, "third", Some("NO"), 500, 0.0);

    let seen = |variant, segment| monitor.report_for(variant, segment).rows;
    assert_eq!(seen(None, None), 1_434);
    assert_eq!((seen(Some("stable"), None), seen(None, Some("NO"))), (634, 1_000));
    assert_eq!((seen(Some("stable"), Some("NO")), seen(Some("stable"), Some("other"))), (200, 34));
    assert_eq!((seen(Some("other"), None), seen(Some("nobody"), None)), (500, 0));
    assert_eq!(monitor.report_for(Some("canary"), None).verdict, Verdict::Drifted);
    assert_eq!(monitor.report_for(Some("stable"), None).verdict, Verdict::Stable);
    assert_eq!(monitor.groups().len(), 5);

    // Windows of all groups end together.
    assert_eq!(monitor.report().rows, 1_434);
    monitor.reset();
    assert_eq!((monitor.report().rows, seen(Some("canary"), None)), (0, 0));
}

#[test]
fn segments_may_be_any_word_about_a_request() {
    let by_size = Segments::by(|request| {
        let rows = request.inputs.get("x").map_or(0, |x| x.shape()[0]);
        Some(if rows > 10 { "large" } else { "small" })
    });
    let monitor = monitor(MonitorOptions::default().with_segments(by_size));
    [5, 50, 7].iter().for_each(|rows| predict(&monitor, "a", None, *rows, 0.0));
    let seen = |segment| monitor.counts_for(None, Some(segment)).rows;
    assert_eq!((seen("small"), seen("large"), seen("other")), (12, 50, 0));
}

#[test]
fn a_fleet_reports_what_one_process_would() {
    let clock = ManualClock::new(Timestamp::from_second(7).unwrap());
    let options =
        || MonitorOptions::default().with_window(Window::Time(60 * SECOND)).with_clock(clock.clone());
    let (replicas, all) = ([monitor(options()), monitor(options()), monitor(options())], monitor(options()));
    for (call, rows) in [3, 200, 1, 90, 17, 400].into_iter().enumerate() {
        feed(&replicas[call % 3], rows, 0.4);
        feed(&all, rows, 0.4);
    }
    clock.advance(60 * SECOND);
    let mut fleet = FleetCounts::new(&profile(), 10);
    for (replica, monitor) in replicas.iter().enumerate() {
        for window in monitor.windows() {
            fleet.push(replica.to_string(), window.number, window.counts.as_ref().clone()).unwrap();
            fleet.push(replica.to_string(), window.number, window.counts.as_ref().clone()).unwrap();
        }
    }
    assert_eq!(fleet.sum(0), Some(all.counts().as_ref().clone()));
    assert!(all.counts().features.iter().all(|feature| feature.raw().is_some()));
    let report = mlops_monitor::Rules::default().report(&profile(), &fleet.sum(0).unwrap()).unwrap();
    assert_eq!(report, all.report());
}

#[test]
fn a_small_window_keeps_its_values() {
    let counters = CounterOptions::default().with_raw(100);
    let monitor = monitor(MonitorOptions::default().with_counters(counters));
    let x = ndarray::array![[3.0, f64::NAN], [1.0, f64::INFINITY], [2.0, -1.0]];
    monitor.observe_inputs(&Tensors::new().with("x", x));
    let counts = monitor.counts();
    assert_eq!(counts.features[0].raw(), Some(&[1.0, 2.0, 3.0][..]));
    assert_eq!(counts.features[1].raw(), Some(&[-1.0, f64::INFINITY][..]));
    let json = serde_json::to_string(&*counts).unwrap();
    assert_eq!(serde_json::from_str::<mlops_monitor::Counts>(&json).unwrap(), *counts);

    feed(&monitor, 97, 0.0);
    assert_eq!(monitor.counts().features[0].raw().map(<[f64]>::len), Some(100));
    feed(&monitor, 1, 0.0);
    assert_eq!(monitor.counts().features[0].raw(), None);
    monitor.reset();
    feed(&monitor, 1, 0.0);
    assert_eq!(monitor.counts().features[0].raw().map(<[f64]>::len), Some(1));
}

#[test]
fn impossible_windows_are_refused() {
    let (rows, time) = (Span::Rows(9), Span::Time(SECOND));
    for window in [
        Window::Time(Duration::ZERO),
        Window::Time(Duration::MAX),
        Window::Sliding { length: rows, panes: 1 },
        Window::Sliding { length: rows, panes: 10 },
        Window::Sliding { length: time, panes: 0 },
        Window::Sliding { length: time, panes: usize::MAX },
    ] {
        assert!(
            Monitor::new(profile(), MonitorOptions::default().with_window(window)).is_err(),
            "{window:?}"
        );
    }
    let many = MonitorOptions::default().with_most_variants(usize::MAX);
    assert!(Monitor::new(profile(), many).is_err());
}

#[test]
fn what_a_model_answers_is_watched_like_what_it_is_asked() {
    let features = Features::new([
        TensorFeatures::column("city"),
        TensorFeatures::column("score").of_output(),
        TensorFeatures::column("label").of_output(),
    ])
    .unwrap();
    let cities = |city: &str| mlops_core::Tensor::from_byte_strings(&[200], vec![city; 200]).unwrap();
    let scores = |shift: f64| (0..200).map(|i| f64::from(i % 100) / 100.0 + shift).collect::<Vec<f64>>();
    let labels = |every: i32| {
        let words = (0..200).map(|i| if i % every == 0 { "yes" } else { "no" });
        mlops_core::Tensor::from_byte_strings(&[200], words.collect::<Vec<_>>()).unwrap()
    };
    let answer = |shift, every| Tensors::new().with("score", scores(shift)).with("label", labels(every));
    let profile =
        Profile::from_predictions(&Tensors::new().with("city", cities("Oslo")), &answer(0.0, 4), features);
    let monitor = Monitor::new(profile.unwrap(), MonitorOptions::default().with_confidence("score")).unwrap();

    let request = Request::new(Tensors::new().with("city", cities("Bergen")));
    let response = Response::new(answer(5.0, 2));
    monitor.observe(&Prediction::new(&request, Ok(&response), Duration::ZERO));
    let report = monitor.report();
    assert_eq!((report.rows, report.dropped), (200, 0));
    for feature in ["city", "score", "label"] {
        assert_eq!(report.feature(feature).unwrap().verdict, Verdict::Drifted, "{feature}");
    }
    let counts = monitor.counts();
    assert_eq!(counts.features[0].bins, [0, 0, 200], "one city, no other, all new");
    assert_eq!(counts.features[2].bins, [100, 100, 0, 0]);

    monitor.observe_inputs(&Tensors::new().with("city", cities("")));
    let counts = monitor.counts();
    assert_eq!((counts.rows, counts.dropped, counts.features[0].missing), (400, 0, 200));
    let mixed = Tensors::new().with("city", vec![1.0; 7]).with("score", cities("Oslo"));
    monitor.observe_inputs(&mixed);
    let response = Response::new(Tensors::new().with("score", cities("Oslo")));
    monitor.observe(&Prediction::new(&request, Ok(&response), Duration::ZERO));
    assert_eq!(monitor.counts().dropped, 1 + 2, "numbers for words, words for numbers, nothing at all");
}
