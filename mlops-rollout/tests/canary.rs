//! Whole rollouts, on a clock that is told when to move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{
    Clock, DType, Dimension, Error, ManualClock, Model, Request, Response, Result, Router, RoutingContext,
    Signature, TensorSpec, Tensors, Variant,
};
use mlops_rollout::{
    Analysis, Audit, Controller, Event, Evidence, Heard, LatencyCheck, Plan, RateCheck, RateLimit, Routed,
    ShadowEvidence, Shadowed, State, Step, Sticky, TrafficSplit, Within,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Works until it is told not to.
#[derive(Debug)]
struct Fragile(Signature, Arc<AtomicBool>);

#[async_trait]
impl Model for Fragile {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        if self.1.load(Ordering::Relaxed) {
            return Err(Error::engine("broken"));
        }
        Ok(Response::default().with_id(request.id))
    }
}

/// A service with a stable variant and a candidate, and a controller over both.
struct Service {
    routed: Routed,
    split: TrafficSplit,
    candidate: Variant,
    broken: Arc<AtomicBool>,
    evidence: Arc<Evidence>,
    clock: ManualClock,
    controller: Controller,
    heard: Arc<Mutex<Vec<String>>>,
    users: u64,
}

impl Service {
    fn new(plan: Plan) -> Self {
        let (stable, candidate) = (Variant::new("stable").unwrap(), Variant::new("candidate").unwrap());
        let split = TrafficSplit::new(stable.clone(), [candidate.clone()]);
        let (evidence, clock) = (Arc::new(Evidence::new()), ManualClock::default());
        let broken = Arc::new(AtomicBool::new(false));
        let model = |broken: &Arc<AtomicBool>| Fragile(Signature::new([], []).unwrap(), Arc::clone(broken));
        let routed = Routed::new(stable, model(&Arc::default()), Sticky::new(split.clone(), "canary"))
            .with_variant(candidate.clone(), model(&broken))
            .unwrap()
            .observed_by(Arc::clone(&evidence));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        let controller = Controller::new(plan, split.clone(), candidate.clone(), Arc::clone(&evidence))
            .unwrap()
            .with_clock(clock.clone())
            .on_transition(move |transition| ears.lock().unwrap().push(transition.to.to_string()));
        Self { routed, split, candidate, broken, evidence, clock, controller, heard, users: 0 }
    }

    /// A minute of traffic and a look.
    async fn minute(&mut self, requests: u64) -> State {
        for _ in 0..requests {
            self.users += 1;
            let context = RoutingContext::new().with_key(format!("user-{}", self.users));
            let _ = self.routed.predict(Request::default().with_context(context)).await;
        }
        self.clock.advance(MINUTE);
        self.controller.tick().unwrap()
    }

    fn share(&self) -> f64 {
        self.split.share(&self.candidate).unwrap()
    }
}

fn plan() -> Plan {
    let step = |share| Step::new(share).with_min_samples(100).with_bake(5 * MINUTE);
    Plan::new([0.05, 0.25, 0.5, 1.0].map(step)).unwrap()
}

#[tokio::test]
async fn a_good_candidate_climbs_every_step() {
    let mut service = Service::new(plan());
    let mut shares = vec![service.share()];
    for _ in 0..100 {
        let state = service.minute(500).await;
        if shares.last() != Some(&service.share()) {
            shares.push(service.share());
        }
        if state.is_final() {
            break;
        }
    }
    assert_eq!(service.controller.state(), State::Promoted);
    assert_eq!(shares, [0.0, 0.05, 0.25, 0.5, 1.0]);
    let audit = service.controller.audit();
    assert_eq!(*service.heard.lock().unwrap(), ["step 0", "step 1", "step 2", "step 3", "promoted"]);
    for (before, after) in audit.iter().zip(&audit[1..]) {
        let baked = after.at.duration_since(before.at);
        assert!(baked.as_secs() >= 300, "{before} {after}");
    }
    assert!(audit[1].reason.starts_with("passed: failure rate: 0.000 % (0 of "), "{}", audit[1].reason);
    let json = serde_json::to_string(&audit).unwrap();
    assert_eq!(serde_json::from_str::<Audit>(&json).unwrap(), audit);
}

