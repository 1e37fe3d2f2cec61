//! The contract of [`Registry`], as a test suite.

mod support;

use semver::Version;

use self::support::{
    champion, collect, history, name, new, next, one_by_one, refused, resolve, signature, v, winner,
};
use super::both;
use crate::{
    Alias, AliasHistory, AliasMove, Artifact, AuditChange, Content, Deletion, Deprecation, Digest, Lineage,
    ModelId, NewReport, NewVersion, Query, Registry, Rollback, Stage, Tagging,
};

/// Checks the whole contract of [`Registry`]. `make` gives a fresh, empty registry each time.
///
/// ```
/// use mlops_core::{Registry, conformance};
///
/// async fn conforms<R: Registry + Default>() {
///     conformance::registry::check(async || R::default()).await;
/// }
/// ```
///
/// # Panics
/// With the first broken promise.
pub async fn check<R: Registry>(make: impl AsyncFn() -> R) {
    a_version_comes_back_as_it_was_registered(&make().await).await;
    a_version_is_immutable(&make().await).await;
    a_version_without_a_number_gets_the_next_major_one(&make().await).await;
    bytes_are_verified(&make().await).await;
    bytes_come_and_go_in_pieces(&make().await).await;
    what_does_not_exist_is_not_found(&make().await).await;
    versions_are_ordered_and_the_latest_is_a_release(&make().await).await;
    an_alias_moves(&make().await).await;
    an_alias_moves_only_from_where_it_is_expected(&make().await).await;
    an_alias_goes_back_and_its_past_is_known(&make().await).await;
    tags_change_and_nothing_else_does(&make().await).await;
    reports_and_warnings_stay_with_a_version(&make().await).await;
    a_deleted_version_is_gone_for_good(&make().await).await;
    search_finds_what_fits(&make().await).await;
    history_has_every_change_in_order(&make().await).await;
    watch_tells_what_happens_from_now_on(&make().await).await;
    one_of_two_wins(&make().await).await;
}

async fn a_version_comes_back_as_it_was_registered(registry: &impl Registry) {
    let weights: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let lineage = Lineage::default()
        .with_data(Digest::of(b"rows"))
        .with_data_rows(120_000)
        .with_code("4f1c2e7")
        .with_run("run-17")
        .with_parent(ModelId::new(name("base"), v("3.0.0")))
        .with_environment("rustc", "1.95");
    let new = new("fraud", "1.2.3")
        .with_artifact("weights", weights.clone())
        .with_artifact("nothing", Vec::new())
        .with_metric("auc", 0.1 + 0.2)
        .with_parameter("depth", 7)
        .with_tag("team", "risk")
        .with_description("What a person should know: \"quotes\", Ünicode,\na second line")
        .with_lineage(lineage.clone())
        .by("ci");
    let registered = registry.register(new.clone()).await.unwrap();

    assert_eq!(registered.id, ModelId::new(new.model, v("1.2.3")), "the version that was asked for");
    assert_eq!(registered.signature, new.signature, "the signature is kept");
    assert_eq!(registered.metrics, new.metrics, "metrics are kept to the last bit");
    assert_eq!(registered.parameters, new.parameters, "parameters are kept");
    assert_eq!(registered.tags, new.tags, "tags are kept");
    assert_eq!(registered.description, new.description, "the description is kept");
    assert_eq!(registered.lineage, lineage, "the lineage is kept");
    assert_eq!(registered.registered_by, "ci", "who registered it is kept");
    assert!(registered.aliases.is_empty(), "a new version has no alias");
    assert_eq!(registered.stage(), Stage::Development);
    assert_eq!(registered.artifacts.len(), 2, "every artifact is kept");
    let artifact = registered.artifacts["weights"];
    assert_eq!(artifact.digest, Digest::of(&weights), "the digest of an artifact is that of its bytes");
    assert_eq!(artifact.size, 100_000, "the size of an artifact is that of its bytes");

    let resolved = resolve(registry, "fraud", "1.2.3").await.unwrap();
    assert_eq!(resolved, registered, "what is resolved is what was registered");
    assert!(registry.fetch(&resolved, "weights").await.unwrap() == weights, "the bytes come back");
    assert_eq!(registry.fetch(&resolved, "nothing").await.unwrap(), &b""[..], "no bytes come back, too");
    assert_eq!(registry.models().await.unwrap(), [name("fraud")], "the model comes into being");
    assert_eq!(registry.versions(&name("fraud")).await.unwrap(), [registered]);
}

