//! The state of a registry: the fold of its log.

mod blobs;
mod model;
mod record;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use mlops_core::{
    Approval, AuditEvent, Digest, Error, ModelName, ModelVersion, Query, Report, Result, Selector,
};

pub(crate) use self::blobs::{BlobEntry, BlobTable};
pub(crate) use self::model::{AliasState, Model, Tombstone};
pub(crate) use self::record::Record;
use crate::document::{Amendments, Change, Document, ModelChange, RegistrationText};
use crate::limits;
use crate::runs::Runs;
use crate::trust::VersionSignature;

/// Everything the transitions so far have brought about.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    /// Where the log was when this was the state.
    pub(crate) position: Position,
    pub(crate) models: BTreeMap<ModelName, Model>,
    pub(crate) runs: Runs,
    pub(crate) blobs: BlobTable,
    /// The events after `archived`, the oldest first.
    events: Vec<AuditEvent>,
    /// The number of the last transition whose event is not among `events`, but in the archive of a checkpoint.
    archived: u64,
}

/// A place in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The number of the last transition; 0 when there is none.
    pub(crate) sequence: u64,
    /// Its digest.
    pub(crate) head: Option<Digest>,
    /// Its time.
    pub(crate) at: Option<Timestamp>,
}

impl State {
    /// The state at a checkpoint, whose archive holds the events so far.
    pub(crate) fn at(
        position: Position,
        models: BTreeMap<ModelName, Model>,
        runs: Runs,
        blobs: BlobTable,
    ) -> Self {
        Self { position, models, runs, blobs, events: Vec::new(), archived: position.sequence }
    }

    /// The number of the last transition; 0 when there is none.
    pub(crate) fn tail(&self) -> u64 {
        self.position.sequence
    }

    pub(crate) fn archived(&self) -> u64 {
        self.archived
    }

    /// The events that are not archived, the oldest first.
    pub(crate) fn events(&self) -> &[AuditEvent] {
        &self.events
    }

    /// Forgets the events up to `sequence`, which an archive now holds.
    pub(crate) fn archive(&mut self, sequence: u64) {
        if sequence > self.archived {
            let kept = self.events.partition_point(|event| event.sequence <= sequence);
            self.events.drain(..kept);
            self.events.shrink_to_fit();
            self.archived = sequence;
        }
    }

    /// Takes the next transition in.
    ///
    /// # Errors
    /// Says why it cannot follow the ones before. Then nothing has changed.
    pub(crate) fn apply(&mut self, document: Document) -> Result<(), String> {
        let Document { transition, digest } = document;
        let (sequence, at) = (transition.sequence, transition.at);
        if sequence != self.tail() + 1 {
            return Err(format!("transition {sequence} cannot follow {}", self.tail()));
        }
        if transition.previous != self.position.head {
            return Err("it does not follow the transition before it; one of the two was replaced".to_owned());
        }
        if self.position.at.is_some_and(|before| at < before) {
            return Err("its time is before that of the transition before it".to_owned());
        }
        let event = transition.event();
        match transition.change {
            Change::Model { name, change: ModelChange::Register { version, signatures } } => {
                self.register(name, at, &transition.actor, &version, signatures)?;
            }
            Change::Model { name, change } => self.change(&name, at, &transition.actor, change)?,
            Change::Run(change) => {
                self.runs.apply(sequence, at, &transition.actor, &change, &mut self.blobs)?;
            }
            Change::Collect { blobs } => self.blobs.collect(&blobs)?,
        }
        self.events.extend(event);
        self.position = Position { sequence, head: Some(digest), at: Some(at) };
        Ok(())
    }

    pub(crate) fn model(&self, name: &ModelName) -> Result<&Model> {
        self.models
            .get(name)
            .ok_or_else(|| Error::not_found(format!("no model `{name}`; {}", there_are(self.models.keys()))))
    }

    pub(crate) fn models(&self) -> Vec<ModelName> {
        self.models.keys().cloned().collect()
    }

    pub(crate) fn resolve(&self, name: &ModelName, selector: &Selector) -> Result<Arc<ModelVersion>> {
        let model = self.model(name)?;
        let version = match selector {
            Selector::Version(version) => version,
            Selector::Alias(alias) => model.alias(alias).ok_or_else(|| model.no_alias(name, alias))?,
            Selector::Latest => model.latest().ok_or_else(|| model.no_version(name, "latest"))?,
        };
        model.version(name, version)
    }

