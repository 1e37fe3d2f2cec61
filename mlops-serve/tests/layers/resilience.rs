//! Time-outs, retries, circuit breakers and fallbacks: alone and together.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_core::{Error, ManualClock, Model, Reason, Request, Response, Result, conformance};
use mlops_serve::layer::{CircuitBreaker, Retries, RetryBudget};
use mlops_serve::{EngineExt, ServeExt, Workers};
use tokio::time::Instant;

use crate::support::scripted::{Scripted, answered, inputs, request};

const SECOND: Duration = Duration::from_secs(1);

fn overloaded(_: usize) -> Option<Error> {
    Some(Error::overloaded("too much"))
}

/// In the time of the runtime, which these tests stop.
fn due_in(time: Duration) -> Request {
    request(1.0).with_deadline((Instant::now() + time).into_std())
}

/// A model that takes that long, and what deadlines it was given.
fn taking(time: Duration) -> (Scripted, Arc<Mutex<Vec<Option<Duration>>>>) {
    let left = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&left);
    let model = Scripted::new(move |_, request| {
        let left = request.deadline.map(|deadline| Instant::from(deadline) - Instant::now());
        seen.lock().unwrap().push(left);
        async move {
            tokio::time::sleep(time).await;
            Ok(())
        }
    });
    (model, left)
}

