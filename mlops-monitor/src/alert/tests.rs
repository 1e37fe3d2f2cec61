//! The state machine as a whole.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::Signal;

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

fn psi(feature: &str, value: f64) -> Signal {
    Signal::new("drift.psi", value).with_label("feature", feature)
}

fn alerts(rule: &str) -> Alerts {
    Alerts::from_toml(&format!("[[rules]]\nname = \"psi\"\nsignal = \"drift.psi\"\n{rule}")).unwrap()
}

fn statuses(alerts: &[Alert]) -> Vec<AlertStatus> {
    alerts.iter().map(|alert| alert.status).collect()
}

#[test]
fn an_alert_fires_after_its_hold_time_and_ends_when_it_has_been_clear() {
    use AlertStatus::{Firing, Resolved};

    let mut alerts =
        alerts("above = 0.2\nclear = 0.1\nfor = \"5m\"\nkeep_firing_for = \"3m\"\nrepeat = \"1h\"");
    let expected = [
        (0, 0.3, None),
        (4, 0.3, None),
        (5, 0.3, Some(Firing)),
        (6, 0.3, None),
        (8, 0.15, None),
        (9, 0.05, None),
        (10, 0.15, None),
        (12, 0.05, None),
        (14, 0.05, None),
        (15, 0.05, Some(Resolved)),
        (16, 0.15, None),
        (20, 0.3, None),
        (22, 0.2, None),
        (23, 0.3, None),
        (27, 0.3, None),
        (28, 0.3, Some(Firing)),
    ];
    for (minute, value, status) in expected {
        let told = alerts.evaluate(at(minute), &[psi("age", value)]);
        assert_eq!(statuses(&told), status.into_iter().collect::<Vec<_>>(), "minute {minute}");
    }
}

#[test]
fn an_alert_that_goes_on_is_told_again_and_each_message_has_its_id() {
    let mut alerts = alerts("above = 0.2\nrepeat = \"1h\"");
    let mut ids = std::collections::HashSet::new();
    let mut told = 0;
    for minute in 0..=180 {
        let messages = alerts.evaluate(at(minute), &[psi("age", 0.3)]);
        told += messages.len();
        ids.extend(messages.into_iter().map(|alert| alert.id));
    }
    assert_eq!((told, ids.len()), (4, 4));
    let mut never = self::alerts("above = 0.2\nrepeat = \"0s\"");
    let told: usize = (0..10_000).map(|minute| never.evaluate(at(minute), &[psi("age", 0.3)]).len()).sum();
    assert_eq!(told, 1);
}

#[test]
fn a_signal_that_is_gone_says_nothing_until_it_is_gone_for_long() {
    let mut alerts = alerts("above = 0.2\nfor = \"5m\"\nabsent_after = \"30m\"");
    assert!(alerts.evaluate(at(0), &[psi("age", 0.3)]).is_empty());
    assert!(alerts.evaluate(at(10), &[]).is_empty(), "nothing fires without its signal");
    assert_eq!(statuses(&alerts.evaluate(at(11), &[psi("age", 0.3)])), [AlertStatus::Firing]);
    assert!(alerts.evaluate(at(40), &[psi("age", f64::NAN)]).is_empty(), "NaN is no signal");
    assert_eq!(alerts.active(at(40)).count(), 1);
    assert_eq!(statuses(&alerts.evaluate(at(41), &[])), [AlertStatus::Gone]);
    assert_eq!(alerts.active(at(41)).count(), 0);

    assert!(alerts.evaluate(at(50), &[psi("age", 0.3)]).is_empty());
    assert!(alerts.evaluate(at(80), &[]).is_empty(), "what is pending is forgotten");
    assert_eq!(alerts.active(at(80)).count(), 0);
}

#[test]
fn absence_itself_can_be_worth_an_alert() {
    let mut alerts = alerts("absent = true\nfor = \"10m\"\nmatch = { feature = \"age\" }");
    assert!(alerts.evaluate(at(0), &[]).is_empty());
    assert!(alerts.evaluate(at(9), &[psi("income", 0.1)]).is_empty());
    let told = alerts.evaluate(at(10), &[]);
    assert_eq!(told[0].to_string(), "warning: psi (feature=age): drift.psi is absent");
    assert_eq!(statuses(&alerts.evaluate(at(11), &[psi("age", 0.1)])), [AlertStatus::Resolved]);
}

