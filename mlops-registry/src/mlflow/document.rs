//! A version of ours as the tags of a version of MLflow.
//!
//! All that is immutable is in tags that are written together with the version, and sealed by a digest; what MLflow
//! shows in its own places (metrics, parameters, a description) is a copy.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mlops_core::{
    Alias, Artifact, Digest, Digester, Error, Lineage, ModelId, ModelVersion, NewVersion, Report, Result,
};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::tags::{self, joined, read};
use super::wire::Tag;

/// The version as text. A version that MLflow's own clients have registered is called by it, too, if they set it.
pub(crate) const VERSION: &str = "mlops.version";
const REGISTERED: &str = "mlops.registered";
const SIGNATURE: &str = "mlops.signature";
const METRICS: &str = "mlops.metrics";
const PARAMETERS: &str = "mlops.parameters";
const LINEAGE: &str = "mlops.lineage";
const DESCRIPTION: &str = "mlops.description";
const ARTIFACT: &str = "mlops.artifact.";
/// The digest of all of the above.
const SEAL: &str = "mlops.digest";
const REPORT: &str = "mlops.report.";
pub(crate) const DEPRECATED: &str = "mlops.deprecated";

/// When and by whom a version was registered, and the place of that in history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registered {
    pub(crate) sequence: u64,
    pub(crate) writer: String,
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
}

/// The tags of a new version.
pub(crate) fn of_new(
    new: &NewVersion,
    version: &Version,
    artifacts: &BTreeMap<String, Artifact>,
    registered: &Registered,
) -> Result<Vec<Tag>> {
    let mut sealed = vec![Tag { key: VERSION.to_owned(), value: version.to_string() }];
    for (name, Artifact { digest, size }) in artifacts {
        sealed.push(Tag { key: format!("{ARTIFACT}{name}"), value: format!("{digest} {size}") });
    }
    for document in [
        tags::document(REGISTERED, registered)?,
        tags::document(SIGNATURE, &new.signature)?,
        tags::document(METRICS, &new.metrics)?,
        tags::document(PARAMETERS, &new.parameters)?,
        tags::document(LINEAGE, &new.lineage)?,
        tags::document(DESCRIPTION, &new.description)?,
    ] {
        sealed.extend(document);
    }
    let seal = seal(&sealed.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect());
    sealed.push(Tag { key: SEAL.to_owned(), value: seal.to_string() });
    for (name, value) in &new.tags {
        sealed.extend(tags::of_user(name, value)?);
    }
    Ok(sealed)
}

/// When and by whom the version with these tags was registered; `None` when it is not one of ours. Anything else of
/// it is read and proven by [`read_version`].
pub(crate) fn registered(of: &str, tags: &BTreeMap<String, String>) -> Result<Option<Registered>> {
    read(of, tags, REGISTERED)
}

/// The version of ours with these tags.
pub(crate) fn read_version(
    id: &ModelId,
    tags: &BTreeMap<String, String>,
    aliases: impl IntoIterator<Item = Alias>,
) -> Result<ModelVersion> {
    let of = id.to_string();
    let edited =
        || Error::integrity(format!("the tags of {id} are not what was registered; were they edited?"));
    if tags.get(SEAL).and_then(|seal| seal.parse::<Digest>().ok()) != Some(seal(tags)) {
        return Err(edited());
    }
    fn need<T>(value: Option<T>, missing: impl Fn() -> Error) -> Result<T> {
        value.ok_or_else(missing)
    }
    let registered = need(registered(&of, tags)?, edited)?;
    let mut version = ModelVersion {
        id: id.clone(),
        signature: need(read(&of, tags, SIGNATURE)?, edited)?,
        artifacts: artifacts(tags).ok_or_else(edited)?,
        metrics: need(read(&of, tags, METRICS)?, edited)?,
        parameters: need(read(&of, tags, PARAMETERS)?, edited)?,
        tags: BTreeMap::new(),
        description: need(read(&of, tags, DESCRIPTION)?, edited)?,
        lineage: need(read::<Lineage>(&of, tags, LINEAGE)?, edited)?,
        registered_at: registered.at,
        registered_by: registered.actor,
        aliases: aliases.into_iter().collect(),
        reports: Vec::new(),
        approvals: Vec::new(),
        deprecated: None,
    };
    add_changing(&mut version, tags)?;
    Ok(version)
}

