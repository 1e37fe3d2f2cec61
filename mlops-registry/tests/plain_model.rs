//! Whatever is done in whatever order: the registry answers as a plain model of it does, and so do one that is opened
//! from a checkpoint and one that knows the log only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{at_once, everything, name, new, next, v};
use futures_util::TryStreamExt;
use mlops_core::{
    Alias, AliasMove, Deletion, Deprecation, Digest, ModelId, NewReport, Protection, Query, Registry, Result,
    Rollback, Selector, Tagging,
};
use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::reexports::object_store::{ObjectStore, ObjectStoreExt};
use mlops_registry::runs::{NewRun, RunId, RunStatus};
use mlops_registry::{NewApproval, ObjectStoreRegistry, Protecting};
use proptest::prelude::*;
use semver::Version;

const MODELS: [&str; 2] = ["fraud", "digits"];
const VERSIONS: [&str; 4] = ["1.0.0", "2.0.0-rc.1", "1.5.0", "2.0.0"];
const NAMES: [&str; 2] = ["champion", "candidate"];

/// An index into `VERSIONS`, of a version of a model.
type Id = (usize, usize);

#[derive(Debug, Clone)]
enum Step {
    Register { model: usize, version: Option<usize>, content: u8 },
    Move { model: usize, alias: usize, to: Option<usize>, expected: Option<Option<usize>> },
    Rollback { model: usize, alias: usize },
    Tag { id: Id, tag: usize, value: Option<u8> },
    Report { id: Id, report: usize, passed: Option<bool> },
    Approve { id: Id, alias: usize, by: usize },
    Protect { model: usize, alias: usize, protection: Option<(u32, bool)> },
    Sign { id: Id },
    Deprecate { id: Id, reason: Option<u8> },
    Delete { id: Id },
    Start,
    Log { run: usize, value: u8 },
    TagRun { run: usize, tag: usize, value: u8 },
    Attach { run: usize, name: usize, content: u8 },
    Finish { run: usize },
    Checkpoint,
    Collect,
    Reopen,
}

#[derive(Debug, Default)]
struct Plain {
    models: BTreeMap<usize, PlainModel>,
    runs: Vec<PlainRun>,
}

#[derive(Debug, Default)]
struct PlainModel {
    versions: BTreeMap<Version, PlainVersion>,
    deleted: BTreeSet<Version>,
    aliases: BTreeMap<usize, Version>,
    held: BTreeSet<(usize, Version)>,
    /// Of each alias, the versions it came along.
    paths: BTreeMap<usize, Vec<Version>>,
    protections: BTreeMap<usize, (u32, bool)>,
    changes: usize,
}

#[derive(Debug, Default)]
struct PlainVersion {
    content: u8,
    tags: BTreeMap<usize, u8>,
    reports: Vec<(usize, Option<bool>)>,
    approvals: Vec<(usize, usize)>,
    signed: bool,
    deprecated: Option<u8>,
}

#[derive(Debug, Default)]
struct PlainRun {
    points: Vec<u8>,
    tags: BTreeMap<usize, u8>,
    artifacts: BTreeMap<usize, u8>,
    ended: bool,
}

impl Plain {
    /// The label of the error, or `ok`.
    fn take(&mut self, step: &Step) -> &'static str {
        match *step {
            Step::Start => self.runs.push(PlainRun::default()),
            Step::Log { run, .. }
            | Step::TagRun { run, .. }
            | Step::Attach { run, .. }
            | Step::Finish { run } => {
                let Some(run) = self.runs.get_mut(run) else { return "not_found" };
                return run.take(step);
            }
            Step::Checkpoint | Step::Collect | Step::Reopen => {}
            Step::Register { model, version, content } => {
                return self.models.entry(model).or_default().register(version, content);
            }
            Step::Move { model, .. } | Step::Rollback { model, .. } | Step::Protect { model, .. } => {
                let Some(model) = self.models.get_mut(&model) else { return "not_found" };
                return model.take(step);
            }
            Step::Tag { id: (model, version), .. }
            | Step::Report { id: (model, version), .. }
            | Step::Approve { id: (model, version), .. }
            | Step::Sign { id: (model, version) }
            | Step::Deprecate { id: (model, version), .. }
            | Step::Delete { id: (model, version) } => {
                let Some(model) = self.models.get_mut(&model) else { return "not_found" };
                return model.change(&v(VERSIONS[version]), step);
            }
        }
        "ok"
    }

    /// Everything, as text.
    fn told(&self) -> Vec<String> {
        let mut models: Vec<_> = self.models.iter().collect();
        models.sort_by_key(|(model, _)| MODELS[**model]);
        let mut told: Vec<String> =
            models.into_iter().flat_map(|(model, plain)| plain.told(MODELS[*model])).collect();
        told.extend(self.runs.iter().map(|run| {
            let artifacts: BTreeMap<_, _> =
                run.artifacts.iter().map(|(name, content)| (NAMES[*name], Digest::of(&[*content]))).collect();
            format!("{:?} {:?} {artifacts:?} {}", run.points, named(&run.tags), run.ended)
        }));
        told
    }
}

