//! Requests to an MLflow server: JSON calls of its API, and bytes by its artifact proxy.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mlops_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use url::Url;

use super::failure::{away, late, not_mlflow, refused};
use super::wire::{File, Files};

type Body = UnsyncBoxBody<Bytes, Error>;

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// How long the answer to a call, or the next piece of an artifact, may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An upload may take a second more for so many bytes.
const SLOWEST_UPLOAD: u64 = 100 << 10;

/// How long an idle connection is kept. MLflow's server closes it after five seconds; whoever uses it then fails.
const IDLE: Duration = Duration::from_secs(2);

/// Bytes of an answer in JSON.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Bytes of a refusal.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// A server, and who asks.
#[derive(Clone)]
pub(crate) struct Rest {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    root: Url,
    credentials: Option<HeaderValue>,
}

impl Rest {
    /// Asks the server at `root`, which ends with a slash. Sends nothing yet.
    pub(crate) fn new(root: Url) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECTING));
        let connector = tls(root.scheme() == "https")?.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client, root, credentials: None })
    }

    /// Sends this as the header `Authorization`.
    pub(crate) fn with_credentials(mut self, credentials: &str) -> Result<Self> {
        let mut header = HeaderValue::from_str(credentials).map_err(|_| {
            Error::invalid_input(
                "the credentials hold characters that no HTTP header can hold, perhaps a line break",
            )
        })?;
        header.set_sensitive(true);
        self.credentials = Some(header);
        Ok(self)
    }

    /// The address of the server.
    pub(crate) fn root(&self) -> &Url {
        &self.root
    }

    /// Reads: `GET api/2.0/mlflow/<call>`.
    pub(crate) async fn get<A: DeserializeOwned>(&self, call: &str, query: &[(&str, &str)]) -> Result<A> {
        let mut url = self.url(&format!("api/2.0/mlflow/{call}"))?;
        url.query_pairs_mut().extend_pairs(query);
        self.json(Method::GET, &url, Bytes::new(), &format!("`{call}` of {}", self.root)).await
    }

    /// Changes something.
    pub(crate) async fn send<A: DeserializeOwned>(
        &self,
        method: Method,
        call: &str,
        body: &impl Serialize,
    ) -> Result<A> {
        let url = self.url(&format!("api/2.0/mlflow/{call}"))?;
        let what = format!("`{call}` of {}", self.root);
        let body = serde_json::to_vec(body).map_err(|cause| {
            Error::internal(format!("{what} cannot be written as JSON")).with_source(cause)
        })?;
        self.json(method, &url, body.into(), &what).await
    }

    /// Changes something by `POST`.
    pub(crate) async fn post<A: DeserializeOwned>(&self, call: &str, body: &impl Serialize) -> Result<A> {
        self.send(Method::POST, call, body).await
    }

    /// What is in a folder of artifacts; nothing if there is no such folder.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<File>> {
        let mut url = self.url("api/2.0/mlflow-artifacts/artifacts")?;
        url.query_pairs_mut().append_pair("path", folder);
        let what = format!("the list of artifacts in `{folder}` of {}", self.root);
        Ok(self.json::<Files>(Method::GET, &url, Bytes::new(), &what).await?.files)
    }

    /// Writes a file of that many bytes.
    pub(crate) async fn upload(
        &self,
        file: &str,
        size: u64,
        content: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Result<()> {
        let what = format!("the upload of `{file}` to {}", self.root);
        let body = BodyExt::boxed_unsync(StreamBody::new(content.map_ok(Frame::data)));
        let request = Request::put(self.artifact(file)?.as_str())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size)
            .body(body);
        let patience = PATIENCE + Duration::from_secs(size / SLOWEST_UPLOAD);
        timeout(patience, self.answer(request, &what)).await.map_err(|_| late(&what))?.map(drop)
    }

    /// Reads a file. The answer has its bytes yet to come.
    pub(crate) async fn download(&self, file: &str) -> Result<Response<Incoming>> {
        let what = format!("the download of `{file}` from {}", self.root);
        let request = Request::get(self.artifact(file)?.as_str()).body(Body::default());
        timeout(PATIENCE, self.answer(request, &what)).await.map_err(|_| late(&what))?
    }

    async fn json<A: DeserializeOwned>(
        &self,
        method: Method,
        url: &Url,
        body: Bytes,
        what: &str,
    ) -> Result<A> {
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body).map_err(|never| match never {}).boxed_unsync());
        let answer = async { body_of(self.answer(request, what).await?, what, MAX_ANSWER_BYTES).await };
        let body = timeout(PATIENCE, answer).await.map_err(|_| late(what))??;
        serde_json::from_slice(&body).map_err(|_| not_mlflow(what))
    }

    /// The answer, if it is not a refusal.
    async fn answer(
        &self,
        request: hyper::http::Result<Request<Body>>,
        what: &str,
    ) -> Result<Response<Incoming>> {
        let impossible = |cause| Error::internal(format!("{what} is no request")).with_source(cause);
        let mut request = request.map_err(impossible)?;
        let name = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(name));
        if let Some(credentials) = &self.credentials {
            request.headers_mut().insert(AUTHORIZATION, credentials.clone());
        }
        let answer = self.client.request(request).await.map_err(|cause| away(what, cause))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        // Whatever the body is, the status counts.
        let body = body_of(answer, what, MAX_REFUSAL_BYTES).await.unwrap_or_default();
        Err(refused(what, status, &body))
    }

    fn artifact(&self, file: &str) -> Result<Url> {
        let mut url = self.url("api/2.0/mlflow-artifacts/artifacts")?;
        let safe = |part: &&str| !matches!(*part, "" | "." | "..");
        let unsafe_part = Error::integrity(format!("`{}` is no path of an artifact", file.escape_debug()));
        if !file.split('/').all(|part| safe(&part)) {
            return Err(unsafe_part);
        }
        match url.path_segments_mut() {
            Ok(mut path) => path.extend(file.split('/')),
            Err(()) => return Err(unsafe_part),
        };
        Ok(url)
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.root.join(path).map_err(|cause| Error::internal(format!("{path} is no path")).with_source(cause))
    }
}

/// TLS by *ring*, and the certificates this machine trusts, if they are needed.
fn tls(needed: bool) -> Result<HttpsConnectorBuilder<WantsSchemes>> {
    let provider = rustls::crypto::ring::default_provider();
    if needed {
        let untrusting = |cause: std::io::Error| {
            let what = "this machine trusts no certificates; install its package `ca-certificates`";
            Error::unavailable(what).with_source(cause)
        };
        return HttpsConnectorBuilder::new().with_provider_and_native_roots(provider).map_err(untrusting);
    }
    let config =
        rustls::ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
    let config = config.map_err(|cause| Error::internal("TLS cannot be set up").with_source(cause))?;
    let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(config))
}

async fn body_of(answer: Response<Incoming>, what: &str, limit: usize) -> Result<Vec<u8>> {
    let mut answer = answer.into_body();
    let mut body = Vec::new();
    while let Some(frame) = answer.frame().await {
        let frame = frame.map_err(|cause| away(what, cause))?;
        let piece = frame.data_ref().map(|piece| &piece[..]).unwrap_or_default();
        if body.len() + piece.len() > limit {
            return Err(Error::unsupported(format!("{what} has an answer of more than {limit} bytes")));
        }
        body.extend_from_slice(piece);
    }
    Ok(body)
}
