//! One model: its versions and its aliases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;
use mlops_core::{Alias, Digest, Error, ModelName, ModelVersion, Protection, Result};
use semver::{BuildMetadata, Version};
use serde::{Deserialize, Serialize};

use super::{Record, there_are};
use crate::document::Amendments;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Model {
    versions: BTreeMap<Version, Record>,
    /// Those that are gone. Their numbers stay taken.
    deleted: BTreeMap<Version, Tombstone>,
    aliases: BTreeMap<Alias, AliasState>,
    protections: BTreeMap<Alias, Protection>,
}

/// Where an alias points, and has pointed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AliasState {
    pub(crate) to: Option<Version>,
    pub(crate) held: BTreeSet<Version>,
}

/// What is left of a deleted version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tombstone {
    pub(crate) at: Timestamp,
    pub(crate) by: String,
    pub(crate) reason: String,
}

impl Model {
    /// The model of a checkpoint, still without its versions.
    pub(crate) fn new(
        aliases: BTreeMap<Alias, AliasState>,
        protections: BTreeMap<Alias, Protection>,
        deleted: BTreeMap<Version, Tombstone>,
    ) -> Self {
        Self { versions: BTreeMap::new(), deleted, aliases, protections }
    }

    pub(crate) fn insert(&mut self, number: Version, record: Record) {
        self.versions.insert(number, record);
    }

    /// The numbers of its versions, the lowest first.
    pub(crate) fn numbers(&self) -> impl DoubleEndedIterator<Item = &Version> + ExactSizeIterator {
        self.versions.keys()
    }

    /// The numbers of its versions from `first` on, but below `end`.
    pub(crate) fn numbers_between(
        &self,
        first: &Version,
        end: &Version,
    ) -> impl DoubleEndedIterator<Item = &Version> {
        // A range that ends before it begins would panic.
        self.versions.range(first.min(end)..end).map(|(number, _)| number)
    }

    /// The numbers of its versions above `version`.
    pub(crate) fn numbers_above(&self, version: &Version) -> impl Iterator<Item = &Version> {
        self.versions.range((Bound::Excluded(version), Bound::Unbounded)).map(|(number, _)| number)
    }

    pub(crate) fn records(&self) -> impl ExactSizeIterator<Item = (&Version, &Record)> {
        self.versions.iter()
    }

    pub(crate) fn aliases(&self) -> &BTreeMap<Alias, AliasState> {
        &self.aliases
    }

    pub(crate) fn protections(&self) -> &BTreeMap<Alias, Protection> {
        &self.protections
    }

    pub(crate) fn deleted(&self) -> &BTreeMap<Version, Tombstone> {
        &self.deleted
    }

    /// That version, with the aliases that point to it now.
    pub(crate) fn version(&self, name: &ModelName, version: &Version) -> Result<Arc<ModelVersion>> {
        let here = self.aliases.iter().filter(|(_, state)| state.to.as_ref() == Some(version));
        self.record(name, version)?
            .view(name, here.map(|(alias, _)| alias))
            .map_err(|error| error_at(name, version, error))
    }

    pub(crate) fn record(&self, name: &ModelName, version: &Version) -> Result<&Record> {
        self.versions.get(version).ok_or_else(|| self.no_version(name, version))
    }

    /// Where an alias points.
    pub(crate) fn alias(&self, alias: &Alias) -> Option<&Version> {
        self.aliases.get(alias)?.to.as_ref()
    }

    /// Whether an alias has ever pointed to that version.
    pub(crate) fn has_held(&self, alias: &Alias, version: &Version) -> bool {
        self.aliases.get(alias).is_some_and(|state| state.held.contains(version))
    }

    /// What must be there before that alias may move.
    pub(crate) fn protection(&self, alias: &Alias) -> Protection {
        self.protections.get(alias).copied().unwrap_or_default()
    }

    /// The number that semver ranks equal, of a version that is there or was: the same one, or one that differs in
    /// build metadata only.
    pub(crate) fn same_precedence(&self, version: &Version) -> Option<&Version> {
        let first = Version { build: BuildMetadata::EMPTY, ..version.clone() };
        let there = self.versions.range(&first..).next().map(|(number, _)| number);
        let was = self.deleted.range(&first..).next().map(|(number, _)| number);
        [there, was].into_iter().flatten().find(|known| known.cmp_precedence(version).is_eq())
    }

