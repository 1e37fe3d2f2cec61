//! Changes of what is registered.
//!
//! First the event is written, then what it tells is done: so nothing happens that history does not know. If the server
//! refuses to do it, the event is taken back.

use std::sync::PoisonError;

use hyper::Method;
use mlops_core::{
    Alias, AliasMove, AuditChange, AuditEvent, Deletion, Deprecation, Error, ModelName, NewReport, Report,
    Result, Tagging,
};
use semver::Version;
use serde_json::json;

use super::model::{Entry, Model, Origin, micros, registration};
use super::reading::{settled, unknown, with_actor};
use super::wire::{Done, Tag};
use super::{MlflowRegistry, document, events, tags};
use crate::limits;
use crate::state::there_are;

/// A name for who writes: one for each registry that was opened.
pub(crate) fn new_writer() -> String {
    uuid::Uuid::now_v7().simple().to_string().split_off(20)
}

pub(crate) async fn move_alias(registry: &MlflowRegistry, change: AliasMove) -> Result<AuditEvent> {
    limits::check_alias_move(&change)?;
    let AliasMove { model: name, alias, to, expected, actor, reason, .. } = change;
    let writing = Writing::begin(registry, &name).await?;
    let model = &writing.model;
    let number = to.as_ref().map(|to| model.version(to)).transpose()?.map(|entry| entry.wire.version.clone());
    let from = model.aliases.get(&alias).cloned();
    if let Some(expected) = expected
        && expected != from
    {
        let nowhere_or =
            |version: Option<&Version>| version.map_or_else(|| "nowhere".to_owned(), Version::to_string);
        return Err(Error::conflict(format!(
            "`{alias}` of `{name}` points to {}, not to {}",
            nowhere_or(from.as_ref()),
            nowhere_or(expected.as_ref())
        )));
    }
    if to.is_none() && from.is_none() {
        return Err(model.no_alias(&alias));
    }
    if to.is_some() {
        check_alias(&alias)?;
    }
    let body = json!({ "name": name, "alias": alias, "version": number });
    let method = if to.is_some() { Method::POST } else { Method::DELETE };
    let change = AuditChange::AliasMoved { alias, from, to, reason };
    writing
        .done(&actor, change, async |_| done(registry, method, "registered-models/alias", &body).await)
        .await
}

pub(crate) async fn tag(registry: &MlflowRegistry, change: Tagging) -> Result<AuditEvent> {
    limits::check_tagging(&change)?;
    let Tagging { id, name, value, actor, .. } = change;
    let writing = Writing::begin(registry, &id.name).await?;
    let entry = writing.model.version(&id.version)?.clone();
    let users = tags::users(&id.to_string(), &entry.tags)?;
    let from = users.get(&name).cloned();
    if value.is_none() && from.is_none() {
        return Err(Error::not_found(format!("{id} has no tag `{name}`; {}", there_are(users.keys()))));
    }
    let new = value.as_deref().map(|value| tags::of_user(&name, value)).transpose()?.unwrap_or_default();
    let old = tags::keys_of_user(&entry.tags, &name);
    let change = AuditChange::Tagged { version: id.version, name, from, to: value };
    writing.done(&actor, change, async |_| replace(registry, &entry, old, new).await).await
}

pub(crate) async fn report(registry: &MlflowRegistry, report: NewReport) -> Result<AuditEvent> {
    limits::check_report(&report)?;
    let NewReport { id, name, passed, metrics, summary, actor, .. } = report;
    let writing = Writing::begin(registry, &id.name).await?;
    let entry = writing.model.version(&id.version)?.clone();
    let change = AuditChange::Reported { version: id.version, name: name.clone(), passed };
    let writer = registry.shared.writer.clone();
    let attach = async |event: &AuditEvent| {
        let report = Report { name, passed, metrics, summary, at: event.at, by: event.actor.clone() };
        replace(registry, &entry, Vec::new(), document::of_report(&report, event.sequence, &writer)?).await
    };
    writing.done(&actor, change, attach).await
}

pub(crate) async fn deprecate(registry: &MlflowRegistry, change: Deprecation) -> Result<AuditEvent> {
    limits::check_deprecation(&change)?;
    let Deprecation { id, reason, actor, .. } = change;
    let writing = Writing::begin(registry, &id.name).await?;
    let entry = writing.model.version(&id.version)?.clone();
    let new = reason.as_ref().map(|reason| tags::document(document::DEPRECATED, reason)).transpose()?;
    let old = tags::keys_of(&entry.tags, document::DEPRECATED);
    let change = AuditChange::Deprecated { version: id.version, reason };
    writing
        .done(&actor, change, async |_| replace(registry, &entry, old, new.unwrap_or_default()).await)
        .await
}

pub(crate) async fn delete(registry: &MlflowRegistry, deletion: Deletion) -> Result<AuditEvent> {
    limits::check_deletion(&deletion)?;
    let Deletion { id, actor, reason, .. } = deletion;
    let writing = Writing::begin(registry, &id.name).await?;
    let entry = writing.model.version(&id.version)?.clone();
    let aliases: Vec<Alias> = writing.model.aliases_of(&id.version).collect();
    if !aliases.is_empty() {
        let aliases = there_are(aliases.iter());
        return Err(Error::conflict(format!(
            "{id} has aliases, {aliases}; move them first, and then delete it"
        )));
    }
    // With the version goes what it tells of its registration.
    let ((_, writer), told) = registration(&id.name, &id.version, &entry);
    let known = writing.model.events.iter().find(|known| known.event.change == told.change);
    if let Some(known) = known.filter(|known| known.origin == Origin::Told) {
        let event = with_actor(registry, &writing.model, known).await?;
        set_model_tags(registry, &id.name, events::tags_of(&event, &writer)?).await?;
    }
    let body = json!({ "name": id.name, "version": entry.wire.version });
    let change = AuditChange::Deleted { version: id.version.clone(), reason };
    let delete = async |_: &AuditEvent| done(registry, Method::DELETE, "model-versions/delete", &body).await;
    let event = writing.done(&actor, change, delete).await?;
    registry.shared.paths.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    Ok(event)
}

