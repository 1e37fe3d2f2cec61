//! Laws of routing: a share that grows moves nobody away, shares are kept, salts are independent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mlops_core::{Router, RoutingContext, Variant};
use mlops_rollout::{Sticky, TrafficSplit, Weighted};
use proptest::prelude::*;

fn variant(name: &str) -> Variant {
    Variant::new(name).unwrap()
}

/// `stable`, `b` and `c` with these shares of the latter two.
fn split(b: f64, c: f64) -> TrafficSplit {
    let split = TrafficSplit::new(variant("stable"), [variant("b"), variant("c")]);
    split.set_all([(&variant("b"), b), (&variant("c"), c)]).unwrap();
    split
}

fn assigned(router: &impl Router, key: &str) -> Variant {
    router.route(&RoutingContext::new().with_key(key)).variant().clone()
}

/// Five standard deviations around the mean of a binomial count.
fn plausible(count: usize, trials: usize, share: f64) -> bool {
    let (n, mean) = (trials as f64, trials as f64 * share);
    (count as f64 - mean).abs() <= 5.0 * (n * share * (1.0 - share)).sqrt() + 1.0
}

fn users(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|user| format!("user-{user}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_growing_share_never_moves_a_key_that_is_already_there(
        keys in prop::collection::vec(".{1,40}", 1..100),
        salt in ".{0,10}",
        (b, c, more) in (0.0..0.4, 0.0..0.3, 0.0..0.3),
        grown in prop::sample::select(vec!["b", "c"]),
    ) {
        let split = split(b, c);
        let router = Sticky::new(split.clone(), salt);
        let before: Vec<_> = keys.iter().map(|key| assigned(&router, key)).collect();
        let grown = variant(grown);
        split.set(&grown, split.share(&grown).unwrap() + more).unwrap();
        for (key, before) in keys.iter().zip(before) {
            if before == grown {
                prop_assert_eq!(assigned(&router, key), before);
            }
        }
    }

    /// With two variants, every key that moves moves to the one that grew.
    #[test]
    fn a_canary_that_grows_only_takes(share in 0.0..1.0_f64, more in 0.0..1.0_f64) {
        let split = split(0.0, share);
        let router = Sticky::new(split.clone(), "salt");
        let before: Vec<_> = users(200).map(|user| assigned(&router, &user)).collect();
        split.set(&variant("c"), share + (1.0 - share) * more).unwrap();
        for (user, before) in users(200).zip(before) {
            let after = assigned(&router, &user);
            prop_assert!(after == before || after == variant("c"));
        }
    }

    #[test]
    fn shares_are_kept(seed: u64, b in 0.0..0.5_f64, c in 0.0..0.5_f64) {
        const TRIALS: usize = 4_000;
        let weighted = Weighted::seeded(split(b, c), seed);
        let sticky = Sticky::new(split(b, c), seed.to_string());
        for (name, share) in [("b", b), ("c", c), ("stable", 1.0 - b - c)] {
            let name = variant(name);
            let context = RoutingContext::new();
            let drawn = (0..TRIALS).filter(|_| *weighted.route(&context).variant() == name).count();
            prop_assert!(plausible(drawn, TRIALS, share), "{drawn} of {TRIALS} for {share}");
            let hashed = users(TRIALS).filter(|user| assigned(&sticky, user) == name).count();
            prop_assert!(plausible(hashed, TRIALS, share), "{hashed} of {TRIALS} for {share}");
        }
    }

    /// Being in one experiment says nothing about being in another.
    #[test]
    fn salts_are_independent(one in "[a-z]{1,8}", other in "[a-z]{1,8}") {
        const TRIALS: usize = 4_000;
        prop_assume!(one != other);
        let (first, second) = (Sticky::new(split(0.5, 0.0), &one), Sticky::new(split(0.5, 0.0), &other));
        let b = variant("b");
        let both = users(TRIALS).filter(|user| assigned(&first, user) == b && assigned(&second, user) == b);
        let both = both.count();
        prop_assert!(plausible(both, TRIALS, 0.25), "{both} of {TRIALS}");
    }
}
