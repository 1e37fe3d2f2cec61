//! What each command does.

use std::path::Path;
use std::time::Duration;

use mlops_core::{
    AliasMove, AuditChange, Content, Deletion, Deprecation, Engine, Lineage, ModelId, NewReport, NewVersion,
    Protection, Query, Registry, Rollback, Signature, Tagging,
};
use mlops_registry::runs::Comparison;
use mlops_registry::{
    GarbageCollection, GarbageKind, LineageGraph, NewApproval, ObjectStoreRegistry, Protecting, Transfer,
    model_card, transfer,
};
use mlops_serve::engine::Device;
use mlops_serve::engine::onnx::{OnnxEngine, OnnxOptions};
use serde_json::json;

use super::arguments::{Arguments, Command, Register, Search};
use super::show::{Show, aliases, table};
use crate::registries::{self, Opened};

type Failure = Box<dyn std::error::Error>;

/// Whether all is well.
pub async fn run(opened: Opened, arguments: Arguments) -> Result<bool, Failure> {
    let Arguments { json, by, command, registry: url } = arguments;
    let (show, registry) = (Show { json }, &*opened.registry);
    match command {
        Command::Register(register) => {
            let mut version = registry.register(new_version(&register, &by)?).await?;
            for alias in register.alias {
                let model = version.id.name.clone();
                let change = AliasMove::new(model, alias.clone(), version.id.version.clone()).by(&by);
                registry.move_alias(change.because("registered so")).await?;
                version.aliases.insert(alias);
            }
            show.answer(&version, || println!("registered {} {}", version.id, aliases(&version)))?;
        }
        Command::List => list(registry, show).await?,
        Command::Show { name, version: None, .. } => show.versions(&registry.versions(&name).await?)?,
        Command::Show { name, version: Some(selector), card } => {
            let version = registry.resolve(&name, &selector).await?;
            if card {
                print!("{}", model_card(&version));
            } else {
                show.version(&version)?;
            }
        }
        Command::Promote { name, version, alias, from, because } => {
            let mut change = AliasMove::new(name, alias, version).by(by).because(because);
            change.expected = from.map(Some);
            show.event(&registry.move_alias(change).await?)?;
        }
        Command::Rollback { name, alias, because } => {
            let back = Rollback::new(name, alias).by(by).because(because);
            show.event(&registry.rollback(back).await?)?;
        }
        Command::History { name, alias: Some(alias), at: Some(at) } => {
            let version = registry.alias_at(&name, &alias, at).await?;
            show.answer(&version, || match &version {
                Some(version) => println!("{version}"),
                None => println!("nowhere"),
            })?;
        }
        Command::History { name, alias, .. } => {
            let mut events = registry.history(&name).await?;
            if let Some(wanted) = alias {
                events.retain(
                    |event| matches!(&event.change, AuditChange::AliasMoved { alias, .. } if *alias == wanted),
                );
            }
            show.events(&events)?;
        }
        Command::Search(search) => show.versions(&registry.search(&query(search)).await?)?,
        Command::Fetch { name, version, artifact, to } => {
            let version = registry.resolve(&name, &version).await?;
            transfer::download(registry, &version, &artifact, &to).await?;
            let described = version.artifacts[&artifact];
            show.answer(&described, || println!("{} bytes, {}", described.size, described.digest))?;
        }
        Command::Tag { name, version, tag, value } => {
            let id = ModelId::new(name, version);
            let change = match value {
                Some(value) => Tagging::set(id, tag, value),
                None => Tagging::remove(id, tag),
            };
            show.event(&registry.tag(change.by(by)).await?)?;
        }
        Command::Report { name, version, gate, passed, metric, summary } => {
            let report =
                NewReport::gate(ModelId::new(name, version), gate, passed).with_summary(summary).by(by);
            let report =
                metric.into_iter().fold(report, |report, pair| report.with_metric(pair.name, pair.value));
            show.event(&registry.report(report).await?)?;
        }
        Command::Approve { name, version, alias, because } => {
            let approval = NewApproval::new(ModelId::new(name, version), alias, by).because(because);
            show.event(&ours(&opened, &url)?.approve(approval).await?)?;
        }
        Command::Protect { name, alias, approvals, passed_gate } => {
            let mut protection = Protection::default().with_approvals(approvals);
            protection.passed_gate = passed_gate;
            let change = match protection == Protection::default() {
                true => Protecting::lifted(name, alias),
                false => Protecting::new(name, alias, protection),
            };
            show.event(&ours(&opened, &url)?.protect(change.by(by)).await?)?;
        }
        Command::Deprecate { name, version, because } => {
            let id = ModelId::new(name, version);
            let change = because.map_or_else(
                || Deprecation::withdrawn(id.clone()),
                |because| Deprecation::new(id.clone(), because),
            );
            show.event(&registry.deprecate(change.by(by)).await?)?;
        }
        Command::Delete { name, version, because } => {
            let deletion = Deletion::new(ModelId::new(name, version)).by(by).because(because);
            show.event(&registry.delete(deletion).await?)?;
        }
        Command::Lineage { name, version } => {
            let (graph, id) = (LineageGraph::of(&opened.registry).await?, ModelId::new(name, version));
            let (up, down) = (graph.ancestors(&id), graph.descendants(&id));
            show.answer(&json!({ "ancestors": up, "descendants": down }), || {
                up.iter().for_each(|id| println!("made from {id}"));
                down.iter().for_each(|id| println!("became    {id}"));
            })?;
        }
        Command::Runs { experiment } => {
            let runs = ours(&opened, &url)?.runs(experiment.as_deref()).await?;
            let Comparison { columns, rows, .. } = Comparison::of(&runs);
            let columns: Vec<_> = columns.iter().map(String::as_str).collect();
            show.answer(&runs, || table(&columns, rows))?;
        }
        Command::Verify => return Err("a registry is verified without being opened".into()),
        Command::Gc { dry_run, grace } => {
            let mut options =
                GarbageCollection::default().with_grace(Duration::try_from_secs_f64(grace * 3600.0)?).by(by);
            options.dry_run = dry_run;
            collect(ours(&opened, &url)?, options, show).await?;
        }
        Command::Export { name, version, to, layout } => {
            let ids = [ModelId::new(name, version)];
            let exported = match layout {
                true => transfer::export_layout(registry, &ids, &to).await?,
                false => transfer::export_file(registry, &ids, &to).await?,
            };
            let manifests: Vec<_> = exported.iter().map(|exported| exported.manifest.to_string()).collect();
            show.answer(&json!({ "exported": ids, "to": to, "manifests": manifests }), || {
                println!("{} is in {}: {}", ids[0], to.display(), manifests.join(", "));
            })?;
        }
        Command::Import { from } => {
            let import = transfer::Import::new().by(by);
            let arrivals = match from.is_dir() {
                true => transfer::import_layout(registry, &from, &import).await?,
                false => transfer::import_file(registry, &from, &import).await?,
            };
            arrived(&arrivals, show)?;
        }
        Command::Copy { name, version, to } => {
            let target = registries::open(&to, |_| {}).await?;
            let (id, copying) = (ModelId::new(name, version), transfer::Copying::by(by));
            arrived(&[transfer::copy(&opened.registry, &*target.registry, &id, &copying).await?], show)?;
        }
    }
    Ok(true)
}

