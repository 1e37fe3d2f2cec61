//! A model is replaced while it is in use: no request fails, and the old one goes after its last request.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::FutureExt;
use mlops_core::{Error, Model, Request, Response, Result, Signature, Tensors, conformance};
use mlops_serve::ServeExt;
use mlops_serve::layer::HotSwap;

use crate::support::numbered::{Family, Numbered, number};
use crate::support::scripted;
use crate::support::scripted::{Scripted, inputs, started};

#[tokio::test]
async fn it_keeps_the_contract_of_a_model() {
    let model = Scripted::echo().hot_swap();
    conformance::model::check(&model, &inputs(1.0)).await;
    model.swap(Scripted::echo()).unwrap().drained().await;
    conformance::model::check(&model, &inputs(1.0)).await;
}

#[tokio::test]
async fn requests_finish_where_they_began_and_the_old_model_goes_after_the_last() {
    let family = Family::new(0);
    let model = HotSwap::new(family.model(1.0, 0));
    let (mut one, mut other) = (number(&model).boxed(), number(&model).boxed());
    started(&mut one).await;
    started(&mut other).await;
    let mut drained = model.swap(family.model(2.0, 0)).unwrap().drained().boxed();
    let mut after = number(&model).boxed();
    started(&mut after).await;

    family.gate.add_permits(1);
    assert_eq!(one.await, 1.0);
    started(&mut drained).await;
    assert_eq!(family.alive(), 2, "one request is still there");
    assert_eq!(other.await, 1.0);
    drained.await;
    assert_eq!(family.alive(), 1);
    assert_eq!(after.await, 2.0);
    drop(model);
    assert_eq!(family.alive(), 0, "the last is dropped with the layer");
}

#[tokio::test]
async fn a_request_whose_caller_left_holds_nothing() {
    let family = Family::new(1);
    let model = HotSwap::new(Leaving(family.model(1.0, 0)));
    let mut call = model.predict(Request::default());
    started(&mut call).await;
    let retired = model.swap(family.model(2.0, 0)).unwrap();
    drop(call);
    retired.drained().await;
    assert_eq!(family.alive(), 1);
}

/// Never answers, and does not count its calls.
#[derive(Debug)]
struct Leaving(Numbered);

#[async_trait]
impl Model for Leaving {
    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    async fn predict(&self, _: Request) -> Result<Response> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn nobody_needs_to_wait_for_the_old_model_to_go() {
    let family = Family::new(1);
    let model = HotSwap::new(family.model(1.0, 0));
    drop(model.swap(family.model(2.0, 0)).unwrap());
    let began = Instant::now();
    while family.alive() > 1 {
        assert!(began.elapsed().as_secs() < 60, "it stays");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_replacement_that_would_break_callers_changes_nothing() {
    let family = Family::new(1);
    let model = HotSwap::new(family.model(1.0, 0));
    let error = model.swap(Scripted::echo()).unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
    assert!(error.to_string().contains("the new model would break callers: breaking: input `x`"), "{error}");
    assert_eq!((number(&model).await, family.alive()), (1.0, 1));
}

#[tokio::test]
async fn a_replacement_is_warmed_before_it_answers() {
    let model = HotSwap::new(Scripted::echo());
    let next = Arc::new(Scripted::echo());
    let samples = [inputs(1.0), inputs(2.0)];
    model.swap_warm(Arc::clone(&next), &samples).await.unwrap().drained().await;
    assert_eq!(next.calls(), 2);
    conformance::model::check(&model, &inputs(3.0)).await;
    assert!(next.calls() > 2);
}

#[tokio::test]
async fn what_fails_to_load_or_to_warm_leaves_the_old_model_serving() {
    let old = Arc::new(Scripted::echo());
    let model = HotSwap::new(Arc::clone(&old));
    let sample = [inputs(1.0)];
    let panics = || Scripted::new(|_, _| async { panic!("cold") });
    let fails = || Scripted::failing(|_| Some(Error::engine("cold")));
    let away = async { Err::<Scripted, _>(Error::unavailable("the registry")) };
    let broken = async { panic!("no model") };
    for (error, expected) in [
        (model.swap_warm(fails(), &sample).await.unwrap_err(), "engine failed: cold"),
        (model.swap_warm(panics(), &sample).await.unwrap_err(), "panicked: cold"),
        (model.swap_warm(Scripted::echo(), &[Tensors::new()]).await.unwrap_err(), "input `x` is missing"),
        (model.load(away, &sample).await.unwrap_err(), "unavailable: the registry"),
        (model.load::<Scripted>(broken, &sample).await.unwrap_err(), "panicked: no model"),
        (model.load(async { Ok(fails()) }, &sample).await.unwrap_err(), "engine failed: cold"),
    ] {
        assert!(error.to_string().contains(expected), "{error}");
    }
    let before = old.calls();
    model.predict(scripted::request(1.0)).await.unwrap();
    assert_eq!(old.calls(), before + 1);
    model.load(async { Ok(Scripted::echo()) }, &sample).await.unwrap().drained().await;
    assert_eq!(old.calls(), before + 1);
}
