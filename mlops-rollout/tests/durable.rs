//! Several replicas, one rollout: whatever fails, restarts, jumps and is said in whatever order, there is one
//! history that keeps the rules, and all replicas end up where it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use mlops_core::{Clock, Error, ManualClock, Observer, Prediction, Request, Response, Result, Role, Variant};
use mlops_rollout::{
    Appended, Audit, Controller, DurableController, Event, Evidence, EvidenceSource, EvidenceWindow,
    FileRolloutStore, MemoryRolloutStore, OwnEvidence, Plan, RolloutStore, SamplesNeeded, State, Step,
    StoreName, TrafficSplit, VariantEvidence, Verdict,
};
use proptest::prelude::*;

const BAKE: Duration = Duration::from_secs(600);
const NAME: &str = "fraud-2.0.0";

fn stable() -> Variant {
    Variant::new("stable").unwrap()
}

fn candidate() -> Variant {
    Variant::new("candidate").unwrap()
}

fn plan() -> Plan {
    let step = |share| Step::new(share).with_min_samples(50).with_bake(BAKE);
    Plan::new([step(0.1), step(0.5).with_approval(), step(1.0)]).unwrap()
}

/// Nothing here waits for anything.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

/// A store that a replica may be cut off from.
#[derive(Debug, Clone, Default)]
struct Wire {
    store: MemoryRolloutStore,
    fault: Arc<Mutex<Fault>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// Nothing goes through.
    Cut,
    /// What is written arrives, and nobody hears that it did.
    Deaf,
}

impl Wire {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn reach(&self) -> Result<&MemoryRolloutStore> {
        if self.fault() == Fault::Cut { Err(Error::unavailable("the store")) } else { Ok(&self.store) }
    }
}

#[async_trait]
impl RolloutStore for Wire {
    async fn append(&self, rollout: &StoreName, number: u64, record: &[u8]) -> Result<Appended> {
        let appended = self.reach()?.append(rollout, number, record).await?;
        if self.fault() == Fault::Deaf { Err(Error::unavailable("the answer")) } else { Ok(appended) }
    }

    async fn read(&self, rollout: &StoreName, number: u64) -> Result<Option<Vec<u8>>> {
        self.reach()?.read(rollout, number).await
    }

    async fn put_note(&self, rollout: &StoreName, window: u64, by: &StoreName, note: &[u8]) -> Result<()> {
        self.reach()?.put_note(rollout, window, by, note).await
    }

    async fn notes(&self, rollout: &StoreName, window: u64) -> Result<Vec<(StoreName, Vec<u8>)>> {
        self.reach()?.notes(rollout, window).await
    }
}

/// What all have seen, window by window.
#[derive(Debug, Clone, Default)]
struct Truth(Arc<Mutex<BTreeMap<u64, BTreeMap<Variant, VariantEvidence>>>>);

#[async_trait]
impl EvidenceSource for Truth {
    async fn collect(
        &self,
        window: &EvidenceWindow,
        _: BTreeMap<Variant, VariantEvidence>,
    ) -> Result<BTreeMap<Variant, VariantEvidence>> {
        Ok(self.0.lock().unwrap().get(&window.number).cloned().unwrap_or_default())
    }
}

/// A process of the service.
struct Replica {
    wire: Wire,
    clock: ManualClock,
    split: TrafficSplit,
    evidence: Arc<Evidence>,
    controller: DurableController,
    heard: Arc<Mutex<Vec<u64>>>,
    promotions: Arc<AtomicUsize>,
}

impl Replica {
    fn new(store: &MemoryRolloutStore, clock: ManualClock, promotions: &Arc<AtomicUsize>) -> Self {
        Self::with_plan(plan(), store, clock, promotions)
    }

    fn with_plan(
        plan: Plan,
        store: &MemoryRolloutStore,
        clock: ManualClock,
        promotions: &Arc<AtomicUsize>,
    ) -> Self {
        let wire = Wire { store: store.clone(), fault: Arc::default() };
        let split = TrafficSplit::new(stable(), [candidate()]);
        let (evidence, heard) = (Arc::new(Evidence::new()), Arc::new(Mutex::new(Vec::new())));
        let (ears, done) = (Arc::clone(&heard), Arc::clone(promotions));
        let controller = Controller::new(plan, split.clone(), candidate(), Arc::clone(&evidence))
            .unwrap()
            .with_clock(clock.clone())
            .on_transition(move |moved| ears.lock().unwrap().push(moved.number))
            .on_promotion(move |_| {
                let calls = done.fetch_add(1, Ordering::Relaxed) + 1;
                async move { if calls % 2 == 1 { Err(Error::unavailable("the registry")) } else { Ok(()) } }
            })
            .durable(wire.clone(), NAME)
            .unwrap();
        let promotions = Arc::clone(promotions);
        Self { wire, clock, split, evidence, controller, heard, promotions }
    }