impl PlainModel {
    fn register(&mut self, version: Option<usize>, content: u8) -> &'static str {
        let known = self.versions.keys().chain(&self.deleted);
        let next = known.map(|version| version.major).max().unwrap_or(0) + 1;
        let version = version.map_or(Version::new(next, 0, 0), |version| v(VERSIONS[version]));
        if self.versions.contains_key(&version) || self.deleted.contains(&version) {
            return "conflict";
        }
        self.versions.insert(version, PlainVersion { content, ..PlainVersion::default() });
        self.changes += 1;
        "ok"
    }

    fn take(&mut self, step: &Step) -> &'static str {
        match *step {
            Step::Move { alias, to, expected, .. } => {
                let to = to.map(|to| v(VERSIONS[to]));
                if to.as_ref().is_some_and(|to| !self.versions.contains_key(to)) {
                    return "not_found";
                }
                let expected = expected.map(|expected| expected.map(|version| v(VERSIONS[version])));
                if expected.is_some_and(|expected| expected != self.aliases.get(&alias).cloned()) {
                    return "conflict";
                }
                return self.move_alias(alias, to);
            }
            Step::Rollback { alias, .. } => {
                let back = if self.aliases.contains_key(&alias) { 2 } else { 1 };
                let path = self.paths.entry(alias).or_default();
                let Some(previous) = path.len().checked_sub(back).map(|at| path[at].clone()) else {
                    return "conflict";
                };
                return self.move_alias(alias, Some(previous));
            }
            Step::Protect { alias, protection: Some(protection), .. } => {
                self.protections.insert(alias, protection);
            }
            Step::Protect { alias, .. } => drop(self.protections.remove(&alias)),
            _ => unreachable!("{step:?}"),
        }
        self.changes += 1;
        "ok"
    }

    fn move_alias(&mut self, alias: usize, to: Option<Version>) -> &'static str {
        let Some(to) = to else {
            if self.aliases.remove(&alias).is_none() {
                return "not_found";
            }
            self.changes += 1;
            return "ok";
        };
        if !self.held.contains(&(alias, to.clone())) {
            let (version, (approvals, gate)) =
                (&self.versions[&to], self.protections.get(&alias).copied().unwrap_or_default());
            let approved = version.approvals.iter().filter(|(approved, _)| *approved == alias);
            let people: BTreeSet<_> = approved.map(|(_, by)| by).collect();
            let mut gates = BTreeMap::new();
            gates.extend(version.reports.iter().filter_map(|(report, passed)| Some((report, (*passed)?))));
            if people.len() < approvals as usize
                || gate && (gates.is_empty() || !gates.values().all(|passed| *passed))
            {
                return "permission_denied";
            }
        }
        let path = self.paths.entry(alias).or_default();
        match path.iter().position(|passed| *passed == to) {
            Some(at) => path.truncate(at + 1),
            None => path.push(to.clone()),
        }
        self.held.insert((alias, to.clone()));
        self.aliases.insert(alias, to);
        self.changes += 1;
        "ok"
    }

    fn change(&mut self, number: &Version, step: &Step) -> &'static str {
        let Some(version) = self.versions.get_mut(number) else { return "not_found" };
        match *step {
            Step::Tag { tag, value: Some(value), .. } => drop(version.tags.insert(tag, value)),
            Step::Tag { tag, .. } if version.tags.remove(&tag).is_none() => return "not_found",
            Step::Tag { .. } => {}
            Step::Report { report, passed, .. } => version.reports.push((report, passed)),
            Step::Approve { alias, by, .. } => version.approvals.push((alias, by)),
            Step::Sign { .. } if !cfg!(feature = "sign") => return "ok",
            Step::Sign { .. } if version.signed => return "conflict",
            Step::Sign { .. } => version.signed = true,
            Step::Deprecate { reason: None, .. } if version.deprecated.is_none() => return "not_found",
            Step::Deprecate { reason, .. } => version.deprecated = reason,
            Step::Delete { .. } if self.aliases.values().any(|to| to == number) => return "conflict",
            Step::Delete { .. } => {
                self.versions.remove(number);
                self.deleted.insert(number.clone());
                self.paths.values_mut().for_each(|path| path.retain(|passed| passed != number));
            }
            _ => unreachable!("{step:?}"),
        }
        self.changes += 1;
        "ok"
    }

    fn told(&self, model: &str) -> Vec<String> {
        let of_version = |(number, version): (&Version, &PlainVersion)| {
            let here = self.aliases.iter().filter(|(_, to)| *to == number);
            let aliases: BTreeSet<_> = here.map(|(alias, _)| NAMES[*alias]).collect();
            let reports: Vec<_> =
                version.reports.iter().map(|(name, passed)| (NAMES[*name], passed)).collect();
            let approvals: Vec<_> =
                version.approvals.iter().map(|(alias, by)| (NAMES[*alias], by.to_string())).collect();
            format!(
                "{model} {number} {} {:?} {aliases:?} {reports:?} {approvals:?} {:?} of {} changes",
                version.content,
                named(&version.tags),
                version.deprecated.map(|reason| reason.to_string()),
                self.changes
            )
        };
        self.versions.iter().map(of_version).collect()
    }
}

