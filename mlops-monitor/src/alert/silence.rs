//! Alerts that nobody wants to hear of for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::selector::all_match;
use super::{Alert, Matcher, Schedule};

/// Alerts that nobody wants to hear of for a while, once or at times that come again.
///
/// They go on beneath it: what still fires when the silence ends is told then. That an alert has ended is
/// told in spite of a silence if it was told that it fires, so that nothing stays open elsewhere.
///
/// ```
/// use std::time::Duration;
/// use mlops_monitor::alert::{Matcher, Schedule, Silence};
///
/// let deployment = Silence::new().with_label("variant", "canary").until("2025-03-01T12:00:00Z".parse()?);
/// let nights = Silence::new()
///     .with_label("severity", Matcher::not("critical"))
///     .recurring(Schedule::new("0 22 * * * Europe/Oslo")?, Duration::from_secs(9 * 3600));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In documents the keys are `match`, `from`, `until`, `schedule` with `duration`, and `comment`. Matchers
/// see the labels of the alert, and its `rule` and `severity` as labels.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Silence {
    labels: BTreeMap<String, Matcher>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    recurring: Option<(Schedule, Duration)>,
    comment: String,
}

impl Silence {
    /// All alerts, from now on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only alerts whose label matches. `rule` and `severity` are labels here.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>, matcher: impl Into<Matcher>) -> Self {
        self.labels.insert(label.into(), matcher.into());
        self
    }

    /// Not before that time.
    #[must_use]
    pub fn from(mut self, time: Timestamp) -> Self {
        self.from = Some(time);
        self
    }

    /// Only before that time.
    #[must_use]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// Only for so long after each time of the schedule.
    #[must_use]
    pub fn recurring(mut self, schedule: Schedule, duration: Duration) -> Self {
        self.recurring = Some((schedule, duration));
        self
    }

    /// Says why.
    #[must_use]
    pub fn with_comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = comment.into();
        self
    }

    /// Why.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether it is silent at that time: from its begin, ends excluded.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        let begun = self.from.is_none_or(|from| from <= now);
        begun
            && !self.is_over(now)
            && self.recurring.as_ref().is_none_or(|(schedule, duration)| {
                let earliest = now.saturating_sub(*duration).unwrap_or(Timestamp::MIN);
                schedule.next_after(earliest).is_some_and(|start| start <= now)
            })
    }

    /// Whether it will never be silent again.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Whether nobody wants to hear of that alert.
    #[must_use]
    pub fn covers(&self, alert: &Alert) -> bool {
        all_match(&self.labels, |label| match label {
            "rule" => Some(alert.rule.as_str()),
            "severity" => Some(alert.severity.name()),
            label => alert.labels.get(label).map(String::as_str),
        })
    }
}

/// A silence as documents have it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, rename = "match", skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, Matcher>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<Schedule>,
    #[serde(default, with = "compact::optional", skip_serializing_if = "Option::is_none")]
    duration: Option<Duration>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    comment: String,
}

impl TryFrom<Fields> for Silence {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        let recurring = match (fields.schedule, fields.duration) {
            (Some(schedule), Some(duration)) => Some((schedule, duration)),
            (None, None) => None,
            _ => {
                let what = "a silence that comes again needs both `schedule` and `duration`";
                return Err(Error::invalid_input(what));
            }
        };
        let Fields { labels, from, until, comment, .. } = fields;
        Ok(Self { labels, from, until, recurring, comment })
    }
}

impl From<Silence> for Fields {
    fn from(silence: Silence) -> Self {
        let Silence { labels, from, until, recurring, comment } = silence;
        let (schedule, duration) = recurring.unzip();
        Self { labels, from, until, schedule, duration, comment }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn nights_are_silent_from_their_begin_to_their_end() {
        let schedule = Schedule::new("0 22 * * * UTC").unwrap();
        let nights = Silence::new().recurring(schedule, Duration::from_secs(8 * 3600));
        for (time, silent) in [
            ("2025-01-01T21:59:59Z", false),
            ("2025-01-01T22:00:00Z", true),
            ("2025-01-02T05:59:59Z", true),
            ("2025-01-02T06:00:00Z", false),
        ] {
            assert_eq!(nights.is_active(at(time)), silent, "{time}");
        }
        let ended = nights.until(at("2025-01-02T00:00:00Z"));
        assert!(!ended.is_active(at("2025-01-02T00:00:00Z")));
        let json = serde_json::to_string(&ended).unwrap();
        assert_eq!(serde_json::from_str::<Silence>(&json).unwrap(), ended);
    }

    #[test]
    fn half_a_recurrence_is_refused() {
        let error = toml::from_str::<Silence>(r#"duration = "1h""#).unwrap_err().to_string();
        assert!(error.contains("both `schedule` and `duration`"), "{error}");
    }
}
