//! Reads: from the answers of the server to versions, histories and bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use mlops_core::{
    AuditEvent, ByteStream, Error, Lineage, ModelId, ModelName, ModelVersion, Query, Result, Selector,
    Signature,
};
use semver::Version;

use super::artifacts::{self, Expected, Stored};
use super::model::{self, Entry, Known, Model, Origin};
use super::{MlflowRegistry, document, wire};
use crate::state::there_are;

/// Versions in one answer, and models.
const PAGE: &str = "500";

/// Questions at once.
const AT_ONCE: usize = 8;

/// How long a difference between our events and what is there must last to count: another process may be about to
/// make it good.
const SETTLING: Duration = Duration::from_millis(300);

/// A tag by which MLflow makes a prompt of a model.
const IS_PROMPT: &str = "mlflow.prompt.is_prompt";

pub(crate) async fn resolve(
    registry: &MlflowRegistry,
    name: &ModelName,
    selector: &Selector,
) -> Result<ModelVersion> {
    let model = existing(registry, name).await?;
    let (version, entry) = model.select(selector)?;
    complete(registry, shallow(registry, &model, version, entry).await?, entry).await
}

pub(crate) async fn versions(registry: &MlflowRegistry, name: &ModelName) -> Result<Vec<ModelVersion>> {
    let model = existing(registry, name).await?;
    let mut versions = Vec::new();
    for (version, entry) in &model.versions {
        let shallow = shallow(registry, &model, version, entry);
        versions.push(async move { complete(registry, shallow.await?, entry).await });
    }
    stream::iter(versions).buffered(AT_ONCE).try_collect().await
}

pub(crate) async fn search(registry: &MlflowRegistry, query: &Query) -> Result<Vec<ModelVersion>> {
    let models = match &query.model {
        Some(name) => load(registry, name).await?.into_iter().collect(),
        None => all(registry).await?,
    };
    // Artifacts do not matter for what fits, and may take long to read.
    let mut candidates = Vec::new();
    for model in &models {
        for (version, entry) in &model.versions {
            if query.after.as_ref().is_none_or(|last| model.id(version) > *last) {
                let shallow = shallow(registry, model, version, entry);
                candidates.push(async move { Result::<_, Error>::Ok((shallow.await?, entry)) });
            }
        }
    }
    let mut candidates = stream::iter(candidates).buffered(AT_ONCE);
    let mut found = Vec::new();
    while found.len() < query.limit.unwrap_or(usize::MAX) {
        let Some((version, entry)) = candidates.try_next().await? else { break };
        if query.matches(&version) {
            found.push(complete(registry, version, entry));
        }
    }
    stream::iter(found).buffered(AT_ONCE).try_collect().await
}

pub(crate) async fn history(registry: &MlflowRegistry, name: &ModelName) -> Result<Vec<AuditEvent>> {
    let order = registry.shared.order.read().await;
    let model = settled(registry, name).await?;
    drop(order);
    let model = model.ok_or_else(|| unknown(name))?;
    let mut events = Vec::with_capacity(model.events.len());
    for known in &model.events {
        events.push(with_actor(registry, &model, known).await?);
    }
    Ok(events)
}

pub(crate) async fn fetch(
    registry: &MlflowRegistry,
    version: &ModelVersion,
    artifact: &str,
) -> Result<ByteStream> {
    let id = &version.id;
    let described = version.artifacts.get(artifact).ok_or_else(|| {
        let known = there_are(version.artifacts.keys());
        Error::not_found(format!("{id} has no artifact `{artifact}`; {known}"))
    })?;
    let what = format!("the artifact `{artifact}` of {id}");
    let read = async |path: &str| {
        let expected = Expected { what: what.clone(), size: described.size, digest: Some(described.digest) };
        artifacts::read(&registry.rest, path, expected).await
    };
    if let Some(path) = known_path(registry, id, artifact) {
        match read(&path).await {
            Err(Error::NotFound { .. }) => {}
            done => return done,
        }
    }
    let model = existing(registry, &id.name).await?;
    let paths = paths(registry, id, model.version(&id.version)?).await?;
    let missing = |path: &str| Error::integrity(format!("{what} should be in {path}, which is missing"));
    let path = paths.get(artifact).ok_or_else(|| missing("the artifacts of MLflow"))?;
    match read(path).await {
        Err(Error::NotFound { .. }) => Err(missing(path)),
        done => done,
    }
}

/// The model, as far as the server knows it.
pub(crate) async fn existing(registry: &MlflowRegistry, name: &ModelName) -> Result<Model> {
    load(registry, name).await?.ok_or_else(|| unknown(name))
}

