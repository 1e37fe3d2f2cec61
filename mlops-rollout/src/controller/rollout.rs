//! The rollout as a pure function.

use std::time::Duration;

use mlops_core::Variant;

use super::plan::{OnInconclusive, Plan};
use super::state::{Effect, Event, Next, State};
use crate::{AnalysisReport, EvidenceSnapshot, SamplesNeeded, VariantEvidence, Verdict};

/// A plan for a candidate, and the rules by which it moves: no clock, no traffic, no memory of its own.
///
/// [`decide`](Self::decide) is all there is; the [`Controller`](crate::Controller) applies what it says.
/// These hold whatever happens:
/// * A check that fails rolls the candidate back, in a step or in a pause, whatever the event.
/// * A candidate is promoted only out of a step whose checks have all passed, or by hand while none has
///   failed.
/// * [`State::Promoted`] and [`State::RolledBack`] are final.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    plan: Plan,
    stable: Variant,
    candidate: Variant,
}

impl Rollout {
    /// `candidate` is to take over from `stable`, by `plan`.
    #[must_use]
    pub fn new(plan: Plan, stable: Variant, candidate: Variant) -> Self {
        Self { plan, stable, candidate }
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The variant that goes on if the candidate does not.
    #[must_use]
    pub fn stable(&self) -> &Variant {
        &self.stable
    }

    /// The variant that is being tried.
    #[must_use]
    pub fn candidate(&self) -> &Variant {
        &self.candidate
    }

    /// The candidate's share of the traffic in that state, 0 to 1.
    #[must_use]
    pub fn share(&self, state: &State) -> f64 {
        match state {
            State::Step { index, .. } | State::Paused { index, .. } => {
                self.plan.steps().get(*index).map_or(0.0, super::Step::share)
            }
            State::Pending | State::RolledBack { .. } => 0.0,
            State::Promoted => 1.0,
        }
    }

    /// What happens in `state` on `event`, `now` after the beginning of the rollout.
    #[must_use]
    pub fn decide(&self, state: &State, event: &Event, evidence: &EvidenceSnapshot, now: Duration) -> Next {
        let index = match (state, event) {
            (State::Promoted | State::RolledBack { .. }, _) => return Next::stay(state, state.to_string()),
            (_, Event::Abort { reason }) => return roll_back(format!("aborted: {reason}")),
            (State::Pending, Event::Tick) => return self.enter(0, now, "the rollout begins"),
            (State::Pending, _) => return Next::stay(state, "the rollout has not begun"),
            (State::Step { index, .. } | State::Paused { index, .. }, _) => *index,
        };
        let report = self.analyze(index, evidence);
        if report.verdict == Verdict::Failed {
            return roll_back(report.to_string());
        }
        match (state, event) {
            (_, Event::Promote) => promote(format!("by hand; {report}")),
            (State::Step { since, .. }, Event::Pause) => {
                let baked = now.saturating_sub(*since);
                Next::to(State::Paused { index, baked }, [], "by hand")
            }
            (State::Paused { baked, .. }, Event::Resume) => {
                Next::to(State::Step { index, since: now.saturating_sub(*baked) }, [], "by hand")
            }
            (State::Step { since, .. }, _) => self.climb(state, now.saturating_sub(*since), &report, now),
            _ => Next::stay(state, format!("waits to be resumed; {report}")),
        }
    }

    /// Goes up if the checks of the step have passed and it has baked, gives up if it took too long.
    fn climb(&self, state: &State, elapsed: Duration, report: &AnalysisReport, now: Duration) -> Next {
        let State::Step { index, .. } = *state else { return Next::stay(state, report.to_string()) };
        let bake = self.plan.steps().get(index).map_or(Duration::MAX, super::Step::bake);
        let last = index + 1 >= self.plan.steps().len();
        match report.verdict {
            Verdict::Passed if elapsed < bake => {
                Next::stay(state, format!("bakes, {elapsed:.0?} of {bake:.0?}; {report}"))
            }
            Verdict::Passed if last => promote(report.to_string()),
            Verdict::Passed => self.enter(index + 1, now, report.to_string()),
            _ if self.plan.max_step_duration().is_some_and(|longest| elapsed >= longest) => {
                let reason = format!("not decided after {elapsed:.0?}; {report}");
                match self.plan.on_inconclusive() {
                    OnInconclusive::RollBack => roll_back(reason),
                    // Whoever resumes it grants the step its time anew.
                    OnInconclusive::Pause => {
                        Next::to(State::Paused { index, baked: Duration::ZERO }, [], reason)
                    }
                }
            }
            _ => Next::stay(state, report.to_string()),
        }
    }

    fn enter(&self, index: usize, now: Duration, reason: impl Into<String>) -> Next {
        let state = State::Step { index, since: now };
        let effects = [Effect::SetShare(self.share(&state)), Effect::BeginWindow];
        Next::to(state, effects, reason)
    }

    fn analyze(&self, index: usize, evidence: &EvidenceSnapshot) -> AnalysisReport {
        let steps = self.plan.steps();
        let samples = |index: usize| steps.get(index).map_or(u64::MAX, super::Step::min_samples);
        let full = steps.get(index).is_some_and(|step| step.share() >= 1.0);
        let (baseline, needed) = if full {
            (&evidence.previous, samples(index.saturating_sub(1)))
        } else {
            (&evidence.current, samples(index))
        };
        let none = VariantEvidence::default();
        self.plan.analysis().compare_as_one_of(
            steps.len(),
            baseline.get(&self.stable).unwrap_or(&none),
            evidence.current.get(&self.candidate).unwrap_or(&none),
            SamplesNeeded { stable: needed, candidate: samples(index) },
        )
    }
}

fn promote(reason: String) -> Next {
    Next::to(State::Promoted, [Effect::Promote], reason)
}

fn roll_back(reason: String) -> Next {
    Next::to(State::RolledBack { reason: reason.clone() }, [Effect::RollBack], reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Step;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn rollout(policy: OnInconclusive) -> Rollout {
        let steps =
            [Step::new(0.1).with_bake(HOUR).with_min_samples(100), Step::new(1.0).with_min_samples(200)];
        let plan = Plan::new(steps).unwrap().with_max_step_duration(2 * HOUR).unwrap();
        let name = |name| Variant::new(name).unwrap();
        Rollout::new(plan.with_on_inconclusive(policy), name("stable"), name("candidate"))
    }

    fn seen(stable: VariantEvidence, candidate: VariantEvidence) -> EvidenceSnapshot {
        let rollout = rollout(OnInconclusive::RollBack);
        EvidenceSnapshot::new()
            .with_current(rollout.stable, stable)
            .with_current(rollout.candidate, candidate)
    }

    fn good() -> EvidenceSnapshot {
        seen(VariantEvidence::new(900, 0), VariantEvidence::new(100, 0))
    }

    #[test]
    fn a_step_needs_both_samples_and_time() {
        let rollout = rollout(OnInconclusive::RollBack);
        let step = State::Step { index: 0, since: HOUR };
        let none = EvidenceSnapshot::new();
        for (evidence, now, expected) in [
            (&good(), HOUR * 3 / 2, step.clone()),
            (&none, 2 * HOUR, step.clone()),
            (&good(), 2 * HOUR, State::Step { index: 1, since: 2 * HOUR }),
            (&good(), Duration::ZERO, step.clone()), // a clock that went back only makes it wait
        ] {
            let next = rollout.decide(&step, &Event::Tick, evidence, now);
            assert_eq!(next.state, expected, "{}", next.reason);
        }
    }

    #[test]
    fn at_full_share_the_step_before_is_the_measure() {
        let rollout = rollout(OnInconclusive::RollBack);
        let last = State::Step { index: 1, since: HOUR };
        let now = HOUR + Duration::from_secs(1);
        let alone =
            EvidenceSnapshot::new().with_current(rollout.candidate.clone(), VariantEvidence::new(200, 0));
        assert_eq!(rollout.decide(&last, &Event::Tick, &alone, now).state, last);
        let measured = alone.with_previous(rollout.stable.clone(), VariantEvidence::new(150, 0));
        let next = rollout.decide(&last, &Event::Tick, &measured, now);
        assert_eq!((next.state, next.effects), (State::Promoted, vec![Effect::Promote]));
    }

    #[test]
    fn time_runs_out_by_the_policy_and_pauses_do_not_count() {
        let step = State::Step { index: 0, since: Duration::ZERO };
        let none = EvidenceSnapshot::new();
        let back = rollout(OnInconclusive::RollBack).decide(&step, &Event::Tick, &none, 2 * HOUR);
        assert_eq!(back.effects, [Effect::RollBack]);
        assert!(
            back.reason.contains("100 more requests of the candidate are needed (0 of 100)"),
            "{}",
            back.reason
        );

        let rollout = rollout(OnInconclusive::Pause);
        let paused = rollout.decide(&step, &Event::Tick, &none, 2 * HOUR).state;
        assert_eq!(paused, State::Paused { index: 0, baked: Duration::ZERO });
        let resumed = rollout.decide(&paused, &Event::Resume, &none, 50 * HOUR).state;
        assert_eq!(resumed, State::Step { index: 0, since: 50 * HOUR });
        let paused = rollout.decide(&resumed, &Event::Pause, &none, 51 * HOUR).state;
        assert_eq!(paused, State::Paused { index: 0, baked: HOUR });
        let resumed = rollout.decide(&paused, &Event::Resume, &none, 60 * HOUR).state;
        assert_eq!(resumed, State::Step { index: 0, since: 59 * HOUR });
    }

    #[test]
    fn a_failed_check_wins_over_every_command() {
        let rollout = rollout(OnInconclusive::Pause);
        let bad = seen(VariantEvidence::new(900, 0), VariantEvidence::new(0, 100));
        for state in [State::Step { index: 0, since: HOUR }, State::Paused { index: 1, baked: HOUR }] {
            for event in [Event::Tick, Event::Promote, Event::Pause, Event::Resume] {
                let mut evidence = bad.clone();
                evidence.previous = evidence.current.clone();
                let next = rollout.decide(&state, &event, &evidence, 2 * HOUR);
                assert_eq!(next.effects, [Effect::RollBack], "{state} {event:?}");
            }
        }
    }
}
