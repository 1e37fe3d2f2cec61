//! A limited model takes what was agreed, of all or of each key, and refuses the rest at once.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use mlops_core::{Error, ManualClock, Model, Request, Result, RoutingContext, conformance};
use mlops_serve::ServeExt;
use mlops_serve::layer::{Limited, Limits};

use crate::support::scripted::{Scripted, answered, inputs, request, started};

fn of(key: &str) -> Request {
    request(1.0).with_context(RoutingContext::new().with_key(key))
}

fn waiting(limits: Limits) -> Limited<Scripted> {
    Scripted::new(|_, _| std::future::pending()).limited(limits).unwrap()
}

async fn refused(model: &impl Model, request: Request, expected: &str) {
    let error = model.predict(request).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("overloaded: {expected}"));
}

#[tokio::test]
async fn it_keeps_the_contract_of_a_model() {
    let limits = Limits::new().with_concurrency(2).with_rate(1e6, 1000);
    conformance::model::check(&Scripted::echo().limited(limits).unwrap(), &inputs(1.0)).await;
    let each = Limits::new().with_rate(1e9, 1000).per_key();
    conformance::model::check(&Scripted::echo().limited(each).unwrap(), &inputs(1.0)).await;
}

#[tokio::test]
async fn no_more_are_in_flight_than_may_be() {
    let model = waiting(Limits::new().with_concurrency(2));
    let mut first = model.predict(request(1.0));
    let mut second = model.predict(request(2.0));
    started(&mut first).await;
    started(&mut second).await;
    refused(&model, request(3.0), "2 requests are in flight, the limit").await;
    drop(first); // its caller gives up
    let mut third = model.predict(request(3.0));
    started(&mut third).await;
    refused(&model, request(4.0), "2 requests are in flight, the limit").await;
}

#[tokio::test]
async fn an_answer_and_an_error_make_room() {
    let model = Scripted::failing(|call| (call % 2 == 0).then(|| Error::engine("now and then")));
    let model = model.limited(Limits::new().with_concurrency(1)).unwrap();
    for call in 0..10 {
        let result = model.predict(request(1.0)).await;
        assert_eq!(result.is_err(), call % 2 == 0, "{result:?}");
    }
}

#[tokio::test]
async fn no_more_come_per_second_than_may() {
    let clock = ManualClock::default();
    let limits = Limits::new().with_rate(10.0, 3).with_clock(clock.clone());
    let model = Scripted::echo().limited(limits).unwrap();
    let taken = async || {
        let mut taken = 0;
        while model.predict(request(1.0)).await.is_ok() {
            taken += 1;
        }
        taken
    };
    assert_eq!(taken().await, 3, "the burst");
    refused(
        &model,
        request(1.0),
        "requests exceed the limit of 10 per second with bursts of 3; the next is taken in 100ms",
    )
    .await;
    clock.advance(Duration::from_millis(99));
    assert_eq!(taken().await, 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(taken().await, 1);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(taken().await, 3, "no more than the burst is saved up");
}

#[tokio::test]
async fn each_key_has_limits_of_its_own() {
    let model = waiting(Limits::new().with_concurrency(1).per_key());
    let mut ann = model.predict(of("ann"));
    let mut bob = model.predict(of("bob"));
    let mut unknown = model.predict(request(1.0));
    for call in [&mut ann, &mut bob, &mut unknown] {
        started(call).await;
    }
    refused(&model, of("ann"), "1 requests of `ann` are in flight, the limit").await;
    refused(&model, request(1.0), "1 requests are in flight, the limit").await;
    drop(ann);
    started(&mut model.predict(of("ann"))).await;
}

#[tokio::test]
async fn attributes_and_closures_are_keys_too() {
    let clock = ManualClock::default();
    let slow = || Limits::new().with_rate(0.5, 1).with_clock(clock.clone());
    let from = |tenant: &str| {
        request(1.0).with_context(RoutingContext::new().with_attribute("tenant", tenant.to_owned()))
    };
    let by_priority = slow().per(|request| Some(request.priority.to_string().into()));
    let model = Scripted::echo().limited(slow().per_attribute("tenant")).unwrap();
    let model = model.limited(by_priority).unwrap();
    assert!(model.predict(from("a")).await.is_ok());
    refused(
        &model,
        from("b"),
        "requests of `0` exceed the limit of 0.5 per second with bursts of 1; the next is taken in 2s",
    )
    .await;
    assert!(
        model.predict(from("b").with_priority(1)).await.is_ok(),
        "what one refused did not count in the other"
    );
    let error = model.predict(from("a").with_priority(2)).await.unwrap_err();
    assert!(error.to_string().contains("requests of `a` exceed"), "{error}");
}

#[tokio::test]
async fn what_one_limit_refuses_uses_nothing_up_of_the_other() {
    let clock = ManualClock::default();
    let limits = Limits::new().with_concurrency(1).with_rate(1.0, 2).with_clock(clock);
    let model =
        Scripted::new(|call, _| async move { if call == 0 { std::future::pending().await } else { Ok(()) } });
    let model = model.limited(limits).unwrap();
    let mut first = model.predict(request(1.0));
    started(&mut first).await;
    for _ in 0..5 {
        refused(&model, request(1.0), "1 requests are in flight, the limit").await;
    }
    drop(first);
    assert_eq!(answered(&model.predict(request(2.0)).await.unwrap()), 2.0, "the second of the burst");
    assert!(model.predict(request(2.0)).await.unwrap_err().to_string().contains("per second"));
}

#[test]
fn limits_that_cannot_be_meant_are_refused() {
    let cases: [(Limits, &str); 7] = [
        (Limits::new(), "limit nothing"),
        (Limits::new().per_key(), "limit nothing"),
        (Limits::new().with_concurrency(0), "a concurrency of 0 would refuse every request"),
        (Limits::new().with_rate(1.0, 0), "a burst of 0 would refuse every request"),
        (Limits::new().with_rate(0.0, 1), "0 is no rate"),
        (Limits::new().with_rate(-1.0, 1), "-1 is no rate"),
        (Limits::new().with_rate(f64::NAN, 1), "NaN is no rate"),
    ];
    for (limits, expected) in cases {
        let error = Scripted::echo().limited(limits).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)) && error.to_string().contains(expected), "{error}");
    }
    let quick: Result<_> = Scripted::echo().limited(Limits::new().with_rate(1e12, 1));
    assert!(quick.unwrap_err().to_string().contains("up to 10⁹"));
}
