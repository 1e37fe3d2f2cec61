//! What a routing decision costs.
//!
//! ```text
//! cargo bench -p mlops-rollout --bench route
//! ```
#![allow(clippy::expect_used)]

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use mlops_core::{Result, Router, RoutingContext, Variant};
use mlops_rollout::{
    Bandit, BanditPolicy, Condition, Exclusive, Holdout, Shadowed, Sticky, StickyHash, Targeted,
    TrafficSplit, Weighted,
};

fn routers(criterion: &mut Criterion) {
    measure(criterion).expect("valid routers");
}

fn measure(criterion: &mut Criterion) -> Result<()> {
    let user = RoutingContext::new()
        .with_key("user-00000000017") // 16 bytes
        .with_attribute("country", "NO")
        .with_attribute("app", "2.1.3");
    let mut group = criterion.benchmark_group("route");
    let mut bench = |name: &str, router: &dyn Router| {
        group.bench_function(name, |bencher| bencher.iter(|| router.route(black_box(&user))));
    };
    bench("weighted", &Weighted::new(split()?));
    bench("sticky", &Sticky::new(split()?, "salt"));
    bench("sticky as GrowthBook", &Sticky::new(split()?, "salt").with_hash(StickyHash::GrowthBookV2));
    bench("sticky as Unleash", &Sticky::new(split()?, "salt").with_hash(StickyHash::UnleashRollout));
    bench("bandit", &Bandit::new([variant("stable")?, variant("canary")?], BanditPolicy::Thompson)?);
    bench("five rules, the last one holds", &five_rules(Condition::version("app", ">=2.1.0, <3.0.0"))?);
    bench("five rules, none holds", &five_rules(Condition::version("app", ">=3.0.0"))?);
    bench("composed", &composed()?);
    let weighted = Weighted::new(split()?);
    group.bench_function("weighted, by two threads at once", |bencher| {
        bencher.iter_custom(|times| {
            on_two_threads(|| (0..times).for_each(|_| drop(weighted.route(black_box(&user)))))
        });
    });
    group.finish();
    Ok(())
}

/// How long both take that do the same at the same time.
fn on_two_threads(work: impl Fn() + Sync) -> Duration {
    let began = Instant::now();
    thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(&work))));
    began.elapsed()
}

/// Of five kinds, of which four do not hold.
fn five_rules(last: Condition) -> Result<Targeted<Sticky>> {
    Targeted::new(Sticky::new(split()?, "salt"))
        .with_rule("staff", Condition::equals("staff", "yes"), variant("canary")?)?
        .with_rule("nordics", Condition::one_of("country", ["SE", "DK", "FI", "IS"]), variant("canary")?)?
        .with_rule("old", Condition::prefix("app", "1."), variant("stable")?)?
        .with_rule("sample", Condition::sample(0.001, "sample"), variant("canary")?)?
        .with_rule("new", last, variant("canary")?)
}

/// A holdout around a layer around rules around a sticky router, all of it shadowed.
fn composed() -> Result<impl Router> {
    let rules = five_rules(Condition::version("app", ">=3.0.0"))?;
    let layer = Exclusive::new("layer", Weighted::new(split()?)).with_experiment("all", 0.0..1.0, rules)?;
    Shadowed::new(Holdout::new(layer, variant("stable")?, 0.0, "holdout")?, variant("next")?, 1.0)
}

fn split() -> Result<TrafficSplit> {
    let canary = variant("canary")?;
    let split = TrafficSplit::new(variant("stable")?, [canary.clone()]);
    split.set(&canary, 0.25).map(|()| split)
}

fn variant(name: &str) -> Result<Variant> {
    Variant::new(name)
}

criterion_group!(benches, routers);
criterion_main!(benches);
