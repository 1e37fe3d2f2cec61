//! What those who act on alerts get.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::Severity;

/// An alert at one moment: it fires, or it has ended.
///
/// [`fingerprint`](Self::fingerprint) is that of all alerts of the same rule and labels;
/// [`id`](Self::id) is that of this message alone, so that who gets it twice can tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// Tells this message from all others. The same message sent again has the same id.
    pub id: String,
    /// The same for all alerts of the same rule and labels.
    pub fingerprint: String,
    /// The rule.
    pub rule: String,
    /// Whether it fires.
    pub status: AlertStatus,
    /// How urgent it is.
    pub severity: Severity,
    /// The name of the signal.
    pub signal: String,
    /// The condition in words: `above 0.2, clear at 0.1`.
    pub condition: String,
    /// The labels of the signal that tell alerts apart, and those of the rule.
    pub labels: BTreeMap<String, String>,
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
    /// The latest number, the worst if several signals make one alert; 0 for a rule about absence.
    #[serde(with = "crate::signal::number")]
    pub value: f64,
    /// How many signals breach the condition.
    pub signals: usize,
    /// What the signal brought as evidence.
    pub evidence: serde_json::Value,
    /// Since when the condition has held.
    pub since: Timestamp,
    /// When it began to fire; `None` while it is pending.
    pub fired_at: Option<Timestamp>,
    /// The time of this message.
    pub at: Timestamp,
}

/// Where an alert is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertStatus {
    /// The condition holds, not yet for long enough. Nobody is told.
    Pending,
    /// It fires.
    Firing,
    /// The number has come back.
    Resolved,
    /// The signal is gone, or the rule, and with it the alert.
    Gone,
}

impl Alert {
    /// One line for people: `critical: psi (feature=age): drift.psi is 0.31, above 0.2`.
    #[must_use]
    pub fn headline(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
        let Self { rule, signal, condition, severity, .. } = self;
        match self.status {
            AlertStatus::Resolved => format!("resolved: {rule}{labels}: {signal} is {:.4}", self.value),
            AlertStatus::Gone => format!("gone: {rule}{labels}: {signal} is no longer watched"),
            _ if condition == "absent" => format!("{severity}: {rule}{labels}: {signal} is absent"),
            _ => format!("{severity}: {rule}{labels}: {signal} is {:.4}, {condition}", self.value),
        }
    }

    /// Whether it fires.
    #[must_use]
    pub fn is_firing(&self) -> bool {
        self.status == AlertStatus::Firing
    }
}

impl AlertStatus {
    /// `pending`, `firing`, `resolved` or `gone`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for AlertStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The [`headline`](Alert::headline).
impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())
    }
}

/// Sixteen hexadecimal digits of XXH3 over the parts, each with its length before it.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Xxh3::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    format!("{:016x}", hash.digest())
}