impl PlainRun {
    fn take(&mut self, step: &Step) -> &'static str {
        match *step {
            _ if self.ended => return "conflict",
            Step::Log { value, .. } => self.points.push(value),
            Step::TagRun { tag, value, .. } => drop(self.tags.insert(tag, value)),
            Step::Attach { name, .. } if self.artifacts.contains_key(&name) => return "conflict",
            Step::Attach { name, content, .. } => drop(self.artifacts.insert(name, content)),
            _ => self.ended = true,
        }
        "ok"
    }
}

fn named(tags: &BTreeMap<usize, u8>) -> BTreeMap<&'static str, String> {
    tags.iter().map(|(tag, value)| (NAMES[*tag], value.to_string())).collect()
}

/// The registry, open twice.
struct Real {
    store: Arc<InMemory>,
    open: [ObjectStoreRegistry; 2],
    runs: Vec<RunId>,
}

impl Real {
    async fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let open = [open(&store).await, open(&store).await];
        Self { store, open, runs: Vec::new() }
    }

    async fn take(&mut self, which: usize, step: &Step) -> &'static str {
        let result = self.try_take(which, step).await;
        result.map_or_else(|error| error.label(), |()| "ok")
    }

    async fn try_take(&mut self, which: usize, step: &Step) -> Result<()> {
        let registry = self.open[which].clone();
        let alias = |alias: usize| Alias::new(NAMES[alias]).unwrap();
        let of = |(model, version): Id| ModelId::new(name(MODELS[model]), v(VERSIONS[version]));
        let event = match *step {
            Step::Register { model, version, content } => {
                let version =
                    version.map_or_else(|| next(MODELS[model]), |at| new(MODELS[model], VERSIONS[at]));
                return registry.register(version.with_artifact("w", vec![content])).await.map(drop);
            }
            Step::Move { model, alias: which, to, expected } => {
                let model = name(MODELS[model]);
                let mut change = match to {
                    Some(to) => AliasMove::new(model, alias(which), v(VERSIONS[to])),
                    None => AliasMove::removal(model, alias(which)),
                };
                change.expected = expected.map(|expected| expected.map(|version| v(VERSIONS[version])));
                registry.move_alias(change).await
            }
            Step::Rollback { model, alias: which } => {
                registry.rollback(Rollback::new(name(MODELS[model]), alias(which))).await
            }
            Step::Tag { id, tag, value } => {
                let change = match value {
                    Some(value) => Tagging::set(of(id), NAMES[tag], value.to_string()),
                    None => Tagging::remove(of(id), NAMES[tag]),
                };
                registry.tag(change).await
            }
            Step::Report { id, report, passed } => {
                let mut new = NewReport::evaluation(of(id), NAMES[report]);
                new.passed = passed;
                registry.report(new.with_metric("auc", 0.1)).await
            }
            Step::Approve { id, alias: which, by } => {
                registry.approve(NewApproval::new(of(id), alias(which), by.to_string())).await
            }
            Step::Protect { model, alias: which, protection } => {
                let mut change = Protecting::lifted(name(MODELS[model]), alias(which));
                change.protection = protection.map(|(approvals, gate)| {
                    let protection = Protection::default().with_approvals(approvals);
                    if gate { protection.with_passed_gate() } else { protection }
                });
                registry.protect(change).await
            }
            #[cfg(feature = "sign")]
            Step::Sign { id } => {
                let key = mlops_registry::SigningKey::from_secret(&"7f".repeat(32)).unwrap();
                registry.sign(&of(id), &key, "ci").await
            }
            #[cfg(not(feature = "sign"))]
            Step::Sign { id } => {
                return registry.resolve(&of(id).name, &of(id).version.into()).await.map(drop);
            }
            Step::Deprecate { id, reason: Some(reason) } => {
                registry.deprecate(Deprecation::new(of(id), reason.to_string())).await
            }
            Step::Deprecate { id, .. } => registry.deprecate(Deprecation::withdrawn(of(id))).await,
            Step::Delete { id } => registry.delete(Deletion::new(of(id))).await,
            Step::Start => {
                let run = registry.start_run(NewRun::new("e")).await?;
                self.runs.push(run.id());
                return Ok(());
            }
            Step::Log { run, .. }
            | Step::TagRun { run, .. }
            | Step::Attach { run, .. }
            | Step::Finish { run } => {
                let missing = || "run-999999".parse().unwrap();
                let id = self.runs.get(run).copied().unwrap_or_else(missing);
                let mut run = registry.resume_run(id, "ci").await?;
                return match *step {
                    Step::Log { value, .. } => {
                        run.log("loss", 0, f64::from(value)).await?;
                        run.flush().await
                    }
                    Step::TagRun { tag, value, .. } => run.tag(NAMES[tag], value.to_string()).await,
                    Step::Attach { name, content, .. } => run.attach(NAMES[name], vec![content]).await,
                    _ => run.finish(RunStatus::Finished).await.map(drop),
                };
            }
            Step::Checkpoint => return registry.checkpoint().await.map(drop),
            Step::Collect => return registry.collect_garbage(at_once()).await.map(drop),
            Step::Reopen => {
                self.open[which] = open(&self.store).await;
                return Ok(());
            }
        };
        // What is acknowledged is in history, for whoever asks.
        let event = event?;
        let history = self.open[1 - which].history(&event.model).await?;
        assert_eq!(history.last(), Some(&event));
        Ok(())
    }
}

