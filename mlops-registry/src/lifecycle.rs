//! Approvals, and what demands them.

use mlops_core::{Alias, ModelId, ModelName, Protection};

/// Somebody's word that an alias may move to a version.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewApproval {
    /// Which version.
    pub id: ModelId,
    /// Which alias may move to it.
    pub alias: Alias,
    /// Who says so. Approvals of one and the same count once.
    pub actor: String,
    /// Why.
    pub comment: String,
}

impl NewApproval {
    /// `actor` approves that `alias` moves to a version.
    #[must_use]
    pub fn new(id: ModelId, alias: Alias, actor: impl Into<String>) -> Self {
        Self { id, alias, actor: actor.into(), comment: String::new() }
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, comment: impl Into<String>) -> Self {
        self.comment = comment.into();
        self
    }
}

/// An intended change of what an alias demands before it moves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Protecting {
    /// The model.
    pub model: ModelName,
    /// The alias.
    pub alias: Alias,
    /// What it demands from now on; `None` for nothing.
    pub protection: Option<Protection>,
    /// Who changes it.
    pub actor: String,
}

impl Protecting {
    /// Lets `alias` demand this before it moves.
    #[must_use]
    pub fn new(model: ModelName, alias: Alias, protection: Protection) -> Self {
        Self { model, alias, protection: Some(protection), actor: String::new() }
    }

    /// Lets `alias` demand nothing any more.
    #[must_use]
    pub fn lifted(model: ModelName, alias: Alias) -> Self {
        Self { model, alias, protection: None, actor: String::new() }
    }

    /// Says who changes it.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }
}
