//! What `Routed` promises beside `tests/swap_under_load.rs`.

use std::sync::Mutex;
use std::time::Duration;

use mlops_core::{
    DType, Decision, Dimension, Error, ModelExt, Prediction, Reason, RoutingContext, Tensor, TensorSpec,
    Tensors,
};

use super::*;

/// Answers with a number, panics at `panic`, and hangs at `hang`.
#[derive(Debug)]
struct Says(Signature, f32);

fn says(number: f32) -> Says {
    let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
    Says(Signature::new([], [spec("y")]).unwrap(), number)
}

#[async_trait]
impl Model for Says {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        match self.1 {
            number if number < 0.0 => panic!("negative"),
            number if number.is_infinite() => std::future::pending().await,
            number => {
                let outputs = Tensors::new().with("y", Tensor::from(vec![number]));
                Ok(Response::new(outputs).with_id(request.id))
            }
        }
    }
}

#[derive(Debug, Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn observe(&self, prediction: &Prediction<'_>) {
        let variant = prediction.variant.map(Variant::to_string).unwrap_or_default();
        let outcome = prediction.result.map_or_else(Error::label, |_| "ok");
        self.0.lock().unwrap().push(format!("{variant} {} {outcome}", prediction.role.name()));
    }
}

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn variant(name: &str) -> Variant {
    Variant::new(name).unwrap()
}

/// Routes to the variant of the key, with a shadow on the attribute `shadow`.
fn by_key(context: &RoutingContext) -> Decision {
    let decision = Decision::new(variant(context.key().unwrap_or("a")), Reason::Default);
    match context.attribute("shadow") {
        Some(shadow) => decision.with_shadow(variant(shadow)),
        None => decision,
    }
}

fn to(name: &str) -> Request {
    Request::default().with_id("r").with_context(RoutingContext::new().with_key(name))
}

fn shadowed(name: &str, shadow: &str) -> Request {
    let context = RoutingContext::new().with_key(name).with_attribute("shadow", shadow);
    Request::default().with_context(context)
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never happened");
}

#[tokio::test]
async fn the_variant_that_is_named_answers_and_the_default_for_one_that_is_not_there() {
    let log = Arc::new(Log::default());
    let routed = Routed::new(variant("a"), says(1.0), by_key).with_variant(variant("b"), says(2.0)).unwrap();
    let routed = routed.observed_by(Arc::clone(&log));
    for (named, answering, reason) in [("b", "b", "default"), ("z", "a", variants_unknown())] {
        let response = routed.predict(to(named)).await.unwrap();
        assert_eq!(response.variant, Some(variant(answering)));
        assert_eq!(response.reason.unwrap().to_string(), reason);
        assert_eq!(response.id.as_deref(), Some("r"));
    }
    assert_eq!(log.take(), ["b primary ok", "a primary ok"]);
}

fn variants_unknown() -> &'static str {
    "the router named a variant that is not there; the default answered"
}

#[tokio::test]
async fn panics_and_abandoned_calls_are_failures_of_their_variant() {
    let log = Arc::new(Log::default());
    let routed = Routed::new(variant("a"), says(-1.0), by_key).observed_by(Arc::clone(&log));
    let routed = routed.with_variant(variant("b"), says(f32::INFINITY)).unwrap();
    let error = routed.predict(to("a")).await.unwrap_err();
    assert_eq!(error.to_string(), "engine failed: the model panicked: negative");
    assert!(tokio::time::timeout(Duration::from_millis(5), routed.predict(to("b"))).await.is_err());
    assert_eq!(log.take(), ["a primary engine", "b primary deadline_exceeded"]);
}

#[tokio::test]
async fn shadows_are_compared_and_contained() {
    let log = Arc::new(Log::default());
    let routed = Routed::new(variant("a"), says(1.0), by_key).observed_by(Arc::clone(&log));
    let routed = routed.with_variant(variant("same"), says(1.0)).unwrap();
    let routed = routed.with_variant(variant("other"), says(2.0)).unwrap();
    let routed = routed.with_variant(variant("broken"), says(-1.0)).unwrap();
    for shadow in ["same", "other", "broken", "missing", "a"] {
        let response = routed.predict(shadowed("a", shadow)).await.unwrap();
        assert_eq!(response.outputs.get("y"), Some(&Tensor::from(vec![1.0_f32])));
    }
    let comparison = |shadow| routed.comparison(&variant(shadow));
    until(|| log.0.lock().unwrap().len() == 8 && comparison("other").compared == 1).await;
    assert_eq!((comparison("same").share(), comparison("other").share()), (Some(1.0), Some(0.0)));
    assert_eq!((comparison("broken").share(), comparison("missing").share()), (None, None));
    let mut log = log.take();
    log.retain(|line| line.contains(Role::Shadow.name()));
    log.sort();
    assert_eq!(log, ["broken shadow engine", "other shadow ok", "same shadow ok"]);
}

#[tokio::test]
async fn shadows_that_hang_take_no_more_than_their_room() {
    let log = Arc::new(Log::default());
    let routed =
        Routed::new(variant("a"), says(1.0), by_key).observed_by(Arc::clone(&log)).with_max_shadows(1);
    let routed = routed.with_variant(variant("hangs"), says(f32::INFINITY)).unwrap();
    let routed = routed.with_variant(variant("b"), says(1.0)).unwrap();
    routed.predict(shadowed("a", "hangs")).await.unwrap();
    for _ in 0..10 {
        routed.predict(shadowed("a", "b")).await.unwrap();
    }
    tokio::task::yield_now().await;
    assert!(log.take().iter().all(|line| line == "a primary ok"));
}

#[test]
fn without_a_runtime_a_shadow_is_dropped() {
    let routed = Routed::new(variant("a"), says(1.0), by_key).with_variant(variant("b"), says(1.0)).unwrap();
    let response = futures_util::FutureExt::now_or_never(routed.predict(shadowed("a", "b")));
    assert!(response.unwrap().is_ok());
}

#[test]
fn variants_that_break_callers_and_removal_of_the_default_are_refused() {
    let routed = Routed::new(variant("a"), says(1.0), by_key).with_variant(variant("b"), says(2.0)).unwrap();
    let breaking = Says(Signature::new([], []).unwrap(), 1.0);
    let error = routed.insert(variant("b"), breaking.observed(Log::default())).unwrap_err();
    assert!(
        error.to_string().starts_with("conflict: the variant `b` does not fit its siblings: breaking"),
        "{error}"
    );
    assert!(matches!(routed.remove(&variant("a")), Err(Error::Conflict { .. })));
    assert!(matches!(routed.remove(&variant("z")), Err(Error::NotFound { .. })));
    assert!(routed.remove(&variant("b")).is_ok());
    assert_eq!(routed.variants(), [variant("a")]);
}
