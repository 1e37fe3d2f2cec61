//! By what several replicas judge one rollout.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use mlops_core::{Error, Result, Variant};

use super::journal::Journal;
use crate::{StoreName, VariantEvidence};

/// Says what all replicas together have seen of each variant.
///
/// Unless told otherwise a [`DurableController`](crate::DurableController) shares through its store: at
/// every look each replica leaves there what it has seen in the present window, and judges by the sum of
/// what all have left. What a replica that was killed had left still counts. With this trait the sum comes
/// from elsewhere, such as a store of metrics; [`OwnEvidence`] does without.
#[async_trait]
pub trait EvidenceSource: fmt::Debug + Send + Sync + 'static {
    /// What was seen in that window, by everybody; `own` is what this replica has seen of it.
    ///
    /// # Errors
    /// Whatever keeps the evidence away. Then the rollout does not move, but for a rollback that `own`
    /// demands.
    async fn collect(
        &self,
        window: &EvidenceWindow,
        own: BTreeMap<Variant, VariantEvidence>,
    ) -> Result<BTreeMap<Variant, VariantEvidence>>;
}

/// A stretch of a rollout in which the shares do not change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EvidenceWindow {
    /// The name of the rollout in the store.
    pub rollout: StoreName,
    /// The number of the transition with which it began.
    pub number: u64,
    /// When that was, by the wall clock of whoever made it.
    pub began: Timestamp,
}

/// Every replica judges by what it has seen itself, and the first that has seen enough decides for all.
///
/// For one replica this is all there is. With `n`, each looks at another sample, so up to `n` times as many
/// good candidates are rolled back as the alpha of the plan says.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnEvidence;

#[async_trait]
impl EvidenceSource for OwnEvidence {
    async fn collect(
        &self,
        _: &EvidenceWindow,
        own: BTreeMap<Variant, VariantEvidence>,
    ) -> Result<BTreeMap<Variant, VariantEvidence>> {
        Ok(own)
    }
}

/// Shares by notes in the store.
#[derive(Debug)]
pub(super) struct SharedEvidence {
    journal: Journal,
    author: StoreName,
    left: Mutex<Option<(u64, Vec<u8>)>>,
}

impl SharedEvidence {
    pub(super) fn new(journal: Journal, author: StoreName) -> Self {
        Self { journal, author, left: Mutex::new(None) }
    }

    async fn leave(&self, window: u64, own: &BTreeMap<Variant, VariantEvidence>) -> Result<()> {
        if own.is_empty() {
            return Ok(());
        }
        let note = serde_json::to_vec(own)
            .map_err(|cause| Error::internal("evidence cannot be written as JSON").with_source(cause))?;
        let news = (window, note);
        if self.left.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(&news) {
            return Ok(());
        }
        self.journal.store.put_note(&self.journal.name, window, &self.author, &news.1).await?;
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
        Ok(())
    }
}

#[async_trait]
impl EvidenceSource for SharedEvidence {
    async fn collect(
        &self,
        window: &EvidenceWindow,
        own: BTreeMap<Variant, VariantEvidence>,
    ) -> Result<BTreeMap<Variant, VariantEvidence>> {
        self.leave(window.number, &own).await?;
        let mut sum = own;
        for (author, note) in self.journal.store.notes(&self.journal.name, window.number).await? {
            if author == self.author {
                continue;
            }
            let seen: BTreeMap<Variant, VariantEvidence> =
                serde_json::from_slice(&note).map_err(|cause| {
                    let what = format!("the evidence that `{author}` has left is not to be understood");
                    Error::integrity(what).with_source(cause)
                })?;
            for (variant, seen) in seen {
                sum.entry(variant).or_default().merge(&seen);
            }
        }
        Ok(sum)
    }
}
