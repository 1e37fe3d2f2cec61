//! The state as a file of lines.
//!
//! A line is a letter, a space, and what the letter says: `M` a model, as JSON; `V` a version of it, its number, a
//! space, and its record as JSON; `B` a blob, its digest, its uses and its generation; `R` a run, as JSON. Versions
//! stay text until they are asked for.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use mlops_core::{Alias, Digest, Error, ModelName, Protection, Result};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::runs::{Runs, StoredRun};
use crate::state::{AliasState, BlobEntry, BlobTable, Model, Position, Record, State, Tombstone};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredModel {
    name: ModelName,
    aliases: BTreeMap<Alias, AliasState>,
    protections: BTreeMap<Alias, Protection>,
    deleted: BTreeMap<Version, Tombstone>,
}

pub(super) fn encode(state: &State) -> Result<Vec<u8>> {
    write(state).map_err(|cause| Error::internal("the state cannot be written").with_source(cause))
}

fn write(state: &State) -> std::io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for (name, model) in &state.models {
        let stored = StoredModel {
            name: name.clone(),
            aliases: model.aliases().clone(),
            protections: model.protections().clone(),
            deleted: model.deleted().clone(),
        };
        lines.extend_from_slice(b"M ");
        serde_json::to_writer(&mut lines, &stored)?;
        lines.push(b'\n');
        for (number, record) in model.records() {
            write!(lines, "V {number} ")?;
            lines.extend_from_slice(record.text());
            lines.push(b'\n');
        }
    }
    for (digest, BlobEntry { uses, generation }) in state.blobs.all() {
        writeln!(lines, "B {digest} {uses} {generation}")?;
    }
    for run in state.runs.all() {
        lines.extend_from_slice(b"R ");
        serde_json::to_writer(&mut lines, run)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// # Errors
/// Says what is wrong with it.
pub(super) fn decode(position: Position, bytes: &Bytes) -> Result<State, String> {
    let (mut models, mut runs, mut blobs) =
        (BTreeMap::<ModelName, Model>::new(), Runs::default(), BlobTable::default());
    let mut current: Option<(ModelName, Model)> = None;
    let text = std::str::from_utf8(bytes).map_err(|cause| cause.to_string())?;
    for line in text.lines() {
        let fault = |what: String| format!("{what}: {line:.80}");
        let (letter, rest) = line.split_once(' ').ok_or_else(|| fault("an unknown line".to_owned()))?;
        let json = |cause: serde_json::Error| fault(cause.to_string());
        match letter {
            "M" => {
                let StoredModel { name, aliases, protections, deleted } =
                    serde_json::from_str(rest).map_err(json)?;
                models.extend(current.replace((name, Model::new(aliases, protections, deleted))));
            }
            "V" => {
                let (number, record) = rest.split_once(' ').ok_or_else(|| fault("no version".to_owned()))?;
                let number = number.parse().map_err(|cause| fault(format!("{cause}")))?;
                let (_, model) = current.as_mut().ok_or_else(|| fault("a version of no model".to_owned()))?;
                model.insert(number, Record::from_text(bytes.slice_ref(record.as_bytes())));
            }
            "B" => {
                let (digest, entry) = blob(rest).ok_or_else(|| fault("no blob".to_owned()))?;
                blobs.insert(digest, entry);
            }
            "R" => runs.insert(serde_json::from_str::<StoredRun>(rest).map_err(json)?),
            _ => return Err(fault("an unknown line".to_owned())),
        }
    }
    models.extend(current);
    Ok(State::at(position, models, runs, blobs))
}

fn blob(text: &str) -> Option<(Digest, BlobEntry)> {
    let mut words = text.split(' ');
    let digest = words.next()?.parse().ok()?;
    let entry = BlobEntry { uses: words.next()?.parse().ok()?, generation: words.next()?.parse().ok()? };
    words.next().is_none().then_some((digest, entry))
}
