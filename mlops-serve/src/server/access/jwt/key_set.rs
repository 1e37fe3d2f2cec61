//! The public keys that tokens are verified with.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Header, decode_header};
use mlops_core::{Error, Result};

use super::claims::Verified;
use crate::server::access::credential::Refusal;

/// How many verified tokens are remembered.
const REMEMBERED: u64 = 4096;

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The keys of one content of the file, and the tokens that were verified with them.
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// By the SHA-256 of the token.
    pub(super) verified: moka::sync::Cache<[u8; 32], Arc<Verified>>,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys of no use here (for encryption, of other kinds, too short, shared secrets) are
    /// left out, as RFC 7517 says, and logged.
    pub(super) fn parse(content: &[u8]) -> Result<Self> {
        let set: JwkSet = serde_json::from_slice(content)
            .map_err(|error| Error::invalid_input(format!("the file is no JSON Web Key Set: {error}")))?;
        let mut keys: Vec<Key> = Vec::with_capacity(set.keys.len());
        for (index, jwk) in set.keys.iter().enumerate() {
            match Key::new(jwk) {
                Ok(key) => {
                    if keys.iter().any(|other| other.id == key.id && other.shares_algorithm(&key)) {
                        let id = key.id.as_deref().unwrap_or_default();
                        return Err(Error::invalid_input(format!(
                            "two keys for one algorithm have the id {id:?}"
                        )));
                    }
                    keys.push(key);
                }
                Err(why) => {
                    tracing::warn!(index, id = ?jwk.common.key_id, why, "a key of the key set is left out");
                }
            }
        }
        if keys.is_empty() {
            return Err(Error::invalid_input("the key set holds no key that tokens can be verified with"));
        }
        Ok(Self { keys, verified: moka::sync::Cache::new(REMEMBERED) })
    }

    /// The claims of a token whose signature is right.
    pub(super) fn verify(&self, token: &str) -> Result<Vec<u8>, Refusal> {
        let malformed = || Refusal::Token("the token is malformed");
        let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (_, claims) = message.split_once('.').ok_or_else(malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
        let header = decode_header(token)
            .map_err(|_| Refusal::Token("the header of the token is malformed, or its algorithm unknown"))?;
        check(&header)?;
        let key = self.key_for(&header)?;
        // With the provider named here: the default of the process may be another, or none, which panics.
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&header.alg, &key.key)
            .map_err(|_| Refusal::Token("the key of the token is not of the kind its algorithm needs"))?;
        verifier
            .verify(message.as_bytes(), &signature)
            .map_err(|_| Refusal::Token("the signature of the token is wrong"))?;
        URL_SAFE_NO_PAD.decode(claims).map_err(|_| malformed())
    }

    fn key_for(&self, header: &Header) -> Result<&Key, Refusal> {
        let mut fitting = self.keys.iter().filter(|key| {
            key.algorithms.contains(&header.alg) && (header.kid.is_none() || key.id == header.kid)
        });
        let key = fitting
            .next()
            .ok_or(Refusal::Token("no key of the set fits the token's algorithm and key id"))?;
        match fitting.next() {
            None => Ok(key),
            Some(_) => Err(Refusal::Token("the token has no key id, and several keys fit")),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

fn check(header: &Header) -> Result<(), Refusal> {
    if header.crit.is_some() {
        return Err(Refusal::Token("the token has a critical extension"));
    }
    let kind = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    match kind.strip_prefix("application/").unwrap_or(&kind) {
        "jwt" | "at+jwt" => Ok(()),
        _ => Err(Refusal::Token("the token is of another kind")),
    }
}

impl Key {
    fn new(jwk: &Jwk) -> Result<Self, &'static str> {
        let common = &jwk.common;
        if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
            || common.key_operations.as_ref().is_some_and(|allowed| !allowed.contains(&KeyOperations::Verify))
        {
            return Err("it is not for signatures");
        }
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(parameters) => {
                let modulus = decoded(&parameters.n)?;
                let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
                if !(256..=512).contains(&significant) {
                    return Err("an RSA key must have 2048 to 4096 bits");
                }
                RSA.to_vec()
            }
            AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return Err("its curve is not P-256 or P-384"),
            },
            AlgorithmParameters::OctetKeyPair(parameters) => {
                if parameters.curve != EllipticCurve::Ed25519 || decoded(&parameters.x)?.len() != 32 {
                    return Err("it is no Ed25519 key of 32 bytes");
                }
                vec![Algorithm::EdDSA]
            }
            AlgorithmParameters::OctetKey(_) => {
                return Err("it is a shared secret, which has no place in a file of public keys");
            }
            _ => return Err("its kind is unknown"),
        };
        if let Some(named) = common.key_algorithm {
            algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == named);
        }
        let first = algorithms.first().ok_or("its algorithm is not one of its kind of key")?;
        let key = DecodingKey::from_jwk(jwk).map_err(|_| "it is malformed")?;
        (DEFAULT_PROVIDER.verifier_factory)(first, &key).map_err(|_| "it is malformed")?;
        Ok(Self { id: common.key_id.clone(), algorithms, key })
    }

    fn shares_algorithm(&self, other: &Self) -> bool {
        self.algorithms.iter().any(|algorithm| other.algorithms.contains(algorithm))
    }
}

fn decoded(number: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(number).map_err(|_| "it is malformed")
}