async fn a_version_is_immutable(registry: &impl Registry) {
    let first = new("fraud", "1.0.0").with_artifact("weights", &b"first"[..]).with_metric("auc", 0.9);
    let registered = registry.register(first.clone()).await.unwrap();
    let second = new("fraud", "1.0.0").with_artifact("weights", &b"second"[..]);
    for again in [first, second] {
        refused("conflict", "registering the same version again", registry.register(again).await);
    }
    let resolved = resolve(registry, "fraud", "1.0.0").await.unwrap();
    assert_eq!(resolved, registered, "a refused registration changes nothing");
    assert_eq!(registry.fetch(&resolved, "weights").await.unwrap(), &b"first"[..], "nor any bytes");
    assert_eq!(history(registry, "fraud").await.len(), 1, "and leaves no trace in history");
    registry.register(new("other", "1.0.0")).await.expect("the version is free in another model");
}

async fn a_version_without_a_number_gets_the_next_major_one(registry: &impl Registry) {
    let unnumbered = || NewVersion::new(name("fraud"), signature());
    let first = registry.register(unnumbered()).await.unwrap().id.version;
    let second = registry.register(unnumbered()).await.unwrap().id.version;
    assert!(second.major > first.major, "{second} should be of a higher major version than {first}");
    registry.register(new("fraud", "7.3.1")).await.unwrap();
    let (a, b) = both(registry.register(unnumbered()), registry.register(unnumbered())).await;
    let mut next = [a.unwrap().id.version, b.unwrap().id.version];
    next.sort();
    assert_eq!(next, [v("8.0.0"), v("9.0.0")], "two at once after 7.3.1 get the next two major versions");
}

async fn bytes_are_verified(registry: &impl Registry) {
    let new = new("fraud", "1.0.0").with_artifact("weights", &b"bytes"[..]);
    let mut version = registry.register(new).await.unwrap();
    refused("not_found", "an unknown artifact", registry.fetch(&version, "biases").await);
    if let Some(artifact) = version.artifacts.get_mut("weights") {
        artifact.digest = Digest::of(b"other bytes");
    }
    refused("integrity", "bytes of another digest", registry.fetch(&version, "weights").await);
}

async fn bytes_come_and_go_in_pieces(registry: &impl Registry) {
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 241) as u8).collect();
    let artifact = Artifact { digest: Digest::of(&bytes), size: bytes.len() as u64 };
    let pieces = bytes.clone();
    let content = Content::streamed(artifact, move || one_by_one(&pieces, 70_000));
    let version = registry.register(new("fraud", "1.0.0").with_artifact("weights", content)).await.unwrap();
    assert_eq!(version.artifacts["weights"], artifact, "a stream becomes an artifact");
    let stream = registry.fetch_stream(&version, "weights").await.unwrap();
    assert!(collect(stream).await.unwrap() == bytes, "the bytes come back in pieces");
    assert!(registry.fetch(&version, "weights").await.unwrap() == bytes, "and as a whole");
    refused("not_found", "an unknown artifact", registry.fetch_stream(&version, "biases").await.map(drop));

    let pieces = bytes.clone();
    let other = Artifact { digest: Digest::of(b"other bytes"), ..artifact };
    let lie = Content::streamed(other, move || one_by_one(&pieces, 70_000));
    let refusal = registry.register(new("fraud", "2.0.0").with_artifact("weights", lie)).await;
    refused("integrity", "a stream of bytes of another digest", refusal);
    refused("not_found", "the version that was refused", resolve(registry, "fraud", "2.0.0").await);
    let missing = new("fraud", "2.0.0").with_artifact("weights", Content::file("no/such/file"));
    refused("not_found", "a file that is not there", registry.register(missing).await);

    let mut changed = version;
    if let Some(artifact) = changed.artifacts.get_mut("weights") {
        artifact.digest = Digest::of(b"other bytes");
    }
    let stream = async { Ok(collect(registry.fetch_stream(&changed, "weights").await?).await?.len()) };
    refused("integrity", "a stream of another digest", stream.await);
}