/// What only our own registries can do.
fn ours<'a>(opened: &'a Opened, url: &str) -> Result<&'a ObjectStoreRegistry, Failure> {
    opened.store.as_ref().ok_or_else(|| not_ours(url))
}

fn not_ours(url: &str) -> Failure {
    format!("{url} is no registry of ours, and cannot do this").into()
}

fn new_version(register: &Register, by: &str) -> Result<NewVersion, Failure> {
    let mut lineage = Lineage::default();
    lineage.code.clone_from(&register.code);
    lineage.run.clone_from(&register.run);
    lineage.parents = register.parent.iter().map(|parent| parent.0.clone()).collect();
    let mut new = NewVersion::new(register.name.clone(), signature(register)?)
        .with_description(&register.description)
        .with_lineage(lineage)
        .by(by);
    new.version.clone_from(&register.version);
    for pair in &register.artifact {
        new = new.with_artifact(&pair.name, Content::file(&pair.value));
    }
    new.metrics.extend(register.metric.iter().map(|pair| (pair.name.clone(), pair.value)));
    new.parameters.extend(register.parameter.iter().map(|pair| (pair.name.clone(), pair.value.clone())));
    new.tags.extend(register.tag.iter().map(|pair| (pair.name.clone(), pair.value.clone())));
    Ok(new)
}

/// From its file, or from the only ONNX file; otherwise that of a model nothing is known of.
fn signature(register: &Register) -> Result<Signature, Failure> {
    if let Some(file) = &register.signature {
        return Ok(serde_json::from_slice(&std::fs::read(file)?)?);
    }
    let onnx = |path: &Path| path.extension().is_some_and(|extension| extension == "onnx");
    let mut files = register.artifact.iter().map(|pair| pair.value.as_path()).filter(|path| onnx(path));
    match (files.next(), files.next()) {
        (Some(file), None) => {
            let engine = OnnxEngine::load_file(file, Device::Cpu, &OnnxOptions::default())?;
            Ok(engine.signature().clone())
        }
        _ => Ok(Signature::new([], [])?),
    }
}

