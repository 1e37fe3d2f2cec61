//! Files of events: a line each, the name of the model before it, so that one model is found without parsing the
//! others.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use mlops_core::{AuditEvent, Error, ModelName, Result};

/// The events of a file.
#[derive(Debug)]
pub(crate) struct Segment {
    bytes: Bytes,
    models: HashMap<String, Vec<Range<usize>>>,
}

/// Appends events to the content of a file.
pub(super) fn encode(events: &[AuditEvent], lines: &mut Vec<u8>) -> Result<()> {
    for event in events {
        lines.extend_from_slice(event.model.as_str().as_bytes());
        lines.push(b' ');
        serde_json::to_writer(&mut *lines, event)
            .map_err(|cause| Error::internal("an event cannot be written as JSON").with_source(cause))?;
        lines.push(b'\n');
    }
    Ok(())
}

impl Segment {
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn decode(bytes: Bytes) -> Result<Self, String> {
        let mut models: HashMap<String, Vec<Range<usize>>> = HashMap::new();
        let text = std::str::from_utf8(&bytes).map_err(|cause| cause.to_string())?;
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let (model, event) = line.split_once(' ').ok_or_else(|| format!("no event: {line:.80}"))?;
            let range = start + line.len() - event.len()..start + line.trim_end().len();
            match models.get_mut(model) {
                Some(ranges) => ranges.push(range),
                None => drop(models.insert(model.to_owned(), vec![range])),
            }
            start += line.len();
        }
        Ok(Self { bytes, models })
    }

    /// The events of a model, the oldest first.
    pub(crate) fn of_model(&self, model: &ModelName) -> Result<Vec<AuditEvent>> {
        let ranges = self.models.get(model.as_str()).into_iter().flatten();
        ranges.map(|range| self.event(model.as_str(), range)).collect()
    }

    /// All events, in the order in which they stand there.
    pub(crate) fn all(&self) -> Result<Vec<AuditEvent>> {
        let of_model = |(model, ranges)| std::iter::repeat(model).zip::<&Vec<Range<usize>>>(ranges);
        let mut lines: Vec<_> = self.models.iter().flat_map(of_model).collect();
        lines.sort_by_key(|(_, range)| range.start);
        lines.into_iter().map(|(model, range)| self.event(model, range)).collect()
    }

    fn event(&self, model: &str, range: &Range<usize>) -> Result<AuditEvent> {
        let text = self.bytes.get(range.clone()).unwrap_or_default();
        let event: AuditEvent = serde_json::from_slice(text)
            .map_err(|cause| Error::integrity("an archived event is no such thing").with_source(cause))?;
        if event.model.as_str() == model {
            return Ok(event);
        }
        Err(Error::integrity(format!("an archived event of `{}` stands as one of `{model}`", event.model)))
    }
}