async fn what_does_not_exist_is_not_found(registry: &impl Registry) {
    assert!(registry.models().await.unwrap().is_empty(), "a fresh registry has no models");
    assert!(registry.search(&Query::new()).await.unwrap().is_empty(), "a fresh registry has no versions");
    for known in [false, true] {
        if known {
            registry.register(new("fraud", "1.0.0")).await.unwrap();
        }
        let unknown = if known { name("froud") } else { name("fraud") };
        let tagging = |id| Tagging::set(id, "team", "risk");
        for selector in ["1.0.0", "@champion", "latest"] {
            let selector = selector.parse().unwrap();
            refused("not_found", "a selector of no model", registry.resolve(&unknown, &selector).await);
        }
        refused("not_found", "versions of no model", registry.versions(&unknown).await);
        refused("not_found", "history of no model", registry.history(&unknown).await);
        let id = ModelId::new(unknown.clone(), v("1.0.0"));
        refused("not_found", "a tag of no model", registry.tag(tagging(id)).await);
        let change = AliasMove::new(unknown.clone(), champion(), v("1.0.0"));
        refused("not_found", "an alias of no model", registry.move_alias(change).await);
        let change = AliasMove::removal(unknown, champion());
        refused("not_found", "no alias of no model", registry.move_alias(change).await);
        let back = Rollback::new(name("froud"), champion());
        refused("not_found", "the way back of no model", registry.rollback(back).await);
        let nothing = || ModelId::new(name("froud"), v("1.0.0"));
        let report = NewReport::evaluation(nothing(), "fairness");
        refused("not_found", "a report on no model", registry.report(report).await);
        let warning = Deprecation::new(nothing(), "old");
        refused("not_found", "a warning against no model", registry.deprecate(warning).await);
        refused("not_found", "the deletion of no model", registry.delete(Deletion::new(nothing())).await);
    }
    let fraud = name("fraud");
    refused("not_found", "no such version", resolve(registry, "fraud", "1.0.1").await);
    refused("not_found", "no such alias", resolve(registry, "fraud", "@champion").await);
    let change = AliasMove::new(fraud.clone(), champion(), v("1.0.1"));
    refused("not_found", "an alias to no version", registry.move_alias(change).await);
    let change = AliasMove::removal(fraud.clone(), champion());
    refused("not_found", "the removal of no alias", registry.move_alias(change).await);
    let missing = ModelId::new(fraud.clone(), v("1.0.1"));
    refused("not_found", "a tag of no version", registry.tag(Tagging::set(missing, "a", "b")).await);
    let missing = || ModelId::new(name("fraud"), v("1.0.1"));
    let report = NewReport::evaluation(missing(), "fairness");
    refused("not_found", "a report on no version", registry.report(report).await);
    let warning = Deprecation::new(missing(), "old");
    refused("not_found", "a warning against no version", registry.deprecate(warning).await);
    refused("not_found", "the deletion of no version", registry.delete(Deletion::new(missing())).await);
    let id = ModelId::new(fraud, v("1.0.0"));
    refused("not_found", "the removal of no tag", registry.tag(Tagging::remove(id, "a")).await);
    assert_eq!(history(registry, "fraud").await.len(), 1, "what was refused is not in history");
}

