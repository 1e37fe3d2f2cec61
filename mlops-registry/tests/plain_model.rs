//! Whatever is done in whatever order: the registry answers as a plain model of it does, and so does one
//! that is opened afterwards and knows the log only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{name, new, next, v};
use mlops_core::{Alias, AliasMove, ModelId, Query, Registry, Selector, Tagging};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::reexports::object_store::memory::InMemory;
use proptest::prelude::*;
use semver::Version;

const MODELS: [&str; 2] = ["fraud", "digits"];
const VERSIONS: [&str; 4] = ["1.0.0", "2.0.0-rc.1", "1.5.0", "2.0.0"];
const NAMES: [&str; 2] = ["champion", "candidate"];

#[derive(Debug, Clone)]
enum Step {
    Register { model: usize, version: Option<usize> },
    Move { model: usize, alias: usize, to: Option<usize>, expected: Option<Option<usize>> },
    Tag { model: usize, version: usize, tag: usize, value: Option<u8> },
}

#[derive(Debug, Default)]
struct Plain {
    models: BTreeMap<usize, PlainModel>,
}

#[derive(Debug, Default)]
struct PlainModel {
    versions: BTreeMap<Version, BTreeMap<usize, u8>>,
    aliases: BTreeMap<usize, Version>,
    changes: usize,
}

impl Plain {
    /// The label of the error, or `ok`.
    fn take(&mut self, step: &Step) -> &'static str {
        let outcome = match *step {
            Step::Register { model, version } => {
                let plain = self.models.entry(model).or_default();
                let next = plain.versions.keys().map(|version| version.major).max().unwrap_or(0) + 1;
                let version = version.map_or(Version::new(next, 0, 0), |version| v(VERSIONS[version]));
                if plain.versions.contains_key(&version) {
                    return "conflict";
                }
                plain.versions.insert(version, BTreeMap::new());
                Some(model)
            }
            Step::Move { model, alias, to, expected } => {
                let Some(plain) = self.models.get_mut(&model) else { return "not_found" };
                let to = to.map(|to| v(VERSIONS[to]));
                if to.as_ref().is_some_and(|to| !plain.versions.contains_key(to)) {
                    return "not_found";
                }
                let expected = expected.map(|expected| expected.map(|version| v(VERSIONS[version])));
                if expected.is_some_and(|expected| expected != plain.aliases.get(&alias).cloned()) {
                    return "conflict";
                }
                match to {
                    Some(to) => drop(plain.aliases.insert(alias, to)),
                    None if plain.aliases.remove(&alias).is_none() => return "not_found",
                    None => {}
                }
                Some(model)
            }
            Step::Tag { model, version, tag, value } => {
                let plain = self.models.get_mut(&model);
                let Some(tags) = plain.and_then(|plain| plain.versions.get_mut(&v(VERSIONS[version]))) else {
                    return "not_found";
                };
                match value {
                    Some(value) => drop(tags.insert(tag, value)),
                    None if tags.remove(&tag).is_none() => return "not_found",
                    None => {}
                }
                Some(model)
            }
        };
        if let Some(plain) = outcome.and_then(|model| self.models.get_mut(&model)) {
            plain.changes += 1;
        }
        "ok"
    }

    /// Everything, as text.
    fn told(&self) -> Vec<String> {
        let mut models: Vec<_> = self.models.iter().collect();
        models.sort_by_key(|(model, _)| MODELS[**model]);
        let of_model = |(model, plain): (&usize, &PlainModel)| {
            let of_version = |(version, tags): (&Version, &BTreeMap<usize, u8>)| {
                let tags: BTreeMap<_, _> =
                    tags.iter().map(|(tag, value)| (NAMES[*tag].to_owned(), value.to_string())).collect();
                let here = plain.aliases.iter().filter(|(_, to)| *to == version);
                let mut aliases: Vec<_> = here.map(|(alias, _)| NAMES[*alias].to_owned()).collect();
                aliases.sort();
                format!("{} {version} {tags:?} {aliases:?} of {} changes", MODELS[*model], plain.changes)
            };
            plain.versions.iter().map(of_version).collect::<Vec<_>>()
        };
        models.into_iter().flat_map(of_model).collect()
    }
}

