//! What a routed prediction allocates: the future that `Model::predict` returns, and nothing else.
#![allow(unsafe_code, clippy::unwrap_used)] // an allocator that counts

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use mlops_core::{
    DType, Dimension, Model, Observer, Prediction, Request, Response, Result, RoutingContext, Signature,
    Tensor, TensorSpec, Tensors, Variant,
};
use mlops_rollout::{Evidence, Fallback, Routed, Sticky, TrafficSplit};

/// The system's allocator, which counts what the present thread asks of it.
struct Counted;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn add_one() {
    // A thread that ends has nothing to count.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add_one();
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add_one();
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) };
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add_one();
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Gives back what it got.
#[derive(Debug)]
struct Echo(Signature);

#[async_trait]
impl Model for Echo {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        Ok(Response::new(request.inputs).with_id(request.id))
    }
}

/// Looks at the request and the response.
#[derive(Debug)]
struct Looks;

impl Observer for Looks {
    fn observe(&self, prediction: &Prediction<'_>) {
        assert!(prediction.request.inputs.get("x").is_some() && prediction.result.is_ok());
    }
}

fn echo() -> Echo {
    let spec = || TensorSpec::new("x", DType::Fp32, [Dimension::Batch]);
    Echo(Signature::new([spec()], [spec()]).unwrap())
}

fn routed() -> Routed {
    let [stable, canary] = ["stable", "canary"].map(|name| Variant::new(name).unwrap());
    let split = TrafficSplit::new(stable.clone(), [canary.clone()]);
    split.set(&canary, 0.5).unwrap();
    Routed::new(stable, echo(), Sticky::new(split, "salt")).with_variant(canary, echo()).unwrap()
}

/// How many allocations a prediction takes, once everything that is kept has been made.
fn allocations(model: &dyn Model) -> u64 {
    let request = |index: u32| {
        let context = RoutingContext::new().with_key(format!("user-{index}")).with_attribute("country", "NO");
        let inputs =
            Tensors::new().with("x", Tensor::from(vec![0.5_f32])).with("y", Tensor::from(vec![1_i64]));
        let deadline = Instant::now() + Duration::from_secs(60);
        Request::new(inputs).with_id("a-17").with_context(context).with_deadline(deadline)
    };
    let most = (0..2_000).map(|index| {
        let request = request(index);
        let before = COUNT.get();
        let response = model.predict(request).now_or_never().unwrap().unwrap();
        let after = COUNT.get();
        drop(response);
        after - before
    });
    most.skip(1_000).max().unwrap()
}

#[test]
fn a_prediction_takes_no_memory_beyond_its_future() {
    assert_eq!(allocations(&echo()), 1);
    for (what, model) in [
        ("plain", routed()),
        ("with evidence", routed().observed_by(Arc::new(Evidence::new()))),
        ("with two observers", routed().observed_by(Arc::new(Evidence::new())).observed_by(Looks)),
        ("with a fallback", routed().with_fallback(Fallback::OnFailure)),
    ] {
        assert_eq!(allocations(&model), 2, "{what}: its own future, and that of the variant");
    }
}
