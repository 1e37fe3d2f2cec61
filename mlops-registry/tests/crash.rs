//! Processes that write are killed at random moments, hundreds of them. What they had acknowledged is there, all of it,
//! and nothing is there by halves.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{at_once, champion, everything, name, next, select};
use jiff::Timestamp;
use mlops_core::{
    AliasMove, AuditChange, AuditEvent, Content, Deletion, Digest, Error, ManualClock, ModelId, NewReport,
    Registry, Result, Tagging,
};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::runs::{NewRun, RunId, RunStatus};

const FOLDER: &str = "MLOPS_TEST_CRASH_FOLDER";
const KILLS: usize = 300;
const WRITERS: usize = 12;
/// More than one piece.
const LARGE: usize = (8 << 20) + 12_345;

/// Not a test by itself: the process that is killed. It does whatever can be done until then, and says what it is about
/// to do and what is done.
#[tokio::test]
async fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let registry = ObjectStoreRegistry::local(Path::new(&folder).join("registry")).await.unwrap();
    let mut own: Vec<ModelId> = Vec::new();
    for round in 0_u32.. {
        let chosen = own.get(random(own.len().max(1))).cloned();
        match (random(10), chosen) {
            (0..=2, _) | (_, None) => {
                let bytes = [std::process::id().to_le_bytes(), round.to_le_bytes()].concat().repeat(2000);
                let digest = Digest::of(&bytes);
                let mut new = next("fraud").with_artifact("own", bytes);
                new = new.with_artifact("shared", vec![random(3) as u8; 10_000]);
                if random(4) == 0 {
                    new = new.with_artifact("large", Content::file(large(Path::new(&folder), random(2))));
                }
                let id = registry.register(new).await.unwrap().id;
                println!("registered {} {digest}", id.version);
                own.push(id);
            }
            (3, Some(id)) => did(registry.move_alias(AliasMove::new(id.name, champion(), id.version)).await),
            (4, Some(id)) => did(registry.tag(Tagging::set(id, "round", round.to_string())).await),
            (5, Some(id)) => {
                did(registry.report(NewReport::gate(id, "gate", true).with_metric("auc", 0.9)).await);
            }
            (6, Some(id)) => {
                println!("deleting {}", id.version);
                own.retain(|other| *other != id);
                did(registry.delete(Deletion::new(id)).await);
            }
            (7, _) => drop(registry.collect_garbage(at_once()).await.unwrap()),
            (8, _) => println!("checkpoint {}", registry.checkpoint().await.unwrap()),
            _ => run(&registry).await.unwrap(),
        }
    }
}

async fn run(registry: &ObjectStoreRegistry) -> Result<()> {
    let mut run = registry.start_run(NewRun::new("e")).await?;
    for step in 0..30 {
        run.log("loss", step, step as f64).await?;
        if step % 10 == 9 {
            run.flush().await?;
            println!("points {} {}", run.id(), step + 1);
        }
    }
    let bytes = run.id().to_string().repeat(100).into_bytes();
    run.attach("model", bytes).await?;
    println!("finished {}", run.finish(RunStatus::Finished).await?.id);
    Ok(())
}

