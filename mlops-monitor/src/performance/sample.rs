//! A part that stands for the whole.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A uniform sample without replacement of bounded size: the items whose keys have the least hashes. It holds
/// all items while there are no more than its size, it depends on no order, and samples merge exactly.
///
/// Source: bottom-k sketches, Cohen & Kaplan, "Summarizing data using bottom-k sketches", PODC 2007.
#[derive(Debug, Clone)]
pub(super) struct Sample<T> {
    size: usize,
    heap: BinaryHeap<Item<T>>,
}

#[derive(Debug, Clone)]
struct Item<T> {
    hash: u64,
    value: T,
}

impl<T> Sample<T> {
    pub(super) fn new(size: usize) -> Self {
        Self { size, heap: BinaryHeap::new() }
    }

    /// Adds an item by the hash of its key.
    pub(super) fn add(&mut self, hash: u64, value: T) {
        if self.heap.len() < self.size {
            self.heap.push(Item { hash, value });
        } else if let Some(mut greatest) = self.heap.peek_mut()
            && hash < greatest.hash
        {
            *greatest = Item { hash, value };
        }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The items, by their hashes.
    pub(super) fn sorted(&self) -> Vec<&T> {
        let mut items: Vec<_> = self.heap.iter().collect();
        items.sort_unstable_by_key(|item| item.hash);
        items.into_iter().map(|item| &item.value).collect()
    }
}

impl<T: Clone> Sample<T> {
    pub(super) fn merge(&mut self, other: &Self) {
        for item in &other.heap {
            self.add(item.hash, item.value.clone());
        }
    }
}

impl<T> Ord for Item<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.hash.cmp(&other.hash)
    }
}

impl<T> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Item<T> {}
