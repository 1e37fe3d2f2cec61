//! Where an alias has pointed.

use jiff::Timestamp;
use semver::Version;

use super::{AliasMove, AuditChange, AuditEvent};
use crate::{Alias, Error, ModelName, Result};

/// The past of one alias, from the history of its model.
///
/// ```
/// # use mlops_core::{Alias, AliasHistory, AuditChange, AuditEvent, ModelName};
/// # let champion = Alias::new("champion")?;
/// # let moved = |sequence, from: Option<&str>, to: &str| AuditEvent {
/// #     sequence,
/// #     at: "2026-11-03T12:00:00Z".parse().unwrap(),
/// #     actor: "ci".to_owned(),
/// #     model: ModelName::new("fraud").unwrap(),
/// #     change: AuditChange::AliasMoved {
/// #         alias: champion.clone(),
/// #         from: from.map(|from| from.parse().unwrap()),
/// #         to: Some(to.parse().unwrap()),
/// #         reason: String::new(),
/// #     },
/// # };
/// // `registry.history(&fraud).await?`: champion went to 1.0.0, then to 2.0.0.
/// let history = [moved(2, None, "1.0.0"), moved(4, Some("1.0.0"), "2.0.0")];
/// let champion = AliasHistory::of(&history, &champion);
/// assert_eq!(champion.current().map(ToString::to_string).as_deref(), Some("2.0.0"));
/// assert_eq!(champion.previous().map(ToString::to_string).as_deref(), Some("1.0.0"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AliasHistory {
    moves: Vec<(Timestamp, Option<Version>)>,
    /// The versions it came along, without those it has turned back from and those that were deleted.
    path: Vec<Version>,
}

impl AliasHistory {
    /// What `history`, the oldest event first, tells of `alias`.
    #[must_use]
    pub fn of(history: &[AuditEvent], alias: &Alias) -> Self {
        let mut past = Self { moves: Vec::new(), path: Vec::new() };
        for event in history {
            match &event.change {
                AuditChange::AliasMoved { alias: moved, to, .. } if moved == alias => {
                    past.moves.push((event.at, to.clone()));
                    past.path.extend(to.clone());
                    let first = to.as_ref().and_then(|to| past.path.iter().position(|version| version == to));
                    past.path.truncate(first.map_or(past.path.len(), |first| first + 1));
                }
                AuditChange::Deleted { version, .. } => past.path.retain(|passed| passed != version),
                _ => {}
            }
        }
        past
    }

    /// Where it points now.
    #[must_use]
    pub fn current(&self) -> Option<&Version> {
        self.moves.last()?.1.as_ref()
    }

    /// Where a rollback leads: to the version it pointed to before the current one, or to the last one when it
    /// was taken away. A move back to a version undoes those in between: after 1, 2, 3 and back to 1 there is no
    /// version before. Deleted versions are passed over.
    #[must_use]
    pub fn previous(&self) -> Option<&Version> {
        let back = if self.current().is_some() { 2 } else { 1 };
        self.path.get(self.path.len().checked_sub(back)?)
    }

    /// The move that goes back, provided that nobody moves the alias before.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict) when there is nowhere to go back to.
    pub fn rollback(&self, model: &ModelName, alias: &Alias) -> Result<AliasMove> {
        let current = self.current().cloned();
        let previous = self.previous().cloned().ok_or_else(|| {
            let now = current.as_ref().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
            Error::conflict(format!(
                "`{alias}` of `{model}` points to {now}, and there is no version it pointed to before"
            ))
        })?;
        Ok(AliasMove::new(model.clone(), alias.clone(), previous).expecting(current))
    }

    /// Where it pointed at that time.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> Option<&Version> {
        self.moves.iter().rfind(|(at, _)| *at <= time)?.1.as_ref()
    }

    /// Whether it ever pointed to that version.
    #[must_use]
    pub fn held(&self, version: &Version) -> bool {
        self.moves.iter().any(|(_, to)| to.as_ref() == Some(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(steps: &[&str]) -> Vec<AuditEvent> {
        let event = |(index, step): (usize, &&str)| AuditEvent {
            sequence: index as u64 + 1,
            at: Timestamp::from_second(index as i64 + 1).unwrap(),
            actor: String::new(),
            model: ModelName::new("fraud").unwrap(),
            change: match step.strip_prefix('-') {
                Some(deleted) => {
                    AuditChange::Deleted { version: deleted.parse().unwrap(), reason: String::new() }
                }
                None => AuditChange::AliasMoved {
                    alias: Alias::new("champion").unwrap(),
                    from: None,
                    to: (!step.is_empty()).then(|| step.parse().unwrap()),
                    reason: String::new(),
                },
            },
        };
        steps.iter().enumerate().map(event).collect()
    }

    #[test]
    fn going_back_undoes_what_came_since() {
        let cases: [(&[&str], Option<&str>); 10] = [
            (&[], None),
            (&["1.0.0"], None),
            (&["1.0.0", "2.0.0"], Some("1.0.0")),
            (&["1.0.0", "2.0.0", "3.0.0"], Some("2.0.0")),
            (&["1.0.0", "2.0.0", "3.0.0", "2.0.0"], Some("1.0.0")),
            (&["1.0.0", "2.0.0", "1.0.0"], None),
            (&["1.0.0", "2.0.0", "1.0.0", "2.0.0"], Some("1.0.0")),
            (&["1.0.0", "2.0.0", ""], Some("2.0.0")),
            (&["1.0.0", "2.0.0", "3.0.0", "-2.0.0"], Some("1.0.0")),
            (&["1.0.0", "", "-1.0.0"], None),
        ];
        for (steps, expected) in cases {
            let past = AliasHistory::of(&history(steps), &Alias::new("champion").unwrap());
            assert_eq!(past.previous().map(ToString::to_string).as_deref(), expected, "{steps:?}");
        }
        let other = AliasHistory::of(&history(&["1.0.0"]), &Alias::new("other").unwrap());
        assert_eq!(other.current(), None);
    }

    #[test]
    fn it_knows_where_it_pointed_at_any_time() {
        let past = AliasHistory::of(&history(&["1.0.0", "2.0.0", ""]), &Alias::new("champion").unwrap());
        for (second, expected) in [(0, None), (1, Some("1.0.0")), (2, Some("2.0.0")), (3, None), (9, None)] {
            let at = past.at(Timestamp::from_second(second).unwrap());
            assert_eq!(at.map(ToString::to_string).as_deref(), expected, "at {second}");
        }
    }
}
