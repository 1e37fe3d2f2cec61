//! What a good engineer writes for one model: one route, plain structs, the engine called in the handler.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use mlops_core::{DType, Engine, Tensor, Tensors};
use mlops_serve::engine::onnx::OnnxEngine;
use serde::{Deserialize, Serialize};

use super::{Ports, listen};
use crate::Failure;

#[derive(Deserialize)]
struct Features {
    features: Vec<f32>,
}

#[derive(Serialize)]
struct Scores {
    scores: Vec<f32>,
}

struct Model {
    engine: OnnxEngine,
    input: Arc<str>,
    output: String,
}

type Refusal = (StatusCode, String);

pub(super) async fn serve(engine: OnnxEngine, ports: Ports) -> Result<(), Failure> {
    let [input] = engine.signature().inputs() else { return Err("the model has not one input".into()) };
    let [output] = engine.signature().outputs() else { return Err("the model has not one output".into()) };
    let (input, output) = (input.name().into(), output.name().to_owned());
    let routes = Router::new()
        .route("/predict", post(predict))
        .route("/predict/binary", post(predict_binary))
        .with_state(Arc::new(Model { engine, input, output }));
    axum::serve(listen(ports.http).await?, routes).await?;
    Ok(())
}

async fn predict(
    State(model): State<Arc<Model>>,
    Json(Features { features }): Json<Features>,
) -> Result<Json<Scores>, Refusal> {
    let row = Tensor::from_vec(&[1, features.len()], features).map_err(refuse)?;
    let scores = model.run(row)?.as_slice().map_err(refuse)?.to_vec();
    Ok(Json(Scores { scores }))
}

/// Little-endian numbers, in and out.
async fn predict_binary(State(model): State<Arc<Model>>, body: Bytes) -> Result<Bytes, Refusal> {
    let row = Tensor::from_bytes(DType::Fp32, &[1, body.len() / 4], body).map_err(refuse)?;
    Ok(model.run(row)?.to_bytes())
}

impl Model {
    fn run(&self, row: Tensor) -> Result<Tensor, Refusal> {
        let inputs = Tensors::new().with(Arc::clone(&self.input), row);
        self.engine.signature().check(&inputs).map_err(refuse)?;
        let mut outputs = self.engine.run(&inputs).map_err(fail)?;
        outputs.remove(&self.output).ok_or_else(|| fail("the engine gave no such output"))
    }
}

fn refuse(cause: impl ToString) -> Refusal {
    (StatusCode::BAD_REQUEST, cause.to_string())
}

fn fail(cause: impl ToString) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, cause.to_string())
}
