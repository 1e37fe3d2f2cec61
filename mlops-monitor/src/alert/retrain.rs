//! When a model has to be trained again.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::event::fingerprint;
use super::instance::elapsed;
use super::rule::{self, Clear, in_place};
use super::{Condition, Matcher, Schedule, Selector};
use crate::Signal;

/// Signals that an event brings as evidence, at most.
const EVIDENCE: usize = 100;

/// How long nothing is triggered after an event.
const COOL_DOWN: Duration = Duration::from_secs(24 * 3600);

/// When a model has to be trained again: when its inputs have drifted, when it has become worse, or when it is
/// time to.
///
/// A state machine on the time it is told. After an event nothing is triggered for the cool-down, whatever
/// happens; a condition that still holds then triggers again. A time of the schedule within the cool-down is
/// skipped, since the model has just been trained. Times that passed while nothing was evaluated make one
/// event, not many; times before the first evaluation make none.
///
/// ```
/// use jiff::{SignedDuration, Timestamp};
/// use mlops_monitor::Signal;
/// use mlops_monitor::alert::RetrainTrigger;
///
/// let mut trigger = RetrainTrigger::from_toml(
///     r#"
///     name = "credit"
///     cool_down = "24h"
///     drift = [{ signal = "drift.psi", above = 0.2, at_least = 2, for = "1h" }]
///     performance = [{ signal = "performance.roc_auc", below = 0.7 }]
///     schedule = ["0 3 * * Sun Europe/Oslo"]
///     "#,
/// )?;
/// let now = Timestamp::UNIX_EPOCH;
/// let event = trigger.evaluate(now, &[Signal::new("performance.roc_auc", 0.66)]).unwrap();
/// assert_eq!(event.reasons[0].to_string(), "performance.roc_auc is below 0.7");
/// assert!(trigger.evaluate(now + SignedDuration::from_hours(1), &[Signal::new("performance.roc_auc", 0.6)]).is_none());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct RetrainTrigger {
    name: String,
    cool_down: Duration,
    drift: Vec<RetrainCondition>,
    performance: Vec<RetrainCondition>,
    schedules: Vec<Schedule>,
    state: RetrainState,
}

/// Signals that are bad for long enough.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "ConditionFields")]
pub struct RetrainCondition {
    selector: Selector,
    condition: Condition,
    at_least: usize,
    hold: Duration,
}

/// What a [`RetrainTrigger`] knows of the past: to be stored, and restored after a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrainState {
    /// Since when each condition has held, drift first.
    since: Vec<Option<Timestamp>>,
    /// Up to when the schedules were looked at.
    looked: Option<Timestamp>,
    fired: Option<Timestamp>,
    events: u64,
}

/// The model has to be trained again, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RetrainEvent {
    /// Tells this event from all others.
    pub id: String,
    /// The name of the trigger.
    pub trigger: String,
    /// Why: all reasons that hold, drift first, then performance, then time.
    pub reasons: Vec<RetrainReason>,
    /// The signals that breach the conditions, up to 100 of them.
    pub evidence: Vec<Signal>,
    /// When.
    pub at: Timestamp,
}

/// Why a model has to be trained again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum RetrainReason {
    /// The data has drifted.
    Drift {
        /// The name of the signals.
        signal: String,
        /// The condition in words.
        condition: String,
        /// How many signals breach it.
        signals: usize,
    },
    /// The model has become worse.
    Performance {
        /// The name of the signals.
        signal: String,
        /// The condition in words.
        condition: String,
        /// How many signals breach it.
        signals: usize,
    },
    /// It is time to.
    Schedule {
        /// The cron expression.
        schedule: String,
        /// The time that was due; the first one, if several passed.
        due: Timestamp,
    },
}

