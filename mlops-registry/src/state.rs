//! The state of a registry: the fold of its log.

use std::collections::BTreeMap;
use std::fmt;

use mlops_core::{
    Alias, AuditEvent, Digest, Error, ModelId, ModelName, ModelVersion, Query, Result, Selector,
};
use semver::Version;

use crate::document::{Change, Document};
use crate::limits;

/// Everything the transitions so far have brought about.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    head: Option<Digest>,
    events: Vec<AuditEvent>,
    models: BTreeMap<ModelName, Model>,
}

/// One model. Its versions carry no aliases; those are added when one is read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Model {
    versions: BTreeMap<Version, ModelVersion>,
    aliases: BTreeMap<Alias, Version>,
}

impl State {
    /// The number of the last transition; 0 when there is none.
    pub(crate) fn tail(&self) -> u64 {
        self.events.len() as u64
    }

    /// The digest of the last transition.
    pub(crate) fn head(&self) -> Option<Digest> {
        self.head
    }

    /// The event with the number after `sequence`.
    pub(crate) fn event_after(&self, sequence: u64) -> Option<&AuditEvent> {
        self.events.get(usize::try_from(sequence).ok()?)
    }

    /// Takes the next transition in.
    ///
    /// # Errors
    /// Says why it cannot follow the ones before. Then nothing has changed.
    pub(crate) fn apply(&mut self, document: Document) -> Result<(), String> {
        let Document { transition, digest } = document;
        if transition.sequence != self.tail() + 1 {
            return Err(format!("transition {} cannot follow {}", transition.sequence, self.tail()));
        }
        if transition.previous != self.head {
            return Err("it does not follow the transition before it; one of the two was replaced".to_owned());
        }
        let event = transition.event();
        match transition.registered() {
            Some(version) => self.register(version)?,
            None => self.change(&transition.model, transition.change)?,
        }
        self.events.push(event);
        self.head = Some(digest);
        Ok(())
    }

    pub(crate) fn model(&self, name: &ModelName) -> Result<&Model> {
        self.models
            .get(name)
            .ok_or_else(|| Error::not_found(format!("no model `{name}`; {}", there_are(self.models.keys()))))
    }

