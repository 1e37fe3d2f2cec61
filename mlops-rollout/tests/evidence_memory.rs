//! Evidence takes the memory it says, however much is recorded.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mlops_core::{Observer, Prediction, Request, Response, Role, RoutingContext, Variant};
use mlops_rollout::Evidence;

/// Counts the bytes in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KIB: usize = 1_024;
const VARIANTS: usize = 3;
const METRICS: usize = 4;

fn record(evidence: &Evidence, variants: &[Variant], requests: std::ops::Range<u64>) {
    let names: Vec<String> = (0..METRICS).map(|metric| format!("metric-{metric}")).collect();
    for index in requests {
        let id = format!("request-{index}");
        let context = RoutingContext::new().with_key(format!("user-{index}"));
        let request = Request::default().with_id(id.as_str()).with_context(context);
        let response = Response::default();
        let variant = &variants[index as usize % variants.len()];
        let latency = Duration::from_nanos(index.wrapping_mul(7_919) % 10_000_000_000);
        let prediction = Prediction::new(&request, Ok(&response), latency);
        evidence.observe(&prediction.of_variant(variant, Role::Primary));
        for name in &names {
            evidence.record(name, variant, index as f64);
        }
        evidence.feedback(&id, true);
    }
}

#[test]
fn memory_does_not_grow_with_what_is_recorded() {
    let variants: Vec<Variant> =
        (0..VARIANTS).map(|index| Variant::new(format!("v{index}")).unwrap()).collect();
    let before = IN_USE.load(Ordering::Relaxed);
    let evidence = Evidence::new().with_users().with_feedback(16_384);
    let used = || IN_USE.load(Ordering::Relaxed) - before;

    for window in 0..4 {
        record(&evidence, &variants, 100_000 * window..100_000 * window + 20_000);
        evidence.begin_window();
    }
    record(&evidence, &variants, 1_000_000..1_020_000);
    let early = used();
    record(&evidence, &variants, 2_000_000..2_200_000);
    let late = used();
    assert!(late <= early + KIB, "{early} bytes grew to {late}");

    let per_variant = 19 * KIB + 18 * KIB + METRICS * 10 * KIB;
    let bound = 2 * VARIANTS * per_variant + 8 * 16_384 + 8 * KIB;
    assert!(late <= bound, "{late} bytes are more than {bound}");
    assert!(late >= bound / 2, "{late} bytes are far less than {bound}: the documentation says too much");
}
