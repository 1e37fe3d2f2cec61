//! The documents of the log: what is in a transition, how it is written, and how it is proven unharmed.
//!
//! The stored form is written out here, apart from the types of `mlops-core`, so that a change of those
//! does not silently change what is on disk.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mlops_core::{
    Alias, Artifact, AuditChange, AuditEvent, Digest, Error, Lineage, ModelId, ModelName, ModelVersion,
    Result, Signature,
};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::limits;

/// The format this library writes, and the only one it reads.
const FORMAT: u32 = 1;

/// A transition together with its stored form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    pub(crate) transition: Transition,
    pub(crate) digest: Digest,
}

/// One change of the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transition {
    /// The first is 1; there are no gaps.
    pub(crate) sequence: u64,
    /// The digest of the transition before; the first has none.
    pub(crate) previous: Option<Digest>,
    /// Which open registry wrote it, so that it knows its own writes again.
    pub(crate) writer: String,
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) model: ModelName,
    pub(crate) change: Change,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    Register(Box<Registration>),
    MoveAlias { alias: Alias, from: Option<Version>, to: Option<Version>, reason: String },
    Tag { version: Version, name: String, from: Option<String>, to: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    pub(crate) version: Version,
    pub(crate) signature: Signature,
    pub(crate) artifacts: BTreeMap<String, StoredArtifact>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) description: String,
    pub(crate) lineage: StoredLineage,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredArtifact {
    digest: Digest,
    size: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredLineage {
    data: Option<Digest>,
    data_rows: Option<u64>,
    code: Option<String>,
    run: Option<String>,
    parents: Vec<ModelId>,
    environment: BTreeMap<String, String>,
}

/// What is in a file. The digest is that of the text of the transition, to the byte.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    format: u32,
    digest: Digest,
    #[serde(borrow)]
    transition: &'a RawValue,
}

impl Document {
    /// The document of a transition, and its bytes.
    pub(crate) fn encode(transition: Transition) -> Result<(Self, Vec<u8>)> {
        let unwritable = |cause| Error::internal("a transition cannot be written as JSON").with_source(cause);
        let text = serde_json::value::to_raw_value(&transition).map_err(unwritable)?;
        let digest = Digest::of(text.get().as_bytes());
        let envelope = Envelope { format: FORMAT, digest, transition: &text };
        let bytes = serde_json::to_vec(&envelope).map_err(unwritable)?;
        if bytes.len() > limits::MAX_TRANSITION_BYTES {
            return Err(Error::invalid_input(format!(
                "the version needs {} bytes in the log without its artifacts; at most {} are allowed",
                bytes.len(),
                limits::MAX_TRANSITION_BYTES
            )));
        }
        Ok((Self { transition, digest }, bytes))
    }

    /// Reads the document `bytes` of transition `sequence`; `file` names it in errors.
    pub(crate) fn decode(file: &str, sequence: u64, bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct AnyFormat {
            format: u32,
        }
        let unreadable =
            |cause| Error::integrity(format!("{file} is no transition of a registry")).with_source(cause);
        let AnyFormat { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format != FORMAT {
            return Err(Error::unsupported(format!(
                "{file} has format {format}, but this version of mlops-registry reads format {FORMAT} only"
            )));
        }
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(unreadable)?;
        let text = envelope.transition.get();
        envelope.digest.verify(&format!("the transition in {file}"), text.as_bytes())?;
        let transition: Transition = serde_json::from_str(text).map_err(unreadable)?;
        if transition.sequence != sequence {
            return Err(Error::integrity(format!("{file} holds transition {}", transition.sequence)));
        }
        Ok(Self { transition, digest: envelope.digest })
    }
}

impl Transition {
    /// What history says of it.
    pub(crate) fn event(&self) -> AuditEvent {
        let change = match self.change.clone() {
            Change::Register(new) => AuditChange::Registered { version: new.version },
            Change::MoveAlias { alias, from, to, reason } => {
                AuditChange::AliasMoved { alias, from, to, reason }
            }
            Change::Tag { version, name, from, to } => AuditChange::Tagged { version, name, from, to },
        };
        let (at, actor, model) = (self.at, self.actor.clone(), self.model.clone());
        AuditEvent { sequence: self.sequence, at, actor, model, change }
    }

