//! What may be done to a registry in a given state: from an intent to the change that is written.

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::{
    Alias, AliasMove, Artifact, Change as SignatureChange, Deletion, Deprecation, Error, ModelId, ModelName,
    ModelVersion, NewReport, NewVersion, Result, Signature, Tagging,
};
use semver::{Prerelease, Version};

use crate::document::{Change, ModelChange, Registration, RegistrationText};
use crate::lifecycle::{NewApproval, Protecting};
use crate::limits;
use crate::state::{Model, State, there_are};
use crate::trust::VersionSignature;

/// Registers `new` with `artifacts`, which are those of `new` by digest. `sign` signs its document.
pub(crate) fn register(
    state: &State,
    new: &NewVersion,
    artifacts: &[(String, Artifact)],
    sign: impl Fn(&str) -> Vec<VersionSignature>,
) -> Result<Change> {
    let version = choose_version(state, new)?;
    let registration = Registration::new(version, new, artifacts.iter().cloned());
    let version = RegistrationText::new(registration)
        .map_err(|cause| Error::internal("a version cannot be written as JSON").with_source(cause))?;
    let signatures = sign(version.text());
    Ok(of(&new.model, ModelChange::Register { version, signatures }))
}

pub(crate) fn move_alias(state: &State, change: &AliasMove) -> Result<Change> {
    let AliasMove { model: name, alias, to, expected, reason, .. } = change;
    let model = state.model(name)?;
    let to_version = to.as_ref().map(|to| model.version(name, to)).transpose()?;
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
    if let Some(to) = to_version {
        if from.is_none() {
            let count = model.aliases().values().filter(|state| state.to.is_some()).count();
            limits::check_room(format_args!("`{name}`"), "aliases", count)?;
        }
        check_protection(model, alias, &to)?;
    }
    let (alias, to, reason) = (alias.clone(), to.clone(), reason.clone());
    Ok(of(name, ModelChange::MoveAlias { alias, from, to, reason }))
}

pub(crate) fn tag(state: &State, change: &Tagging) -> Result<Change> {
    let Tagging { id, name, value, .. } = change;
    let version = version(state, id)?;
    let from = version.tags.get(name).cloned();
    if value.is_none() && from.is_none() {
        let known = there_are(version.tags.keys());
        return Err(Error::not_found(format!("{id} has no tag `{name}`; {known}")));
    }
    if value.is_some() && from.is_none() {
        limits::check_room(id, "tags", version.tags.len())?;
    }
    if let Some(value) = value {
        check_size(state, id, [name.as_str(), value])?;
    }
    let (version, name, to) = (id.version.clone(), name.clone(), value.clone());
    Ok(of(&id.name, ModelChange::Tag { version, name, from, to }))
}

pub(crate) fn report(state: &State, report: &NewReport) -> Result<Change> {
    let NewReport { id, name, passed, metrics, summary, .. } = report;
    limits::check_room(id, "reports", version(state, id)?.reports.len())?;
    let measured = metrics.keys().map(String::as_str);
    check_size(state, id, measured.chain([name.as_str(), summary, &report.actor]))?;
    let (version, name, metrics, summary) =
        (id.version.clone(), name.clone(), metrics.clone(), summary.clone());
    Ok(of(&id.name, ModelChange::Report { version, name, passed: *passed, metrics, summary }))
}

pub(crate) fn approve(state: &State, approval: &NewApproval) -> Result<Change> {
    let NewApproval { id, alias, comment, .. } = approval;
    limits::check_room(id, "approvals", version(state, id)?.approvals.len())?;
    check_size(state, id, [comment.as_str(), &approval.actor])?;
    let (version, alias, comment) = (id.version.clone(), alias.clone(), comment.clone());
    Ok(of(&id.name, ModelChange::Approve { version, alias, comment }))
}

pub(crate) fn protect(state: &State, change: &Protecting) -> Result<Change> {
    let model = state.model(&change.model)?;
    if change.protection.is_some() && !model.protections().contains_key(&change.alias) {
        limits::check_room(
            format_args!("`{}`", change.model),
            "protected aliases",
            model.protections().len(),
        )?;
    }
    let (alias, protection) = (change.alias.clone(), change.protection);
    Ok(of(&change.model, ModelChange::Protect { alias, protection }))
}

#[cfg(feature = "sign")]
pub(crate) fn sign(state: &State, id: &ModelId, key: &crate::SigningKey) -> Result<Change> {
    let record = state.model(&id.name)?.record(&id.name, &id.version)?;
    let stored = record.read()?;
    let signature = key.sign(&id.name, stored.document());
    if stored.amendments.signatures.contains(&signature) {
        return Err(Error::conflict(format!("{id} is signed with {} already", signature.key())));
    }
    limits::check_room(id, "signatures", stored.amendments.signatures.len())?;
    Ok(of(&id.name, ModelChange::Sign { version: id.version.clone(), signature }))
}

pub(crate) fn deprecate(state: &State, change: &Deprecation) -> Result<Change> {
    let Deprecation { id, reason, .. } = change;
    if version(state, id)?.deprecated.is_none() && reason.is_none() {
        return Err(Error::not_found(format!("{id} is not deprecated")));
    }
    check_size(state, id, reason.as_deref())?;
    let (version, reason) = (id.version.clone(), reason.clone());
    Ok(of(&id.name, ModelChange::Deprecate { version, reason }))
}

pub(crate) fn delete(state: &State, deletion: &Deletion) -> Result<Change> {
    let Deletion { id, reason, .. } = deletion;
    let version = version(state, id)?;
    if !version.aliases.is_empty() {
        let aliases: Vec<_> = version.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        return Err(Error::conflict(format!(
            "{} of `{}` points to {id}; move it away before you delete the version",
            aliases.join(", "),
            id.name
        )));
    }
    let (version, reason) = (id.version.clone(), reason.clone());
    Ok(of(&id.name, ModelChange::Delete { version, reason }))
}