/// Adds what can change after the registration, of our versions and of those of MLflow's own clients: tags, reports,
/// the warning.
pub(crate) fn add_changing(version: &mut ModelVersion, tags: &BTreeMap<String, String>) -> Result<()> {
    let of = version.id.to_string();
    version.tags = tags::users(&of, tags)?;
    version.deprecated = read(&of, tags, DEPRECATED)?;
    for key in tags.keys().filter(|key| key.starts_with(REPORT) && !tags::is_part(key)) {
        version.reports.extend(read::<Report>(&of, tags, key)?);
    }
    Ok(())
}

/// The tags of a report, whose event has that sequence number: so the oldest comes first.
pub(crate) fn of_report(report: &Report, sequence: u64, writer: &str) -> Result<Vec<Tag>> {
    tags::document(&format!("{REPORT}{sequence:020}.{writer}"), report)
}

fn artifacts(tags: &BTreeMap<String, String>) -> Option<BTreeMap<String, Artifact>> {
    let described = tags.iter().filter_map(|(key, value)| Some((key.strip_prefix(ARTIFACT)?, value)));
    described
        .map(|(name, value)| {
            let (digest, size) = value.split_once(' ')?;
            Some((name.to_owned(), Artifact { digest: digest.parse().ok()?, size: size.parse().ok()? }))
        })
        .collect()
}

/// The digest of all tags that must not change.
fn seal(tags: &BTreeMap<String, String>) -> Digest {
    let mut digester = Digester::new();
    let sealed = [VERSION, REGISTERED, SIGNATURE, METRICS, PARAMETERS, LINEAGE, DESCRIPTION];
    let artifacts = tags.keys().map(String::as_str).filter(|key| key.starts_with(ARTIFACT));
    for key in sealed.into_iter().chain(artifacts) {
        // What is not whole has another digest, too.
        let value = joined("", tags, key).ok().flatten().unwrap_or_default();
        for text in [key, &value] {
            digester.update(&(text.len() as u64).to_le_bytes());
            digester.update(text.as_bytes());
        }
    }
    digester.finish()
}

#[cfg(test)]
mod tests {
    use mlops_core::{ModelName, Signature};

    use super::*;

    fn written() -> (NewVersion, BTreeMap<String, String>) {
        let new = NewVersion::new(ModelName::new("fraud").unwrap(), Signature::new([], []).unwrap())
            .with_metric("auc", 0.1 + 0.2)
            .with_metric("zero", -0.0)
            .with_parameter("ü", "\0")
            .with_tag("team", "risk")
            .with_tag("mlops.version", "hostile")
            .with_description("long ".repeat(3000))
            .with_lineage(Lineage::default().with_code("4f1c2e7"));
        let artifacts = BTreeMap::from([("w".to_owned(), Artifact { digest: Digest::of(b"w"), size: 1 })]);
        let registered =
            Registered { sequence: 7, writer: "w".into(), at: Timestamp::UNIX_EPOCH, actor: "ci".into() };
        let tags = of_new(&new, &Version::new(1, 2, 3), &artifacts, &registered).unwrap();
        (new, tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    #[test]
    fn a_version_comes_back() {
        let (new, tags) = written();
        let id = ModelId::new(new.model.clone(), Version::new(1, 2, 3));
        let read = read_version(&id, &tags, []).unwrap();
        assert_eq!((&read.metrics, &read.parameters, &read.tags), (&new.metrics, &new.parameters, &new.tags));
        assert!(read.metrics["zero"].is_sign_negative());
        assert_eq!((&read.description, &read.lineage), (&new.description, &new.lineage));
        assert_eq!((read.registered_by.as_str(), read.artifacts["w"].size), ("ci", 1));
    }

    #[test]
    fn what_was_edited_is_noticed() {
        let (new, tags) = written();
        let id = ModelId::new(new.model, Version::new(1, 2, 3));
        for key in tags.keys().filter(|key| key.starts_with("mlops.") && !key.starts_with("mlops.tag.")) {
            let mut edited = tags.clone();
            edited.insert(key.clone(), "\"other\"".to_owned());
            assert_eq!(read_version(&id, &edited, []).unwrap_err().label(), "integrity", "{key} edited");
            edited.remove(key);
            assert_eq!(read_version(&id, &edited, []).unwrap_err().label(), "integrity", "{key} removed");
        }
        let mut changed = tags;
        changed.insert("team".to_owned(), "other".to_owned());
        assert_eq!(
            read_version(&id, &changed, []).unwrap().tags["team"],
            "other",
            "tags of users may change"
        );
    }
}
