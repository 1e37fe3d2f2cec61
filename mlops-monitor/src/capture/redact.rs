//! Fields that are not written as they are.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use mlops_core::{Error, Result};
use sha2::Sha256;

/// What masked values are written as.
const MASK: &str = "***";
/// How many bytes of a hash are written, as hexadecimal.
const HASH: usize = 16;

/// Part of a prediction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// The id of the request.
    Id,
    /// A tensor of the inputs, with all features in it.
    Input(String),
    /// A tensor of the outputs, with all features in it.
    Output(String),
    /// One feature.
    Feature(String),
    /// An attribute of the routing context.
    Attribute(String),
}

/// What is written instead of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redaction {
    /// Nothing: the column is not there.
    Remove,
    /// `***` for every value.
    Mask,
    /// A hash by which equal values can still be told to be equal, by those who have the key only: HMAC-SHA256, cut to
    /// 32 hexadecimal digits. A list is hashed as one.
    Hash(HashKey),
}

/// The secret of a hash. It is in no log and no message.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey(Arc<[u8]>);

/// What is done with the columns of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Redactions {
    by_field: HashMap<Field, Redaction>,
}

impl Field {
    /// A tensor of the inputs, with all features in it.
    pub fn input(tensor: impl Into<String>) -> Self {
        Self::Input(tensor.into())
    }

    /// A tensor of the outputs, with all features in it.
    pub fn output(tensor: impl Into<String>) -> Self {
        Self::Output(tensor.into())
    }

    /// One feature.
    pub fn feature(name: impl Into<String>) -> Self {
        Self::Feature(name.into())
    }

    /// An attribute of the routing context.
    pub fn attribute(name: impl Into<String>) -> Self {
        Self::Attribute(name.into())
    }
}

impl Redaction {
    /// A hash with this key. Without a key that others do not know, whoever can guess a value can tell its hash.
    pub fn hash(key: impl AsRef<[u8]>) -> Self {
        Self::Hash(HashKey(key.as_ref().into()))
    }

    pub(super) fn check(&self, field: &Field) -> Result<()> {
        match self {
            Self::Hash(HashKey(key)) if key.is_empty() => {
                Err(Error::invalid_input(format!("the key for the hash of {field:?} is empty")))
            }
            _ => Ok(()),
        }
    }

    /// The strictest of them: what removes, then what masks, then what hashes.
    pub(super) fn strictest<'a>(redactions: impl IntoIterator<Item = Option<&'a Self>>) -> Option<&'a Self> {
        redactions.into_iter().flatten().max_by_key(|redaction| match redaction {
            Self::Hash(_) => 0,
            Self::Mask => 1,
            Self::Remove => 2,
        })
    }

    /// The text that stands for `value`; `None` where nothing may.
    pub(super) fn of(&self, value: &[u8]) -> Option<String> {
        match self {
            Self::Remove => None,
            Self::Mask => Some(MASK.to_owned()),
            Self::Hash(key) => key.hash(value),
        }
    }
}

impl HashKey {
    fn hash(&self, value: &[u8]) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(value);
        let hash = mac.finalize().into_bytes();
        Some(hash.iter().take(HASH).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

impl Redactions {
    pub(super) fn new(redactions: &[(Field, Redaction)]) -> Self {
        Self { by_field: redactions.iter().cloned().collect() }
    }

    pub(super) fn of(&self, field: &Field) -> Option<&Redaction> {
        self.by_field.get(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_depend_on_the_key_and_hide_it() {
        let (a, b) = (Redaction::hash("key a"), Redaction::hash("key b"));
        let hash = a.of(b"value").unwrap();
        assert_eq!(hash.len(), 32);
        assert_eq!(a.of(b"value").unwrap(), hash);
        assert_ne!(a.of(b"other").unwrap(), hash);
        assert_ne!(b.of(b"value").unwrap(), hash);
        assert_eq!(format!("{a:?}"), "Hash(HashKey(..))");
        assert!(Redaction::hash("").check(&Field::Id).is_err());
    }

    /// Test case 2 of RFC 4231.
    #[test]
    fn hashes_are_hmac_sha256() {
        let hash = Redaction::hash("Jefe").of(b"what do ya want for nothing?").unwrap();
        assert_eq!(hash, "5bdcc146bf60754e6a042426089575c7");
    }
}