fn of(name: &ModelName, change: ModelChange) -> Change {
    Change::Model { name: name.clone(), change }
}

fn version(state: &State, id: &ModelId) -> Result<std::sync::Arc<ModelVersion>> {
    state.model(&id.name)?.version(&id.name, &id.version)
}

/// Whether a version may grow by these texts.
fn check_size<'a>(state: &State, id: &ModelId, texts: impl IntoIterator<Item = &'a str>) -> Result<()> {
    /// Of the words around a text: names of fields, a time, a number.
    const AROUND: usize = 64;
    let record = state.model(&id.name)?.record(&id.name, &id.version)?;
    let added: usize = texts.into_iter().map(|text| escaped(text) + AROUND).sum();
    limits::check_version(id, record.text().len() + added)
}

/// How many bytes a text has as JSON.
fn escaped(text: &str) -> usize {
    let bytes = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(bytes).sum()
}

/// Whether an alias may move to `to`. Back to a version it has pointed to before it always may: a way back that
/// waits for somebody's approval is none.
fn check_protection(model: &Model, alias: &Alias, to: &ModelVersion) -> Result<()> {
    let protection = model.protection(alias);
    if model.has_held(alias, &to.id.version) {
        return Ok(());
    }
    let approvals = to.approvals.iter().filter(|approval| approval.alias == *alias);
    let approvers: BTreeSet<_> = approvals.map(|approval| approval.by.as_str()).collect();
    let mut missing = Vec::new();
    if approvers.len() < protection.approvals as usize {
        let who = if approvers.is_empty() {
            "nobody has approved".to_owned()
        } else {
            format!("approved by {}", Vec::from_iter(approvers).join(", "))
        };
        missing.push(format!("{} different people must approve ({who})", protection.approvals));
    }
    if protection.passed_gate {
        // The last word of each gate counts.
        let gates: BTreeMap<_, _> =
            to.reports.iter().filter_map(|report| Some((report.name.as_str(), report.passed?))).collect();
        let failed: Vec<_> = gates.iter().filter(|(_, passed)| !**passed).map(|(name, _)| *name).collect();
        if gates.is_empty() {
            missing.push("a gate must have reported that it passed (none has reported)".to_owned());
        } else if !failed.is_empty() {
            missing.push(format!("every gate must be passed (failed: {})", failed.join(", ")));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("`{alias}` may not move to {}: {}", to.id, missing.join("; "));
    Err(Error::PermissionDenied { what })
}

/// The version that was asked for, if it may be; else the next major one.
fn choose_version(state: &State, new: &NewVersion) -> Result<Version> {
    let name = &new.model;
    let nothing = Model::default();
    let model = state.models.get(name).unwrap_or(&nothing);
    let Some(version) = &new.version else {
        return next_major(name, model);
    };
    if let Some(known) = model.same_precedence(version) {
        let hint = match model.deleted().contains_key(known) {
            true => " and deleted",
            false if known != version => ", and build metadata makes no other version",
            false => "",
        };
        return Err(Error::conflict(format!(
            "{name} {known} is registered already{hint}; versions are immutable"
        )));
    }
    check_compatible(name, model, version, &new.signature)?;
    Ok(version.clone())
}

fn next_major(name: &ModelName, model: &Model) -> Result<Version> {
    let highest = model.highest_major();
    let next = highest.checked_add(1);
    let next =
        next.ok_or_else(|| Error::conflict(format!("`{name}` has no major version above {highest}")))?;
    Ok(Version::new(next, 0, 0))
}

/// Within a major version, each release takes every call the release below it takes; within a minor version, they
/// have the same signature. Major 0 and pre-releases promise nothing, as in semver.
fn check_compatible(name: &ModelName, model: &Model, version: &Version, signature: &Signature) -> Result<()> {
    let promises = |version: &Version| version.major > 0 && version.pre.is_empty();
    if !promises(version) {
        return Ok(());
    }
    let least =
        |major| Version { pre: Prerelease::new("0").unwrap_or_default(), ..Version::new(major, 0, 0) };
    let below = model.numbers_between(&least(version.major), version).rfind(|other| promises(other));
    let above = model.numbers_above(version).find(|other| promises(other));
    let above = above.filter(|other| other.major == version.major);
    let neighbour = |number: &Version| model.version(name, number);
    if let Some(below) = below {
        check_step(name, model, below, &neighbour(below)?.signature, version, signature)?;
    }
    if let Some(above) = above {
        check_step(name, model, version, signature, above, &neighbour(above)?.signature)?;
    }
    Ok(())
}

/// Whether the signature may change so from one release to the next.
fn check_step(
    name: &ModelName,
    model: &Model,
    from: &Version,
    before: &Signature,
    to: &Version,
    after: &Signature,
) -> Result<()> {
    let change = before.change_to(after);
    if change.is_breaking() {
        let next = next_major(name, model)?;
        return Err(Error::conflict(format!(
            "from {name} {from} to {to} the signature changes in a way that breaks callers ({change}), which \
             needs a new major version: register it as {next}"
        )));
    }
    if change != SignatureChange::Identical && from.minor == to.minor {
        return Err(Error::conflict(format!(
            "from {name} {from} to {to} the signature changes ({change}), which needs at least a new minor version"
        )));
    }
    Ok(())
}

fn nowhere_or(version: Option<&Version>) -> String {
    version.map_or_else(|| "nowhere".to_owned(), Version::to_string)
}
