//! The variants, replaced while they are in use.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use mlops_core::{Error, Model, Reason, Result, Signature, Variant};

/// Few variants, so a list is the fastest map. Readers never wait; a change replaces the list.
pub(super) struct Variants {
    signature: Signature,
    /// The first is the default.
    list: ArcSwap<Vec<(Variant, Arc<dyn Model>)>>,
    writing: Mutex<()>,
}

const UNKNOWN: &str = "the router named a variant that is not there; the default answered";

impl Variants {
    pub(super) fn new(default: Variant, model: Arc<dyn Model>) -> Self {
        Self {
            signature: model.signature().clone(),
            list: ArcSwap::from_pointee(vec![(default, model)]),
            writing: Mutex::new(()),
        }
    }

    pub(super) fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The variant that was named, or the default.
    pub(super) fn choose(&self, named: Variant, reason: Reason) -> (Variant, Arc<dyn Model>, Reason) {
        let list = self.list.load();
        match list.iter().find(|(known, _)| *known == named) {
            Some((_, model)) => (named, Arc::clone(model), reason),
            None => {
                let (default, model) = &list[0];
                (default.clone(), Arc::clone(model), Reason::Other(UNKNOWN.into()))
            }
        }
    }

    pub(super) fn model(&self, variant: &Variant) -> Option<Arc<dyn Model>> {
        self.list.load().iter().find(|(known, _)| known == variant).map(|(_, model)| Arc::clone(model))
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
        Ok(self.change(|list| match list.iter_mut().find(|(known, _)| *known == variant) {
            Some((_, slot)) => Some(std::mem::replace(slot, model)),
            None => {
                list.push((variant, model));
                None
            }
        }))
    }

    pub(super) fn remove(&self, variant: &Variant) -> Result<Arc<dyn Model>> {
        self.change(|list| match list.iter().position(|(known, _)| known == variant) {
            Some(0) => {
                Err(Error::conflict(format!("the variant `{variant}` is the default and has to stay")))
            }
            Some(index) => Ok(list.remove(index).1),
            None => Err(Error::not_found(format!("the variant `{variant}`"))),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<(Variant, Arc<dyn Model>)>) -> T) -> T {
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = Vec::clone(&self.list.load());
        let result = change(&mut list);
        self.list.store(Arc::new(list));
        result
    }
}

impl fmt::Debug for Variants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.list.load().iter().map(|(variant, model)| (variant.as_str(), model)))
            .finish()
    }
}
