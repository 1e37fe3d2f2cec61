//! Three processes drive one rollout and are killed at random moments, again and again. No decision is lost,
//! none is made twice, no bake is cut short, and all end up with the same share.
//!
//! `MLOPS_CRASH_ROUNDS=200 cargo test -p mlops-rollout --test crash` for the long form.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mlops_core::{Error, Observer, Prediction, Request, Response, Role, Variant};
use mlops_rollout::{Audit, Controller, Event, Evidence, FileRolloutStore, Plan, State, Step, TrafficSplit};

const FOLDER: &str = "MLOPS_TEST_ROLLOUT_FOLDER";
const NAME: &str = "MLOPS_TEST_ROLLOUT_NAME";
const REPLICAS: usize = 3;
const BAKE: Duration = Duration::from_millis(30);
const SHARES: [f64; 6] = [0.05, 0.1, 0.25, 0.5, 0.75, 1.0];
/// From this share on a bad candidate is bad.
const BREAKS_AT: f64 = 0.5;

fn plan() -> Plan {
    Plan::new(SHARES.map(|share| Step::new(share).with_min_samples(60).with_bake(BAKE))).unwrap()
}

/// Not a test by itself: a replica, which says what it has decided, and in the end how it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn replica() {
    let (Ok(folder), Ok(name)) = (std::env::var(FOLDER), std::env::var(NAME)) else { return };
    let (stable, candidate) = (Variant::new("stable").unwrap(), Variant::new("candidate").unwrap());
    let split = TrafficSplit::new(stable.clone(), [candidate.clone()]);
    let evidence = Arc::new(Evidence::new());
    let promotions = Path::new(&folder).join(format!("{name}.promoted"));
    let controller = Controller::new(plan(), split.clone(), candidate.clone(), Arc::clone(&evidence));
    let me = format!("by-{}-", std::process::id());
    let controller = controller
        .unwrap()
        .on_transition(move |moved| {
            if moved.by.as_ref().unwrap().starts_with(&me) {
                say(&format!("decided {} {}", moved.number, moved.to));
            }
        })
        .on_promotion(move |_| {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(&promotions);
            let written = file.and_then(|mut file| file.write_all(b"promoted\n"));
            async move { written.map_err(|cause| Error::unavailable("the file").with_source(cause)) }
        })
        .durable(FileRolloutStore::new(&folder), &name)
        .unwrap()
        .with_replica("by")
        .unwrap();

    let bad = name.ends_with("bad");
    let (traffic, seen) = (split.clone(), candidate.clone());
    std::thread::spawn(move || {
        loop {
            let fails = bad && traffic.share(&seen).unwrap() >= BREAKS_AT;
            for _ in 0..10 {
                observe(&evidence, &stable, false);
                observe(&evidence, &seen, fails);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let state = controller.run(Duration::from_millis(4)).await.unwrap();
    say(&format!("ended {} {state}", split.share(&candidate).unwrap()));
}

fn observe(evidence: &Evidence, variant: &Variant, fails: bool) {
    let (request, response, error) = (Request::default(), Response::default(), Error::engine("broken"));
    let result = if fails { Err(&error) } else { Ok(&response) };
    evidence.observe(
        &Prediction::new(&request, result, Duration::from_millis(1)).of_variant(variant, Role::Primary),
    );
}

/// A line, at once and as a whole.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n> {line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

#[tokio::test]
async fn no_decision_is_lost_or_made_twice_when_replicas_are_killed() {
    let rounds = std::env::var("MLOPS_CRASH_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (mut kills, mut decisions, began) = (0, 0, Instant::now());
    for round in 0..rounds {
        let bad = round % 3 == 2;
        let name = format!("rollout-{round}-{}", if bad { "bad" } else { "good" });
        let (said, killed) = one_rollout(folder.path(), &name);
        kills += killed;
        decisions += check(folder.path(), &name, bad, &said).await;
    }
    println!("{rounds} rollouts, {kills} kills, {decisions} decisions heard of, in {:?}", began.elapsed());
    assert!(kills >= rounds, "{kills} kills in {rounds} rounds");
}

/// Drives a rollout to its end while replicas are killed; returns what they said, and how many were killed.
fn one_rollout(folder: &Path, name: &str) -> (String, usize) {
    let mut replicas: Vec<_> = (0..REPLICAS).map(|_| Replica::spawn(folder, name)).collect();
    let (mut said, mut kills, began) = (String::new(), 0, Instant::now());
    let wanted = 1 + random(3);
    while kills < wanted && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(random(120) as u64));
        let (words, killed) = replicas.swap_remove(random(REPLICAS)).kill();
        said.push_str(&words);
        kills += usize::from(killed);
        replicas.push(Replica::spawn(folder, name));
    }
    for replica in replicas {
        said.push_str(&replica.wait());
    }
    (said, kills)
}

/// What must be so in the end. Says how many decisions the replicas had told of.
async fn check(folder: &Path, name: &str, bad: bool, said: &str) -> usize {
    let audit = Audit::read(Arc::new(FileRolloutStore::new(folder)), name).await.unwrap();
    let numbered: BTreeMap<u64, String> =
        audit.iter().map(|moved| (moved.number, moved.to.to_string())).collect();
    assert_eq!(numbered.len(), audit.len(), "no number twice: {audit}");

    let (mut state, mut highest) = (State::Pending, None);
    for moved in &audit {
        assert_eq!(moved.from, state, "one follows on the other: {audit}");
        if let State::Step { index, .. } = &moved.to {
            assert_eq!(*index, highest.map_or(0, |highest: usize| highest + 1), "no step twice: {audit}");
            highest = Some(*index);
        }
        state = moved.to.clone();
    }
    for pair in audit.windows(2) {
        let baked = pair[1].at.duration_since(pair[0].at);
        let earned = baked.unsigned_abs() >= BAKE || matches!(pair[1].to, State::RolledBack { .. });
        assert!(earned && pair[1].event == Event::Tick, "{} after {baked:?}", pair[1]);
    }
    let promotions = std::fs::read_to_string(folder.join(format!("{name}.promoted")));
    if bad {
        assert!(matches!(state, State::RolledBack { .. }), "{audit}");
        assert!(audit.len() < SHARES.len() + 2 && SHARES[highest.unwrap()] >= BREAKS_AT, "{audit}");
        assert!(promotions.is_err() && audit.announced.is_none());
    } else {
        assert_eq!((state.clone(), audit.len()), (State::Promoted, SHARES.len() + 1), "{audit}");
        assert!(promotions.unwrap().lines().count() >= 1 && audit.announced.is_some());
    }

    // The last line of a killed one may be cut off.
    let lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let lines = lines.filter_map(|line| line.trim_end().strip_prefix("> "));
    let (mut decisions, mut ended) = (0, 0);
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap();
        let (which, to) = rest.split_once(' ').unwrap();
        if word == "decided" {
            assert_eq!(numbered[&which.parse().unwrap()], to, "a decision was lost: {audit}");
            decisions += 1;
        } else {
            assert_eq!((which, to), (if bad { "0" } else { "1" }, state.to_string().as_str()));
            ended += 1;
        }
    }
    assert!(ended >= REPLICAS, "all converge: {said}");
    assert!(decisions <= audit.len(), "a decision was made twice: {said}");
    decisions
}

struct Replica {
    process: Child,
    listener: JoinHandle<String>,
}

impl Replica {
    fn spawn(folder: &Path, name: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "replica", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .env(NAME, name)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut stdout = process.stdout.take().unwrap();
        let listener = std::thread::spawn(move || {
            let mut said = String::new();
            stdout.read_to_string(&mut said).unwrap();
            said
        });
        Self { process, listener }
    }

    /// What it had said, and whether it was still at it.
    fn kill(mut self) -> (String, bool) {
        let _ = self.process.kill();
        let status = self.process.wait().unwrap();
        assert!(status.success() || status.signal() == Some(9), "{status}");
        (self.listener.join().unwrap(), status.signal() == Some(9))
    }

    fn wait(mut self) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.process.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                self.process.kill().unwrap();
                panic!("a replica does not end; it said: {}", self.listener.join().unwrap());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(self.process.wait().unwrap().success());
        self.listener.join().unwrap()
    }
}

fn random(limit: usize) -> usize {
    (RandomState::new().build_hasher().finish() % limit as u64) as usize
}
