//! One alert from the first breach to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::fingerprint;
use super::{Alert, AlertRule, AlertStatus, Condition, Silence};
use crate::Signal;

/// One alert from the first breach to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Instance {
    pub(crate) rule: String,
    pub(crate) labels: BTreeMap<String, String>,
    since: Timestamp,
    fired_at: Option<Timestamp>,
    clear_since: Option<Timestamp>,
    /// When the signal came for the last time.
    seen: Timestamp,
    told: u32,
    last_told: Option<Alert>,
    #[serde(with = "crate::signal::number")]
    value: f64,
    signals: usize,
    evidence: serde_json::Value,
}

/// What the signals that make one alert say together.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    worst: Option<&'a Signal>,
    breaching: usize,
    clear: bool,
}

/// What becomes of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Stays,
    /// It never fired, and no longer would.
    Forgotten,
    Ended(AlertStatus),
}

impl<'a> Reading<'a> {
    pub(crate) fn none() -> Self {
        Self { worst: None, breaching: 0, clear: true }
    }

    /// That of a rule about absence.
    pub(crate) fn absence(absent: bool) -> Self {
        Self { worst: None, breaching: usize::from(absent), clear: !absent }
    }

    pub(crate) fn add(&mut self, condition: Condition, signal: &'a Signal) {
        self.breaching += usize::from(condition.breached_by(signal.value));
        self.clear &= condition.cleared_by(signal.value);
        let badness = |signal: &Signal| condition.badness(signal.value);
        if self.worst.is_none_or(|worst| badness(signal) > badness(worst)) {
            self.worst = Some(signal);
        }
    }

    pub(crate) fn breaches(&self) -> bool {
        self.breaching > 0
    }
}

impl Instance {
    /// The condition holds for the first time.
    pub(crate) fn new(rule: &AlertRule, labels: BTreeMap<String, String>, now: Timestamp) -> Self {
        Self {
            rule: rule.name.clone(),
            labels,
            since: now,
            fired_at: None,
            clear_since: None,
            seen: now,
            told: 0,
            last_told: None,
            value: 0.0,
            signals: 0,
            evidence: serde_json::Value::Null,
        }
    }

    /// Time goes on, with or without the signal.
    pub(crate) fn advance(
        &mut self,
        rule: &AlertRule,
        now: Timestamp,
        reading: Option<&Reading<'_>>,
    ) -> Next {
        let Some(reading) = reading else {
            return match self.fired_at {
                _ if elapsed(self.seen, now) < rule.absent_after => Next::Stays,
                None => Next::Forgotten,
                Some(_) => Next::Ended(AlertStatus::Gone),
            };
        };
        self.seen = now;
        self.signals = reading.breaching;
        if let Some(worst) = reading.worst {
            self.value = worst.value;
            self.evidence = worst.evidence.clone();
        }
        if self.fired_at.is_none() {
            if !reading.breaches() {
                return Next::Forgotten;
            }
            if elapsed(self.since, now) >= rule.hold {
                self.fired_at = Some(now);
            }
            return Next::Stays;
        }
        if !reading.clear {
            self.clear_since = None;
            return Next::Stays;
        }
        let clear_since = *self.clear_since.get_or_insert(now);
        if elapsed(clear_since, now) >= rule.keep_firing_for {
            return Next::Ended(AlertStatus::Resolved);
        }
        Next::Stays
    }

    /// Whether it fires.
    pub(crate) fn is_firing(&self) -> bool {
        self.fired_at.is_some()
    }

    /// What has to be told now; that it fires, unless a silence covers it.
    pub(crate) fn message(
        &mut self,
        next: Next,
        rule: &AlertRule,
        now: Timestamp,
        silences: &[&Silence],
    ) -> Option<Alert> {
        let status = match (next, &self.last_told) {
            (Next::Ended(status), Some(_)) => status,
            (Next::Stays, last) if self.is_firing() && is_due(last.as_ref(), rule, now) => {
                AlertStatus::Firing
            }
            _ => return None,
        };
        let alert = self.alert(rule, now, status);
        if status == AlertStatus::Firing && silences.iter().any(|silence| silence.covers(&alert)) {
            return None;
        }
        self.told += 1;
        self.last_told = Some(alert.clone());
        Some(alert)
    }

    /// What has to be told when its rule is no longer there.
    pub(crate) fn orphaned(self, now: Timestamp) -> Option<Alert> {
        let status = AlertStatus::Gone;
        let id = |alert: &Alert| self.id(&alert.fingerprint, status);
        self.last_told.as_ref().map(|alert| Alert { id: id(alert), status, at: now, ..alert.clone() })
    }

    /// The alert as it stands.
    pub(crate) fn alert(&self, rule: &AlertRule, now: Timestamp, status: AlertStatus) -> Alert {
        let pairs = self.labels.iter().flat_map(|(label, value)| [label.as_str(), value.as_str()]);
        let fingerprint = fingerprint([self.rule.as_str()].into_iter().chain(pairs));
        let mut labels = self.labels.clone();
        labels.extend(rule.labels.clone());
        Alert {
            id: self.id(&fingerprint, status),
            fingerprint,
            rule: self.rule.clone(),
            status,
            severity: rule.severity,
            signal: rule.selector.signal().to_owned(),
            condition: rule.condition.to_string(),
            annotations: rule.texts(&labels, self.value),
            labels,
            value: self.value,
            signals: self.signals,
            evidence: self.evidence.clone(),
            since: self.since,
            fired_at: self.fired_at,
            at: now,
        }
    }

    /// That of the next message.
    fn id(&self, fingerprint: &str, status: AlertStatus) -> String {
        let begin = self.fired_at.unwrap_or(self.since).as_millisecond();
        format!("{fingerprint}-{begin}-{}-{status}", self.told)
    }
}

/// Whether an alert that fires has to be told: for the first time, or again.
fn is_due(last: Option<&Alert>, rule: &AlertRule, now: Timestamp) -> bool {
    last.is_none_or(|last| !rule.repeat.is_zero() && elapsed(last.at, now) >= rule.repeat)
}

/// How long ago that was; zero if the clock has gone back behind it.
pub(crate) fn elapsed(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or(Duration::ZERO)
}