pub(crate) fn unknown(name: &ModelName) -> Error {
    Error::not_found(format!("no model `{name}`"))
}

/// The model; `None` if there is none. Waits for changes by this registry to be over.
pub(crate) async fn load(registry: &MlflowRegistry, name: &ModelName) -> Result<Option<Model>> {
    let _order = registry.shared.order.read().await;
    read(registry, name).await
}

/// All models, by name. Waits for changes by this registry to be over.
pub(crate) async fn all(registry: &MlflowRegistry) -> Result<Vec<Model>> {
    let _order = registry.shared.order.read().await;
    let mut registered = Vec::new();
    let mut token = String::new();
    loop {
        let mut query = vec![("max_results", PAGE), ("order_by", "name ASC")];
        if !token.is_empty() {
            query.push(("page_token", &token));
        }
        let page: wire::RegisteredModelsPage = registry.rest.get("registered-models/search", &query).await?;
        registered.extend(page.registered_models);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let mut versions: HashMap<String, Vec<wire::Version>> = HashMap::new();
    for version in versions_of(registry, None).await? {
        versions.entry(version.name.clone()).or_default().push(version);
    }
    let mut models = BTreeMap::new();
    for registered in registered {
        let Ok(name) = ModelName::new(&registered.name) else { continue };
        let versions = versions.remove(&registered.name).unwrap_or_default();
        if let Some(model) = Model::read(&name, &registered, versions)?.filter(|_| !is_prompt(&registered)) {
            registry.observe(model.last().0);
            models.insert(name, model);
        }
    }
    Ok(models.into_values().collect())
}

/// The model, with those differences only that last. For who holds the order.
pub(crate) async fn settled(registry: &MlflowRegistry, name: &ModelName) -> Result<Option<Model>> {
    let guessed = |known: &Known| known.origin == Origin::Guessed;
    let Some(first) = read(registry, name).await? else { return Ok(None) };
    if !first.events.iter().any(guessed) {
        return Ok(Some(first));
    }
    tokio::time::sleep(SETTLING).await;
    let Some(mut second) = read(registry, name).await? else { return Ok(None) };
    second.events.retain(|known| !guessed(known) || first.events.contains(known));
    Ok(Some(second))
}

/// The model; `None` if there is none. For who holds the order.
pub(crate) async fn read(registry: &MlflowRegistry, name: &ModelName) -> Result<Option<Model>> {
    // The model comes first: an alias points to a version that was there before.
    let answer = registry.rest.get("registered-models/get", &[("name", name.as_str())]).await;
    let wire::RegisteredModelAnswer { registered_model } = match answer {
        Err(Error::NotFound { .. }) => return Ok(None),
        answer => answer?,
    };
    if is_prompt(&registered_model) {
        return Ok(None);
    }
    let model = Model::read(name, &registered_model, versions_of(registry, Some(name)).await?)?;
    if let Some(model) = &model {
        registry.observe(model.last().0);
    }
    Ok(model)
}

/// The versions of one model, or all of them.
pub(crate) async fn versions_of(
    registry: &MlflowRegistry,
    name: Option<&ModelName>,
) -> Result<Vec<wire::Version>> {
    // Names of models hold no quotes.
    let filter = name.map(|name| format!("name='{name}'"));
    let mut versions = Vec::new();
    let mut token = String::new();
    loop {
        // In an order that does not change meanwhile, for pages are counted.
        let mut query =
            vec![("max_results", PAGE), ("order_by", "name ASC"), ("order_by", "version_number ASC")];
        query.extend(filter.as_deref().map(|filter| ("filter", filter)));
        if !token.is_empty() {
            query.push(("page_token", &token));
        }
        let page: wire::VersionsPage = registry.rest.get("model-versions/search", &query).await?;
        versions.extend(page.model_versions);
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(versions);
        }
    }
}

/// An event with the name of who did it: of registrations by MLflow's own clients only the run knows.
pub(crate) async fn with_actor(
    registry: &MlflowRegistry,
    model: &Model,
    known: &Known,
) -> Result<AuditEvent> {
    let mut event = known.event.clone();
    let registered = model.versions.values().find(|entry| known.writer == format!("mlflow-{}", entry.number));
    if let Some(entry) = registered.filter(|_| known.origin == Origin::Told && event.actor.is_empty()) {
        event.actor = user(&run(registry, entry).await?);
    }
    Ok(event)
}

