//! A model server in one process: models from a registry or from ONNX files, over REST and gRPC.
//!
//! ```sh
//! cargo run --release --example serve -- --onnx digits=model.onnx --http 127.0.0.1:8080 --grpc 127.0.0.1:8081
//! cargo run --release --example serve -- --registry ./registry --model fraud@champion --http 127.0.0.1:8080
//! ```
//!
//! Then, with any client of the Open Inference Protocol, TF Serving's or MLflow's REST API:
//!
//! ```sh
//! curl -s localhost:8080/v2/models/digits
//! curl -s localhost:8080/openapi.json
//! ```
//!
//! Every option can stand in a file, too (`--config FILE`, TOML); what the command line says comes first.
//!
//! ```toml
//! http = "0.0.0.0:8443"
//! registry = "./registry"
//! model = ["fraud@champion"]
//! batch-rows = 64
//! api-keys = "keys.toml"
//! tls-certificate = "server.pem"
//! tls-key = "server.key"
//! ```

#[path = "shared/registries.rs"]
mod registries;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use mlops_core::{ModelName, ModelRef};
use mlops_serve::engine::Device;
use mlops_serve::server::access::{Access, ApiKeys};
use mlops_serve::server::tls::{ClientCertificate, Tls, TlsFiles};
use mlops_serve::server::{
    Connections, Following, Listener, Models, OnnxFiles, OnnxLoader, RegistrySource, Server, termination,
};
use mlops_serve::{Batching, Workers};
use serde::Deserialize;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

type Failure = Box<dyn std::error::Error>;

/// A model server in one process.
#[derive(Parser, Deserialize, Default)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    /// A file with these options, in TOML
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Where REST is answered [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Where gRPC is answered
    #[arg(long, value_name = "ADDRESS")]
    grpc: Option<SocketAddr>,
    /// Where a registry is: a folder, file:///FOLDER, s3://BUCKET/PREFIX, mlflow+http://HOST:PORT
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// A model of the registry, followed while it changes: NAME@ALIAS, NAME/VERSION, or NAME for the latest
    #[arg(long, value_name = "NAME@ALIAS")]
    model: Vec<String>,
    /// An ONNX file
    #[arg(long, value_name = "NAME=PATH")]
    onnx: Vec<String>,
    /// cpu, wgpu, wgpu:NAME or cuda:0 [default: cpu]
    #[arg(long)]
    device: Option<String>,
    /// Puts requests together, up to so many rows
    #[arg(long, value_name = "ROWS")]
    batch_rows: Option<usize>,
    /// Threads for each model that computes in batches [default: 1]
    #[arg(long, value_name = "THREADS")]
    workers: Option<usize>,
    /// The longest time of a request, in milliseconds [default: 60000]
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Known callers, each with the hash of a key and what they may do; nobody else may do anything then
    #[arg(long, value_name = "FILE")]
    api_keys: Option<PathBuf>,
    /// Lets callers whose scopes allow it load and unload models
    #[arg(long)]
    admin: bool,
    /// The certificate chain of this server, PEM; it is read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Only clients with a certificate of one of these authorities, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_clients: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    let options = Options::read()?;
    let recorder = PrometheusBuilder::new().install_recorder()?;
    mlops_core::metrics::describe();

    let models = Models::new();
    let following = options.serve_models(&models).await?;
    let server = Server::builder()
        .with_models(models)
        .with_access(options.access()?)
        .with_timeout(Duration::from_millis(options.timeout_ms.unwrap_or(60_000)))
        .with_metrics(move || recorder.render())
        .build();

    let tls = options.tls()?;
    let mut listeners = Vec::new();
    let http = options.http.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
    for (address, routes) in [(Some(http), server.router()), (options.grpc, server.grpc_router())] {
        let Some(address) = address else { continue };
        let socket = TcpListener::bind(address).await?;
        tracing::info!(address = %socket.local_addr()?, tls = tls.is_some(), "listening");
        let listener = Listener::new(socket, routes);
        listeners.push(match &tls {
            Some(tls) => listener.with_tls(tls.clone()),
            None => listener,
        });
    }
    server.serve_on(listeners, Connections::new(), termination()).await?;
    drop(following);
    Ok(())
}

