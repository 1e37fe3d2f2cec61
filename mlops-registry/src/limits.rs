//! How large the parts of a version may be, so that one careless caller cannot slow every reader down.

use std::collections::BTreeMap;

use mlops_core::{
    AliasMove, Deletion, Deprecation, Error, ModelId, ModelName, NewReport, NewVersion, Result, Tagging,
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

/// Entries in one map or list: artifacts, metrics, parameters, tags, environment, of versions and of runs; reports,
/// approvals and signatures of a version; aliases of a model that point somewhere, and those that are protected. What
/// comes one by one is counted, too.
pub const MAX_ENTRIES: usize = 1000;

/// Bytes of all that is known of a version, with what was added since it was registered; the content of its artifacts
/// does not count.
pub const MAX_VERSION_BYTES: usize = 8 << 20;

pub(crate) fn check_new(new: &NewVersion) -> Result<()> {
    for name in new.artifacts.keys() {
        check_artifact_name(name)?;
    }
    check_entries("artifacts", new.artifacts.len())?;
    check_distinct(new.artifacts.keys())?;
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
    check_line("the name of the run", &new.name)?;
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

/// What a host can use as a file name on any system: the rule of all names of the house, without what Windows keeps for
/// its devices, and without a dot at the end, which Windows drops.
pub(crate) fn check_artifact_name(name: &str) -> Result<()> {
    check_path_segment(name)?;
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let device = match stem.as_bytes() {
        [b'c', b'o', b'm', b'0'..=b'9'] | [b'l', b'p', b't', b'0'..=b'9'] => true,
        stem => [&b"con"[..], b"prn", b"aux", b"nul"].contains(&stem),
    };
    if device || name.ends_with('.') {
        return Err(Error::invalid_input(format!(
            "the name `{name}` of an artifact is refused: it cannot be the name of a file on Windows"
        )));
    }
    Ok(())
}

/// What every artifact in a log obeys, whoever wrote it: as a file name it leads nowhere else.
pub(crate) fn check_path_segment(name: &str) -> Result<()> {
    ModelName::new(name).map(drop).map_err(|_| {
        Error::invalid_input(format!(
            "the name `{}` of an artifact is refused; allowed are one to 128 ASCII letters, digits, `.`, `_` and \
             `-`, the first a letter or a digit",
            shown(name)
        ))
    })
}

/// Some file systems do not tell capital letters from small ones.
pub(crate) fn check_distinct<'a>(names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = BTreeMap::new();
    for name in names {
        if let Some(other) = seen.insert(name.to_ascii_lowercase(), name) {
            return Err(Error::invalid_input(format!(
                "the artifacts `{other}` and `{name}` differ in nothing but capital letters"
            )));
        }
    }
    Ok(())
}

pub(crate) fn check_actor(actor: &str) -> Result<()> {
    check_line("the actor", actor)
}

/// A text for people that stands in lines of others: in logs, in tables.
fn check_line(what: &str, text: &str) -> Result<()> {
    check_control(what, text)?;
    check_length(what, text, MAX_NAME_BYTES)
}

/// Whether there is room for one more, where there are `count`.
pub(crate) fn check_room(whose: impl std::fmt::Display, what: &str, count: usize) -> Result<()> {
    if count < MAX_ENTRIES {
        return Ok(());
    }
    Err(Error::invalid_input(format!(
        "{whose} has {count} {what} already; at most {MAX_ENTRIES} are allowed"
    )))
}

/// Whether a version of `bytes` bytes may be.
pub(crate) fn check_version(id: &ModelId, bytes: usize) -> Result<()> {
    if bytes <= MAX_VERSION_BYTES {
        return Ok(());
    }
    Err(Error::invalid_input(format!(
        "with this {id} has {bytes} bytes, the content of artifacts not counted; at most {MAX_VERSION_BYTES} are \
         allowed"
    )))
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
    check_line(what, name)
}

fn check_control(what: &str, text: &str) -> Result<()> {
    if text.contains(char::is_control) {
        return Err(Error::invalid_input(format!("{what}, `{}`, contains a control character", shown(text))));
    }
    Ok(())
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