async fn versions_are_ordered_and_the_latest_is_a_release(registry: &impl Registry) {
    let latest = async || resolve(registry, "fraud", "latest").await.unwrap().id.version;
    let steps = [
        ("1.0.0-rc.2", "1.0.0-rc.2"),
        ("1.0.0-rc.10", "1.0.0-rc.10"),
        ("0.9.0", "0.9.0"),
        ("1.10.0", "1.10.0"),
        ("1.9.0", "1.10.0"),
        ("2.0.0-rc.1", "1.10.0"),
    ];
    for (registered, expected) in steps {
        registry.register(new("fraud", registered)).await.unwrap();
        assert_eq!(latest().await, v(expected), "the latest version once there is {registered}");
    }
    for other in ["zebra", "ant"] {
        registry.register(new(other, "5.0.0")).await.unwrap();
    }
    let versions = registry.versions(&name("fraud")).await.unwrap();
    let versions: Vec<_> = versions.iter().map(|version| version.id.version.to_string()).collect();
    let expected = ["0.9.0", "1.0.0-rc.2", "1.0.0-rc.10", "1.9.0", "1.10.0", "2.0.0-rc.1"];
    assert_eq!(versions, expected, "versions, the lowest first");
    assert_eq!(registry.models().await.unwrap(), ["ant", "fraud", "zebra"].map(name), "models, sorted");
}

async fn an_alias_moves(registry: &impl Registry) {
    for version in ["1.0.0", "2.0.0"] {
        registry.register(new("fraud", version)).await.unwrap();
    }
    registry.register(new("other", "3.0.0")).await.unwrap();
    let to = |version| AliasMove::new(name("fraud"), champion(), v(version));

    let event = registry.move_alias(to("1.0.0").by("alice").because("the first one")).await.unwrap();
    let reason = "the first one".to_owned();
    let expected = AuditChange::AliasMoved { alias: champion(), from: None, to: Some(v("1.0.0")), reason };
    assert_eq!((event.actor.as_str(), &event.change), ("alice", &expected), "the event of the move");
    let first = resolve(registry, "fraud", "@champion").await.unwrap();
    assert_eq!(first.id.version, v("1.0.0"), "an alias points where it was moved");
    assert_eq!(first.aliases, [champion()].into(), "a version knows its aliases");

    registry.move_alias(to("2.0.0")).await.unwrap();
    let production = Alias::new("production").unwrap();
    registry.move_alias(AliasMove::new(name("fraud"), production, v("2.0.0"))).await.unwrap();
    let second = resolve(registry, "fraud", "@champion").await.unwrap();
    assert_eq!(second.id.version, v("2.0.0"), "an alias points where it was moved last");
    assert_eq!((second.aliases.len(), second.stage()), (2, Stage::Production), "two aliases on one version");
    assert!(resolve(registry, "fraud", "1.0.0").await.unwrap().aliases.is_empty(), "the old one lost it");
    refused("not_found", "the alias of another model", resolve(registry, "other", "@champion").await);

    let event = registry.move_alias(AliasMove::removal(name("fraud"), champion())).await.unwrap();
    let (from, reason) = (Some(v("2.0.0")), String::new());
    let expected = AuditChange::AliasMoved { alias: champion(), from, to: None, reason };
    assert_eq!(event.change, expected, "the event of the removal");
    refused("not_found", "an alias that was taken away", resolve(registry, "fraud", "@champion").await);
    assert_eq!(resolve(registry, "fraud", "@production").await.unwrap().id.version, v("2.0.0"));
}

