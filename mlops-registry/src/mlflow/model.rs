//! What an MLflow server knows of one model, in the words of the house.
//!
//! # Versions
//! MLflow counts versions; ours have their semantic version in the tag `mlops.version`. Version n without that tag
//! is n.0.0, or, if that was taken when it came, the first of n.0.1, n.0.2, ... that was free. Once shown, it keeps
//! its name, for what is registered later may not take it. Of two with the same tag, which two processes registered
//! at once, the lower number counts; the other is about to be taken back.
//!
//! # History
//! is what our registries have written, and what can be told from the rest: that a version is there which MLflow's
//! own clients registered; and where aliases and versions are other than our events say, that somebody else moved
//! or deleted them. When that happened is not known, but that it was after the last event.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mlops_core::{Alias, AuditChange, AuditEvent, Error, ModelId, ModelName, Result, Selector};
use semver::Version;

use super::document::{self, Registered};
use super::events::{self, Key};
use super::wire;
use crate::state::there_are;

/// Why somebody else did what he did.
const ELSEWHERE: &str = "by another client of MLflow; when is not known";

/// The state of a model.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) name: ModelName,
    pub(crate) versions: BTreeMap<Version, Entry>,
    pub(crate) aliases: BTreeMap<Alias, Version>,
    /// The oldest first; sequence numbers grow, and times do not go backwards.
    pub(crate) events: Vec<Known>,
}

/// A version.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The number MLflow knows it by.
    pub(crate) number: u64,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) wire: wire::Version,
    /// That it is one of ours.
    pub(crate) registered: Option<Registered>,
}

/// An event, and where it is known from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) event: AuditEvent,
    pub(crate) writer: String,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a tag of the model.
    Written,
    /// From the version itself.
    Told,
    /// From a difference between our events and what is there.
    Guessed,
}

impl Model {
    /// Reads the answers of a server; `None` when there is nothing of the model that counts: no version, no event.
    pub(crate) fn read(
        name: &ModelName,
        registered: &wire::RegisteredModel,
        versions: impl IntoIterator<Item = wire::Version>,
    ) -> Result<Option<Self>> {
        let tags: BTreeMap<_, _> =
            registered.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
        let mut written = events::all(name, &tags)?;
        let mut numbered = BTreeMap::new();
        for wire in versions {
            // Others are no versions of MLflow's own registry.
            let Ok(number) = wire.version.parse::<u64>() else { continue };
            let tags: BTreeMap<_, _> =
                wire.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
            let registered = document::registered(&format!("version {number} of `{name}`"), &tags)?;
            numbered.insert(number, Entry { number, tags, wire, registered });
        }
        let stored: BTreeSet<Key> = written.keys().cloned().collect();
        let there: BTreeSet<u64> = numbered.keys().copied().collect();
        let names = named(&written, numbered);
        let deleted: BTreeSet<Version> = written.values().filter_map(deleted).cloned().collect();

        for (version, entry) in &names {
            let (key, event) = registration(name, version, entry);
            let known = written.keys().any(|(_, writer)| entry.registered.is_none() && *writer == key.1);
            if !known {
                written.entry(key).or_insert(event);
            }
        }
        let mut model =
            Self { name: name.clone(), versions: names, aliases: BTreeMap::new(), events: Vec::new() };
        for (key, event) in written {
            let origin = if stored.contains(&key) { Origin::Written } else { Origin::Told };
            model.push(event, key.1, origin);
        }
        if model.versions.is_empty() && model.events.is_empty() {
            return Ok(None);
        }
        model.versions.retain(|version, _| !deleted.contains(version));
        model.guess_deletions(&there);
        for alias in &registered.aliases {
            // Others have names that are none here, or point to what is not there.
            let version = model.versions.iter().find(|(_, entry)| entry.wire.version == alias.version);
            if let (Ok(alias), Some((version, _))) = (Alias::new(&alias.alias), version) {
                model.aliases.insert(alias, version.clone());
            }
        }
        model.guess_moves();
        Ok(Some(model))
    }

