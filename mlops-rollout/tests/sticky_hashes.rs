//! Assignments agree with those of the tools whose hashes can be chosen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mlops_core::{Decision, Reason, Router, RoutingContext, Variant};
use mlops_rollout::{Condition, Exclusive, Sticky, StickyHash, Targeted, TrafficSplit};

fn variant(name: &str) -> Variant {
    Variant::new(name).unwrap()
}

fn always(name: &str) -> impl Router {
    let variant = variant(name);
    move |_: &RoutingContext| Decision::new(variant.clone(), Reason::Default)
}

fn keyed(key: &str) -> RoutingContext {
    RoutingContext::new().with_key(key)
}

/// The published vectors of GrowthBook's SDK: `packages/sdk-js/test/cases.json`, "run", for the users 1
/// to 9 of the experiment `my-test`.
#[test]
fn experiments_of_growthbook_keep_their_users() {
    let third = 1.0 / 3.0;
    for (weights, expected) in [
        (&[0.5, 0.5][..], [1, 0, 0, 1, 1, 1, 0, 1, 0]),
        (&[0.1, 0.9], [1, 1, 0, 1, 1, 1, 0, 1, 1]),
        (&[third, third, third], [2, 0, 0, 2, 1, 2, 0, 1, 0]),
    ] {
        let variations: Vec<_> = (0..weights.len()).map(|number| variant(&number.to_string())).collect();
        let (last, others) = variations.split_last().unwrap();
        let split = TrafficSplit::new(last.clone(), others.iter().cloned());
        split.set_all(others.iter().zip(weights.iter().copied())).unwrap();
        let router = Sticky::new(split, "my-test").with_hash(StickyHash::GrowthBookV1);
        for (user, expected) in (1..).zip(expected) {
            let assigned = router.route(&keyed(&user.to_string())).variant().clone();
            assert_eq!(assigned, variations[expected], "user {user}, weights {weights:?}");
        }
    }
}

/// The same file, "inNamespace".
#[test]
fn namespaces_of_growthbook_keep_their_users() {
    for (user, namespace, low, high) in [
        ("1", "namespace1", false, true),
        ("1", "namespace2", false, true),
        ("2", "namespace1", false, true),
        ("2", "namespace2", false, true),
    ] {
        let layer = Exclusive::new(format!("__{namespace}"), always("none"))
            .with_hash(StickyHash::GrowthBookV1)
            .with_experiment("low", 0.0..0.4, always("low"))
            .unwrap()
            .with_experiment("high", 0.4..1.0, always("high"))
            .unwrap();
        let seen = layer.experiment(&keyed(user));
        assert_eq!((seen == Some("low"), seen == Some("high")), (low, high), "user {user} in {namespace}");
    }
}

/// The same file, "hash".
#[test]
fn points_of_growthbook_are_its_own() {
    let (one, two) = (StickyHash::GrowthBookV1, StickyHash::GrowthBookV2);
    for (seed, user, hash, point) in [
        ("", "a", one, 0.22),
        ("", "b", one, 0.077),
        ("b", "a", one, 0.946),
        ("ef", "d", one, 0.652),
        ("asdf", "8952klfjas09ujk", one, 0.549),
        ("", "123", one, 0.011),
        ("", "___)((*\":&", one, 0.563),
        ("seed", "a", two, 0.0505),
        ("seed", "b", two, 0.2696),
        ("foo", "ab", two, 0.2575),
        ("foo", "def", two, 0.2019),
        ("89123klj", "8952klfjas09ujkasdf", two, 0.124),
        ("90850943850283058242805", "123", two, 0.7516),
        ("()**(%$##$%#$#", "___)((*\":&", two, 0.0128),
    ] {
        assert_eq!(hash.point(seed, user), point, "{seed} {user} {hash:?}");
    }
}

/// `specifications/10-flexible-rollout-strategy.json` of Unleash's client specification, in which some
/// users lie on the last place that is still let in.
#[test]
fn gradual_rollouts_of_unleash_keep_their_users() {
    for (group, percent, user, is_enabled) in [
        ("Feature.flexibleRollout.10", 10, "174", true),
        ("Feature.flexibleRollout.10", 10, "499", false),
        ("Feature.flexibleRollout.userId.55", 55, "25", true),
        ("Feature.flexibleRollout.sessionId.42", 42, "147", true),
        ("Feature.flexibleRollout.10", 9, "174", false),
    ] {
        let share = f64::from(percent) / 100.0;
        let split = TrafficSplit::new(variant("off"), [variant("on")]);
        split.set(&variant("on"), share).unwrap();
        let sticky = Sticky::new(split, group).with_hash(StickyHash::UnleashRollout);
        let expected = variant(if is_enabled { "on" } else { "off" });
        assert_eq!(*sticky.route(&keyed(user)).variant(), expected, "{user} of {group}");
        let sample = Condition::Sample {
            share,
            salt: group.into(),
            hash: StickyHash::UnleashRollout,
            attribute: None,
        };
        let targeted = Targeted::new(always("off")).with_rule("on", sample, variant("on")).unwrap();
        assert_eq!(*targeted.route(&keyed(user)).variant(), expected, "{user} of {group}");
    }
}

/// Places that the tests of Unleash's clients state: of the rollout 73 and 25 of 100; of the variants 96
/// and 60 of 100, which are what is left of those of 1,000.
#[test]
fn places_of_unleash_are_its_own() {
    for (group, user, rollout, variant) in [("gr1", "123", 73, 96), ("groupX", "999", 25, 60)] {
        let place = |point: f64, places: f64| (point * places + 0.5).round() as u32;
        assert_eq!(place(StickyHash::UnleashRollout.point(group, user), 100.0), rollout);
        let of_thousand = place(StickyHash::UnleashVariant.point(group, user), 1_000.0);
        assert_eq!((of_thousand - 1) % 100 + 1, variant);
    }
}
