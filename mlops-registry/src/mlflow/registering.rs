//! Registrations: a run for the artifacts, and then the version, with all that is known of it at once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::stream;
use hyper::Method;
use mlops_core::{Artifact, Error, ModelId, ModelName, ModelVersion, NewVersion, Result, Selector};
use semver::Version;
use serde_json::{Value, json};

use super::content::Opened;
use super::document::Registered;
use super::model::{Model, is_taken};
use super::wire::{self, Done};
use super::writing::set_model_tags;
use super::{MlflowRegistry, artifacts, document, events, mlmodel, reading, tags};
use crate::limits;

/// The folder for artifacts, in the run.
const FOLDER: &str = "model";

/// The file by which MLflow knows a model.
const MLMODEL: &str = "MLmodel";

/// Metrics, and parameters, that MLflow takes at once.
const BATCH: usize = 100;

/// How often a version without a number gets another one when another process was faster.
const TRIES: usize = 10;

pub(crate) async fn register(registry: &MlflowRegistry, mut new: NewVersion) -> Result<ModelVersion> {
    limits::check_new(&new)?;
    // Before anything is sent, what can be refused is.
    let known = reading::load(registry, &new.model).await?;
    choose(known.as_ref(), &new)?;
    let mut contents = BTreeMap::new();
    for (name, content) in std::mem::take(&mut new.artifacts) {
        contents.insert(name.clone(), Opened::new(&name, content).await?);
    }
    let run = start_run(registry, &new).await?;
    let registered = register_in(registry, &new, &run, contents).await;
    if registered.as_ref().is_err_and(|error| !error.is_retryable()) {
        // Nobody names it. If it cannot be deleted now, it does no harm.
        let deleted = registry.rest.post::<Done>("runs/delete", &json!({ "run_id": run.info.run_id })).await;
        if let Err(error) = deleted {
            tracing::warn!(run = run.info.run_id, %error, "the run of a refused registration stays");
        }
    }
    let id = registered?;
    registry.shared.changes.send_modify(|changes| *changes += 1);
    tracing::debug!(%id, "registered with MLflow");
    reading::resolve(registry, &id.name, &Selector::Version(id.version)).await
}

async fn register_in(
    registry: &MlflowRegistry,
    new: &NewVersion,
    run: &wire::Run,
    contents: BTreeMap<String, Opened>,
) -> Result<ModelId> {
    let folder = artifacts::folder(&run.info.artifact_uri, registry.rest.root())?;
    let folder = format!("{folder}/{FOLDER}");
    let mut described = BTreeMap::new();
    for (name, content) in contents {
        let size = content.size;
        let (measure, bytes) = content.measured();
        let uploaded = registry.rest.upload(&format!("{folder}/{name}"), size, bytes).await;
        described.insert(name, measure.finish(uploaded)?);
    }
    if !described.contains_key(MLMODEL) {
        let file = mlmodel::file(&new.signature, &registry.clock.now().to_string());
        let (size, file) = (file.len() as u64, stream::iter([Ok(Bytes::from(file))]));
        registry.rest.upload(&format!("{folder}/{MLMODEL}"), size, file).await?;
    }
    log(registry, new, &run.info.run_id).await?;

    let _order = registry.shared.order.write().await;
    let mut tries = 0;
    loop {
        tries += 1;
        match create(registry, new, run, &described).await {
            Err(Error::Conflict { .. }) if new.version.is_none() && tries < TRIES => {}
            done => return done,
        }
    }
}

/// Creates the version. For who holds the order.
async fn create(
    registry: &MlflowRegistry,
    new: &NewVersion,
    run: &wire::Run,
    described: &BTreeMap<String, Artifact>,
) -> Result<ModelId> {
    let name = &new.model;
    let known = reading::settled(registry, name).await?;
    let version = choose(known.as_ref(), new)?;
    let id = ModelId::new(name.clone(), version.clone());
    let now = registry.clock.now().as_millisecond();
    let finished = json!({
        "run_id": run.info.run_id, "status": "FINISHED", "end_time": now, "run_name": id.to_string(),
    });
    registry.rest.post::<Value>("runs/update", &finished).await?;
    match &known {
        Some(known) => registry.keep_guesses(known).await?,
        None => create_model(registry, name).await?,
    }

    let last = known.as_ref().map_or((0, jiff::Timestamp::MIN), Model::last);
    let (sequence, at) = registry.next(last);
    let (writer, actor) = (registry.shared.writer.clone(), new.actor.clone());
    let registered = Registered { sequence, writer, at, actor };
    let body = json!({
        "name": name,
        "source": format!("{}/{FOLDER}", run.info.artifact_uri),
        "run_id": run.info.run_id,
        "description": tags::shortened(&new.description),
        "tags": document::of_new(new, &version, described, &registered)?,
    });
    let created: wire::VersionAnswer = registry.rest.post("model-versions/create", &body).await?;
    let number = created.model_version.version;

    // Another process may have created the same one meanwhile. The lower number counts, for everybody.
    let versions = reading::versions_of(registry, Some(name)).await?;
    let Some(ours) = versions.iter().find(|version| version.version == number) else {
        return Err(Error::conflict(format!("{id} was deleted while it was registered")));
    };
    let rivals =
        versions.iter().filter(|other| other.version.parse::<u64>().ok() < number.parse::<u64>().ok());
    let tagged = rivals.filter_map(|other| other.tags.iter().find(|tag| tag.key == document::VERSION));
    let tagged: BTreeSet<Version> = tagged.filter_map(|tag| tag.value.parse().ok()).collect();
    if is_taken(&tagged, &version) {
        let lost = json!({ "name": name, "version": number });
        registry.rest.send::<Done>(Method::DELETE, "model-versions/delete", &lost).await?;
        return Err(taken(name, &version));
    }
    // The version tells of its registration. The model does, too, so that history survives the version.
    let (Registered { sequence, writer, at, actor }, change) =
        (registered, mlops_core::AuditChange::Registered { version: version.clone() });
    let event = mlops_core::AuditEvent { sequence, at, actor, model: name.clone(), change };
    if let Err(error) = set_model_tags(registry, name, events::tags_of(&event, &writer)?).await {
        tracing::warn!(%id, number = ours.version, %error, "the event of a registration is with the version only");
    }
    Ok(id)
}

