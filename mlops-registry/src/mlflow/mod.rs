//! The registry of a team that keeps its MLflow server.

mod address;
mod artifacts;
mod content;
mod document;
mod events;
mod failure;
mod mlmodel;
mod model;
mod names;
mod reading;
mod registering;
mod rest;
mod tags;
mod watch;
mod wire;
mod writing;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use mlops_core::{
    AliasMove, AuditEvent, ByteStream, Clock, Deletion, Deprecation, EventStream, ModelId, ModelName,
    ModelVersion, NewReport, NewVersion, Query, Registry, Result, Selector, SystemClock, Tagging,
};

use self::artifacts::Digests;
use self::rest::Rest;

/// The experiment whose runs hold the artifacts of versions.
const EXPERIMENT: &str = "mlops";

/// How often [`watch`](Registry::watch) looks for what others do.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A registry on an MLflow tracking server, by its REST API: models, versions, aliases, tags and artifacts are those
/// that MLflow's own clients and pages show.
///
/// ```no_run
/// use mlops_core::Registry;
/// use mlops_registry::MlflowRegistry;
///
/// # async fn example() -> mlops_core::Result<()> {
/// let registry = MlflowRegistry::open("mlflow+https://mlflow.example.com")?.with_token("...")?;
/// for model in registry.models().await? {
///     println!("{model}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// It is tested on MLflow 3.17, on SQLite. The server must keep artifacts itself (`mlflow server --serve-artifacts`,
/// which is the default). Clones share their state. It needs a tokio runtime.
///
/// # What is where
/// A version is a version of MLflow, and its semantic version the tag `mlops.version`. Its artifacts are those of a
/// run of its own in the experiment `mlops`, which shows metrics and parameters, too. The exact values, the
/// signature, the lineage and the digests are in tags that begin with `mlops.`;
/// [`Integrity`](mlops_core::Error::Integrity) is the error when somebody has edited them. The history is in such
/// tags of the model. Tags with names or values that MLflow would refuse are kept encoded.
///
/// # Versions of MLflow's own clients
/// Version n is n.0.0, or, if that was taken when it came, the first of n.0.1, n.0.2, ... that was free; setting
/// its tag `mlops.version` in MLflow gives it another one. Metrics and parameters are those of its run, the
/// signature is that of its `MLmodel` (an empty one if there is none, or one of other types than tensors), and its
/// artifacts are the files of the model. Their names are their paths, with `__` for `/` and `_` for what names must
/// not have; if two become equal, one gets a part of the path's digest. MLflow keeps no digests: so when such a
/// version is first resolved, its files are read once. Their digests are kept for the life of this registry.
///
/// # Aliases
/// MLflow takes letters, digits, `_` and `-`; `latest` and `v1` and their like are reserved. Others are
/// [`InvalidInput`](mlops_core::Error::InvalidInput).
///
/// # What MLflow cannot promise
/// * MLflow compares nothing before it changes something. Changes by this registry and its clones come one after the
///   other. Of two *processes* that register the same version one wins, always; but of two that move the same alias in
///   the same moment both may be told that they did, and the later one is right.
/// * What MLflow's own clients do to aliases, and what they delete, is in history from when it is noticed. What they do
///   to tags is not, and with a model its history is deleted.
/// * A write that ends in [`Unavailable`](mlops_core::Error::Unavailable) may have taken effect. Artifacts of a refused
///   registration stay until `mlflow gc` removes the deleted run.
#[derive(Clone)]
pub struct MlflowRegistry {
    rest: Rest,
    experiment: String,
    clock: Arc<dyn Clock>,
    poll_interval: Duration,
    shared: Arc<Shared>,
}

/// What clones share.
struct Shared {
    /// Told apart from other processes in what is written.
    writer: String,
    /// Held for writing by who changes something, so that readers see no change half done.
    order: tokio::sync::RwLock<()>,
    /// The highest sequence number that was written or seen.
    sequence: Mutex<u64>,
    /// Grows with every change by this registry.
    changes: tokio::sync::watch::Sender<u64>,
    digests: Digests,
    /// Where the artifacts of versions are, by their names.
    paths: Mutex<HashMap<ModelId, BTreeMap<String, String>>>,
}

