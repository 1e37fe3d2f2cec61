//! The contract of a store, and what is special to one.

use std::collections::BTreeSet;
use std::sync::Arc;

use mlops_core::Error;

use super::*;

fn name(name: &str) -> StoreName {
    StoreName::new(name).unwrap()
}

/// Everything that [`RolloutStore`] promises and a test can see.
async fn keeps_the_contract(store: impl RolloutStore) {
    let store = Arc::new(store);
    let (one, other) = (name("fraud-2.0.0"), name("fraud-3"));
    assert_eq!(store.read(&one, 1).await.unwrap(), None);
    assert_eq!(store.append(&one, 1, b"first").await.unwrap(), Appended::Done);
    assert_eq!(store.append(&one, 1, b"second").await.unwrap(), Appended::Taken);
    assert_eq!(store.read(&one, 1).await.unwrap().unwrap(), b"first", "a record never changes");
    assert_eq!(store.append(&other, 1, b"").await.unwrap(), Appended::Done, "rollouts are apart");
    assert_eq!(store.read(&other, 1).await.unwrap().unwrap(), b"");
    assert_eq!(store.read(&one, 2).await.unwrap(), None);

    let (a, b) = (name("a"), name("b"));
    assert_eq!(store.notes(&one, 1).await.unwrap(), []);
    store.put_note(&one, 1, &a, b"old").await.unwrap();
    store.put_note(&one, 1, &a, b"new").await.unwrap();
    store.put_note(&one, 1, &b, b"other").await.unwrap();
    store.put_note(&one, 2, &b, b"later").await.unwrap();
    let mut notes = store.notes(&one, 1).await.unwrap();
    notes.sort();
    assert_eq!(notes, [(a, b"new".to_vec()), (b.clone(), b"other".to_vec())]);
    assert_eq!(store.notes(&one, 2).await.unwrap(), [(b, b"later".to_vec())]);
    assert_eq!(store.notes(&other, 1).await.unwrap(), []);

    for number in 2..20_u64 {
        let writers: Vec<_> = (0..8_u8)
            .map(|writer| {
                let (store, one) = (Arc::clone(&store), one.clone());
                tokio::spawn(
                    async move { (writer, store.append(&one, number, &[writer; 1000]).await.unwrap()) },
                )
            })
            .collect();
        let mut winners = Vec::new();
        for writer in writers {
            let (writer, appended) = writer.await.unwrap();
            winners.extend((appended == Appended::Done).then_some(writer));
        }
        assert_eq!(winners.len(), 1, "one wins");
        assert_eq!(store.read(&one, number).await.unwrap().unwrap(), [winners[0]; 1000]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_the_contract() {
    keeps_the_contract(MemoryRolloutStore::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_folder_keeps_the_contract_and_stays_tidy() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not/yet/there");
    let store = FileRolloutStore::new(&root);
    let log = root.join("fraud-2.0.0").join(LOG);
    keeps_the_contract(store.clone()).await;

    // What a killed writer leaves goes with the next record.
    std::fs::write(log.join(format!(".{}.0123456789abcdef", record_file(7))), b"{half").unwrap();
    assert_eq!(store.append(&name("fraud-2.0.0"), 20, b"last").await.unwrap(), Appended::Done);
    let there: BTreeSet<_> =
        std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, (1..=20).map(|number| record_file(number).into()).collect::<BTreeSet<_>>());
}

#[tokio::test]
async fn a_folder_that_is_none_is_an_error_and_no_empty_log() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let store = FileRolloutStore::new(file.path());
    assert!(matches!(store.read(&name("x"), 1).await, Err(Error::InvalidInput(_))));
    assert!(store.append(&name("x"), 1, b"").await.is_err());
    assert!(store.notes(&name("x"), 1).await.is_err());
}

#[cfg(feature = "object-store")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn object_stores_keep_the_contract() {
    use object_store::{local::LocalFileSystem, memory::InMemory, path::Path};

    keeps_the_contract(ObjectRolloutStore::new(Arc::new(InMemory::new()), Path::from("a/b"))).await;
    let folder = tempfile::tempdir().unwrap();
    let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    keeps_the_contract(ObjectRolloutStore::new(Arc::new(local), Path::default())).await;
}

#[test]
fn names_that_could_escape_a_folder_are_refused() {
    for bad in ["", ".", "..", "../x", "a/b", "a\\b", "a b", "é", ".a", "a\0", &"a".repeat(129)] {
        assert!(matches!(StoreName::new(bad), Err(Error::InvalidInput(_))), "{bad}");
    }
    assert_eq!(
        StoreName::new("a/b").unwrap_err().to_string(),
        "invalid input: the name `a/b` in a rollout store contains '/'; \
         only ASCII letters, digits, `.`, `_` and `-` are allowed"
    );
}
