//! Versions and aliases obey the rules of a release: compatible numbers, approvals, gates, and a way back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{champion, name, new, select, v};
use mlops_core::{
    AliasMove, DType, Deletion, Deprecation, Dimension, Error, ModelId, NewReport, NewVersion, Protection,
    Registry, Result, Rollback, Signature, Stage, TensorSpec,
};
use mlops_registry::{LineageGraph, NewApproval, ObjectStoreRegistry, Protecting, model_card};

fn id(version: &str) -> ModelId {
    ModelId::new(name("fraud"), v(version))
}

fn promote(version: &str) -> AliasMove {
    AliasMove::new(name("fraud"), champion(), v(version))
}

fn denied<T: std::fmt::Debug>(result: Result<T>, says: &[&str]) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
    for says in says {
        assert!(error.to_string().contains(says), "should say {says}: {error}");
    }
}

async fn with_versions(versions: &[&str]) -> ObjectStoreRegistry {
    let registry = ObjectStoreRegistry::in_memory();
    for version in versions {
        registry.register(new("fraud", version)).await.unwrap();
    }
    registry
}

#[tokio::test]
async fn a_compatible_signature_needs_a_minor_version_at_least() {
    let signature = |optional: bool| {
        let x = TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(4)]);
        let extra = TensorSpec::new("extra", DType::Fp32, [Dimension::Batch]).optional();
        let y = TensorSpec::new("y", DType::Fp32, [Dimension::Batch]);
        Signature::new([x].into_iter().chain(optional.then_some(extra)), [y]).unwrap()
    };
    let registry = ObjectStoreRegistry::in_memory();
    let register = |version: &str, optional| {
        registry.register(NewVersion::new(name("fraud"), signature(optional)).with_version(v(version)))
    };
    register("1.0.0", false).await.unwrap();
    register("1.0.1", false).await.unwrap();
    let error = register("1.0.2", true).await.unwrap_err();
    assert_eq!(error.label(), "conflict");
    assert!(error.to_string().contains("from fraud 1.0.1 to 1.0.2 the signature changes"), "{error}");
    assert!(error.to_string().contains("at least a new minor version"), "{error}");
    register("1.1.0", true).await.unwrap();
    // Between the two there is room for either, but not in their minor versions.
    let error = register("1.1.1", false).await.unwrap_err();
    assert!(error.to_string().contains("needs a new major version: register it as 2.0.0"), "{error}");
    register("1.0.3", false).await.unwrap();
    register("0.3.0", true).await.unwrap();
    register("1.2.0-rc.1", false).await.unwrap();
}

#[tokio::test]
async fn a_protected_alias_waits_for_approvals_and_gates() {
    let registry = with_versions(&["1.0.0", "2.0.0", "3.0.0"]).await;
    registry.move_alias(promote("1.0.0")).await.unwrap();
    let protection = Protection::default().with_approvals(2).with_passed_gate();
    let protect = Protecting::new(name("fraud"), champion(), protection).by("alice");
    let event = registry.protect(protect).await.unwrap();
    assert_eq!(event.change.to_string(), "@champion demands 2 approvals and a passed gate");

    let approve = |who: &str| registry.approve(NewApproval::new(id("2.0.0"), champion(), who));
    let gate = |name: &str, passed| registry.report(NewReport::gate(id("2.0.0"), name, passed));
    denied(
        registry.move_alias(promote("2.0.0")).await,
        &["2 different people", "nobody", "none has reported"],
    );
    approve("bob").await.unwrap();
    approve("bob").await.unwrap();
    gate("accuracy", false).await.unwrap();
    denied(registry.move_alias(promote("2.0.0")).await, &["(approved by bob)", "(failed: accuracy)"]);
    approve("carol").await.unwrap();
    gate("accuracy", true).await.unwrap();
    gate("fairness", false).await.unwrap();
    denied(registry.move_alias(promote("2.0.0")).await, &["(failed: fairness)"]);
    gate("fairness", true).await.unwrap();
    registry.report(NewReport::evaluation(id("2.0.0"), "speed")).await.unwrap();
    registry.move_alias(promote("2.0.0")).await.unwrap();

    // Approvals are for one version and one alias; other aliases are free.
    denied(registry.move_alias(promote("3.0.0")).await, &["2 different people"]);
    let other = AliasMove::new(name("fraud"), mlops_core::Alias::new("candidate").unwrap(), v("3.0.0"));
    registry.move_alias(other).await.unwrap();
    let error = registry.approve(NewApproval::new(id("3.0.0"), champion(), "")).await.unwrap_err();
    assert_eq!(error.label(), "invalid_input", "{error}");
    let error = registry.approve(NewApproval::new(id("9.0.0"), champion(), "bob")).await.unwrap_err();
    assert_eq!(error.label(), "not_found", "{error}");

    let version = registry.resolve(&name("fraud"), &select("@champion")).await.unwrap();
    let approvers: Vec<_> = version.approvals.iter().map(|approval| approval.by.as_str()).collect();
    assert_eq!(approvers, ["bob", "bob", "carol"]);
    registry.protect(Protecting::lifted(name("fraud"), champion())).await.unwrap();
    registry.move_alias(promote("3.0.0")).await.unwrap();
}

