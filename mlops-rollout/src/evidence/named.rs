//! Few things by name.

use std::borrow::Borrow;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// A map for few names, which come once and stay: a list that is replaced when a new one shows up, and read
/// without a lock.
#[derive(Debug)]
pub(super) struct Named<K, V> {
    entries: ArcSwap<Vec<(K, Arc<V>)>>,
    most: usize,
}

impl<K: Borrow<str> + Clone, V> Named<K, V> {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self { entries: ArcSwap::default(), most }
    }

    /// Does something with the one of that name, which is made if it is new. False when there is no room.
    pub(super) fn with(
        &self,
        name: &str,
        key: impl FnOnce() -> K,
        make: impl FnOnce() -> V,
        act: impl FnOnce(&V),
    ) -> bool {
        if let Some(known) = find(&self.entries.load(), name) {
            act(known);
            return true;
        }
        let (key, new) = (key(), Arc::new(make()));
        self.entries.rcu(|entries| {
            let mut entries = Vec::clone(entries);
            if find(&entries, name).is_none() && entries.len() < self.most {
                entries.push((key.clone(), Arc::clone(&new)));
            }
            entries
        });
        find(&self.entries.load(), name).map(act).is_some()
    }

    /// All of them, as something else.
    pub(super) fn collect<T, C: FromIterator<(K, T)>>(&self, map: impl Fn(&V) -> T) -> C {
        self.entries.load().iter().map(|(key, value)| (key.clone(), map(value))).collect()
    }
}

fn find<'a, K: Borrow<str>, V>(entries: &'a [(K, Arc<V>)], name: &str) -> Option<&'a V> {
    entries.iter().find(|(known, _)| known.borrow() == name).map(|(_, value)| &**value)
}
