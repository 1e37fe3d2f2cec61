//! Alerts as log events.

use async_trait::async_trait;
use mlops_core::Result;

use super::Sink;
use crate::alert::{Alert, Severity};

/// Writes alerts by [`tracing`]: critical ones as errors, warnings as warnings, all else, ends of alerts
/// included, as information. The target is `mlops::alert`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogSink;

#[async_trait]
impl Sink for LogSink {
    fn name(&self) -> &str {
        "log"
    }

    async fn send(&self, alert: &Alert) -> Result<()> {
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(
                    target: "mlops::alert",
                    rule = %alert.rule,
                    status = %alert.status,
                    severity = %alert.severity,
                    signal = %alert.signal,
                    value = alert.value,
                    labels = ?alert.labels,
                    id = %alert.id,
                    "{alert}"
                )
            };
        }
        match alert.severity {
            Severity::Critical if alert.is_firing() => event!(error),
            Severity::Warning if alert.is_firing() => event!(warn),
            _ => event!(info),
        }
        Ok(())
    }
}
