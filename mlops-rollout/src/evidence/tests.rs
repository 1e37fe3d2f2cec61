use std::time::Duration;

use mlops_core::{Error, Request, Response, RoutingContext};
use proptest::prelude::*;

use super::window::{MOST_METRICS, MOST_VARIANTS};
use super::*;

fn variant(name: &str) -> Variant {
    Variant::new(name).unwrap()
}

fn observe_request(
    evidence: &Evidence,
    variant: &Variant,
    role: Role,
    request: &Request,
    result: Result<(), Error>,
) {
    let response = Response::default();
    let result = result.as_ref().map(|()| &response);
    evidence.observe(&Prediction::new(request, result, Duration::from_micros(5)).of_variant(variant, role));
}

fn observe(evidence: &Evidence, variant: &Variant, role: Role, result: Result<(), Error>) {
    observe_request(evidence, variant, role, &Request::default(), result);
}

#[test]
fn callers_faults_and_shadows_are_left_out() {
    let (evidence, a) = (Evidence::new().with_users(), variant("a"));
    observe(&evidence, &a, Role::Primary, Ok(()));
    observe(&evidence, &a, Role::Primary, Err(Error::engine("down")));
    observe(&evidence, &a, Role::Primary, Err(Error::invalid_input("bad request")));
    observe(&evidence, &a, Role::Shadow, Err(Error::engine("down")));
    evidence.record_outcome(&a, false);
    let seen = &evidence.snapshot().current[&a];
    assert_eq!((seen.successes, seen.failures, seen.good, seen.bad), (1, 1, 0, 1));
    assert_eq!((seen.requests(), seen.outcomes(), seen.latencies.count(), seen.users.count()), (2, 1, 1, 2));
    assert_eq!(seen.failures_by_class.iter().collect::<Vec<_>>(), [(&"engine".to_owned(), &1)]);
}

#[test]
fn a_new_window_is_empty_and_the_last_is_kept() {
    let (evidence, a) = (Evidence::new().with_users(), variant("a"));
    observe(&evidence, &a, Role::Primary, Ok(()));
    evidence.record("revenue", &a, 2.5);
    evidence.begin_window();
    observe(&evidence, &a, Role::Primary, Err(Error::engine("down")));
    let snapshot = evidence.snapshot();
    assert_eq!((snapshot.previous[&a].successes, snapshot.previous[&a].metrics["revenue"].count()), (1, 1));
    assert_eq!((snapshot.current[&a].requests(), snapshot.current[&a].failures), (1, 1));
    assert!(snapshot.current[&a].metrics.is_empty());
    let json = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<EvidenceSnapshot>(&json).unwrap(), snapshot);
}

#[test]
fn evidence_of_before_is_still_read() {
    let json = r#"{"successes":1,"failures":0,"good":0,"bad":2,"latencies":[[63,1]]}"#;
    let seen: VariantEvidence = serde_json::from_str(json).unwrap();
    assert_eq!((seen.requests(), seen.outcomes(), seen.latencies.count()), (1, 2, 1));
    assert_eq!(serde_json::to_string(&seen).unwrap(), json);
}

#[test]
fn outputs_are_watched_and_a_panic_stays_inside() {
    let evidence = Evidence::new()
        .watch_output("one", |_| Some(1.0))
        .watch_output("none", |_| None)
        .watch_output("broken", |_| panic!("on purpose"));
    let a = variant("a");
    observe(&evidence, &a, Role::Primary, Ok(()));
    observe(&evidence, &a, Role::Shadow, Ok(()));
    let seen = &evidence.snapshot().current[&a].metrics;
    assert_eq!((seen["one"].count(), seen["broken"].count(), seen["broken"].refused()), (1, 0, 1));
    assert!(!seen.contains_key("none"));
}

#[test]
fn covariates_are_found_by_key() {
    let evidence = Evidence::new().with_covariate("revenue", |key| key.parse().ok());
    let a = variant("a");
    for (key, revenue) in [("10", 11.0), ("20", 19.0), ("30", 33.0), ("nobody", 1.0)] {
        evidence.record_for("revenue", &a, key, revenue);
    }
    evidence.record("revenue", &a, 2.0);
    let seen = &evidence.snapshot().current[&a].metrics["revenue"];
    assert!(seen.has_covariate());
    let paired = seen.paired_moments();
    assert_eq!((paired.before.count, paired.before.mean, paired.during.mean), (5, 12.0, 13.2));
    evidence.record("other", &a, 2.0);
    assert!(!evidence.snapshot().current[&a].metrics["other"].has_covariate());
}

