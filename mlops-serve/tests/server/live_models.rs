//! Models come, go and change while a server serves them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{
    DType, Dimension, Error, Model, ModelId, ModelName, Request, Response, Result, Signature, TensorSpec,
    Tensors,
};
use mlops_serve::server::{LoadedModel, ModelSource, ModelState, Models, Server};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Adds a number to `x`, and counts how many of its kind live.
#[derive(Debug)]
struct Adder {
    signature: Signature,
    number: f32,
    alive: Arc<AtomicUsize>,
    gate: Option<(Arc<Notify>, Arc<Notify>)>,
}

impl Adder {
    fn new(number: f32, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
        let signature = Signature::new([spec("x")], [spec("y")]).unwrap();
        Self { signature, number, alive: Arc::clone(alive), gate: None }
    }

    /// Says when it was entered, and waits to be let go.
    fn gated(mut self, entered: &Arc<Notify>, release: &Arc<Notify>) -> Self {
        self.gate = Some((Arc::clone(entered), Arc::clone(release)));
        self
    }
}

impl Drop for Adder {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Model for Adder {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.signature.check(&request.inputs)?;
        if let Some((entered, release)) = &self.gate {
            entered.notify_one();
            release.notified().await;
        }
        let y = request.inputs.require("x")?.view::<f32>()?.mapv(|x| x + self.number);
        Ok(Response::new(Tensors::new().with("y", y)).with_id(request.id))
    }
}

fn name(name: &str) -> ModelName {
    ModelName::new(name).unwrap()
}

fn version(version: &str) -> ModelId {
    ModelId::new(name("adder"), version.parse().unwrap())
}

async fn answer(model: Arc<dyn Model>) -> f32 {
    let response = model.predict(Request::new(Tensors::new().with("x", vec![1.0_f32]))).await.unwrap();
    response.outputs.require("y").unwrap().as_slice::<f32>().unwrap()[0]
}

#[tokio::test]
async fn a_replaced_model_answers_what_it_began_and_is_then_dropped() {
    let (alive, entered, release) = (Arc::default(), Arc::default(), Arc::default());
    let models = Models::new();
    models.insert(name("adder"), Adder::new(1.0, &alive).gated(&entered, &release));
    let in_flight = tokio::spawn(answer(models.model("adder", None).unwrap()));
    entered.notified().await;

    drop(models.insert(name("adder"), Adder::new(2.0, &alive)));
    assert_eq!(answer(models.model("adder", None).unwrap()).await, 3.0);
    assert_eq!(alive.load(Ordering::SeqCst), 2, "the old one still answers");
    release.notify_one();
    assert_eq!(in_flight.await.unwrap(), 2.0);
    assert_eq!(alive.load(Ordering::SeqCst), 1, "and is gone after that");
}

#[tokio::test]
async fn versions_are_found_by_semantic_version_by_whole_number_and_by_default() {
    let (alive, models) = (Arc::default(), Models::new());
    for (text, number) in [("1.0.0", 1.0), ("10.0.0", 10.0), ("9.1.0", 9.0)] {
        models.insert_version(version(text), Adder::new(number, &alive));
    }
    let shown = |asked| models.model("adder", asked);
    assert_eq!(answer(shown(None).unwrap()).await, 11.0, "the highest, not the last in the alphabet");
    assert_eq!(answer(shown(Some("1")).unwrap()).await, 2.0);
    assert_eq!(answer(shown(Some("9.1.0")).unwrap()).await, 10.0);
    models.insert_current(version("11.0.0"), Adder::new(11.0, &alive));
    assert_eq!(answer(shown(None).unwrap()).await, 12.0);
    assert_eq!(answer(shown(Some("11.0.0")).unwrap()).await, 12.0);
    for bad in ["2", "9", "../1.0.0", "latest", "", "99999999999999999999"] {
        assert!(matches!(shown(Some(bad)), Err(Error::NotFound { .. })), "{bad}");
    }
    let versions: Vec<String> = models.versions("adder").iter().map(ToString::to_string).collect();
    assert_eq!(versions, ["1.0.0", "9.1.0", "10.0.0", "11.0.0"]);
}

async fn give_up_loading(models: &Models, model: &str) {
    let model = name(model);
    let never = models.load_from(&model, std::future::pending());
    assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
}

/// Gives out ever newer models, unless it is told to fail.
#[derive(Debug, Default)]
struct Shelf {
    alive: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
    loads: AtomicUsize,
}

#[async_trait]
impl ModelSource for Shelf {
    async fn available(&self) -> Result<Vec<ModelName>> {
        Ok(vec![name("adder")])
    }

    async fn load(&self, _name: &ModelName) -> Result<LoadedModel> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::integrity("the file is torn"));
        }
        let load = self.loads.fetch_add(1, Ordering::SeqCst) + 1;
        let model = Adder::new(load as f32, &self.alive);
        Ok(LoadedModel::new(model).with_version(format!("{load}.0.0").parse().unwrap()))
    }
}

