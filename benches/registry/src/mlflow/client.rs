//! MLflow's REST API on a connection that is kept. So the server is measured, and no Python on the other side.

use bytes::{Buf, Bytes};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Collected, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::Failure;

/// One connection, with one request at a time.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    port: u16,
}

/// A page of versions.
#[derive(Debug)]
pub struct Page {
    pub versions: usize,
    pub next: Option<String>,
}

const API: &str = "/api/2.0/mlflow";
const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts/artifacts";

impl Client {
    pub async fn connect(port: u16) -> Result<Self, Failure> {
        Ok(Self { sender: connect(port).await?, port })
    }

    pub async fn text(&mut self, path: &str) -> Result<String, Failure> {
        let answer = self.send(Method::GET, path, Bytes::new()).await?;
        Ok(String::from_utf8(answer.to_bytes().to_vec())?)
    }

    pub async fn create_model(&mut self, name: &str) -> Result<(), Failure> {
        self.post("registered-models/create", &json!({ "name": name })).await.map(drop)
    }

    /// Begins a run in the default experiment; its id.
    pub async fn create_run(&mut self) -> Result<String, Failure> {
        let answer = self.post("runs/create", &json!({ "experiment_id": "0", "start_time": 1 })).await?;
        string(&answer, "/run/info/run_id")
    }

    /// Stores an artifact of a run, through the server.
    pub async fn upload(&mut self, run: &str, name: &str, content: Bytes) -> Result<(), Failure> {
        self.send(Method::PUT, &artifact(run, name), content).await.map(drop)
    }

    /// Fetches an artifact of a run, through the server, into memory; its length.
    pub async fn download(&mut self, run: &str, name: &str) -> Result<usize, Failure> {
        let content = self.send(Method::GET, &artifact(run, name), Bytes::new()).await?;
        Ok(content.aggregate().remaining())
    }

    /// Makes the artifacts of a run a version of a model; its number.
    pub async fn create_version(&mut self, model: &str, run: &str) -> Result<String, Failure> {
        let source = format!("mlflow-artifacts:/0/{run}/artifacts");
        let body = json!({ "name": model, "source": source, "run_id": run });
        let answer = self.post("model-versions/create", &body).await?;
        string(&answer, "/model_version/version")
    }

    pub async fn set_alias(&mut self, model: &str, alias: &str, version: &str) -> Result<(), Failure> {
        let body = json!({ "name": model, "alias": alias, "version": version });
        self.post("registered-models/alias", &body).await.map(drop)
    }

    /// The version that an alias points to.
    pub async fn resolve(&mut self, model: &str, alias: &str) -> Result<String, Failure> {
        let answer = self.get(&format!("registered-models/alias?name={model}&alias={alias}")).await?;
        string(&answer, "/model_version/version")
    }

    /// Versions of a model, at most `most` of them, after those of the page that gave `token`.
    pub async fn search(&mut self, model: &str, most: usize, token: Option<&str>) -> Result<Page, Failure> {
        let token = token.map(|token| format!("&page_token={}", escape(token))).unwrap_or_default();
        let filter = escape(&format!("name='{model}'"));
        let answer =
            self.get(&format!("model-versions/search?filter={filter}&max_results={most}{token}")).await?;
        let versions = answer["model_versions"].as_array().map_or(0, Vec::len);
        let next = answer["next_page_token"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
        Ok(Page { versions, next })
    }

    async fn get(&mut self, path: &str) -> Result<Value, Failure> {
        let answer = self.send(Method::GET, &format!("{API}/{path}"), Bytes::new()).await?;
        Ok(serde_json::from_slice(&answer.to_bytes())?)
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body)?.into();
        let answer = self.send(Method::POST, &format!("{API}/{path}"), body).await?;
        Ok(serde_json::from_slice(&answer.to_bytes())?)
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Collected<Bytes>, Failure> {
        let kind = if path.starts_with(ARTIFACTS) { "application/octet-stream" } else { "application/json" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", kind)
            .body(Full::new(body))?;
        // The server hangs up on a client that is silent for some seconds.
        if self.sender.ready().await.is_err() {
            self.sender = connect(self.port).await?;
        }
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        if parts.status != StatusCode::OK {
            return Err(format!("{}: {}", parts.status, String::from_utf8_lossy(&body.to_bytes())).into());
        }
        Ok(body)
    }
}

async fn connect(port: u16) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn artifact(run: &str, name: &str) -> String {
    format!("{ARTIFACTS}/0/{run}/artifacts/{name}")
}

fn string(answer: &Value, pointer: &str) -> Result<String, Failure> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| format!("no {pointer} in {answer}").into())
}

/// Percent-encodes what is not a letter or a digit.
fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    escaped.collect()
}