#[test]
fn signals_of_a_group_make_one_alert_with_the_worst_of_them() {
    let mut alerts = alerts("above = 0.2\nby = [\"variant\"]");
    let signals: Vec<_> = (0..500)
        .map(|i| psi(&format!("f{i}"), f64::from(i) / 500.0).with_label("variant", "canary"))
        .collect();
    let told = alerts.evaluate(at(0), &signals);
    assert_eq!((told.len(), told[0].signals, told[0].value), (1, 399, 0.998));
    assert_eq!(told[0].labels.keys().collect::<Vec<_>>(), ["variant"]);
    assert!(alerts.evaluate(at(1), &signals[..102]).is_empty(), "one is enough");
    assert_eq!(statuses(&alerts.evaluate(at(2), &signals[..101])), [AlertStatus::Resolved]);
}

#[test]
fn what_a_silence_covers_is_told_when_it_ends() {
    let mut alerts = alerts("above = 0.2\nseverity = \"info\"");
    alerts.silence(Silence::new().with_label("feature", "age").with_label("severity", "info").until(at(10)));
    let signals = [psi("age", 0.3), psi("income", 0.3)];
    let told = alerts.evaluate(at(0), &signals);
    assert_eq!(told.iter().map(|alert| alert.labels["feature"].as_str()).collect::<Vec<_>>(), ["income"]);
    let told = alerts.evaluate(at(10), &signals);
    assert_eq!(told.iter().map(|alert| alert.labels["feature"].as_str()).collect::<Vec<_>>(), ["age"]);
    assert_eq!(alerts.silences().count(), 0, "it is over");

    alerts.silence(Silence::new());
    let told = alerts.evaluate(at(11), &[psi("age", 0.1), psi("income", 0.1)]);
    assert_eq!(statuses(&told), [AlertStatus::Resolved; 2], "what was told to fire is told to have ended");
    assert!(alerts.evaluate(at(12), &signals).is_empty());
    assert!(alerts.evaluate(at(13), &[psi("age", 0.1), psi("income", 0.1)]).is_empty());
}

#[test]
fn alerts_whose_rule_is_gone_are_gone() {
    let mut before = alerts("above = 0.2\nseverity = \"critical\"");
    assert_eq!(before.evaluate(at(0), &[psi("age", 0.3)]).len(), 1);
    let mut after = Alerts::new([]).unwrap();
    after.restore(before.state()).unwrap();
    let told = after.evaluate(at(1), &[psi("age", 0.3)]);
    assert_eq!((statuses(&told), told[0].severity), (vec![AlertStatus::Gone], Severity::Critical));
    assert!(after.evaluate(at(2), &[]).is_empty());
}

#[test]
fn the_clock_may_go_back() {
    let mut alerts = alerts("above = 0.2\nfor = \"5m\"");
    assert!(alerts.evaluate(at(100), &[psi("age", 0.3)]).is_empty());
    assert!(alerts.evaluate(at(0), &[psi("age", 0.3)]).is_empty());
    assert!(alerts.evaluate(at(104), &[psi("age", 0.3)]).is_empty());
    assert_eq!(alerts.evaluate(at(105), &[psi("age", 0.3)]).len(), 1);
}

#[test]
fn infinities_are_numbers_and_survive_a_restart() {
    let mut alerts = alerts("above = 0.2");
    assert_eq!(alerts.evaluate(at(0), &[psi("age", f64::INFINITY)])[0].value, f64::INFINITY);
    let state = serde_json::to_string(&alerts.state()).unwrap();
    assert_eq!(serde_json::from_str::<AlertsState>(&state).unwrap(), alerts.state());
}

