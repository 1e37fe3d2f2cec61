//! A live view follows, answers at once, and goes on when the store is away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::faulty::{Fault, Faulty};
use common::{champion, name, new, select};
use mlops_core::{AliasMove, Registry};
use mlops_registry::ObjectStoreRegistry;

#[tokio::test(start_paused = true)]
async fn it_follows_other_processes_within_the_poll_interval() {
    let store = Faulty::new(|_, _| Fault::None);
    let writer = ObjectStoreRegistry::open(store.inner.clone(), "").await.unwrap();
    let version = writer.register(new("fraud", "1.0.0")).await.unwrap().id.version;
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    let live = registry.with_poll_interval(Duration::from_secs(5)).live();
    let fraud = name("fraud");
    let champion_now =
        || live.resolve(&fraud, &select("@champion")).map(|version| version.id.version.to_string());
    tokio::time::sleep(Duration::from_secs(1)).await;

    writer.move_alias(AliasMove::new(fraud.clone(), champion(), version)).await.unwrap();
    assert_eq!(champion_now().unwrap_err().label(), "not_found", "it does not ask the store");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(champion_now().unwrap(), "1.0.0");
    assert_eq!(live.sequence(), 2);
    let first = live.resolve(&fraud, &select("@champion")).unwrap();
    assert_eq!(first.aliases, [champion()].into());

    store.set(|_, _| Fault::Before);
    let second = writer.register(new("fraud", "2.0.0")).await.unwrap().id.version;
    writer.move_alias(AliasMove::new(fraud.clone(), champion(), second)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(champion_now().unwrap(), "1.0.0", "it answers with what it knew last");
    assert!(live.error().unwrap().contains("unavailable"), "{:?}", live.error());
    store.set(|_, _| Fault::None);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((champion_now().unwrap().as_str(), live.error()), ("2.0.0", None));
    assert!(live.resolve(&fraud, &select("1.0.0")).unwrap().aliases.is_empty());
    assert_eq!(first.aliases, [champion()].into(), "what was handed out stays as it was");
}
