//! Laws of rules, layers and holdouts: who is singled out stays so, experiments never overlap, chance is
//! fair.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mlops_core::stats::{ChiSquaredStatistic, ContingencyTable, goodness_of_fit};
use mlops_core::{Decision, Reason, Router, RoutingContext, Variant};
use mlops_rollout::{Condition, Exclusive, Holdout, Sticky, StickyHash, Targeted, TrafficSplit};
use proptest::prelude::*;

fn variant(name: &str) -> Variant {
    Variant::new(name).unwrap()
}

fn always(name: &str) -> impl Router {
    let variant = variant(name);
    move |_: &RoutingContext| Decision::new(variant.clone(), Reason::Default)
}

fn users(count: usize) -> impl Iterator<Item = RoutingContext> {
    (0..count).map(|user| RoutingContext::new().with_key(format!("user-{user}")))
}

const HASHES: [StickyHash; 5] = [
    StickyHash::Xxh3,
    StickyHash::GrowthBookV1,
    StickyHash::GrowthBookV2,
    StickyHash::UnleashRollout,
    StickyHash::UnleashVariant,
];

fn hash() -> impl Strategy<Value = StickyHash> {
    prop::sample::select(HASHES.to_vec())
}

fn sampled(share: f64, salt: &str, hash: StickyHash) -> Targeted<impl Router> {
    let sample = Condition::Sample { share, salt: salt.to_owned(), hash, attribute: None };
    Targeted::new(always("out")).with_rule("in", sample, variant("in")).unwrap()
}

fn sticky(share: f64, salt: &str, hash: StickyHash) -> Sticky {
    let split = TrafficSplit::new(variant("out"), [variant("in")]);
    split.set(&variant("in"), share).unwrap();
    Sticky::new(split, salt).with_hash(hash)
}