    /// Dies, and comes back with nothing but the store. Its wall clock may jump; no monotonic clock survives.
    fn restart(&mut self) {
        let clock = ManualClock::new(self.clock.now());
        *self = Self::new(&self.wire.store, clock, &self.promotions);
    }

    fn share(&self) -> f64 {
        self.split.share(&candidate()).unwrap()
    }

    fn see(&self, good: u64, bad: u64) {
        let (request, response, error) = (Request::default(), Response::default(), Error::engine("broken"));
        for variant in [stable(), candidate()] {
            for index in 0..good + bad {
                let fails = index >= good && variant == candidate();
                let result = if fails { Err(&error) } else { Ok(&response) };
                let prediction = Prediction::new(&request, result, Duration::from_millis(1));
                self.evidence.observe(&prediction.of_variant(&variant, Role::Primary));
            }
        }
    }
}

fn replicas<const N: usize>() -> (MemoryRolloutStore, [Replica; N]) {
    let (store, promotions) = (MemoryRolloutStore::new(), Arc::default());
    let replicas = std::array::from_fn(|_| Replica::new(&store, ManualClock::default(), &promotions));
    (store, replicas)
}

fn history(store: &MemoryRolloutStore) -> Audit {
    now(Audit::read(Arc::new(store.clone()), NAME)).unwrap()
}

fn jump(clock: &ManualClock, days: i64) {
    let far = mlops_core::reexports::jiff::SignedDuration::from_hours(24 * days);
    clock.set_wall(clock.now().saturating_add(far).unwrap());
}

#[test]
fn replicas_converge_and_their_evidence_adds_up() {
    let (store, [a, b]) = replicas::<2>();
    now(a.controller.tick()).unwrap();
    now(b.controller.follow()).unwrap();
    assert_eq!((a.share(), b.share()), (0.1, 0.1));
    a.see(30, 0);
    b.see(30, 0);
    for replica in [&a, &b] {
        replica.clock.advance(BAKE);
    }
    assert_eq!(now(a.controller.tick()).unwrap().step(), Some(0), "30 of 50");
    assert!(a.controller.status().contains("20 more requests of the candidate"), "{}", a.controller.status());
    let state = now(b.controller.tick()).unwrap();
    assert_eq!(state.step(), Some(1), "60 of both: {}", b.controller.status());
    assert_eq!((a.share(), b.share()), (0.1, 0.5), "who has not read of it does not know it");
    now(a.controller.tick()).unwrap();
    assert_eq!((a.share(), b.share()), (0.5, 0.5));
    let audit = history(&store);
    assert_eq!(audit, a.controller.audit());
    assert_eq!(audit[1].evidence.current[&candidate()].successes, 60);
    assert_eq!(audit[1].by.as_deref(), Some(b.controller.replica().as_str()));
}

#[test]
fn what_a_dead_replica_had_seen_still_counts() {
    for (good, bad) in [(60, 0), (0, 60)] {
        let (_, [mut a, b]) = replicas::<2>();
        now(a.controller.tick()).unwrap();
        now(b.controller.tick()).unwrap();
        a.see(good, bad);
        assert_eq!(now(a.controller.tick()).unwrap().step(), Some(0), "it is too early to say");
        a.restart();
        b.clock.advance(BAKE);
        let state = now(b.controller.tick()).unwrap();
        match bad {
            0 => assert_eq!(state.step(), Some(1), "{}", b.controller.status()),
            _ => assert!(matches!(state, State::RolledBack { .. }), "{state}"),
        }
        assert_eq!(now(a.controller.tick()).unwrap(), state);
        assert_eq!(a.share(), b.share());
    }
}

