//! Processes that do everything at once on one registry, and the proof that it was as if one did it all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use futures_util::future::join_all;
use mlops_core::{Alias, AliasMove, AuditChange, AuditEvent, Deletion, Error, ModelId, Registry, Selector};
use mlops_registry::ObjectStoreRegistry;
use semver::Version;

use super::{at_once, everything, name, next};

/// Says where the registry is, to a process of the crowd.
pub const PLACE: &str = "MLOPS_TEST_CROWD";

const ALIASES: [&str; 4] = ["a", "b", "c", "d"];

/// What each of the processes does, beside one that collects, one that writes checkpoints, one that watches and one that
/// follows.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub processes: usize,
    /// How many register a version, at once.
    pub writers: usize,
    /// One of so many brings bytes, which it shares with others.
    pub bytes_of: usize,
    /// One of so many points an alias to its version, from where it saw the alias point.
    pub movers_of: usize,
    /// One of so many deletes its version.
    pub deleters_of: usize,
    /// How long collectors and writers of checkpoints rest in between.
    pub rest: Duration,
}

fn now() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()
}

fn alias(index: usize) -> Alias {
    Alias::new(ALIASES[index]).unwrap()
}

impl Crowd {
    /// One of the processes: says what it did, and when each thing began and ended.
    pub async fn member(self, registry: ObjectStoreRegistry) {
        let registry = registry.with_poll_interval(self.rest);
        println!("watching {}", registry.head().await.unwrap().0);
        let (events, live) = (registry.watch(), registry.live());
        let watcher = tokio::spawn(async move {
            let until_the_end = events.map(Result::unwrap).take_while(|event| {
                let ended = event.model.as_str() == "end";
                async move { !ended }
            });
            until_the_end.map(|event| event.sequence).collect::<Vec<_>>().await
        });
        let working = Arc::new(AtomicBool::new(true));
        let beside = [0, 1].map(|which| {
            let (registry, working) = (registry.clone(), Arc::clone(&working));
            tokio::spawn(async move {
                while working.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    match which {
                        0 => drop(registry.collect_garbage(at_once()).await.unwrap()),
                        _ => drop(registry.checkpoint().await.unwrap()),
                    }
                    // On a slow server at least as long as it took, or nobody else would get through.
                    tokio::time::sleep(self.rest.max(began.elapsed())).await;
                }
            })
        });
        let writers = (0..self.writers).map(|index| tokio::spawn(self.write(registry.clone(), index)));
        for writer in join_all(writers).await {
            writer.unwrap();
        }
        working.store(false, Ordering::Relaxed);
        for task in beside {
            task.await.unwrap();
        }
        println!("done");
        let sequences = watcher.await.unwrap();
        println!("watched {}", sequences.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
        let latest = registry.resolve(&name("fraud"), &Selector::Latest).await.unwrap();
        assert_eq!(*live.resolve(&name("fraud"), &Selector::Latest).unwrap(), latest);
    }

    async fn write(self, registry: ObjectStoreRegistry, index: usize) {
        let one_of = |of: usize| of > 0 && index.is_multiple_of(of);
        let mut new = next("fraud");
        if one_of(self.bytes_of) {
            new = new.with_artifact("shared", vec![(index % 3) as u8; 1000]);
        }
        let began = now();
        let id = registry.register(new).await.unwrap().id;
        println!("registered {} {began} {}", id.version.major, now());
        if one_of(self.movers_of) {
            promote(&registry, id, index / self.movers_of % ALIASES.len()).await;
        } else if one_of(self.deleters_of) {
            let began = now();
            let event = registry.delete(Deletion::new(id)).await.unwrap();
            println!("deleted {} {began} {}", event.sequence, now());
        }
    }

    /// Starts the processes, each of which is the test `member` of the same program; waits for them; and proves from what
    /// they said that nothing was lost, that all of it happened in an order that everybody agrees on, and that this order
    /// is one that the clock on the wall allows.
    pub async fn run(self, place: &str, registry: ObjectStoreRegistry) {
        let members: Vec<_> = (0..self.processes).map(|_| spawn(place)).collect();
        let (told, done) = std::sync::mpsc::channel();
        let listeners: Vec<_> = members
            .into_iter()
            .map(|member| {
                let told = told.clone();
                std::thread::spawn(move || listen(member, &told))
            })
            .collect();
        drop(told);
        tokio::task::spawn_blocking(move || done.iter().take(self.processes).count()).await.unwrap();
        registry.register(next("end")).await.unwrap();
        let mut said = Vec::new();
        for listener in listeners {
            said.push(tokio::task::spawn_blocking(|| listener.join().unwrap()).await.unwrap());
        }
        let history = registry.history(&name("fraud")).await.unwrap();
        self.check(&said, &history);

        assert_eq!(registry.verify().await.unwrap().faults, []);
        for version in registry.versions(&name("fraud")).await.unwrap() {
            for artifact in version.artifacts.keys() {
                assert_eq!(registry.fetch(&version, artifact).await.unwrap().len(), 1000);
            }
        }
        assert!(everything(&registry).await.len() > history.len());
    }

