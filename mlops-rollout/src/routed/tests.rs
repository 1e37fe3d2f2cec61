//! What `Routed` promises beside `tests/swap_under_load.rs`.

use std::sync::Mutex;
use std::thread::ThreadId;
use std::time::Duration;

use mlops_core::{
    DType, Decision, Dimension, Error, ModelExt, Prediction, Reason, RoutingContext, Tensor, TensorSpec,
    Tensors,
};

use super::*;

/// Answers with a number, panics at a negative one, and hangs at infinity.
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
    let routed = Routed::new(variant("a"), says(1.0), by_key).observed_by(Arc::clone(&log));
    let routed = routed.with_max_shadows(1).with_shadow_queue(2);
    let routed = routed.with_variant(variant("hangs"), says(f32::INFINITY)).unwrap();
    let routed = routed.with_variant(variant("b"), says(1.0)).unwrap();
    routed.predict(shadowed("a", "hangs")).await.unwrap();
    for _ in 0..10 {
        routed.predict(shadowed("a", "b")).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(log.take().iter().all(|line| line == "a primary ok"));
    let (hangs, b) = (routed.shadow_report(&variant("hangs")), routed.shadow_report(&variant("b")));
    assert_eq!((hangs.copies, hangs.dropped, hangs.answered), (1, 0, 0));
    assert_eq!((b.copies, b.dropped, b.answered), (2, 8, 0));
}

#[tokio::test]
async fn a_shadow_that_takes_too_long_gives_its_place_back() {
    let log = Arc::new(Log::default());
    let routed = Routed::new(variant("a"), says(1.0), by_key).observed_by(Arc::clone(&log));
    let routed = routed.with_max_shadows(1).with_shadow_deadline(Duration::from_millis(5));
    let routed = routed.with_variant(variant("hangs"), says(f32::INFINITY)).unwrap();
    let routed = routed.with_variant(variant("b"), says(2.0)).unwrap();
    for shadow in ["hangs", "hangs", "b"] {
        routed.predict(shadowed("a", shadow)).await.unwrap();
    }
    until(|| routed.shadow_report(&variant("b")).answered == 1).await;
    assert_eq!(routed.shadow_report(&variant("hangs")).late, 2);
    let mut log = log.take();
    log.retain(|line| line.contains(Role::Shadow.name()));
    assert_eq!(log, ["hangs shadow deadline_exceeded", "hangs shadow deadline_exceeded", "b shadow ok"]);
}

#[tokio::test]
async fn without_a_deadline_of_its_own_a_shadow_has_the_time_of_the_request() {
    let routed = Routed::new(variant("a"), says(1.0), by_key);
    let routed = routed.with_variant(variant("hangs"), says(f32::INFINITY)).unwrap();
    let request = shadowed("a", "hangs").with_deadline(Instant::now() + Duration::from_millis(10));
    routed.predict(request).await.unwrap();
    until(|| routed.shadow_report(&variant("hangs")).late == 1).await;
}

/// Says on which thread it was asked.
#[derive(Debug)]
struct Where(Signature, Arc<Mutex<Vec<ThreadId>>>);

#[async_trait]
impl Model for Where {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, _: Request) -> Result<Response> {
        self.1.lock().unwrap().push(std::thread::current().id());
        Ok(Response::default())
    }
}

#[test]
fn shadows_run_on_threads_of_their_own_or_where_they_are_told() {
    let asked = |routed: fn(Routed) -> Routed| {
        let threads = Arc::new(Mutex::new(Vec::new()));
        let model = || Where(Signature::new([], []).unwrap(), Arc::clone(&threads));
        let default = Routed::new(variant("a"), model(), by_key).with_variant(variant("b"), model());
        let routed = routed(default.unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            routed.predict(shadowed("a", "b")).await.unwrap();
            until(|| threads.lock().unwrap().len() == 2).await;
            drop(routed); // where nothing may block
        });
        let threads = threads.lock().unwrap();
        threads[0] == threads[1]
    };
    assert!(!asked(|routed| routed));
    assert!(!asked(|routed| routed.with_shadow_threads(2)));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log = Arc::new(Log::default());
    let routed = Routed::new(variant("a"), says(1.0), by_key).observed_by(Arc::clone(&log));
    let routed = routed.with_variant(variant("b"), says(1.0)).unwrap();
    let routed = routed.with_shadow_runtime(runtime.handle().clone());
    // Outside of every runtime, and nothing runs before the given one does.
    let response = futures_util::FutureExt::now_or_never(routed.predict(shadowed("a", "b")));
    assert!(response.unwrap().is_ok());
    assert_eq!(log.take(), ["a primary ok"]);
    runtime.block_on(until(|| log.0.lock().unwrap().len() == 1));
    assert_eq!(log.take(), ["b shadow ok"]);
}

