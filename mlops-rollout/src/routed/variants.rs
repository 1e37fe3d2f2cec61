//! The variants, replaced while they are in use.

use std::fmt;
use std::sync::{Arc, PoisonError};

use mlops_core::{Error, Model, Reason, Result, Signature, Variant};

use crate::sync::{ArcSwap, Mutex};

/// Readers never wait; a change replaces the list.
pub(super) struct Variants {
    signature: Signature,
    list: ArcSwap<List>,
    writing: Mutex<()>,
}

/// Few variants, so a list is the fastest map.
#[derive(Clone)]
struct List {
    default: Named,
    others: Vec<Named>,
}

/// A variant and its model.
pub(super) type Named = (Variant, Arc<dyn Model>);

/// Who answers, and why.
pub(super) struct Choice {
    pub(super) variant: Variant,
    pub(super) model: Arc<dyn Model>,
    pub(super) reason: Reason,
    pub(super) is_default: bool,
}

const UNKNOWN: &str = "the router named a variant that is not there; the default answered";

impl Variants {
    pub(super) fn new(default: Variant, model: Arc<dyn Model>) -> Self {
        Self {
            signature: model.signature().clone(),
            list: ArcSwap::from_pointee(List { default: (default, model), others: Vec::new() }),
            writing: Mutex::new(()),
        }
    }

    pub(super) fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The variant that was named, or the default.
    pub(super) fn choose(&self, named: Variant, reason: Reason) -> Choice {
        let list = self.list.load();
        let (default, model) = &list.default;
        if named == *default {
            return Choice { variant: named, model: Arc::clone(model), reason, is_default: true };
        }
        match list.others.iter().find(|(known, _)| *known == named) {
            Some((_, model)) => {
                Choice { variant: named, model: Arc::clone(model), reason, is_default: false }
            }
            None => Choice {
                variant: default.clone(),
                model: Arc::clone(model),
                reason: Reason::Other(UNKNOWN.into()),
                is_default: true,
            },
        }
    }

    pub(super) fn default(&self) -> Named {
        self.list.load().default.clone()
    }

    pub(super) fn model(&self, variant: &Variant) -> Option<Arc<dyn Model>> {
        let list = self.list.load();
        list.iter().find(|(known, _)| known == variant).map(|(_, model)| Arc::clone(model))
    }

    pub(super) fn names(&self) -> Vec<Variant> {
        self.list.load().iter().map(|(variant, _)| variant.clone()).collect()
    }

    pub(super) fn insert(&self, variant: Variant, model: Arc<dyn Model>) -> Result<Option<Arc<dyn Model>>> {
        let change = self.signature.change_to(model.signature());
        if change.is_breaking() {
            return Err(Error::conflict(format!(
                "the variant `{variant}` does not fit its siblings: {change}"
            )));
        }
        Ok(self.change(|list| match list.slot(&variant) {
            Some(slot) => Some(std::mem::replace(slot, model)),
            None => {
                list.others.push((variant, model));
                None
            }
        }))
    }

    pub(super) fn remove(&self, variant: &Variant) -> Result<Arc<dyn Model>> {
        self.change(|list| {
            if list.default.0 == *variant {
                return Err(Error::conflict(format!(
                    "the variant `{variant}` is the default and has to stay"
                )));
            }
            match list.others.iter().position(|(known, _)| known == variant) {
                Some(index) => Ok(list.others.remove(index).1),
                None => Err(Error::not_found(format!("the variant `{variant}`"))),
            }
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut List) -> T) -> T {
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = List::clone(&self.list.load());
        let result = change(&mut list);
        self.list.store(Arc::new(list));
        result
    }
}

impl List {
    /// The default first.
    fn iter(&self) -> impl Iterator<Item = &Named> {
        std::iter::once(&self.default).chain(&self.others)
    }

    fn slot(&mut self, variant: &Variant) -> Option<&mut Arc<dyn Model>> {
        let mut all = std::iter::once(&mut self.default).chain(&mut self.others);
        all.find(|(known, _)| known == variant).map(|(_, model)| model)
    }
}

impl fmt::Debug for Variants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.list.load().iter().map(|(variant, model)| (variant.as_str(), model)))
            .finish()
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use async_trait::async_trait;
    use loom::thread;
    use mlops_core::{Request, Response};

    use super::*;

    #[derive(Debug)]
    struct Silent(Signature);

    #[async_trait]
    impl Model for Silent {
        fn signature(&self) -> &Signature {
            &self.0
        }

        async fn predict(&self, _: Request) -> Result<Response> {
            Ok(Response::default())
        }
    }

    fn model() -> Arc<dyn Model> {
        Arc::new(Silent(Signature::new([], []).unwrap()))
    }

    fn variant(name: &str) -> Variant {
        Variant::new(name).unwrap()
    }

    #[test]
    fn loom_two_writers_lose_no_change() {
        loom::model(|| {
            let variants = Arc::new(Variants::new(variant("stable"), model()));
            let writer = {
                let variants = Arc::clone(&variants);
                thread::spawn(move || drop(variants.insert(variant("a"), model())))
            };
            variants.insert(variant("b"), model()).unwrap();
            variants.remove(&variant("b")).unwrap();
            variants.insert(variant("c"), model()).unwrap();
            writer.join().unwrap();
            let mut names = variants.names();
            names.sort();
            assert_eq!(names, ["a", "c", "stable"].map(variant));
        });
    }

    /// Whoever is chosen is there whole, and a model that was replaced does not come back.
    #[test]
    fn loom_a_swap_is_seen_once_and_for_all() {
        loom::model(|| {
            let (old, new) = (model(), model());
            let variants = Arc::new(Variants::new(variant("stable"), Arc::clone(&old)));
            let writer = {
                let (variants, new) = (Arc::clone(&variants), Arc::clone(&new));
                thread::spawn(move || {
                    let before = variants.insert(variant("stable"), new).unwrap().unwrap();
                    variants.insert(variant("canary"), before).unwrap();
                })
            };
            let choose = |name: &str| variants.choose(variant(name), Reason::Default);
            let seen = [choose("canary"), choose("stable"), choose("stable")];
            let is = |choice: &Choice, model: &Arc<dyn Model>| Arc::ptr_eq(&choice.model, model);
            let [canary, first, second] = &seen;
            assert!(is(canary, &old) || (canary.is_default && is(canary, &new)));
            assert!(is(first, &old) || is(first, &new));
            assert!(is(second, &new) || is(first, &old), "the old model came back");
            writer.join().unwrap();
            assert!(is(&choose("stable"), &new) && is(&choose("canary"), &old));
        });
    }
}
