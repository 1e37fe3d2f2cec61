use mlops_core::{Reason, Router, RoutingContext};

use super::*;
use crate::{Sticky, TrafficSplit};

const EVERYTHING: &str = r#"
kind = "shadowed"
shadow = "next"
share = 1

[router]
kind = "holdout"
variant = "stable"
share = 0.05
salt = "2026"

[router.router]
kind = "targeted"

[[router.router.rules]]
name = "outside"
when = { not = { any = [{ prefix = { attribute = "net", prefix = "10." } }, { exists = { attribute = "vpn" } }] } }
variant = "stable"

[[router.router.rules]]
name = "tenth"
when = { all = [{ sample = { share = 0.1, salt = "tenth" } }, { key_in = ["a", "b"] }] }
router = { kind = "bandit", arms = ["next", "other"], policy = "thompson", floor = 0.1, half_life = 1000 }

[[router.router.rules]]
name = "testers"
when = { version = { attribute = "app", matches = ">=3.0.0" } }
router = { kind = "blue_green", blue = "stable", green = "next", preview = { one_of = { attribute = "who", values = ["me"] } } }

[router.router.otherwise]
kind = "exclusive"
salt = "layer"
hash = "growthbook_v1"
attribute = "account"

[[router.router.otherwise.experiments]]
name = "widths"
start = 0
end = 0.5
router = { kind = "sticky", name = "widths", salt = "widths", hash = "unleash_variant", default = "stable", shares = [{ variant = "next", share = 0.25 }] }

[router.router.otherwise.otherwise]
kind = "weighted"
default = "stable"
shares = [{ variant = "next", share = 0.25 }, { variant = "other", share = 0.75 }]
"#;

#[test]
fn everything_that_can_be_written_down_is_built_and_found() {
    let spec = RouterSpec::from_toml(EVERYTHING).unwrap();
    let router = spec.build().unwrap();
    let names: Vec<_> = router.variants().iter().map(Variant::as_str).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(router.split("weighted").unwrap().shares().count(), 3);
    assert_eq!(router.split("widths").unwrap().shares().count(), 2);
    assert_eq!(router.bandit("bandit").unwrap().shares().len(), 2);
    assert_eq!(router.blue_green("blue_green").unwrap().live().as_str(), "stable");
    assert_eq!(router.shadow("shadowed").unwrap().now(), 1.0);
    assert!(router.split("sticky").is_none() && router.bandit("weighted").is_none());

    let outside = RoutingContext::new().with_attribute("net", "192.168.0.1");
    let decision = router.route(&outside);
    assert_eq!((decision.variant().as_str(), decision.reason()), ("stable", &Reason::targeted("outside")));
    assert_eq!(decision.shadows().len(), 1);
    router.shadow("shadowed").unwrap().set(0.0).unwrap();
    assert!(router.route(&outside).shadows().is_empty());

    let tester = RoutingContext::new().with_attribute("vpn", "").with_attribute("app", "v3.1");
    assert_eq!(router.route(&tester).variant().as_str(), "stable");
    router.blue_green("blue_green").unwrap().flip();
    assert_eq!(router.route(&tester).variant().as_str(), "next");

    let weighted = RoutingContext::new().with_attribute("vpn", "");
    let next = Variant::new("next").unwrap();
    router
        .split("weighted")
        .unwrap()
        .set_all([(&next, 1.0), (&Variant::new("other").unwrap(), 0.0)])
        .unwrap();
    assert!((0..100).all(|_| *router.route(&weighted).variant() == next));
}

#[test]
fn serde_keeps_a_specification() {
    let spec = RouterSpec::from_toml(EVERYTHING).unwrap();
    let json = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<RouterSpec>(&json).unwrap(), spec);
}

#[test]
fn a_router_of_a_specification_is_the_one_of_code() {
    let toml = r#"kind = "sticky"
        salt = "salt"
        default = "stable"
        shares = [{ variant = "b", share = 0.3 }, { variant = "a", share = 0.3 }]"#;
    let configured = RouterSpec::from_toml(toml).unwrap().build().unwrap();
    let [stable, a, b] = ["stable", "a", "b"].map(|name| Variant::new(name).unwrap());
    let split = TrafficSplit::new(stable, [b.clone(), a.clone()]);
    split.set_all([(&a, 0.3), (&b, 0.3)]).unwrap();
    let coded = Sticky::new(split, "salt");
    for user in 0..500 {
        let context = RoutingContext::new().with_key(user.to_string());
        assert_eq!(configured.route(&context), coded.route(&context));
    }
}

fn targeted(rule: &str) -> String {
    format!(
        "kind = \"targeted\"\notherwise = {{ kind = \"always\", variant = \"stable\" }}\nrules = [{rule}]"
    )
}

fn fault(toml: &str) -> String {
    let error = RouterSpec::from_toml(toml).and_then(|spec| spec.build().map(|_| ())).unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    error.to_string()
}