#[test]
fn a_lost_answer_is_no_second_move() {
    let (store, [a]) = replicas::<1>();
    *a.wire.fault.lock().unwrap() = Fault::Deaf;
    for _ in 0..2 {
        assert!(now(a.controller.tick()).unwrap_err().is_retryable()); // begun; in step 0
    }
    assert_eq!(a.share(), 0.0, "effects come after the record is acknowledged or read");
    *a.wire.fault.lock().unwrap() = Fault::None;
    now(a.controller.tick()).unwrap();
    assert_eq!((a.share(), history(&store).len(), a.heard.lock().unwrap().len()), (0.1, 1, 1));
}

#[test]
fn a_bake_survives_restarts_and_is_never_cut_short_wherever_the_wall_clock_jumps() {
    for days in [400, -400] {
        let (store, [mut a]) = replicas::<1>();
        now(a.controller.tick()).unwrap();
        let mut watched = Duration::ZERO;
        let mut restarts = 0;
        let state = loop {
            let part = BAKE / 20;
            a.clock.advance(part);
            watched += part;
            a.see(100, 0);
            let state = now(a.controller.tick()).unwrap();
            if state.step() != Some(0) {
                break state;
            }
            if restarts < 3 && watched > BAKE / 4 * (restarts + 1) {
                restarts += 1;
                jump(&a.clock, days);
                a.restart();
                a.clock.advance(Duration::from_secs(5)); // before it first looks
                assert_eq!(now(a.controller.tick()).unwrap().step(), Some(0));
                assert_eq!(a.share(), 0.1, "as it was");
                jump(&a.clock, -2 * days);
            }
        };
        assert_eq!((state.step(), restarts), (Some(1), 3));
        assert!(watched >= BAKE && watched <= BAKE * 14 / 10, "{watched:?}");
        let audit = history(&store);
        assert!(audit.windows(2).all(|pair| pair[0].at <= pair[1].at), "dates never go back: {audit}");
    }
}

#[test]
fn a_replica_without_its_store_lets_a_failing_candidate_go_at_once() {
    let (store, [a]) = replicas::<1>();
    now(a.controller.tick()).unwrap();
    *a.wire.fault.lock().unwrap() = Fault::Cut;
    a.clock.advance(BAKE);
    assert!(now(a.controller.tick()).is_err());
    assert_eq!(a.share(), 0.1, "nothing is wrong with it");
    a.see(0, 100);
    assert!(now(a.controller.tick()).is_err());
    assert_eq!((a.share(), history(&store).len()), (0.0, 1));
    *a.wire.fault.lock().unwrap() = Fault::None;
    assert!(matches!(now(a.controller.tick()).unwrap(), State::RolledBack { .. }));

    let (_, [b]) = replicas::<1>();
    now(b.controller.tick()).unwrap();
    *b.wire.fault.lock().unwrap() = Fault::Cut;
    assert!(now(b.controller.abort("smoke")).is_err());
    assert_eq!(b.share(), 0.0);
}

#[test]
fn a_word_is_about_the_step_that_its_speaker_knows() {
    let (_, [a, b]) = replicas::<2>();
    now(a.controller.tick()).unwrap();
    now(b.controller.tick()).unwrap();
    assert_eq!(now(a.controller.skip()).unwrap().step(), Some(1));
    assert_eq!(now(b.controller.skip()).unwrap().step(), Some(1), "both meant step 0");
    assert_eq!(now(b.controller.skip()).unwrap().step(), Some(2));
}

#[test]
fn what_is_to_be_done_on_promotion_is_done_and_remembered() {
    let (store, [a, mut b]) = replicas::<2>();
    now(a.controller.tick()).unwrap();
    now(a.controller.promote()).unwrap();
    assert!(!now(a.controller.announce()).unwrap(), "the first time fails");
    b.restart();
    assert!(now(b.controller.announce()).unwrap(), "another takes over");
    assert!(now(a.controller.announce()).unwrap());
    assert_eq!(a.promotions.load(Ordering::Relaxed), 2, "once recorded it is not done again");
    assert!(history(&store).announced.is_some() && a.controller.announced().is_some());
    assert_eq!((a.share(), b.share()), (1.0, 1.0));
}

#[test]
fn a_name_is_for_one_rollout() {
    let (store, [a]) = replicas::<1>();
    now(a.controller.tick()).unwrap();
    let other = Plan::new([Step::new(1.0)]).unwrap();
    let other = Replica::with_plan(other, &store, ManualClock::default(), &Arc::default());
    let error = now(other.controller.tick()).unwrap_err();
    assert!(matches!(&error, Error::Conflict { what } if what.contains("another plan")), "{error}");
    assert_eq!(other.share(), 0.0);
    let bad = Controller::new(plan(), a.split.clone(), candidate(), Arc::default());
    assert!(bad.unwrap().durable(store, "../x").is_err());
}