async fn open(store: &Arc<InMemory>) -> ObjectStoreRegistry {
    ObjectStoreRegistry::open(store.clone(), "r").await.unwrap()
}

/// As the log alone says it is.
async fn replayed(store: &InMemory) -> ObjectStoreRegistry {
    let log = Arc::new(store.fork());
    let files: Vec<_> = log.list(Some(&"r/checkpoints".into())).try_collect().await.unwrap();
    for file in files {
        log.delete(&file.location).await.unwrap();
    }
    open(&log).await
}

async fn told(registry: &ObjectStoreRegistry, runs: &[RunId]) -> Vec<String> {
    let mut told = Vec::new();
    for version in registry.search(&Query::new()).await.unwrap() {
        let aliases: BTreeSet<_> = version.aliases.iter().map(Alias::as_str).collect();
        let reports: Vec<_> =
            version.reports.iter().map(|report| (report.name.as_str(), &report.passed)).collect();
        let approvals = version.approvals.iter();
        let approvals: Vec<_> = approvals.map(|approval| (approval.alias.as_str(), &approval.by)).collect();
        let changes = registry.history(&version.id.name).await.unwrap().len();
        told.push(format!(
            "{} {} {:?} {aliases:?} {reports:?} {approvals:?} {:?} of {changes} changes",
            version.id,
            registry.fetch(&version, "w").await.unwrap()[0],
            version.tags,
            version.deprecated,
        ));
    }
    for id in runs {
        let run = registry.run(*id).await.unwrap();
        let points = match run.metrics.contains_key("loss") {
            true => registry.metric_points(*id, "loss").await.unwrap(),
            false => Vec::new(),
        };
        assert_eq!(run.metrics.get("loss").map_or(0, |loss| loss.count), points.len() as u64);
        let points: Vec<_> = points.iter().map(|point| point.value as u8).collect();
        let artifacts: BTreeMap<_, _> =
            run.artifacts.iter().map(|(name, artifact)| (name.as_str(), artifact.digest)).collect();
        told.push(format!("{points:?} {:?} {artifacts:?} {}", run.tags, run.status == RunStatus::Finished));
    }
    told
}

