//! One rollout, from its beginning to its end.

use std::time::Duration;

use mlops_core::{Clock, ManualClock, Result, Variant};

use super::crowd::Crowd;
use super::latency::Cells;
use super::random::Random;
use super::recorded::Replay;
use super::scenario::{Scenario, Traffic};
use super::synthetic::Synthetic;
use super::traffic::{Reach, Seen, Source, Tick};
use super::{SimulationOptions, TracePoint};
use crate::{Effect, Event, EvidenceSnapshot, Next, Plan, Rollout, State, Sticky, TrafficSplit};

/// What all rollouts of a simulation have in common.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    rollout: Rollout,
    scenario: &'a Scenario,
    options: &'a SimulationOptions,
    crowd: Crowd,
    cells: Option<Cells>,
}

/// How one rollout went.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) index: u64,
    pub(super) outcome: Outcome,
    pub(super) elapsed: Duration,
    pub(super) reach: Reach,
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Promoted,
    /// A check failed.
    Failed,
    /// A step ran out of time, and so it was rolled back.
    TimedOut,
    Undecided,
}

impl<'a> Ground<'a> {
    pub(super) fn new(plan: &Plan, scenario: &'a Scenario, options: &'a SimulationOptions) -> Result<Self> {
        let (stable, candidate) = (Variant::new("stable")?, Variant::new("candidate")?);
        let rollout = Rollout::new(plan.clone(), stable, candidate);
        let (users, latency) = match &scenario.traffic {
            Traffic::Synthetic { users, latency, .. } => (*users, latency.as_ref()),
            Traffic::Recorded(_) => (0, None),
        };
        let crowd = Crowd::routed(users, &rollout, &salt(options.seed))?;
        Ok(Self { rollout, scenario, options, crowd, cells: latency.map(Cells::new) })
    }

    /// Plays the rollout of that number, always in the same way, and tells every look to `watch`.
    pub(super) fn play(&self, index: u64, mut watch: Option<&mut Vec<TracePoint>>) -> Result<Run> {
        let Self { rollout, options, .. } = self;
        let split = TrafficSplit::new(rollout.stable().clone(), [rollout.candidate().clone()]);
        let mut source = self.source(index, &split);
        let clock = ManualClock::default();
        let began = clock.instant();
        let (mut state, mut seen, mut reach) = (State::Pending, EvidenceSnapshot::new(), Reach::default());
        let (mut paused_at, mut more) = (None, true);
        loop {
            let now = clock.instant().saturating_duration_since(began);
            let event = match (paused_at, options.resume_after) {
                (Some(since), Some(pause)) if now.saturating_sub(since) >= pause => match state {
                    State::AwaitingApproval { index, .. } => Event::Approve { step: index },
                    _ => Event::Resume,
                },
                _ => Event::Tick,
            };
            let Next { state: next, effects, reason } = rollout.decide(&state, &event, &seen, now);
            if let Some(watch) = watch.as_deref_mut() {
                let mut point = TracePoint::new(now, rollout, rollout.share(&state), &seen, reason);
                point.share = rollout.share(&next);
                point.moved_to = (next != state).then(|| next.to_string());
                watch.push(point);
            }
            for effect in effects {
                match effect {
                    Effect::SetShare(share) => split.set(rollout.candidate(), share)?,
                    Effect::BeginWindow => seen.previous = std::mem::take(&mut seen.current),
                    _ => {} // the ends, after which there is no traffic
                }
            }
            let run = |outcome| Run { index, outcome, elapsed: now, reach };
            match &next {
                State::Promoted => return Ok(run(Outcome::Promoted)),
                State::RolledBack { .. } if self.out_of_time(&state, now) => {
                    return Ok(run(Outcome::TimedOut));
                }
                State::RolledBack { .. } => return Ok(run(Outcome::Failed)),
                _ if now >= options.horizon || !more => return Ok(run(Outcome::Undecided)),
                State::Pending | State::Step { .. } => paused_at = None,
                _ => paused_at = paused_at.or(Some(now)),
            }
            let tick = Tick {
                from: now,
                to: now + options.tick,
                share: rollout.share(&next),
                shadow: rollout.shadow_share(&next),
            };
            state = next;
            more = self.send(&mut *source, tick, &mut seen, &mut reach)?;
            clock.advance(options.tick);
        }
    }

    fn source(&self, index: u64, split: &TrafficSplit) -> Box<dyn Source + '_> {
        let Scenario { traffic, stable, candidate, .. } = self.scenario;
        let mut random = Random::new(self.options.seed, index);
        match traffic {
            Traffic::Synthetic { requests_per_minute, .. } => Box::new(Synthetic {
                requests_per_minute: *requests_per_minute,
                stable: *stable,
                candidate: *candidate,
                crowd: &self.crowd,
                cells: self.cells.as_ref(),
                random,
            }),
            Traffic::Recorded(recording) => {
                let router = Sticky::new(split.clone(), salt(random.bits())).with_seed(random.bits());
                let behaviours = [*stable, *candidate];
                Box::new(Replay::new(recording, router, self.rollout.candidate(), behaviours, random))
            }
        }
    }

    fn send(
        &self,
        source: &mut dyn Source,
        tick: Tick,
        seen: &mut EvidenceSnapshot,
        reach: &mut Reach,
    ) -> Result<bool> {
        let variants = [self.rollout.stable(), self.rollout.candidate()];
        let [mut stable, mut candidate] =
            variants.map(|variant| seen.current.remove(variant).unwrap_or_default());
        let more = source.play(tick, Seen { stable: &mut stable, candidate: &mut candidate }, reach)?;
        for (variant, counts) in variants.into_iter().zip([stable, candidate]) {
            seen.current.insert(variant.clone(), counts);
        }
        Ok(more)
    }

    fn out_of_time(&self, state: &State, now: Duration) -> bool {
        let State::Step { index, since, .. } = state else { return false };
        let plan = self.rollout.plan();
        let longest = plan.steps().get(*index).and_then(|step| plan.longest(step));
        longest.is_some_and(|longest| now.saturating_sub(*since) >= longest)
    }
}

/// A rollout keeps its salt, as rollouts do.
fn salt(seed: u64) -> String {
    format!("simulation-{seed}")
}