async fn an_alias_moves_only_from_where_it_is_expected(registry: &impl Registry) {
    for version in ["1.0.0", "2.0.0"] {
        registry.register(new("fraud", version)).await.unwrap();
    }
    let to = |version| AliasMove::new(name("fraud"), champion(), v(version));
    let away = || AliasMove::removal(name("fraud"), champion());
    // (the move, whether it is expected to happen, where the alias points afterwards)
    let steps = [
        (to("1.0.0").expecting(Some(v("2.0.0"))), false, None),
        (to("1.0.0").expecting(None), true, Some("1.0.0")),
        (to("2.0.0").expecting(None), false, Some("1.0.0")),
        (to("2.0.0").expecting(Some(v("2.0.0"))), false, Some("1.0.0")),
        (to("2.0.0").expecting(Some(v("1.0.0"))), true, Some("2.0.0")),
        (away().expecting(Some(v("1.0.0"))), false, Some("2.0.0")),
        (away().expecting(None), false, Some("2.0.0")),
        (away().expecting(Some(v("2.0.0"))), true, None),
    ];
    let mut moves = 0;
    for (change, happens, points_to) in steps {
        let what = format!("{change:?}");
        let result = registry.move_alias(change).await;
        if happens {
            moves += 1;
            result.unwrap_or_else(|error| panic!("{what} should happen, but: {error}"));
        } else {
            refused("conflict", &what, result);
        }
        match (resolve(registry, "fraud", "@champion").await, points_to) {
            (Ok(version), Some(expected)) => assert_eq!(version.id.version, v(expected), "after {what}"),
            (resolved, None) => refused("not_found", &format!("the alias after {what}"), resolved),
            (Err(error), Some(expected)) => {
                panic!("after {what} it should point to {expected}, but: {error}")
            }
        }
    }
    assert_eq!(history(registry, "fraud").await.len(), 2 + moves, "what was refused is not in history");
}

async fn an_alias_goes_back_and_its_past_is_known(registry: &impl Registry) {
    let to = |version| AliasMove::new(name("fraud"), champion(), v(version));
    let back = || registry.rollback(Rollback::new(name("fraud"), champion()).by("alice").because("errors"));
    let mut moved = Vec::new();
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        registry.register(new("fraud", version)).await.unwrap();
        moved.push(registry.move_alias(to(version)).await.unwrap());
    }
    for (from, expected) in [("3.0.0", "2.0.0"), ("2.0.0", "1.0.0")] {
        let event = back().await.unwrap();
        let (from, to, reason) = (Some(v(from)), Some(v(expected)), "errors".to_owned());
        let change = AuditChange::AliasMoved { alias: champion(), from, to, reason };
        assert_eq!((event.actor.as_str(), &event.change), ("alice", &change), "the event of going back");
        let resolved = resolve(registry, "fraud", "@champion").await.unwrap();
        assert_eq!(resolved.id.version, v(expected), "the alias is back where it was before");
        moved.push(event);
    }
    refused("conflict", "going back from the first version", back().await);
    let candidate = Alias::new("candidate").unwrap();
    let nowhere = Rollback::new(name("fraud"), candidate.clone());
    refused("conflict", "going back with an alias that was nowhere", registry.rollback(nowhere).await);

    let history = history(registry, "fraud").await;
    assert!(history.is_sorted_by_key(|event| event.at), "the times of history do not go backwards");
    let past = AliasHistory::of(&history, &champion());
    for event in &moved {
        let then = registry.alias_at(&name("fraud"), &champion(), event.at).await.unwrap();
        assert_eq!(then.as_ref(), past.at(event.at), "where it pointed at {}", event.at);
    }
    let now = moved.last().unwrap().at;
    let of_alias = |alias: Alias| async move { registry.alias_at(&name("fraud"), &alias, now).await };
    assert_eq!(of_alias(champion()).await.unwrap(), Some(v("1.0.0")), "where it points now");
    assert_eq!(of_alias(candidate).await.unwrap(), None, "an alias that was nowhere");
    let before = history[0].at - std::time::Duration::from_secs(1);
    let then = registry.alias_at(&name("fraud"), &champion(), before).await.unwrap();
    assert_eq!(then, None, "where it pointed before all");
}