    /// The sequence number and the time of the last event.
    pub(crate) fn last(&self) -> (u64, Timestamp) {
        self.events.last().map_or((0, Timestamp::MIN), |known| (known.event.sequence, known.event.at))
    }

    /// Every version there ever was.
    pub(crate) fn taken(&self) -> BTreeSet<Version> {
        let registered = self.events.iter().filter_map(|known| registered(&known.event)).cloned();
        registered.chain(self.versions.keys().cloned()).collect()
    }

    pub(crate) fn version(&self, version: &Version) -> Result<&Entry> {
        self.versions.get(version).ok_or_else(|| {
            let known = there_are(self.versions.keys().rev());
            Error::not_found(format!("`{}` has no version {version}; {known}", self.name))
        })
    }

    pub(crate) fn select<'a>(&'a self, selector: &'a Selector) -> Result<(&'a Version, &'a Entry)> {
        let version = match selector {
            Selector::Version(version) => version,
            Selector::Alias(alias) => self.aliases.get(alias).ok_or_else(|| self.no_alias(alias))?,
            Selector::Latest => {
                let released = self.versions.keys().rev().find(|version| version.pre.is_empty());
                released.or_else(|| self.versions.keys().next_back()).ok_or_else(|| {
                    Error::not_found(format!("all versions of `{}` were deleted", self.name))
                })?
            }
        };
        Ok((version, self.version(version)?))
    }

    pub(crate) fn no_alias(&self, alias: &Alias) -> Error {
        let known = there_are(self.aliases.keys());
        Error::not_found(format!("`{}` has no alias `{alias}`; {known}", self.name))
    }

    /// The aliases that point to a version.
    pub(crate) fn aliases_of<'a>(&'a self, version: &'a Version) -> impl Iterator<Item = Alias> + 'a {
        self.aliases.iter().filter(move |(_, to)| *to == version).map(|(alias, _)| alias.clone())
    }

    pub(crate) fn id(&self, version: &Version) -> ModelId {
        ModelId::new(self.name.clone(), version.clone())
    }

    /// Versions of our events that are neither there nor deleted by us.
    fn guess_deletions(&mut self, there: &BTreeSet<u64>) {
        let mut gone: BTreeMap<Version, bool> = BTreeMap::new();
        for known in &self.events {
            if let Some(version) = registered(&known.event) {
                let number = number_of(&known.writer);
                gone.insert(version.clone(), number.is_none_or(|number| !there.contains(&number)));
            } else if let Some(version) = deleted(&known.event) {
                gone.remove(version);
            }
        }
        gone.retain(|version, gone| *gone && !self.versions.contains_key(version));
        for version in gone.into_keys() {
            self.guess(Timestamp::MIN, AuditChange::Deleted { version, reason: ELSEWHERE.to_owned() });
        }
    }

    /// Aliases that are not where our events say.
    fn guess_moves(&mut self) {
        let mut told: BTreeMap<Alias, Option<Version>> = BTreeMap::new();
        for known in &self.events {
            if let AuditChange::AliasMoved { alias, to, .. } = &known.event.change {
                told.insert(alias.clone(), to.clone());
            }
        }
        let all: BTreeSet<Alias> = told.keys().chain(self.aliases.keys()).cloned().collect();
        for alias in all {
            let (from, to) = (told.remove(&alias).flatten(), self.aliases.get(&alias).cloned());
            if from != to {
                let entry = to.as_ref().and_then(|to| self.versions.get(to));
                let earliest = entry.map_or(Timestamp::MIN, |entry| created(&entry.wire));
                let reason = ELSEWHERE.to_owned();
                self.guess(earliest, AuditChange::AliasMoved { alias, from, to, reason });
            }
        }
    }

    fn guess(&mut self, earliest: Timestamp, change: AuditChange) {
        let (sequence, at) = self.last();
        let (model, at) = (self.name.clone(), at.max(earliest));
        let event = AuditEvent { sequence: sequence + 1, at, actor: String::new(), model, change };
        self.push(event, "seen".to_owned(), Origin::Guessed);
    }

    fn push(&mut self, mut event: AuditEvent, writer: String, origin: Origin) {
        let (sequence, at) = self.last();
        event.sequence = event.sequence.max(sequence + 1);
        event.at = event.at.max(at);
        self.events.push(Known { event, writer, origin });
    }
}