fn query(search: Search) -> Query {
    let mut query = Query::new();
    query.model = search.model;
    query.tags.extend(search.tag.into_iter().map(|pair| (pair.name, pair.value)));
    query.metrics = search.metric;
    query.alias = search.alias;
    query.text = search.text;
    query.registered_from = search.from;
    query.registered_before = search.before;
    query.limit = search.limit;
    query.after = search.after.map(|after| after.0);
    query
}

async fn list(registry: &dyn Registry, show: Show) -> Result<(), Failure> {
    let mut models = Vec::new();
    for name in registry.models().await? {
        let versions = registry.versions(&name).await?;
        let aliases: Vec<_> = versions
            .iter()
            .flat_map(|version| {
                version.aliases.iter().map(|alias| format!("@{alias} {}", version.id.version))
            })
            .collect();
        let latest = versions.last().map(|version| version.id.version.to_string()).unwrap_or_default();
        models.push((name, versions.len(), latest, aliases));
    }
    let json: Vec<_> = models
        .iter()
        .map(|(name, versions, highest, aliases)| {
            json!({ "name": name, "versions": versions, "highest": highest, "aliases": aliases })
        })
        .collect();
    show.answer(&json, || {
        let rows = models.iter().map(|(name, versions, highest, aliases)| {
            vec![name.to_string(), versions.to_string(), highest.clone(), aliases.join(", ")]
        });
        table(&["model", "versions", "highest", "aliases"], rows);
    })
}

/// Proves a registry, in whatever state it is; whether all is well.
pub async fn verify(
    arguments: &Arguments,
    progress: impl Fn(Transfer) + Send + Sync + 'static,
) -> Result<bool, Failure> {
    let (show, url) = (Show { json: arguments.json }, &arguments.registry);
    if url.starts_with("mlflow+") {
        return Err(not_ours(url));
    }
    let found = ObjectStoreRegistry::verify_url(url, progress).await?;
    let faults: Vec<_> =
        found.faults.iter().map(|fault| json!({ "file": fault.file, "what": fault.what })).collect();
    let answer = json!({
        "transitions": found.transitions,
        "versions": found.versions,
        "blobs": found.blobs,
        "bytes": found.bytes,
        "head": found.head,
        "faults": faults,
    });
    show.answer(&answer, || {
        found.faults.iter().for_each(|fault| println!("WRONG {fault}"));
        let verdict =
            if found.is_clean() { "all is well".to_owned() } else { format!("{} faults", faults.len()) };
        println!(
            "{verdict}: {} transitions, {} versions, {} blobs of {} bytes",
            found.transitions, found.versions, found.blobs, found.bytes
        );
    })?;
    Ok(found.is_clean())
}

async fn collect(
    registry: &ObjectStoreRegistry,
    options: GarbageCollection,
    show: Show,
) -> Result<(), Failure> {
    let dry_run = options.dry_run;
    let garbage = registry.collect_garbage(options).await?;
    let kind = |kind| match kind {
        GarbageKind::Blob(_) => "blob",
        GarbageKind::Checkpoint => "checkpoint",
        GarbageKind::Unfinished => "unfinished",
        _ => "other",
    };
    let files: Vec<_> = garbage
        .files
        .iter()
        .map(|file| json!({ "path": file.path, "size": file.size, "kind": kind(file.kind) }))
        .collect();
    show.answer(&json!({ "dry_run": dry_run, "bytes": garbage.bytes(), "files": files }), || {
        let rows = garbage.files.iter();
        table(
            &["file", "bytes", "kind"],
            rows.map(|file| vec![file.path.clone(), file.size.to_string(), kind(file.kind).to_owned()]),
        );
        let verb = if dry_run { "would free" } else { "freed" };
        println!("{verb} {} bytes in {} files", garbage.bytes(), garbage.files.len());
    })
}

fn arrived(arrivals: &[transfer::Arrival], show: Show) -> Result<(), Failure> {
    let json: Vec<_> = arrivals
        .iter()
        .map(|arrival| json!({ "version": arrival.version, "was_there": arrival.was_there }))
        .collect();
    show.answer(&json, || {
        for arrival in arrivals {
            let verb = if arrival.was_there { "was there already" } else { "registered" };
            println!("{} {verb}", arrival.version.id);
        }
    })
}
