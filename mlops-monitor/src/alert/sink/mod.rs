//! Who is told of alerts, and how.

mod channel;
mod dispatcher;
#[cfg(feature = "webhook")]
mod http;
mod log;
mod queue;
#[cfg(feature = "webhook")]
mod retries;
#[cfg(feature = "webhook")]
mod secret;
#[cfg(feature = "webhook")]
mod slack;
#[cfg(feature = "webhook")]
mod webhook;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::Result;

pub use channel::ChannelSink;
pub use dispatcher::{Delivery, Dispatcher};
pub use log::LogSink;
#[cfg(feature = "webhook")]
pub use retries::Retries;
#[cfg(feature = "webhook")]
pub use secret::WebhookSecret;
#[cfg(feature = "webhook")]
pub use slack::SlackSink;
#[cfg(feature = "webhook")]
pub use webhook::WebhookSink;

use super::Alert;

/// Somebody who is told of alerts.
///
/// A [`Dispatcher`] gives each sink one alert after the other, in order, and waits for nobody else meanwhile.
/// A sink retries by itself what is worth it; when it gives up, the alert is counted as failed and the next
/// one comes. The same message may come twice ([`Alert::id`] tells).
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync + 'static {
    /// The name, as a metric label: `webhook`.
    fn name(&self) -> &str;

    /// Tells of the alert.
    ///
    /// # Errors
    /// When it could not be told, and there is no use in trying further.
    async fn send(&self, alert: &Alert) -> Result<()>;
}

#[async_trait]
impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    async fn send(&self, alert: &Alert) -> Result<()> {
        (**self).send(alert).await
    }
}
