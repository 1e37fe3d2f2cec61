//! Twice as much load as the model can take, while the model is swapped: what is taken is answered, what is not is
//! refused at once, and memory stays where it is.
//!
//! `MLOPS_SOAK_SECONDS` sets how long (4 unless set; the figures in the documentation are from 120).
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mlops_core::{DType, Dimension, Engine, ModelName, Result, Signature, TensorSpec, Tensors};
use mlops_serve::server::{Models, Server};
use mlops_serve::{Batching, EngineExt, ServeExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// What a call takes, whatever its rows: so batches pay.
const COST: Duration = Duration::from_millis(2);
/// One worker computes batches of so many rows, and as many more requests may wait.
const ROWS: usize = 8;
const SWAPS: u32 = 200;

/// Takes its time, without taking the processor: the load is on the server, not on the machine.
#[derive(Debug)]
struct Slow(Signature);

impl Slow {
    fn new() -> Self {
        let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
        Self(Signature::new([spec("x")], [spec("y")]).unwrap())
    }
}

impl Engine for Slow {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        std::thread::sleep(COST);
        Ok(Tensors::new().with("y", inputs.require("x")?.clone()))
    }
}

fn model() -> impl mlops_core::Model {
    let workers = mlops_serve::Workers::new(1).with_queue(2 * ROWS);
    Slow::new().inline().batched(Batching::rows(ROWS).with_workers(workers)).unwrap()
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
}

/// Asks until told to stop. Every request must be answered, well or by a refusal; nothing else.
async fn ask(url: String, counts: Arc<Counts>, done: Arc<AtomicBool>) {
    const BODY: &str = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}"#;
    let client = reqwest::Client::new();
    while !done.load(Ordering::Relaxed) {
        let response = client.post(&url).body(BODY).send().await.expect("every request is answered");
        let status = response.status().as_u16();
        let text = response.text().await.expect("answers are whole");
        match status {
            200 => counts.answered.fetch_add(1, Ordering::Relaxed),
            429 => {
                tokio::time::sleep(COST).await;
                counts.refused.fetch_add(1, Ordering::Relaxed)
            }
            other => panic!("{other}: {text}"),
        };
    }
}

/// Answered requests a second, with so many callers; and how many were refused.
async fn goodput(url: &str, callers: usize, time: Duration) -> (f64, u64) {
    let (counts, done) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..callers)
        .map(|_| tokio::spawn(ask(url.to_owned(), Arc::clone(&counts), Arc::clone(&done))))
        .collect();
    let began = Instant::now();
    tokio::time::sleep(time).await;
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let answered = counts.answered.load(Ordering::Relaxed) as f64;
    (answered / began.elapsed().as_secs_f64(), counts.refused.load(Ordering::Relaxed))
}

/// Resident memory in MiB, where the system tells.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()? / 1024.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_and_swaps_cost_nothing_that_was_taken() {
    let seconds = std::env::var("MLOPS_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let time = Duration::from_secs(seconds);
    let name = ModelName::new("slow").unwrap();
    let models = Models::new();
    models.insert(name.clone(), model());
    let server = Server::builder().with_models(models.clone()).build();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v2/models/slow/infer", socket.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(socket, async move { stopped.await.unwrap_or(()) }));

    // As many callers as a batch in work and a batch that waits have rows; then twice what the server has room for.
    let (peak, _) = goodput(&url, 2 * ROWS, time / 4).await;
    let before = resident();
    let swapping = tokio::spawn(async move {
        for _ in 0..SWAPS {
            tokio::time::sleep(time / (SWAPS + 20)).await;
            let old = models.insert(name.clone(), model());
            // It waits for its workers.
            tokio::task::spawn_blocking(move || drop(old)).await.unwrap();
        }
    });
    let (under_load, refused) = goodput(&url, 6 * ROWS, time).await;
    swapping.await.unwrap();
    let grown = before.zip(resident()).map(|(before, after)| after - before);
    println!(
        "goodput {under_load:.0}/s at twice the load, {peak:.0}/s at the peak ({:.2}); {refused} refused; \
         {SWAPS} swaps; memory grew by {grown:?} MiB in {time:?}",
        under_load / peak
    );
    assert!(under_load >= 0.9 * peak, "goodput fell from {peak:.0} to {under_load:.0} a second");
    assert!(refused > 0, "there was no overload");
    assert!(grown.is_none_or(|grown| grown < 64.0), "memory grew by {grown:?} MiB");
    stop.send(()).unwrap();
    serving.await.unwrap().expect("the server drains");
}