    /// The highest major version that is there or was; 0 when there is none.
    pub(crate) fn highest_major(&self) -> u64 {
        let there = self.versions.keys().next_back();
        let was = self.deleted.keys().next_back();
        there.max(was).map_or(0, |version| version.major)
    }

    pub(crate) fn no_alias(&self, name: &ModelName, alias: &Alias) -> Error {
        let set: Vec<_> = self.aliases.iter().filter(|(_, state)| state.to.is_some()).collect();
        let known = there_are(set.into_iter().map(|(alias, _)| alias));
        Error::not_found(format!("`{name}` has no alias `{alias}`; {known}"))
    }

    pub(crate) fn no_version(&self, name: &ModelName, version: impl fmt::Display) -> Error {
        let version = version.to_string();
        let deleted = self.deleted.iter().find(|(number, _)| number.to_string() == version);
        if let Some((_, Tombstone { at, by, reason })) = deleted {
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
            return Error::not_found(format!("{name} {version} was deleted at {at}{by}{reason}"));
        }
        let known = there_are(self.versions.keys().rev());
        Error::not_found(format!("`{name}` has no version {version}; {known}"))
    }

    pub(crate) fn latest(&self) -> Option<&Version> {
        let released = self.versions.keys().rev().find(|version| version.pre.is_empty());
        released.or_else(|| self.versions.keys().next_back())
    }

    pub(super) fn move_alias(
        &mut self,
        name: &ModelName,
        alias: Alias,
        from: Option<&Version>,
        to: Option<Version>,
    ) -> Result<(), String> {
        if self.alias(&alias) != from {
            return Err(format!("it moves `{alias}` of `{name}` from where it was not"));
        }
        if let Some(to) = &to
            && !self.versions.contains_key(to)
        {
            return Err(format!("it moves `{alias}` to {name} {to}, which is not there"));
        }
        for changed in from.into_iter().chain(&to) {
            if let Some(record) = self.versions.get_mut(changed) {
                record.touch();
            }
        }
        let state = self.aliases.entry(alias).or_default();
        state.held.extend(to.clone());
        state.to = to;
        Ok(())
    }

    pub(super) fn protect(&mut self, alias: Alias, protection: Option<Protection>) {
        match protection {
            Some(protection) => self.protections.insert(alias, protection),
            None => self.protections.remove(&alias),
        };
    }

    pub(super) fn tags(
        &self,
        name: &ModelName,
        version: &Version,
    ) -> Result<BTreeMap<String, String>, String> {
        let version = self.version(name, version).map_err(|error| error.to_string())?;
        Ok(version.tags.clone())
    }

    pub(super) fn amend(
        &mut self,
        name: &ModelName,
        version: &Version,
        change: impl FnOnce(&mut Amendments),
    ) -> Result<(), String> {
        let record = self
            .versions
            .get_mut(version)
            .ok_or_else(|| format!("it changes {name} {version}, which is not there"))?;
        record.amend(change).map_err(|error| error.to_string())
    }

    /// Deletes a version; returns the digests of its artifacts.
    pub(super) fn delete(
        &mut self,
        name: &ModelName,
        version: &Version,
        tombstone: Tombstone,
    ) -> Result<Vec<Digest>, String> {
        let view = self.version(name, version).map_err(|error| error.to_string())?;
        if let Some(alias) = view.aliases.first() {
            return Err(format!("it deletes {name} {version}, to which `{alias}` points"));
        }
        self.versions.remove(version);
        self.deleted.insert(version.clone(), tombstone);
        for state in self.aliases.values_mut() {
            state.held.remove(version);
        }
        Ok(view.artifacts.values().map(|artifact| artifact.digest).collect())
    }
}

fn error_at(name: &ModelName, version: &Version, error: Error) -> Error {
    let what = format!("{name} {version}: {error}");
    Error::integrity(what).with_source(error)
}
