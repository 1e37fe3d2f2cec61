//! Two hundred replacements under load: no request fails, and memory comes back. Alone in its process, since
//! it counts what the process allocates.
#![allow(unsafe_code, dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mlops_serve::layer::HotSwap;

#[path = "support/allocations.rs"]
mod allocations;

#[path = "support/numbered.rs"]
mod numbered;

use numbered::{Family, number};

#[global_allocator]
static ALLOCATOR: allocations::Counted = allocations::Counted;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_swaps_under_load_fail_no_request_and_keep_no_memory() {
    const WEIGHTS: usize = 4 << 20;
    let family = Family::new(64);
    let model = Arc::new(HotSwap::new(family.model(0.0, WEIGHTS)));
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (model, done) = (Arc::clone(&model), Arc::clone(&done));
            tokio::spawn(async move {
                let (mut latest, mut answers) = (0.0, 0_u64);
                while !done.load(Ordering::Relaxed) {
                    let number = number(&*model).await;
                    assert!(number >= latest, "{number} answered after {latest}");
                    (latest, answers) = (number, answers + 1);
                    tokio::task::yield_now().await;
                }
                answers
            })
        })
        .collect();

    let before = allocations::in_use();
    for version in 1..=200_u8 {
        let old = model.swap(family.model(version.into(), WEIGHTS)).unwrap();
        tokio::time::timeout(Duration::from_secs(60), old.drained()).await.expect("the old model is drained");
        assert_eq!(family.alive(), 1);
        let grown = allocations::in_use().saturating_sub(before);
        assert!(grown < WEIGHTS, "{grown} bytes more are in use after {version} swaps");
    }
    done.store(true, Ordering::Relaxed);
    let answers: u64 = join_all(callers).await.into_iter().map(Result::unwrap).sum();
    assert!(answers > 200, "{answers}");
    assert_eq!(number(&*model).await, 200.0);
}