#[test]
fn feedback_finds_its_variant_and_its_window() {
    let evidence = Evidence::new().with_feedback(100);
    let (a, b) = (variant("a"), variant("b"));
    let ask = |variant, id: &str| {
        observe_request(&evidence, variant, Role::Primary, &Request::default().with_id(id), Ok(()));
    };
    ask(&a, "x");
    ask(&b, "y");
    assert_eq!(evidence.feedback("x", true), Attribution::Counted);
    assert_eq!(evidence.feedback("nobody", true), Attribution::Unknown);
    evidence.begin_window();
    ask(&b, "z");
    assert_eq!(evidence.feedback("y", ("stars", 2.0)), Attribution::Counted);
    assert_eq!(evidence.feedback("z", ("stars", 5.0)), Attribution::Counted);
    let seen = evidence.snapshot();
    assert_eq!((seen.previous[&a].good, seen.previous[&b].metrics["stars"].mean()), (1, Some(2.0)));
    assert_eq!(seen.current[&b].metrics["stars"].mean(), Some(5.0));
    evidence.begin_window();
    assert_eq!(evidence.feedback("x", false), Attribution::Late);
    let counts = evidence.feedback_counts();
    assert_eq!((counts.counted, counts.late, counts.unknown), (3, 1, 1));
    assert_eq!(Evidence::new().feedback("x", true), Attribution::Unknown);
}

#[test]
fn users_count_once() {
    let (evidence, a) = (Evidence::new().with_users(), variant("a"));
    for index in 0..300 {
        let context = RoutingContext::new().with_key(format!("user-{}", index % 40));
        observe_request(&evidence, &a, Role::Primary, &Request::default().with_context(context), Ok(()));
    }
    assert_eq!(evidence.snapshot().current[&a].users.count(), 40);
    let nameless = Request::default().with_context(RoutingContext::new().with_key(""));
    (0..10).for_each(|_| observe_request(&evidence, &a, Role::Primary, &nameless, Ok(())));
    assert_eq!(evidence.snapshot().current[&a].users.count(), 50);
}

#[test]
fn what_finds_no_room_is_counted() {
    let evidence = Evidence::new();
    for index in 0..MOST_VARIANTS + 3 {
        evidence.record_outcome(&variant(&format!("v{index}")), true);
    }
    assert_eq!((evidence.snapshot().current.len(), evidence.dropped()), (MOST_VARIANTS, 3));
    for index in 0..MOST_METRICS + 4 {
        evidence.record(&format!("m{index}"), &variant("v0"), 1.0);
    }
    assert_eq!(evidence.snapshot().current[&variant("v0")].metrics.len(), MOST_METRICS);
    assert_eq!(evidence.dropped(), 7);
}

#[test]
fn nothing_is_lost_when_many_threads_meet_a_new_variant() {
    let evidence = Evidence::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for name in ["a", "b", "c"] {
                    (0..1_000).for_each(|_| {
                        evidence.record_outcome(&variant(name), true);
                        evidence.record("score", &variant(name), 0.1);
                    });
                }
            });
        }
    });
    let seen = evidence.snapshot().current;
    assert!(seen.values().all(|seen| seen.good == 4_000 && seen.metrics["score"].count() == 4_000));
}

/// One call of a user of evidence.
#[derive(Debug, Clone)]
enum Call {
    Outcome(bool),
    Value(f64),
    Request(u8),
}

proptest! {
    #[test]
    fn replicas_that_merge_know_what_one_would(
        calls in prop::collection::vec(
            (prop_oneof![
                any::<bool>().prop_map(Call::Outcome),
                (-1e6..1e6_f64).prop_map(Call::Value),
                any::<u8>().prop_map(Call::Request),
            ], 0_usize..3, any::<bool>()),
            0..80,
        ),
    ) {
        let [a, b] = [variant("a"), variant("b")];
        let one = Evidence::new().with_users();
        let replicas = [0, 1, 2].map(|_| Evidence::new().with_users());
        for (call, replica, to_a) in &calls {
            let variant = if *to_a { &a } else { &b };
            for evidence in [&one, &replicas[*replica]] {
                match call {
                    Call::Outcome(good) => evidence.record_outcome(variant, *good),
                    Call::Value(value) => evidence.record("m", variant, *value),
                    Call::Request(user) => {
                        let context = RoutingContext::new().with_key(user.to_string());
                        let request = Request::default().with_context(context);
                        let result = if user % 5 == 0 { Err(Error::engine("")) } else { Ok(()) };
                        observe_request(evidence, variant, Role::Primary, &request, result);
                    }
                }
            }
        }
        let merged = |one: &EvidenceSnapshot, other: &EvidenceSnapshot| {
            let mut one = one.clone();
            one.merge(other);
            one
        };
        let [x, y, z] = replicas.map(|replica| replica.snapshot());
        let all = merged(&merged(&x, &y), &z);
        prop_assert_eq!(&all, &merged(&z, &merged(&y, &x)));
        let whole = one.snapshot();
        for (variant, seen) in &all.current {
            let whole = &whole.current[variant];
            let numbers = |seen: &VariantEvidence| {
                let metric = seen.metrics.get("m").cloned().unwrap_or_default();
                (seen.requests(), seen.failures_by_class.clone(), seen.good, seen.bad, seen.users.clone(),
                 metric.count(), metric.mean(), metric.variance(), metric.min(), metric.sample().len())
            };
            prop_assert_eq!(numbers(seen), numbers(whole));
        }
    }
}
