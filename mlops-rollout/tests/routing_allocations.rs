//! No decision allocates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use mlops_core::{Router, RoutingContext, Variant};
use mlops_rollout::{
    Bandit, BanditPolicy, BlueGreen, Condition, Exclusive, Holdout, RouterSpec, Shadowed, Sticky, StickyHash,
    Targeted, TrafficSplit, Weighted,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is done by the allocator of the system; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn variant(name: &str) -> Variant {
    Variant::new(name).unwrap()
}

fn split() -> TrafficSplit {
    let split = TrafficSplit::new(variant("stable"), [variant("b"), variant("c")]);
    split.set_all([(&variant("b"), 0.3), (&variant("c"), 0.3)]).unwrap();
    split
}

fn check(name: &str, router: &impl Router) {
    let contexts: Vec<_> = (0..50)
        .map(|user| RoutingContext::new().with_key(format!("user-{user:012}")))
        .map(|context| {
            context.with_attribute("app", "2.1.0-nightly.20260101+build").with_attribute("country", "NO")
        })
        .chain([RoutingContext::new()])
        .collect();
    contexts.iter().for_each(|context| drop(router.route(context))); // what a thread sets up once
    let before = ALLOCATIONS.get();
    contexts.iter().for_each(|context| drop(router.route(context)));
    assert_eq!(ALLOCATIONS.get() - before, 0, "{name} allocates");
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn no_router_allocates_on_the_request_path() {
    check("weighted", &Weighted::new(split()));
    for hash in [
        StickyHash::Xxh3,
        StickyHash::GrowthBookV1,
        StickyHash::GrowthBookV2,
        StickyHash::UnleashRollout,
        StickyHash::UnleashVariant,
    ] {
        check(&format!("{hash:?}"), &Sticky::new(split(), "salt").with_hash(hash));
    }
    check("shadowed", &Shadowed::new(Weighted::new(split()), variant("shadow"), 0.5).unwrap());
    check("bandit", &Bandit::new([variant("a"), variant("b")], BanditPolicy::Thompson).unwrap());
    let preview = Condition::equals("country", "NO");
    let blue_green =
        BlueGreen::new(variant("blue"), variant("green")).unwrap().with_preview(&preview).unwrap();
    check("blue/green", &blue_green);
    let rules = [
        ("in", Condition::one_of("country", ["SE", "DK"])),
        ("prefix", Condition::prefix("app", "3.")),
        ("keys", Condition::key_in(["user-000000000001"])),
        ("sample", Condition::all([Condition::sample(0.5, "s"), Condition::exists("country")])),
        ("version", Condition::version("app", ">=2.1.0-nightly.20250101, <3.0.0")),
    ];
    let targeted =
        rules.into_iter().fold(Targeted::new(Sticky::new(split(), "salt")), |router, (name, when)| {
            router.with_rule(name.to_owned(), when, variant("b")).unwrap()
        });
    let layer =
        Exclusive::new("layer", Weighted::new(split())).with_experiment("a", 0.0..0.5, targeted).unwrap();
    check("composed", &Holdout::new(layer, variant("stable"), 0.1, "holdout").unwrap());
    let toml = r#"kind = "targeted"
        rules = [{ name = "norway", when = { equals = { attribute = "country", value = "NO" } }, variant = "b" }]
        otherwise = { kind = "always", variant = "stable" }"#;
    check("configured", &RouterSpec::from_toml(toml).unwrap().build().unwrap());
}