#[test]
fn faults_name_the_rule() {
    let exists = r#"{ exists = { attribute = "a" } }"#;
    for (rule, why) in [
        (
            r#"{ name = "beta", when = { equal = 1 }, variant = "next" }"#.to_owned(),
            "unknown variant `equal`",
        ),
        (
            r#"{ name = "beta", when = { equals = { attribute = "a" } }, variant = "next" }"#.into(),
            "missing field `value`",
        ),
        (
            r#"{ name = "beta", when = { exists = { attribut = "a" } }, variant = "next" }"#.into(),
            "unknown field `attribut`",
        ),
        (
            r#"{ name = "beta", when = { version = { attribute = "a", matches = "2" } }, variant = "next" }"#
                .into(),
            "compares with no version",
        ),
        (
            r#"{ name = "beta", when = { sample = { share = 5, salt = "s" } }, variant = "next" }"#.into(),
            "5 is no share",
        ),
        (r#"{ name = "beta", variant = "next" }"#.into(), "missing field `when`"),
        (format!(r#"{{ name = "beta", when = {exists}, variant = "a b" }}"#), "only ASCII letters"),
        (format!(r#"{{ name = "beta", when = {exists}, variants = "next" }}"#), "unknown field `variants`"),
        (format!(r#"{{ name = "beta", when = {exists} }}"#), "needs either a `variant` or a `router`"),
        (
            format!(
                r#"{{ name = "beta", when = {exists}, router = {{ kind = "sticky", default = "stable", shares = [] }} }}"#
            ),
            "missing field `salt`",
        ),
        (
            format!(
                r#"{{ name = "beta", when = {exists}, router = {{ kind = "bandit", arms = ["a"], policy = "thompson" }} }}"#
            ),
            "two arms or more",
        ),
    ] {
        let fault = fault(&targeted(&rule));
        assert!(fault.contains("the rule `beta`") && fault.contains(why), "{fault}");
    }
    let nameless = fault(&targeted(&format!(r#"{{ when = {exists}, variant = "next" }}"#)));
    assert!(nameless.contains("one rule has no `name`"), "{nameless}");
    let one = format!(r#"{{ name = "beta", when = {exists}, variant = "next" }}"#);
    let twice = fault(&targeted(&format!("{one}, {one}")));
    assert!(twice.contains("there is a rule `beta` already"), "{twice}");
}

#[test]
fn other_faults_say_where_they_are() {
    let always = r#"{ kind = "always", variant = "stable" }"#;
    let experiment = |name: &str, slice: &str, salt: &str| {
        format!(
            r#"{{ name = "{name}", {slice}, router = {{ kind = "sticky", name = "{name}", salt = "{salt}", default = "stable", shares = [] }} }}"#
        )
    };
    let layer = |experiments: &[String]| {
        format!(
            "kind = \"exclusive\"\nsalt = \"layer\"\notherwise = {always}\nexperiments = [{}]",
            experiments.join(", ")
        )
    };
    for (toml, why) in [
        ("kind = \"sticky\"\nsalt 3".to_owned(), "line 2"),
        ("kind = \"stickky\"".into(), "unknown variant `stickky`"),
        ("kind = \"always\"\nvariant = \"a\"\nshare = 1".into(), "unknown field `share`"),
        (
            r#"kind = "weighted"
            default = "stable"
            shares = [{ variant = "a", share = 0.7 }, { variant = "b", share = 0.7 }]"#
                .into(),
            "the split `weighted`: the shares",
        ),
        (
            r#"kind = "weighted"
            default = "stable"
            shares = [{ variant = "a", share = 0.1 }, { variant = "a", share = 0.2 }]"#
                .into(),
            "the variant `a` comes twice",
        ),
        (
            r#"kind = "weighted"
            default = "stable"
            shares = [{ variant = "stable", share = 0.1 }]"#
                .into(),
            "`stable` is the default",
        ),
        (layer(&[experiment("a", "start = 0, end = 0.6", "a"), experiment("b", "start = 0.5, end = 1", "b")]), "overlaps `a`"),
        (layer(&[experiment("a", "start = 0.5, end = 0.1", "a")]), "the experiment `a`"),
        (layer(&[experiment("a", "start = 0, ende = 0.1", "a")]), "the experiment `a`: unknown field `ende`"),
        (layer(&[experiment("a", "start = 0, end = 0.1", "layer")]), "the experiment `a`: the salt `layer`"),
        (
            format!(
                "kind = \"holdout\"\nsalt = \"s\"\nshare = 0.1\nvariant = \"stable\"\n\
                 router = {{ kind = \"holdout\", salt = \"s\", share = 0.1, variant = \"a\", router = {always} }}"
            ),
            "the salt `s` is that of the layer or holdout around",
        ),
        (
            targeted(
                r#"{ name = "beta", when = { exists = { attribute = "a" } }, router = { kind = "weighted", default = "a", shares = [] } }"#,
            )
            .replace(always, r#"{ kind = "weighted", default = "a", shares = [] }"#),
            "two routers have the name `weighted`",
        ),
    ] {
        let fault = fault(&toml);
        assert!(fault.contains(why), "{fault}");
    }
}