#[tokio::test]
async fn a_candidate_that_breaks_is_rolled_back_at_the_next_look_and_stays_back() {
    let mut service = Service::new(plan());
    for _ in 0..15 {
        if service.share() < 0.25 {
            service.minute(500).await;
        }
    }
    assert_eq!(service.share(), 0.25);
    service.broken.store(true, Ordering::Relaxed);
    let state = service.minute(100).await;
    let State::RolledBack { reason } = &state else { panic!("{state}") };
    assert!(reason.starts_with("failed: failure rate: "), "{reason}");
    assert_eq!(service.share(), 0.0);

    let seen = service.evidence.snapshot();
    let stable = service.split.default_variant();
    assert_eq!((seen.current[stable].failures, seen.previous[stable].failures), (0, 0));
    assert!(seen.current[&service.candidate].failures > 0);

    service.broken.store(false, Ordering::Relaxed);
    for _ in 0..50 {
        assert_eq!(service.minute(500).await, state);
    }
    service.controller.promote().unwrap();
    assert_eq!((service.share(), service.controller.audit().len()), (0.0, 3));
}

#[tokio::test]
async fn without_traffic_nobody_is_promoted() {
    let mut service = Service::new(plan());
    for _ in 0..500 {
        service.minute(0).await;
    }
    assert_eq!(service.share(), 0.05);
    assert!(service.controller.status().contains("100 more requests of the candidate are needed (0 of 100)"));

    let mut service = Service::new(plan().with_max_step_duration(60 * MINUTE).unwrap());
    for _ in 0..100 {
        service.minute(0).await;
    }
    let State::RolledBack { reason } = service.controller.state() else { panic!() };
    assert!(reason.starts_with("not decided after 3600s; inconclusive: "), "{reason}");
}

#[tokio::test]
async fn a_missing_label_or_latency_holds_a_step_back() {
    let plan = plan().with_check(RateCheck::bad_outcomes()).unwrap();
    let mut service = Service::new(plan.with_check(LatencyCheck::p99(1_000.0)).unwrap());
    for _ in 0..50 {
        service.minute(500).await;
    }
    assert_eq!(service.share(), 0.05);
    let stable = service.split.default_variant().clone();
    for _ in 0..200 {
        service.evidence.record_outcome(&stable, true);
        service.evidence.record_outcome(&service.candidate, true);
    }
    service.minute(10).await;
    assert_eq!(service.share(), 0.25);
    for _ in 0..100 {
        service.evidence.record_outcome(&stable, true);
        service.evidence.record_outcome(&service.candidate, false);
    }
    let state = service.minute(10).await;
    assert!(
        matches!(&state, State::RolledBack { reason } if reason.starts_with("failed: bad outcome rate: ")),
        "{state}"
    );
}

#[tokio::test]
async fn pausing_holds_the_share_and_the_way_back_stays_open() {
    let mut service = Service::new(plan());
    service.minute(0).await;
    service.minute(3_000).await;
    service.controller.pause().unwrap();
    for _ in 0..20 {
        assert!(matches!(service.minute(500).await, State::Paused { index: 0, .. }));
    }
    assert_eq!(service.share(), 0.05);
    service.controller.resume().unwrap();
    assert!(matches!(service.minute(0).await, State::Step { index: 0, .. }), "the pause is no bake time");
    for _ in 0..4 {
        service.minute(0).await;
    }
    assert_eq!(service.share(), 0.25);

    service.controller.pause().unwrap();
    service.broken.store(true, Ordering::Relaxed);
    assert!(matches!(service.minute(500).await, State::RolledBack { .. }));
    assert_eq!(service.share(), 0.0);
}

#[tokio::test]
async fn people_may_abort_and_vouch() {
    let mut service = Service::new(plan());
    assert_eq!(service.controller.promote().unwrap(), State::Pending);
    service.minute(0).await;
    let state = service.controller.abort("a complaint").unwrap();
    assert_eq!(state, State::RolledBack { reason: "aborted: a complaint".to_owned() });
    assert_eq!(service.share(), 0.0);

    let mut service = Service::new(plan());
    service.minute(0).await;
    assert_eq!(service.controller.promote().unwrap(), State::Promoted);
    assert_eq!(service.share(), 1.0);
}

