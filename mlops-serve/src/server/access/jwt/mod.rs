//! Callers by JSON Web Tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)).

mod claims;
mod key_set;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Clock, Result};
use sha2::{Digest, Sha256};

use self::claims::Verified;
use self::key_set::KeySet;
use super::Caller;
use super::caller::Method;
use super::credential::Refusal;
use crate::server::watched::Watched;

/// Callers by JSON Web Tokens, verified with the public keys in a file: a JSON Web Key Set
/// ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517#section-5)), as identity providers publish it at their
/// `jwks_uri`.
///
/// A token is accepted when all of this holds:
/// * It is signed by a key of the set, with an algorithm of that key's kind: RS256, RS384, RS512, PS256, PS384, PS512
///   for RSA of 2048 to 4096 bits, ES256 and ES384 for the curves P-256 and P-384, EdDSA for Ed25519. Unsigned tokens
///   and those signed with a shared secret are never accepted, whatever their header says.
/// * Its `kid` names the key; without `kid` there must be exactly one key for its algorithm. Keys and addresses of keys
///   in the token itself are not looked at. A header with `crit` is refused, and so is a `typ` other than `JWT` and
///   `at+jwt` ([RFC 8725, 3.11](https://www.rfc-editor.org/rfc/rfc8725#section-3.11)).
/// * `iss` and `aud` are those of the [`TokenRules`], `exp` is there and not past, `nbf` is not in the future.
/// * `sub` names the caller.
///
/// Scopes come from the claims `scope` ([RFC 8693, 4.2](https://www.rfc-editor.org/rfc/rfc8693#section-4.2)), `scp`
/// and `permissions`, together. Those that are not [`Scope`](super::Scope)s are another service's, and are ignored.
///
/// The file is looked at again as that of [`ApiKeys`](super::ApiKeys) is. Verified tokens are remembered, by their
/// SHA-256, so that a signature is not computed for each request; a changed key set forgets them.
///
/// ```no_run
/// use mlops_serve::server::access::{Access, Jwt, TokenRules};
///
/// let rules = TokenRules::new("https://login.example.org/", "https://models.example.org");
/// let access = Access::closed().with_jwt(Jwt::open("jwks.json", rules)?);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Jwt {
    keys: Watched<KeySet>,
    rules: TokenRules,
}

/// Which tokens are meant for this server.
#[derive(Debug, Clone)]
#[must_use]
pub struct TokenRules {
    issuer: String,
    audiences: Vec<String>,
    leeway: Duration,
}

impl TokenRules {
    /// Tokens of this issuer (`iss`) for this audience (`aud`), and 60 seconds of leeway.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), audiences: vec![audience.into()], leeway: Duration::from_secs(60) }
    }

    /// Takes tokens for this audience, too.
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// By how much the clocks of the issuer and of this server may differ.
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }
}

impl Jwt {
    /// Takes tokens that are signed by a key in that file.
    ///
    /// # Errors
    /// [`Error::Unavailable`](mlops_core::Error::Unavailable) when the file cannot be read;
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when it is no key set, or none of its keys is of use.
    pub fn open(file: impl Into<PathBuf>, rules: TokenRules) -> Result<Self> {
        let parse = |contents: &[Vec<u8>]| KeySet::parse(contents.first().map_or(&[], Vec::as_slice));
        Ok(Self { keys: Watched::open(vec![file.into()], Duration::from_secs(1), parse)?, rules })
    }

    /// How long the file is not looked at again; one second unless set. So long tokens of a key that was taken
    /// out may still be accepted.
    #[must_use]
    pub fn with_reload_every(mut self, every: Duration) -> Self {
        self.keys = self.keys.every(every);
        self
    }

    /// Whose token it is.
    pub(super) fn caller(&self, token: &str, clock: &dyn Clock) -> Result<Caller, Refusal> {
        let now = clock.now();
        let keys = self.keys.current(clock.instant());
        let digest: [u8; 32] = Sha256::digest(token).into();
        let verified = match keys.verified.get(&digest) {
            Some(verified) => {
                verified.check_time(now, self.rules.leeway)?;
                verified
            }
            None => {
                let verified = Arc::new(Verified::new(&keys.verify(token)?, &self.rules)?);
                verified.check_time(now, self.rules.leeway)?;
                keys.verified.insert(digest, Arc::clone(&verified));
                verified
            }
        };
        Ok(Caller::known(Method::Token, verified.name.clone(), verified.scopes.clone()))
    }
}