#[test]
fn rules_that_make_no_sense_are_refused_with_their_place() {
    for (rule, fault) in [
        ("", "exactly one of"),
        ("above = 0.2\nbelow = 0.1", "exactly one of"),
        ("above = 0.2\nclear = 0.3", "good side"),
        ("above = 0.2\nclear = [0.1, 0.2]", "only `outside`"),
        ("outside = [0.2, 0.1]", "good side"),
        ("outside = [0.1, 0.2]\nclear = 0.1", "range is cleared by a range"),
        ("above = nan", "finite"),
        ("above = 0.2\nfor = \"soon\"", "for"),
        ("above = 0.2\ncolour = 1", "unknown field `colour`"),
        ("above = 0.2\nmatch = { feature = { regex = \"(\" } }", "text, or one of"),
        ("above = 0.2\nseverity = \"fatal\"", "unknown variant `fatal`"),
    ] {
        let document = format!("[[rules]]\nname = \"psi\"\nsignal = \"drift.psi\"\n{rule}");
        let error = Alerts::from_toml(&document).unwrap_err().to_string();
        assert!(error.contains(fault) && error.contains("line"), "{rule}: {error}");
    }
    let twice = "[[rules]]\nname = \"a\"\nsignal = \"x\"\nabove = 1\n".repeat(2);
    assert!(Alerts::from_toml(&twice).unwrap_err().to_string().contains("two rules have the name `a`"));
}

#[test]
fn rules_survive_toml_and_json() {
    for rule in
        ["above = 1\nclear = 0.5", "below = 1\nby = []", "outside = [1, 4]\nclear = [2, 3]", "absent = true"]
    {
        let rule = alerts(rule).rules()[0].clone();
        let json = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<AlertRule>(&json).unwrap(), rule, "{json}");
    }
}

#[test]
fn a_trigger_fires_once_for_all_it_has_missed_and_then_cools_down() {
    let schedule = || RetrainTrigger::new("nightly").on_schedule(Schedule::new("0 0 * * * UTC").unwrap());
    let (hour, day) = (60, 24 * 60);
    let mut trigger = schedule().with_cool_down(std::time::Duration::from_secs(12 * 3600));
    assert!(trigger.evaluate(at(0), &[]).is_none(), "what was before it began is not missed");
    assert!(trigger.evaluate(at(day - 1), &[]).is_none());
    assert!(trigger.evaluate(at(day), &[]).is_some());
    assert!(trigger.evaluate(at(day + 1), &[]).is_none());

    let state: RetrainState = serde_json::from_str(&serde_json::to_string(trigger.state()).unwrap()).unwrap();
    let mut restarted =
        schedule().with_cool_down(std::time::Duration::from_secs(12 * 3600)).with_state(state);
    let event = restarted.evaluate(at(5 * day + 20 * hour), &[]).unwrap();
    assert_eq!(
        event.reasons,
        [RetrainReason::Schedule { schedule: "0 0 * * * UTC".into(), due: at(2 * day) }]
    );
    assert!(restarted.evaluate(at(6 * day), &[]).is_none(), "the model has just been trained");
    assert!(restarted.evaluate(at(6 * day + 10 * hour), &[]).is_none(), "and that time is over");
    assert!(restarted.evaluate(at(7 * day), &[]).is_some());
}

#[test]
fn a_trigger_brings_its_reasons_and_the_evidence() {
    let drift = RetrainCondition::new(Selector::new("drift.psi"), Condition::above(0.2)).unwrap();
    let worse = RetrainCondition::new(Selector::new("performance.roc_auc"), Condition::below(0.7)).unwrap();
    let mut trigger = RetrainTrigger::new("credit")
        .on_drift(drift.with_at_least(2).unwrap().with_hold(std::time::Duration::from_secs(600)))
        .on_performance(worse);
    let drifted = [psi("a", 0.3), psi("b", 0.1), psi("c", 0.4)];
    assert!(trigger.evaluate(at(0), &drifted).is_none());
    assert!(trigger.evaluate(at(5), &drifted[..2]).is_none(), "one is not enough, and the time begins anew");
    assert!(trigger.evaluate(at(10), &drifted).is_none());
    let event = trigger.evaluate(at(20), &drifted).unwrap();
    assert_eq!(event.reasons[0].to_string(), "drift.psi is above 0.2 (2 signals)");
    assert_eq!(event.evidence, [drifted[0].clone(), drifted[2].clone()]);
    let auc = [Signal::new("performance.roc_auc", 0.6)];
    assert!(trigger.evaluate(at(30), &auc).is_none());
    let next = trigger.evaluate(at(20 + 24 * 60), &auc).unwrap();
    assert!(matches!(next.reasons[0], RetrainReason::Performance { .. }) && next.id != event.id);
    assert!(RetrainTrigger::from_toml("name = \"x\"").unwrap_err().to_string().contains("needs a name"));
}

