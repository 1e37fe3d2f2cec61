//! What happened, and who did it.

use std::fmt;

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

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
}

impl fmt::Display for AuditChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn or_none<T: ToString>(value: Option<&T>) -> String {
            value.map_or_else(|| "none".to_owned(), T::to_string)
        }
        match self {
            Self::Registered { version } => write!(f, "registered {version}"),
            Self::AliasMoved { alias, from, to, reason } => {
                write!(f, "@{alias}: {} -> {}", or_none(from.as_ref()), or_none(to.as_ref()))?;
                if reason.is_empty() { Ok(()) } else { write!(f, " ({reason})") }
            }
            Self::Tagged { version, name, from, to } => {
                write!(f, "tag {name} of {version}: {} -> {}", or_none(from.as_ref()), or_none(to.as_ref()))
            }
        }
    }
}
