//! From registry to registry, and out of one into a file.

use std::fs;
use std::sync::Arc;

use mlops_core::{
    Artifact, ByteStream, Content, Deletion, Deprecation, Digest, Error, NewReport, Registry, Tagging,
};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::reexports::object_store::path::Path;
use mlops_registry::transfer::{self, Copying};

use crate::common::faulty::{Fault, Faulty};
use crate::common::{champion, name, new, next, signature, v};
use crate::package::{assert_arrived, everything, resolve, sender};

fn alice() -> Copying {
    Copying::by("alice")
}

#[tokio::test]
async fn a_copy_holds_everything_that_makes_a_version() {
    let (from, version) = sender().await;
    let folder = tempfile::tempdir().unwrap();
    let to = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    let arrival = transfer::copy(&from, &to, &version.id, &alice()).await.unwrap();
    assert!(!arrival.was_there);
    assert_eq!(arrival.version, resolve(&to, &version.id).await);
    assert_arrived(&version, &from, &to).await;
}

#[tokio::test]
async fn registries_behind_pointers_copy_as_well() {
    let (from, version) = sender().await;
    let from: Arc<dyn Registry> = Arc::new(from);
    let to: Box<dyn Registry> = Box::new(ObjectStoreRegistry::in_memory());
    transfer::copy(&from, &*to, &version.id, &alice()).await.unwrap();
    assert_arrived(&version, &from, &to).await;
}

#[tokio::test]
async fn copying_again_brings_what_is_new_and_nothing_twice() {
    let (from, version) = sender().await;
    let (to, id) = (ObjectStoreRegistry::in_memory(), &version.id);
    transfer::copy(&from, &to, id, &alice()).await.unwrap();
    let events = to.history(&id.name).await.unwrap().len();
    assert!(transfer::copy(&from, &to, id, &alice()).await.unwrap().was_there);
    // And back: what came from there is known there.
    assert!(transfer::copy(&to, &from, id, &alice()).await.unwrap().was_there);
    assert_eq!(to.history(&id.name).await.unwrap().len(), events);
    assert_eq!(resolve(&from, id).await, version);

    from.report(NewReport::gate(id.clone(), "accuracy", false).by("gate")).await.unwrap();
    from.tag(Tagging::set(id.clone(), "team", "other")).await.unwrap();
    let again = transfer::copy(&from, &to, id, &alice()).await.unwrap();
    assert_eq!(again.version.reports.len(), 3);
    assert_eq!(to.history(&id.name).await.unwrap().len(), events + 1);
    assert_eq!(again.version.tags["team"], "risk", "tags are their registry's own once the version is there");
}

#[tokio::test]
async fn a_copy_of_a_copy_still_says_who_reported() {
    let (first, version) = sender().await;
    let (second, third) = (ObjectStoreRegistry::in_memory(), ObjectStoreRegistry::in_memory());
    transfer::copy(&first, &second, &version.id, &Copying::by("bob")).await.unwrap();
    transfer::copy(&second, &third, &version.id, &alice()).await.unwrap();
    assert_arrived(&version, &first, &third).await;
}

#[tokio::test]
async fn another_version_of_that_number_is_a_conflict_that_says_what_differs() {
    let (from, version) = sender().await;
    let others = [
        (everything().with_artifact("model.onnx", &b"other"[..]), "artifacts"),
        (everything().with_metric("auc", 0.5), "metrics"),
        (everything().with_parameter("depth", 7), "parameters"),
        (everything().with_description("other"), "description"),
        (everything().with_lineage(Default::default()), "lineage"),
        (
            new("fraud", "1.0.0").with_metric("auc", 0.5),
            "artifacts, metrics, parameters, description, lineage",
        ),
    ];
    for (other, differs) in others {
        let to = ObjectStoreRegistry::in_memory();
        to.register(other).await.unwrap();
        let error = transfer::copy(&from, &to, &version.id, &alice()).await.unwrap_err();
        assert_eq!(error.label(), "conflict", "{error}");
        assert!(error.to_string().contains(&format!("differs in {differs};")), "{error}");
    }
    let mut other = everything();
    other.signature = signature(11);
    let to = ObjectStoreRegistry::in_memory();
    to.register(other).await.unwrap();
    let error = transfer::copy(&from, &to, &version.id, &alice()).await.unwrap_err();
    assert!(error.to_string().contains("differs in signature;"), "{error}");

    // Who registered it and its tags do not make another version.
    let to = ObjectStoreRegistry::in_memory();
    to.register(everything().with_tag("more", "tags").by("carol")).await.unwrap();
    assert!(transfer::copy(&from, &to, &version.id, &alice()).await.unwrap().was_there);
}

#[tokio::test]
async fn what_the_other_registry_refuses_is_its_error() {
    let (from, version) = sender().await;
    let to = ObjectStoreRegistry::in_memory();
    to.register(everything()).await.unwrap();
    to.delete(Deletion::new(version.id.clone())).await.unwrap();
    let error = transfer::copy(&from, &to, &version.id, &alice()).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }) && error.to_string().contains("deleted"), "{error}");

    let unknown = mlops_core::ModelId::new(name("fraud"), v("9.0.0"));
    let error = transfer::copy(&from, &to, &unknown, &alice()).await.unwrap_err();
    assert_eq!(error.label(), "not_found", "{error}");
}

