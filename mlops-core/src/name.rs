//! Names that are safe in URLs, file paths and metric labels.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use smol_str::SmolStr;

use crate::{Error, Result};

const MAX_LENGTH: usize = 128;

macro_rules! names {
    ($($(#[$docs:meta])* $name:ident is $what:literal;)*) => {$(
        $(#[$docs])*
        ///
        /// One to 128 ASCII letters, digits, `.`, `_` and `-`, the first a letter or a digit: safe in URLs,
        /// file paths and metric labels. Cheap to clone: up to 23 bytes are copied, more are shared.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(SmolStr);

        impl $name {
            #[doc = concat!("Parses the name of ", $what, ".")]
            ///
            /// # Errors
            #[doc = "[`Error::InvalidInput`] that says which rule the name breaks."]
            pub fn new(name: impl AsRef<str>) -> Result<Self> {
                check($what, name.as_ref()).map(|()| Self(name.as_ref().into()))
            }

            /// The name as text.
            #[must_use]
            #[inline]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(name: String) -> Result<Self> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        /// So that maps are asked by text that need not be a valid name.
        impl Borrow<str> for $name {
            #[inline]
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            #[inline]
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// The name of a model: `fraud`, `digits`.
    ModelName is "a model";
    /// A movable name for a version of a model: `champion`, `candidate`.
    Alias is "an alias";
    /// One of the models behind a routed one: `stable`, `canary`.
    Variant is "a variant";
}

fn check(what: &str, name: &str) -> Result<()> {
    let fault = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > MAX_LENGTH {
        format!("has {} bytes; at most {MAX_LENGTH} are allowed", name.len())
    } else if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        "does not start with a letter or a digit".to_owned()
    } else if let Some(other) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c)) {
        format!("contains {other:?}; only ASCII letters, digits, `.`, `_` and `-` are allowed")
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(MAX_LENGTH).collect();
    Err(Error::invalid_input(format!("the name `{}` of {what} {fault}", shown.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_a_folder_or_a_label_are_refused() {
        for good in ["a", "fraud-v2", "x.y_z", "7", &"a".repeat(128)] {
            assert_eq!(ModelName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", "a b", "é", "-a", "_a", "a\0", &"a".repeat(129)] {
            assert!(ModelName::new(bad).is_err(), "{bad}");
            assert!(serde_json::from_value::<Alias>(bad.into()).is_err(), "{bad}");
        }
        assert_eq!(
            Variant::new("a/b").unwrap_err().to_string(),
            "invalid input: the name `a/b` of a variant contains '/'; \
             only ASCII letters, digits, `.`, `_` and `-` are allowed"
        );
    }
}
