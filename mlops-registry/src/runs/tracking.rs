//! Runs under way, and what is known of them.

use std::collections::BTreeSet;

use mlops_core::{Content, Error, Result};

use super::{LoggedPoint, MetricPoint, NewRun, Run, RunChange, RunId, RunStatus};
use crate::ObjectStoreRegistry;
use crate::document::Change;
use crate::limits;
use crate::state::State;

/// A run under way. What it logs is written every thousand points, when it is asked to, and when it ends; points that
/// were not written when it is dropped are lost, and the run stays `running`.
#[derive(Debug)]
pub struct ActiveRun {
    registry: ObjectStoreRegistry,
    id: RunId,
    actor: String,
    points: Vec<LoggedPoint>,
    attempt: Option<Attempt>,
}

/// An attempt to write points whose answer was not heard.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    /// How many of the points, from the first on.
    points: usize,
    /// How many times the run had logged before, as far as was known.
    logged: usize,
}

/// So many points are written at once.
const BATCH: usize = 1000;

impl ObjectStoreRegistry {
    /// Starts a run.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) when there is no such parent, [`InvalidInput`](Error::InvalidInput) for names and
    /// values that are too long, and those of the store.
    pub async fn start_run(&self, new: NewRun) -> Result<ActiveRun> {
        limits::check_run(&new)?;
        let NewRun { experiment, name, parent, parameters, tags, actor } = new;
        let start = RunChange::Start { experiment, name, parent, parameters, tags };
        let plan = |state: &State| {
            if let Some(parent) = parent {
                find(state, parent)?;
            }
            Ok(Change::Run(start.clone()))
        };
        let id = RunId::new(self.append(&actor, plan).await?.sequence);
        Ok(ActiveRun { registry: self.clone(), id, actor, points: Vec::new(), attempt: None })
    }

    /// Goes on with a run that has not ended: after a crash, or in another process.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound), [`Conflict`](Error::Conflict) when it has ended, and those of the store.
    pub async fn resume_run(&self, id: RunId, actor: impl Into<String>) -> Result<ActiveRun> {
        self.journal().current(|state| find_running(state, id).map(drop)).await?;
        Ok(ActiveRun { registry: self.clone(), id, actor: actor.into(), points: Vec::new(), attempt: None })
    }

    /// A run.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound), and those of the store.
    pub async fn run(&self, id: RunId) -> Result<Run> {
        self.journal().current(|state| find(state, id).cloned()).await
    }

    /// The runs of an experiment, or of all; the oldest first. [`Comparison`](super::Comparison) shows them side by side.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn runs(&self, experiment: Option<&str>) -> Result<Vec<Run>> {
        let wanted = |run: &&Run| experiment.is_none_or(|experiment| run.experiment == experiment);
        let all =
            |state: &State| Ok(state.runs.all().map(|stored| &stored.run).filter(wanted).cloned().collect());
        self.journal().current(all).await
    }

    /// All points of a metric, in the order in which they were logged.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) when there is no such run or metric, and those of the store.
    pub async fn metric_points(&self, id: RunId, metric: &str) -> Result<Vec<MetricPoint>> {
        let logged = self.journal().current(|state| {
            if find(state, id)?.metrics.contains_key(metric) {
                return Ok(state.runs.find(id).map_or_else(Vec::new, |stored| stored.logged.clone()));
            }
            Err(Error::not_found(format!("{id} has no metric `{metric}`")))
        });
        let (log, mut all) = (self.journal().log(), Vec::new());
        for sequence in logged.await? {
            let document = log.read(sequence).await?;
            let Some(Change::Run(RunChange::Log { points, .. })) =
                document.map(|document| document.transition.change)
            else {
                return Err(Error::integrity(format!("{} should hold points of {id}", log.file(sequence))));
            };
            let points = points.into_iter().filter(|point| point.metric == metric);
            all.extend(points.map(|LoggedPoint { step, value, at, .. }| MetricPoint { step, value, at }));
        }
        Ok(all)
    }
}

impl ActiveRun {
    /// Its number, for [`Lineage::with_run`](mlops_core::Lineage::with_run).
    #[must_use]
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Logs a value of a metric. It may be infinite or no number.
    ///
    /// # Errors
    /// [`InvalidInput`](Error::InvalidInput) for a name that is too long and one metric too many, and those of
    /// [`flush`](Self::flush).
    pub async fn log(&mut self, metric: &str, step: u64, value: f64) -> Result<()> {
        limits::check_name("the name of a metric", metric)?;
        self.registry.journal().known(|state| self.check_metric(state, metric))?;
        let at = self.registry.clock().now();
        self.points.push(LoggedPoint { metric: metric.to_owned(), step, value, at });
        if self.points.len() < BATCH { Ok(()) } else { self.flush().await }
    }

    /// Writes what was logged so far.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict) when the run was ended by somebody else, [`InvalidInput`](Error::InvalidInput) when
    /// it has too many metrics, and those of the store; then nothing that was logged is lost, and it can be tried again:
    /// no point is written twice.
    pub async fn flush(&mut self) -> Result<()> {
        if let Some(attempt) = self.attempt {
            if self.was_written(attempt).await? {
                self.points.drain(..attempt.points);
            }
            self.attempt = None;
        }
        while !self.points.is_empty() {
            let points = self.points.len().min(BATCH);
            let change = RunChange::Log { run: self.id, points: self.points[..points].to_vec() };
            let known = |state: &State| state.runs.find(self.id).map_or(0, |stored| stored.logged.len());
            // Until there is an answer, whatever ends this call.
            self.attempt = Some(Attempt { points, logged: self.registry.journal().known(known) });
            self.write(&change).await?;
            self.attempt = None;
            self.points.drain(..points);
        }
        Ok(())
    }

