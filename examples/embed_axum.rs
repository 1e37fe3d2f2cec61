//! A model inside a service of your own: its routes beside yours, and your handlers asking it without a network.
//!
//! ```sh
//! cargo run --release --example embed_axum
//! curl -s localhost:8080/greeting
//! curl -s localhost:8080/class/7
//! curl -s localhost:8080/v2/models/digits
//! ```

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use mlops_core::metrics::MetricsObserver;
use mlops_core::{Model, ModelExt, ModelName, Request, Tensor, Tensors};
use mlops_serve::engine::{
    Device,
    onnx::{OnnxEngine, OnnxOptions},
};
use mlops_serve::server::{Server, termination};
use mlops_serve::{Batching, EngineExt, ServeExt};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// A model in ONNX form: handwritten digits, 64 grey values to 10 scores.
const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mlops-serve/tests/data/onnx/digits/model.onnx");

/// What the handlers of this service share.
#[derive(Clone)]
struct App {
    digits: Arc<dyn Model>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let name = ModelName::new("digits")?;
    let engine = OnnxEngine::load_file(DIGITS, Device::Cpu, &OnnxOptions::new())?;
    let model = engine.inline().batched(Batching::rows(32))?.observed(MetricsObserver::new(name.clone()));
    let digits: Arc<dyn Model> = Arc::new(model);

    let server = Server::builder().with_model(name, Arc::clone(&digits)).build();
    let app = Router::new()
        .route("/greeting", get(async || "This service has a model inside.\n"))
        .route("/class/{grey}", get(class))
        .with_state(App { digits })
        .merge(server.router());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(termination()).await?;
    Ok(())
}

/// The class of an image that is all of one grey: a handler that asks the model in its own process.
async fn class(State(app): State<App>, Path(grey): Path<f32>) -> Result<Json<Value>, (StatusCode, String)> {
    let answer = async {
        let spec = &app.digits.signature().inputs()[0];
        let image = Tensor::from_vec(&[1, 64], vec![grey; 64])?;
        let response = app.digits.predict(Request::new(Tensors::new().with(spec.name(), image))).await?;
        Ok::<_, mlops_core::Error>(json!({ "outputs": response.outputs }))
    };
    answer.await.map(Json).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}
