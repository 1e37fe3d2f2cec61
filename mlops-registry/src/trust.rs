//! Who vouches for a version: signatures over its document.

#[cfg(feature = "sign")]
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::str::FromStr;
#[cfg(feature = "sign")]
use std::sync::{PoisonError, RwLock};

#[cfg(feature = "sign")]
use ed25519_dalek::Signer as _;
use mlops_core::{Error, Result};
#[cfg(feature = "sign")]
use mlops_core::{ModelId, ModelName};
use serde::{Deserialize, Serialize};

#[cfg(feature = "sign")]
use crate::state::Record;

/// A public key of Ed25519 ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032)), written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

/// A signature over the document of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionSignature {
    key: PublicKey,
    signature: SignatureBytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct SignatureBytes([u8; 64]);

/// A private key of Ed25519, which signs versions.
///
/// ```
/// use mlops_registry::SigningKey;
///
/// let key = SigningKey::generate()?;
/// let kept = key.to_secret(); // in a secret store, from where it comes back:
/// assert_eq!(SigningKey::from_secret(&kept)?.public_key(), key.public_key());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[cfg(feature = "sign")]
#[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// Which versions may be used: those that enough of the trusted keys have signed.
///
/// ```
/// use mlops_registry::{ObjectStoreRegistry, SigningKey, TrustPolicy};
///
/// # fn main() -> Result<(), mlops_core::Error> {
/// let key = SigningKey::generate()?;
/// let publisher = ObjectStoreRegistry::in_memory().with_signing_key(key.clone());
/// let server = publisher.clone().with_trust(TrustPolicy::any_of([key.public_key()]));
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "sign")]
#[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
#[derive(Debug, Clone)]
pub struct TrustPolicy {
    keys: BTreeSet<PublicKey>,
    signatures: usize,
}

/// A policy, and what it has found good: documents do not change, and signatures do not go.
#[cfg(feature = "sign")]
#[derive(Debug)]
pub(crate) struct Trust {
    policy: TrustPolicy,
    good: RwLock<HashSet<ModelId>>,
}

impl PublicKey {
    /// The key with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl VersionSignature {
    /// Whose signature it is.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Proves the signature over the document `text` of a version of `model`.
    #[cfg(feature = "sign")]
    pub(crate) fn verify(&self, model: &ModelName, text: &str) -> Result<(), String> {
        let wrong = |cause| format!("the signature with {} is wrong: {cause}", self.key);
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.key.0).map_err(wrong)?;
        let signature = ed25519_dalek::Signature::from_bytes(&self.signature.0);
        key.verify_strict(&signed_bytes(model, text), &signature).map_err(wrong)
    }
}

/// What is signed: `mlops-registry version 1`, the name of the model and the document, each but the last followed by
/// a zero byte.
#[cfg(feature = "sign")]
fn signed_bytes(model: &ModelName, text: &str) -> Vec<u8> {
    ["mlops-registry version 1", model.as_str(), text].join("\0").into_bytes()
}

#[cfg(feature = "sign")]
impl SigningKey {
    /// A new key, from the random source of the operating system.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) when that source fails.
    pub fn generate() -> Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|cause| {
            Error::unavailable("the operating system gives no random bytes").with_source(cause.to_string())
        })?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&secret)))
    }

    /// The key with this secret: 64 hexadecimal digits, the 32 bytes that RFC 8032 calls the private key.
    ///
    /// # Errors
    /// [`InvalidInput`](Error::InvalidInput), which does not repeat the secret.
    pub fn from_secret(secret: &str) -> Result<Self> {
        let wrong = || Error::invalid_input("the secret of a signing key is 64 hexadecimal digits");
        let secret = parse_hex(secret.trim()).ok_or_else(wrong)?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&secret)))
    }

    /// The secret, for [`from_secret`](Self::from_secret).
    #[must_use]
    pub fn to_secret(&self) -> String {
        hex(self.0.as_bytes())
    }

    /// The key that proves its signatures.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, model: &ModelName, text: &str) -> VersionSignature {
        let signature = SignatureBytes(self.0.sign(&signed_bytes(model, text)).to_bytes());
        VersionSignature { key: self.public_key(), signature }
    }
}

#[cfg(feature = "sign")]
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey of {}", self.public_key())
    }
}

#[cfg(feature = "sign")]
impl TrustPolicy {
    /// Trusts what at least one of these keys has signed.
    pub fn any_of(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self { keys: keys.into_iter().collect(), signatures: 1 }
    }

    /// Demands the signatures of that many of the keys; 0 counts as 1.
    #[must_use]
    pub fn at_least(mut self, signatures: usize) -> Self {
        self.signatures = signatures.max(1);
        self
    }
}

#[cfg(feature = "sign")]
impl Trust {
    pub(crate) fn new(policy: TrustPolicy) -> Self {
        Self { policy, good: RwLock::default() }
    }

    /// Whether enough of the trusted keys have signed the document of a version.
    pub(crate) fn check(&self, id: &ModelId, record: &Record) -> Result<()> {
        if self.good.read().unwrap_or_else(PoisonError::into_inner).contains(id) {
            return Ok(());
        }
        let stored = record.read()?;
        let TrustPolicy { keys, signatures: wanted } = &self.policy;
        let mut signers = BTreeSet::new();
        for signature in stored.amendments.signatures.iter().filter(|signature| keys.contains(&signature.key))
        {
            signature
                .verify(&id.name, stored.document())
                .map_err(|fault| Error::integrity(format!("{id} is not trusted: {fault}")))?;
            signers.insert(signature.key);
        }
        if signers.len() < *wanted {
            return Err(Error::integrity(format!(
                "{id} is not trusted: {} of the {} trusted keys signed it, and {wanted} must",
                signers.len(),
                keys.len(),
            )));
        }
        self.good.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lower case only, so that each key and signature has one spelling.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = (digit(digits[0])? << 4) | digit(digits[1])?;
    }
    Some(bytes)
}

macro_rules! written_in_hex {
    ($($name:ident is $what:literal;)*) => {$(
        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                parse_hex(text).map(Self).ok_or_else(|| {
                    let shown: String = text.chars().take(140).collect();
                    Error::invalid_input(format!(concat!("{:?} is no ", $what), shown))
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(bytes: $name) -> Self {
                hex(&bytes.0)
            }
        }
    )*};
}

written_in_hex! {
    PublicKey is "public key; expected 64 hexadecimal digits";
    SignatureBytes is "signature; expected 128 hexadecimal digits";
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