#[test]
fn a_watch_survives_sources_that_panic_and_stops_when_it_is_dropped() {
    let (told, events) = std::sync::mpsc::channel();
    let document = "[[triggers]]\nname = \"t\"\ndrift = [{ signal = \"drift.psi\", above = 0.2 }]";
    let watch = Watch::from_toml(document)
        .unwrap()
        .with_source(|| panic!("a source that panics, on purpose"))
        .with_source(|| vec![psi("age", 0.3)])
        .on_retrain(move |event| told.send(event.clone()).unwrap());
    let clock = mlops_core::ManualClock::default();
    let handle = watch.spawn(clock, std::time::Duration::from_secs(3600)).unwrap();
    assert_eq!(events.recv().unwrap().evidence, [psi("age", 0.3)]);
    let state = handle.with(|watch| watch.state());
    drop(handle);
    assert!(events.recv().is_err(), "the watch is gone");

    let mut watch = Watch::from_toml(document).unwrap().with_source(|| vec![psi("age", 0.3)]);
    watch.restore(state).unwrap();
    assert!(watch.step(at(1)).retrain.is_empty(), "it cools down across the restart");
}

/// Minutes since the step before, and the number then; `None` is a signal that does not come.
#[test]
fn what_labels_hold_is_no_template() {
    let rule =
        "above = 0.2\nlabels = { team = \"risk\" }\nannotations = { a = \"{feature} {team} {value} {x} {\" }";
    let told = alerts(rule).evaluate(at(0), &[psi("{team}", 0.5)]);
    assert_eq!(told[0].annotations["a"], "{team} risk 0.5 {x} {");
}

#[test]
fn a_watch_without_an_interval_is_refused() {
    let watch = Watch::new(alerts("above = 0.2"));
    let error = watch.spawn(mlops_core::SystemClock, std::time::Duration::ZERO).unwrap_err();
    assert!(matches!(error, mlops_core::Error::InvalidInput(_)), "{error}");
}

fn steps() -> impl Strategy<Value = Vec<(i64, Option<f64>)>> {
    prop::collection::vec((0..4_i64, prop::option::weighted(0.9, 0.0..0.4)), 1..120)
}

proptest! {
    #[test]
    fn no_alert_fires_before_its_hold_time_and_none_flaps(steps in steps(), hold in 0..10_i64) {
        let rule = format!("above = 0.2\nclear = 0.1\nfor = \"{hold}m\"\nrepeat = \"0s\"\nabsent_after = \"24h\"");
        let mut alerts = alerts(&rule);
        let (mut minute, mut firing, mut breach_since, mut cleared) = (0, false, None, true);
        for (pause, value) in steps {
            minute += pause;
            let signals: Vec<_> = value.map(|value| psi("age", value)).into_iter().collect();
            if let Some(value) = value {
                breach_since = if value > 0.2 { breach_since.or(Some(minute)) } else { None };
                cleared |= value <= 0.1;
            }
            for alert in alerts.evaluate(at(minute), &signals) {
                if alert.is_firing() {
                    prop_assert!(!firing, "one alert for one rule and its labels");
                    prop_assert!(breach_since.is_some_and(|since| minute - since >= hold));
                    (firing, cleared) = (true, false);
                } else {
                    prop_assert!(firing && cleared && value.is_some_and(|value| value <= 0.1));
                    firing = false;
                }
            }
            let active = alerts.active(at(minute)).any(|alert| alert.is_firing());
            prop_assert_eq!(active, firing);
        }
    }

    #[test]
    fn a_restart_changes_nothing(steps in steps(), restart in 0..120_usize) {
        let rule = "above = 0.2\nclear = 0.1\nfor = \"3m\"\nkeep_firing_for = \"2m\"\nrepeat = \"7m\"\nabsent_after = \"5m\"";
        let (mut straight, mut restarted, mut minute) = (alerts(rule), alerts(rule), 0);
        for (index, (pause, value)) in steps.into_iter().enumerate() {
            minute += pause;
            if index == restart {
                let state = serde_json::to_string(&restarted.state()).unwrap();
                restarted = alerts(rule);
                restarted.restore(serde_json::from_str(&state).unwrap()).unwrap();
            }
            let signals: Vec<_> = value.map(|value| psi("age", value)).into_iter().collect();
            prop_assert_eq!(straight.evaluate(at(minute), &signals), restarted.evaluate(at(minute), &signals));
        }
    }
}
