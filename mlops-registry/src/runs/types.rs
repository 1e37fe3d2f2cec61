//! A run, before and after it is started.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use mlops_core::{Artifact, Error, Result};
use serde::{Deserialize, Serialize};

use super::numbers;

/// The number of a run in its registry, written `run-17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(u64);

/// A run on its way into a registry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewRun {
    /// What it is a part of: runs of one experiment are compared with each other.
    pub experiment: String,
    /// A name for people.
    pub name: String,
    /// The run this one is a part of: a search, a fold of a cross-validation.
    pub parent: Option<RunId>,
    /// With what it runs, by name.
    pub parameters: BTreeMap<String, String>,
    /// Labels to find it by.
    pub tags: BTreeMap<String, String>,
    /// Who runs it.
    pub actor: String,
}

/// A run as a registry knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// What it is a part of.
    pub experiment: String,
    /// A name for people.
    pub name: String,
    /// The run this one is a part of.
    pub parent: Option<RunId>,
    /// With what it runs, by name.
    pub parameters: BTreeMap<String, String>,
    /// Labels to find it by.
    pub tags: BTreeMap<String, String>,
    /// How far it is.
    pub status: RunStatus,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Who runs it.
    pub by: String,
    /// What was measured, by name.
    pub metrics: BTreeMap<String, MetricSummary>,
    /// What it made, by name.
    pub artifacts: BTreeMap<String, Artifact>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It runs, or was abandoned.
    Running,
    /// It came to its end.
    Finished,
    /// It failed.
    Failed,
    /// It was stopped from outside.
    Killed,
}

/// The points of a metric in short.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricSummary {
    /// The value that was logged last.
    #[serde(with = "numbers")]
    pub last: f64,
    /// The step of that value.
    pub step: u64,
    /// The lowest value; what is no number is passed over.
    #[serde(with = "numbers")]
    pub min: f64,
    /// The highest value; what is no number is passed over.
    #[serde(with = "numbers")]
    pub max: f64,
    /// How many points there are.
    pub count: u64,
}

/// A value of a metric at a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricPoint {
    /// The step, as the run counts them.
    pub step: u64,
    /// The value. It may be infinite or no number.
    pub value: f64,
    /// When it was logged.
    pub at: Timestamp,
}

impl RunId {
    pub(crate) fn new(sequence: u64) -> Self {
        Self(sequence)
    }
}

impl NewRun {
    /// A run of `experiment`.
    pub fn new(experiment: impl Into<String>) -> Self {
        Self {
            experiment: experiment.into(),
            name: String::new(),
            parent: None,
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
            actor: String::new(),
        }
    }

    /// Gives it a name for people.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Makes it a part of another run.
    #[must_use]
    pub fn within(mut self, parent: RunId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Adds something it runs with.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.parameters.insert(name.into(), value.to_string());
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn with_tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Says who runs it.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }
}

impl MetricSummary {
    pub(super) fn add(&mut self, step: u64, value: f64) {
        (self.last, self.step, self.count) = (value, step, self.count.saturating_add(1));
        // The other one is taken where one of the two is no number.
        (self.min, self.max) = (self.min.min(value), self.max.max(value));
    }
}

impl Default for MetricSummary {
    /// No points yet.
    fn default() -> Self {
        Self { last: f64::NAN, step: 0, min: f64::NAN, max: f64::NAN, count: 0 }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{PREFIX}{}", self.0))
    }
}

const PREFIX: &str = "run-";

impl FromStr for RunId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = text.strip_prefix(PREFIX).filter(|digits| !digits.starts_with(['+', '0']));
        number.and_then(|digits| digits.parse().ok()).map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            Error::invalid_input(format!("{shown:?} is no run; expected something like `run-17`"))
        })
    }
}

impl TryFrom<String> for RunId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Killed => "killed",
        })
    }
}