#[tokio::test]
async fn all_keep_the_contract_of_a_model() {
    let sample = inputs(1.0);
    conformance::model::check(&Scripted::echo().timed_out(60 * SECOND), &sample).await;
    conformance::model::check(&Scripted::echo().retried(Retries::new(3)), &sample).await;
    conformance::model::check(&Scripted::echo().guarded(CircuitBreaker::new(1)), &sample).await;
    conformance::model::check(&Scripted::echo().traced(), &sample).await;
    let fails = || Scripted::failing(|_| Some(Error::engine("broken")));
    conformance::model::check(&fails().fallback(Scripted::echo()).unwrap(), &sample).await;
    let all = fails().timed_out(60 * SECOND).guarded(CircuitBreaker::new(1)).retried(Retries::new(2));
    conformance::model::check(&all.fallback(Scripted::echo()).unwrap().traced(), &sample).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_takes_longer_than_its_limit_or_its_deadline() {
    let (model, left) = taking(10 * SECOND);
    let model = model.timed_out(2 * SECOND);
    let cases: [(fn() -> Request, _, _); 3] = [
        (|| request(1.0), 2 * SECOND, "the model did not answer within 2s"),
        (|| due_in(3 * SECOND), 2 * SECOND, "the model did not answer within 2s"),
        (|| due_in(SECOND), SECOND, "before the deadline of the request"),
    ];
    for (request, time, expected) in cases {
        let began = Instant::now();
        let error = model.predict(request()).await.unwrap_err();
        assert!(
            matches!(error, Error::DeadlineExceeded { .. }) && error.to_string().contains(expected),
            "{error}"
        );
        assert!(began.elapsed() >= time && began.elapsed() < time + SECOND / 100, "{:?}", began.elapsed());
    }
    let left: Vec<_> = left.lock().unwrap().iter().map(|left| left.unwrap().as_secs_f64().round()).collect();
    assert_eq!(left, [2.0, 2.0, 1.0], "the tighter deadline is that of the inner request");
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_is_not_asked_at_all() {
    let model = Arc::new(Scripted::echo());
    let limited = Arc::clone(&model).timed_out(SECOND);
    let error = limited.predict(due_in(Duration::ZERO)).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    assert_eq!(model.calls(), 0);
    assert!(limited.predict(due_in(SECOND)).await.is_ok());
    let endless = Arc::clone(&model).timed_out(Duration::MAX);
    assert!(endless.predict(request(1.0)).await.is_ok());
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_none_even_if_the_model_blocked() {
    let blocks = |_: usize, request: Request| {
        let deadline = request.deadline.unwrap();
        while std::time::Instant::now() <= deadline {
            std::hint::spin_loop();
        }
        std::future::ready(Ok(()))
    };
    let model = Scripted::new(blocks).timed_out(Duration::from_millis(1));
    let error = model.predict(request(1.0)).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_asked_again_after_growing_waits() {
    let model = Arc::new(Scripted::failing(|call| (call < 3).then(|| Error::unavailable("a moment"))));
    let retries = || Retries::new(4).with_backoff(SECOND, 60 * SECOND).with_seed(1);
    let began = Instant::now();
    assert_eq!(answered(&Arc::clone(&model).retried(retries()).predict(request(5.0)).await.unwrap()), 5.0);
    let waited = began.elapsed();
    assert_eq!(model.calls(), 4);
    assert!(waited > Duration::ZERO && waited < 7 * SECOND, "{waited:?}");

    let again =
        Scripted::failing(|call| (call < 3).then(|| Error::unavailable("a moment"))).retried(retries());
    let began = Instant::now();
    again.predict(request(5.0)).await.unwrap();
    assert_eq!(began.elapsed(), waited, "the same seed draws the same");
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_and_the_last_error_is_told() {
    let failing = Scripted::failing(|call| Some(Error::overloaded(format!("attempt {call}"))));
    for (attempts, calls) in [(0, 1), (1, 1), (5, 5)] {
        let model = Arc::new(Scripted::failing(overloaded));
        assert!(Arc::clone(&model).retried(Retries::new(attempts)).predict(request(1.0)).await.is_err());
        assert_eq!(model.calls(), calls);
    }
    let error = failing.retried(Retries::new(3)).predict(request(1.0)).await.unwrap_err();
    assert_eq!(error.to_string(), "overloaded: attempt 2");
}

#[tokio::test]
async fn what_will_not_pass_is_not_asked_again() {
    for error in [
        || Error::engine("broken"),
        || Error::deadline_exceeded("late"),
        || Error::conflict("other"),
        || Error::internal("wrong"),
    ] {
        let model = Arc::new(Scripted::failing(move |_| Some(error())));
        assert!(Arc::clone(&model).retried(Retries::new(9)).predict(request(1.0)).await.is_err());
        assert_eq!(model.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_deadline() {
    let model = Arc::new(Scripted::failing(overloaded));
    let retried = Arc::clone(&model).retried(Retries::new(1000).with_backoff(SECOND, SECOND).with_seed(7));
    let began = Instant::now();
    let error = retried.predict(due_in(5 * SECOND)).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }), "why it failed is told, not that time ran out");
    assert!(began.elapsed() < 5 * SECOND && model.calls() > 3, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_budget_keeps_retries_from_multiplying_an_overload() {
    let model = Arc::new(Scripted::failing(overloaded));
    let budget = RetryBudget::new(20, 0.1);
    let retries = || Retries::new(5).with_budget(budget.clone());
    let (one, other) = (Arc::clone(&model).retried(retries()), Arc::clone(&model).retried(retries()));
    for _ in 0..500 {
        assert!(one.predict(request(1.0)).await.is_err());
        assert!(other.predict(request(1.0)).await.is_err());
    }
    assert_eq!(
        model.calls(),
        1000 + 8,
        "both share one budget: ten may fail, and the fifth attempt is the last"
    );
}

#[tokio::test]
async fn another_answers_when_the_first_fails_and_the_response_says_so() {
    let panics = Scripted::new(|_, _| async { panic!("broken") });
    let fails = Scripted::failing(|call| match call {
        0 => Some(Error::unavailable("the GPU")),
        1 => Some(Error::deadline_exceeded("too slow")),
        _ => None,
    });
    let model = fails.fallback(Scripted::echo()).unwrap();
    for expected in ["fallback: unavailable", "fallback: deadline_exceeded"] {
        let response = model.predict(request(4.0).with_id("a")).await.unwrap();
        assert_eq!((answered(&response), response.id.as_deref()), (4.0, Some("a")));
        assert_eq!(response.reason, Some(Reason::Other(expected.into())));
    }
    assert_eq!(model.predict(request(4.0)).await.unwrap().reason, None);
    let response = panics.fallback(Scripted::echo()).unwrap().predict(request(4.0)).await.unwrap();
    assert_eq!(response.reason, Some(Reason::Other("fallback: engine".into())));
}

#[tokio::test]
async fn what_is_the_callers_fault_or_too_late_has_no_fallback() {
    let other = Arc::new(Scripted::echo());
    let conflict = Scripted::failing(|_| Some(Error::conflict("yours")));
    let error = conflict.fallback(Arc::clone(&other)).unwrap().predict(request(1.0)).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error:?}");

    let late = Scripted::failing(|_| Some(Error::engine("broken"))).fallback(Arc::clone(&other)).unwrap();
    let past = request(1.0).with_deadline(std::time::Instant::now());
    assert!(matches!(late.predict(past).await, Err(Error::Engine { .. })));

    let choosy = Scripted::failing(overloaded).fallback(Arc::clone(&other)).unwrap();
    let choosy = choosy.when(|error| matches!(error, Error::Unavailable { .. }));
    assert!(matches!(choosy.predict(request(1.0)).await, Err(Error::Overloaded { .. })));
    assert_eq!(other.calls(), 0);

    let both =
        Scripted::failing(|_| Some(Error::engine("one"))).fallback(Scripted::failing(overloaded)).unwrap();
    assert!(
        matches!(both.predict(request(1.0)).await, Err(Error::Overloaded { .. })),
        "the error of the other"
    );
}

#[tokio::test]
async fn a_model_that_keeps_failing_is_left_alone_and_tried_again() {
    let clock = ManualClock::default();
    let model = Arc::new(Scripted::failing(|call| (call < 4).then(|| Error::engine("broken"))));
    let breaker = CircuitBreaker::new(3).with_pause(5 * SECOND).with_clock(clock.clone());
    let guarded = Arc::clone(&model).guarded(breaker);
    let outcome = async || guarded.predict(request(1.0)).await.map_or_else(|error| error.label(), |_| "ok");
    for expected in ["engine", "engine", "engine", "unavailable", "unavailable"] {
        assert_eq!(outcome().await, expected);
    }
    assert_eq!(model.calls(), 3);
    assert!(guarded.is_open());
    let wrong = guarded.predict(Request::default()).await.unwrap_err();
    assert!(matches!(wrong, Error::InvalidInput(_)), "wrong inputs stay wrong: {wrong:?}");

    clock.advance(5 * SECOND);
    assert_eq!((outcome().await, outcome().await), ("engine", "unavailable"), "the probe fails");
    clock.advance(5 * SECOND);
    assert_eq!((outcome().await, outcome().await), ("ok", "ok"), "the probe is answered");
    assert!(!guarded.is_open());
}

#[tokio::test]
async fn callers_who_ask_wrongly_open_no_circuit() {
    let guarded = Scripted::echo().guarded(CircuitBreaker::new(2));
    for _ in 0..10 {
        assert!(guarded.predict(Request::default()).await.is_err());
    }
    assert!(!guarded.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_model_that_hangs_costs_a_few_callers_a_part_of_their_time_and_the_rest_none() {
    let hangs = Scripted::new(|_, _| std::future::pending::<Result<()>>());
    let model = hangs.timed_out(SECOND).guarded(CircuitBreaker::new(3)).fallback(Scripted::echo()).unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        let response: Response = model.predict(due_in(5 * SECOND)).await.unwrap();
        assert_eq!(answered(&response), 1.0);
    }
    assert!(began.elapsed() < 4 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_engine_on_workers_is_not_waited_for_past_the_limit() {
    use mlops_core::{Engine, Signature, Tensors};

    /// Computes until the test is over.
    #[derive(Debug)]
    struct Slow(Signature, Arc<std::sync::Barrier>);

    impl Engine for Slow {
        fn signature(&self) -> &Signature {
            &self.0
        }

        fn run(&self, inputs: &Tensors) -> Result<Tensors> {
            self.1.wait();
            Ok(Tensors::new().with("y", inputs.require("x")?.clone()))
        }
    }

    let over = Arc::new(std::sync::Barrier::new(2));
    let slow = Slow(Scripted::echo().signature().clone(), Arc::clone(&over));
    let model = slow.on_workers(Workers::new(1)).unwrap().timed_out(Duration::from_millis(5));
    let error = model.predict(request(1.0)).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    over.wait();
}