#[tokio::test]
async fn a_load_that_fails_or_is_given_up_leaves_the_present_model_serving() {
    let models = Models::new();
    let shelf = Shelf::default();
    let fails = Arc::clone(&shelf.fails);
    models.add_source(shelf);
    models.load(&name("adder")).await.unwrap();

    fails.store(true, Ordering::SeqCst);
    assert!(matches!(models.load(&name("adder")).await, Err(Error::Integrity { .. })));
    give_up_loading(&models, "adder").await;
    assert_eq!(answer(models.model("adder", None).unwrap()).await, 2.0);
    assert!(models.index().iter().all(|status| status.state == ModelState::Ready));

    fails.store(false, Ordering::SeqCst);
    models.load(&name("adder")).await.unwrap();
    assert_eq!(answer(models.model("adder", None).unwrap()).await, 3.0);
    assert!(matches!(models.load(&name("other")).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn the_index_says_why_a_model_takes_no_requests() {
    let models = Models::new();
    let failed = async { Err(Error::integrity("the file is torn")) };
    models.load_from(&name("torn"), failed).await.unwrap_err();
    give_up_loading(&models, "given-up").await;
    models.insert(name("adder"), Adder::new(1.0, &Arc::default()));
    models.unload("adder").unwrap();
    let states: Vec<(String, ModelState)> =
        models.index().into_iter().map(|status| (status.name.to_string(), status.state)).collect();
    let unavailable = |why: &str| ModelState::Unavailable(why.to_owned());
    assert_eq!(
        states,
        [
            ("adder".to_owned(), unavailable("unloaded")),
            ("given-up".to_owned(), unavailable("loading was given up")),
            ("torn".to_owned(), unavailable("integrity violated: the file is torn")),
        ]
    );
    assert!(matches!(models.model("torn", None), Err(Error::Unavailable { .. })));
    assert!(matches!(models.unload("other"), Err(Error::NotFound { .. })));
    models.remove("torn").unwrap();
    assert!(matches!(models.model("torn", None), Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn requests_go_on_while_models_change() {
    let (alive, models) = (Arc::default(), Models::new());
    models.insert(name("adder"), Adder::new(1.0, &alive));
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (models, done) = (models.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut calls = 0;
                while !done.load(Ordering::SeqCst) {
                    assert!(answer(models.model("adder", None).unwrap()).await >= 2.0);
                    calls += 1;
                    tokio::task::yield_now().await;
                }
                calls
            })
        })
        .collect();
    for number in 2..200_u16 {
        models.insert(name("adder"), Adder::new(f32::from(number), &alive));
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    assert_eq!(alive.load(Ordering::SeqCst), 1);
}

async fn post(url: &str, path: &str, body: Value) -> (u16, Value) {
    let response = reqwest::Client::new().post(format!("{url}{path}")).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn the_repository_is_seen_by_all_and_changed_by_nobody_unless_allowed() {
    let models = Models::new();
    models.insert_current(version("1.2.0"), Adder::new(1.0, &Arc::default()));
    let server = Server::builder().with_models(models).build();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    tokio::spawn(server.serve(socket, std::future::pending()));

    let (status, index) = post(&url, "/v2/repository/index", json!({"ready": true})).await;
    assert_eq!((status, index), (200, json!([{"name": "adder", "version": "1.2.0", "state": "READY"}])));
    for verb in ["load", "unload"] {
        let (status, answer) = post(&url, &format!("/v2/repository/models/adder/{verb}"), json!({})).await;
        assert!(matches!(status, 401 | 403), "{status} {answer}");
    }
    let input = json!([{"name": "x", "shape": [3], "datatype": "FP32", "data": [1, 2, 3]}]);
    assert_eq!(post(&url, "/v2/models/adder/versions/1.2.0/infer", json!({"inputs": input})).await.0, 200);
    assert_eq!(post(&url, "/v2/models/adder/infer", json!({"inputs": []})).await.0, 400);
    let client = reqwest::Client::new();
    let stats: Value =
        client.get(format!("{url}/v2/models/adder/stats")).send().await.unwrap().json().await.unwrap();
    let stats = &stats["model_stats"][0];
    assert_eq!((&stats["name"], &stats["version"]), (&json!("adder"), &json!("1.2.0")));
    assert_eq!((&stats["inference_count"], &stats["execution_count"]), (&json!(3), &json!(1)));
    assert_eq!(stats["inference_stats"]["fail"]["count"], 1);
    let config: Value =
        client.get(format!("{url}/v2/models/adder/config")).send().await.unwrap().json().await.unwrap();
    assert_eq!(config["input"][0], json!({"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}));
}