impl Options {
    fn read() -> Result<Self, Failure> {
        let given = Self::parse();
        let Some(file) = &given.config else { return Ok(given) };
        let text = std::fs::read_to_string(file).map_err(|cause| format!("{}: {cause}", file.display()))?;
        let written: Self = toml::from_str(&text).map_err(|cause| format!("{}: {cause}", file.display()))?;
        Ok(given.or(written))
    }

    /// What is given, and what is written in the file where nothing is given.
    fn or(self, written: Self) -> Self {
        let one_of =
            |given: Vec<String>, written: Vec<String>| if given.is_empty() { written } else { given };
        Self {
            config: self.config,
            http: self.http.or(written.http),
            grpc: self.grpc.or(written.grpc),
            registry: self.registry.or(written.registry),
            model: one_of(self.model, written.model),
            onnx: one_of(self.onnx, written.onnx),
            device: self.device.or(written.device),
            batch_rows: self.batch_rows.or(written.batch_rows),
            workers: self.workers.or(written.workers),
            timeout_ms: self.timeout_ms.or(written.timeout_ms),
            api_keys: self.api_keys.or(written.api_keys),
            admin: self.admin || written.admin,
            tls_certificate: self.tls_certificate.or(written.tls_certificate),
            tls_key: self.tls_key.or(written.tls_key),
            tls_clients: self.tls_clients.or(written.tls_clients),
        }
    }

    /// Loads the models that are asked for, and follows those of the registry.
    async fn serve_models(&self, models: &Models) -> Result<Option<Following>, Failure> {
        let loader = self.loader()?;
        let mut files = OnnxFiles::new(loader.clone());
        let mut names = Vec::new();
        for file in &self.onnx {
            let (name, path) = file.split_once('=').ok_or_else(|| format!("`{file}` is not NAME=PATH"))?;
            let name = ModelName::new(name)?;
            files = files.with_file(name.clone(), Path::new(path));
            names.push(name);
        }
        models.add_source(files);
        for name in names {
            models.load(&name).await?;
        }
        let Some(url) = &self.registry else {
            if self.model.is_empty() {
                return Ok(None);
            } else {
                return Err("`--model` needs a `--registry`".into());
            };
        };
        let registry = registries::open(url, |_| {}).await?.registry;
        let mut source = RegistrySource::new(registry, loader);
        for model in &self.model {
            source = source.with_model(ModelRef::from_str(model)?);
        }
        models.add_source(source.clone());
        Ok(Some(source.follow(models).await))
    }

    fn loader(&self) -> Result<OnnxLoader, Failure> {
        let device = self.device.as_deref().unwrap_or("cpu").parse::<Device>()?;
        let loader = OnnxLoader::new(device);
        Ok(match self.batch_rows {
            Some(rows) => {
                let workers = Workers::new(self.workers.unwrap_or(1)).with_queue(1024);
                loader.with_batching(Batching::rows(rows).with_workers(workers))
            }
            None => loader,
        })
    }

    fn access(&self) -> Result<Access, Failure> {
        let access = match &self.api_keys {
            Some(file) => Access::closed().with_api_keys(ApiKeys::open(file)?),
            None => Access::open(),
        };
        Ok(if self.admin { access.with_admin() } else { access })
    }

    fn tls(&self) -> Result<Option<Tls>, Failure> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else { return Ok(None) };
        let files = TlsFiles::new(certificate, key);
        Ok(Some(Tls::open(match &self.tls_clients {
            Some(authorities) => files.with_client_authorities(authorities, ClientCertificate::Required),
            None => files,
        })?))
    }
}