    fn check(self, said: &[String], history: &[AuditEvent]) {
        let lines = || said.iter().flat_map(|said| said.lines());
        let numbers = |what: &'static str| {
            let of = lines().filter_map(move |line| line.split_once(&format!("{what} "))?.1.into());
            of.map(|rest: &str| rest.split(' ').map(|number| number.parse().unwrap()).collect::<Vec<u128>>())
        };
        let registered: BTreeMap<_, _> = history
            .iter()
            .filter_map(|event| match &event.change {
                AuditChange::Registered { version } => Some((u128::from(version.major), event.sequence)),
                _ => None,
            })
            .collect();
        let versions = (self.processes * self.writers) as u128;
        assert!(registered.keys().copied().eq(1..=versions), "each got a version of its own");

        // (number in the log, begin, end) of all that was acknowledged.
        let mut acknowledged: Vec<(u64, u128, u128)> = Vec::new();
        for numbers in numbers("registered") {
            let [major, began, ended] = numbers[..] else { panic!("{numbers:?}") };
            acknowledged.push((registered[&major], began, ended));
        }
        assert_eq!(acknowledged.len() as u128, versions);
        for numbers in numbers("deleted") {
            let [sequence, began, ended] = numbers[..] else { panic!("{numbers:?}") };
            acknowledged.push((sequence as u64, began, ended));
        }
        // Of each alias its moves, by their number in the log, with where it was seen to point before.
        let mut moves: BTreeMap<usize, BTreeMap<u64, Move>> = BTreeMap::new();
        for numbers in numbers("moved") {
            let [alias, sequence, from, to, began, ended] = numbers[..] else { panic!("{numbers:?}") };
            acknowledged.push((sequence as u64, began, ended));
            let step = Move { from, to, began, ended };
            let before = moves.entry(alias as usize).or_default().insert(sequence as u64, step);
            assert!(before.is_none(), "two moves with one number");
        }
        acknowledged.sort_unstable();
        let mut latest_began = 0;
        for (sequence, began, ended) in &acknowledged {
            latest_began = latest_began.max(*began);
            assert!(latest_began < *ended, "{sequence} was acknowledged before one before it had begun");
        }
        let events: BTreeSet<_> = history.iter().map(|event| event.sequence).collect();
        assert!(acknowledged.iter().all(|(sequence, ..)| events.contains(sequence)));
        assert_eq!(acknowledged.len(), history.len(), "nothing else has happened");

        for (alias, moves) in &moves {
            let moves: Vec<_> = moves.values().copied().collect();
            let mut points_to = 0;
            for step in &moves {
                assert_eq!(step.from, points_to, "a move of `{}` was lost", ALIASES[*alias]);
                points_to = step.to;
            }
            let reads = numbers("read").filter(|read| read[0] == *alias as u128);
            check_reads(&moves, reads.map(|read| (read[1], read[2], read[3])).collect());
        }
        assert_eq!(moves.len(), ALIASES.len());

        for said in said {
            let word =
                |what: &str| said.lines().find_map(|line| Some(line.split_once(what)?.1.trim().to_owned()));
            let since: u64 = word("watching ").unwrap().parse().unwrap();
            let watched = word("watched").unwrap();
            let watched: Vec<u64> =
                watched.split_whitespace().map(|number| number.parse().unwrap()).collect();
            let happened = events.iter().copied().filter(|sequence| *sequence > since);
            assert!(watched.iter().copied().eq(happened), "each event once, in order: {watched:?}");
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Move {
    from: u128,
    to: u128,
    began: u128,
    ended: u128,
}

/// Whether what was read of an alias, (value, begin, end), fits an order in which each read and each move takes effect at
/// one moment between its begin and its end.
fn check_reads(moves: &[Move], mut reads: Vec<(u128, u128, u128)>) {
    reads.sort_unstable_by_key(|(_, began, _)| *began);
    let place = |value: u128| match value {
        0 => 0,
        value => 1 + moves.iter().position(|step| step.to == value).expect("it pointed there once"),
    };
    let mut ended: Vec<(u128, usize)> = Vec::new();
    for (value, began, end) in reads {
        let place = place(value);
        assert!(place == 0 || moves[place - 1].began < end, "{value} was read before it was moved there");
        assert!(
            moves.get(place).is_none_or(|next| next.ended > began),
            "{value} was read after the next move"
        );
        assert!(
            ended.iter().all(|(before, earlier)| *before > began || *earlier <= place),
            "{value} was read after a later one"
        );
        ended.push((end, place));
    }
}

/// Points an alias to a version, from where it is seen to point, as often as it takes.
async fn promote(registry: &ObjectStoreRegistry, id: ModelId, index: usize) {
    loop {
        let began = now();
        let seen: Option<Version> = match registry.resolve(&id.name, &alias(index).into()).await {
            Ok(version) => Some(version.id.version),
            Err(Error::NotFound { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        let from = seen.as_ref().map_or(0, |seen| seen.major);
        println!("read {index} {from} {began} {}", now());
        let change = AliasMove::new(id.name.clone(), alias(index), id.version.clone()).expecting(seen);
        let began = now();
        match registry.move_alias(change).await {
            Ok(event) => {
                let (sequence, to) = (event.sequence, id.version.major);
                return println!("moved {index} {sequence} {from} {to} {began} {}", now());
            }
            Err(Error::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn spawn(place: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "member", "--nocapture", "--test-threads=1"])
        .env(PLACE, place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a process says until its end; tells when it is done.
fn listen(mut member: Child, told: &std::sync::mpsc::Sender<()>) -> String {
    let mut said = String::new();
    for line in BufReader::new(member.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "done" {
            told.send(()).unwrap();
        }
        said += &(line + "\n");
    }
    assert!(member.wait().unwrap().success(), "{said}");
    said
}
