//! The conformance suite is worth something: it refuses registries that break a promise, each for its own
//! reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mlops_core::conformance::registry::check;
use mlops_core::{
    Alias, AliasMove, AuditChange, AuditEvent, ByteStream, Content, Deletion, Deprecation, Error,
    EventStream, ModelName, ModelVersion, NewReport, NewVersion, Query, Registry, Result, Rollback, Selector,
    Tagging,
};
use mlops_registry::ObjectStoreRegistry;
use semver::Version;

/// A registry with one fault.
#[derive(Debug)]
struct Broken {
    inner: ObjectStoreRegistry,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    ForgetsLineage,
    RoundsMetrics,
    DropsEmptyArtifacts,
    RegistersAgain,
    RegistersAgainOnARace,
    NumbersByMinor,
    TurnsBytesRound,
    TrustsTheName,
    StreamsTheName,
    StreamsHalf,
    LatestIsHighest,
    InventsModels,
    NoVersionsOfNoModel,
    MissingIsAConflict,
    VersionsByAge,
    ModelsUnsorted,
    IgnoresExpectation,
    IgnoresExpectedAbsence,
    MovesTwiceOnARace,
    LosesTheReason,
    KeepsRemovedAliases,
    HidesAliases,
    RemovesWhatIsNotThere,
    TurnsBackAndForth,
    GoesBackFromTheFirst,
    ForgetsThePast,
    TagsTwice,
    TagsWithoutActor,
    ReportsWithoutVerdict,
    WarnsForEver,
    DeletesWhatIsPointedTo,
    DeletesNothing,
    FindsEverything,
    FindsNothingByAlias,
    FindsInReverse,
    FindsWithoutLimit,
    HistoryInReverse,
    HistoryOfAllModels,
    HistoryForgetsTheLast,
    HistoryWithRefusals,
    WatchEnds,
    WatchRepeats,
    WatchReplays,
    WatchSkips,
}

#[async_trait]
impl Registry for Broken {
    async fn register(&self, mut new: NewVersion) -> Result<ModelVersion> {
        let (name, version) = (new.model.clone(), new.version.clone());
        match self.fault {
            Fault::ForgetsLineage => new.lineage = Default::default(),
            Fault::RoundsMetrics => {
                for value in new.metrics.values_mut() {
                    *value = f64::from(*value as f32);
                }
            }
            Fault::DropsEmptyArtifacts => {
                new.artifacts
                    .retain(|_, content| !matches!(content, Content::Bytes(bytes) if bytes.is_empty()));
            }
            Fault::NumbersByMinor if version.is_none() => {
                let versions = self.inner.versions(&name).await.unwrap_or_default();
                let highest = versions.last().map(|version| version.id.version.clone());
                new.version = Some(highest.map_or(Version::new(1, 0, 0), |highest| {
                    Version::new(highest.major, highest.minor + 1, 0)
                }));
            }
            Fault::RegistersAgainOnARace => {
                let there = match &version {
                    Some(version) => self.inner.resolve(&name, &version.clone().into()).await.is_ok(),
                    None => false,
                };
                tokio::task::yield_now().await;
                if there {
                    return Err(Error::conflict("there already"));
                }
            }
            _ => {}
        }
        let tag =
            Tagging::set(mlops_core::ModelId::new(name.clone(), Version::new(1, 0, 0)), "refused", "yes");
        match (self.inner.register(new).await, version) {
            (Err(Error::Conflict { what }), Some(version))
                if matches!(self.fault, Fault::RegistersAgain | Fault::RegistersAgainOnARace) =>
            {
                let there = self.inner.resolve(&name, &version.into()).await;
                there.map_err(|_| Error::conflict(what))
            }
            (Err(Error::Conflict { what }), _) if self.fault == Fault::HistoryWithRefusals => {
                self.inner.tag(tag).await?;
                Err(Error::conflict(what))
            }
            (registered, _) => registered,
        }
    }

    async fn resolve(&self, model: &ModelName, selector: &Selector) -> Result<ModelVersion> {
        let mut version = match (self.fault, selector) {
            (Fault::LatestIsHighest, Selector::Latest) => {
                let mut versions = self.inner.versions(model).await?;
                versions.pop().ok_or_else(|| Error::not_found("no version"))
            }
            (Fault::MissingIsAConflict, _) => {
                self.inner.resolve(model, selector).await.map_err(|error| Error::conflict(error.to_string()))
            }
            _ => self.inner.resolve(model, selector).await,
        }?;
        if self.fault == Fault::HidesAliases {
            version.aliases.clear();
        }
        Ok(version)
    }

