//! How large the parts of a version may be, so that one careless caller cannot slow every reader down.

use std::collections::BTreeMap;

use mlops_core::{
    AliasMove, Deletion, Deprecation, Error, ModelName, NewReport, NewVersion, Result, Tagging,
};

use crate::lifecycle::NewApproval;
use crate::runs::NewRun;

/// Bytes of one transition in the log: everything about a version but the content of its artifacts.
pub const MAX_TRANSITION_BYTES: usize = 4 << 20;

/// Bytes of a description or a reason.
pub const MAX_TEXT_BYTES: usize = 64 << 10;

/// Bytes of the value of a tag, of a parameter, of one entry of an environment.
pub const MAX_VALUE_BYTES: usize = 8 << 10;

/// Bytes of the name of a tag, a metric or a parameter, of an actor, of a version as text.
pub const MAX_NAME_BYTES: usize = 250;

/// Entries in one map: artifacts, metrics, parameters, tags, environment.
pub const MAX_ENTRIES: usize = 1000;

pub(crate) fn check_new(new: &NewVersion) -> Result<()> {
    for name in new.artifacts.keys() {
        check_artifact_name(name)?;
    }
    check_entries("artifacts", new.artifacts.len())?;
    check_metrics(&new.metrics)?;
    check_map("parameter", &new.parameters)?;
    check_map("tag", &new.tags)?;
    check_map("environment", &new.lineage.environment)?;
    check_length("the description", &new.description, MAX_TEXT_BYTES)?;
    check_length("the commit of the code", new.lineage.code.as_deref().unwrap_or_default(), MAX_VALUE_BYTES)?;
    check_length("the training run", new.lineage.run.as_deref().unwrap_or_default(), MAX_VALUE_BYTES)?;
    check_entries("parents", new.lineage.parents.len())?;
    check_actor(&new.actor)?;
    new.version
        .as_ref()
        .map_or(Ok(()), |version| check_length("the version", &version.to_string(), MAX_NAME_BYTES))
}

pub(crate) fn check_alias_move(change: &AliasMove) -> Result<()> {
    check_length("the reason", &change.reason, MAX_TEXT_BYTES)?;
    check_actor(&change.actor)
}

pub(crate) fn check_tagging(change: &Tagging) -> Result<()> {
    check_name("the name of a tag", &change.name)?;
    check_length("the value of a tag", change.value.as_deref().unwrap_or_default(), MAX_VALUE_BYTES)?;
    check_actor(&change.actor)
}

pub(crate) fn check_report(report: &NewReport) -> Result<()> {
    check_name("the name of a report", &report.name)?;
    check_metrics(&report.metrics)?;
    check_length("the summary of a report", &report.summary, MAX_TEXT_BYTES)?;
    check_actor(&report.actor)
}

pub(crate) fn check_approval(approval: &NewApproval) -> Result<()> {
    if approval.actor.is_empty() {
        return Err(Error::invalid_input("an approval must say who approves"));
    }
    check_length("the comment", &approval.comment, MAX_TEXT_BYTES)?;
    check_actor(&approval.actor)
}

pub(crate) fn check_deprecation(change: &Deprecation) -> Result<()> {
    check_length("the reason", change.reason.as_deref().unwrap_or_default(), MAX_TEXT_BYTES)?;
    check_actor(&change.actor)
}

pub(crate) fn check_deletion(deletion: &Deletion) -> Result<()> {
    check_length("the reason", &deletion.reason, MAX_TEXT_BYTES)?;
    check_actor(&deletion.actor)
}

pub(crate) fn check_run(new: &NewRun) -> Result<()> {
    check_name("the name of an experiment", &new.experiment)?;
    check_length("the name of the run", &new.name, MAX_NAME_BYTES)?;
    check_map("parameter", &new.parameters)?;
    check_map("tag", &new.tags)?;
    check_actor(&new.actor)
}

fn check_metrics(metrics: &BTreeMap<String, f64>) -> Result<()> {
    check_entries("metrics", metrics.len())?;
    for (name, value) in metrics {
        check_name("the name of a metric", name)?;
        if !value.is_finite() {
            return Err(Error::invalid_input(format!(
                "the metric `{name}` is {value}; metrics must be finite"
            )));
        }
    }
    Ok(())
}

/// Artifacts obey the rule of all names of the house, so that a host can use theirs as file names.
pub(crate) fn check_artifact_name(name: &str) -> Result<()> {
    ModelName::new(name).map(drop).map_err(|_| {
        Error::invalid_input(format!(
            "the name `{}` of an artifact is refused; allowed are one to 128 ASCII letters, digits, `.`, `_` and \
             `-`, the first a letter or a digit",
            shown(name)
        ))
    })
}

pub(crate) fn check_actor(actor: &str) -> Result<()> {
    check_length("the actor", actor, MAX_NAME_BYTES)
}

fn check_map(what: &str, map: &BTreeMap<String, String>) -> Result<()> {
    check_entries(&format!("entries of kind {what}"), map.len())?;
    for (name, value) in map {
        check_name(&format!("the name of a {what}"), name)?;
        check_length(&format!("the value of the {what} `{name}`"), value, MAX_VALUE_BYTES)?;
    }
    Ok(())
}

fn check_entries(what: &str, count: usize) -> Result<()> {
    if count <= MAX_ENTRIES {
        return Ok(());
    }
    Err(Error::invalid_input(format!("{count} {what}; at most {MAX_ENTRIES} are allowed")))
}

pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid_input(format!("{what} is empty")));
    }
    if name.contains(char::is_control) {
        return Err(Error::invalid_input(format!("{what}, `{}`, contains a control character", shown(name))));
    }
    check_length(what, name, MAX_NAME_BYTES)
}

pub(crate) fn check_length(what: &str, text: &str, limit: usize) -> Result<()> {
    if text.len() <= limit {
        return Ok(());
    }
    Err(Error::invalid_input(format!("{what} has {} bytes; at most {limit} are allowed", text.len())))
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
