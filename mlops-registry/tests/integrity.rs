//! Whatever happens to the files behind the registry's back, it is noticed, and the file is named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{champion, name, new, select};
use mlops_core::{AliasMove, Error, Registry, Result, Tagging};
use mlops_registry::ObjectStoreRegistry;
use tempfile::TempDir;

/// A folder whose log has four transitions.
async fn filled() -> (TempDir, ObjectStoreRegistry) {
    let folder = tempfile::tempdir().unwrap();
    let registry = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    let first = new("fraud", "1.0.0").with_artifact("weights", &b"the weights"[..]).with_metric("auc", 0.9);
    let id = registry.register(first).await.unwrap().id;
    registry.register(new("fraud", "2.0.0")).await.unwrap();
    registry.move_alias(AliasMove::new(name("fraud"), champion(), id.version.clone())).await.unwrap();
    registry.tag(Tagging::set(id, "gate", "passed")).await.unwrap();
    (folder, registry)
}

fn transition(folder: &TempDir, sequence: u64) -> PathBuf {
    folder.path().join(format!("log/{:020}/{sequence:020}.json", sequence / 1000 * 1000))
}

fn blob(folder: &TempDir) -> PathBuf {
    let mut path = folder.path().join("blobs/sha256");
    while path.is_dir() {
        path = fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
    }
    path
}

async fn reopened(folder: &TempDir) -> Result<ObjectStoreRegistry> {
    ObjectStoreRegistry::local(folder.path()).await
}

fn assert_harmed(error: &Error, file: &Path) {
    assert!(matches!(error, Error::Integrity { .. } | Error::Unsupported { .. }), "{error}");
    let file = file.file_name().unwrap().to_str().unwrap();
    assert!(error.to_string().contains(file), "{file}: {error}");
}

#[tokio::test]
async fn a_harmed_blob_is_never_returned() {
    let (folder, registry) = filled().await;
    let version = registry.resolve(&name("fraud"), &select("1.0.0")).await.unwrap();
    let (file, bytes) = (blob(&folder), b"the weights");
    let mut harmed = vec![bytes[..5].to_vec(), [&bytes[..], b"!"].concat(), Vec::new()];
    harmed.extend((0..bytes.len()).map(|at| {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 0x10;
        flipped
    }));
    for harmed in harmed {
        fs::write(&file, &harmed).unwrap();
        let error = registry.fetch(&version, "weights").await.unwrap_err();
        assert_eq!(error.label(), "integrity", "{error}");
        assert!(
            error.to_string().contains("the artifact `weights` of fraud 1.0.0, in blobs/sha256/"),
            "{error}"
        );
    }
    fs::remove_file(&file).unwrap();
    let error = registry.fetch(&version, "weights").await.unwrap_err();
    assert_eq!(error.label(), "integrity", "a missing blob of a registered version: {error}");

    let elsewhere = ObjectStoreRegistry::in_memory();
    let error = elsewhere.fetch(&version, "weights").await.unwrap_err();
    assert_eq!(error.label(), "not_found", "a version that was never registered: {error}");
}

#[tokio::test]
async fn registering_the_same_bytes_again_heals_a_harmed_blob() {
    for harm in [&b"the weightz"[..], b"the", b""] {
        let (folder, registry) = filled().await;
        fs::write(blob(&folder), harm).unwrap();
        let again = new("fraud", "3.0.0").with_artifact("copy", &b"the weights"[..]);
        let version = registry.register(again).await.unwrap();
        assert_eq!(registry.fetch(&version, "copy").await.unwrap(), &b"the weights"[..]);
    }
}

#[tokio::test]
async fn the_same_bytes_are_stored_once() {
    let (folder, registry) = filled().await;
    let written = || fs::metadata(blob(&folder)).unwrap().modified().unwrap();
    let before = written();
    for version in ["3.0.0", "4.0.0"] {
        registry.register(new("fraud", version).with_artifact("copy", &b"the weights"[..])).await.unwrap();
    }
    assert_eq!(written(), before, "what is there is not written again");
    assert_eq!(fs::read_dir(folder.path().join("blobs/sha256")).unwrap().count(), 1);
}

#[tokio::test]
async fn every_changed_byte_of_a_transition_is_noticed() {
    let (folder, _registry) = filled().await;
    for sequence in [1, 4] {
        let file = transition(&folder, sequence);
        let bytes = fs::read(&file).unwrap();
        for at in 0..bytes.len() {
            let mut harmed = bytes.clone();
            harmed[at] ^= 1;
            fs::write(&file, &harmed).unwrap();
            assert_harmed(&reopened(&folder).await.unwrap_err(), &file);
        }
        fs::write(&file, &bytes).unwrap();
    }
    reopened(&folder).await.unwrap();
}

#[tokio::test]
async fn a_truncated_or_foreign_transition_is_noticed() {
    let (folder, _registry) = filled().await;
    let file = transition(&folder, 4);
    let bytes = fs::read(&file).unwrap();
    let mut harmed: Vec<Vec<u8>> = (0..bytes.len()).map(|length| bytes[..length].to_vec()).collect();
    harmed.push(fs::read(transition(&folder, 3)).unwrap());
    harmed.push(b"\xff\xfe garbage \0".to_vec());
    harmed.push(b"{}".to_vec());
    harmed.push(vec![b' '; 5 << 20]);
    for harmed in harmed {
        fs::write(&file, &harmed).unwrap();
        assert_harmed(&reopened(&folder).await.unwrap_err(), &file);
    }
}