    async fn fetch(&self, version: &ModelVersion, artifact: &str) -> Result<Bytes> {
        match self.fault {
            Fault::TurnsBytesRound => {
                let mut bytes = self.inner.fetch(version, artifact).await?.to_vec();
                bytes.reverse();
                Ok(bytes.into())
            }
            Fault::TrustsTheName => {
                let known = self.inner.resolve(&version.id.name, &version.id.version.clone().into()).await?;
                self.inner.fetch(&known, artifact).await
            }
            _ => self.inner.fetch(version, artifact).await,
        }
    }

    async fn fetch_stream(&self, version: &ModelVersion, artifact: &str) -> Result<ByteStream> {
        let known = self.inner.resolve(&version.id.name, &version.id.version.clone().into()).await?;
        match self.fault {
            Fault::StreamsTheName => self.inner.fetch_stream(&known, artifact).await,
            Fault::StreamsHalf if known.artifacts.get(artifact) == version.artifacts.get(artifact) => {
                let bytes = self.inner.fetch(version, artifact).await?;
                let half = bytes.slice(..bytes.len() / 2);
                Ok(Box::pin(stream::iter([Ok(half)])))
            }
            _ => self.inner.fetch_stream(version, artifact).await,
        }
    }

    async fn move_alias(&self, mut change: AliasMove) -> Result<AuditEvent> {
        let undo = AliasMove::removal(change.model.clone(), change.alias.clone());
        match self.fault {
            Fault::IgnoresExpectation => change.expected = None,
            Fault::IgnoresExpectedAbsence if change.expected == Some(None) => change.expected = None,
            Fault::LosesTheReason => change.reason.clear(),
            Fault::MovesTwiceOnARace => {
                let selector = Selector::Alias(change.alias.clone());
                let now =
                    self.inner.resolve(&change.model, &selector).await.ok().map(|version| version.id.version);
                tokio::task::yield_now().await;
                if change.expected.take().is_some_and(|expected| expected != now) {
                    return Err(Error::conflict("elsewhere"));
                }
            }
            Fault::RemovesWhatIsNotThere if change.to.is_none() => {
                if let Err(Error::NotFound { .. }) = self.inner.move_alias(change.clone()).await {
                    let versions = self.inner.versions(&change.model).await?;
                    change.to = versions.last().map(|version| version.id.version.clone());
                    self.inner.move_alias(change).await?;
                    return self.inner.move_alias(undo).await;
                }
            }
            Fault::KeepsRemovedAliases if change.to.is_none() => {
                let event = self.inner.move_alias(change.clone()).await?;
                if let AuditChange::AliasMoved { from, .. } = &event.change {
                    change.to = from.clone();
                    change.expected = None;
                    self.inner.move_alias(change).await?;
                }
                return Ok(event);
            }
            _ => {}
        }
        self.inner.move_alias(change).await
    }

    async fn rollback(&self, rollback: Rollback) -> Result<AuditEvent> {
        let Rollback { model, alias, actor, reason, .. } = rollback.clone();
        let before =
            self.inner.history(&model).await?.into_iter().rev().find_map(|event| match event.change {
                AuditChange::AliasMoved { alias: moved, from, .. } if moved == alias => from,
                _ => None,
            });
        match (self.fault, before) {
            (Fault::TurnsBackAndForth, Some(before)) => {
                self.inner.move_alias(AliasMove::new(model, alias, before).by(actor).because(reason)).await
            }
            (Fault::GoesBackFromTheFirst, _) => match self.inner.rollback(rollback).await {
                Err(Error::Conflict { .. }) => {
                    self.inner.move_alias(AliasMove::removal(model, alias).by(actor).because(reason)).await
                }
                done => done,
            },
            _ => self.inner.rollback(rollback).await,
        }
    }

    async fn alias_at(
        &self,
        model: &ModelName,
        alias: &Alias,
        time: jiff::Timestamp,
    ) -> Result<Option<Version>> {
        match self.fault {
            Fault::ForgetsThePast => {
                let now = self.inner.resolve(model, &alias.clone().into()).await;
                Ok(now.ok().map(|version| version.id.version))
            }
            _ => self.inner.alias_at(model, alias, time).await,
        }
    }

