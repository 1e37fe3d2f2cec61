//! The log of a rollout: what its records hold, and what they add up to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::{Error, Instant, Result, Variant};
use serde::{Deserialize, Serialize};

use super::audit::{Audit, Transition};
use super::plan::Plan;
use super::rollout::Rollout;
use super::state::{Event, State};
use crate::{Appended, EvidenceSnapshot, RolloutStore, StoreName, VariantEvidence};

/// One numbered record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) number: u64,
    /// Which replica wrote it.
    pub(super) by: String,
    /// For people. It never goes back within a log, and nothing is decided by it.
    pub(super) at: Timestamp,
    /// How long the rollout had lasted at least.
    #[serde(with = "compact::required")]
    pub(super) elapsed: Duration,
    pub(super) change: Change,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// The rollout is known.
    Begun { plan: Box<Plan>, stable: Variant, candidate: Variant },
    /// It moved.
    Moved {
        on: Event,
        from: State,
        to: State,
        reason: String,
        evidence: EvidenceSnapshot,
        /// Whether evidence is counted anew.
        window: bool,
    },
    /// Time went by, which is not to be waited for again after a crash.
    Watched,
    /// What was to be done on promotion is done.
    Announced,
}

/// One log in a store.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    pub(super) store: Arc<dyn RolloutStore>,
    pub(super) name: StoreName,
}

impl Journal {
    pub(super) async fn read(&self, number: u64) -> Result<Option<Record>> {
        let Some(bytes) = self.store.read(&self.name, number).await? else { return Ok(None) };
        let record: Record = serde_json::from_slice(&bytes).map_err(|cause| {
            let what = format!("record {number} of the rollout `{}` is not to be understood", self.name);
            Error::integrity(what).with_source(cause)
        })?;
        Ok(Some(record))
    }

    pub(super) async fn append(&self, record: &Record) -> Result<Appended> {
        let Record { number, .. } = record;
        let bytes = serde_json::to_vec(record).map_err(|cause| {
            let what = format!("record {number} of the rollout `{}` cannot be written as JSON", self.name);
            Error::internal(what).with_source(cause)
        })?;
        self.store.append(&self.name, *number, &bytes).await
    }
}

/// What a log says, as far as it has been read.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// The last record.
    pub(super) number: u64,
    pub(super) state: State,
    /// The record with which the present window of evidence began, and when that was.
    pub(super) window: (u64, Timestamp),
    /// What had been seen in the window before, when it ended.
    pub(super) previous: BTreeMap<Variant, VariantEvidence>,
    pub(super) audit: Audit,
    at: Timestamp,
    elapsed: Duration,
    learned: Instant,
}