#[tokio::test]
async fn a_gap_in_the_log_is_noticed() {
    for missing in 1..=3 {
        let (folder, _registry) = filled().await;
        let file = transition(&folder, missing);
        fs::remove_file(&file).unwrap();
        let error = reopened(&folder).await.unwrap_err();
        assert_harmed(&error, &file);
        assert!(error.to_string().contains("is missing, though"), "{error}");
    }
}

#[tokio::test]
async fn a_rewritten_past_is_noticed() {
    // The same transitions in another registry are as good by themselves, but do not fit this one.
    let ((folder, _), (other, _)) = (filled().await, filled().await);
    for sequence in [1, 2, 4] {
        let file = transition(&folder, sequence);
        let own = fs::read(&file).unwrap();
        fs::copy(transition(&other, sequence), &file).unwrap();
        let error = reopened(&folder).await.unwrap_err();
        let noticed = if sequence == 4 { 4 } else { sequence.max(1) + u64::from(sequence == 1) };
        assert_harmed(&error, &transition(&folder, noticed));
        assert!(error.to_string().contains("does not follow the transition before it"), "{error}");
        fs::write(&file, own).unwrap();
    }
}

#[tokio::test]
async fn a_log_whose_end_was_cut_off_is_noticed_by_whoever_knew_it() {
    let (folder, registry) = filled().await;
    fs::remove_file(transition(&folder, 4)).unwrap();
    let forgetful = reopened(&folder).await.unwrap();
    for version in ["3.0.0", "4.0.0"] {
        forgetful.register(new("fraud", version)).await.unwrap();
    }
    assert_harmed(&registry.models().await.unwrap_err(), &transition(&folder, 5));
}

#[tokio::test]
async fn harm_is_noticed_by_a_registry_that_is_open_and_ends_when_it_is_repaired() {
    let (folder, registry) = filled().await;
    let other = reopened(&folder).await.unwrap();
    other.register(new("fraud", "3.0.0")).await.unwrap();
    let file = transition(&folder, 5);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    assert_harmed(&registry.models().await.unwrap_err(), &file);
    assert_harmed(&registry.register(new("fraud", "4.0.0")).await.unwrap_err(), &file);
    fs::write(&file, &bytes).unwrap();
    registry.register(new("fraud", "4.0.0")).await.unwrap();
    assert_eq!(registry.versions(&name("fraud")).await.unwrap().len(), 4);
}

#[tokio::test]
async fn foreign_files_do_no_harm() {
    let (folder, registry) = filled().await;
    for stray in [".DS_Store", "7.json", "00000000000000000009.json.bak", "00000000000000000005.json#1"] {
        fs::write(folder.path().join("log").join(stray), b"stray").unwrap();
        fs::write(transition(&folder, 1).with_file_name(stray), b"stray").unwrap();
    }
    fs::create_dir(transition(&folder, 5000).parent().unwrap()).unwrap();
    let reopened = reopened(&folder).await.unwrap();
    reopened.register(new("fraud", "3.0.0")).await.unwrap();
    assert_eq!(registry.versions(&name("fraud")).await.unwrap().len(), 3);
    let far = transition(&folder, u64::MAX);
    fs::create_dir(far.parent().unwrap()).unwrap();
    fs::write(far, b"stray").unwrap();
    let error = ObjectStoreRegistry::local(folder.path()).await.unwrap_err();
    assert_harmed(&error, &transition(&folder, 6));
}

#[tokio::test]
async fn what_is_in_the_way_is_an_error_and_no_endless_loop() {
    let (folder, registry) = filled().await;
    fs::create_dir(transition(&folder, 5)).unwrap();
    let error = registry.register(new("fraud", "3.0.0")).await.unwrap_err();
    assert_harmed(&error, &transition(&folder, 5));

    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = ObjectStoreRegistry::local(path).await.unwrap_err();
        assert_eq!(error.label(), "invalid_input", "{error}");
    }
}

/// A registry that is too harmed to be opened is verified all the same.
#[tokio::test]
async fn what_cannot_be_opened_is_verified_all_the_same() {
    let (folder, registry) = filled().await;
    let url = format!("file://{}", folder.path().display());
    let found = ObjectStoreRegistry::verify_url(&url, |_| {}).await.unwrap();
    assert!(found.is_clean(), "{:?}", found.faults);
    assert_eq!((found.transitions, found.head), (4, registry.head().await.unwrap().1));

    let missing = transition(&folder, 3);
    fs::remove_file(&missing).unwrap();
    fs::write(blob(&folder), b"x").unwrap();
    reopened(&folder).await.unwrap_err();
    let found = ObjectStoreRegistry::verify_url(&url, |_| {}).await.unwrap();
    assert_eq!((found.faults.len(), found.head), (2, None), "{:?}", found.faults);
    assert!(found.faults.iter().any(|fault| missing.ends_with(&fault.file)), "{:?}", found.faults);
    let nowhere = folder.path().join("nowhere");
    let error = ObjectStoreRegistry::verify_url(nowhere.to_str().unwrap(), |_| {}).await.unwrap_err();
    assert_eq!(error.label(), "not_found", "{error}");
    assert!(!nowhere.exists());
}