impl MlflowRegistry {
    /// The registry of the server at `mlflow+http://host:port` or `mlflow+https://host:port`, perhaps with a path; also
    /// without `mlflow+`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::Error::InvalidInput) when that is no address of a server, or holds credentials.
    pub fn open(url: &str) -> Result<Self> {
        let shared = Shared {
            writer: writing::new_writer(),
            order: tokio::sync::RwLock::default(),
            sequence: Mutex::default(),
            changes: tokio::sync::watch::Sender::new(0),
            digests: Digests::default(),
            paths: Mutex::default(),
        };
        Ok(Self {
            rest: Rest::new(address::parse(url)?)?,
            experiment: EXPERIMENT.to_owned(),
            clock: Arc::new(SystemClock),
            poll_interval: POLL_INTERVAL,
            shared: Arc::new(shared),
        })
    }

    /// Authenticates by a bearer token.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::Error::InvalidInput) when it holds characters that no HTTP header can hold.
    pub fn with_token(mut self, token: impl AsRef<str>) -> Result<Self> {
        self.rest = self.rest.with_credentials(&format!("Bearer {}", token.as_ref()))?;
        Ok(self)
    }

    /// Authenticates by a name and a password, as MLflow's own `--app-name basic-auth` wants it.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::Error::InvalidInput) when the name holds a colon.
    pub fn with_basic_auth(mut self, user: impl AsRef<str>, password: impl AsRef<str>) -> Result<Self> {
        let (user, password) = (user.as_ref(), password.as_ref());
        if user.contains(':') {
            return Err(mlops_core::Error::invalid_input("the name of the user holds a colon"));
        }
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        self.rest = self.rest.with_credentials(&format!("Basic {credentials}"))?;
        Ok(self)
    }

    /// Keeps artifacts in runs of another experiment than `mlops`. It is made if there is none.
    #[must_use]
    pub fn with_experiment(mut self, name: impl Into<String>) -> Self {
        self.experiment = name.into();
        self
    }

    /// Takes the times of history from another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How often [`watch`](Registry::watch) looks for what others do; every five seconds if nothing is said. It reads
    /// all models each time.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }
}

#[async_trait]
impl Registry for MlflowRegistry {
    async fn register(&self, new: NewVersion) -> Result<ModelVersion> {
        registering::register(self, new).await
    }

    async fn resolve(&self, model: &ModelName, selector: &Selector) -> Result<ModelVersion> {
        reading::resolve(self, model, selector).await
    }

    async fn fetch(&self, version: &ModelVersion, artifact: &str) -> Result<Bytes> {
        artifacts::collect(self.fetch_stream(version, artifact).await?).await.map(Bytes::from)
    }

    async fn fetch_stream(&self, version: &ModelVersion, artifact: &str) -> Result<ByteStream> {
        reading::fetch(self, version, artifact).await
    }

    async fn move_alias(&self, change: AliasMove) -> Result<AuditEvent> {
        writing::move_alias(self, change).await
    }

    async fn tag(&self, change: Tagging) -> Result<AuditEvent> {
        writing::tag(self, change).await
    }

    async fn report(&self, report: NewReport) -> Result<AuditEvent> {
        writing::report(self, report).await
    }

    async fn deprecate(&self, change: Deprecation) -> Result<AuditEvent> {
        writing::deprecate(self, change).await
    }

    async fn delete(&self, deletion: Deletion) -> Result<AuditEvent> {
        writing::delete(self, deletion).await
    }

    /// Without those whose names are none here, and without MLflow's prompts.
    async fn models(&self) -> Result<Vec<ModelName>> {
        let models = reading::all(self).await?;
        Ok(models.into_iter().map(|model| model.name).collect())
    }

    async fn versions(&self, model: &ModelName) -> Result<Vec<ModelVersion>> {
        reading::versions(self, model).await
    }

    /// Asks the server for one model or for all of them, and then looks what fits.
    async fn search(&self, query: &Query) -> Result<Vec<ModelVersion>> {
        reading::search(self, query).await
    }

    async fn history(&self, model: &ModelName) -> Result<Vec<AuditEvent>> {
        reading::history(self, model).await
    }

    /// Begins with the time by the clock of this process, or after the last event this registry knows. Changes by this
    /// registry come at once, others when they are looked for. An error is an item of the stream, which then goes on.
    fn watch(&self) -> EventStream {
        watch::events(self.clone())
    }
}

impl fmt::Display for MlflowRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mlflow+{}", self.rest.root().as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for MlflowRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowRegistry").field("server", &self.to_string()).finish_non_exhaustive()
    }
}
