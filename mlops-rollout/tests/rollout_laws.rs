//! Whatever evidence and commands come in whatever order: no failed check is promoted, nothing leaves a
//! final state and something leads out of every other, an event that comes twice moves once, the share fits
//! the state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use mlops_core::Variant;
use mlops_rollout::{
    Effect, Event, EvidenceSnapshot, FailedLooks, OnInconclusive, Plan, Rollout, SamplesNeeded, State, Step,
    VariantEvidence, Verdict,
};
use proptest::prelude::*;

const BAKE: Duration = Duration::from_secs(60);
const APART: Duration = Duration::from_secs(30);
/// The last step, at full share.
const LAST: usize = 3;

fn candidate() -> Variant {
    Variant::new("candidate").unwrap()
}

fn stable() -> Variant {
    Variant::new("stable").unwrap()
}

/// A shadow and three shares, of which the second waits for approval.
fn rollouts() -> impl Strategy<Value = Rollout> {
    let policies = prop::sample::select(vec![OnInconclusive::RollBack, OnInconclusive::Pause]);
    (policies, 1_u32..4, any::<bool>()).prop_map(|(policy, looks, approval)| {
        let middle = if approval { Step::new(0.5).with_approval() } else { Step::new(0.5) };
        let steps = [Step::shadow(0.3), Step::new(0.1), middle, Step::new(1.0)];
        let plan = Plan::new(steps.map(|step| step.with_min_samples(50).with_bake(BAKE))).unwrap();
        let plan = plan.with_max_step_duration(5 * BAKE).unwrap().with_on_inconclusive(policy);
        Rollout::new(plan.with_failure_tolerance(looks, APART).unwrap(), stable(), candidate())
    })
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        24 => Just(Event::Tick),
        1 => Just(Event::Promote),
        3 => Just(Event::Pause),
        6 => Just(Event::Resume),
        6 => (0_usize..5).prop_map(|step| Event::Approve { step }),
        3 => (0_usize..5).prop_map(|step| Event::Skip { step }),
        1 => Just(Event::Abort { reason: "enough".to_owned() }),
    ]
}

fn seen() -> impl Strategy<Value = VariantEvidence> {
    (0_u64..400, prop_oneof![5 => Just(0_u64), 1 => 0_u64..100])
        .prop_map(|(successes, failures)| VariantEvidence::new(successes, failures))
}

fn evidence() -> impl Strategy<Value = EvidenceSnapshot> {
    (seen(), seen(), seen()).prop_map(|(now, candidates, before)| {
        EvidenceSnapshot::new()
            .with_current(stable(), now)
            .with_current(candidate(), candidates)
            .with_previous(stable(), before)
    })
}

/// What the checks say in that state, found apart from the code that decides.
fn verdict(rollout: &Rollout, state: &State, evidence: &EvidenceSnapshot) -> Option<Verdict> {
    let index = state.step()?;
    let baseline = if index == LAST { &evidence.previous } else { &evidence.current };
    let steps = rollout.plan().steps().len() as f64;
    let analysis = rollout.plan().analysis().clone().with_alpha(0.05 / steps).unwrap();
    let (stable, candidate) = (&baseline[&stable()], &evidence.current[&candidate()]);
    Some(analysis.compare(stable, candidate, SamplesNeeded::each(50)).verdict)
}

/// Whether the evidence is looked at: not in the moment a step begins, and not for a word about another.
fn judged(state: &State, event: &Event, now: Duration) -> bool {
    match (state, event) {
        (State::Step { since, .. }, Event::Tick) => now > *since,
        (_, Event::Skip { step } | Event::Approve { step }) => state.step() == Some(*step),
        _ => true,
    }
}

