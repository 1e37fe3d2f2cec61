//! Alerts as signed JSON to any server.

use async_trait::async_trait;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use mlops_core::{Clock, Error, Result};

use super::http::Poster;
use super::{Retries, Sink, WebhookSecret};
use crate::alert::Alert;

/// Sends alerts as JSON to a server, by `POST`, signed as [`WebhookSecret`] says. The body is the [`Alert`] as
/// serde writes it.
///
/// A status 2xx is success. Failures of the connection, time-outs, 408, 409, 425, 429 and 5xx are tried again
/// as [`Retries`] says; all else, redirections too, is final. The same message keeps its `webhook-id`, and is
/// signed anew each time. Needs a tokio runtime.
///
/// ```
/// use mlops_monitor::alert::{WebhookSecret, WebhookSink};
///
/// # fn secret_from_your_vault() -> &'static str { "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }
/// let sink = WebhookSink::new("http://alerts.internal/model")?
///     .with_secret(WebhookSecret::new(secret_from_your_vault())?)
///     .with_header("authorization", "Bearer ...")?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct WebhookSink {
    name: String,
    poster: Poster,
    secrets: Vec<WebhookSecret>,
}

impl WebhookSink {
    /// Sends to that address. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is no `http` or `https` URL, or holds a user; [`Error::Unavailable`] when
    /// this machine trusts no certificates.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self { name: "webhook".to_owned(), poster: Poster::new(url)?, secrets: Vec::new() })
    }

    /// Signs with this secret, and with those that were given before: while they are being exchanged.
    #[must_use]
    pub fn with_secret(mut self, secret: WebhookSecret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Sends this header, whose value is never told.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it cannot be sent.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self> {
        self.poster = self.poster.with_header(name, value)?;
        Ok(self)
    }

    /// Sets how often messages are sent again.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when that is never.
    pub fn with_retries(mut self, retries: Retries) -> Result<Self> {
        self.poster = self.poster.with_retries(retries)?;
        Ok(self)
    }

    /// Sets the clock of the time stamps.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.poster = self.poster.with_clock(clock);
        self
    }

    /// Sets the name, as a metric label, where there are several.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    fn headers(&self, id: &str, at: Timestamp, body: &[u8]) -> Result<HeaderMap> {
        let signatures: Vec<_> = self.secrets.iter().map(|secret| secret.sign(id, at, body)).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (WebhookSecret::ID, id.to_owned()),
            (WebhookSecret::TIMESTAMP, at.as_second().to_string()),
            (WebhookSecret::SIGNATURE, signatures.join(" ")),
        ] {
            let value = HeaderValue::try_from(value)
                .map_err(|cause| Error::internal(format!("`{name}` cannot be sent")).with_source(cause))?;
            if !value.is_empty() {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        Ok(headers)
    }
}

#[async_trait]
impl Sink for WebhookSink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, alert: &Alert) -> Result<()> {
        let body = serde_json::to_vec(alert)
            .map_err(|cause| Error::internal("an alert cannot be written as JSON").with_source(cause))?;
        let body = bytes::Bytes::from(body);
        self.poster.post(&alert.id, body.clone(), |at| self.headers(&alert.id, at, &body)).await
    }
}
