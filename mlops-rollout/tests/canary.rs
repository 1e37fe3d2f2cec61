//! Whole rollouts, on a clock that is told when to move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{
    Clock, Error, ManualClock, Model, Request, Response, Result, RoutingContext, Signature, Variant,
};
use mlops_rollout::{
    Controller, Evidence, LatencyCheck, Plan, RateCheck, Routed, State, Step, Sticky, TrafficSplit,
    Transition,
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
    assert_eq!(serde_json::from_str::<Vec<Transition>>(&json).unwrap(), audit);
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
