//! What is refused, in which words, and what is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{champion, name, new, next, select, signature, v};
use mlops_core::{
    Alias, AliasMove, Clock, Deprecation, Lineage, ManualClock, ModelId, NewReport, NewVersion, Protection,
    Registry, Tagging,
};
use mlops_registry::{NewApproval, ObjectStoreRegistry, Protecting, limits};

fn with_scores(version: &str, scores: usize) -> NewVersion {
    NewVersion::new(name("fraud"), signature(scores)).with_version(v(version))
}

#[tokio::test]
async fn a_breaking_signature_needs_a_new_major_version() {
    let registry = ObjectStoreRegistry::in_memory();
    // (version, scores, whether it is registered)
    for (version, scores, fits) in [
        ("0.1.0", 3, true),
        ("0.1.1", 4, true),
        ("1.0.0", 10, true),
        ("1.0.1", 10, true),
        ("1.1.0", 12, false),
        ("1.1.0-rc.1", 12, true),
        ("1.1.0", 10, true),
        ("2.0.0-rc.1", 12, true),
        ("2.1.0", 14, true),
        ("2.0.0", 12, false),
        ("2.0.0", 14, true),
        ("3.0.0", 10, true),
    ] {
        let result = registry.register(with_scores(version, scores)).await;
        assert_eq!(result.is_ok(), fits, "{version} with {scores} scores: {result:?}");
    }
    let error = registry.register(with_scores("1.2.0", 12)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "conflict: from fraud 1.1.0 to 1.2.0 the signature changes in a way that breaks callers (breaking: output \
         `scores` changes from FP32 [batch, 10] to FP32 [batch, 12]), which needs a new major version: register it \
         as 4.0.0"
    );
    let next = NewVersion::new(name("fraud"), signature(99));
    assert_eq!(registry.register(next).await.unwrap().id.version, v("4.0.0"));
}

#[tokio::test]
async fn build_metadata_makes_no_other_version() {
    let registry = ObjectStoreRegistry::in_memory();
    registry.register(new("fraud", "1.0.0+abc")).await.unwrap();
    let error = registry.register(new("fraud", "1.0.0+def")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "conflict: fraud 1.0.0+abc is registered already, and build metadata makes no other version; versions are \
         immutable"
    );
}

#[tokio::test]
async fn the_last_major_version_has_no_next() {
    let registry = ObjectStoreRegistry::in_memory();
    registry.register(new("fraud", &format!("{}.0.0", u64::MAX))).await.unwrap();
    assert_eq!(registry.register(next("fraud")).await.unwrap_err().label(), "conflict");
}

#[tokio::test]
async fn errors_say_what_there_is_instead() {
    let registry = ObjectStoreRegistry::in_memory();
    let of = async |model: &str, selector: &str| {
        registry.resolve(&name(model), &select(selector)).await.unwrap_err().to_string()
    };
    assert_eq!(of("froud", "latest").await, "not found: no model `froud`; there is none");
    for minor in 0..12 {
        registry.register(new("fraud", &format!("1.{minor}.0"))).await.unwrap();
    }
    let version = registry.register(new("digits", "1.0.0").with_artifact("weights", &b""[..])).await.unwrap();
    assert_eq!(of("froud", "latest").await, "not found: no model `froud`; there are digits, fraud");
    assert_eq!(of("digits", "2.0.0").await, "not found: `digits` has no version 2.0.0; there is 1.0.0");
    assert_eq!(
        of("fraud", "2.0.0").await,
        "not found: `fraud` has no version 2.0.0; there are 1.11.0, 1.10.0, 1.9.0, 1.8.0, 1.7.0, 1.6.0, 1.5.0, \
         1.4.0, 1.3.0, 1.2.0 and 2 more"
    );
    assert_eq!(of("digits", "@champion").await, "not found: `digits` has no alias `champion`; there is none");
    let error = registry.fetch(&version, "biases").await.unwrap_err();
    assert_eq!(error.to_string(), "not found: digits 1.0.0 has no artifact `biases`; there is weights");
    let error = registry.tag(Tagging::remove(version.id, "gate")).await.unwrap_err();
    assert_eq!(error.to_string(), "not found: digits 1.0.0 has no tag `gate`; there is none");

    let change = AliasMove::new(name("digits"), champion(), v("1.0.0"));
    let error = registry.move_alias(change.expecting(Some(v("0.1.0")))).await.unwrap_err();
    assert_eq!(error.to_string(), "conflict: `champion` of `digits` points to nowhere, not to 0.1.0");
}