fn is_in(router: &impl Router, context: &RoutingContext) -> bool {
    *router.route(context).variant() == variant("in")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_growing_share_keeps_whom_it_has_whichever_hash(
        keys in prop::collection::vec(".{1,40}", 1..60),
        salt in ".{0,10}",
        (share, more) in (0.0..1.0_f64, 0.0..1.0_f64),
        hash in hash(),
    ) {
        let grown = share + (1.0 - share) * more;
        for key in keys {
            let context = RoutingContext::new().with_key(key);
            prop_assert!(is_in(&sampled(grown, &salt, hash), &context) || !is_in(&sampled(share, &salt, hash), &context));
            prop_assert!(is_in(&sticky(grown, &salt, hash), &context) || !is_in(&sticky(share, &salt, hash), &context));
            prop_assert!(is_in(&sampled(1.0, &salt, hash), &context));
            prop_assert!(!is_in(&sampled(0.0, &salt, hash), &context));
        }
    }

    /// A sample in a rule and a sticky router of the same salt and share single out the same keys.
    #[test]
    fn a_sample_is_the_share_of_a_sticky_router(salt in ".{0,10}", share in 0.0..1.0_f64, hash in hash()) {
        let (sampled, sticky) = (sampled(share, &salt, hash), sticky(share, &salt, hash));
        for user in users(200) {
            prop_assert_eq!(is_in(&sampled, &user), is_in(&sticky, &user));
        }
    }

    #[test]
    fn experiments_of_a_layer_never_overlap(
        keys in prop::collection::vec(".{1,40}", 1..100),
        salt in ".{0,10}",
        mut cuts in prop::collection::vec(0.0..1.0_f64, 2..8),
        hash in hash(),
    ) {
        cuts.sort_unstable_by(f64::total_cmp);
        cuts.dedup();
        let slices: Vec<_> = cuts.iter().zip(cuts.iter().skip(1)).map(|(start, end)| *start..*end).collect();
        let mut layer = Exclusive::new(&salt, always("none")).with_hash(hash);
        for (name, slice) in slices.iter().enumerate() {
            layer = layer.with_experiment(name.to_string(), slice.clone(), always(&name.to_string())).unwrap();
        }
        for key in keys {
            let point = hash.point(&salt, &key);
            let context = RoutingContext::new().with_key(key);
            let of: Vec<_> = (0..slices.len()).filter(|name| slices[*name].contains(&point)).collect();
            prop_assert!(of.len() <= 1);
            let expected = of.first().map(ToString::to_string);
            prop_assert_eq!(layer.experiment(&context), expected.as_deref());
            let answered = layer.route(&context).variant().to_string();
            prop_assert_eq!(answered, expected.unwrap_or("none".to_owned()));
            // An experiment that goes moves nobody of the others.
            let alone = Exclusive::new(&salt, always("none")).with_hash(hash);
            let alone = alone.with_experiment("0", slices.first().cloned().unwrap_or(0.0..1.0), always("0")).unwrap();
            if layer.experiment(&context) == Some("0") {
                prop_assert_eq!(alone.experiment(&context), Some("0"));
            }
        }
    }

    #[test]
    fn who_is_held_out_stays_held_out(
        keys in prop::collection::vec(".{1,40}", 1..100),
        salt in ".{0,10}",
        (share, more, moved) in (0.0..1.0_f64, 0.0..1.0_f64, 0.0..1.0_f64),
    ) {
        let split = TrafficSplit::new(variant("old"), [variant("new")]);
        let holdout = |share| Holdout::new(Sticky::new(split.clone(), "inner"), variant("held"), share, &salt).unwrap();
        let (small, great) = (holdout(share), holdout(share + (1.0 - share) * more));
        let contexts: Vec<_> = keys.into_iter().map(|key| RoutingContext::new().with_key(key)).collect();
        let held: Vec<_> = contexts.iter().map(|context| small.holds_out(context)).collect();
        split.set(&variant("new"), moved).unwrap(); // what goes on within is nothing to them
        for (context, held) in contexts.iter().zip(held) {
            let decision = small.route(context);
            prop_assert_eq!(*decision.variant() == variant("held"), held);
            prop_assert_eq!(*decision.reason() == Reason::targeted("holdout"), held);
            prop_assert!(great.holds_out(context) || !held);
        }
    }

    /// Being in one experiment, rule or holdout says nothing about being in another of another salt:
    /// chi-square on the table of both, at a level that 64 cases do not reach by chance.
    #[test]
    fn salts_are_independent(one in "[a-z]{1,8}", other in "[a-z]{1,8}", shares in (0.2..0.8_f64, 0.2..0.8_f64)) {
        prop_assume!(one != other);
        // Version 1 of GrowthBook is left out: its experiments depend on each other, as its documentation
        // says.
        for hash in [StickyHash::Xxh3, StickyHash::GrowthBookV2] {
            let routers = (sampled(shares.0, &one, hash), sampled(shares.1, &other, hash));
            let mut table = [[0_u64; 2]; 2];
            for user in users(4_000) {
                table[usize::from(is_in(&routers.0, &user))][usize::from(is_in(&routers.1, &user))] += 1;
            }
            let test = ContingencyTable::new(&table).unwrap().chi_squared_test(ChiSquaredStatistic::Pearson);
            prop_assert!(test.p_value > 1e-7, "{hash:?}: {table:?}, p = {}", test.p_value);
        }
    }

    /// Inside a slice of a layer and outside of a holdout the shares of another salt are kept.
    #[test]
    fn shares_are_kept_inside_of_layers_and_holdouts(salt in "[a-z]{1,8}", share in 0.1..0.9_f64) {
        let layer = Exclusive::new(format!("{salt}-layer"), always("none"))
            .with_experiment("a", 0.1..0.7, sticky(share, &salt, StickyHash::Xxh3))
            .unwrap();
        let router = Holdout::new(layer, variant("held"), 0.1, format!("{salt}-holdout")).unwrap();
        let names = ["held", "none", "in", "out"];
        let mut counts = [0_u64; 4];
        for user in users(8_000) {
            let answered = router.route(&user).variant().to_string();
            counts[names.iter().position(|name| *name == answered).unwrap()] += 1;
        }
        let expected = [0.1, 0.9 * 0.4, 0.9 * 0.6 * share, 0.9 * 0.6 * (1.0 - share)];
        let fit = goodness_of_fit(&counts, &expected, ChiSquaredStatistic::Pearson).unwrap();
        prop_assert!(fit.test.p_value > 1e-7, "{counts:?} of {expected:?}");
    }
}

#[test]
fn who_has_no_key_is_in_no_layer_sample_or_holdout() {
    let layer = Exclusive::new("layer", always("none")).with_experiment("a", 0.0..1.0, always("a")).unwrap();
    let holdout = Holdout::new(always("none"), variant("held"), 1.0, "holdout").unwrap();
    let sampled = sampled(1.0, "salt", StickyHash::Xxh3);
    for context in [RoutingContext::new(), RoutingContext::new().with_key("")] {
        assert_eq!(layer.experiment(&context), None);
        assert_eq!(layer.route(&context).variant().as_str(), "none");
        assert_eq!(holdout.route(&context).variant().as_str(), "none");
        assert!(!is_in(&sampled, &context));
    }
    assert!(Holdout::new(always("none"), variant("held"), 1.1, "holdout").is_err());
    let by_team = Holdout::new(always("none"), variant("held"), 1.0, "holdout").unwrap().by_attribute("team");
    assert!(!by_team.holds_out(&RoutingContext::new().with_key("user-1")));
    assert!(by_team.holds_out(&RoutingContext::new().with_attribute("team", "blue")));
}
