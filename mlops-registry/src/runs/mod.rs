//! Experiment tracking: what was tried, with what, and what came of it.
//!
//! Runs live in the same log as versions: they are append-only, durable and verified like them.
//!
//! ```
//! use mlops_registry::ObjectStoreRegistry;
//! use mlops_registry::runs::{NewRun, RunStatus};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), mlops_core::Error> {
//! let registry = ObjectStoreRegistry::in_memory();
//! let new = NewRun::new("fraud-trees").named("depth 7").with_parameter("depth", 7).by("alice");
//! let mut run = registry.start_run(new).await?;
//! for step in 0..100 {
//!     run.log("loss", step, 1.0 / (step + 1) as f64).await?;
//! }
//! run.attach("model", &b"..."[..]).await?;
//! let run = run.finish(RunStatus::Finished).await?;
//!
//! assert_eq!(run.metrics["loss"].last, 0.01);
//! assert_eq!(registry.metric_points(run.id, "loss").await?.len(), 100);
//! // A version says where it comes from: `Lineage::default().with_run(run.id.to_string())`.
//! # Ok(())
//! # }
//! ```

mod comparison;
mod numbers;
mod tracking;
mod types;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::comparison::Comparison;
pub use self::tracking::ActiveRun;
pub use self::types::{MetricPoint, MetricSummary, NewRun, Run, RunId, RunStatus};
use crate::document::StoredArtifact;
use crate::state::BlobTable;

/// What a transition changes of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RunChange {
    /// The run whose number is that of the transition begins.
    Start {
        experiment: String,
        name: String,
        parent: Option<RunId>,
        parameters: BTreeMap<String, String>,
        tags: BTreeMap<String, String>,
    },
    /// Points of metrics, in the order in which they were logged.
    Log {
        run: RunId,
        points: Vec<LoggedPoint>,
    },
    Tag {
        run: RunId,
        name: String,
        value: String,
    },
    Attach {
        run: RunId,
        name: String,
        artifact: StoredArtifact,
    },
    Finish {
        run: RunId,
        status: RunStatus,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoggedPoint {
    pub(crate) metric: String,
    pub(crate) step: u64,
    #[serde(with = "numbers")]
    pub(crate) value: f64,
    pub(crate) at: Timestamp,
}

impl LoggedPoint {
    /// What tells it from other points; of values that are no number, one is like the other.
    fn identity(&self) -> (&str, u64, u64, Timestamp) {
        let value = if self.value.is_nan() { f64::NAN } else { self.value };
        (&self.metric, self.step, value.to_bits(), self.at)
    }
}

/// All runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Runs {
    runs: BTreeMap<RunId, StoredRun>,
}

/// A run, and the transitions that hold its points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredRun {
    pub(crate) run: Run,
    pub(crate) logged: Vec<u64>,
}

impl Runs {
    pub(crate) fn find(&self, id: RunId) -> Option<&StoredRun> {
        self.runs.get(&id)
    }

    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = &StoredRun> {
        self.runs.values()
    }

    pub(crate) fn insert(&mut self, stored: StoredRun) {
        self.runs.insert(stored.run.id, stored);
    }

    /// Takes a change in.
    ///
    /// # Errors
    /// Says why it cannot be. Then nothing has changed.
    pub(crate) fn apply(
        &mut self,
        sequence: u64,
        at: Timestamp,
        actor: &str,
        change: &RunChange,
        blobs: &mut BlobTable,
    ) -> Result<(), String> {
        if let RunChange::Start { experiment, name, parent, parameters, tags } = change {
            if let Some(parent) = parent
                && !self.runs.contains_key(parent)
            {
                return Err(format!("it starts a run under {parent}, which is not there"));
            }
            let run = Run {
                id: RunId::new(sequence),
                experiment: experiment.clone(),
                name: name.clone(),
                parent: *parent,
                parameters: parameters.clone(),
                tags: tags.clone(),
                status: RunStatus::Running,
                started_at: at,
                finished_at: None,
                by: actor.to_owned(),
                metrics: BTreeMap::new(),
                artifacts: BTreeMap::new(),
            };
            self.insert(StoredRun { run, logged: Vec::new() });
            return Ok(());
        }
        let id = change.run().unwrap_or(RunId::new(sequence));
        let stored = self.runs.get_mut(&id).ok_or_else(|| format!("it changes {id}, which is not there"))?;
        if stored.run.status != RunStatus::Running {
            return Err(format!("it changes {id}, which has ended"));
        }
        match change {
            RunChange::Start { .. } => {}
            RunChange::Log { points, .. } => {
                for point in points {
                    let metric = stored.run.metrics.entry(point.metric.clone()).or_default();
                    metric.add(point.step, point.value);
                }
                stored.logged.push(sequence);
            }
            RunChange::Tag { name, value, .. } => {
                stored.run.tags.insert(name.clone(), value.clone());
            }
            RunChange::Attach { name, artifact, .. } => {
                if stored.run.artifacts.contains_key(name) {
                    return Err(format!("it attaches `{name}` to {id}, which has it already"));
                }
                blobs.take(artifact.digest);
                stored.run.artifacts.insert(name.clone(), (*artifact).into());
            }
            RunChange::Finish { status, .. } => {
                stored.run.status = *status;
                stored.run.finished_at = Some(at);
            }
        }
        Ok(())
    }
}

impl RunChange {
    /// Which run it changes; a run that starts has no number yet.
    pub(crate) fn run(&self) -> Option<RunId> {
        match self {
            Self::Start { .. } => None,
            Self::Log { run, .. }
            | Self::Tag { run, .. }
            | Self::Attach { run, .. }
            | Self::Finish { run, .. } => Some(*run),
        }
    }
}
