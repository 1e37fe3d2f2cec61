//! What reports say to those who act on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One number that a report found, with its labels and the evidence: what alert rules look at.
///
/// Reports make them (`DriftReport::signals`, ...); alert rules select them by name and labels. Names are
/// `part.quantity`: `drift.psi`, `drift.p_value`, `quality.violations`, `performance.roc_auc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Signal {
    /// What was measured: `drift.psi`.
    pub name: String,
    /// What it was measured on: `feature`, `variant`, `segment`, ...
    pub labels: BTreeMap<String, String>,
    /// The number. Never NaN: what has no value is no signal. In JSON, infinities are `"inf"` and `"-inf"`.
    #[serde(with = "number")]
    pub value: f64,
    /// The part of the report that holds it.
    pub evidence: serde_json::Value,
}

impl Signal {
    /// A number without labels and evidence.
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), labels: BTreeMap::new(), value, evidence: serde_json::Value::Null }
    }

    /// Adds or replaces a label.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(label.into(), value.into());
        self
    }

    /// Adds the part of the report that holds it.
    #[must_use]
    pub fn with_evidence(mut self, evidence: serde_json::Value) -> Self {
        self.evidence = evidence;
        self
    }
}

/// Numbers in documents that cannot hold infinities: these are words.
pub(crate) mod number {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if number.is_finite() { serializer.serialize_f64(*number) } else { serializer.collect_str(number) }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number, `inf` or `-inf`")]
        enum Written {
            Number(f64),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(number),
            Written::Word(word) => match word.as_str() {
                "inf" => Ok(f64::INFINITY),
                "-inf" => Ok(f64::NEG_INFINITY),
                _ => Err(de::Error::custom(format!("`{word}` is no number"))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_survive_json_even_when_they_are_infinite() {
        for value in [0.25, f64::INFINITY, f64::NEG_INFINITY] {
            let signal = Signal::new("drift.psi", value).with_label("feature", "age");
            let json = serde_json::to_string(&signal).unwrap();
            assert_eq!(serde_json::from_str::<Signal>(&json).unwrap(), signal);
        }
    }
}
