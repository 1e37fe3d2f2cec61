//! The contract of [`Router`].

use std::thread;
use std::time::{Duration, Instant};

use crate::{Decision, Router, RoutingContext, Variant};

/// Exercises `router`, which knows `variants` and no others, with contexts of all kinds.
///
/// # Panics
/// With the promise that was broken.
pub fn check(router: &impl Router, variants: &[Variant]) {
    for context in contexts() {
        for _ in 0..100 {
            decision_is_sound(&router.route(&context), variants, &context);
        }
    }
    many_threads_may_ask(router, variants);
    takes_no_time(router);
}

/// [`check`], and in addition for routers that assign by key: the same key goes to the same variant,
/// whatever else is known of the request and whoever was routed in between.
///
/// # Panics
/// With the promise that was broken.
pub fn check_sticky(router: &impl Router, variants: &[Variant]) {
    check(router, variants);
    let keyed = |key: &str| RoutingContext::new().with_key(key);
    let assigned = |context: &RoutingContext| router.route(context).variant().clone();
    let keys: Vec<String> = (0..500).map(|user| format!("user-{user}")).collect();
    let first: Vec<Variant> = keys.iter().map(|key| assigned(&keyed(key))).collect();
    for (key, first) in keys.iter().zip(&first).rev() {
        let again = assigned(&keyed(key));
        assert_eq!(&again, first, "the key `{key}` went to `{first}` and then to `{again}`");
    }
    let others = thread::scope(|scope| {
        let assign = || keys.iter().map(|key| assigned(&keyed(key))).collect::<Vec<_>>();
        scope.spawn(assign).join().expect("routing does not panic")
    });
    assert_eq!(others, first, "another thread assigns keys otherwise");
}

/// Callers that are silent, verbose, foreign and hostile.
fn contexts() -> Vec<RoutingContext> {
    let empty = RoutingContext::new();
    let keys = ["", " ", "user-42", "\0", "\u{202e}\u{1f980}\u{301}", "../../etc/passwd", "' OR 1=1 --"];
    let mut contexts: Vec<_> = keys.iter().map(|key| empty.clone().with_key(*key)).collect();
    contexts.push(empty.clone().with_key("k".repeat(1 << 20)));
    contexts.push((0..1_000).fold(empty.clone(), |context, index| {
        context.with_attribute(format!("attribute-{index}"), "v".repeat(index))
    }));
    contexts.push(empty.clone().with_attribute("", ""));
    contexts.push(empty);
    contexts
}

fn decision_is_sound(decision: &Decision, variants: &[Variant], context: &RoutingContext) {
    let (variant, shadows) = (decision.variant(), decision.shadows());
    let asked = || context.key().map(|key| key.chars().take(40).collect::<String>());
    assert!(variants.contains(variant), "routes to the unknown variant `{variant}` (key {:?})", asked());
    for (index, shadow) in shadows.iter().enumerate() {
        assert!(variants.contains(shadow), "shadows to the unknown variant `{shadow}` (key {:?})", asked());
        assert_ne!(shadow, variant, "the variant that answers shadows itself");
        assert!(!shadows[..index].contains(shadow), "the shadow `{shadow}` comes twice");
    }
    assert!(!decision.reason().to_string().is_empty(), "a decision says why");
}

fn many_threads_may_ask(router: &impl Router, variants: &[Variant]) {
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for user in 0..1_000 {
                    let context = RoutingContext::new().with_key(format!("{thread}-{user}"));
                    decision_is_sound(&router.route(&context), variants, &context);
                }
            });
        }
    });
}

/// A generous bound on nanoseconds: one that sleeps, asks a server or reads a file exceeds it.
fn takes_no_time(router: &impl Router) {
    const DECISIONS: u32 = 10_000;
    let context = RoutingContext::new().with_key("user-42");
    let best = (0..3).map(|_| {
        let began = Instant::now();
        (0..DECISIONS).for_each(|_| drop(std::hint::black_box(router.route(&context))));
        began.elapsed() / DECISIONS
    });
    let best = best.min().unwrap_or_default();
    assert!(best < Duration::from_micros(50), "a decision takes {best:?}; routers take nanoseconds");
}