#[tokio::test]
async fn alone_and_by_its_own_evidence_it_runs_to_the_end_on_files() {
    let folder = tempfile::tempdir().unwrap();
    let split = TrafficSplit::new(stable(), [candidate()]);
    let evidence = Arc::new(Evidence::new());
    let plan = Plan::new([0.5, 1.0].map(|share| Step::new(share).with_min_samples(5))).unwrap();
    let controller = Controller::new(plan, split.clone(), candidate(), Arc::clone(&evidence))
        .unwrap()
        .durable(FileRolloutStore::new(folder.path()), NAME)
        .unwrap()
        .with_evidence_source(OwnEvidence);
    let traffic = tokio::spawn(async move {
        let (request, response) = (Request::default(), Response::default());
        loop {
            for variant in [stable(), candidate()] {
                let prediction = Prediction::new(&request, Ok(&response), Duration::from_millis(1));
                evidence.observe(&prediction.of_variant(&variant, Role::Primary));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let running = tokio::spawn(async move { controller.run(Duration::from_millis(5)).await });
    assert_eq!(running.await.unwrap().unwrap(), State::Promoted);
    traffic.abort();
    assert_eq!(split.share(&candidate()), Some(1.0));
    let audit = Audit::read(Arc::new(FileRolloutStore::new(folder.path())), NAME).await.unwrap();
    assert_eq!(audit.last().unwrap().to, State::Promoted);
}

/// What may happen to three replicas.
#[derive(Debug, Clone)]
enum Happening {
    Tick,
    Follow,
    Announce,
    Say(Event),
    Restart,
    Fault(Fault),
    JumpDays(i64),
    Time(u64),
    Traffic { good: u64, bad: u64 },
}

fn happenings() -> impl Strategy<Value = (usize, Happening)> {
    let happening = prop_oneof![
        30 => Just(Happening::Tick),
        2 => Just(Happening::Follow),
        2 => Just(Happening::Announce),
        2 => prop_oneof![
            Just(Event::Pause),
            Just(Event::Resume),
            Just(Event::Resume),
            Just(Event::Skip { step: 0 }),
            Just(Event::Approve { step: 0 }),
            Just(Event::Approve { step: 0 }),
        ]
        .prop_map(Happening::Say),
        4 => Just(Happening::Restart),
        2 => prop::sample::select(vec![Fault::Cut, Fault::Deaf]).prop_map(Happening::Fault),
        4 => Just(Happening::Fault(Fault::None)),
        3 => (-1_000_i64..1_000).prop_map(Happening::JumpDays),
        10 => (0_u64..300).prop_map(Happening::Time),
        10 => (0_u64..60, prop_oneof![79 => Just(0_u64), 1 => 0_u64..30])
            .prop_map(|(good, bad)| Happening::Traffic { good, bad }),
    ];
    (0_usize..3, happening)
}

/// Keeps the time that the rollout has truly spent in each step, as nobody inside can.
#[derive(Default)]
struct Watch {
    now: Duration,
    seen: usize,
    entered: Option<(usize, Duration)>,
    spent: BTreeMap<usize, Duration>,
}

impl Watch {
    fn look(&mut self, audit: &Audit) {
        for moved in &audit[self.seen..] {
            if let Some((index, since)) = self.entered.take() {
                *self.spent.entry(index).or_default() += self.now - since;
            }
            let climbs = moved.to.step() > moved.from.step() || moved.to == State::Promoted;
            if let (Some(index), true, Event::Tick | Event::Approve { .. }) =
                (moved.from.step(), climbs, &moved.event)
            {
                assert!(self.spent[&index] >= BAKE, "{moved} after {:?}: {audit}", self.spent[&index]);
                let baseline = if index == 2 { &moved.evidence.previous } else { &moved.evidence.current };
                let report = plan().analysis().clone().with_alpha(0.05 / 3.0).unwrap().compare(
                    &baseline[&stable()],
                    &moved.evidence.current[&candidate()],
                    SamplesNeeded::each(50),
                );
                assert_eq!(report.verdict, Verdict::Passed, "{moved}: {report}");
            }
            if let State::Step { index, .. } = moved.to {
                self.entered = Some((index, self.now));
            }
        }
        self.seen = audit.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn there_is_one_history_and_it_keeps_the_rules(
        walk in prop::collection::vec(happenings(), 1..250),
    ) {
        let (store, truth, promotions) = (MemoryRolloutStore::new(), Truth::default(), Arc::default());
        let make = |clock: ManualClock| {
            let mut replica = Replica::new(&store, clock, &promotions);
            replica.controller = replica.controller.with_evidence_source(truth.clone());
            replica
        };
        let mut replicas: Vec<Replica> = (0..3).map(|_| make(ManualClock::default())).collect();
        let mut watch = Watch::default();
        for (index, happening) in walk {
            let replica = &mut replicas[index];
            let controller = &replica.controller;
            let acknowledged = match happening {
                Happening::Tick => now(controller.tick()),
                Happening::Follow => now(controller.follow()),
                Happening::Announce => now(controller.announce()).map(|_| controller.state()),
                Happening::Say(Event::Pause) => now(controller.pause()),
                Happening::Say(Event::Resume) => now(controller.resume()),
                Happening::Say(Event::Skip { .. }) => now(controller.skip()),
                Happening::Say(_) => now(controller.approve()),
                Happening::Restart => {
                    let fault = replica.wire.fault();
                    *replica = make(ManualClock::new(replica.clock.now()));
                    *replica.wire.fault.lock().unwrap() = fault;
                    Err(Error::unavailable("it has just come up"))
                }
                Happening::Fault(fault) => {
                    *replica.wire.fault.lock().unwrap() = fault;
                    Err(Error::unavailable("nobody was asked"))
                }
                Happening::JumpDays(days) => {
                    jump(&replica.clock, days);
                    Err(Error::unavailable("nobody was asked"))
                }
                Happening::Time(seconds) => {
                    let time = Duration::from_secs(seconds);
                    watch.now += time;
                    replicas.iter().for_each(|replica| replica.clock.advance(time));
                    Err(Error::unavailable("nobody was asked"))
                }
                Happening::Traffic { good, bad } => {
                    let window = history(&store).iter().rev().find(|moved| {
                        matches!(moved.to, State::Step { .. }) && moved.to.step() != moved.from.step()
                    }).map_or(0, |moved| moved.number);
                    let mut truth = truth.0.lock().unwrap();
                    let seen = truth.entry(window).or_default();
                    seen.entry(stable()).or_default().merge(&VariantEvidence::new(good + bad, 0));
                    seen.entry(candidate()).or_default().merge(&VariantEvidence::new(good, bad));
                    Err(Error::unavailable("nobody was asked"))
                }
            };
            let audit = history(&store);
            watch.look(&audit);
            match acknowledged {
                Ok(state) => {
                    let known = state == State::Pending || audit.iter().any(|moved| moved.to == state);
                    prop_assert!(known, "{state} is not in the log");
                }
                Err(error) => prop_assert!(error.is_retryable(), "{error}"),
            }
        }

        // When the wires are mended, all find themselves at the same place.
        let audit = history(&store);
        for replica in &replicas {
            *replica.wire.fault.lock().unwrap() = Fault::None;
            let state = now(replica.controller.follow()).unwrap();
            let end = audit.last().map_or(State::Pending, |moved| moved.to.clone());
            prop_assert_eq!(&state, &end);
            if !audit.is_empty() {
                prop_assert_eq!(replica.share(), replica.controller.rollout().share(&state));
            }
            prop_assert_eq!(&replica.controller.audit(), &audit);
            let heard = replica.heard.lock().unwrap();
            prop_assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "told once and in order");
        }
        let mut state = State::Pending;
        for moved in &audit {
            prop_assert!(!state.is_final() && moved.from == state, "{audit}");
            let (from, to) = (moved.from.step(), moved.to.step());
            let one_up = to.is_none() || to == from || to == Some(from.map_or(0, |from| from + 1));
            prop_assert!(one_up, "one step at a time: {audit}");
            state = moved.to.clone();
        }
        prop_assert!(audit.windows(2).all(|pair| pair[0].at <= pair[1].at && pair[0].number < pair[1].number));
        if audit.announced.is_some() {
            prop_assert!(state == State::Promoted && promotions.load(Ordering::Relaxed) > 0);
        }
    }
}