    async fn report(&self, mut report: NewReport) -> Result<AuditEvent> {
        if self.fault == Fault::ReportsWithoutVerdict {
            report.passed = None;
        }
        self.inner.report(report).await
    }

    async fn deprecate(&self, mut change: Deprecation) -> Result<AuditEvent> {
        if self.fault == Fault::WarnsForEver && change.reason.is_none() {
            change.reason = Some("for ever".to_owned());
        }
        self.inner.deprecate(change).await
    }

    async fn delete(&self, deletion: Deletion) -> Result<AuditEvent> {
        let known = self.inner.resolve(&deletion.id.name, &deletion.id.version.clone().into()).await?;
        match self.fault {
            Fault::DeletesWhatIsPointedTo => {
                for alias in known.aliases {
                    self.inner.move_alias(AliasMove::removal(deletion.id.name.clone(), alias)).await?;
                }
                self.inner.delete(deletion).await
            }
            Fault::DeletesNothing if known.aliases.is_empty() => {
                let mut event = self.inner.tag(Tagging::set(deletion.id.clone(), "deleted", "yes")).await?;
                event.actor = deletion.actor;
                event.change = AuditChange::Deleted { version: deletion.id.version, reason: deletion.reason };
                Ok(event)
            }
            _ => self.inner.delete(deletion).await,
        }
    }

    async fn tag(&self, mut change: Tagging) -> Result<AuditEvent> {
        match self.fault {
            Fault::TagsTwice if change.value.is_some() => drop(self.inner.tag(change.clone()).await?),
            Fault::TagsWithoutActor => change.actor.clear(),
            _ => {}
        }
        self.inner.tag(change).await
    }

    async fn models(&self) -> Result<Vec<ModelName>> {
        let mut models = self.inner.models().await?;
        match self.fault {
            Fault::ModelsUnsorted => models.reverse(),
            Fault::InventsModels => models.push(ModelName::new("invented")?),
            _ => {}
        }
        Ok(models)
    }

    async fn versions(&self, model: &ModelName) -> Result<Vec<ModelVersion>> {
        let versions = self.inner.versions(model).await;
        match self.fault {
            Fault::NoVersionsOfNoModel => Ok(versions.unwrap_or_default()),
            Fault::VersionsByAge => {
                let mut versions = versions?;
                versions.sort_by_key(|version| version.registered_at);
                Ok(versions)
            }
            _ => versions,
        }
    }

    async fn search(&self, query: &Query) -> Result<Vec<ModelVersion>> {
        let mut found = self.inner.search(query).await?;
        match self.fault {
            Fault::FindsEverything => found = self.inner.search(&Query::new()).await?,
            Fault::FindsNothingByAlias if query.alias.is_some() => found.clear(),
            Fault::FindsInReverse => found.reverse(),
            Fault::FindsWithoutLimit => {
                let mut unlimited = query.clone();
                unlimited.limit = None;
                found = self.inner.search(&unlimited).await?;
            }
            _ => {}
        }
        Ok(found)
    }

    async fn history(&self, model: &ModelName) -> Result<Vec<AuditEvent>> {
        let mut history = self.inner.history(model).await?;
        match self.fault {
            Fault::HistoryInReverse => history.reverse(),
            Fault::HistoryForgetsTheLast if history.len() > 3 => drop(history.pop()),
            Fault::HistoryOfAllModels => {
                for other in self.inner.models().await?.iter().filter(|other| *other != model) {
                    history.extend(self.inner.history(other).await?);
                }
                history.sort_by_key(|event| event.sequence);
            }
            _ => {}
        }
        Ok(history)
    }

    fn watch(&self) -> EventStream {
        let events = self.inner.watch();
        match self.fault {
            Fault::WatchEnds => Box::pin(events.take(2)),
            Fault::WatchSkips => Box::pin(events.skip(1)),
            Fault::WatchRepeats => Box::pin(events.flat_map(|event| {
                let event = event.unwrap();
                stream::iter([Ok(event.clone()), Ok(event)])
            })),
            Fault::WatchReplays => {
                let inner = self.inner.clone();
                let past = async move {
                    let mut past = Vec::new();
                    for model in inner.models().await.unwrap() {
                        past.extend(inner.history(&model).await.unwrap().into_iter().map(Ok));
                    }
                    stream::iter(past)
                };
                Box::pin(stream::once(past).flatten().chain(events))
            }
            _ => events,
        }
    }
}

