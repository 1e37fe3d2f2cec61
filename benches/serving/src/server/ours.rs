//! The model server of `mlops-serve`.

use mlops_core::{Model, ModelName};
use mlops_serve::EngineExt;
use mlops_serve::engine::onnx::OnnxEngine;
use mlops_serve::server::{Server, termination};

use super::{Ports, listen};
use crate::{Failure, MODEL_NAME};

pub(super) async fn serve(engine: OnnxEngine, ports: Ports) -> Result<(), Failure> {
    serve_model(engine.inline(), ports).await
}

async fn serve_model(model: impl Model, ports: Ports) -> Result<(), Failure> {
    let server = Server::builder().with_model(ModelName::new(MODEL_NAME)?, model).build();
    server.serve(listen(ports.http).await?, termination()).await?;
    Ok(())
}
