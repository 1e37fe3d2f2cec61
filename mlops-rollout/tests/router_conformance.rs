//! Every router here keeps the contract, and the suite notices one that does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicU64, Ordering};

use mlops_core::conformance::router::{check, check_sticky};
use mlops_core::{Decision, Reason, RoutingContext, Variant};
use mlops_rollout::{
    Bandit, BanditPolicy, BlueGreen, Condition, Exclusive, Holdout, RouterSpec, Shadowed, Sticky, StickyHash,
    Targeted, TrafficSplit, Weighted,
};

fn variants() -> [Variant; 3] {
    ["stable", "canary", "shadow"].map(|name| Variant::new(name).unwrap())
}

fn split() -> TrafficSplit {
    let [stable, canary, _] = variants();
    let split = TrafficSplit::new(stable, [canary.clone()]);
    split.set(&canary, 0.3).unwrap();
    split
}

#[test]
fn every_router_conforms() {
    check(&Weighted::seeded(split(), 1), &variants());
    check_sticky(&Sticky::new(split(), "salt"), &variants());
    let [_, canary, shadow] = variants();
    check(&Shadowed::new(Weighted::new(split()), shadow.clone(), 0.5).unwrap(), &variants());
    // A shadow that often is the variant that answers.
    check_sticky(&Shadowed::new(Sticky::new(split(), "salt"), canary, 1.0).unwrap(), &variants());
    check(&Bandit::new(variants(), BanditPolicy::Thompson).unwrap(), &variants());
    check(&Bandit::new(variants(), BanditPolicy::EpsilonGreedy(0.5)).unwrap(), &variants());
}

#[test]
fn every_router_that_assigns_by_key_keeps_its_keys() {
    let [stable, canary, shadow] = variants();
    for hash in [StickyHash::GrowthBookV2, StickyHash::UnleashVariant] {
        check_sticky(&Sticky::new(split(), "salt").with_hash(hash), &variants());
    }
    let sample = Condition::any([Condition::sample(0.3, "sample"), Condition::equals("attribute-1", "v")]);
    check_sticky(
        &BlueGreen::new(stable.clone(), canary.clone()).unwrap().with_preview(&sample).unwrap(),
        &variants(),
    );
    let targeted = Targeted::new(Sticky::new(split(), "salt"))
        .with_rule("versions", Condition::version("attribute-1", ">=1.0.0"), shadow.clone())
        .unwrap()
        .with_rule("prefixes", Condition::prefix("attribute-9", "vvv"), canary.clone())
        .unwrap()
        .with_rule_through("sample", sample, Sticky::new(split(), "sampled"))
        .unwrap();
    let layer = Exclusive::new("layer", Sticky::new(split(), "salt"))
        .with_experiment("a", 0.0..0.5, targeted)
        .unwrap()
        .with_experiment("b", 0.5..0.75, Shadowed::new(Sticky::new(split(), "b"), shadow, 0.5).unwrap())
        .unwrap();
    check_sticky(&Holdout::new(layer, stable, 0.1, "holdout").unwrap(), &variants());
    let toml = r#"kind = "sticky"
        salt = "salt"
        default = "stable"
        shares = [{ variant = "canary", share = 0.3 }]"#;
    check_sticky(&RouterSpec::from_toml(toml).unwrap().build().unwrap(), &variants());
}

fn stable(_: &RoutingContext) -> Decision {
    Decision::new(variants()[0].clone(), Reason::Default)
}

#[test]
#[should_panic(expected = "routes to the unknown variant `nobody`")]
fn unknown_variants_are_noticed() {
    check(&|_: &RoutingContext| Decision::new(Variant::new("nobody").unwrap(), Reason::Default), &variants());
}

#[test]
#[should_panic(expected = "shadows to the unknown variant `nobody`")]
fn unknown_shadows_are_noticed() {
    check(
        &|context: &RoutingContext| stable(context).with_shadow(Variant::new("nobody").unwrap()),
        &variants(),
    );
}

#[test]
#[should_panic(expected = "the key `user-")]
fn keys_that_move_are_noticed() {
    check_sticky(&Weighted::seeded(split(), 1), &variants());
}

#[test]
#[should_panic(expected = "routers take nanoseconds")]
fn routers_that_wait_are_noticed() {
    let asked = AtomicU64::new(0);
    let slow = move |context: &RoutingContext| {
        if asked.fetch_add(1, Ordering::Relaxed) > 5_000 {
            std::thread::sleep(std::time::Duration::from_micros(60));
        }
        stable(context)
    };
    check(&slow, &variants());
}

#[test]
#[should_panic(expected = "a huge key")]
fn hostile_keys_reach_the_router() {
    check(
        &|context: &RoutingContext| {
            assert!(context.key().is_none_or(|key| key.len() < 1_000), "a huge key");
            stable(context)
        },
        &variants(),
    );
}
