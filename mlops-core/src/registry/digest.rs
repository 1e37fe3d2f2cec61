//! The identity of bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// The SHA-256 of an artifact, written `sha256:` and 64 hexadecimal digits.
///
/// ```
/// use mlops_core::Digest;
///
/// let digest = Digest::of(b"abc");
/// let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// assert_eq!(digest.to_string(), text);
/// assert_eq!(text.parse::<Digest>()?, digest);
/// assert!(digest.verify("the weights", b"abd").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Makes the digest of bytes that come piece by piece.
///
/// ```
/// use mlops_core::{Digest, Digester};
///
/// let mut digester = Digester::new();
/// digester.update(b"a");
/// digester.update(b"bc");
/// assert_eq!(digester.finish(), Digest::of(b"abc"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Digester(Sha256);

const PREFIX: &str = "sha256:";

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 64 hexadecimal digits alone, for file names.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Proves that `bytes` are the bytes this digest was made of; `what` names them in the error.
    ///
    /// # Errors
    /// [`Error::Integrity`] when they are not.
    pub fn verify(&self, what: &str, bytes: &[u8]) -> Result<()> {
        let actual = Self::of(bytes);
        if actual == *self {
            return Ok(());
        }
        Err(Error::integrity(format!(
            "{what} should have digest {self}, but its {} bytes have {actual}",
            bytes.len()
        )))
    }
}

impl Digester {
    /// A digester of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all the bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{PREFIX}{}", self.hex()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let hex = text.strip_prefix(PREFIX)?.as_bytes();
            let mut bytes = [0; 32];
            if hex.len() != 2 * bytes.len() {
                return None;
            }
            for (byte, digits) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
                *byte = (hex_digit(digits[0])? << 4) | hex_digit(digits[1])?;
            }
            Some(Self(bytes))
        };
        parse().ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            Error::invalid_input(format!(
                "{shown:?} is no digest; expected `{PREFIX}` and 64 hexadecimal digits"
            ))
        })
    }
}

/// Lower case only, so that a digest has one spelling.
fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_round_trips_and_nothing_else_parses(bytes in any::<Vec<u8>>(), text in any::<String>()) {
            let digest = Digest::of(&bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
            prop_assert!(text.parse::<Digest>().is_err());
            let prefixed = format!("sha256:{text}");
            prop_assert!(prefixed.parse::<Digest>().is_err());
            prop_assert!(digest.to_string().to_uppercase().parse::<Digest>().is_err());
        }
    }
}
