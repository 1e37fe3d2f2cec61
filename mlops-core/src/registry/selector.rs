//! Ways to say which version is meant.

use std::fmt;
use std::str::FromStr;

use semver::Version;

use crate::{Alias, Error, ModelName, Result};

/// Which version of a model is meant: `2.1.0`, `@champion` or `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// Exactly this one.
    Version(Version),
    /// The one an alias points to now.
    Alias(Alias),
    /// The highest released version; pre-releases count only when there is nothing else.
    Latest,
}

/// A model and a selector: `fraud@champion`, `fraud/2.1.0`, or `fraud` for its latest version.
///
/// ```
/// use mlops_core::{ModelRef, Selector};
///
/// let champion: ModelRef = "fraud@champion".parse()?;
/// assert_eq!(champion.selector.to_string(), "@champion");
/// assert_eq!("fraud".parse::<ModelRef>()?.selector, Selector::Latest);
/// assert!("fraud/two".parse::<ModelRef>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelRef {
    /// The model.
    pub model: ModelName,
    /// Which version of it.
    pub selector: Selector,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Alias(alias) => write!(f, "@{alias}"),
            Self::Latest => f.write_str("latest"),
        }
    }
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix('@') {
            Some(alias) => Ok(Self::Alias(alias.parse()?)),
            None if text == "latest" => Ok(Self::Latest),
            None => text.parse().map(Self::Version).map_err(|cause| {
                let shown: String = text.chars().take(80).collect();
                Error::invalid_input(format!(
                    "{shown:?} is no version ({cause}); expected `1.2.3`, `@alias` or `latest`"
                ))
            }),
        }
    }
}

impl From<Version> for Selector {
    fn from(version: Version) -> Self {
        Self::Version(version)
    }
}

impl From<Alias> for Selector {
    fn from(alias: Alias) -> Self {
        Self::Alias(alias)
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Selector::Version(version) => write!(f, "{}/{version}", self.model),
            Selector::Alias(alias) => write!(f, "{}@{alias}", self.model),
            Selector::Latest => self.model.fmt(f),
        }
    }
}

impl FromStr for ModelRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (model, selector) = match text.find(['@', '/']) {
            Some(at) if text[at..].starts_with('@') => (&text[..at], text[at..].parse()?),
            Some(at) => (&text[..at], text[at + 1..].parse()?),
            None => (text, Selector::Latest),
        };
        Ok(Self { model: model.parse()?, selector })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_parses_is_written_back(text in "[a-z/@.0-9-]{0,20}|.*") {
            if let Ok(reference) = text.parse::<ModelRef>() {
                prop_assert_eq!(reference.to_string().parse::<ModelRef>().unwrap(), reference);
            }
        }
    }
}
