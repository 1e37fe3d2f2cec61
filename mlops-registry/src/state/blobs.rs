//! Which blobs are needed, and where each is.

use std::collections::BTreeMap;

use mlops_core::Digest;

/// The blobs that versions and runs name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct BlobTable {
    entries: BTreeMap<Digest, BlobEntry>,
}

/// What the log says of a blob.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BlobEntry {
    /// How many artifacts have these bytes.
    pub(crate) uses: u64,
    /// How often it was collected; each time its bytes, when needed again, are written to another file. So the
    /// deletion of a collected file can come as late as it likes.
    pub(crate) generation: u64,
}

impl BlobTable {
    pub(crate) fn entry(&self, digest: &Digest) -> BlobEntry {
        self.entries.get(digest).copied().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = (&Digest, &BlobEntry)> {
        self.entries.iter()
    }

    pub(crate) fn insert(&mut self, digest: Digest, entry: BlobEntry) {
        self.entries.insert(digest, entry);
    }

    /// One more artifact has these bytes.
    pub(crate) fn take(&mut self, digest: Digest) {
        let entry = self.entries.entry(digest).or_default();
        entry.uses = entry.uses.saturating_add(1);
    }

    /// One artifact less has them.
    pub(crate) fn release(&mut self, digest: &Digest) {
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.uses = entry.uses.saturating_sub(1);
        }
    }

    /// Takes in that these are collected.
    pub(crate) fn collect(&mut self, digests: &[Digest]) -> Result<(), String> {
        if let Some(used) = digests.iter().find(|digest| self.entry(digest).uses > 0) {
            return Err(format!("it collects {used}, which is used"));
        }
        for digest in digests {
            let entry = self.entries.entry(*digest).or_default();
            entry.generation = entry.generation.saturating_add(1);
        }
        Ok(())
    }
}
