//! Signatures that tell a receiver who has sent a message, and that nobody has changed it.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use mlops_core::{Error, Result};
use sha2::Sha256;

/// A secret that sender and receiver share: `whsec_` and at least 24 bytes in base64.
///
/// Messages are signed as [Standard Webhooks](https://www.standardwebhooks.com) has it, for which there are
/// libraries in most languages. A message has three headers:
///
/// | header | holds |
/// |---|---|
/// | [`ID`](Self::ID) | what tells it from all others; the same when it is sent again, so an idempotency key |
/// | [`TIMESTAMP`](Self::TIMESTAMP) | when it was sent, in seconds since the Unix epoch |
/// | [`SIGNATURE`](Self::SIGNATURE) | `v1,` and HMAC-SHA256 of `{id}.{timestamp}.{body}` in base64; several of them, with spaces between, while secrets are being exchanged |
///
/// ```
/// use std::time::Duration;
/// use jiff::Timestamp;
/// use mlops_monitor::alert::WebhookSecret;
///
/// let secret = WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
/// let now = Timestamp::from_second(1_614_265_330)?;
/// let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#);
/// assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
/// let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
/// secret.verify(id, "1614265330", body, &signature, now, Duration::from_secs(300))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WebhookSecret(Hmac<Sha256>);

/// Fewer bytes can be guessed.
const FEWEST_BYTES: usize = 24;

impl WebhookSecret {
    /// The header that tells messages apart.
    pub const ID: &str = "webhook-id";

    /// The header that says when a message was sent.
    pub const TIMESTAMP: &str = "webhook-timestamp";

    /// The header with the signatures.
    pub const SIGNATURE: &str = "webhook-signature";

    /// Reads a secret: base64, with or without `whsec_` before it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is no base64 or has fewer than 24 bytes. The error does not tell it.
    pub fn new(secret: &str) -> Result<Self> {
        let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
        let not_base64 = "the secret of the webhook is not in base64; `openssl rand -base64 32` makes one";
        let bytes = STANDARD.decode(encoded).map_err(|_| Error::invalid_input(not_base64))?;
        if bytes.len() < FEWEST_BYTES {
            return Err(Error::invalid_input(format!(
                "the secret of the webhook has {} bytes; it needs at least {FEWEST_BYTES}",
                bytes.len()
            )));
        }
        let unfit = |_| Error::invalid_input("the secret of the webhook is no key");
        Hmac::new_from_slice(&bytes).map(Self).map_err(unfit)
    }

    /// The signature of a message.
    #[must_use]
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let digest = self.digest(id, &at.as_second().to_string(), body).finalize().into_bytes();
        format!("v1,{}", STANDARD.encode(digest))
    }

    /// For receivers: whether one of the signatures is that of the message, and the message is not older or
    /// newer than `tolerance`. Takes the same time whatever the signatures are.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when it is not.
    pub fn verify(
        &self,
        id: &str,
        timestamp: &str,
        body: &[u8],
        signatures: &str,
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<()> {
        let refused = |what: &str| Error::unauthenticated(format!("the webhook is not genuine: {what}"));
        let sent = timestamp.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        let sent = sent.ok_or_else(|| refused("its time stamp is no number of seconds"))?;
        if now.duration_since(sent).unsigned_abs() > tolerance {
            return Err(refused("its time stamp is too old, or in the future"));
        }
        let genuine =
            signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,")).any(|signature| {
                let signature = STANDARD.decode(signature).unwrap_or_default();
                self.digest(id, timestamp, body).verify_slice(&signature).is_ok()
            });
        if genuine { Ok(()) } else { Err(refused("no signature is that of this message")) }
    }

    fn digest(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut digest = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            digest.update(part);
        }
        digest
    }
}

/// The secret stays secret.
impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSecret").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(300);

    fn secret(byte: u8) -> WebhookSecret {
        WebhookSecret::new(&STANDARD.encode([byte; 32])).unwrap()
    }

    #[test]
    fn only_the_message_that_was_signed_is_genuine() {
        let (secret, now) = (secret(7), Timestamp::from_second(1_000_000).unwrap());
        let signature = secret.sign("a", now, b"body");
        let verify = |id, timestamp, body: &[u8], signatures: &str, now| {
            secret.verify(id, timestamp, body, signatures, now, TOLERANCE)
        };
        assert!(verify("a", "1000000", b"body", &signature, now).is_ok());
        let both = format!("{} v2,x {signature}", self::secret(8).sign("a", now, b"body"));
        assert!(verify("a", "1000000", b"body", &both, now).is_ok());
        for (id, timestamp, body, signatures) in [
            ("b", "1000000", "body", signature.as_str()),
            ("a", "1000001", "body", &signature),
            ("a", "1000000", "bodz", &signature),
            ("a", "1000000", "body", "v1,"),
            ("a", "1000000", "body", ""),
            ("a", "soon", "body", &signature),
        ] {
            let refused = verify(id, timestamp, body.as_bytes(), signatures, now);
            assert!(matches!(refused, Err(Error::Unauthenticated { .. })), "{id} {timestamp} {body}");
        }
        let late = Timestamp::from_second(1_000_301).unwrap();
        assert!(verify("a", "1000000", b"body", &signature, late).is_err());
    }

    #[test]
    fn secrets_are_long_and_not_told() {
        for wrong in ["whsec_", "c2hvcnQ=", "not base64 at all, but long enough to be"] {
            let error = WebhookSecret::new(wrong).unwrap_err().to_string();
            assert!(!error.contains("c2hvcnQ") && !error.contains("at all"), "{error}");
        }
        assert_eq!(format!("{:?}", secret(7)), "WebhookSecret { .. }");
    }
}