/// What the suite says to a registry with this fault.
fn complaint(fault: Fault) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let checked = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(check(async || Broken { inner: ObjectStoreRegistry::in_memory(), fault }));
    }));
    let panic = checked.expect_err(&format!("{fault:?} goes unnoticed"));
    match panic.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => (*panic.downcast_ref::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn every_broken_promise_is_noticed_for_what_it_is() {
    for (fault, expected) in [
        (Fault::ForgetsLineage, "the lineage is kept"),
        (Fault::RoundsMetrics, "metrics are kept to the last bit"),
        (Fault::DropsEmptyArtifacts, "every artifact is kept"),
        (Fault::RegistersAgain, "registering the same version again must be refused (conflict)"),
        (Fault::RegistersAgainOnARace, "of two registrations of one version exactly one wins"),
        (Fault::NumbersByMinor, "should be of a higher major version"),
        (Fault::TurnsBytesRound, "the bytes come back"),
        (Fault::TrustsTheName, "bytes of another digest must be refused (integrity)"),
        (Fault::StreamsTheName, "a stream of another digest must be refused (integrity)"),
        (Fault::StreamsHalf, "the bytes come back in pieces"),
        (Fault::LatestIsHighest, "the latest version once there is 0.9.0"),
        (Fault::InventsModels, "the model comes into being"),
        (Fault::NoVersionsOfNoModel, "versions of no model must be refused (not_found)"),
        (Fault::MissingIsAConflict, "must be refused as not_found"),
        (Fault::VersionsByAge, "versions, the lowest first"),
        (Fault::ModelsUnsorted, "models, sorted"),
        (Fault::IgnoresExpectation, "must be refused (conflict)"),
        (Fault::IgnoresExpectedAbsence, "must be refused (conflict)"),
        (Fault::MovesTwiceOnARace, "of two moves that expect the same exactly one wins"),
        (Fault::LosesTheReason, "the event of the move"),
        (Fault::KeepsRemovedAliases, "an alias that was taken away must be refused (not_found)"),
        (Fault::HidesAliases, "a version knows its aliases"),
        (Fault::RemovesWhatIsNotThere, "the removal of no alias must be refused (not_found)"),
        (Fault::TurnsBackAndForth, "the event of going back"),
        (Fault::GoesBackFromTheFirst, "going back from the first version must be refused (conflict)"),
        (Fault::ForgetsThePast, "where it pointed at"),
        (Fault::ReportsWithoutVerdict, "the event of a report"),
        (Fault::WarnsForEver, "the warning is taken back"),
        (Fault::DeletesWhatIsPointedTo, "the deletion of a version an alias points to must be refused"),
        (Fault::DeletesNothing, "a deleted version must be refused (not_found)"),
        (Fault::TagsTwice, "the event of the tag"),
        (Fault::TagsWithoutActor, "the event of the tag"),
        (Fault::FindsEverything, "what fits Query"),
        (Fault::FindsNothingByAlias, "what fits Query"),
        (Fault::FindsInReverse, "by model, then by version"),
        (Fault::FindsWithoutLimit, "what fits Query"),
        (Fault::HistoryInReverse, "do not go backwards"),
        (Fault::HistoryOfAllModels, "of no other"),
        (Fault::HistoryForgetsTheLast, "history"),
        (Fault::HistoryWithRefusals, "a refused registration changes nothing"),
        (Fault::WatchEnds, "watch ends"),
        (Fault::WatchRepeats, "each event once, in order"),
        (Fault::WatchReplays, "from when watching began"),
        (Fault::WatchSkips, "each event once, in order"),
    ] {
        let complaint = complaint(fault);
        assert!(complaint.contains(expected), "{fault:?} is noticed, but for another reason:\n{complaint}");
    }
}

/// The wrapper itself breaks nothing.
#[tokio::test]
async fn a_registry_without_a_fault_passes() {
    check(async || Broken { inner: ObjectStoreRegistry::in_memory(), fault: Fault::Nothing }).await;
}
