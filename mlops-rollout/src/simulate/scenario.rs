//! What a plan is tried against.

use std::sync::Arc;

use mlops_core::{Error, Result};
use serde::Deserialize;

use super::recorded::Recording;
use super::{Behaviour, Course, LognormalLatency, RecordedRequest};

/// Who asks how often, and what becomes of it at the stable variant and at the candidate.
///
/// **Synthetic** traffic arrives by chance (Poisson) at a given rate. With [users](Self::with_users) every
/// request comes from one of them, each as likely, and [`Sticky`](crate::Sticky) decides who is on the
/// candidate; without, every request is drawn by weight. Failures do not depend on the user.
///
/// **Recorded** traffic ([`Scenario::recorded`]) keeps the hours, users and failures of yours. The rows say
/// what the stable variant does; the candidate does the same, and what its [`Behaviour`] says in addition.
///
/// ```
/// use std::time::Duration;
/// use mlops_rollout::{Behaviour, Course, LognormalLatency, Scenario};
///
/// let usual = LognormalLatency::new(Duration::from_millis(20), Duration::from_millis(80))?;
/// let scenario = Scenario::new("five points worse", Course::daily(1_000.0, 0.8))? // requests a minute
///     .with_users(10_000)
///     .with_latency(usual)
///     .with_stable(Behaviour::failing(0.01))?
///     .with_candidate(Behaviour::failing(0.06))?;
/// # assert_eq!(scenario.name(), "five points worse");
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// In serde:
///
/// ```
/// # use mlops_rollout::Scenario;
/// let scenario: Scenario = serde_json::from_str(
///     r#"{
///         "name": "five points worse",
///         "requests_per_minute": {"kind": "daily", "mean": 1000, "swing": 0.8},
///         "users": 10000,
///         "latency": {"median": "20ms", "p99": "80ms"},
///         "stable": {"failures": 0.01},
///         "candidate": {"failures": 0.06, "slowdown": 1.1, "stalls": {"share": 0.02, "factor": 10}}
///     }"#,
/// )?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "ScenarioFields")]
pub struct Scenario {
    pub(super) name: String,
    pub(super) traffic: Traffic,
    pub(super) stable: Behaviour,
    pub(super) candidate: Behaviour,
}

#[derive(Debug, Clone)]
pub(super) enum Traffic {
    Synthetic { requests_per_minute: Course, users: u64, latency: Option<LognormalLatency> },
    Recorded(Arc<Recording>),
}

impl Scenario {
    /// Synthetic traffic at that many requests a minute, of which none fails.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the rate is negative or not finite.
    pub fn new(name: impl Into<String>, requests_per_minute: impl Into<Course>) -> Result<Self> {
        let requests_per_minute = requests_per_minute.into();
        let traffic = Traffic::Synthetic { requests_per_minute, users: 0, latency: None };
        Self::of(name.into(), traffic)
    }

    /// Recorded traffic, played once from its first request on. A rollout that is not decided at its end
    /// is counted as undecided. Every rollout assigns the recorded keys to the variants anew.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it holds no request, or the requests are not in the order of their
    /// times.
    pub fn recorded(
        name: impl Into<String>,
        requests: impl IntoIterator<Item = RecordedRequest>,
    ) -> Result<Self> {
        let recording = Recording::new(requests.into_iter().collect())?;
        Self::of(name.into(), Traffic::Recorded(Arc::new(recording)))
    }

    /// How many users ask. 0 unless set: then requests have no keys. Recorded traffic has its own.
    #[must_use]
    pub fn with_users(mut self, count: u64) -> Self {
        if let Traffic::Synthetic { users, .. } = &mut self.traffic {
            *users = count;
        }
        self
    }

    /// How long the answers take. Unless set they have no latency, and checks of it stay inconclusive.
    /// Recorded traffic has its own.
    #[must_use]
    pub fn with_latency(mut self, usual: LognormalLatency) -> Self {
        if let Traffic::Synthetic { latency, .. } = &mut self.traffic {
            *latency = Some(usual);
        }
        self
    }

    /// What the stable variant does.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when a number is out of its range.
    pub fn with_stable(mut self, behaviour: Behaviour) -> Result<Self> {
        self.stable = behaviour;
        self.checked()
    }

    /// What the candidate does.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when a number is out of its range.
    pub fn with_candidate(mut self, behaviour: Behaviour) -> Result<Self> {
        self.candidate = behaviour;
        self.checked()
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn has_users(&self) -> bool {
        match &self.traffic {
            Traffic::Synthetic { users, .. } => *users > 0,
            Traffic::Recorded(recording) => recording.has_users(),
        }
    }

    fn of(name: String, traffic: Traffic) -> Result<Self> {
        let (stable, candidate) = (Behaviour::default(), Behaviour::default());
        Self { name, traffic, stable, candidate }.checked()
    }

    fn checked(self) -> Result<Self> {
        let rate = || match &self.traffic {
            Traffic::Synthetic { requests_per_minute, .. } => {
                requests_per_minute.fault("its number of requests a minute", 0.0..=f64::INFINITY)
            }
            Traffic::Recorded(_) => None,
        };
        let of = |who: &str, behaviour: &Behaviour| Some(format!("the {who}'s {}", behaviour.fault()?));
        let fault = rate()
            .or_else(|| of("stable variant", &self.stable))
            .or_else(|| of("candidate", &self.candidate));
        match fault {
            Some(fault) => Err(Error::invalid_input(format!("the scenario `{}`: {fault}", self.name))),
            None => Ok(self),
        }
    }
}

/// What a scenario looks like before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFields {
    name: String,
    requests_per_minute: Course,
    #[serde(default)]
    users: u64,
    #[serde(default)]
    latency: Option<LognormalLatency>,
    #[serde(default)]
    stable: Behaviour,
    #[serde(default)]
    candidate: Behaviour,
}

impl TryFrom<ScenarioFields> for Scenario {
    type Error = Error;

    fn try_from(fields: ScenarioFields) -> Result<Self> {
        let ScenarioFields { name, requests_per_minute, users, latency, stable, candidate } = fields;
        let traffic = Traffic::Synthetic { requests_per_minute, users, latency };
        Self { name, traffic, stable, candidate }.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_cannot_be_are_refused_and_named() {
        assert!(Scenario::new("x", -1.0).is_err());
        assert!(Scenario::new("x", f64::NAN).is_err());
        assert!(Scenario::recorded("x", []).is_err());
        let scenario = || Scenario::new("x", 10.0).unwrap();
        let error = scenario().with_candidate(Behaviour::failing(2.0)).unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid input: the scenario `x`: the candidate's share of failures is 2; it must be in [0, 1]"
        );
        for bad in [
            Behaviour::default().with_bad_outcomes(-0.1),
            Behaviour::default().with_slowdown(0.0),
            Behaviour::default().with_stalls(1.1, 2.0),
            Behaviour::default().with_stalls(0.1, f64::NAN),
        ] {
            assert!(scenario().with_stable(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn serde_checks_what_the_constructors_check() {
        let read = |json: &str| serde_json::from_str::<Scenario>(json);
        assert!(read(r#"{"name":"x","requests_per_minute":5}"#).is_ok());
        for bad in [
            r#"{"name":"x"}"#,
            r#"{"name":"x","requests_per_minute":-5}"#,
            r#"{"name":"x","requests_per_minute":5,"candidate":{"failures":7}}"#,
            r#"{"name":"x","requests_per_minute":5,"candidate":{"failure":0.7}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
