//! A running server, its client, and models whose answers can be told beforehand.
#![allow(dead_code, reason = "every test takes what it needs")]

use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{DType, Dimension, Error, Model, Request, Response, Result, Signature, TensorSpec, Tensors};
use mlops_serve::server::Server;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Gives its inputs back as the outputs of the same names.
#[derive(Debug)]
pub(crate) struct Echo(Signature);

impl Echo {
    pub(crate) fn new(signature: Signature) -> Self {
        Self(signature)
    }
}

#[async_trait]
impl Model for Echo {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.0.check(&request.inputs)?;
        Ok(Response::new(request.inputs).with_id(request.id))
    }
}

/// Gives the sum of each row of `x`, and one more for every byte of the routing key.
#[derive(Debug)]
pub(crate) struct Scorer(Signature);

pub(crate) fn scorer() -> Scorer {
    let signature = Signature::new(
        [TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(2)])],
        [TensorSpec::new("y", DType::Fp32, [Dimension::Batch])],
    );
    Scorer(signature.unwrap())
}

#[async_trait]
impl Model for Scorer {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.0.check(&request.inputs)?;
        match request.context.attribute("fail") {
            Some("overloaded") => return Err(Error::overloaded("64 requests wait")),
            Some("unavailable") => return Err(Error::unavailable("the device is away")),
            Some("engine") => return Err(Error::engine("secret detail of the engine")),
            _ => {}
        }
        if request.context.attribute("sleep").is_some() {
            std::future::pending::<()>().await;
        }
        let key = request.context.key().unwrap_or_default().len() as f32;
        let x = request.inputs.require("x")?.view::<f32>()?;
        let sums: Vec<f32> = x.rows().into_iter().map(|row| row.sum() + key).collect();
        Ok(Response::new(Tensors::new().with("y", sums)).with_id(request.id))
    }
}

/// A server on a port of its own, until it is dropped.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) client: Client,
    _stop: oneshot::Sender<()>,
}

impl Running {
    pub(crate) async fn start(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve(listener, async move { stopped.await.unwrap_or(()) }));
        let client = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { url, client, _stop: stop }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        send(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        send(self.request("POST", path).json(&body)).await
    }

    pub(crate) async fn post_bytes(&self, path: &str, body: Vec<u8>) -> (StatusCode, Value) {
        send(self.request("POST", path).body(body)).await
    }
}

pub(crate) async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.expect("every answer is JSON"))
}