async fn take(registry: &ObjectStoreRegistry, step: &Step) -> &'static str {
    let alias = |alias: usize| Alias::new(NAMES[alias]).unwrap();
    let result = match *step {
        Step::Register { model, version: None } => registry.register(next(MODELS[model])).await.map(drop),
        Step::Register { model, version: Some(version) } => {
            registry.register(new(MODELS[model], VERSIONS[version])).await.map(drop)
        }
        Step::Move { model, alias: which, to, expected } => {
            let model = name(MODELS[model]);
            let mut change = match to {
                Some(to) => AliasMove::new(model, alias(which), v(VERSIONS[to])),
                None => AliasMove::removal(model, alias(which)),
            };
            change.expected = expected.map(|expected| expected.map(|version| v(VERSIONS[version])));
            registry.move_alias(change).await.map(drop)
        }
        Step::Tag { model, version, tag, value } => {
            let id = ModelId::new(name(MODELS[model]), v(VERSIONS[version]));
            let change = match value {
                Some(value) => Tagging::set(id, NAMES[tag], value.to_string()),
                None => Tagging::remove(id, NAMES[tag]),
            };
            registry.tag(change).await.map(drop)
        }
    };
    result.map_or_else(|error| error.label(), |()| "ok")
}

async fn told(registry: &ObjectStoreRegistry) -> Vec<String> {
    let mut told = Vec::new();
    for version in registry.search(&Query::new()).await.unwrap() {
        let aliases: Vec<_> = version.aliases.iter().map(Alias::to_string).collect();
        let changes = registry.history(&version.id.name).await.unwrap().len();
        told.push(format!("{} {:?} {aliases:?} of {changes} changes", version.id, version.tags));
    }
    told
}

fn steps() -> impl Strategy<Value = Step> {
    let (models, versions, names) = (0..MODELS.len(), 0..VERSIONS.len(), 0..NAMES.len());
    let some_version = || proptest::option::weighted(0.8, versions.clone());
    prop_oneof![
        (models.clone(), some_version()).prop_map(|(model, version)| Step::Register { model, version }),
        (models.clone(), names.clone(), some_version(), proptest::option::of(some_version()))
            .prop_map(|(model, alias, to, expected)| Step::Move { model, alias, to, expected }),
        (models, versions.clone(), names, proptest::option::weighted(0.7, any::<u8>()))
            .prop_map(|(model, version, tag, value)| Step::Tag { model, version, tag, value }),
    ]
}

proptest! {
    #[test]
    fn the_registry_answers_as_a_plain_model_does(steps in proptest::collection::vec(steps(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = Arc::new(InMemory::new());
            let one = ObjectStoreRegistry::open(store.clone(), "r").await.unwrap();
            let two = ObjectStoreRegistry::open(store.clone(), "r").await.unwrap();
            let mut plain = Plain::default();
            for (index, step) in steps.iter().enumerate() {
                let registry = if index % 3 == 0 { &two } else { &one };
                prop_assert_eq!(take(registry, step).await, plain.take(step), "step {}: {:?}", index, step);
            }
            let reopened = ObjectStoreRegistry::open(store, "r").await.unwrap();
            for registry in [&one, &two, &reopened] {
                prop_assert_eq!(told(registry).await, plain.told());
                for model in registry.models().await.unwrap() {
                    let latest = registry.resolve(&model, &Selector::Latest).await.unwrap();
                    let versions = registry.versions(&model).await.unwrap();
                    let released = |version: &Version| (version.pre.is_empty(), version.clone());
                    let highest = versions.iter().map(|version| released(&version.id.version)).max().unwrap();
                    prop_assert_eq!(latest.id.version, highest.1);
                }
            }
            Ok(())
        })?;
    }
}
