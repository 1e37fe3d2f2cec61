//! Archives that were made to do harm, or came to harm: nothing of them is registered, and nothing panics.

use std::fs;
use std::path::Path;

use mlops_core::{Error, Registry};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::transfer::{self, Import};
use proptest::prelude::*;
use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::package::{Files, blob_name, everything, resolve, version_layer};

async fn layout() -> Files {
    let registry = ObjectStoreRegistry::in_memory();
    let id = registry.register(everything()).await.unwrap().id;
    Files::exported(&registry, &[id]).await
}

/// The error of an import, after which nothing is registered.
async fn refused(archive: &[u8]) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("models.tar");
    fs::write(&file, archive).unwrap();
    let to = ObjectStoreRegistry::in_memory();
    let error = transfer::import_file(&to, &file, &Import::new()).await.unwrap_err();
    assert!(to.models().await.unwrap().is_empty(), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is unpacked");
    error
}

fn assert_told(error: &Error, label: &str, told: &str) {
    assert!(error.label() == label && error.to_string().contains(told), "expected {label}, {told}: {error}");
}

/// An entry of any kind, before those of the layout.
fn entry(path: &str, kind: EntryType, content: &[u8], edit: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(content.len() as u64);
    header.set_entry_type(kind);
    edit(&mut header);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

async fn refused_entry(entry: Vec<u8>) -> Error {
    refused(&[entry, layout().await.packed()].concat()).await
}

#[tokio::test]
async fn names_that_lead_elsewhere() {
    for path in
        ["../x", "/etc/passwd", "blobs/../../x", "a//b", "./../x", "a\\..\\b", "..", "", "a/", "x\u{7}y"]
    {
        let error = refused_entry(entry(path, EntryType::Regular, b"x", |_| {})).await;
        assert_told(&error, "invalid_input", "whose name may lead elsewhere");
    }
    let error = refused_entry(entry("../up/", EntryType::Directory, b"", |_| {})).await;
    assert_told(&error, "invalid_input", "whose name may lead elsewhere");
    let error =
        refused_entry(entry("x", EntryType::Regular, b"", |header| header.as_old_mut().name[0] = 0xff)).await;
    assert_told(&error, "invalid_input", "whose name may lead elsewhere");
}

#[tokio::test]
async fn links_devices_and_what_else_is_no_file() {
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Continuous,
        EntryType::GNUSparse,
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::new(b'Z'),
    ] {
        let error = refused_entry(entry("index.json", kind, b"", |header| {
            header.set_link_name_literal("/etc/passwd").unwrap();
        }))
        .await;
        assert_told(&error, "invalid_input", "is no plain file");
    }
}

#[tokio::test]
async fn two_files_of_one_name() {
    for path in ["index.json", "./index.json", "././oci-layout"] {
        let error = refused_entry(entry(path, EntryType::Regular, b"{}", |_| {})).await;
        assert_told(&error, "invalid_input", "has two files");
    }
}

#[tokio::test]
async fn sizes_that_are_not_there() {
    for size in [513, 1 << 40, u64::MAX / 2, u64::MAX - 511, u64::MAX] {
        let error = refused_entry(entry("bomb", EntryType::Regular, b"", |header| {
            header.set_size(size.max(1 << 30));
        }))
        .await;
        assert_told(&error, "integrity", "is truncated");
    }
    let error = refused_entry(entry("x", EntryType::Regular, b"", |header| {
        header.as_old_mut().size = *b"not a number";
    }))
    .await;
    assert_told(&error, "invalid_input", "without a size");
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        length = rest.len() + length.to_string().len();
        length = rest.len() + length.to_string().len();
        content.extend_from_slice(format!("{length}{rest}").as_bytes());
    }
    content
}