async fn reports_and_warnings_stay_with_a_version(registry: &impl Registry) {
    let registered = registry.register(new("fraud", "1.0.0")).await.unwrap();
    let id = || registered.id.clone();
    let gate =
        NewReport::gate(id(), "accuracy", false).with_metric("auc", 0.1 + 0.2).with_summary("too \"low\"");
    let first = registry.report(gate.by("ci")).await.unwrap();
    let second = registry.report(NewReport::gate(id(), "accuracy", true).by("ci")).await.unwrap();
    registry.report(NewReport::evaluation(id(), "fairness").by("bob")).await.unwrap();
    let warned = registry.deprecate(Deprecation::new(id(), "use 2.0.0").by("alice")).await.unwrap();

    let (version, reason) = (v("1.0.0"), Some("use 2.0.0".to_owned()));
    assert_eq!(warned.change, AuditChange::Deprecated { version: version.clone(), reason: reason.clone() });
    let change = AuditChange::Reported { version, name: "accuracy".to_owned(), passed: Some(false) };
    assert_eq!((first.actor.as_str(), &first.change), ("ci", &change), "the event of a report");
    let resolved = resolve(registry, "fraud", "1.0.0").await.unwrap();
    assert_eq!(resolved.deprecated, reason, "the warning is with the version");
    let told: Vec<_> = resolved.reports.iter().map(|report| (report.name.as_str(), report.passed)).collect();
    let expected = [("accuracy", Some(false)), ("accuracy", Some(true)), ("fairness", None)];
    assert_eq!(told, expected, "every report is with the version, the oldest first");
    let report = &resolved.reports[0];
    assert_eq!(report.metrics, [("auc".to_owned(), 0.1 + 0.2)].into(), "metrics are kept to the last bit");
    assert_eq!((report.summary.as_str(), report.by.as_str()), ("too \"low\"", "ci"));
    assert_eq!([report.at, resolved.reports[1].at], [first.at, second.at], "reports have their time");

    registry.deprecate(Deprecation::withdrawn(id())).await.unwrap();
    let resolved = resolve(registry, "fraud", "1.0.0").await.unwrap();
    assert_eq!(resolved.deprecated, None, "the warning is taken back");
    assert_eq!(history(registry, "fraud").await.len(), 6, "all of it is in history");
}

async fn a_deleted_version_is_gone_for_good(registry: &impl Registry) {
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        registry
            .register(new("fraud", version).with_artifact("weights", version.as_bytes().to_vec()))
            .await
            .unwrap();
        registry.move_alias(AliasMove::new(name("fraud"), champion(), v(version))).await.unwrap();
    }
    let id = |version| ModelId::new(name("fraud"), v(version));
    let delete = |version| registry.delete(Deletion::new(id(version)).by("alice").because("leaked"));
    refused("conflict", "the deletion of a version an alias points to", delete("3.0.0").await);
    let event = delete("2.0.0").await.unwrap();
    let change = AuditChange::Deleted { version: v("2.0.0"), reason: "leaked".to_owned() };
    assert_eq!((event.actor.as_str(), &event.change), ("alice", &change), "the event of the deletion");

    refused("not_found", "a deleted version", resolve(registry, "fraud", "2.0.0").await);
    refused("not_found", "its second deletion", delete("2.0.0").await);
    refused("not_found", "a tag of it", registry.tag(Tagging::set(id("2.0.0"), "a", "b")).await);
    let change = AliasMove::new(name("fraud"), champion(), v("2.0.0"));
    refused("not_found", "an alias to it", registry.move_alias(change).await);
    refused("conflict", "its number for another version", registry.register(new("fraud", "2.0.0")).await);
    let versions = registry.versions(&name("fraud")).await.unwrap();
    let versions: Vec<_> = versions.iter().map(|version| version.id.version.to_string()).collect();
    assert_eq!(versions, ["1.0.0", "3.0.0"], "the versions that are left");
    assert_eq!(registry.search(&Query::new()).await.unwrap().len(), 2, "search finds what is left");
    registry.rollback(Rollback::new(name("fraud"), champion())).await.unwrap();
    let resolved = resolve(registry, "fraud", "@champion").await.unwrap();
    assert_eq!(resolved.id.version, v("1.0.0"), "going back passes it over");
    assert_eq!(registry.fetch(&resolved, "weights").await.unwrap(), &b"1.0.0"[..], "other bytes stay");
    let told =
        history(registry, "fraud").await.iter().map(|event| event.change.to_string()).collect::<Vec<_>>();
    assert!(told.contains(&"registered 2.0.0".to_owned()), "its history stays: {told:?}");
}