#[tokio::test]
async fn many_copies_at_once_make_one_version() {
    let (from, version) = sender().await;
    let to = ObjectStoreRegistry::in_memory();
    let copies = (0..8).map(|_| {
        let (from, to, id) = (from.clone(), to.clone(), version.id.clone());
        tokio::spawn(async move { transfer::copy(&from, &to, &id, &alice()).await.unwrap().was_there })
    });
    let mut fresh = 0;
    for copy in copies.collect::<Vec<_>>() {
        fresh += usize::from(!copy.await.unwrap());
    }
    assert_eq!(fresh, 1);
}

#[tokio::test]
async fn a_harmed_artifact_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let from = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    let id =
        from.register(new("fraud", "1.0.0").with_artifact("weights", &b"the weights"[..])).await.unwrap().id;
    let hex = Digest::of(b"the weights").hex();
    fs::write(folder.path().join(format!("blobs/sha256/{}/{hex}", &hex[..2])), b"the weightz").unwrap();
    let to = ObjectStoreRegistry::in_memory();
    let error = transfer::copy(&from, &to, &id, &alice()).await.unwrap_err();
    assert_eq!(error.label(), "integrity", "{error}");
    assert!(to.models().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_copy_that_was_cut_off_is_completed_by_the_next() {
    let (from, version) = sender().await;
    for fails in 1..12 {
        let store = Faulty::new(|_, _| Fault::None);
        let to = ObjectStoreRegistry::open(store.clone(), Path::default()).await.unwrap();
        let mut puts = 0;
        store.set(move |call, _| {
            puts += usize::from(call == "put");
            if call == "put" && puts == fails { Fault::Before } else { Fault::None }
        });
        let cut = transfer::copy(&from, &to, &version.id, &alice()).await;
        store.set(|_, _| Fault::None);
        transfer::copy(&from, &to, &version.id, &alice()).await.unwrap();
        assert_arrived(&version, &from, &to).await;
        assert!(cut.is_err() || fails > 7, "put {fails} was never made");
    }
}

/// Bytes that are made while they are read, of which no more than a piece is ever in memory.
fn large(size: u64) -> Content {
    const PIECE: u64 = 1 << 20;
    let open = move || -> ByteStream {
        let pieces = (0..size / PIECE).map(|piece| Ok(vec![piece as u8; PIECE as usize].into()));
        Box::pin(futures_util::stream::iter(pieces))
    };
    let mut digester = mlops_core::Digester::new();
    (0..size / PIECE).for_each(|piece| digester.update(&vec![piece as u8; PIECE as usize]));
    Content::streamed(Artifact { digest: digester.finish(), size }, open)
}

#[tokio::test]
async fn large_artifacts_go_piece_by_piece_on_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let from = ObjectStoreRegistry::local(path("from")).await.unwrap();
    let version = from.register(next("fraud").with_artifact("weights", large(40 << 20))).await.unwrap();
    let ids = std::slice::from_ref(&version.id);

    let copied = ObjectStoreRegistry::local(path("copied")).await.unwrap();
    transfer::copy(&from, &copied, &version.id, &alice()).await.unwrap();
    transfer::export_file(&copied, ids, path("model.tar")).await.unwrap();
    let imported = ObjectStoreRegistry::local(path("imported")).await.unwrap();
    transfer::import_file(&imported, path("model.tar"), &Default::default()).await.unwrap();
    transfer::export_layout(&imported, ids, path("layout")).await.unwrap();
    let last = ObjectStoreRegistry::local(path("last")).await.unwrap();
    transfer::import_layout(&last, path("layout"), &Default::default()).await.unwrap();

    let found = resolve(&last, &version.id).await;
    assert_eq!(found.artifacts, version.artifacts);
    transfer::download(&last, &found, "weights", path("weights")).await.unwrap();
    assert_eq!(Digest::of(&fs::read(path("weights")).unwrap()), version.artifacts["weights"].digest);
}

#[tokio::test]
async fn a_download_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let from = ObjectStoreRegistry::local(folder.path().join("registry")).await.unwrap();
    let version =
        from.register(new("fraud", "1.0.0").with_artifact("weights", &b"the weights"[..])).await.unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let file = out.join("weights.bin");
    transfer::download(&from, &version, "weights", &file).await.unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"the weights");

    let hex = Digest::of(b"the weights").hex();
    fs::write(folder.path().join(format!("registry/blobs/sha256/{}/{hex}", &hex[..2])), b"the weightz")
        .unwrap();
    let error = transfer::download(&from, &version, "weights", &file).await.unwrap_err();
    assert_eq!(error.label(), "integrity", "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"the weights", "what was there stays");
    let error = transfer::download(&from, &version, "weights", out.join("other")).await.unwrap_err();
    assert_eq!(error.label(), "integrity", "{error}");
    let error = transfer::download(&from, &version, "nothing", out.join("other")).await.unwrap_err();
    assert_eq!(error.label(), "not_found", "{error}");
    let error = transfer::download(&from, &version, "weights", out.join("no/folder")).await.unwrap_err();
    assert_eq!(error.label(), "not_found", "{error}");
    let error = transfer::download(&from, &version, "weights", &out).await.unwrap_err();
    assert_eq!(error.label(), "invalid_input", "{error}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "nothing else is left");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_warning_of_the_other_registry_stays() {
    let (from, version) = sender().await;
    let to = ObjectStoreRegistry::in_memory();
    to.register(everything()).await.unwrap();
    to.deprecate(Deprecation::new(version.id.clone(), "our own reason")).await.unwrap();
    let arrival = transfer::copy(&from, &to, &version.id, &alice()).await.unwrap();
    assert_eq!(arrival.version.deprecated.as_deref(), Some("our own reason"));
    assert!(to.resolve(&version.id.name, &mlops_core::Selector::Alias(champion())).await.is_err());
}
