//! What may be done to a registry in a given state: from an intent to the change that is written.

use mlops_core::{AliasMove, Error, ModelName, NewVersion, Result, Signature, Tagging};
use semver::Version;

use crate::document::{Change, Registration, StoredArtifact};
use crate::state::{Model, State, there_are};

/// Registers `new` with `artifacts`, which are those of `new` by digest.
pub(crate) fn register(
    state: &State,
    new: &NewVersion,
    artifacts: impl IntoIterator<Item = (String, StoredArtifact)>,
) -> Result<Change> {
    let version = choose_version(state, new)?;
    Ok(Change::Register(Box::new(Registration {
        version,
        signature: new.signature.clone(),
        artifacts: artifacts.into_iter().collect(),
        metrics: new.metrics.clone(),
        parameters: new.parameters.clone(),
        tags: new.tags.clone(),
        description: new.description.clone(),
        lineage: new.lineage.clone().into(),
    })))
}

pub(crate) fn move_alias(state: &State, change: &AliasMove) -> Result<Change> {
    let AliasMove { model: name, alias, to, expected, reason, .. } = change;
    let model = state.model(name)?;
    if let Some(to) = to {
        model.version(name, to)?;
    }
    let from = model.alias(alias).cloned();
    if let Some(expected) = expected
        && *expected != from
    {
        let (expected, from) = (nowhere_or(expected.as_ref()), nowhere_or(from.as_ref()));
        return Err(Error::conflict(format!("`{alias}` of `{name}` points to {from}, not to {expected}")));
    }
    if to.is_none() && from.is_none() {
        return Err(model.no_alias(name, alias));
    }
    Ok(Change::MoveAlias { alias: alias.clone(), from, to: to.clone(), reason: reason.clone() })
}

pub(crate) fn tag(state: &State, change: &Tagging) -> Result<Change> {
    let Tagging { id, name, value, .. } = change;
    let version = state.model(&id.name)?.version(&id.name, &id.version)?;
    let from = version.tags.get(name).cloned();
    if value.is_none() && from.is_none() {
        let known = there_are(version.tags.keys());
        return Err(Error::not_found(format!("{id} has no tag `{name}`; {known}")));
    }
    Ok(Change::Tag { version: id.version.clone(), name: name.clone(), from, to: value.clone() })
}

/// The version that was asked for, if it may be; else the next major one.
fn choose_version(state: &State, new: &NewVersion) -> Result<Version> {
    let name = &new.model;
    let model = state.model_or_new(name);
    let Some(version) = &new.version else {
        return next_major(name, &model);
    };
    if let Some(known) = model.same_precedence(version) {
        let hint = if known == version { "" } else { ", and build metadata makes no other version" };
        return Err(Error::conflict(format!(
            "{name} {known} is registered already{hint}; versions are immutable"
        )));
    }
    check_compatible(name, &model, version, &new.signature)?;
    Ok(version.clone())
}

fn next_major(name: &ModelName, model: &Model) -> Result<Version> {
    let highest = model.versions().next_back().map_or(0, |version| version.id.version.major);
    let next = highest.checked_add(1);
    let next =
        next.ok_or_else(|| Error::conflict(format!("`{name}` has no major version above {highest}")))?;
    Ok(Version::new(next, 0, 0))
}

/// Within a major version, each release takes every call the release below it takes. Major 0 and
/// pre-releases promise nothing, as in semver.
fn check_compatible(name: &ModelName, model: &Model, version: &Version, signature: &Signature) -> Result<()> {
    let promises = |version: &Version| version.major > 0 && version.pre.is_empty();
    if !promises(version) {
        return Ok(());
    }
    let same_major = || {
        let versions = model.versions().filter(|other| promises(&other.id.version));
        versions.filter(|other| other.id.version.major == version.major)
    };
    let below = same_major().rfind(|other| other.id.version < *version);
    let above = same_major().find(|other| other.id.version > *version);
    let steps = [
        below.map(|below| (&below.id.version, &below.signature, version, signature)),
        above.map(|above| (version, signature, &above.id.version, &above.signature)),
    ];
    for (from, before, to, after) in steps.into_iter().flatten() {
        let change = before.change_to(after);
        if change.is_breaking() {
            let next = next_major(name, model)?;
            return Err(Error::conflict(format!(
                "from {name} {from} to {to} the signature changes in a way that breaks callers ({change}), which \
                 needs a new major version: register it as {next}"
            )));
        }
    }
    Ok(())
}

fn nowhere_or(version: Option<&Version>) -> String {
    version.map_or_else(|| "nowhere".to_owned(), Version::to_string)
}