async fn tags_change_and_nothing_else_does(registry: &impl Registry) {
    let registered = registry.register(new("fraud", "1.0.0").with_tag("team", "risk")).await.unwrap();
    registry.register(new("fraud", "2.0.0").with_tag("team", "risk")).await.unwrap();
    let id = || registered.id.clone();
    let steps = [
        (Tagging::set(id(), "gate", "passed"), None, Some("passed")),
        (Tagging::set(id(), "team", "ünicode, \"quoted\""), Some("risk"), Some("ünicode, \"quoted\"")),
        (Tagging::remove(id(), "gate"), Some("passed"), None),
    ];
    let mut expected = registered.clone();
    for (change, from, to) in steps {
        let tag = change.name.clone();
        let event = registry.tag(change.by("bob")).await.unwrap();
        let (from, to) = (from.map(str::to_owned), to.map(str::to_owned));
        match &to {
            Some(to) => expected.tags.insert(tag.clone(), to.clone()),
            None => expected.tags.remove(&tag),
        };
        let change = AuditChange::Tagged { version: v("1.0.0"), name: tag, from, to };
        assert_eq!((event.actor.as_str(), event.change), ("bob", change), "the event of the tag");
        let version = resolve(registry, "fraud", "1.0.0").await.unwrap();
        assert_eq!(version, expected, "a tag changes, and nothing else of the version");
    }
    let other = resolve(registry, "fraud", "2.0.0").await.unwrap();
    assert_eq!(other.tags["team"], "risk", "the tags of another version stay");
}

async fn search_finds_what_fits(registry: &impl Registry) {
    for (model, version, auc, team) in [
        ("fraud", "2.0.0", 0.97, "risk"),
        ("fraud", "1.0.0", 0.90, "risk"),
        ("digits", "1.0.0", 0.99, "vision"),
    ] {
        let new = new(model, version).with_metric("auc", auc).with_tag("team", team);
        registry.register(new.with_description(format!("A Model for {team}"))).await.unwrap();
    }
    registry.move_alias(AliasMove::new(name("fraud"), champion(), v("1.0.0"))).await.unwrap();
    registry.tag(Tagging::set(ModelId::new(name("fraud"), v("2.0.0")), "gate", "passed")).await.unwrap();
    let query = Query::new;
    let first = history(registry, "fraud").await[0].at;
    for (query, expected) in [
        (query(), &["digits 1.0.0", "fraud 1.0.0", "fraud 2.0.0"][..]),
        (query().with_model(name("fraud")), &["fraud 1.0.0", "fraud 2.0.0"]),
        (query().with_model(name("nobody")), &[]),
        (query().with_tag("team", "vision"), &["digits 1.0.0"]),
        (query().with_tag("gate", "passed"), &["fraud 2.0.0"]),
        (query().with_metric_at_least("auc", 0.97), &["digits 1.0.0", "fraud 2.0.0"]),
        (query().with_alias(champion()), &["fraud 1.0.0"]),
        (query().with_text("a model FOR risk"), &["fraud 1.0.0", "fraud 2.0.0"]),
        (query().with_tag("team", "risk").with_metric_at_least("auc", 0.95), &["fraud 2.0.0"]),
        (query().with_metric("auc<0.97".parse().unwrap()), &["fraud 1.0.0"]),
        (query().with_metric("loss<1".parse().unwrap()), &[]),
        (query().registered_from(first), &["digits 1.0.0", "fraud 1.0.0", "fraud 2.0.0"]),
        (query().registered_before(first), &[]),
        (query().with_limit(2), &["digits 1.0.0", "fraud 1.0.0"]),
        (query().with_limit(2).after(ModelId::new(name("fraud"), v("1.0.0"))), &["fraud 2.0.0"]),
        (query().with_limit(1).with_tag("team", "risk"), &["fraud 1.0.0"]),
        (query().after(ModelId::new(name("fraud"), v("2.0.0"))), &[]),
    ] {
        let found = registry.search(&query).await.unwrap();
        let found: Vec<_> = found.iter().map(|version| version.id.to_string()).collect();
        assert_eq!(found, expected, "what fits {query:?}, by model, then by version");
    }
    let found = registry.search(&query().with_alias(champion())).await.unwrap();
    assert_eq!(found, [resolve(registry, "fraud", "@champion").await.unwrap()], "what is found is complete");
}