#[tokio::test]
async fn hostile_artifact_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let registry = ObjectStoreRegistry::local(folder.path().join("registry")).await.unwrap();
    let long = "a".repeat(129);
    // What is a device on Windows, and what it takes for another name, is refused on all systems alike.
    for hostile in [
        "",
        ".",
        "..",
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "a\0",
        "-rf",
        "ü",
        "a\n",
        "%2e",
        &long,
        "~",
        "C:",
        "a:b",
        "a#1",
        "con",
        "CON",
        "nul.onnx",
        "Com1.tar.gz",
        "lpt9",
        "aux",
        "weights.",
        "..weights",
        ".weights",
    ] {
        let error = registry.register(next("fraud").with_artifact(hostile, &b"x"[..])).await.unwrap_err();
        assert_eq!(error.label(), "invalid_input", "{hostile:?}: {error}");
        assert!(error.to_string().len() < 300 && !error.to_string().contains('\n'), "{error}");
    }
    let both = next("fraud").with_artifact("Weights", &b"x"[..]).with_artifact("weights", &b"x"[..]);
    let error = registry.register(both).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid input: the artifacts `Weights` and `weights` differ in nothing but capital letters"
    );
    assert!(registry.models().await.unwrap().is_empty());
    let files = std::fs::read_dir(folder.path().join("registry")).unwrap().count();
    assert_eq!(files, 0, "what is refused leaves nothing behind");
}

#[tokio::test]
async fn what_is_too_large_or_not_a_number_is_refused() {
    let registry = ObjectStoreRegistry::in_memory();
    let text = |length: usize| "x".repeat(length);
    let many = |make: fn(NewVersion, String) -> NewVersion| {
        (0..=limits::MAX_ENTRIES).fold(next("fraud"), |new, index| make(new, format!("n{index}")))
    };
    let full_map = || {
        let value = text(limits::MAX_VALUE_BYTES);
        (0..limits::MAX_ENTRIES).fold(next("fraud"), |new, index| new.with_tag(index.to_string(), &value))
    };
    let environment =
        |value: String| next("fraud").with_lineage(Lineage::default().with_environment("e", value));
    let version = format!("1.0.0-{}", text(limits::MAX_NAME_BYTES));
    for (new, message) in [
        (next("fraud").with_metric("auc", f64::NAN), "`auc` is NaN; metrics must be finite"),
        (next("fraud").with_metric("auc", f64::INFINITY), "`auc` is inf; metrics must be finite"),
        (next("fraud").with_metric("", 1.0), "the name of a metric is empty"),
        (next("fraud").with_tag("a\nb", ""), r"the name of a tag, `a\nb`, contains a control character"),
        (next("fraud").with_tag(text(251), ""), "the name of a tag has 251 bytes; at most 250 are allowed"),
        (
            next("fraud").with_tag("t", text(limits::MAX_VALUE_BYTES + 1)),
            "the value of the tag `t` has 8193 bytes",
        ),
        (next("fraud").with_parameter("p", text(8193)), "the value of the parameter `p` has 8193 bytes"),
        (environment(text(8193)), "the value of the environment `e` has 8193 bytes"),
        (next("fraud").with_description(text(65537)), "the description has 65537 bytes; at most 65536"),
        (next("fraud").by(text(251)), "the actor has 251 bytes"),
        (
            next("fraud").by("ci\nroot: deleted 1.0.0"),
            r"the actor, `ci\nroot: deleted 1.0.0`, contains a control",
        ),
        (new("fraud", &version), "the version has 256 bytes"),
        (many(|new, name| new.with_metric(name, 1.0)), "1001 metrics; at most 1000"),
        (many(|new, name| new.with_tag(name, "")), "1001 entries of kind tag; at most 1000"),
        (many(|new, name| new.with_artifact(name, &b""[..])), "1001 artifacts; at most 1000"),
        (full_map(), "bytes in the log, the content of artifacts not counted; at most 4194304 are allowed"),
    ] {
        let error = registry.register(new).await.unwrap_err();
        assert_eq!(error.label(), "invalid_input", "{error}");
        assert!(error.to_string().contains(message), "{error}\nshould say: {message}");
    }
    let id = registry.register(new("fraud", "1.0.0")).await.unwrap().id;
    for change in [
        Tagging::set(id.clone(), "", "x"),
        Tagging::set(id.clone(), "t", text(8193)),
        Tagging::set(id.clone(), "t", "x").by(text(251)),
    ] {
        assert_eq!(registry.tag(change).await.unwrap_err().label(), "invalid_input");
    }
    let change = AliasMove::new(id.name.clone(), champion(), id.version).because(text(65537));
    assert_eq!(registry.move_alias(change).await.unwrap_err().label(), "invalid_input");
    assert_eq!(registry.history(&id.name).await.unwrap().len(), 1);
}

