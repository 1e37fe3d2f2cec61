//! The registry keeps the contract of the trait, wherever it is kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::Cell;
use std::sync::Arc;

use mlops_core::conformance::registry::check;
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::reexports::object_store::memory::InMemory;

#[tokio::test]
async fn in_memory() {
    check(async || ObjectStoreRegistry::in_memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder() {
    let (folder, count) = (tempfile::tempdir().unwrap(), Cell::new(0));
    check(async || {
        count.set(count.get() + 1);
        ObjectStoreRegistry::local(folder.path().join(count.get().to_string())).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn under_prefixes_of_one_store() {
    let (store, count) = (Arc::new(InMemory::new()), Cell::new(0));
    check(async || {
        count.set(count.get() + 1);
        ObjectStoreRegistry::open(store.clone(), format!("a team/{}", count.get())).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn behind_a_pointer() {
    check(async || Arc::new(ObjectStoreRegistry::in_memory())).await;
}