async fn history_has_every_change_in_order(registry: &impl Registry) {
    registry.register(new("fraud", "1.0.0").by("ci")).await.unwrap();
    registry.register(new("other", "1.0.0").by("ci")).await.unwrap();
    registry.register(new("fraud", "0.5.0").by("ci")).await.unwrap();
    let change = AliasMove::new(name("fraud"), champion(), v("1.0.0")).by("alice").because("it is better");
    let moved = registry.move_alias(change).await.unwrap();
    let id = ModelId::new(name("fraud"), v("0.5.0"));
    let tagged = registry.tag(Tagging::set(id, "gate", "failed").by("bob")).await.unwrap();

    let history = history(registry, "fraud").await;
    let told: Vec<_> = history.iter().map(|event| format!("{} {}", event.actor, event.change)).collect();
    let expected = [
        "ci registered 1.0.0",
        "ci registered 0.5.0",
        "alice @champion: none -> 1.0.0 (it is better)",
        "bob tag gate of 0.5.0: none -> failed",
    ];
    assert_eq!(told, expected, "every change of the model, and of no other, the oldest first");
    assert_eq!(history[2..], [moved, tagged], "history holds the events that the calls returned");
    assert!(history.iter().all(|event| event.model == name("fraud")), "events of that model only");
    assert!(history.is_sorted_by(|a, b| a.sequence < b.sequence), "sequence numbers grow");
}

async fn watch_tells_what_happens_from_now_on(registry: &impl Registry) {
    registry.register(new("fraud", "1.0.0")).await.unwrap();
    let mut early = registry.watch();
    registry.register(new("other", "1.0.0")).await.unwrap();
    let change = AliasMove::new(name("fraud"), champion(), v("1.0.0"));
    let moved = registry.move_alias(change).await.unwrap();
    let mut late = registry.watch();
    let id = ModelId::new(name("other"), v("1.0.0"));
    let tagged = registry.tag(Tagging::set(id, "gate", "passed")).await.unwrap();

    let registered = history(registry, "other").await.swap_remove(0);
    for expected in [registered, moved, tagged.clone()] {
        assert_eq!(next(&mut early).await, expected, "each event once, in order, from when watching began");
    }
    assert_eq!(next(&mut late).await, tagged, "each who watches begins for himself");
    registry.register(new("fraud", "2.0.0")).await.unwrap();
    let last = history(registry, "fraud").await.pop().unwrap();
    for stream in [&mut early, &mut late] {
        assert_eq!(next(stream).await, last, "watching goes on");
    }
}

async fn one_of_two_wins(registry: &impl Registry) {
    for round in 1..=10_u64 {
        let version = Version::new(round, 0, 0);
        let register = |actor: &str| {
            let new = new("fraud", &version.to_string()).with_artifact("weights", actor.as_bytes().to_vec());
            registry.register(new.by(actor))
        };
        let (a, b) = both(register("a"), register("b")).await;
        let winner = winner("of two registrations of one version", a, b);
        let resolved = resolve(registry, "fraud", &version.to_string()).await.unwrap();
        assert_eq!(resolved, winner, "the version is that of the winner");
        let bytes = registry.fetch(&resolved, "weights").await.unwrap();
        assert_eq!(bytes, winner.registered_by.as_bytes(), "so are its bytes");

        let (before, to) = ((round > 1).then(|| Version::new(round - 1, 0, 0)), version.clone());
        let promote = |actor: &str| {
            let change = AliasMove::new(name("fraud"), champion(), to.clone()).by(actor);
            registry.move_alias(change.expecting(before.clone()))
        };
        let (a, b) = both(promote("a"), promote("b")).await;
        let winner = self::winner("of two moves that expect the same", a, b);
        let history = history(registry, "fraud").await;
        assert_eq!(history.len() as u64, 2 * round, "history has what happened, and no more");
        assert_eq!(history.last(), Some(&winner), "history has the move of the winner");
    }
}
