//! Processes that write are killed at random moments. What they had acknowledged is there, all of it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{champion, name, next, select};
use mlops_core::{AliasMove, AuditChange, Digest, Registry};
use mlops_registry::ObjectStoreRegistry;

const FOLDER: &str = "MLOPS_TEST_CRASH_FOLDER";
const ROUNDS: u64 = 20;
const WRITERS: usize = 2;

/// Not a test by itself: the process that is killed. It writes until then, and says what is done.
#[tokio::test]
async fn writer() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let registry = ObjectStoreRegistry::local(folder).await.unwrap();
    for round in 0_u32.. {
        let own = [std::process::id().to_le_bytes(), round.to_le_bytes()].concat().repeat(4096);
        let new = next("fraud").with_artifact("own", own).with_artifact("shared", vec![7_u8; 10_000]);
        let version = registry.register(new).await.unwrap();
        println!("registered {} {}", version.id.version, version.artifacts["own"].digest);
        let change = AliasMove::new(name("fraud"), champion(), version.id.version);
        let moved = registry.move_alias(change).await.unwrap();
        println!("moved {}", moved.sequence);
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_processes_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut registered = BTreeMap::new();
    let mut moved = Vec::new();
    for _ in 0..ROUNDS {
        let mut writers: Vec<_> = (0..WRITERS).map(|_| spawn_writer(folder.path())).collect();
        tokio::time::sleep(Duration::from_millis(20 + random() % 200)).await;
        for writer in &mut writers {
            writer.kill().unwrap();
        }
        for mut writer in writers {
            let mut said = String::new();
            writer.stdout.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(!writer.wait().unwrap().success(), "it wrote until it was killed: {said}");
            // The last line may be cut off; the one before it was acknowledged in full.
            for line in said.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                match *line.split_whitespace().collect::<Vec<_>>() {
                    ["registered", version, digest] => {
                        let before = registered.insert(version.to_owned(), digest.parse::<Digest>().unwrap());
                        assert!(before.is_none(), "{version} was acknowledged twice");
                    }
                    ["moved", sequence] => moved.push(sequence.parse::<u64>().unwrap()),
                    _ => {}
                }
            }
        }
        let registry = ObjectStoreRegistry::local(folder.path()).await.unwrap();
        if registered.is_empty() {
            continue;
        }
        let history = registry.history(&name("fraud")).await.unwrap();
        for (index, event) in history.iter().enumerate() {
            assert_eq!(event.sequence, index as u64 + 1, "history has no gaps");
        }
        for sequence in &moved {
            let change = &history[*sequence as usize - 1].change;
            assert!(matches!(change, AuditChange::AliasMoved { .. }), "{change}");
        }
        for (version, digest) in &registered {
            let version = registry.resolve(&name("fraud"), &select(version)).await.unwrap();
            assert_eq!(version.artifacts["own"].digest, *digest);
        }
        // Acknowledged or not: what is there is there with all of its bytes.
        for version in registry.versions(&name("fraud")).await.unwrap() {
            for artifact in version.artifacts.keys() {
                registry.fetch(&version, artifact).await.unwrap();
            }
        }
    }
    assert!(registered.len() > 20, "the writers must get to write: {}", registered.len());
    let registry = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    registry.register(next("fraud")).await.unwrap();
}

fn spawn_writer(folder: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