/// A semantic version for each that MLflow knows by a number.
fn named(written: &BTreeMap<Key, AuditEvent>, numbered: BTreeMap<u64, Entry>) -> BTreeMap<Version, Entry> {
    let mut named: BTreeMap<Version, Entry> = BTreeMap::new();
    let mut unnamed = Vec::new();
    for (number, entry) in numbered {
        let tagged = entry.tags.get(document::VERSION).and_then(|version| version.parse::<Version>().ok());
        match tagged.filter(|version| !is_taken(named.keys(), version)) {
            Some(version) => {
                named.insert(version, entry);
            }
            // Of two that were registered at once, this is the one that lost.
            None if entry.registered.is_some() => {}
            None => unnamed.push((number, entry)),
        }
    }
    // An event about a version by its number says what it was called.
    let mut called = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for ((_, writer), event) in written {
        if let Some(version) = registered(event) {
            match number_of(writer) {
                Some(number) => called.insert(number, version.clone()).map_or((), drop),
                None => taken.extend([version.clone()]),
            }
        }
    }
    taken.extend(called.values().cloned());
    taken.extend(named.keys().cloned());
    for (number, entry) in unnamed {
        let version = called.get(&number).cloned().unwrap_or_else(|| {
            let mut version = Version::new(number, 0, 0);
            while is_taken(&taken, &version) {
                version.patch += 1;
            }
            version
        });
        taken.insert(version.clone());
        named.insert(version, entry);
    }
    named
}

/// Whether there is that version, or one that differs in its build metadata only.
pub(crate) fn is_taken<'a>(taken: impl IntoIterator<Item = &'a Version>, version: &Version) -> bool {
    taken.into_iter().any(|known| known.cmp_precedence(version).is_eq())
}

/// The event of the registration of a version, which every version tells of itself.
pub(crate) fn registration(model: &ModelName, version: &Version, entry: &Entry) -> (Key, AuditEvent) {
    let (model, change) = (model.clone(), AuditChange::Registered { version: version.clone() });
    match &entry.registered {
        Some(Registered { sequence, writer, at, actor }) => {
            let event = AuditEvent { sequence: *sequence, at: *at, actor: actor.clone(), model, change };
            ((*sequence, writer.clone()), event)
        }
        None => {
            let at = created(&entry.wire);
            // Two may be of one millisecond.
            let sequence = micros(at) + entry.number % 1000;
            let event = AuditEvent { sequence, at, actor: entry.wire.user_id.clone(), model, change };
            ((sequence, format!("{BY_NUMBER}{}", entry.number)), event)
        }
    }
}

/// The writer of an event about a version that is known by its number.
const BY_NUMBER: &str = "mlflow-";

fn number_of(writer: &str) -> Option<u64> {
    writer.strip_prefix(BY_NUMBER)?.parse().ok()
}

/// When MLflow says that a version was created.
pub(crate) fn created(wire: &wire::Version) -> Timestamp {
    Timestamp::UNIX_EPOCH
        .checked_add(SignedDuration::from_millis(wire.creation_timestamp.max(0)))
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Microseconds since 1970: what sequence numbers are, as long as events are further apart.
pub(crate) fn micros(at: Timestamp) -> u64 {
    u64::try_from(at.as_microsecond()).unwrap_or_default()
}

fn registered(event: &AuditEvent) -> Option<&Version> {
    match &event.change {
        AuditChange::Registered { version } => Some(version),
        _ => None,
    }
}

fn deleted(event: &AuditEvent) -> Option<&Version> {
    match &event.change {
        AuditChange::Deleted { version, .. } => Some(version),
        _ => None,
    }
}