fn did(event: Result<AuditEvent>) {
    match event {
        Ok(event) => println!("did {}", serde_json::to_string(&event).unwrap()),
        // An alias points to what was to be deleted.
        Err(Error::Conflict { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

fn large(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("large-{index}"))
}

/// What the writers have said.
#[derive(Default)]
struct Said {
    registered: BTreeMap<String, Digest>,
    /// Perhaps deleted: that was intended.
    deleting: BTreeSet<String>,
    events: Vec<AuditEvent>,
    points: BTreeMap<RunId, u64>,
    finished: BTreeSet<RunId>,
}

impl Said {
    fn listen(&mut self, said: &str) {
        // The last line may be cut off; the one before it was said in full.
        for line in said.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            match *line.trim_end().splitn(3, ' ').collect::<Vec<_>>() {
                ["registered", version, digest] => {
                    let before = self.registered.insert(version.to_owned(), digest.parse().unwrap());
                    assert!(before.is_none(), "{version} was acknowledged twice");
                }
                ["deleting", version] => drop(self.deleting.insert(version.to_owned())),
                ["did", ..] => self.events.push(serde_json::from_str(&line["did ".len()..]).unwrap()),
                ["points", run, count] => {
                    self.points.insert(run.parse().unwrap(), count.parse().unwrap());
                }
                ["finished", run] => drop(self.finished.insert(run.parse().unwrap())),
                _ => {}
            }
        }
    }

    /// Nothing acknowledged is lost, and nothing else is there than what was begun.
    async fn check(&self, registry: &ObjectStoreRegistry) {
        if self.registered.is_empty() {
            return;
        }
        let history = registry.history(&name("fraud")).await.unwrap();
        assert!(history.is_sorted_by(|one, other| one.sequence < other.sequence && one.at <= other.at));
        let told: BTreeMap<_, _> = history.iter().map(|event| (event.sequence, event)).collect();
        for event in &self.events {
            assert_eq!(told.get(&event.sequence), Some(&event), "an acknowledged change");
        }
        let deleted: BTreeSet<_> = history
            .iter()
            .filter_map(|event| match &event.change {
                AuditChange::Deleted { version, .. } => Some(version.to_string()),
                _ => None,
            })
            .collect();
        assert!(deleted.is_subset(&self.deleting));
        for (version, digest) in &self.registered {
            let resolved = registry.resolve(&name("fraud"), &select(version)).await;
            match deleted.contains(version) {
                true => assert_eq!(resolved.unwrap_err().label(), "not_found", "{version}"),
                false => assert_eq!(resolved.unwrap().artifacts["own"].digest, *digest),
            }
        }
        // Acknowledged or not: what is there is there with all of its bytes.
        for version in registry.versions(&name("fraud")).await.unwrap() {
            assert!(version.artifacts.contains_key("own") && version.artifacts.contains_key("shared"));
        }
        for run in registry.runs(None).await.unwrap() {
            let points = match run.metrics.contains_key("loss") {
                true => registry.metric_points(run.id, "loss").await.unwrap(),
                false => Vec::new(),
            };
            let steps = points.iter().map(|point| point.step);
            assert!(steps.eq(0..points.len() as u64), "no point is lost or there twice");
            assert!(points.len() as u64 >= self.points.get(&run.id).copied().unwrap_or_default());
            let finished = run.status == RunStatus::Finished;
            assert!(finished || !self.finished.contains(&run.id));
            assert!(!finished || (points.len(), run.artifacts.len()) == (30, 1), "{run:?}");
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_processes_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..2 {
        std::fs::write(large(folder.path(), index), vec![index as u8; LARGE]).unwrap();
    }
    let path = folder.path().join("registry");
    let (mut said, mut kills, mut unfinished, began) = (Said::default(), 0, 0, Instant::now());
    while kills < KILLS {
        let writers: Vec<_> = (0..WRITERS).map(|_| spawn_writer(folder.path())).collect();
        // Each of them says more than a pipe holds.
        let listeners: Vec<_> =
            writers.into_iter().map(|writer| std::thread::spawn(|| listen_to(writer))).collect();
        for listener in listeners {
            said.listen(&listener.join().unwrap());
            kills += 1;
        }

        let registry = ObjectStoreRegistry::local(&path).await.unwrap();
        said.check(&registry).await;
        let found = registry.verify().await.unwrap();
        assert!(found.is_clean(), "{:#?}", found.faults);
        assert_eq!(everything(&registry).await, everything(&without_checkpoints(&path).await).await);

        // Nobody writes any more, so nothing is unfinished.
        let later = ManualClock::new(Timestamp::now() + Duration::from_secs(2 * 3600));
        unfinished += staged(&path).len();
        registry.clone().with_clock(later).collect_garbage(at_once()).await.unwrap();
        assert_eq!(staged(&path), Vec::<PathBuf>::new());
        let files = files(&path.join("blobs")).len() as u64;
        assert_eq!(found.blobs, files, "what is needed is there, and nothing else");
    }
    println!(
        "{kills} kills in {:?}: {} versions, {} other changes, {} runs acknowledged; {unfinished} unfinished files",
        began.elapsed(),
        said.registered.len(),
        said.events.len(),
        said.finished.len()
    );
    assert!(said.registered.len() > 50 && said.events.len() > 20, "the writers must get to write");
    let registry = ObjectStoreRegistry::local(&path).await.unwrap();
    registry.register(next("fraud")).await.unwrap();
}

/// The registry of a folder as its log alone says it is.
async fn without_checkpoints(path: &Path) -> ObjectStoreRegistry {
    let (folder, aside) = (path.join("checkpoints"), path.join("aside"));
    if !folder.exists() {
        return ObjectStoreRegistry::local(path).await.unwrap();
    }
    std::fs::rename(&folder, &aside).unwrap();
    let registry = ObjectStoreRegistry::local(path).await.unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    registry
}

/// The unfinished files.
fn staged(path: &Path) -> Vec<PathBuf> {
    let mut files = files(path);
    files.retain(|file| file.to_str().unwrap().contains('#'));
    files
}

fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Kills a writer at a random moment; returns what it has said by then.
fn listen_to(mut writer: Child) -> String {
    let mut stdout = writer.stdout.take().unwrap();
    let listener = std::thread::spawn(move || {
        let mut said = String::new();
        stdout.read_to_string(&mut said).unwrap();
        said
    });
    std::thread::sleep(Duration::from_millis(50 + random(600) as u64));
    writer.kill().unwrap();
    let said = listener.join().unwrap();
    assert_eq!(writer.wait().unwrap().signal(), Some(9), "it wrote until it was killed: {said}");
    said
}

fn spawn_writer(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn random(limit: usize) -> usize {
    (RandomState::new().build_hasher().finish() % limit as u64) as usize
}