    /// The model as it is before its first version, when there is none yet.
    pub(crate) fn model_or_new(&self, name: &ModelName) -> Model {
        self.models.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn models(&self) -> Vec<ModelName> {
        self.models.keys().cloned().collect()
    }

    pub(crate) fn resolve(&self, name: &ModelName, selector: &Selector) -> Result<ModelVersion> {
        let model = self.model(name)?;
        let version = match selector {
            Selector::Version(version) => version,
            Selector::Alias(alias) => model.aliases.get(alias).ok_or_else(|| model.no_alias(name, alias))?,
            Selector::Latest => model.latest().ok_or_else(|| model.no_version(name, "latest"))?,
        };
        model.read(version).ok_or_else(|| model.no_version(name, version))
    }

    pub(crate) fn versions(&self, name: &ModelName) -> Result<Vec<ModelVersion>> {
        let model = self.model(name)?;
        Ok(model.versions.keys().filter_map(|version| model.read(version)).collect())
    }

    pub(crate) fn search(&self, query: &Query) -> Vec<ModelVersion> {
        self.models
            .iter()
            .filter(|(name, _)| query.model.as_ref().is_none_or(|wanted| wanted == *name))
            .flat_map(|(_, model)| model.versions.keys().filter_map(|version| model.read(version)))
            .filter(|version| query.matches(version))
            .collect()
    }

    pub(crate) fn history(&self, name: &ModelName) -> Result<Vec<AuditEvent>> {
        self.model(name)?;
        Ok(self.events.iter().filter(|event| event.model == *name).cloned().collect())
    }

    /// Whether some version has an artifact with these bytes.
    pub(crate) fn names_blob(&self, digest: &Digest) -> bool {
        let versions = self.models.values().flat_map(|model| model.versions.values());
        versions.flat_map(|version| version.artifacts.values()).any(|artifact| artifact.digest == *digest)
    }

    fn register(&mut self, version: ModelVersion) -> Result<(), String> {
        for name in version.artifacts.keys() {
            limits::check_artifact_name(name).map_err(|error| error.to_string())?;
        }
        let ModelId { name, version: number } = version.id.clone();
        let model = self.models.get(&name);
        if model.is_some_and(|model| model.same_precedence(&number).is_some()) {
            return Err(format!("it registers {name} {number}, which is there already"));
        }
        self.models.entry(name).or_default().versions.insert(number, version);
        Ok(())
    }

    fn change(&mut self, name: &ModelName, change: Change) -> Result<(), String> {
        let model =
            self.models.get_mut(name).ok_or_else(|| format!("it changes `{name}`, which is not there"))?;
        match change {
            Change::Register(_) => Err("it registers nothing".to_owned()),
            Change::MoveAlias { alias, from, to, .. } => {
                if model.aliases.get(&alias) != from.as_ref() {
                    return Err(format!("it moves `{alias}` of `{name}` from where it was not"));
                }
                match to {
                    Some(to) if !model.versions.contains_key(&to) => {
                        return Err(format!("it moves `{alias}` to {name} {to}, which is not there"));
                    }
                    Some(to) => model.aliases.insert(alias, to),
                    None => model.aliases.remove(&alias),
                };
                Ok(())
            }
            Change::Tag { version, name: tag, from, to } => {
                let tags = &mut model
                    .versions
                    .get_mut(&version)
                    .ok_or_else(|| format!("it tags {name} {version}, which is not there"))?
                    .tags;
                if tags.get(&tag) != from.as_ref() {
                    return Err(format!(
                        "it changes the tag `{tag}` of {name} {version} from what it was not"
                    ));
                }
                match to {
                    Some(to) => tags.insert(tag, to),
                    None => tags.remove(&tag),
                };
                Ok(())
            }
        }
    }
}

impl Model {
    /// The versions, the lowest first.
    pub(crate) fn versions(&self) -> impl DoubleEndedIterator<Item = &ModelVersion> {
        self.versions.values()
    }

    /// That version, as it was registered but for its tags.
    pub(crate) fn version(&self, name: &ModelName, version: &Version) -> Result<&ModelVersion> {
        self.versions.get(version).ok_or_else(|| self.no_version(name, version))
    }

    /// Where an alias points.
    pub(crate) fn alias(&self, alias: &Alias) -> Option<&Version> {
        self.aliases.get(alias)
    }

    /// The version that semver ranks equal: the same one, or one that differs in build metadata only.
    pub(crate) fn same_precedence(&self, version: &Version) -> Option<&Version> {
        self.versions.keys().find(|known| known.cmp_precedence(version).is_eq())
    }

    pub(crate) fn no_alias(&self, name: &ModelName, alias: &Alias) -> Error {
        let known = there_are(self.aliases.keys());
        Error::not_found(format!("`{name}` has no alias `{alias}`; {known}"))
    }

    fn no_version(&self, name: &ModelName, version: impl fmt::Display) -> Error {
        let known = there_are(self.versions.keys().rev());
        Error::not_found(format!("`{name}` has no version {version}; {known}"))
    }

    fn latest(&self) -> Option<&Version> {
        let released = self.versions.keys().rev().find(|version| version.pre.is_empty());
        released.or_else(|| self.versions.keys().next_back())
    }

    /// A version with the aliases that point to it now.
    fn read(&self, version: &Version) -> Option<ModelVersion> {
        let mut read = self.versions.get(version)?.clone();
        let here = self.aliases.iter().filter(|(_, to)| *to == version);
        read.aliases = here.map(|(alias, _)| alias.clone()).collect();
        Some(read)
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