    /// The version it brings into being, if it does.
    pub(crate) fn registered(&self) -> Option<ModelVersion> {
        let Change::Register(new) = &self.change else {
            return None;
        };
        let new = (**new).clone();
        Some(ModelVersion {
            id: ModelId::new(self.model.clone(), new.version),
            signature: new.signature,
            artifacts: new.artifacts.into_iter().map(|(name, artifact)| (name, artifact.into())).collect(),
            metrics: new.metrics,
            parameters: new.parameters,
            tags: new.tags,
            description: new.description,
            lineage: new.lineage.into(),
            registered_at: self.at,
            registered_by: self.actor.clone(),
            aliases: Default::default(),
        })
    }
}

impl From<Artifact> for StoredArtifact {
    fn from(artifact: Artifact) -> Self {
        Self { digest: artifact.digest, size: artifact.size }
    }
}

impl From<StoredArtifact> for Artifact {
    fn from(stored: StoredArtifact) -> Self {
        Self { digest: stored.digest, size: stored.size }
    }
}

impl From<Lineage> for StoredLineage {
    fn from(lineage: Lineage) -> Self {
        Self {
            data: lineage.data,
            data_rows: lineage.data_rows,
            code: lineage.code,
            run: lineage.run,
            parents: lineage.parents,
            environment: lineage.environment,
        }
    }
}

impl From<StoredLineage> for Lineage {
    fn from(stored: StoredLineage) -> Self {
        let mut lineage = Self::default();
        lineage.data = stored.data;
        lineage.data_rows = stored.data_rows;
        lineage.code = stored.code;
        lineage.run = stored.run;
        lineage.parents = stored.parents;
        lineage.environment = stored.environment;
        lineage
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "log/7.json";

    /// The stored form of format 1, to the byte. It must never change.
    const GOLDEN: &str = concat!(
        r#"{"format":1,"digest":"sha256:4cb712b93915d75af1afe7f9d28096111da7ecc2bd6ae16c645ba33944f4e9bc","#,
        r#""transition":{"sequence":7,"#,
        r#""previous":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","#,
        r#""writer":"w","at":"2026-11-05T12:30:00.123456789Z","actor":"ci","model":"fraud","#,
        r#""change":{"register":{"version":"1.2.0-rc.1+x","#,
        r#""signature":{"inputs":[{"name":"x","datatype":"FP32","shape":["batch",4]}],"outputs":[]},"#,
        r#""artifacts":{"weights":{"digest":"#,
        r#""sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3}},"#,
        r#""metrics":{"auc":0.30000000000000004},"parameters":{"depth":"7"},"tags":{"team":"risk"},"#,
        r#""description":"d","lineage":{"data":null,"data_rows":12,"code":"4f1c2e7","run":null,"#,
        r#""parents":[{"name":"base","version":"3.0.0"}],"environment":{"rustc":"1.95"}}}}}}"#
    );

    fn golden() -> Transition {
        let digest = Digest::of(b"abc");
        Transition {
            sequence: 7,
            previous: Some(digest),
            writer: "w".into(),
            at: "2026-11-05T12:30:00.123456789Z".parse().unwrap(),
            actor: "ci".into(),
            model: ModelName::new("fraud").unwrap(),
            change: Change::Register(Box::new(Registration {
                version: "1.2.0-rc.1+x".parse().unwrap(),
                signature: Signature::new(
                    [mlops_core::TensorSpec::new(
                        "x",
                        mlops_core::DType::Fp32,
                        [mlops_core::Dimension::Batch, mlops_core::Dimension::Fixed(4)],
                    )],
                    [],
                )
                .unwrap(),
                artifacts: [("weights".into(), StoredArtifact { digest, size: 3 })].into(),
                metrics: [("auc".into(), 0.1 + 0.2)].into(),
                parameters: [("depth".into(), "7".into())].into(),
                tags: [("team".into(), "risk".into())].into(),
                description: "d".into(),
                lineage: Lineage::default()
                    .with_data_rows(12)
                    .with_code("4f1c2e7")
                    .with_parent(ModelId::new(ModelName::new("base").unwrap(), Version::new(3, 0, 0)))
                    .with_environment("rustc", "1.95")
                    .into(),
            })),
        }
    }

    fn encode(transition: Transition) -> Vec<u8> {
        Document::encode(transition).unwrap().1
    }

    #[test]
    fn the_stored_form_does_not_change() {
        assert_eq!(String::from_utf8(encode(golden())).unwrap(), GOLDEN);
        assert_eq!(Document::decode(FILE, 7, GOLDEN.as_bytes()).unwrap().transition, golden());
    }

    #[test]
    fn other_formats_and_fields_are_refused_by_name() {
        let cases = [
            (GOLDEN.replace(r#""format":1"#, r#""format":2"#), "unsupported", "log/7.json has format 2"),
            (
                GOLDEN.replace(r#""format":1"#, r#""format":1,"more":1"#),
                "integrity",
                "log/7.json is no transition",
            ),
            (GOLDEN.replace("fraud", "fraus"), "integrity", "log/7.json should have digest"),
            (String::new(), "integrity", "log/7.json is no transition"),
            ("[]".to_owned(), "integrity", "log/7.json is no transition"),
        ];
        for (text, label, message) in cases {
            let error = Document::decode(FILE, 7, text.as_bytes()).unwrap_err();
            assert_eq!(error.label(), label, "{error}");
            assert!(error.to_string().contains(message), "{error}");
        }
        let error = Document::decode(FILE, 8, GOLDEN.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "integrity violated: log/7.json holds transition 7");
        // A field nobody knows, under a digest that is right.
        for known in [r#""size":3"#, r#""code":"4f1c2e7""#, r#""actor":"ci""#, r#""version":"1.2.0-rc.1+x""#]
        {
            let text =
                serde_json::to_string(&golden()).unwrap().replace(known, &format!(r#"{known},"more":1"#));
            let error = Document::decode(FILE, 7, &sealed(&text)).unwrap_err();
            assert_eq!(error.label(), "integrity", "{known}: {error}");
        }
    }

    fn sealed(text: &str) -> Vec<u8> {
        let digest = Digest::of(text.as_bytes());
        format!(r#"{{"format":1,"digest":"{digest}","transition":{text}}}"#).into_bytes()
    }

    fn optional_version() -> impl Strategy<Value = Option<Version>> {
        proptest::option::of(
            (any::<u64>(), any::<u64>(), 0_u64..3).prop_map(|(a, b, c)| Version::new(a, b, c)),
        )
    }

    fn changes() -> impl Strategy<Value = Change> {
        let text = any::<String>;
        let register = (any::<Vec<(String, String)>>(), any::<Vec<(String, f64)>>(), text()).prop_map(
            |(pairs, metrics, description)| {
                let Change::Register(mut new) = golden().change else { unreachable!() };
                new.metrics = metrics.into_iter().filter(|(_, value)| value.is_finite()).collect();
                new.parameters = pairs.iter().cloned().collect();
                new.tags = pairs.into_iter().rev().collect();
                new.description = description;
                Change::Register(new)
            },
        );
        let alias = "[a-z][a-z0-9._-]{0,20}".prop_map(|alias| Alias::new(alias).unwrap());
        let moves = (alias, optional_version(), optional_version(), text())
            .prop_map(|(alias, from, to, reason)| Change::MoveAlias { alias, from, to, reason });
        let tags = (text(), any::<Option<String>>(), any::<Option<String>>())
            .prop_map(|(name, from, to)| Change::Tag { version: Version::new(1, 0, 0), name, from, to });
        prop_oneof![register, moves, tags]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(change in changes(), actor in any::<String>(), sequence in any::<u64>()) {
            let transition = Transition { sequence, actor, change, previous: None, ..golden() };
            let (document, bytes) = Document::encode(transition).unwrap();
            prop_assert_eq!(Document::decode(FILE, sequence, &bytes).unwrap(), document);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}:,\"0-9a-z]{0,200}") {
            prop_assert!(Document::decode(FILE, 7, &bytes).is_err());
            prop_assert!(Document::decode(FILE, 7, text.as_bytes()).is_err());
            // The same behind a digest that is right, where the inner decoder meets it.
            prop_assert!(Document::decode(FILE, 7, &sealed(&text)).is_err());
        }

        #[test]
        fn no_edit_makes_it_panic(
            edits in proptest::collection::vec((0..GOLDEN.len(), any::<u8>()), 1..4),
            cut in 0..GOLDEN.len(),
        ) {
            let mut bytes = GOLDEN.as_bytes().to_vec();
            for (at, byte) in edits {
                bytes[at] = byte;
            }
            if bytes != GOLDEN.as_bytes() {
                prop_assert!(Document::decode(FILE, 7, &bytes).is_err());
            }
            prop_assert!(Document::decode(FILE, 7, &bytes[..cut]).is_err());
            // And behind a digest that is right: the answer does not matter, only that there is one.
            let text = serde_json::to_string(&golden()).unwrap();
            let mut inner = text.into_bytes();
            let at = cut % inner.len();
            inner[at] = inner[at].wrapping_add(1);
            if let Ok(text) = String::from_utf8(inner) {
                let _ = Document::decode(FILE, 7, &sealed(&text));
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = "[".repeat(100_000);
        for bytes in [deep.clone().into_bytes(), sealed(&deep), format!(r#"{{"format":{deep}"#).into_bytes()]
        {
            assert!(Document::decode(FILE, 7, &bytes).is_err());
        }
    }
}
