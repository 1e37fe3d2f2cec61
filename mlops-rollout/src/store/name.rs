//! Names that are safe in every store.

use std::fmt;

use mlops_core::{Error, Result};

const MAX_LENGTH: usize = 128;

/// The name of a rollout or of a replica in a [`RolloutStore`](crate::RolloutStore): up to 128 ASCII
/// letters, digits, `.`, `_` and `-`, of which the first is a letter or a digit, so that it can be a part
/// of any path.
///
/// ```
/// use mlops_rollout::StoreName;
///
/// assert_eq!(StoreName::new("fraud-2.0.0")?.as_str(), "fraud-2.0.0");
/// assert!(StoreName::new("../fraud").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreName(String);

impl StoreName {
    /// That name.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] that says what is wrong with it.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let fault = if name.is_empty() {
            "is empty".to_owned()
        } else if name.len() > MAX_LENGTH {
            format!("has {} bytes; at most {MAX_LENGTH} are allowed", name.len())
        } else if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            "does not start with a letter or a digit".to_owned()
        } else if let Some(other) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c)) {
            format!("contains {other:?}; only ASCII letters, digits, `.`, `_` and `-` are allowed")
        } else {
            return Ok(Self(name));
        };
        let shown: String = name.chars().take(MAX_LENGTH).collect();
        Err(Error::invalid_input(format!("the name `{}` in a rollout store {fault}", shown.escape_debug())))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
