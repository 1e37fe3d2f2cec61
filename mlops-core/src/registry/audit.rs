//! What happened, and who did it.

use std::fmt;

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::Protection;
use crate::{Alias, ModelName};

/// One change of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// The place in the order of all changes of the registry; grows, perhaps with gaps.
    pub sequence: u64,
    /// When it took effect, by the clock of the process that wrote it.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// To which model.
    pub model: ModelName,
    /// What was done.
    #[serde(flatten)]
    pub change: AuditChange,
}

/// What an [`AuditEvent`] changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuditChange {
    /// A version came into being.
    Registered {
        /// Which one.
        version: Version,
    },
    /// An alias moved.
    AliasMoved {
        /// Which one.
        alias: Alias,
        /// Where it pointed before.
        from: Option<Version>,
        /// Where it points now.
        to: Option<Version>,
        /// Why.
        reason: String,
    },
    /// A tag changed.
    Tagged {
        /// Of which version.
        version: Version,
        /// The name of the tag.
        name: String,
        /// Its value before.
        from: Option<String>,
        /// Its value now.
        to: Option<String>,
    },
    /// A report was attached.
    Reported {
        /// To which version.
        version: Version,
        /// The name of the examination.
        name: String,
        /// What the gate decided, if it was one.
        passed: Option<bool>,
    },
    /// Somebody approved that an alias moves to a version.
    Approved {
        /// Which version.
        version: Version,
        /// Which alias.
        alias: Alias,
        /// Why.
        comment: String,
    },
    /// What an alias demands before it moves has changed.
    Protected {
        /// Which alias.
        alias: Alias,
        /// What it demands now; `None` for nothing.
        protection: Option<Protection>,
    },
    /// A version was signed.
    Signed {
        /// Which one.
        version: Version,
        /// With which public key, in hexadecimal digits.
        key: String,
    },
    /// A version was warned against, or the warning was taken back.
    Deprecated {
        /// Which one.
        version: Version,
        /// Why; `None` when the warning was taken back.
        reason: Option<String>,
    },
    /// A version was deleted.
    Deleted {
        /// Which one.
        version: Version,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for AuditChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn or_none<T: ToString>(value: Option<&T>) -> String {
            value.map_or_else(|| "none".to_owned(), T::to_string)
        }
        let because = |f: &mut fmt::Formatter<'_>, reason: &str| {
            if reason.is_empty() { Ok(()) } else { write!(f, " ({reason})") }
        };
        match self {
            Self::Registered { version } => write!(f, "registered {version}"),
            Self::AliasMoved { alias, from, to, reason } => {
                write!(f, "@{alias}: {} -> {}", or_none(from.as_ref()), or_none(to.as_ref()))?;
                because(f, reason)
            }
            Self::Tagged { version, name, from, to } => {
                write!(f, "tag {name} of {version}: {} -> {}", or_none(from.as_ref()), or_none(to.as_ref()))
            }
            Self::Reported { version, name, passed } => {
                let verdict = match passed {
                    None => "examined by",
                    Some(true) => "passed",
                    Some(false) => "failed",
                };
                write!(f, "{version} {verdict} {name}")
            }
            Self::Approved { version, alias, comment } => {
                write!(f, "approved {version} for @{alias}")?;
                because(f, comment)
            }
            Self::Protected { alias, protection: None } => write!(f, "@{alias} demands nothing"),
            Self::Protected { alias, protection: Some(Protection { approvals, passed_gate }) } => {
                let gate = if *passed_gate { " and a passed gate" } else { "" };
                write!(f, "@{alias} demands {approvals} approvals{gate}")
            }
            Self::Signed { version, key } => write!(f, "signed {version} with {key}"),
            Self::Deprecated { version, reason: None } => write!(f, "{version} is no longer deprecated"),
            Self::Deprecated { version, reason: Some(reason) } => {
                write!(f, "deprecated {version}")?;
                because(f, reason)
            }
            Self::Deleted { version, reason } => {
                write!(f, "deleted {version}")?;
                because(f, reason)
            }
        }
    }
}