/// A version without its artifacts and its signature, if reading those takes more than the tags of the version.
async fn shallow(
    registry: &MlflowRegistry,
    model: &Model,
    version: &Version,
    entry: &Entry,
) -> Result<ModelVersion> {
    let id = model.id(version);
    let aliases = model.aliases_of(version);
    if entry.registered.is_some() {
        return document::read_version(&id, &entry.tags, aliases);
    }
    let run = run(registry, entry).await?;
    let mut lineage = Lineage::default();
    lineage.run = (!entry.wire.run_id.is_empty()).then(|| entry.wire.run_id.clone());
    lineage.code =
        run.tags.iter().find(|tag| tag.key == "mlflow.source.git.commit").map(|tag| tag.value.clone());
    let finite = |metric: &wire::Metric| metric.value.as_f64().filter(|value| value.is_finite());
    let mut version = ModelVersion {
        id,
        signature: Signature::new([], [])?,
        artifacts: BTreeMap::new(),
        metrics: run.metrics.iter().filter_map(|of| Some((of.key.clone(), finite(of)?))).collect(),
        parameters: run.params.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
        tags: BTreeMap::new(),
        description: entry.wire.description.clone(),
        lineage,
        registered_at: model::created(&entry.wire),
        registered_by: if entry.wire.user_id.is_empty() { user(&run) } else { entry.wire.user_id.clone() },
        aliases: aliases.collect(),
        reports: Vec::new(),
        approvals: Vec::new(),
        deprecated: None,
    };
    document::add_changing(&mut version, &entry.tags)?;
    Ok(version)
}

/// Adds what [`shallow`] leaves out.
async fn complete(
    registry: &MlflowRegistry,
    mut version: ModelVersion,
    entry: &Entry,
) -> Result<ModelVersion> {
    if entry.registered.is_some() {
        return Ok(version);
    }
    let files = match files(registry, entry).await {
        // Where only MLflow's own clients find them. The rest of the version is of use all the same.
        Err(Error::Unsupported { what }) => {
            tracing::warn!(version = %version.id, what, "the artifacts of a version are out of reach");
            return Ok(version);
        }
        files => files?,
    };
    version.artifacts = registry.shared.digests.of(&registry.rest, &files).await?;
    if let Some(signature) = artifacts::signature(&registry.rest, &files).await? {
        version.signature = signature;
    }
    let paths = files.into_iter().map(|(name, file)| (name, file.path)).collect();
    registry.shared.paths.lock().unwrap_or_else(PoisonError::into_inner).insert(version.id.clone(), paths);
    Ok(version)
}

/// Where the artifacts of a version are.
async fn paths(registry: &MlflowRegistry, id: &ModelId, entry: &Entry) -> Result<BTreeMap<String, String>> {
    let paths: BTreeMap<_, _> = if entry.registered.is_some() {
        let version = document::read_version(id, &entry.tags, [])?;
        let folder = artifacts::folder(&entry.wire.source, registry.rest.root())?;
        version.artifacts.into_keys().map(|name| (name.clone(), format!("{folder}/{name}"))).collect()
    } else {
        files(registry, entry).await?.into_iter().map(|(name, file)| (name, file.path)).collect()
    };
    registry.shared.paths.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), paths.clone());
    Ok(paths)
}

fn known_path(registry: &MlflowRegistry, id: &ModelId, artifact: &str) -> Option<String> {
    let paths = registry.shared.paths.lock().unwrap_or_else(PoisonError::into_inner);
    paths.get(id)?.get(artifact).cloned()
}

/// The files of a version of MLflow's own clients.
async fn files(registry: &MlflowRegistry, entry: &Entry) -> Result<BTreeMap<String, Stored>> {
    let query = [("name", entry.wire.name.as_str()), ("version", entry.wire.version.as_str())];
    let place: wire::DownloadUri = registry.rest.get("model-versions/get-download-uri", &query).await?;
    let folder = artifacts::folder(&place.artifact_uri, registry.rest.root())?;
    artifacts::stored(&registry.rest, &folder).await
}

/// What the run of a version has logged; nothing if there is no run, or none any more.
async fn run(registry: &MlflowRegistry, entry: &Entry) -> Result<wire::RunData> {
    if entry.wire.run_id.is_empty() {
        return Ok(wire::RunData::default());
    }
    let answer = registry.rest.get("runs/get", &[("run_id", &entry.wire.run_id)]).await;
    match answer {
        Err(Error::NotFound { .. } | Error::InvalidInput(_)) => Ok(wire::RunData::default()),
        answer => answer.map(|wire::RunAnswer { run }| run.data),
    }
}

fn user(run: &wire::RunData) -> String {
    run.tags.iter().find(|tag| tag.key == "mlflow.user").map(|tag| tag.value.clone()).unwrap_or_default()
}

pub(crate) fn is_prompt(registered: &wire::RegisteredModel) -> bool {
    registered.tags.iter().any(|tag| tag.key == IS_PROMPT && tag.value.eq_ignore_ascii_case("true"))
}