/// A change in the making, while nobody else of this registry reads or changes anything.
struct Writing<'a> {
    registry: &'a MlflowRegistry,
    model: Model,
    _order: tokio::sync::RwLockWriteGuard<'a, ()>,
}

impl<'a> Writing<'a> {
    async fn begin(registry: &'a MlflowRegistry, name: &ModelName) -> Result<Self> {
        let order = registry.shared.order.write().await;
        let model = settled(registry, name).await?.ok_or_else(|| unknown(name))?;
        Ok(Self { registry, model, _order: order })
    }

    /// Writes the event of a change, and then makes it.
    async fn done(
        self,
        actor: &str,
        change: AuditChange,
        make: impl AsyncFnOnce(&AuditEvent) -> Result<()>,
    ) -> Result<AuditEvent> {
        let Self { registry, model, .. } = &self;
        registry.keep_guesses(model).await?;
        let (sequence, at) = registry.next(model.last());
        let (actor, name) = (actor.to_owned(), model.name.clone());
        let event = AuditEvent { sequence, at, actor, model: name, change };
        let writer = &registry.shared.writer;
        set_model_tags(registry, &model.name, events::tags_of(&event, writer)?).await?;
        if let Err(error) = make(&event).await {
            // It may have taken effect all the same when there was no answer.
            if !error.is_retryable() {
                for key in events::names_of(&event, writer)? {
                    let body = json!({ "name": model.name, "key": key });
                    done(registry, Method::DELETE, "registered-models/delete-tag", &body).await?;
                }
            }
            return Err(error);
        }
        registry.shared.changes.send_modify(|changes| *changes += 1);
        tracing::debug!(model = %event.model, change = %event.change, "MLflow changed");
        Ok(event)
    }
}

impl MlflowRegistry {
    /// The sequence number and the time of a new event, after the last one of its model.
    pub(crate) fn next(&self, (sequence, at): (u64, jiff::Timestamp)) -> (u64, jiff::Timestamp) {
        let now = self.clock.now().max(at);
        let mut last = self.shared.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        *last = micros(now).max(sequence + 1).max(*last + 1);
        (*last, now)
    }

    /// Remembers that there is an event of that sequence number.
    pub(crate) fn observe(&self, sequence: u64) {
        let mut last = self.shared.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        *last = sequence.max(*last);
    }

    /// Writes down what was found to be other than our events say, so that it stays in history.
    pub(crate) async fn keep_guesses(&self, model: &Model) -> Result<()> {
        for known in model.events.iter().filter(|known| known.origin == Origin::Guessed) {
            set_model_tags(self, &model.name, events::tags_of(&known.event, &known.writer)?).await?;
        }
        Ok(())
    }
}

pub(crate) async fn set_model_tags(
    registry: &MlflowRegistry,
    model: &ModelName,
    tags: Vec<Tag>,
) -> Result<()> {
    for Tag { key, value } in tags {
        let body = json!({ "name": model, "key": key, "value": value });
        done(registry, Method::POST, "registered-models/set-tag", &body).await?;
    }
    Ok(())
}

/// Sets the new tags of a version, and then removes those of the old ones that are not among them.
async fn replace(registry: &MlflowRegistry, entry: &Entry, old: Vec<String>, new: Vec<Tag>) -> Result<()> {
    let (name, version) = (&entry.wire.name, &entry.wire.version);
    for Tag { key, value } in &new {
        let body = json!({ "name": name, "version": version, "key": key, "value": value });
        done(registry, Method::POST, "model-versions/set-tag", &body).await?;
    }
    for key in old.into_iter().filter(|key| new.iter().all(|tag| tag.key != *key)) {
        let body = json!({ "name": name, "version": version, "key": key });
        done(registry, Method::DELETE, "model-versions/delete-tag", &body).await?;
    }
    Ok(())
}

async fn done(registry: &MlflowRegistry, method: Method, call: &str, body: &serde_json::Value) -> Result<()> {
    registry.rest.send::<Done>(method, call, body).await.map(drop)
}

/// Whether MLflow takes an alias.
fn check_alias(alias: &Alias) -> Result<()> {
    let text = alias.as_str();
    let digits = text.strip_prefix(['v', 'V']).unwrap_or_default();
    let why = if text.contains('.') {
        "MLflow takes only letters, digits, `_` and `-`"
    } else if text.eq_ignore_ascii_case("latest")
        || (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    {
        "MLflow reserves `latest`, `v1` and their like"
    } else {
        return Ok(());
    };
    Err(Error::invalid_input(format!("MLflow cannot keep the alias `{alias}`: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_that_mlflow_refuses_are_refused_before_anything_is_written() {
        for (alias, fits) in [
            ("champion", true),
            ("Champion-2_b", true),
            ("v", true),
            ("v1a", true),
            ("v1", false),
            ("V17", false),
            ("Latest", false),
            ("a.b", false),
        ] {
            assert_eq!(check_alias(&Alias::new(alias).unwrap()).is_ok(), fits, "{alias}");
        }
    }
}
