//! What a rollout did, for the record.

use std::fmt;
use std::ops::Deref;

use jiff::Timestamp;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::state::{Event, State};
use crate::{EvidenceSnapshot, VariantEvidence};

/// One change of state, with the evidence it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transition {
    /// Its place in the log of the rollout, from 1. Not every number is a transition.
    pub number: u64,
    /// When, by the wall clock of whoever made it. Within a log dates never go back.
    pub at: Timestamp,
    /// The replica that made it, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What made it.
    pub event: Event,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub reason: String,
    /// What was known.
    pub evidence: EvidenceSnapshot,
}

/// All that a rollout did, from the first to the last change of state: a slice of [`Transition`]s that can
/// be printed, for people as text and for machines as [JSON](Self::to_json).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Audit {
    /// Every change of state.
    pub transitions: Vec<Transition>,
    /// When what was to be done on promotion had been done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Timestamp>,
}

impl Audit {
    /// A JSON document, indented.
    ///
    /// # Errors
    /// [`Error::Internal`] when JSON cannot hold it, which no audit is known to bring about.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|error| Error::internal("writing an audit as JSON").with_source(error))
    }
}

impl Transition {
    /// The decision as a metric label.
    pub(super) fn decision(&self) -> &'static str {
        match (&self.from, &self.to) {
            (_, State::Promoted) => "promote",
            (_, State::RolledBack { .. }) => "roll_back",
            (from, to) if from.step() == to.step() && from.place() != to.place() => "count_failed_look",
            (_, State::Paused { .. }) => "pause",
            (_, State::AwaitingApproval { .. }) => "await_approval",
            (from @ State::Paused { .. }, to) if from.step() == to.step() => "resume",
            (State::Pending, _) => "start",
            _ => "advance",
        }
    }
}

/// `1970-01-01T00:00:00Z pending -> step 0: the rollout begins`.
impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, from, to, reason, .. } = self;
        match to {
            State::RolledBack { .. } => write!(f, "{at} {from} -> {to}"),
            _ => write!(f, "{at} {from} -> {to}: {reason}"),
        }
    }
}

/// A line per transition, and below it who made it, by what event, and what was seen of each variant.
impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for transition in &self.transitions {
            let Transition { number, by, event, evidence, .. } = transition;
            writeln!(f, "{number:>4}  {transition}")?;
            let by = by.as_deref().map(|by| format!(", by {by}")).unwrap_or_default();
            writeln!(f, "      on: {event}{by}")?;
            for (variant, seen) in &evidence.current {
                writeln!(f, "      {variant}: {}", Seen(seen))?;
            }
            for (variant, seen) in &evidence.previous {
                writeln!(f, "      {variant}, in the window before: {}", Seen(seen))?;
            }
        }
        match self.announced {
            Some(at) => writeln!(f, "      {at} what was to be done on promotion is done"),
            None => Ok(()),
        }
    }
}

struct Seen<'a>(&'a VariantEvidence);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} requests failed", self.0.failures, self.0.requests())?;
        if self.0.outcomes() > 0 {
            write!(f, ", {} of {} outcomes bad", self.0.bad, self.0.outcomes())?;
        }
        match self.0.latencies.quantile(0.99) {
            Some(p99) => write!(f, ", p99 {p99:.1?}"),
            None => Ok(()),
        }
    }
}

impl Deref for Audit {
    type Target = [Transition];

    fn deref(&self) -> &[Transition] {
        &self.transitions
    }
}

impl IntoIterator for Audit {
    type Item = Transition;
    type IntoIter = std::vec::IntoIter<Transition>;

    fn into_iter(self) -> Self::IntoIter {
        self.transitions.into_iter()
    }
}

impl<'a> IntoIterator for &'a Audit {
    type Item = &'a Transition;
    type IntoIter = std::slice::Iter<'a, Transition>;

    fn into_iter(self) -> Self::IntoIter {
        self.transitions.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mlops_core::Variant;

    use super::*;
    use crate::FailedLooks;

    #[test]
    fn an_audit_is_read_by_people_and_machines() {
        let [stable, candidate] = ["stable", "candidate"].map(|name| Variant::new(name).unwrap());
        let seen = VariantEvidence::new(90, 10).with_latencies([Duration::from_millis(5)]);
        let evidence = EvidenceSnapshot::new()
            .with_current(stable, VariantEvidence::new(100, 0).with_outcomes(3, 1))
            .with_current(candidate, seen);
        let step = State::Step { index: 0, since: Duration::from_nanos(1), failed: FailedLooks::default() };
        let to = State::RolledBack { reason: "failed: too often".to_owned() };
        let transition = Transition {
            number: 4,
            at: Timestamp::UNIX_EPOCH,
            by: Some("pod-1".to_owned()),
            event: Event::Tick,
            from: step,
            to,
            reason: "failed: too often".to_owned(),
            evidence,
        };
        assert_eq!(transition.decision(), "roll_back");
        let audit = Audit { transitions: vec![transition], announced: None };
        let text = audit.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "   4  1970-01-01T00:00:00Z step 0 -> rolled back: failed: too often");
        assert_eq!(lines[1], "      on: look, by pod-1");
        assert!(lines[2].starts_with("      candidate: 10 of 100 requests failed, p99 5."), "{text}");
        assert_eq!(lines[3], "      stable: 0 of 100 requests failed, 1 of 4 outcomes bad");
        assert_eq!(serde_json::from_str::<Audit>(&audit.to_json().unwrap()).unwrap(), audit);
    }
}