impl View {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            number: 0,
            state: State::Pending,
            window: (0, Timestamp::UNIX_EPOCH),
            previous: BTreeMap::new(),
            audit: Audit::default(),
            at: Timestamp::MIN,
            elapsed: Duration::ZERO,
            learned: now,
        }
    }

    /// How long the rollout has lasted for certain.
    ///
    /// The last record says how long it had lasted when that was written; since then at least as long has
    /// gone by as since it was read here. So what has gone by since any record is never overestimated,
    /// whoever wrote it and however the clocks on the walls jump: a bake is not shortened. While nobody
    /// watches, no time goes by.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        self.elapsed.saturating_add(now.saturating_duration_since(self.learned))
    }

    /// The next record, as one would write it now.
    pub(super) fn next(&self, by: &StoreName, at: Timestamp, elapsed: Duration, change: Change) -> Record {
        let at = at.max(self.at);
        Record { number: self.number + 1, by: by.to_string(), at, elapsed, change }
    }

    /// Whether so much time has gone by since the last record that losing it in a crash would hurt: a tenth
    /// of the bake, and when that is over, of the longest that the step may take. So there are twenty such
    /// records in a step at most.
    pub(super) fn is_due(&self, plan: &Plan, now: Duration) -> bool {
        let State::Step { index, since, .. } = self.state else { return false };
        let Some(step) = plan.steps().get(index) else { return false };
        let recorded = self.elapsed.saturating_sub(since);
        let goal =
            [Some(step.bake()), plan.longest(step)].into_iter().flatten().find(|goal| recorded < *goal);
        goal.is_some_and(|goal| now.saturating_sub(self.elapsed) >= (goal / 10).max(Duration::from_nanos(1)))
    }

    /// Takes the next record in. Says which transition it is, if it is one.
    ///
    /// # Errors
    /// [`Error::Integrity`] when it does not follow on the last, [`Error::Conflict`] when it begins another
    /// rollout than `rollout`. Then nothing has changed.
    pub(super) fn take(
        &mut self,
        record: Record,
        rollout: Option<&Rollout>,
        now: Instant,
    ) -> Result<Option<Transition>> {
        let Record { number, by, at, elapsed, change } = record;
        let fault = match &change {
            _ if number != self.number + 1 => Some(format!("says it is record {number}")),
            Change::Begun { .. } if number != 1 => Some("begins what has begun".to_owned()),
            Change::Moved { from, .. } if *from != self.state => {
                Some(format!("leaves the state `{from}` in the state `{}`", self.state))
            }
            _ if elapsed < self.elapsed => Some("goes back in time".to_owned()),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(Error::integrity(format!("record {} of the log {fault}", self.number + 1)));
        }
        let mut moved = None;
        match change {
            Change::Begun { plan, stable, candidate } => {
                if let Some(rollout) = rollout {
                    same_rollout(&Rollout::new(*plan, stable, candidate), rollout)?;
                }
            }
            Change::Moved { on, from, to, reason, evidence, window } => {
                self.state = to.clone();
                if window {
                    self.window = (number, at);
                    self.previous.clone_from(&evidence.current);
                }
                let by = Some(by);
                let transition = Transition { number, at, by, event: on, from, to, reason, evidence };
                self.audit.transitions.push(transition.clone());
                moved = Some(transition);
            }
            Change::Watched => {}
            Change::Announced => self.audit.announced = Some(at),
        }
        (self.number, self.at, self.elapsed, self.learned) = (number, at, elapsed, now);
        Ok(moved)
    }
}

fn same_rollout(known: &Rollout, given: &Rollout) -> Result<()> {
    let differs = if known.plan() != given.plan() {
        "with another plan"
    } else if known.stable() != given.stable() {
        "with another stable variant"
    } else if known.candidate() != given.candidate() {
        "with another candidate"
    } else {
        return Ok(());
    };
    Err(Error::conflict(format!(
        "the store knows a rollout of this name {differs}; carry it on as it began, or give the new one a new name"
    )))
}

impl Audit {
    /// What the store knows of a rollout, read without taking part in it. Nothing known is an empty audit.
    ///
    /// # Errors
    /// Those of the store; [`Error::Integrity`] when its records make no sense.
    pub async fn read(store: Arc<dyn RolloutStore>, name: impl Into<String>) -> Result<Self> {
        let journal = Journal { store, name: StoreName::new(name)? };
        let now = Instant::now();
        let mut view = View::new(now);
        while let Some(record) = journal.read(view.number + 1).await? {
            view.take(record, None, now)?;
        }
        Ok(view.audit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryRolloutStore, Step};

    const MINUTE: Duration = Duration::from_secs(60);

    fn rollout() -> Rollout {
        let plan = Plan::new([Step::new(0.1).with_bake(10 * MINUTE), Step::new(1.0)]).unwrap();
        let plan = plan.with_max_step_duration(100 * MINUTE).unwrap();
        Rollout::new(plan, Variant::new("stable").unwrap(), Variant::new("candidate").unwrap())
    }

    fn begun() -> Change {
        let rollout = rollout();
        let plan = Box::new(rollout.plan().clone());
        Change::Begun { plan, stable: rollout.stable().clone(), candidate: rollout.candidate().clone() }
    }

    fn moved(from: State, to: State) -> Change {
        let evidence = EvidenceSnapshot::new();
        Change::Moved { on: Event::Tick, from, to, reason: "why".to_owned(), evidence, window: true }
    }

    fn step(since: Duration) -> State {
        State::Step { index: 0, since, failed: crate::FailedLooks::default() }
    }

    /// A log in its first step, which began after a minute.
    fn view(now: Instant) -> View {
        let by = StoreName::new("a").unwrap();
        let mut view = View::new(now);
        for (elapsed, change) in [(Duration::ZERO, begun()), (MINUTE, moved(State::Pending, step(MINUTE)))] {
            let record = view.next(&by, Timestamp::UNIX_EPOCH, elapsed, change);
            view.take(record, Some(&rollout()), now).unwrap();
        }
        view
    }

    #[test]
    fn records_survive_json() {
        let by = StoreName::new("a").unwrap();
        let odd = Duration::new(1, 234_567_891);
        for change in [begun(), moved(State::Pending, step(odd)), Change::Watched, Change::Announced] {
            let record = View::new(Instant::now()).next(&by, Timestamp::UNIX_EPOCH, odd, change);
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record, "{json}");
        }
    }