#[tokio::test]
async fn time_comes_from_the_clock() {
    let clock = ManualClock::default();
    let registry = ObjectStoreRegistry::in_memory().with_clock(clock.clone());
    clock.advance(Duration::from_secs(60));
    let version = registry.register(new("fraud", "1.0.0")).await.unwrap();
    assert_eq!(version.registered_at, clock.now());
    clock.advance(Duration::from_nanos(1));
    let id = ModelId::new(name("fraud"), v("1.0.0"));
    assert_eq!(registry.tag(Tagging::set(id, "a", "b")).await.unwrap().at, clock.now());
    assert_eq!(
        registry.resolve(&name("fraud"), &select("1.0.0")).await.unwrap().registered_at.as_second(),
        60
    );
}

#[tokio::test]
async fn it_says_where_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("a team's models#1/ü");
    let registry = ObjectStoreRegistry::local(&path).await.unwrap();
    assert_eq!(registry.root(), format!("file://{}", path.display()));
    assert_eq!(registry.to_string(), registry.root());
    assert_eq!(ObjectStoreRegistry::in_memory().to_string(), "memory:///");
    registry.register(new("fraud", "1.0.0")).await.unwrap();
    let reopened = ObjectStoreRegistry::local(&path).await.unwrap();
    assert_eq!(reopened.models().await.unwrap(), [name("fraud")]);
}

/// What is added one by one is counted, too: no version and no model grows without bound, and the error says why.
#[tokio::test]
async fn what_comes_one_by_one_is_limited_too() {
    let registry = ObjectStoreRegistry::in_memory();
    let full =
        (0..limits::MAX_ENTRIES).fold(next("fraud"), |new, index| new.with_tag(index.to_string(), "x"));
    let id = registry.register(full).await.unwrap().id;
    let alias = |index: usize| Alias::new(format!("a{index}")).unwrap();
    let point = |index| AliasMove::new(name("fraud"), alias(index), v("1.0.0"));
    let protect = |index| Protecting::new(name("fraud"), alias(index), Protection::default());
    for index in 0..limits::MAX_ENTRIES {
        registry.move_alias(point(index)).await.unwrap();
        registry.protect(protect(index)).await.unwrap();
    }
    for (error, what) in [
        (registry.tag(Tagging::set(id.clone(), "more", "")).await, "fraud 1.0.0 has 1000 tags"),
        (registry.move_alias(point(1000)).await, "`fraud` has 1000 aliases"),
        (registry.protect(protect(1000)).await, "`fraud` has 1000 protected aliases"),
    ] {
        let expected = format!("invalid input: {what} already; at most 1000 are allowed");
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
    // What is there changes and goes, and then there is room again.
    registry.tag(Tagging::set(id.clone(), "7", "y")).await.unwrap();
    registry.tag(Tagging::remove(id.clone(), "8")).await.unwrap();
    registry.tag(Tagging::set(id.clone(), "more", "")).await.unwrap();
    registry.protect(protect(7)).await.unwrap();
    registry.move_alias(AliasMove::removal(name("fraud"), alias(8))).await.unwrap();
    registry.move_alias(point(1000)).await.unwrap();
}

#[tokio::test]
async fn reports_and_approvals_of_a_version_are_limited() {
    let registry = ObjectStoreRegistry::in_memory();
    let id = registry.register(next("fraud")).await.unwrap().id;
    for _ in 0..limits::MAX_ENTRIES {
        registry.approve(NewApproval::new(id.clone(), champion(), "alice")).await.unwrap();
    }
    let error = registry.approve(NewApproval::new(id.clone(), champion(), "bob")).await.unwrap_err();
    let expected = format!("invalid input: {id} has 1000 approvals already; at most 1000 are allowed");
    assert_eq!(error.to_string(), expected);
    let large = registry.register(next("fraud")).await.unwrap().id;
    let report =
        || NewReport::evaluation(large.clone(), "e").with_summary("\u{1}".repeat(limits::MAX_TEXT_BYTES));
    let error = report_until_refused(&registry, report).await;
    let reports = registry.versions(&name("fraud")).await.unwrap()[1].reports.len();
    assert!((20..=22).contains(&reports), "{reports} reports of 6 * 64 KiB in 8 MiB");
    assert!(error.contains("the content of artifacts not counted; at most 8388608 are allowed"), "{error}");
    registry.deprecate(Deprecation::new(large, "too much was written about it")).await.unwrap();
}

async fn report_until_refused(registry: &ObjectStoreRegistry, report: impl Fn() -> NewReport) -> String {
    loop {
        if let Err(error) = registry.report(report()).await {
            return error.to_string();
        }
    }
}
