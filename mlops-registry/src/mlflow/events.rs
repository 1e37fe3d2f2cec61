//! Events as tags of a registered model, for MLflow keeps no history.

use std::collections::BTreeMap;

use mlops_core::{AuditEvent, ModelName, Result};

use super::tags::{self, read};
use super::wire::Tag;

/// Then come the sequence number, in as many digits as it can have, a dot, and the writer.
const EVENT: &str = "mlops.event.";

/// By what an event is known: its sequence number, and who wrote it, in case two processes took the same one.
pub(crate) type Key = (u64, String);

/// The tags that keep an event.
pub(crate) fn tags_of(event: &AuditEvent, writer: &str) -> Result<Vec<Tag>> {
    tags::document(&name(event.sequence, writer), event)
}

/// The names of the tags that keep an event.
pub(crate) fn names_of(event: &AuditEvent, writer: &str) -> Result<Vec<String>> {
    // The first part, which makes the others count, goes first.
    Ok(tags_of(event, writer)?.into_iter().rev().map(|tag| tag.key).collect())
}

/// All events among the tags of `model`.
pub(crate) fn all(model: &ModelName, tags: &BTreeMap<String, String>) -> Result<BTreeMap<Key, AuditEvent>> {
    let mut events = BTreeMap::new();
    let of = format!("`{model}`");
    for key in tags.keys().filter(|key| key.starts_with(EVENT) && !tags::is_part(key)) {
        let writer = key.rsplit_once('.').map_or("", |(_, writer)| writer);
        if let Some(mut event) = read::<AuditEvent>(&of, tags, key)? {
            // MLflow can give a model another name.
            event.model = model.clone();
            events.insert((event.sequence, writer.to_owned()), event);
        }
    }
    Ok(events)
}

fn name(sequence: u64, writer: &str) -> String {
    format!("{EVENT}{sequence:020}.{writer}")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mlops_core::AuditChange;

    use super::*;

    #[test]
    fn events_come_back_under_the_present_name() {
        let (fraud, renamed) = (ModelName::new("fraud").unwrap(), ModelName::new("renamed").unwrap());
        let event = |sequence, reason: String| AuditEvent {
            sequence,
            at: Timestamp::UNIX_EPOCH,
            actor: "ci".to_owned(),
            model: fraud.clone(),
            change: AuditChange::Deleted { version: "1.0.0".parse().unwrap(), reason },
        };
        let (short, long) = (event(9, String::new()), event(10, "because ".repeat(2000)));
        let mut tags = BTreeMap::new();
        for event in [&short, &long] {
            tags.extend(tags_of(event, "a").unwrap().into_iter().map(|tag| (tag.key, tag.value)));
        }
        assert!(tags.len() > 2, "a long event is split");
        let read = all(&renamed, &tags).unwrap();
        let expected = [short, long].map(|event| AuditEvent { model: renamed.clone(), ..event });
        assert!(read.values().eq(&expected), "{read:?}");
        tags.insert(name(11, "a"), "edited".to_owned());
        assert_eq!(all(&fraud, &tags).unwrap_err().label(), "integrity");
    }
}
