//! The registry in a bucket, on a real S3 server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use common::crowd::{Crowd, PLACE};
use common::servers::S3Server;
use futures_util::future::join_all;
use mlops_core::conformance::registry::check;
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::cloud::Connector;
use mlops_registry::reexports::object_store::aws::{AmazonS3, AmazonS3Builder};
use mlops_registry::reexports::object_store::path::Path;
use mlops_registry::reexports::object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};

fn store(server: &S3Server) -> AmazonS3 {
    store_at(&server.endpoint())
}

fn store_at(endpoint: &str) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_bucket_name(S3Server::BUCKET)
        .with_region(S3Server::REGION)
        .with_access_key_id("anybody")
        .with_secret_access_key("anything")
        .with_allow_http(true)
        .with_http_connector(Connector)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    let Some(server) = S3Server::shared() else { return };
    let (store, count) = (Arc::new(store(server)), Cell::new(0));
    check(async || {
        count.set(count.get() + 1);
        ObjectStoreRegistry::open(store.clone(), format!("contract/{}", count.get())).await.unwrap()
    })
    .await;
}

/// What the log is built on. A server that lets the second one win as well would lose updates.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_create_an_object_one_wins() {
    let Some(server) = S3Server::shared() else { return };
    let store = store(server);
    for round in 0..20 {
        let path = Path::from(format!("created/{round}"));
        let creations = (0..50_u8).map(|writer| {
            let (store, path) = (store.clone(), path.clone());
            tokio::spawn(
                async move { store.put_opts(&path, vec![writer].into(), PutMode::Create.into()).await },
            )
        });
        let results: Vec<_> = join_all(creations).await.into_iter().map(Result::unwrap).collect();
        let won: Vec<_> = (0..50_u8).filter(|&writer| results[usize::from(writer)].is_ok()).collect();
        let lost = results.iter().filter_map(|result| result.as_ref().err());
        assert!(lost.clone().all(|error| matches!(error, Error::AlreadyExists { .. })), "{results:?}");
        assert_eq!(lost.count(), 49, "exactly one wins");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), won);
    }
}

// Slow, for the server answers one request at a time.
const REST: Duration = Duration::from_secs(5);
const CROWD: Crowd =
    Crowd { processes: 8, writers: 25, bytes_of: 5, movers_of: 5, deleters_of: 3, rest: REST };

/// Not a test by itself: one of the processes below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member() {
    let Ok(endpoint) = std::env::var(PLACE) else { return };
    CROWD.member(ObjectStoreRegistry::open(Arc::new(store_at(&endpoint)), "crowd").await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_do_everything_at_once_lose_nothing() {
    let Some(server) = S3Server::shared() else { return };
    let registry = ObjectStoreRegistry::open(Arc::new(store(server)), "crowd").await.unwrap();
    CROWD.run(&server.endpoint(), registry).await;
}
