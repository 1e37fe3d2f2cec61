//! Whatever evidence and commands come in whatever order: no failed check is promoted, nothing leaves a
//! final state, the share fits the state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use mlops_core::Variant;
use mlops_rollout::{
    Effect, Event, EvidenceSnapshot, OnInconclusive, Plan, Rollout, SamplesNeeded, State, Step,
    VariantEvidence, Verdict,
};
use proptest::prelude::*;

fn rollout(policy: OnInconclusive) -> Rollout {
    let step = |share| Step::new(share).with_min_samples(50).with_bake(Duration::from_secs(60));
    let plan = Plan::new([0.1, 0.5, 1.0].map(step)).unwrap();
    let plan = plan.with_max_step_duration(Duration::from_secs(300)).unwrap().with_on_inconclusive(policy);
    Rollout::new(plan, Variant::new("stable").unwrap(), Variant::new("candidate").unwrap())
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => Just(Event::Tick),
        1 => Just(Event::Promote),
        2 => Just(Event::Pause),
        3 => Just(Event::Resume),
        1 => Just(Event::Abort { reason: "enough".to_owned() }),
    ]
}

fn seen() -> impl Strategy<Value = VariantEvidence> {
    (0_u64..400, prop_oneof![3 => Just(0_u64), 1 => 0_u64..100])
        .prop_map(|(successes, failures)| VariantEvidence::new(successes, failures))
}

fn evidence() -> impl Strategy<Value = EvidenceSnapshot> {
    (seen(), seen(), seen()).prop_map(|(stable, candidate, before)| {
        let rollout = rollout(OnInconclusive::Pause);
        EvidenceSnapshot::new()
            .with_current(rollout.stable().clone(), stable)
            .with_current(rollout.candidate().clone(), candidate)
            .with_previous(rollout.stable().clone(), before)
    })
}

/// What the checks say in that state, found apart from the code that decides.
fn verdict(rollout: &Rollout, state: &State, evidence: &EvidenceSnapshot) -> Option<Verdict> {
    let (State::Step { index, .. } | State::Paused { index, .. }) = state else { return None };
    let baseline = if *index == 2 { &evidence.previous } else { &evidence.current };
    let steps = rollout.plan().steps().len() as f64;
    let analysis = rollout.plan().analysis().clone().with_alpha(0.05 / steps).unwrap();
    let (stable, candidate) = (&baseline[rollout.stable()], &evidence.current[rollout.candidate()]);
    Some(analysis.compare(stable, candidate, SamplesNeeded::each(50)).verdict)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_walk_keeps_the_rules(
        walk in prop::collection::vec((events(), evidence(), 0_u64..200), 1..60),
        policy in prop::sample::select(vec![OnInconclusive::RollBack, OnInconclusive::Pause]),
    ) {
        let rollout = rollout(policy);
        let (mut state, mut now, mut share) = (State::Pending, Duration::ZERO, 0.0);
        for (event, evidence, seconds) in walk {
            now += Duration::from_secs(seconds);
            let next = rollout.decide(&state, &event, &evidence, now);
            prop_assert_eq!(&next, &rollout.decide(&state, &event, &evidence, now), "it is a function");
            for effect in &next.effects {
                match effect {
                    Effect::SetShare(to) => share = *to,
                    Effect::Promote => share = 1.0,
                    Effect::RollBack => share = 0.0,
                    _ => {}
                }
            }
            prop_assert_eq!(share, rollout.share(&next.state));
            prop_assert!(!next.reason.is_empty());
            let verdict = verdict(&rollout, &state, &evidence);
            if state.is_final() {
                prop_assert_eq!((&next.state, next.effects.len()), (&state, 0));
            } else if verdict == Some(Verdict::Failed) {
                prop_assert_eq!(next.effects, [Effect::RollBack]);
            } else if next.state == State::Promoted && event != Event::Promote {
                prop_assert_eq!(verdict, Some(Verdict::Passed));
                let State::Step { index, since } = state else { panic!("promoted out of {state}") };
                prop_assert!(index == 2 && now - since >= Duration::from_secs(60));
            } else if let (State::Step { index: from, .. }, State::Step { index: to, .. }) = (&state, &next.state) {
                prop_assert!(to == from || (*to == from + 1 && verdict == Some(Verdict::Passed)));
            }
            let json = serde_json::to_string(&next.state).unwrap();
            prop_assert_eq!(&serde_json::from_str::<State>(&json).unwrap(), &next.state);
            state = next.state;
        }
    }
}
