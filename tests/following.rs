//! What is served follows the registry: a moved alias, a broken version, a registry that is away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mlops_core::{Alias, AliasMove, Engine, ModelName, NewVersion, Registry};
use mlops_registry::ObjectStoreRegistry;
use mlops_serve::engine::{Device, onnx::OnnxEngine};
use mlops_serve::server::{Models, OnnxLoader, RegistrySource, Server};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const MODEL: &[u8] = include_bytes!("../mlops-serve/tests/data/onnx/mlp/model.onnx");

struct World {
    _folder: tempfile::TempDir,
    registry: ObjectStoreRegistry,
    name: ModelName,
    url: String,
    client: reqwest::Client,
}

impl World {
    /// A registry with three versions, the last of them broken, and a server that follows `champion`.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = open(folder.path()).await;
        let name = ModelName::new("scores").unwrap();
        let signature = OnnxEngine::load(MODEL, Device::Cpu).unwrap().signature().clone();
        for (version, bytes) in [("1.0.0", MODEL), ("2.0.0", MODEL), ("3.0.0", &MODEL[..100])] {
            let new = NewVersion::new(name.clone(), signature.clone())
                .with_version(version.parse().unwrap())
                .with_artifact("scores.onnx", bytes);
            registry.register(new).await.unwrap();
        }
        let world = Self {
            registry: registry.clone(),
            name,
            url: String::new(),
            client: reqwest::Client::new(),
            _folder: folder,
        };
        world.promote("1.0.0").await;

        let models = Models::new();
        // As in another process: by a handle of its own.
        let seen = open(world._folder.path()).await.with_poll_interval(Duration::from_millis(200));
        let source = RegistrySource::new(seen, OnnxLoader::new(Device::Cpu))
            .with_model("scores@champion".parse().unwrap());
        let following = source.follow(&models).await;
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let server = Server::builder().with_models(models).build();
        tokio::spawn(async move {
            server.serve(socket, std::future::pending()).await.unwrap();
            drop(following);
        });
        Self { url, ..world }
    }

    async fn promote(&self, version: &str) {
        let champion = Alias::new("champion").unwrap();
        let change = AliasMove::new(self.name.clone(), champion, version.parse().unwrap());
        self.registry.move_alias(change).await.unwrap();
    }

    /// Which version answers.
    async fn version(&self) -> String {
        let input =
            json!([{"name": "input", "shape": [1, 8], "datatype": "FP32", "data": [0, 1, 2, 3, 4, 5, 6, 7]}]);
        let request =
            self.client.post(format!("{}/v2/models/scores/infer", self.url)).json(&json!({"inputs": input}));
        let response = request.send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["model_version"].as_str().unwrap().to_owned()
    }

    async fn wait_for(&self, version: &str) -> Duration {
        let began = Instant::now();
        while self.version().await != version {
            assert!(began.elapsed() < Duration::from_secs(20), "{version} is not served");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    }
}

async fn open(folder: &Path) -> ObjectStoreRegistry {
    ObjectStoreRegistry::local(folder.join("registry")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_alias_swaps_the_model_and_no_request_fails() {
    let world = Arc::new(World::new().await);
    assert_eq!(world.version().await, "1.0.0");
    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let caller = tokio::spawn({
        let (world, done, calls) = (Arc::clone(&world), Arc::clone(&done), Arc::clone(&calls));
        async move {
            while !done.load(Ordering::SeqCst) {
                world.version().await;
                calls.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        let version = if round % 2 == 0 { "2.0.0" } else { "1.0.0" };
        world.promote(version).await;
        slowest = slowest.max(world.wait_for(version).await);
    }
    done.store(true, Ordering::SeqCst);
    caller.await.unwrap();
    println!(
        "the slowest of 10 swaps took {slowest:?}; {} requests were answered meanwhile",
        calls.load(Ordering::SeqCst)
    );
}

#[tokio::test]
async fn a_broken_version_leaves_the_present_one_serving() {
    let world = World::new().await;
    world.promote("3.0.0").await;
    tokio::time::sleep(Duration::from_millis(600)).await; // more than a poll, and a try
    assert_eq!(world.version().await, "1.0.0");
    let ready = world.client.get(format!("{}/v2/health/ready", world.url)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    world.promote("2.0.0").await;
    world.wait_for("2.0.0").await;
}

#[tokio::test]
async fn a_registry_that_is_away_is_missed_by_nobody_and_found_again() {
    let world = World::new().await;
    let (here, away) = (world._folder.path().join("registry"), world._folder.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(world.version().await, "1.0.0");
    // Who looked meanwhile may have made an empty folder of that name.
    let _ = std::fs::remove_dir_all(&here);
    std::fs::rename(&away, &here).unwrap();
    world.promote("2.0.0").await;
    world.wait_for("2.0.0").await;
}