fn steps() -> impl Strategy<Value = Step> {
    let (models, versions, names) = (0..MODELS.len(), 0..VERSIONS.len(), 0..NAMES.len());
    let some_version = || proptest::option::weighted(0.8, versions.clone());
    let ids = || (models.clone(), versions.clone());
    let (run, value) = (0..3_usize, any::<u8>());
    let passed = proptest::option::weighted(0.8, any::<bool>());
    let protection = proptest::option::of((0..3_u32, any::<bool>()));
    // Few contents, so that many versions and runs share them.
    let content = 0..3_u8;
    prop_oneof![
        6 => (models.clone(), some_version(), content.clone())
            .prop_map(|(model, version, content)| Step::Register { model, version, content }),
        6 => (models.clone(), names.clone(), some_version(), proptest::option::of(some_version()))
            .prop_map(|(model, alias, to, expected)| Step::Move { model, alias, to, expected }),
        2 => (models.clone(), names.clone()).prop_map(|(model, alias)| Step::Rollback { model, alias }),
        2 => (ids(), names.clone(), proptest::option::weighted(0.7, value.clone()))
            .prop_map(|(id, tag, value)| Step::Tag { id, tag, value }),
        2 => (ids(), names.clone(), passed).prop_map(|(id, report, passed)| Step::Report { id, report, passed }),
        2 => (ids(), names.clone(), 0..2_usize).prop_map(|(id, alias, by)| Step::Approve { id, alias, by }),
        1 => (models.clone(), names.clone(), protection)
            .prop_map(|(model, alias, protection)| Step::Protect { model, alias, protection }),
        1 => ids().prop_map(|id| Step::Sign { id }),
        1 => (ids(), proptest::option::of(value.clone())).prop_map(|(id, reason)| Step::Deprecate { id, reason }),
        4 => ids().prop_map(|id| Step::Delete { id }),
        1 => Just(Step::Start),
        2 => (run.clone(), value.clone()).prop_map(|(run, value)| Step::Log { run, value }),
        1 => (run.clone(), names.clone(), value).prop_map(|(run, tag, value)| Step::TagRun { run, tag, value }),
        2 => (run.clone(), names, content).prop_map(|(run, name, content)| Step::Attach { run, name, content }),
        1 => run.prop_map(|run| Step::Finish { run }),
        2 => Just(Step::Checkpoint),
        2 => Just(Step::Collect),
        2 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn the_registry_answers_as_a_plain_model_does(steps in proptest::collection::vec(steps(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut real, mut plain) = (Real::new().await, Plain::default());
            for (index, step) in steps.iter().enumerate() {
                let answer = real.take(usize::from(index % 3 == 0), step).await;
                prop_assert_eq!(answer, plain.take(step), "step {}: {:?}", index, step);
            }
            let (checkpointed, replayed) = (open(&real.store).await, replayed(&real.store).await);
            let [one, two] = &real.open;
            for registry in [one, two, &checkpointed, &replayed] {
                prop_assert_eq!(told(registry, &real.runs).await, plain.told());
                prop_assert_eq!(everything(registry).await, everything(one).await);
                prop_assert_eq!(registry.verify().await.unwrap().faults, []);
                for model in registry.models().await.unwrap() {
                    let versions = registry.versions(&model).await.unwrap();
                    let released = |version: &Version| (version.pre.is_empty(), version.clone());
                    let highest = versions.iter().map(|version| released(&version.id.version)).max();
                    let latest = registry.resolve(&model, &Selector::Latest).await;
                    prop_assert_eq!(latest.ok().map(|latest| latest.id.version), highest.map(|(_, latest)| latest));
                }
            }
            one.collect_garbage(at_once()).await.unwrap();
            let blobs: Vec<_> = real.store.list(Some(&"r/blobs".into())).try_collect().await.unwrap();
            prop_assert_eq!(one.verify().await.unwrap().blobs, blobs.len() as u64, "what is needed, and nothing else");
            prop_assert_eq!(told(one, &real.runs).await, plain.told());
            Ok(())
        })?;
    }
}