    /// Whether one more metric may be logged, if it is one. A point that could never be written would be in the way of
    /// the others.
    fn check_metric(&self, state: &State, metric: &str) -> Result<()> {
        let Some(stored) = state.runs.find(self.id) else { return Ok(()) };
        let there = &stored.run.metrics;
        if there.contains_key(metric) {
            return Ok(());
        }
        let logged = self.points.iter().map(|point| point.metric.as_str());
        let new: BTreeSet<_> = logged.filter(|metric| !there.contains_key(*metric)).collect();
        if new.contains(metric) {
            return Ok(());
        }
        limits::check_room(self.id, "metrics", there.len() + new.len())
    }

    /// Whether what was attempted is in the log.
    async fn was_written(&self, attempt: Attempt) -> Result<bool> {
        let journal = self.registry.journal();
        let since = |state: &State| {
            let logged = state.runs.find(self.id).map(|stored| stored.logged.as_slice());
            Ok(logged.and_then(|logged| logged.get(attempt.logged..)).unwrap_or_default().to_vec())
        };
        for sequence in journal.current(since).await? {
            let written = journal.log().read(sequence).await?.map(|document| document.transition.change);
            if let Some(Change::Run(RunChange::Log { points, .. })) = written
                && points
                    .iter()
                    .map(LoggedPoint::identity)
                    .eq(self.points[..attempt.points].iter().map(LoggedPoint::identity))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sets a label.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict) when the run was ended by somebody else, [`InvalidInput`](Error::InvalidInput) for
    /// what is too long, and those of the store.
    pub async fn tag(&mut self, name: impl Into<String>, value: impl Into<String>) -> Result<()> {
        let (name, value) = (name.into(), value.into());
        limits::check_name("the name of a tag", &name)?;
        limits::check_length("the value of a tag", &value, limits::MAX_VALUE_BYTES)?;
        self.write(&RunChange::Tag { run: self.id, name, value }).await
    }

    /// Keeps something the run has made, by its digest.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict) when there is one of that name or the run was ended by somebody else,
    /// [`InvalidInput`](Error::InvalidInput) for a name that is not safe as a file name, and those of the store.
    pub async fn attach(&mut self, name: impl Into<String>, content: impl Into<Content>) -> Result<()> {
        let (name, content) = (name.into(), content.into());
        limits::check_artifact_name(&name)?;
        let content = self.registry.blobs().describe(&content).await?;
        let artifact = content.artifact;
        loop {
            let generations = self.registry.upload(std::slice::from_ref(&content)).await?;
            let change = RunChange::Attach { run: self.id, name: name.clone(), artifact: artifact.into() };
            let current = |state: &State| vec![state.blobs.entry(&artifact.digest).generation] == generations;
            let plan = |state: &State| {
                let run = find_running(state, self.id)?;
                if run.artifacts.contains_key(&name) {
                    return Err(Error::conflict(format!("{} has an artifact `{name}` already", self.id)));
                }
                limits::check_room(self.id, "artifacts", run.artifacts.len())?;
                limits::check_distinct(run.artifacts.keys().chain([&name]))?;
                if current(state) {
                    Ok(Change::Run(change.clone()))
                } else {
                    Err(Error::conflict("it was collected"))
                }
            };
            match self.registry.append(&self.actor, plan).await {
                Err(Error::Conflict { .. }) if !self.registry.journal().known(current) => {}
                done => return done.map(drop),
            }
        }
    }

    /// Writes what was logged, and ends the run. What cannot be written goes with the handle; who needs to try again
    /// [flushes](Self::flush) before.
    ///
    /// # Errors
    /// [`InvalidInput`](Error::InvalidInput) when the status is `running`, [`Conflict`](Error::Conflict) when the run was
    /// ended by somebody else, and those of the store.
    pub async fn finish(mut self, status: RunStatus) -> Result<Run> {
        if status == RunStatus::Running {
            return Err(Error::invalid_input("a run ends as finished, failed or killed, not as running"));
        }
        self.flush().await?;
        self.write(&RunChange::Finish { run: self.id, status }).await?;
        self.registry.run(self.id).await
    }

    async fn write(&self, change: &RunChange) -> Result<()> {
        let plan = |state: &State| {
            check_room(find_running(state, self.id)?, change)?;
            Ok(Change::Run(change.clone()))
        };
        self.registry.append(&self.actor, plan).await.map(drop)
    }
}

/// Whether a run has room for what is new in `change`.
fn check_room(run: &Run, change: &RunChange) -> Result<()> {
    match change {
        RunChange::Tag { name, .. } if !run.tags.contains_key(name) => {
            limits::check_room(run.id, "tags", run.tags.len())
        }
        RunChange::Log { points, .. } => {
            let logged = points.iter().map(|point| point.metric.as_str());
            let new: BTreeSet<_> = logged.filter(|metric| !run.metrics.contains_key(*metric)).collect();
            (0..new.len())
                .try_for_each(|more| limits::check_room(run.id, "metrics", run.metrics.len() + more))
        }
        _ => Ok(()),
    }
}

fn find(state: &State, id: RunId) -> Result<&Run> {
    let stored = state.runs.find(id).ok_or_else(|| Error::not_found(format!("there is no {id}")))?;
    Ok(&stored.run)
}

fn find_running(state: &State, id: RunId) -> Result<&Run> {
    let run = find(state, id)?;
    if run.status == RunStatus::Running {
        return Ok(run);
    }
    Err(Error::conflict(format!("{id} has ended: {}", run.status)))
}