    pub(crate) fn versions(&self, name: &ModelName) -> Result<Vec<ModelVersion>> {
        let model = self.model(name)?;
        model.numbers().map(|version| Ok(Arc::unwrap_or_clone(model.version(name, version)?))).collect()
    }

    pub(crate) fn search(&self, query: &Query) -> Result<Vec<ModelVersion>> {
        let mut found = Vec::new();
        let limit = query.limit.unwrap_or(usize::MAX);
        for (name, model) in &self.models {
            if query.model.as_ref().is_some_and(|wanted| wanted != name)
                || query.after.as_ref().is_some_and(|last| last.name > *name)
            {
                continue;
            }
            for version in model.numbers() {
                if found.len() >= limit {
                    return Ok(found);
                }
                let version = model.version(name, version)?;
                if query.matches(&version) {
                    found.push(Arc::unwrap_or_clone(version));
                }
            }
        }
        Ok(found)
    }

    fn register(
        &mut self,
        name: ModelName,
        at: Timestamp,
        actor: &str,
        document: &RegistrationText,
        signatures: Vec<VersionSignature>,
    ) -> Result<(), String> {
        let registered = &document.parsed;
        for artifact in registered.artifacts.keys() {
            limits::check_path_segment(artifact).map_err(|error| error.to_string())?;
        }
        let number = &registered.version;
        if self.models.get(&name).is_some_and(|model| model.same_precedence(number).is_some()) {
            return Err(format!("it registers {name} {number}, which is there already"));
        }
        let amendments = Amendments { signatures, ..Amendments::default() };
        let record = Record::new(at, actor, document, amendments).map_err(|error| error.to_string())?;
        for artifact in registered.artifacts.values() {
            self.blobs.take(artifact.digest);
        }
        self.models.entry(name).or_default().insert(number.clone(), record);
        Ok(())
    }

    fn change(
        &mut self,
        name: &ModelName,
        at: Timestamp,
        actor: &str,
        change: ModelChange,
    ) -> Result<(), String> {
        let model =
            self.models.get_mut(name).ok_or_else(|| format!("it changes `{name}`, which is not there"))?;
        match change {
            ModelChange::Register { .. } => Err("it registers nothing".to_owned()),
            ModelChange::MoveAlias { alias, from, to, .. } => {
                model.move_alias(name, alias, from.as_ref(), to)
            }
            ModelChange::Protect { alias, protection } => {
                model.protect(alias, protection);
                Ok(())
            }
            ModelChange::Delete { version, reason } => {
                let tombstone = Tombstone { at, by: actor.to_owned(), reason };
                for artifact in model.delete(name, &version, tombstone)? {
                    self.blobs.release(&artifact);
                }
                Ok(())
            }
            ModelChange::Tag { version, name: tag, from, to } => {
                let mut tags = model.tags(name, &version)?;
                if tags.get(&tag) != from.as_ref() {
                    return Err(format!(
                        "it changes the tag `{tag}` of {name} {version} from what it was not"
                    ));
                }
                match to {
                    Some(to) => tags.insert(tag, to),
                    None => tags.remove(&tag),
                };
                model.amend(name, &version, |amendments| amendments.tags = Some(tags))
            }
            ModelChange::Report { version, name: report, passed, metrics, summary } => {
                let report = Report { name: report, passed, metrics, summary, at, by: actor.to_owned() };
                model.amend(name, &version, |amendments| amendments.reports.push(report))
            }
            ModelChange::Approve { version, alias, comment } => {
                let approval = Approval { alias, by: actor.to_owned(), at, comment };
                model.amend(name, &version, |amendments| amendments.approvals.push(approval))
            }
            ModelChange::Sign { version, signature } => {
                model.amend(name, &version, |amendments| amendments.signatures.push(signature))
            }
            ModelChange::Deprecate { version, reason } => {
                model.amend(name, &version, |amendments| amendments.deprecated = reason)
            }
        }
    }
}

/// `there are 1.0.0, 2.0.0 and 5 more`, for errors that say what there is instead.
pub(crate) fn there_are<T: fmt::Display>(items: impl ExactSizeIterator<Item = T>) -> String {
    const SHOWN: usize = 10;
    let count = items.len();
    let shown = items.take(SHOWN).map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
    match count {
        0 => "there is none".to_owned(),
        1 => format!("there is {shown}"),
        2..=SHOWN => format!("there are {shown}"),
        _ => format!("there are {shown} and {} more", count - SHOWN),
    }
}