/// The version that was asked for, if it may be; else the next major one.
fn choose(known: Option<&Model>, new: &NewVersion) -> Result<Version> {
    let name = &new.model;
    let taken_versions = known.map(Model::taken).unwrap_or_default();
    match &new.version {
        Some(version) if is_taken(&taken_versions, version) => Err(taken(name, version)),
        Some(version) => Ok(version.clone()),
        None => {
            let highest = taken_versions.last().map_or(0, |version| version.major);
            let next = highest
                .checked_add(1)
                .ok_or_else(|| Error::conflict(format!("`{name}` has no major version above {highest}")))?;
            Ok(Version::new(next, 0, 0))
        }
    }
}

fn taken(name: &ModelName, version: &Version) -> Error {
    Error::conflict(format!(
        "{name} {version} is registered already, or was; versions are immutable, and build metadata makes no other one"
    ))
}

async fn create_model(registry: &MlflowRegistry, name: &ModelName) -> Result<()> {
    match registry.rest.post::<Value>("registered-models/create", &json!({ "name": name })).await {
        Err(Error::Conflict { .. }) => {}
        done => return done.map(drop),
    }
    // It was there, with nothing that counts.
    let query = [("name", name.as_str())];
    let answer: wire::RegisteredModelAnswer = registry.rest.get("registered-models/get", &query).await?;
    if reading::is_prompt(&answer.registered_model) {
        return Err(Error::conflict(format!("`{name}` is a prompt of MLflow; give the model another name")));
    }
    Ok(())
}

/// A run for the artifacts of a version.
async fn start_run(registry: &MlflowRegistry, new: &NewVersion) -> Result<wire::Run> {
    let now = registry.clock.now().as_millisecond();
    let body = json!({
        "experiment_id": experiment(registry).await?,
        "run_name": new.model,
        "start_time": now,
        "tags": [
            { "key": "mlflow.user", "value": tags::shortened(&new.actor) },
            { "key": "mlflow.source.name", "value": env!("CARGO_PKG_NAME") },
        ],
    });
    let wire::RunAnswer { run } = registry.rest.post("runs/create", &body).await?;
    Ok(run)
}

/// The experiment for such runs, which is made if it is not there.
async fn experiment(registry: &MlflowRegistry) -> Result<String> {
    let name = registry.experiment.as_str();
    let found = async || {
        let query = [("experiment_name", name)];
        let found: wire::ExperimentAnswer = registry.rest.get("experiments/get-by-name", &query).await?;
        let wire::Experiment { experiment_id, lifecycle_stage } = found.experiment;
        if lifecycle_stage == "deleted" {
            return Err(Error::conflict(format!(
                "the experiment `{name}` was deleted; restore it in MLflow, or give another one by `with_experiment`"
            )));
        }
        Ok(experiment_id)
    };
    match found().await {
        Err(Error::NotFound { .. }) => {}
        found => return found,
    }
    let created =
        registry.rest.post::<wire::ExperimentCreated>("experiments/create", &json!({ "name": name })).await;
    match created {
        // Another process was faster.
        Err(Error::Conflict { .. }) => found().await,
        created => created.map(|created| created.experiment_id),
    }
}

/// Shows metrics and parameters in the run, as far as MLflow takes their names.
async fn log(registry: &MlflowRegistry, new: &NewVersion, run: &str) -> Result<()> {
    let timestamp = registry.clock.now().as_millisecond();
    let metrics = new.metrics.iter().filter(|(name, _)| tags::is_plain_name(name));
    let metrics = metrics
        .map(|(name, value)| json!({ "key": name, "value": value, "timestamp": timestamp, "step": 0 }));
    let parameters = new.parameters.iter().filter(|(name, _)| tags::is_plain_name(name));
    let parameters = parameters.map(|(name, value)| json!({ "key": name, "value": tags::shortened(value) }));
    for (what, all) in [("metrics", metrics.collect::<Vec<_>>()), ("params", parameters.collect())] {
        for batch in all.chunks(BATCH) {
            registry.rest.post::<Done>("runs/log-batch", &json!({ "run_id": run, what: batch })).await?;
        }
    }
    Ok(())
}