#[tokio::test]
async fn the_way_back_waits_for_nobody() {
    let registry = with_versions(&["1.0.0", "2.0.0"]).await;
    registry.move_alias(promote("1.0.0")).await.unwrap();
    registry.move_alias(promote("2.0.0")).await.unwrap();
    let protection = Protection::default().with_approvals(1);
    registry.protect(Protecting::new(name("fraud"), champion(), protection)).await.unwrap();
    let back = Rollback::new(name("fraud"), champion()).by("rollout").because("error rate");
    assert_eq!(
        registry.rollback(back).await.unwrap().change.to_string(),
        "@champion: 2.0.0 -> 1.0.0 (error rate)"
    );
    registry.move_alias(AliasMove::removal(name("fraud"), champion())).await.unwrap();
    registry.move_alias(promote("2.0.0")).await.unwrap();
}

#[tokio::test]
async fn stages_are_aliases() {
    let registry = with_versions(&["1.0.0", "2.0.0"]).await;
    assert_eq!(Stage::Development.alias(), None);
    for (stage, version) in [(Stage::Staging, "2.0.0"), (Stage::Production, "1.0.0")] {
        let alias = stage.alias().unwrap();
        registry.move_alias(AliasMove::new(name("fraud"), alias, v(version))).await.unwrap();
        assert_eq!(registry.resolve(&name("fraud"), &select(version)).await.unwrap().stage(), stage);
    }
}

#[tokio::test]
async fn a_deleted_version_says_so_and_keeps_its_number_for_ever() {
    let registry = with_versions(&["1.0.0", "2.0.0"]).await;
    registry.delete(Deletion::new(id("2.0.0")).by("alice").because("leaked")).await.unwrap();
    let error = registry.resolve(&name("fraud"), &select("2.0.0")).await.unwrap_err().to_string();
    assert!(error.contains("fraud 2.0.0 was deleted at") && error.ends_with("by alice: leaked"), "{error}");
    for version in ["2.0.0", "2.0.0+build"] {
        let error = registry.register(new("fraud", version)).await.unwrap_err();
        assert_eq!(error.label(), "conflict", "{error}");
        assert!(error.to_string().contains("is registered already and deleted"), "{error}");
    }
    let next = registry.register(common::next("fraud")).await.unwrap();
    assert_eq!(next.id.version, v("3.0.0"), "the next number is not that of a deleted version");
}

#[tokio::test]
async fn lineage_is_followed_up_and_down() {
    let registry = ObjectStoreRegistry::in_memory();
    let child = |model: &str, parents: &[&ModelId]| {
        let lineage = parents
            .iter()
            .fold(mlops_core::Lineage::default(), |lineage, parent| lineage.with_parent((*parent).clone()));
        new(model, "1.0.0").with_lineage(lineage)
    };
    let elsewhere = ModelId::new(name("elsewhere"), v("1.0.0"));
    let base = registry.register(child("base", &[&elsewhere])).await.unwrap().id;
    let tuned = registry.register(child("tuned", &[&base])).await.unwrap().id;
    let other = registry.register(child("other", &[&base])).await.unwrap().id;
    let merged = registry.register(child("merged", &[&tuned, &other])).await.unwrap().id;
    let graph = LineageGraph::of(&registry).await.unwrap();
    assert_eq!(graph.ancestors(&merged), [other.clone(), tuned.clone(), base.clone(), elsewhere.clone()]);
    assert_eq!(graph.descendants(&elsewhere), [base.clone(), other.clone(), tuned.clone(), merged.clone()]);
    assert!(graph.descendants(&merged).is_empty());
}

#[tokio::test]
async fn the_model_card_says_what_is_known() {
    let registry = ObjectStoreRegistry::in_memory();
    let lineage = mlops_core::Lineage::default().with_code("4f1c2e7").with_data_rows(12);
    let registered = new("fraud", "1.0.0")
        .with_description("Says how likely fraud is.\n\nNot for loans.")
        .with_metric("auc", 0.97)
        .with_parameter("a|b", "two\nlines")
        .with_tag("team", "risk")
        .with_lineage(lineage)
        .with_artifact("weights", &b"..."[..])
        .by("ci");
    registry.register(registered).await.unwrap();
    let report = NewReport::gate(id("1.0.0"), "accuracy", true).with_metric("auc", 0.97).with_summary("good");
    registry.report(report).await.unwrap();
    registry.deprecate(Deprecation::new(id("1.0.0"), "use 2.0.0")).await.unwrap();
    registry.move_alias(promote("1.0.0")).await.unwrap();
    let version = registry.resolve(&name("fraud"), &select("@champion")).await.unwrap();
    let card = model_card(&version);
    assert!(
        card.starts_with("# fraud 1.0.0\n\n**Deprecated:** use 2.0.0\n\nSays how likely fraud is.\n"),
        "{card}"
    );
    for line in [
        "Aliases: `champion`.",
        "| input | x | FP32 | [batch, 4] |",
        "| auc | 0.97 |",
        "| a\\|b | two<br>lines |",
        "| team | risk |",
        "| code | 4f1c2e7 |",
        "| rows | 12 |",
        "| weights | 3 | sha256:ab5df625bc76dbd4e163bed2dd888df828f90159bb93556525c31821b6541d46 |",
    ] {
        assert!(card.lines().any(|found| found == line), "{line} is missing:\n{card}");
    }
    assert!(card.contains("| accuracy | passed | auc 0.97 | good |"), "{card}");
}
