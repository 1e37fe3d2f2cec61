//! Variants come, go and change while requests are in flight: none fails, none is misattributed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{
    DType, Dimension, Model, Request, Response, Result, RoutingContext, Signature, Tensor, TensorSpec,
    Tensors, Variant,
};
use mlops_rollout::{Evidence, Routed, TrafficSplit, Weighted};

/// Says its name, after a while.
#[derive(Debug)]
struct Named(Signature, &'static str);

fn named(name: &'static str) -> Named {
    Named(Signature::new([], [TensorSpec::new("name", DType::Bytes, [Dimension::Batch])]).unwrap(), name)
}

#[async_trait]
impl Model for Named {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        tokio::time::sleep(Duration::from_micros(200)).await;
        let name = Tensor::from_byte_strings(&[1], [self.1])?;
        Ok(Response::new(Tensors::new().with("name", name)).with_id(request.id))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_fails_and_none_is_misattributed() {
    let (stable, canary) = (Variant::new("stable").unwrap(), Variant::new("canary").unwrap());
    let split = TrafficSplit::new(stable.clone(), [canary.clone()]);
    let evidence = Arc::new(Evidence::new());
    let routed = Routed::new(stable.clone(), named("stable-0"), Weighted::seeded(split.clone(), 1));
    let routed = Arc::new(routed.observed_by(Arc::clone(&evidence)));
    let done = Arc::new(AtomicBool::new(false));

    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (routed, done) = (Arc::clone(&routed), Arc::clone(&done));
            tokio::spawn(async move {
                let mut answered = [0_u64; 2];
                while !done.load(Ordering::Relaxed) {
                    let request = Request::default().with_context(RoutingContext::new());
                    let response = routed.predict(request).await.expect("no request fails");
                    let variant = response.variant.expect("a routed response names its variant");
                    let name = response.outputs.get("name").unwrap().strings().unwrap()[0].to_owned();
                    assert!(name.starts_with(variant.as_str()), "{variant} answered {name}");
                    answered[usize::from(variant.as_str() == "canary")] += 1;
                }
                answered
            })
        })
        .collect();

    for round in 0..100 {
        routed.insert(canary.clone(), named(if round % 2 == 0 { "canary-1" } else { "canary-2" })).unwrap();
        split.set(&canary, 0.5).unwrap();
        routed.insert(stable.clone(), named(if round % 2 == 0 { "stable-1" } else { "stable-2" })).unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        // Taken away while it still has half of the traffic: the default steps in.
        routed.remove(&canary).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    done.store(true, Ordering::Relaxed);
    let mut answered = [0; 2];
    for caller in callers {
        let [stable, canary] = caller.await.unwrap();
        answered = [answered[0] + stable, answered[1] + canary];
    }

    assert!(answered.iter().all(|count| *count > 100), "{answered:?}");
    let seen = evidence.snapshot().current;
    assert_eq!([seen[&stable].successes, seen[&canary].successes], answered);
    assert!(seen.values().all(|seen| seen.failures == 0));
}
