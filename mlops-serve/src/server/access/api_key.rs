//! One API key: how it is made, and what is kept of it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mlops_core::reexports::jiff::Timestamp;
use mlops_core::{Error, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::caller::CallerName;
use super::{Scope, Scopes};

/// Lets scanners for leaked secrets find our keys.
const PREFIX: &str = "mlops_";

/// The shortest key that is accepted, in characters.
const SHORTEST: usize = 32;

/// An API key in clear, for the moment between its making and its handing over.
///
/// Only its [hash](Self::hash) is kept. SHA-256 is right for that because a key is 256 random bits: there is
/// nothing to guess, so there is nothing that a slow hash would slow down. Slow hashes (Argon2, scrypt) are
/// for passwords, which people choose, and would cost every request milliseconds.
///
/// ```
/// use mlops_serve::server::access::{ApiKey, Scopes};
///
/// let key = ApiKey::generate()?;
/// let scopes: Scopes = "infer:fraud-* inspect:*".parse()?;
/// let entry = key.entry("batch-scoring", &scopes, None)?; // append this to the file of keys
/// println!("{}", key.reveal()); // and give this to the caller: it is shown nowhere else
/// assert!(!entry.contains(key.reveal()));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub struct ApiKey(String);

impl ApiKey {
    /// A new key: 256 bits from the random source of the operating system.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is no random source.
    pub fn generate() -> Result<Self> {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).map_err(|error| {
            Error::unavailable("the random source of the operating system").with_source(error)
        })?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))))
    }

    /// A key that was made elsewhere. It must be random: this sees only how long it is.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is shorter than 32 characters, too short for 128 bits in hexadecimal,
    /// or has characters that do not fit into a header.
    pub fn new(key: impl Into<String>) -> Result<Self> {
        let key = key.into();
        if key.len() < SHORTEST {
            let what =
                format!("the API key has {} characters; {SHORTEST} random ones are the least", key.len());
            return Err(Error::invalid_input(what));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid_input("the API key has something else than visible ASCII characters"));
        }
        Ok(Self(key))
    }

    /// The key in clear.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }

    /// The entry of this key for the file that [`ApiKeys`](super::ApiKeys) reads. It holds no secret.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the name is empty, longer than 256 bytes, or has control characters.
    pub fn entry(&self, name: &str, scopes: &Scopes, expires: Option<Timestamp>) -> Result<String> {
        let name = CallerName::new(name)?.as_str().replace('\\', r"\\").replace('"', r#"\""#);
        let scopes: Vec<_> = scopes.iter().map(Scope::to_string).collect();
        let expires = expires.map_or_else(String::new, |expires| format!("expires = \"{expires}\"\n"));
        Ok(format!("[[key]]\nname = \"{name}\"\nhash = \"{}\"\nscopes = {scopes:?}\n{expires}", self.hash()))
    }
}

/// Shows nothing of the key.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// The SHA-256 of an API key, written `sha256:` and 64 hexadecimal digits. Compared in constant time.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    pub(super) fn of(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The first eight bytes, to look for. Whoever measures how long that takes learns a part of the hash of a
    /// key, which is of no use.
    pub(super) fn beginning(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

/// The text of an error never repeats what was parsed: it might be a key in clear, put where its hash belongs.
impl FromStr for KeyHash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.strip_prefix("sha256:").map(str::as_bytes).unwrap_or_default();
        let mut hash = [0; 32];
        let pairs = digits.chunks_exact(2);
        let well_formed = digits.len() == 64
            && hash.iter_mut().zip(pairs).all(|(byte, pair)| match pair {
                [high, low] => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => {
                        *byte = high << 4 | low;
                        true
                    }
                    _ => false,
                },
                _ => false,
            });
        match well_formed {
            true => Ok(Self(hash)),
            false => {
                Err(Error::invalid_input("the hash of a key is not `sha256:` and 64 hexadecimal digits"))
            }
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl TryFrom<String> for KeyHash {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_as_it_is_read() {
        // `printf %s abc | sha256sum`, the first vector of FIPS 180-2.
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of("abc").to_string(), text);
        assert_eq!(text.parse::<KeyHash>().unwrap(), KeyHash::of("abc"));
        assert_eq!(text.to_uppercase().replace("SHA", "sha").parse::<KeyHash>().unwrap(), KeyHash::of("abc"));
    }

    #[test]
    fn a_malformed_hash_is_refused_without_being_repeated() {
        let short = format!("sha256:{}", "a".repeat(63));
        let wrong = format!("sha256:{}", "g".repeat(64));
        let wide = format!("sha256:{}", "é".repeat(32));
        let md5 = format!("md5:{}", "a".repeat(64));
        for text in ["", "sha256:", "mlops_in_clear", &short, &wrong, &wide, &md5] {
            let message = text.parse::<KeyHash>().unwrap_err().to_string();
            assert_eq!(
                message,
                "invalid input: the hash of a key is not `sha256:` and 64 hexadecimal digits"
            );
        }
    }

    #[test]
    fn new_keys_are_long_different_and_not_shown() {
        let (a, b) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        assert_eq!(a.reveal().len(), PREFIX.len() + 43);
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(format!("{a:?}"), "ApiKey(..)");
        assert_eq!(ApiKey::new(a.reveal()).unwrap().hash(), a.hash());
    }

    #[test]
    fn short_keys_and_keys_that_fit_into_no_header_are_refused() {
        for bad in ["", "secret", &"a".repeat(31), &"é".repeat(32), &format!("{} ", "a".repeat(40))] {
            let message = ApiKey::new(bad).unwrap_err().to_string();
            assert!(bad.is_empty() || !message.contains(bad), "{message}");
        }
    }
}
