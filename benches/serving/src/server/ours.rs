//! The model server of `mlops-serve`.

use mlops_core::{Model, ModelName};
use mlops_serve::server::{Connections, Listener, Server, termination};

use super::{Ports, listen};
use crate::{Failure, MODEL_NAME};

pub(super) async fn serve(model: impl Model, ports: Ports) -> Result<(), Failure> {
    let server = Server::builder().with_model(ModelName::new(MODEL_NAME)?, model).build();
    let rest = Listener::new(listen(ports.http).await?, server.router());
    let grpc = Listener::new(listen(ports.grpc).await?, server.grpc_router());
    server.serve_on([rest, grpc], Connections::new(), termination()).await?;
    Ok(())
}