impl RetrainTrigger {
    /// A trigger with nothing that triggers it yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cool_down: COOL_DOWN,
            drift: Vec::new(),
            performance: Vec::new(),
            schedules: Vec::new(),
            state: RetrainState::default(),
        }
    }

    /// Reads `name`, `cool_down` (`24h` without it), `drift`, `performance` and `schedule` from TOML. Conditions
    /// have `signal`, `match`, `above`, `below` or `outside`, `at_least` and `for`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] with line and column.
    pub fn from_toml(document: &str) -> Result<Self> {
        toml::from_str(document)
            .map_err(|cause| Error::invalid_input(format!("the trigger cannot be read: {cause}")))
    }

    /// Triggers when the data has drifted.
    #[must_use]
    pub fn on_drift(mut self, condition: RetrainCondition) -> Self {
        self.drift.push(condition);
        self
    }

    /// Triggers when the model has become worse.
    #[must_use]
    pub fn on_performance(mut self, condition: RetrainCondition) -> Self {
        self.performance.push(condition);
        self
    }

    /// Triggers at these times.
    #[must_use]
    pub fn on_schedule(mut self, schedule: Schedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// Sets how long nothing is triggered after an event.
    #[must_use]
    pub fn with_cool_down(mut self, duration: Duration) -> Self {
        self.cool_down = duration;
        self
    }

    /// Goes on from there.
    #[must_use]
    pub fn with_state(mut self, state: RetrainState) -> Self {
        self.restore(state);
        self
    }

    /// Goes on from there. How long conditions have held is forgotten when there are more or fewer of them.
    pub fn restore(&mut self, state: RetrainState) {
        self.state = state;
        if self.state.since.len() != self.drift.len() + self.performance.len() {
            self.state.since.clear();
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it knows of the past.
    #[must_use]
    pub fn state(&self) -> &RetrainState {
        &self.state
    }

    /// Looks at all signals of this moment, and says whether the model has to be trained again.
    #[must_use = "nothing is trained unless somebody acts on the event"]
    pub fn evaluate(&mut self, now: Timestamp, signals: &[Signal]) -> Option<RetrainEvent> {
        let (mut reasons, mut evidence) = (Vec::new(), Vec::new());
        self.state.since.resize(self.drift.len() + self.performance.len(), None);
        for (index, condition) in self.drift.iter().chain(&self.performance).enumerate() {
            let breaching: Vec<&Signal> =
                signals.iter().filter(|signal| condition.is_breached_by(signal)).collect();
            let since = &mut self.state.since[index];
            if breaching.len() < condition.at_least {
                *since = None;
                continue;
            }
            if elapsed(*since.get_or_insert(now), now) >= condition.hold {
                reasons.push(condition.reason(index < self.drift.len(), breaching.len()));
                evidence.extend(breaching.into_iter().cloned());
            }
        }
        reasons.extend(self.due(now));
        let cooling = self.state.fired.is_some_and(|fired| elapsed(fired, now) < self.cool_down);
        if reasons.is_empty() || cooling {
            return None;
        }
        evidence.truncate(EVIDENCE);
        self.state.fired = Some(now);
        self.state.events += 1;
        let (number, time) = (self.state.events.to_string(), now.as_millisecond().to_string());
        let id = fingerprint([self.name.as_str(), number.as_str(), time.as_str()]);
        Some(RetrainEvent { id, trigger: self.name.clone(), reasons, evidence, at: now })
    }

    /// The schedules with a time since they were looked at.
    fn due(&mut self, now: Timestamp) -> Vec<RetrainReason> {
        let looked = *self.state.looked.get_or_insert(now);
        self.state.looked = Some(looked.max(now));
        let due = self.schedules.iter().filter_map(|schedule| {
            let due = schedule.next_after(looked).filter(|due| *due <= now)?;
            Some(RetrainReason::Schedule { schedule: schedule.as_str().to_owned(), due })
        });
        due.collect()
    }
}

impl RetrainCondition {
    /// One such signal is enough, at once.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when a threshold is impossible, or the condition is [`Condition::Absent`].
    pub fn new(selector: Selector, condition: Condition) -> Result<Self> {
        Self { selector, condition, at_least: 1, hold: Duration::ZERO }.checked()
    }

    /// Sets how many signals have to breach the condition.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is none.
    pub fn with_at_least(mut self, signals: usize) -> Result<Self> {
        self.at_least = signals;
        self.checked()
    }

    /// Sets for how long.
    #[must_use]
    pub fn with_hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    fn is_breached_by(&self, signal: &Signal) -> bool {
        self.selector.matches(signal) && self.condition.breached_by(signal.value)
    }

    fn reason(&self, drift: bool, signals: usize) -> RetrainReason {
        let (signal, condition) = (self.selector.signal().to_owned(), self.condition.to_string());
        if drift {
            RetrainReason::Drift { signal, condition, signals }
        } else {
            RetrainReason::Performance { signal, condition, signals }
        }
    }

    fn checked(self) -> Result<Self> {
        self.selector.check()?;
        let condition = self.condition.checked()?;
        if condition == Condition::Absent || self.at_least == 0 {
            let what = "a model is not trained again because signals are absent; `at_least` is 1 or more";
            return Err(Error::invalid_input(what));
        }
        Ok(self)
    }
}

/// `performance.roc_auc is below 0.7`, `drift.psi is above 0.2 (3 signals)`, `0 3 * * Sun was due at ...`.
impl fmt::Display for RetrainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drift { signal, condition, signals } | Self::Performance { signal, condition, signals } => {
                write!(f, "{signal} is {condition}")?;
                if *signals == 1 { Ok(()) } else { write!(f, " ({signals} signals)") }
            }
            Self::Schedule { schedule, due } => write!(f, "{schedule} was due at {due}"),
        }
    }
}

/// A trigger as documents have it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: String,
    #[serde(default = "cool_down", with = "compact::required")]
    cool_down: Duration,
    #[serde(default)]
    drift: Vec<RetrainCondition>,
    #[serde(default)]
    performance: Vec<RetrainCondition>,
    #[serde(default)]
    schedule: Vec<Schedule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionFields {
    signal: String,
    #[serde(default, rename = "match")]
    matches: std::collections::BTreeMap<String, Matcher>,
    #[serde(default)]
    above: Option<f64>,
    #[serde(default)]
    below: Option<f64>,
    #[serde(default)]
    outside: Option<(f64, f64)>,
    #[serde(default = "one")]
    at_least: usize,
    #[serde(default, rename = "for", with = "compact::required")]
    hold: Duration,
}

fn cool_down() -> Duration {
    COOL_DOWN
}

fn one() -> usize {
    1
}

impl TryFrom<Fields> for RetrainTrigger {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        let Fields { name, cool_down, drift, performance, schedule: schedules } = fields;
        if name.is_empty() || drift.is_empty() && performance.is_empty() && schedules.is_empty() {
            let what = "a trigger needs a name, and one of `drift`, `performance` and `schedule`";
            return Err(Error::invalid_input(what));
        }
        Ok(Self { name, cool_down, drift, performance, schedules, state: RetrainState::default() })
    }
}

impl TryFrom<ConditionFields> for RetrainCondition {
    type Error = Error;

    fn try_from(fields: ConditionFields) -> Result<Self> {
        let ConditionFields { signal, matches, above, below, outside, at_least, hold } = fields;
        let condition = rule::condition(above, below, outside, false, None::<Clear>)
            .map_err(|fault| in_place(&format!("the condition on `{signal}`"), &fault))?;
        Self { selector: Selector::from_parts(signal, matches), condition, at_least, hold }.checked()
    }
}
