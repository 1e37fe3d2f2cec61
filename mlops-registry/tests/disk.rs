//! A disk that is full, and one that cannot be written to: errors that say so, nothing harmed, and all is well again when
//! the disk is.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::servers::skip;
use common::{at_once, champion, everything, name, next, select};
use mlops_core::{AliasMove, Content, Deletion, Error, Registry, Result, Tagging};
use mlops_registry::ObjectStoreRegistry;

/// Says where its disk is, to a test that has one of its own.
const DISK: &str = "MLOPS_TEST_DISK";

/// Bytes of the disk.
const SIZE: usize = 24 << 20;
/// More than one piece, and more than there is room for beside the ballast.
const LARGE: usize = 12 << 20;
const BALLAST: usize = 16 << 20;

/// Runs `test` of this program in a process that sees a small disk, which goes with it.
fn on_a_disk_of_its_own(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mounted = |then: &str, options: &[&str]| {
        let mount = format!("mount -t tmpfs -o size={SIZE} tmpfs \"$0\" && {then}");
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", &mount]).arg(folder.path());
        command
    };
    // As root without more ado, as anybody else where the system lets them.
    let ways = [&["--mount"][..], &["--mount", "--map-root-user"]];
    let Some(options) = ways.into_iter().find(|options| {
        let tried = mounted("true", options).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    }) else {
        return skip("no file system can be mounted: `unshare --mount` or `mount` is not allowed");
    };
    let output = mounted("exec \"$@\"", options)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(DISK, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn disk() -> Option<PathBuf> {
    std::env::var_os(DISK).map(PathBuf::from)
}

fn assert_refused<T>(result: Result<T>, label: &str) {
    let error = result.map(drop).unwrap_err();
    assert_eq!(error.label(), label, "{error}");
    assert!(error.to_string().contains("could not be "), "{error}");
}

async fn reopened(path: &Path) -> ObjectStoreRegistry {
    ObjectStoreRegistry::local(path).await.unwrap()
}

#[test]
fn a_full_disk_harms_nothing() {
    on_a_disk_of_its_own("full");
}

/// Not a test by itself: the process with the small disk.
#[tokio::test]
async fn full() {
    let Some(disk) = disk() else { return };
    let (path, ballast) = (disk.join("registry"), disk.join("ballast"));
    let registry = reopened(&path).await;
    let id = registry.register(next("fraud").with_artifact("w", &b"w"[..])).await.unwrap().id;
    std::fs::write(&ballast, vec![0; BALLAST]).unwrap();

    let large = vec![7; LARGE];
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &large).unwrap();
    let of_file = || next("fraud").with_artifact("large", Content::file(file.path()));
    assert_refused(registry.register(of_file()).await, "unavailable");
    assert_refused(
        registry.register(next("fraud").with_artifact("large", large.clone())).await,
        "unavailable",
    );
    assert_eq!(registry.versions(&name("fraud")).await.unwrap().len(), 1);

    // Until nothing at all can be written any more.
    let (mut registered, mut tagged, mut full) = (1, 0_u32, 0);
    while full < 3 {
        let small = next("fraud").with_artifact("w", vec![registered as u8; 200_000]);
        match registry.register(small).await {
            Ok(_) => registered += 1,
            refused => {
                assert_refused(refused, "unavailable");
                match registry
                    .tag(Tagging::set(id.clone(), "n", tagged.to_string() + &"x".repeat(4000)))
                    .await
                {
                    Ok(_) => tagged += 1,
                    refused => {
                        assert_refused(refused, "unavailable");
                        full += 1;
                    }
                }
            }
        }
    }
    assert!(registered > 5, "{registered}");
    let checkpoint = registry.checkpoint().await;
    assert!(checkpoint.is_ok() || matches!(checkpoint, Err(Error::Unavailable { .. })), "{checkpoint:?}");
    let before = everything(&registry).await;
    assert_eq!(everything(&reopened(&path).await).await, before);
    assert_eq!(registry.verify().await.unwrap().faults, []);
    for version in registry.versions(&name("fraud")).await.unwrap() {
        registry.fetch(&version, "w").await.unwrap();
    }

    std::fs::remove_file(&ballast).unwrap();
    registry.register(of_file()).await.unwrap();
    registry.checkpoint().await.unwrap();
    let reopened = reopened(&path).await;
    assert_eq!(reopened.versions(&name("fraud")).await.unwrap().len(), registered + 1);
    assert_eq!(reopened.verify().await.unwrap().faults, []);
    reopened.delete(Deletion::new(id)).await.unwrap();
    assert!(!reopened.collect_garbage(at_once()).await.unwrap().files.is_empty());
    let latest = reopened.resolve(&name("fraud"), &select("latest")).await.unwrap();
    assert!(reopened.fetch(&latest, "large").await.unwrap() == large);
}

#[test]
fn a_disk_that_cannot_be_written_to_can_be_read() {
    on_a_disk_of_its_own("read_only");
}

/// Not a test by itself: the process with the disk.
#[tokio::test]
async fn read_only() {
    let Some(disk) = disk() else { return };
    let path = disk.join("registry");
    let remount = |how: &str| {
        let status =
            Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&disk).status().unwrap();
        assert!(status.success());
    };
    let registry = reopened(&path).await;
    let id = registry.register(next("fraud").with_artifact("w", &b"w"[..])).await.unwrap().id;
    let garbage = registry.register(next("fraud").with_artifact("w", &b"garbage"[..])).await.unwrap().id;
    registry.delete(Deletion::new(garbage)).await.unwrap();

    remount("ro");
    let before = everything(&registry).await;
    let reader = reopened(&path).await;
    for registry in [&registry, &reader] {
        assert_eq!(everything(registry).await, before);
        let version = registry.resolve(&name("fraud"), &select("latest")).await.unwrap();
        assert_eq!(registry.fetch(&version, "w").await.unwrap(), &b"w"[..]);
        assert_eq!(registry.verify().await.unwrap().faults, []);
        let change = AliasMove::new(name("fraud"), champion(), id.version.clone());
        assert_refused(registry.move_alias(change).await, "permission_denied");
        assert_refused(
            registry.register(next("fraud").with_artifact("w", &b"new"[..])).await,
            "permission_denied",
        );
        let large = next("fraud").with_artifact("w", vec![0; LARGE]);
        assert_refused(registry.register(large).await, "permission_denied");
        assert_refused(registry.checkpoint().await, "permission_denied");
        assert_refused(registry.collect_garbage(at_once()).await, "permission_denied");
        assert_eq!(registry.collect_garbage(at_once().dry_run()).await.unwrap().bytes(), 7);
    }
    let error = ObjectStoreRegistry::local(disk.join("other")).await.unwrap_err();
    assert_eq!(error.label(), "permission_denied", "{error}");

    remount("rw");
    for registry in [&registry, &reader] {
        registry.tag(Tagging::set(id.clone(), "written", "again")).await.unwrap();
        registry.checkpoint().await.unwrap();
    }
    assert_eq!(reader.collect_garbage(at_once()).await.unwrap().bytes(), 7);
    assert_eq!(reopened(&path).await.verify().await.unwrap().faults, []);
}
