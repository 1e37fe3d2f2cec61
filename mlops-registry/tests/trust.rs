//! Versions are signed, and only what trusted keys have signed is used.

#![cfg(feature = "sign")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{name, new, select};
use mlops_core::{Artifact, Digest, Registry};
use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::{ObjectStoreRegistry, PublicKey, SigningKey, TrustPolicy};

#[tokio::test]
async fn only_what_trusted_keys_have_signed_is_resolved_and_fetched() {
    let store = Arc::new(InMemory::new());
    let open = async || ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    let [one, two, stranger] = [(); 3].map(|()| SigningKey::generate().unwrap());
    let artifact = |version: &str| new("fraud", version).with_artifact("w", version.as_bytes().to_vec());
    open().await.register(artifact("1.0.0")).await.unwrap();
    open().await.with_signing_key(stranger).register(artifact("2.0.0")).await.unwrap();
    let signer = open().await.with_signing_key(one.clone());
    let third = signer.register(artifact("3.0.0")).await.unwrap();

    let any = open().await.with_trust(TrustPolicy::any_of([one.public_key(), two.public_key()]));
    let both = TrustPolicy::any_of([one.public_key(), two.public_key()]).at_least(2);
    let both = open().await.with_trust(both);
    for version in ["1.0.0", "2.0.0"] {
        let error = any.resolve(&name("fraud"), &select(version)).await.unwrap_err();
        assert_eq!(error.label(), "integrity");
        assert!(error.to_string().contains("0 of the 2 trusted keys signed it, and 1 must"), "{error}");
        let unverified = open().await.resolve(&name("fraud"), &select(version)).await.unwrap();
        assert_eq!(any.fetch(&unverified, "w").await.unwrap_err().label(), "integrity");
        assert!(any.fetch_stream(&unverified, "w").await.is_err());
        assert!(any.live().resolve(&name("fraud"), &select(version)).is_err());
    }
    assert_eq!(any.resolve(&name("fraud"), &select("latest")).await.unwrap(), third);
    assert_eq!(any.fetch(&third, "w").await.unwrap(), &b"3.0.0"[..]);
    assert_eq!(any.live().resolve(&name("fraud"), &select("latest")).unwrap().id, third.id);
    assert_eq!(any.versions(&name("fraud")).await.unwrap().len(), 3, "lists show all");

    assert_eq!(both.fetch(&third, "w").await.unwrap_err().label(), "integrity");
    let event = open().await.sign(&third.id, &two, "security").await.unwrap();
    assert_eq!(event.change.to_string(), format!("signed 3.0.0 with {}", two.public_key()));
    assert_eq!(both.fetch(&third, "w").await.unwrap(), &b"3.0.0"[..]);
    let again = open().await.sign(&third.id, &two, "security").await.unwrap_err();
    assert_eq!(again.label(), "conflict", "{again}");
    open().await.checkpoint().await.unwrap();
    assert!(open().await.verify().await.unwrap().is_clean());

    let fourth = signer.register(artifact("4.0.0")).await.unwrap();
    assert_eq!(
        any.fetch(&fourth, "w").await.unwrap(),
        &b"4.0.0"[..],
        "it is looked for before it is not found"
    );

    // A version somebody made up, with bytes that are in the store.
    let mut made_up = third;
    made_up.artifacts.insert("w".to_owned(), Artifact { digest: Digest::of(b"1.0.0"), size: 5 });
    let error = any.fetch(&made_up, "w").await.unwrap_err();
    assert!(error.to_string().contains("names other artifacts than those that were signed"), "{error}");
}

/// The first test vector of RFC 8032, section 7.1.
#[test]
fn keys_are_those_of_the_standard() {
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let key = SigningKey::from_secret(secret).unwrap();
    assert_eq!(key.public_key(), public.parse().unwrap());
    assert_eq!(key.public_key().to_string(), public);
    assert_eq!(PublicKey::from_bytes(key.public_key().to_bytes()), key.public_key());
    assert_eq!(key.to_secret(), secret);
    assert!(!format!("{key:?}").contains(&secret[..8]), "a secret is not shown");
    for wrong in ["", &secret[1..], "zz"] {
        let error = SigningKey::from_secret(wrong).unwrap_err();
        assert_eq!(error.label(), "invalid_input", "{error}");
        assert!(wrong.parse::<PublicKey>().is_err());
    }
}