fn failed_looks(state: &State) -> u32 {
    match state {
        State::Step { failed, .. }
        | State::Paused { failed, .. }
        | State::AwaitingApproval { failed, .. } => failed.count,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_walk_keeps_the_rules(
        rollout in rollouts(),
        walk in prop::collection::vec((events(), evidence(), 0_u64..200), 1..80),
    ) {
        let looks = rollout.plan().failure_tolerance().looks;
        let (mut state, mut now) = (State::Pending, Duration::ZERO);
        let (mut share, mut shadow) = (0.0, 0.0);
        for (event, evidence, seconds) in walk {
            now += Duration::from_secs(seconds);
            let next = rollout.decide(&state, &event, &evidence, now);
            prop_assert_eq!(&next, &rollout.decide(&state, &event, &evidence, now), "it is a function");
            let again = rollout.decide(&next.state, &event, &evidence, now);
            prop_assert_eq!((&again.state, again.effects.len()), (&next.state, 0), "twice is once: {}", &event);

            for effect in &next.effects {
                match effect {
                    Effect::SetShare(to) => share = *to,
                    Effect::SetShadow(to) => shadow = *to,
                    Effect::Promote => (share, shadow) = (1.0, 0.0),
                    Effect::RollBack => (share, shadow) = (0.0, 0.0),
                    _ => {}
                }
            }
            prop_assert_eq!((share, shadow), (rollout.share(&next.state), rollout.shadow_share(&next.state)));
            prop_assert!(!next.reason.is_empty());

            let verdict = verdict(&rollout, &state, &evidence);
            let failing = verdict == Some(Verdict::Failed);
            match &next.state {
                _ if state.is_final() => prop_assert_eq!((&next.state, next.effects.len()), (&state, 0)),
                State::RolledBack { .. } => {
                    let given_up = rollout.plan().on_inconclusive() == OnInconclusive::RollBack
                        && matches!(state, State::Step { since, .. } if now - since >= 5 * BAKE);
                    let aborted = matches!(event, Event::Abort { .. });
                    let failed = failing && failed_looks(&state) + 1 >= looks;
                    prop_assert!(aborted || failed || given_up, "rolled back for nothing: {}", next.reason);
                }
                State::Promoted => {
                    prop_assert!(!failing, "promoted with a failed check");
                    let State::Step { index, since, .. } = state else {
                        let vouched = matches!(event, Event::Promote | Event::Skip { .. } | Event::Approve { .. });
                        prop_assert!(vouched, "promoted by {}", event);
                        break;
                    };
                    let by_hand = matches!(event, Event::Promote | Event::Skip { .. });
                    let earned = index == LAST && verdict == Some(Verdict::Passed) && now - since >= BAKE;
                    prop_assert!(by_hand || earned);
                }
                to => {
                    let aborted = matches!(event, Event::Abort { .. });
                    prop_assert!(!aborted, "an abort always ends it");
                    if failing && judged(&state, &event, now) {
                        prop_assert!(looks > 1, "a failed look at the first is a rollback");
                        prop_assert_eq!(to.step(), state.step(), "nothing climbs while a check fails");
                        prop_assert!(failed_looks(to) >= 1 && failed_looks(to) < looks);
                    }
                    if verdict == Some(Verdict::Passed) && judged(&state, &event, now) {
                        prop_assert_eq!(failed_looks(to), 0, "one that passes begins the count anew");
                    }
                    if to.step() > state.step() && state.step().is_some() {
                        prop_assert_eq!(to.step(), state.step().map(|index| index + 1), "one at a time");
                        let approved = !rollout.plan().steps()[state.step().unwrap()].needs_approval();
                        match &event {
                            Event::Tick => prop_assert!(approved && verdict == Some(Verdict::Passed)),
                            Event::Approve { .. } => prop_assert!(!approved),
                            said => prop_assert_eq!(Some(said.clone()), state.step().map(|step| Event::Skip { step })),
                        }
                    }
                }
            }
            let json = serde_json::to_string(&next.state).unwrap();
            prop_assert_eq!(&serde_json::from_str::<State>(&json).unwrap(), &next.state);
            let json = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&json).unwrap(), &event);
            state = next.state;
        }
        leads_out(&rollout, &state, now);
    }
}

/// Nothing is a dead end: a good candidate is promoted from here once people have said what is theirs to
/// say, and a bad one is rolled back.
fn leads_out(rollout: &Rollout, from: &State, mut now: Duration) {
    if from.is_final() {
        return;
    }
    let seen = |stable_seen, candidate_seen| {
        EvidenceSnapshot::new()
            .with_current(stable(), stable_seen)
            .with_current(candidate(), candidate_seen)
            .with_previous(stable(), VariantEvidence::new(1_000, 0))
    };
    let good = seen(VariantEvidence::new(1_000, 0), VariantEvidence::new(1_000, 0));
    let bad = seen(VariantEvidence::new(1_000, 0), VariantEvidence::new(0, 1_000));
    for (evidence, end) in [(good, "promoted"), (bad, "rolled back")] {
        let mut state = from.clone();
        for _ in 0..20 {
            let index = state.step().unwrap_or(0);
            for event in [Event::Resume, Event::Approve { step: index }, Event::Tick] {
                state = rollout.decide(&state, &event, &evidence, now).state;
            }
            now += BAKE;
        }
        assert!(state.to_string().starts_with(end), "{from} -> {state}");
    }
}

#[test]
fn a_state_without_failed_looks_reads_as_it_did() {
    let state = State::Step { index: 1, since: BAKE, failed: FailedLooks::default() };
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(json, r#"{"state":"step","index":1,"since":"1m"}"#);
    assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
}