#[tokio::test]
async fn a_step_is_skipped_or_approved_by_hand() {
    let mut service = Service::new(
        Plan::new([Step::new(0.05), Step::new(0.5).with_min_samples(10).with_approval()]).unwrap(),
    );
    assert_eq!(service.controller.skip().unwrap(), State::Pending);
    service.minute(0).await;
    assert!(matches!(service.controller.skip().unwrap(), State::Step { index: 1, .. }));
    assert_eq!(service.share(), 0.5);
    assert!(matches!(service.controller.approve().unwrap(), State::Step { index: 1, .. }), "not passed yet");
    assert!(matches!(service.minute(500).await, State::AwaitingApproval { index: 1, .. }));
    for _ in 0..10 {
        assert!(matches!(service.minute(500).await, State::AwaitingApproval { .. }));
    }
    assert_eq!(service.share(), 0.5);
    assert_eq!(service.controller.approve().unwrap(), State::Promoted);
    let audit = service.controller.audit();
    let events: Vec<_> = audit.iter().map(|transition| transition.event.clone()).collect();
    let (skip, approve) = (Event::Skip { step: 0 }, Event::Approve { step: 1 });
    assert_eq!(events, [Event::Tick, skip, Event::Tick, approve]);
}

#[tokio::test]
async fn a_candidate_is_a_shadow_before_it_answers_anybody() {
    for broken in [false, true] {
        let (stable, next) = (Variant::new("stable").unwrap(), Variant::new("next").unwrap());
        let split = TrafficSplit::new(stable.clone(), [next.clone()]);
        let (evidence, shadows) = (Arc::new(Evidence::new()), Arc::new(ShadowEvidence::new()));
        let router = Shadowed::new(Sticky::new(split.clone(), "x"), next.clone(), 0.0).unwrap();
        let router = Arc::new(router);
        let model = |broken| Fragile(Signature::new([], []).unwrap(), Arc::new(AtomicBool::new(broken)));
        let routed = Routed::new(stable, model(false), Arc::clone(&router))
            .with_variant(next.clone(), model(broken))
            .unwrap()
            .observed_by(Arc::clone(&evidence))
            .with_shadow_evidence(Arc::clone(&shadows));
        let steps = [Step::shadow(1.0), Step::new(0.5)].map(|step| step.with_min_samples(50));
        let controller = || {
            let controller = Controller::new(
                Plan::new(steps.clone()).unwrap(),
                split.clone(),
                next.clone(),
                Arc::clone(&evidence),
            );
            controller.unwrap()
        };
        let error = controller().tick().unwrap_err();
        assert!(error.to_string().contains("with_shadow"), "{error}");
        let controller = controller().with_shadow(Arc::clone(&router), Arc::clone(&shadows));

        assert!(matches!(controller.tick().unwrap(), State::Step { index: 0, .. }));
        let mut failed = 0;
        for user in 0..200 {
            let context = RoutingContext::new().with_key(user.to_string());
            failed += usize::from(routed.predict(Request::default().with_context(context)).await.is_err());
            while shadows.seen(&next).requests() <= user {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!((failed, split.share(&next)), (0, Some(0.0)), "nobody got its answers");
        let state = controller.tick().unwrap();
        let context = RoutingContext::new();
        assert!(router.route(&context).shadows().is_empty(), "and now it is no shadow any more");
        if broken {
            assert!(matches!(state, State::RolledBack { .. }), "{state}");
        } else {
            assert!(matches!(state, State::Step { index: 1, .. }), "{state}: {}", controller.status());
            assert_eq!(split.share(&next), Some(0.5));
        }
    }
}

/// Always says the same.
#[derive(Debug)]
struct Saying(Signature, f32);

impl Saying {
    fn new(what: f32) -> Self {
        let spec = TensorSpec::new("y", DType::Fp32, [Dimension::Batch]);
        Self(Signature::new([], [spec]).unwrap(), what)
    }
}

#[async_trait]
impl Model for Saying {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        Ok(Response::new(Tensors::new().with("y", vec![self.1])).with_id(request.id))
    }
}

#[tokio::test]
async fn a_shadow_that_says_something_else_never_answers_anybody() {
    for (says, agrees) in [(1.25, true), (2.0, false)] {
        let (stable, next) = (Variant::new("stable").unwrap(), Variant::new("next").unwrap());
        let split = TrafficSplit::new(stable.clone(), [next.clone()]);
        let (evidence, shadows) = (Arc::new(Evidence::new()), Arc::new(ShadowEvidence::new()));
        let router = Arc::new(Shadowed::new(Sticky::new(split.clone(), "x"), next.clone(), 0.0).unwrap());
        let routed = Routed::new(stable, Saying::new(1.0), Arc::clone(&router))
            .with_variant(next.clone(), Saying::new(says))
            .unwrap()
            .with_comparer(Within::new(0.5, 0.0))
            .observed_by(Arc::clone(&evidence))
            .with_shadow_evidence(Arc::clone(&shadows));
        let mostly_the_same = Analysis::new([RateCheck::failures()]).unwrap();
        let mostly_the_same = mostly_the_same.with_check(RateLimit::bad_outcomes(0.02)).unwrap();
        let unseen = Step::shadow(1.0).with_min_samples(200).with_analysis(mostly_the_same);
        let plan = Plan::new([unseen, Step::new(0.5).with_min_samples(50)]).unwrap();
        let controller = Controller::new(plan, split.clone(), next.clone(), evidence).unwrap();
        let controller = controller.with_shadow(router, Arc::clone(&shadows));

        controller.tick().unwrap();
        for user in 0..400 {
            routed.predict(Request::default()).await.unwrap();
            while shadows.seen(&next).good + shadows.seen(&next).bad <= user {
                tokio::task::yield_now().await;
            }
        }
        let state = controller.tick().unwrap();
        let status = controller.status();
        if agrees {
            assert!(matches!(state, State::Step { index: 1, .. }), "{state}: {status}");
        } else {
            assert!(matches!(state, State::RolledBack { .. }), "{state}: {status}");
            assert!(status.contains("bad outcome"), "{status}");
            assert_eq!(split.share(&next), Some(0.0));
        }
    }
}

#[tokio::test]
async fn subscribers_hear_every_move_and_how_many_they_missed() {
    let mut service = Service::new(plan());
    let (mut early, mut idle) = (service.controller.subscribe(), service.controller.subscribe());
    service.minute(0).await;
    let Some(Heard::Moved(first)) = early.next().await else { panic!() };
    assert_eq!(*first, service.controller.audit()[0]);
    for _ in 0..150 {
        service.controller.pause().unwrap();
        service.controller.resume().unwrap();
    }
    assert_eq!(idle.next().await, Some(Heard::Missed(301 - 256)));
    let mut heard = Box::pin(idle.into_stream());
    drop(service);
    let mut count = 0;
    while let Some(Heard::Moved(transition)) = futures_util::StreamExt::next(&mut heard).await {
        count += 1;
        assert_eq!(transition.number, 45 + count);
    }
    assert_eq!(count, 256);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_done_on_promotion_is_done_until_it_succeeds() {
    let service = Service::new(Plan::new([Step::new(0.5)]).unwrap());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&calls);
    let controller = service.controller.on_promotion(move |promotion| {
        let log = Arc::clone(&log);
        async move {
            let mut log = log.lock().unwrap();
            log.push(promotion.to);
            if log.len() < 3 { Err(Error::unavailable("the registry")) } else { Ok(()) }
        }
    });
    assert!(!controller.announce().await, "nothing is promoted");
    controller.tick().unwrap();
    controller.promote().unwrap();
    assert!(calls.lock().unwrap().is_empty() && controller.audit().announced.is_none());
    assert_eq!(controller.run(MINUTE).await.unwrap(), State::Promoted);
    assert_eq!(*calls.lock().unwrap(), vec![State::Promoted; 3]);
    assert!(controller.audit().announced.is_some());
    assert!(controller.announce().await);
    assert_eq!(calls.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_wall_clock_that_jumps_changes_only_the_record() {
    let mut service = Service::new(plan());
    service.minute(0).await;
    let year = mlops_core::reexports::jiff::SignedDuration::from_hours(24 * 365);
    for jump in [year, -year, -year] {
        service.clock.set_wall(service.clock.now().saturating_add(jump).unwrap());
        assert!(matches!(service.minute(3_000).await, State::Step { index: 0, .. }));
    }
    service.minute(0).await;
    assert!(matches!(service.minute(0).await, State::Step { index: 1, .. }));
}

#[tokio::test(start_paused = true)]
async fn run_ticks_until_it_is_decided() {
    let service = Service::new(plan().with_max_step_duration(10 * MINUTE).unwrap());
    let clock = service.clock.clone();
    let time = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            clock.advance(MINUTE);
        }
    });
    let state = service.controller.run(Duration::from_millis(100)).await.unwrap();
    time.abort();
    assert!(matches!(state, State::RolledBack { .. }));
}

#[test]
fn a_controller_needs_a_candidate_that_the_split_knows() {
    let (stable, other) = (Variant::new("stable").unwrap(), Variant::new("other").unwrap());
    let split = TrafficSplit::new(stable.clone(), []);
    let controller = |candidate| Controller::new(plan(), split.clone(), candidate, Arc::default());
    assert!(matches!(controller(stable), Err(Error::InvalidInput(_))));
    assert!(matches!(controller(other), Err(Error::NotFound { .. })));
}