    #[test]
    fn time_counts_from_the_last_record_and_dates_never_go_back() {
        let now = Instant::now();
        let mut view = view(now);
        assert_eq!(view.elapsed(now + MINUTE), 2 * MINUTE);
        // Somebody who has seen less of the step says so: time is lost, never won.
        let by = StoreName::new("b").unwrap();
        let record = view.next(&by, Timestamp::MIN, MINUTE + MINUTE / 2, Change::Watched);
        assert_eq!(record.at, Timestamp::UNIX_EPOCH);
        view.take(record, None, now + MINUTE).unwrap();
        assert_eq!(view.elapsed(now + 2 * MINUTE), 2 * MINUTE + MINUTE / 2);
        assert_eq!(view.elapsed(now), MINUTE + MINUTE / 2, "an instant before is none after");
    }

    #[test]
    fn what_a_crash_would_lose_is_bounded_and_so_are_the_records() {
        let now = Instant::now();
        let (mut view, rollout) = (view(now), rollout());
        let by = StoreName::new("a").unwrap();
        let mut records = 0;
        for second in 60..100_000 {
            let elapsed = Duration::from_secs(second);
            if view.is_due(rollout.plan(), elapsed) {
                records += 1;
                let record = view.next(&by, Timestamp::UNIX_EPOCH, elapsed, Change::Watched);
                view.take(record, None, now).unwrap();
            }
            let lost = elapsed - view.elapsed;
            assert!(elapsed > 11 * MINUTE || lost < MINUTE, "{lost:?}");
        }
        assert_eq!(records, 19, "ten in the bake, and nine more up to the longest");
    }

    #[test]
    fn a_log_that_makes_no_sense_is_refused_and_changes_nothing() {
        let now = Instant::now();
        let view = view(now);
        let by = StoreName::new("a").unwrap();
        let good = view.next(&by, Timestamp::UNIX_EPOCH, 2 * MINUTE, Change::Watched);
        for bad in [
            Record { number: 4, ..good.clone() },
            Record { elapsed: Duration::ZERO, ..good.clone() },
            Record { change: begun(), ..good.clone() },
            Record { change: moved(State::Pending, State::Promoted), ..good.clone() },
        ] {
            let mut tried = view.clone();
            let error = tried.take(bad, Some(&rollout()), now).unwrap_err();
            assert!(matches!(error, Error::Integrity { .. }), "{error}");
            assert_eq!((tried.number, tried.state), (view.number, view.state.clone()));
        }
        let other = Rollout::new(
            Plan::new([Step::new(0.5)]).unwrap(),
            rollout().stable().clone(),
            rollout().candidate().clone(),
        );
        let first = View::new(now).next(&by, Timestamp::UNIX_EPOCH, Duration::ZERO, begun());
        let error = View::new(now).take(first, Some(&other), now).unwrap_err();
        assert!(error.to_string().contains("another plan"), "{error}");
    }

    #[tokio::test]
    async fn a_record_that_is_none_is_an_error() {
        let store = Arc::new(MemoryRolloutStore::new());
        let name = StoreName::new("x").unwrap();
        store.append(&name, 1, b"{}").await.unwrap();
        let error = Audit::read(store.clone(), "x").await.unwrap_err();
        assert!(matches!(error, Error::Integrity { .. }), "{error}");
        assert_eq!(Audit::read(store, "unknown").await.unwrap(), Audit::default());
    }
}
