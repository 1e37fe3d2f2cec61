//! Alerts as messages in a chat.

use async_trait::async_trait;
use hyper::header::HeaderMap;
use mlops_core::{Error, Result};
use serde_json::{Value, json};

use super::http::Poster;
use super::{Retries, Sink};
use crate::alert::{Alert, AlertStatus, Severity};

/// Characters that Slack takes: of a header, of a section, of a field; and fields of a section.
const HEADER: usize = 150;
const SECTION: usize = 3_000;
const FIELD: usize = 2_000;
const FIELDS: usize = 10;

/// Sends alerts to an incoming webhook of Slack, or of what speaks as it does (Mattermost, Rocket.Chat): `text`
/// for notifications, and `blocks` with the severity, the labels, the texts of the rule and the times.
///
/// The address is the secret, so it is never told. Retries are those of [`WebhookSink`](super::WebhookSink).
#[derive(Debug, Clone)]
pub struct SlackSink {
    name: String,
    poster: Poster,
}

impl SlackSink {
    /// Sends to that address. Nothing is sent yet.
    ///
    /// # Errors
    /// As [`WebhookSink::new`](super::WebhookSink::new).
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self { name: "slack".to_owned(), poster: Poster::new(url)? })
    }

    /// Sets how often messages are sent again.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when that is never.
    pub fn with_retries(mut self, retries: Retries) -> Result<Self> {
        self.poster = self.poster.with_retries(retries)?;
        Ok(self)
    }

    /// Sets the name, as a metric label, where there are several.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The message about an alert.
    #[must_use]
    pub fn message(alert: &Alert) -> Value {
        let icon = match (alert.status, alert.severity) {
            (AlertStatus::Resolved | AlertStatus::Gone, _) => ":white_check_mark:",
            (_, Severity::Critical) => ":red_circle:",
            (_, Severity::Warning) => ":large_orange_circle:",
            (_, Severity::Info) => ":large_blue_circle:",
        };
        let title = format!("{icon} {}: {}", alert.status, alert.rule);
        let mut blocks = vec![json!({
            "type": "header",
            "text": { "type": "plain_text", "text": cut(&title, HEADER), "emoji": true },
        })];
        let markdown = |text: &str, limit| json!({ "type": "mrkdwn", "text": cut(&escape(text), limit) });
        blocks.push(json!({ "type": "section", "text": markdown(&alert.headline(), SECTION) }));
        let mut fields = vec![("severity", alert.severity.name())];
        fields.extend(alert.labels.iter().map(|(label, value)| (label.as_str(), value.as_str())));
        let fields = fields.iter().take(FIELDS);
        let fields: Vec<_> = fields
            .map(|(label, value)| {
                json!({ "type": "mrkdwn", "text": cut(&format!("*{}*\n{}", escape(label), escape(value)), FIELD) })
            })
            .collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
        for (name, text) in &alert.annotations {
            let text = format!("*{}*\n{}", escape(name), escape(text));
            blocks.push(
                json!({ "type": "section", "text": { "type": "mrkdwn", "text": cut(&text, SECTION) } }),
            );
        }
        let times = format!("since {}, signals {}, id {}", alert.since, alert.signals, alert.id);
        blocks.push(json!({ "type": "context", "elements": [markdown(&times, FIELD)] }));
        // Slack takes 50 blocks.
        blocks.truncate(50);
        json!({ "text": cut(&escape(&alert.headline()), SECTION), "blocks": blocks })
    }
}

#[async_trait]
impl Sink for SlackSink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, alert: &Alert) -> Result<()> {
        let body = serde_json::to_vec(&Self::message(alert))
            .map_err(|cause| Error::internal("an alert cannot be written as JSON").with_source(cause))?;
        self.poster.post(&alert.id, body.into(), |_| Ok(HeaderMap::new())).await
    }
}

/// What stands for itself in Slack's markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => text.chars().take(limit - 1).chain(['…']).collect(),
    }
}
