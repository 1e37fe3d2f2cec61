//! From predictions and their labels to alerts and to training again, with all parts together.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Clock, ManualClock, Observer, Prediction, Request, Response, Tensor, Tensors};
use mlops_monitor::alert::{AlertStatus, ChannelSink, Dispatcher, Sink, Watch};
use mlops_monitor::performance::{PerformanceMonitor, PerformanceOptions, PerformanceWindow, Task};

const MINUTE: Duration = Duration::from_secs(60);

const RULES: &str = r#"
[[rules]]
name = "too many errors"
signal = "performance.accuracy"
match = { segment = "" }
below = 0.8
clear = 0.9
for = "2m"
severity = "critical"

[[triggers]]
name = "fraud"
performance = [{ signal = "performance.accuracy", below = 0.8, for = "4m" }]
"#;

#[tokio::test]
async fn a_model_that_becomes_worse_is_told_and_trained_again() {
    let clock = ManualClock::default();
    let windows = PerformanceOptions::default().with_windows(PerformanceWindow::Time(MINUTE), 1);
    let monitor = PerformanceMonitor::new(Task::binary("p"), windows).unwrap().with_clock(clock.clone());
    let monitor = Arc::new(monitor);
    let (channel, mut alerts) = ChannelSink::new(100);
    let (dispatcher, delivery) = Dispatcher::new([Box::new(channel) as Box<dyn Sink>], 100);
    let (told, events) = std::sync::mpsc::channel();
    let source = Arc::clone(&monitor);
    let mut watch = Watch::from_toml(RULES)
        .unwrap()
        .with_source(move || source.report().signals())
        .with_dispatcher(dispatcher)
        .on_retrain(move |event| told.send(event.clone()).unwrap());

    // Minutes 5 to 12 are bad.
    for minute in 0..20 {
        for index in 0..100 {
            let id = format!("{minute}-{index}");
            let request = Request::default().with_id(id.as_str());
            let response = Response::new(Tensors::new().with("p", Tensor::from(vec![0.9_f64])));
            monitor.observe(&Prediction::new(&request, Ok(&response), Duration::ZERO));
            let wrong = if (5..13).contains(&minute) { 40 } else { 5 };
            monitor.label(&id, index >= wrong).unwrap();
        }
        watch.step(clock.now());
        clock.advance(MINUTE);
    }
    drop(watch);
    delivery.await;

    let minute = |time: jiff::Timestamp| time.as_second() / 60;
    let alerts: Vec<_> = std::iter::from_fn(|| alerts.try_recv().ok()).collect();
    let told: Vec<_> = alerts.iter().map(|alert| (alert.status, minute(alert.at), alert.value)).collect();
    assert_eq!(told, [(AlertStatus::Firing, 7, 0.6), (AlertStatus::Resolved, 13, 0.95)]);
    let events: Vec<_> = events.try_iter().collect();
    assert_eq!(events.len(), 1);
    assert_eq!(minute(events[0].at), 9);
    assert_eq!(events[0].evidence[0].value, 0.6);
}
