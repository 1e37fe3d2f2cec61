//! The registry in a bucket, on a real S3 server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::cell::Cell;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use common::servers::S3Server;
use common::{name, next};
use futures_util::future::join_all;
use mlops_core::conformance::registry::check;
use mlops_core::{AuditChange, Registry};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::cloud::Connector;
use mlops_registry::reexports::object_store::aws::{AmazonS3, AmazonS3Builder};
use mlops_registry::reexports::object_store::path::Path;
use mlops_registry::reexports::object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};

const ENDPOINT: &str = "MLOPS_TEST_S3_ENDPOINT";
const PROCESSES: usize = 8;
const WRITERS: usize = 100;

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

/// Not a test by itself: one of the processes below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else { return };
    let registry = ObjectStoreRegistry::open(Arc::new(store_at(&endpoint)), "shared").await.unwrap();
    let writers = (0..WRITERS).map(|_| {
        let registry = registry.clone();
        tokio::spawn(async move {
            let began = now();
            let version = registry.register(next("fraud")).await.unwrap().id.version;
            println!("registered {} {began} {}", version.major, now());
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
}

fn now() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()
}

/// Each change is in the log once, and what was acknowledged before another began is before it in the log.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_write_at_once_lose_nothing() {
    let Some(server) = S3Server::shared() else { return };
    let processes: Vec<_> = (0..PROCESSES)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "writers", "--nocapture", "--test-threads=1"])
                .env(ENDPOINT, server.endpoint())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut acknowledged = Vec::new();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        let numbers = said.lines().filter_map(|line| line.split_once("registered ")?.1.split_once(' '));
        acknowledged.extend(numbers.map(|(major, times)| {
            let (began, ended) = times.split_once(' ').unwrap();
            (major.parse().unwrap(), began.parse::<u128>().unwrap(), ended.parse::<u128>().unwrap())
        }));
    }
    acknowledged.sort_unstable();
    let majors: Vec<u64> = acknowledged.iter().map(|(major, ..)| *major).collect();
    assert_eq!(
        majors,
        (1..=(PROCESSES * WRITERS) as u64).collect::<Vec<_>>(),
        "each got a version of its own"
    );
    let mut latest_began = 0;
    for (major, began, ended) in acknowledged {
        latest_began = latest_began.max(began);
        assert!(latest_began < ended, "version {major} was acknowledged before one before it had begun");
    }

    let registry = ObjectStoreRegistry::open(Arc::new(store(server)), "shared").await.unwrap();
    let history = registry.history(&name("fraud")).await.unwrap();
    for (event, major) in history.iter().zip(&majors) {
        let version = semver::Version::new(*major, 0, 0);
        assert_eq!((event.sequence, &event.change), (*major, &AuditChange::Registered { version }));
    }
    assert_eq!(history.len(), majors.len());
}