#[tokio::test]
async fn what_shadows_say_is_reported_output_by_output() {
    let comparisons = Comparisons::new().with_output("y", Within::new(0.5, 0.0));
    let routed = Routed::new(variant("a"), says(1.0), by_key).with_comparer(comparisons);
    let routed = routed.with_variant(variant("near"), says(1.25)).unwrap();
    let routed = routed.with_variant(variant("far"), says(3.0)).unwrap();
    let routed = routed.with_variant(variant("broken"), says(-1.0)).unwrap();
    for shadow in ["near", "far", "broken"] {
        routed.predict(shadowed("a", shadow).with_id(format!("for {shadow}"))).await.unwrap();
    }
    let report = |shadow| routed.shadow_report(&variant(shadow));
    until(|| report("near").answered + report("far").answered + report("broken").failed == 3).await;
    assert_eq!(report("near").output("y").unwrap().mean_difference, Some(0.25));
    assert_eq!((report("near").comparison.agreed, report("broken").comparison.compared), (1, 0));
    let far = report("far").output("y").unwrap().disagreements.clone();
    assert_eq!(far[0].to_string(), "request for far: FP32 [1] 1 | FP32 [1] 3 (2.0000e0 apart)");
    assert_eq!((far.len(), far[0].difference), (1, Some(2.0)));
    let never = report("never");
    assert_eq!((never.copies, never.output("y").unwrap().compared), (0, 0));
    assert!(never.to_string().contains("no answer was compared"));
}

#[tokio::test]
async fn the_default_answers_in_the_place_of_a_variant_that_fails() {
    let log = Arc::new(Log::default());
    let routed = Routed::new(variant("a"), says(1.0), by_key).observed_by(Arc::clone(&log));
    let routed = routed.with_variant(variant("broken"), says(-1.0)).unwrap();
    assert!(routed.predict(to("broken")).await.is_err());
    assert_eq!((log.take(), routed.fallbacks(&variant("broken"))), (vec!["broken primary engine".into()], 0));

    let routed = routed.with_fallback(Fallback::OnFailure).with_variant(variant("same"), says(1.0)).unwrap();
    let request = shadowed("broken", "same").with_id("r");
    let response =
        routed.predict(request.with_deadline(Instant::now() + Duration::from_secs(60))).await.unwrap();
    assert_eq!((response.variant, response.id.as_deref()), (Some(variant("a")), Some("r")));
    assert_eq!(response.reason.unwrap().to_string(), "fallback: the variant `broken` failed (engine)");
    assert_eq!(response.outputs.get("y"), Some(&Tensor::from(vec![1.0_f32])));
    until(|| routed.comparison(&variant("same")).agreed == 1).await;
    assert_eq!(log.take(), ["broken primary engine", "a fallback ok", "same shadow ok"]);

    assert!(routed.predict(to("broken").with_deadline(Instant::now())).await.is_err());
    let response = routed.predict(to("missing")).await.unwrap();
    assert_eq!(response.reason.unwrap().to_string(), variants_unknown());
    assert_eq!([1, 0], ["broken", "a"].map(|name| routed.fallbacks(&variant(name))));
}

/// Refuses.
#[derive(Debug)]
struct Refuses(Signature, fn() -> Error);

#[async_trait]
impl Model for Refuses {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, _: Request) -> Result<Response> {
        Err((self.1)())
    }
}

#[tokio::test]
async fn callers_faults_and_the_defaults_own_failures_stand() {
    let refuses = |error| Refuses(says(0.0).0, error);
    let routed = Routed::new(variant("a"), refuses(|| Error::engine("down")), by_key);
    let routed = routed.with_fallback(Fallback::OnFailure);
    let routed = routed.with_variant(variant("b"), refuses(|| Error::invalid_input("too long"))).unwrap();
    let routed = routed.with_variant(variant("c"), refuses(|| Error::overloaded("full"))).unwrap();
    let error = |name| futures_util::FutureExt::map(routed.predict(to(name)), |result| result.unwrap_err());
    assert!(matches!(error("b").await, Error::InvalidInput(_)));
    assert!(matches!(error("a").await, Error::Engine { .. }));
    assert!(matches!(error("c").await, Error::Engine { .. }), "what the default said");
    assert_eq!([0, 0, 1], ["a", "b", "c"].map(|name| routed.fallbacks(&variant(name))));
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