#[tokio::test]
async fn extended_headers() {
    let cases: [(EntryType, Vec<u8>, &str); 8] = [
        (EntryType::XHeader, pax(&[("path", "../../x")]), "lead elsewhere"),
        (EntryType::XHeader, pax(&[("size", "18446744073709551615")]), "truncated"),
        (EntryType::XHeader, pax(&[("size", "many")]), "a size that is no number"),
        (EntryType::XHeader, pax(&[("GNU.sparse.major", "1")]), "sparse"),
        (EntryType::XHeader, b"99999999999 what=ever\n".to_vec(), "malformed extended header"),
        (EntryType::XHeader, vec![b'7'; 1 << 17], "extended header of more than"),
        (EntryType::XGlobalHeader, pax(&[("path", "index.json")]), "one name or size"),
        (EntryType::XGlobalHeader, pax(&[("size", "0")]), "one name or size"),
    ];
    for (kind, content, told) in cases {
        let mut archive = entry("pax", kind, &content, |_| {});
        archive.extend(entry("file", EntryType::Regular, b"", |_| {}));
        let error = refused_entry(archive).await;
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
}

#[tokio::test]
async fn harmless_extended_headers_are_no_fault() {
    let harmless = pax(&[("mtime", "1.5"), ("SCHILY.xattr.user.x", "y"), ("comment", "hi")]);
    let mut archive = entry("pax", EntryType::XGlobalHeader, &harmless, |_| {});
    archive.extend(entry("blobs/", EntryType::Directory, b"", |_| {}));
    archive.extend(entry("./", EntryType::Directory, b"", |_| {}));
    archive.extend(entry(
        "pax",
        EntryType::XHeader,
        &pax(&[("path", "manifest.json"), ("size", "3")]),
        |_| {},
    ));
    archive.extend(entry("cut", EntryType::Regular, b"[ ]", |header| header.set_size(0)));
    archive.extend(layout().await.packed());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("models.tar");
    fs::write(&file, archive).unwrap();
    let to = ObjectStoreRegistry::in_memory();
    transfer::import_file(&to, &file, &Import::new()).await.unwrap();
}

#[tokio::test]
async fn too_many_entries() {
    let mut archive = Vec::new();
    for _ in 0..100_001 {
        archive.extend(entry("d/", EntryType::Directory, b"", |_| {}));
    }
    assert_told(&refused(&archive).await, "invalid_input", "has more than 100000 entries");
}

#[tokio::test]
async fn what_is_no_archive() {
    let packed = layout().await.packed();
    assert_told(&refused(b"").await, "integrity", "truncated");
    assert_told(&refused(&[b'x'; 4096]).await, "integrity", "is no tar archive");
    assert_told(&refused(&[0; 4096]).await, "invalid_input", "is no OCI image layout");
    for (magic, program) in [(&b"\x1f\x8b\x08"[..], "gzip -d"), (b"\x28\xb5\x2f\xfd", "zstd -d")] {
        assert_told(&refused(&[magic, &packed[..]].concat()).await, "invalid_input", program);
    }
}

#[tokio::test]
async fn documents_that_are_too_large_or_too_deep() {
    let deep = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    for name in ["index.json", "oci-layout"] {
        let mut files = layout().await;
        files.0.insert(name.to_owned(), vec![b' '; (16 << 20) + 1]);
        assert_told(&refused(&files.packed()).await, "invalid_input", "at most 16777216 are allowed");
        let nested = [br#"{"schemaVersion":2,"manifests":"#, &deep(1 << 20)[..], b"}"].concat();
        files.0.insert(name.to_owned(), nested);
        assert_told(&refused(&files.packed()).await, "invalid_input", "is not what it should be");
    }
    let mut files = layout().await;
    files.edit_manifest(|files, manifest| {
        let layer = version_layer(manifest);
        let fresh = files.add_blob("", &[br#"{"format":1,"x":"#, &deep(1 << 20)[..], b"}"].concat());
        (layer["digest"], layer["size"]) = (fresh["digest"].clone(), fresh["size"].clone());
    });
    assert_told(&refused(&files.packed()).await, "invalid_input", "describes no version");

    // Many documents, each of them allowed.
    let mut files = layout().await;
    let image =
        json!({ "schemaVersion": 2, "config": { "mediaType": "", "digest": "", "size": 0 }, "layers": null });
    let mut index = files.json("index.json");
    for count in 0..15 {
        let padded = format!("{image}{}", " ".repeat((16 << 20) - 200 - count));
        let descriptor = files.add_blob("application/vnd.oci.image.manifest.v1+json", padded.as_bytes());
        index["manifests"].as_array_mut().unwrap().push(descriptor);
    }
    files.set_json("index.json", &index);
    import_into(&ObjectStoreRegistry::in_memory(), &files.packed()).await.unwrap();
    let last = files.add_blob(
        "application/vnd.oci.image.manifest.v1+json",
        format!("{image} {}", " ".repeat((16 << 20) - 200)).as_bytes(),
    );
    index["manifests"].as_array_mut().unwrap().push(last);
    files.set_json("index.json", &index);
    assert_told(&refused(&files.packed()).await, "invalid_input", "more than 268435456 bytes together");
}

#[tokio::test]
async fn one_version_with_two_contents() {
    let mut files = layout().await;
    let first = files.json("index.json")["manifests"][0].clone();
    files.edit_document(|document| document["version"]["description"] = "other".into());
    let second = files.json("index.json")["manifests"][0].clone();
    files.set_json("index.json", &json!({ "schemaVersion": 2, "manifests": [first, second] }));
    assert_told(&refused(&files.packed()).await, "conflict", "has fraud 1.0.0 twice");
}

async fn import_into(to: &ObjectStoreRegistry, archive: &[u8]) -> mlops_core::Result<Vec<transfer::Arrival>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("models.tar");
    fs::write(&file, archive).unwrap();
    transfer::import_file(to, &file, &Import::new()).await
}

#[tokio::test]
async fn documents_with_the_wrong_things_in_them() {
    type Edit = fn(&mut Value);
    let documents: [(Edit, &str, &str); 11] = [
        (|document| document["format"] = 2.into(), "unsupported", "format 2"),
        (|document| document["more"] = 1.into(), "invalid_input", "describes no version"),
        (|document| document["model"] = "../x".into(), "invalid_input", "describes no version"),
        (|document| document["version"]["version"] = "one".into(), "invalid_input", "describes no version"),
        (
            |document| {
                let artifacts = &mut document["version"]["artifacts"];
                artifacts["../../evil"] = artifacts["empty"].clone();
            },
            "invalid_input",
            "the name `../../evil` of an artifact is refused",
        ),
        (
            |document| {
                document["version"]["artifacts"]["empty"]["digest"] =
                    format!("sha256:{}", "0".repeat(64)).into();
            },
            "integrity",
            "is no layer of the manifest",
        ),
        (|document| document["version"]["artifacts"]["empty"]["size"] = 1.into(), "integrity", "is no layer"),
        (
            |document| document["version"]["metrics"]["auc"] = "high".into(),
            "invalid_input",
            "describes no version",
        ),
        (|document| document["version"]["signature"] = Value::Null, "invalid_input", "describes no version"),
        (
            |document| document["registered_by"] = "x".repeat(251).into(),
            "invalid_input",
            "the actor has 251 bytes",
        ),
        (
            |document| {
                let at = "2026-01-01T00:00:00Z";
                let report =
                    json!({ "name": "", "passed": null, "metrics": {}, "summary": "", "at": at, "by": "" });
                document["reports"] = json!([report]);
            },
            "invalid_input",
            "the name of a report is empty",
        ),
    ];
    for (edit, label, told) in documents {
        let mut files = layout().await;
        files.edit_document(edit);
        assert_told(&refused(&files.packed()).await, label, told);
    }
    let manifests: [(Edit, &str, &str); 7] = [
        (|manifest| manifest["layers"] = json!([]), "invalid_input", "packed by another program"),
        (|manifest| manifest["layers"] = json!({}), "invalid_input", "is not what it should be"),
        (
            |manifest| manifest["layers"][0]["digest"] = "sha512:00".into(),
            "unsupported",
            "other than sha256; there is one by `sha512`",
        ),
        (
            |manifest| manifest["layers"][0]["digest"] = "sha256:../../x".into(),
            "invalid_input",
            "is no digest",
        ),
        (|manifest| version_layer(manifest)["size"] = 3.into(), "integrity", "instead of 3"),
        (
            |manifest| version_layer(manifest)["size"] = (-3).into(),
            "invalid_input",
            "is not what it should be",
        ),
        (
            |manifest| {
                manifest["artifactType"] = "application/x".into();
                manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
            },
            "not_found",
            "has no ModelPack model",
        ),
    ];
    for (edit, label, told) in manifests {
        let mut files = layout().await;
        files.edit_manifest(|_, manifest| edit(manifest));
        assert_told(&refused(&files.packed()).await, label, told);
    }
    let mut files = layout().await;
    files.set_json("oci-layout", &json!({ "imageLayoutVersion": "2.0.0" }));
    assert_told(&refused(&files.packed()).await, "unsupported", "a layout of version \"2.0.0\"");
}

#[tokio::test]
async fn a_missing_or_a_wrong_blob_is_found_before_anything_is_registered() {
    let registry = ObjectStoreRegistry::in_memory();
    let first = registry.register(everything()).await.unwrap();
    let second = crate::common::new("fraud", "2.0.0").with_artifact("last", &b"the last one"[..]);
    let second = registry.register(second).await.unwrap();
    let files = Files::exported(&registry, &[first.id, second.id]).await;
    for name in files.0.keys() {
        let mut incomplete = files.clone();
        incomplete.0.remove(name);
        let read = !is_card(&files, name);
        let told = import_into(&ObjectStoreRegistry::in_memory(), &incomplete.packed()).await;
        assert_eq!(told.is_err(), read, "{name}");
        if read {
            refused(&incomplete.packed()).await;
        }
        let size = files.0[name].len();
        for at in [0, size / 2, size.saturating_sub(1)].into_iter().filter(|at| *at < size) {
            let mut harmed = files.clone();
            harmed.0.get_mut(name).unwrap()[at] ^= 1;
            if read && name.starts_with("blobs/") {
                assert_eq!(refused(&harmed.packed()).await.label(), "integrity", "{name} at {at}");
            }
        }
    }
}

/// Model cards and configurations are for others: an import does not read them.
fn is_card(files: &Files, name: &str) -> bool {
    let bytes = &files.0[name];
    bytes.starts_with(b"# fraud") || bytes.starts_with(br#"{"descriptor""#)
}

#[tokio::test]
async fn an_archive_that_was_cut_off_is_refused_wherever_it_was() {
    let packed = layout().await.packed();
    // The last block may be missing, but not the one before it.
    for length in (0..packed.len() - 512).step_by(97).chain([packed.len() - 1024, packed.len() - 513]) {
        let error = refused(&packed[..length]).await;
        assert_told(&error, "integrity", "truncated");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn links_and_pipes_in_a_folder() {
    let files = layout().await;
    for name in ["index.json", "oci-layout", &blob_name(&files.manifest()["layers"][2])] {
        let folder = tempfile::tempdir().unwrap();
        let (layout, outside) = (folder.path().join("layout"), folder.path().join("outside"));
        files.write_to(&layout);
        fs::rename(layout.join(name), &outside).unwrap();
        std::os::unix::fs::symlink(&outside, layout.join(name)).unwrap();
        assert_told(&refused_folder(&layout).await, "invalid_input", "is not a plain file");
        fs::remove_file(layout.join(name)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(layout.join(name)).status().unwrap();
        assert!(made.success());
        assert_told(&refused_folder(&layout).await, "invalid_input", "is not a plain file");
    }
}

async fn refused_folder(layout: &Path) -> Error {
    let to = ObjectStoreRegistry::in_memory();
    let error = transfer::import_layout(&to, layout, &Import::new()).await.unwrap_err();
    assert!(to.models().await.unwrap().is_empty());
    error
}

/// What comes of a harmed archive: an error and nothing registered, or the version as it was.
async fn import_harmed(harmed: &[u8]) {
    let to = ObjectStoreRegistry::in_memory();
    match import_into(&to, harmed).await {
        Err(error) => {
            assert!(to.models().await.unwrap().is_empty(), "{error}");
            let label = error.label();
            assert!(["integrity", "invalid_input", "unsupported", "not_found"].contains(&label), "{error}");
        }
        Ok(arrivals) => {
            let original = ObjectStoreRegistry::in_memory();
            let sent = original.register(everything()).await.unwrap();
            assert_eq!(arrivals.len(), 1);
            let found = resolve(&to, &sent.id).await;
            assert_eq!((&found.artifacts, &found.metrics), (&sent.artifacts, &sent.metrics));
            assert_eq!((&found.description, &found.lineage), (&sent.description, &sent.lineage));
            for name in sent.artifacts.keys() {
                to.fetch(&found, name).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_never_makes_another_version() {
    let packed = layout().await.packed();
    for at in (0..packed.len()).step_by(11) {
        let mut harmed = packed.clone();
        harmed[at] ^= 1 << (at % 8);
        import_harmed(&harmed).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_an_archive_never_makes_another_version(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..1500, any::<Vec<u8>>()), 1..5),
        any_bytes in prop::bool::weighted(0.1),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut archive = if any_bytes { vec![0; 2048] } else { layout().await.packed() };
            for (at, length, bytes) in cuts {
                let at = at.index(archive.len().max(1)).min(archive.len());
                let end = (at + length).min(archive.len());
                archive.splice(at..end, bytes);
            }
            import_harmed(&archive).await;
        });
    }
}
