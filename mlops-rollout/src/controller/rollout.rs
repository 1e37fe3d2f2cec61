//! The rollout as a pure function.

use std::time::Duration;

use mlops_core::Variant;

use super::plan::{OnInconclusive, Plan};
use super::state::{Effect, Event, FailedLooks, Next, State};
use super::step::Step;
use crate::{AnalysisReport, EvidenceSnapshot, SamplesNeeded, VariantEvidence, Verdict};

/// A plan for a candidate, and the rules by which it moves: no clock, no traffic, no memory of its own.
///
/// [`decide`](Self::decide) is all there is; the [`Controller`](crate::Controller) applies what it says.
/// These hold whatever happens:
/// * A check that fails as often in a row as the plan says, once unless told, rolls the candidate back: in
///   a step, in a pause, whatever the event.
/// * A candidate is promoted only out of a step whose checks have all passed, or by hand; in no case while
///   a check fails.
/// * [`State::Promoted`] and [`State::RolledBack`] are final, and [`Event::Abort`] leads out of every other.
/// * An event that comes twice at one moment moves once.
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
            State::Promoted => 1.0,
            _ => self.step(state).map_or(0.0, Step::share),
        }
    }

    /// The share of the traffic of which the candidate gets copies in that state, 0 to 1.
    #[must_use]
    pub fn shadow_share(&self, state: &State) -> f64 {
        self.step(state).map_or(0.0, Step::shadow_share)
    }

    /// What makes the world fit `state`, whatever it was like: to be done after a crash, and as often as
    /// one likes.
    #[must_use]
    pub fn standing_effects(&self, state: &State) -> Vec<Effect> {
        match state {
            State::Promoted => vec![Effect::Promote],
            State::RolledBack { .. } => vec![Effect::RollBack],
            _ => self.shares(state),
        }
    }

    /// What happens in `state` on `event`, `now` after the beginning of the rollout.
    #[must_use]
    pub fn decide(&self, state: &State, event: &Event, evidence: &EvidenceSnapshot, now: Duration) -> Next {
        let (index, failed) = match (state.place(), event) {
            (None, _) if state.is_final() => return Next::stay(state.clone(), state.to_string()),
            (_, Event::Abort { reason }) => return roll_back(format!("aborted: {reason}")),
            (None, Event::Tick) => return self.enter(0, now, "the rollout begins"),
            (None, _) => return Next::stay(state.clone(), "the rollout has not begun"),
            (Some(place), _) => place,
        };
        if let Event::Skip { step } | Event::Approve { step } = event
            && *step != index
        {
            return Next::stay(state.clone(), format!("step {step} is not the present one"));
        }
        // What is known at this moment belongs to the step before.
        if let (State::Step { since, .. }, Event::Tick) = (state, event)
            && now <= *since
        {
            return Next::stay(state.clone(), "the step has just begun");
        }
        let report = self.analyze(index, evidence);
        let failed = self.count(failed, report.verdict, now);
        if failed.count >= self.plan.failure_tolerance().looks {
            return roll_back(report.to_string());
        }
        self.obey(state.clone().with_failed(failed), index, event, &report, now)
    }

    /// Moves by hand or by itself, after a look that does not roll back.
    fn obey(
        &self,
        state: State,
        index: usize,
        event: &Event,
        report: &AnalysisReport,
        now: Duration,
    ) -> Next {
        let failing = report.verdict == Verdict::Failed;
        match (&state, event) {
            (State::Step { since, .. }, Event::Tick) => {
                let elapsed = now.saturating_sub(*since);
                self.climb(state, index, elapsed, report, now)
            }
            (State::Step { since, failed, .. }, Event::Pause) => {
                let baked = now.saturating_sub(*since);
                Next::to(State::Paused { index, baked, failed: *failed }, [], "by hand")
            }
            (State::AwaitingApproval { baked, failed, .. }, Event::Pause) => {
                Next::to(State::Paused { index, baked: *baked, failed: *failed }, [], "by hand")
            }
            (State::Paused { baked, failed, .. }, Event::Resume) => {
                let since = now.saturating_sub(*baked);
                Next::to(State::Step { index, since, failed: *failed }, [], "by hand")
            }
            (_, Event::Promote | Event::Skip { .. } | Event::Approve { .. }) if failing => {
                Next::stay(state, format!("not by hand while a check fails; {report}"))
            }
            (_, Event::Promote) => promote(format!("by hand; {report}")),
            (_, Event::Skip { .. }) => self.advance(index, now, format!("skipped by hand; {report}")),
            (State::AwaitingApproval { .. }, Event::Approve { .. }) => {
                self.advance(index, now, format!("approved; {report}"))
            }
            (State::Paused { .. }, _) => Next::stay(state, format!("waits to be resumed; {report}")),
            (State::AwaitingApproval { .. }, _) => Next::stay(state, format!("waits for approval; {report}")),
            _ => Next::stay(state, report.to_string()),
        }
    }

    /// Goes up if the checks of the step have passed and it has baked, gives up if it took too long.
    fn climb(
        &self,
        state: State,
        index: usize,
        elapsed: Duration,
        report: &AnalysisReport,
        now: Duration,
    ) -> Next {
        let Some(step) = self.plan.steps().get(index) else {
            return Next::stay(state, "the plan ends before");
        };
        let bake = step.bake();
        match report.verdict {
            Verdict::Passed if elapsed < bake => {
                Next::stay(state, format!("bakes, {elapsed:.0?} of {bake:.0?}; {report}"))
            }
            Verdict::Passed if step.needs_approval() => {
                let awaiting =
                    State::AwaitingApproval { index, baked: elapsed, failed: FailedLooks::default() };
                Next::to(awaiting, [], format!("waits for approval; {report}"))
            }
            Verdict::Passed => self.advance(index, now, report.to_string()),
            _ if self.plan.longest(step).is_some_and(|longest| elapsed >= longest) => {
                let reason = format!("not decided after {elapsed:.0?}; {report}");
                match self.plan.on_inconclusive() {
                    OnInconclusive::RollBack => roll_back(reason),
                    // Whoever resumes it grants the step its time anew.
                    OnInconclusive::Pause => {
                        let failed = state.place().map(|(_, failed)| failed).unwrap_or_default();
                        Next::to(State::Paused { index, baked: Duration::ZERO, failed }, [], reason)
                    }
                }
            }
            _ => Next::stay(state, report.to_string()),
        }
    }

    /// To the next step, or to the end.
    fn advance(&self, index: usize, now: Duration, reason: String) -> Next {
        if index + 1 < self.plan.steps().len() { self.enter(index + 1, now, reason) } else { promote(reason) }
    }

    fn enter(&self, index: usize, now: Duration, reason: impl Into<String>) -> Next {
        let state = State::Step { index, since: now, failed: FailedLooks::default() };
        let mut effects = self.shares(&state);
        effects.push(Effect::BeginWindow);
        Next::to(state, effects, reason)
    }

    fn shares(&self, state: &State) -> Vec<Effect> {
        let shadow = self.plan.has_shadow().then(|| Effect::SetShadow(self.shadow_share(state)));
        shadow.into_iter().chain([Effect::SetShare(self.share(state))]).collect()
    }

    fn step(&self, state: &State) -> Option<&Step> {
        self.plan.steps().get(state.step()?)
    }

    fn count(&self, before: FailedLooks, verdict: Verdict, now: Duration) -> FailedLooks {
        let apart = self.plan.failure_tolerance().apart;
        match verdict {
            Verdict::Passed => FailedLooks::default(),
            Verdict::Failed if before.count == 0 || now.saturating_sub(before.last) >= apart => {
                FailedLooks { count: before.count.saturating_add(1), last: now }
            }
            _ => before,
        }
    }

    fn analyze(&self, index: usize, evidence: &EvidenceSnapshot) -> AnalysisReport {
        let steps = self.plan.steps();
        let samples = |index: usize| steps.get(index).map_or(u64::MAX, Step::min_samples);
        let analysis = steps.get(index).and_then(Step::analysis).unwrap_or(self.plan.analysis());
        let full = steps.get(index).is_some_and(|step| step.share() >= 1.0);
        let (baseline, needed) = if full {
            (&evidence.previous, samples(index.saturating_sub(1)))
        } else {
            (&evidence.current, samples(index))
        };
        let none = VariantEvidence::default();
        analysis.compare_at_as_one_of(
            steps.len(),
            steps.get(index).map_or(0.0, Step::share),
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
    use crate::{Analysis, LatencyCheck};

    const HOUR: Duration = Duration::from_secs(3_600);
    const NONE: FailedLooks = FailedLooks { count: 0, last: Duration::ZERO };

    fn step(index: usize, since: Duration) -> State {
        State::Step { index, since, failed: NONE }
    }

    fn paused(index: usize, baked: Duration) -> State {
        State::Paused { index, baked, failed: NONE }
    }

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
        let first = step(0, HOUR);
        let none = EvidenceSnapshot::new();
        for (evidence, now, expected) in [
            (&good(), HOUR * 3 / 2, first.clone()),
            (&none, 2 * HOUR, first.clone()),
            (&good(), 2 * HOUR, step(1, 2 * HOUR)),
            (&good(), Duration::ZERO, first.clone()), // a clock that went back only makes it wait
        ] {
            let next = rollout.decide(&first, &Event::Tick, evidence, now);
            assert_eq!(next.state, expected, "{}", next.reason);
        }
    }

    #[test]
    fn at_full_share_the_step_before_is_the_measure() {
        let rollout = rollout(OnInconclusive::RollBack);
        let last = step(1, HOUR);
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
        let first = step(0, Duration::ZERO);
        let none = EvidenceSnapshot::new();
        let back = rollout(OnInconclusive::RollBack).decide(&first, &Event::Tick, &none, 2 * HOUR);
        assert_eq!(back.effects, [Effect::RollBack]);
        assert!(
            back.reason.contains("100 more requests of the candidate are needed (0 of 100)"),
            "{}",
            back.reason
        );

        let rollout = rollout(OnInconclusive::Pause);
        let held = rollout.decide(&first, &Event::Tick, &none, 2 * HOUR).state;
        assert_eq!(held, paused(0, Duration::ZERO));
        let resumed = rollout.decide(&held, &Event::Resume, &none, 50 * HOUR).state;
        assert_eq!(resumed, step(0, 50 * HOUR));
        let held = rollout.decide(&resumed, &Event::Pause, &none, 51 * HOUR).state;
        assert_eq!(held, paused(0, HOUR));
        let resumed = rollout.decide(&held, &Event::Resume, &none, 60 * HOUR).state;
        assert_eq!(resumed, step(0, 59 * HOUR));
    }

    #[test]
    fn a_failed_check_wins_over_every_command() {
        let rollout = rollout(OnInconclusive::Pause);
        let bad = seen(VariantEvidence::new(900, 0), VariantEvidence::new(0, 100));
        for state in [step(0, HOUR), paused(1, HOUR)] {
            for event in [Event::Tick, Event::Promote, Event::Pause, Event::Resume] {
                let mut evidence = bad.clone();
                evidence.previous = evidence.current.clone();
                let next = rollout.decide(&state, &event, &evidence, 2 * HOUR);
                assert_eq!(next.effects, [Effect::RollBack], "{state} {event:?}");
            }
        }
    }

    fn bad() -> EvidenceSnapshot {
        let mut evidence = seen(VariantEvidence::new(900, 0), VariantEvidence::new(0, 100));
        evidence.previous = evidence.current.clone();
        evidence
    }

    #[test]
    fn failed_looks_are_tolerated_as_often_as_the_plan_says_and_forgotten_after_one_that_passes() {
        let minute = Duration::from_secs(60);
        let patient = rollout(OnInconclusive::RollBack).plan.with_failure_tolerance(3, minute).unwrap();
        let rollout = Rollout { plan: patient, ..rollout(OnInconclusive::RollBack) };
        let at = |seconds| Duration::from_secs(seconds);
        let failed = |count, last| State::Step {
            index: 0,
            since: Duration::ZERO,
            failed: FailedLooks { count, last: at(last) },
        };
        let look = |state: &State, evidence: &EvidenceSnapshot, seconds| {
            rollout.decide(state, &Event::Tick, evidence, at(seconds))
        };
        let none = EvidenceSnapshot::new();
        let mut state = step(0, Duration::ZERO);
        for (evidence, seconds, expected) in [
            (bad(), 10, failed(1, 10)),
            (bad(), 10, failed(1, 10)), // the same look again
            (bad(), 69, failed(1, 10)), // too soon to count
            (none, 70, failed(1, 10)),  // says nothing
            (bad(), 70, failed(2, 70)),
            (good(), 80, step(0, Duration::ZERO)),
            (bad(), 90, failed(1, 90)),
            (bad(), 150, failed(2, 150)),
        ] {
            state = look(&state, &evidence, seconds).state;
            assert_eq!(state, expected, "{seconds}");
        }
        for event in [Event::Promote, Event::Skip { step: 0 }, Event::Approve { step: 0 }] {
            let next = rollout.decide(&state, &event, &bad(), at(160));
            assert_eq!((next.state, next.effects), (state.clone(), Vec::new()), "{event}");
        }
        let held = rollout.decide(&state, &Event::Pause, &bad(), at(160)).state;
        let next = rollout.decide(&held, &Event::Tick, &bad(), at(210));
        assert_eq!(next.effects, [Effect::RollBack], "a pause does not keep a failing candidate");
    }

    #[test]
    fn a_step_may_wait_for_approval() {
        let steps = [Step::new(0.1).with_min_samples(100).with_approval(), Step::new(0.5)];
        let rollout = Rollout { plan: Plan::new(steps).unwrap(), ..rollout(OnInconclusive::Pause) };
        let decide = |state: &State, event: Event| rollout.decide(state, &event, &good(), HOUR);
        let early = decide(&step(0, Duration::ZERO), Event::Approve { step: 0 });
        assert_eq!(early.state, step(0, Duration::ZERO), "nothing to approve yet");
        let waits = decide(&step(0, Duration::ZERO), Event::Tick).state;
        assert_eq!(waits, State::AwaitingApproval { index: 0, baked: HOUR, failed: NONE });
        for event in [Event::Tick, Event::Resume, Event::Approve { step: 1 }, Event::Skip { step: 1 }] {
            assert_eq!(decide(&waits, event).state, waits);
        }
        let approved = decide(&waits, Event::Approve { step: 0 });
        assert_eq!(approved.state, step(1, HOUR));
        assert_eq!(approved.effects, [Effect::SetShare(0.5), Effect::BeginWindow]);
        assert_eq!(decide(&approved.state, Event::Approve { step: 0 }).state, approved.state);
        assert_eq!(decide(&waits, Event::Pause).state, paused(0, HOUR));
        let next = rollout.decide(&waits, &Event::Approve { step: 0 }, &bad(), HOUR);
        assert_eq!(next.effects, [Effect::RollBack]);
    }

    #[test]
    fn skipping_leaves_one_step_however_often_it_is_said() {
        let rollout = rollout(OnInconclusive::Pause);
        let none = EvidenceSnapshot::new();
        for state in [step(0, Duration::ZERO), paused(0, HOUR)] {
            let skipped = rollout.decide(&state, &Event::Skip { step: 0 }, &none, HOUR).state;
            assert_eq!(skipped, step(1, HOUR));
            let again = rollout.decide(&skipped, &Event::Skip { step: 0 }, &none, HOUR);
            assert_eq!((again.state, again.effects.len()), (skipped.clone(), 0));
            assert_eq!(
                rollout.decide(&skipped, &Event::Skip { step: 1 }, &none, HOUR).state,
                State::Promoted
            );
        }
    }

    #[test]
    fn shadows_come_first_and_end_with_the_first_traffic() {
        let steps = [Step::shadow(0.5).with_min_samples(100), Step::new(0.1).with_min_samples(100)];
        let rollout = Rollout { plan: Plan::new(steps).unwrap(), ..rollout(OnInconclusive::Pause) };
        let none = EvidenceSnapshot::new();
        let begun = rollout.decide(&State::Pending, &Event::Tick, &none, HOUR);
        assert_eq!(begun.effects, [Effect::SetShadow(0.5), Effect::SetShare(0.0), Effect::BeginWindow]);
        assert_eq!((rollout.share(&begun.state), rollout.shadow_share(&begun.state)), (0.0, 0.5));
        let next = rollout.decide(&begun.state, &Event::Tick, &good(), 2 * HOUR);
        assert_eq!(next.effects, [Effect::SetShadow(0.0), Effect::SetShare(0.1), Effect::BeginWindow]);
        let bad = rollout.decide(&begun.state, &Event::Tick, &bad(), 2 * HOUR);
        assert_eq!(bad.effects, [Effect::RollBack]);
    }

    #[test]
    fn a_step_may_have_an_analysis_and_a_time_of_its_own() {
        let own = Analysis::new([LatencyCheck::p99(2.0)]).unwrap();
        let steps = [
            Step::new(0.1).with_min_samples(1).with_analysis(own).with_max_duration(HOUR),
            Step::new(0.5).with_min_samples(1),
        ];
        let rollout = Rollout { plan: Plan::new(steps).unwrap(), ..rollout(OnInconclusive::RollBack) };
        let late = rollout.decide(&step(0, Duration::ZERO), &Event::Tick, &bad(), HOUR);
        assert!(
            late.reason.starts_with("not decided after 3600s; inconclusive: p99 latency"),
            "{}",
            late.reason
        );
        let next = rollout.decide(&step(1, Duration::ZERO), &Event::Tick, &bad(), HOUR);
        assert!(next.reason.starts_with("failed: failure rate"), "{}", next.reason);
    }
}
